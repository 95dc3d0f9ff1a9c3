package e2e

import (
	"context"
	"flag"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"carnation/internal/console"
	"carnation/internal/e2e/browser"
	"carnation/internal/localaws"
)

var screenshots = flag.String("screenshots", "", "folder to write the pictures of the documentation to")

// maxPicture is the most bytes of a picture, because the repository keeps every version of it.
const maxPicture = 150_000

// TestScreenshots takes the pictures of the documentation: make screenshots.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("takes pictures only for make screenshots")
	}
	chromium, err := exec.Command(filepath.Join(root, "scripts/browser")).Output()
	if err != nil {
		t.Fatal("make screenshots needs Chromium or Chrome on PATH")
	}
	s := newStack(t)
	run := func(code int, args ...string) {
		t.Helper()
		if out := s.command(nil, append([]string{carnation, "run"}, args...)...); out.code != code {
			t.Fatalf("carnation run %v: %s, want exit code %d", args, out, code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	page, err := console.Start(ctx, console.Options{Configuration: func(context.Context) (aws.Config, error) { return s.config, nil }, StackName: s.name, Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	b, err := browser.Start(strings.TrimSpace(string(chromium)), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	// The history of the first picture begins before the story.
	first := b.Open(t)
	first.Look(browser.Look{Width: 1280, Height: 860})
	first.Goto(page.URL + "/#/" + s.name)
	first.WaitText("In the table")

	// A story: 60 events, of which some fail and three can never succeed; a run that succeeds, and retries them; and a run that leaves a few.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"sequenceNo":\{"N":"(13|27|41)"\}`})
	run(1, "--start-seq", "1", "--end-seq", "61", "--failure-rate", "0.3", "--name", "orders-monday")
	s.setFaults(t)
	run(0, "--start-seq", "101", "--end-seq", "141", "--name", "returns-monday")
	run(1, "--start-seq", "61", "--end-seq", "101", "--failure-rate", "0.4", "--name", "orders-tuesday")

	report := filepath.Join(t.TempDir(), "run.html")
	s.run(t, carnation, "report", "orders-monday", "-o", report)
	arn := strings.Replace(s.outputs["StateMachineArn"], ":stateMachine:", ":execution:", 1) + ":orders-monday"
	runPage := page.URL + "/#/" + s.name + "/run/" + url.QueryEscape(arn)
	for _, picture := range []struct {
		name, address, shows string
		look                 browser.Look
	}{
		{"console.png", "", "returns-monday", browser.Look{}},
		{"run.png", runPage, "Timeline", browser.Look{Width: 1280, Height: 1250}},
		{"report.png", "file://" + report, "Timeline", browser.Look{Width: 1280, Height: 860, Dark: true}},
	} {
		tab := first
		if picture.address != "" {
			tab = b.Open(t)
			tab.Look(picture.look)
			tab.Goto(picture.address)
		}
		tab.WaitText(picture.shows)
		tab.WaitText("orders-monday")
		content := tab.Picture()
		if len(content) > maxPicture {
			t.Errorf("%s has %d bytes, want at most %d", picture.name, len(content), maxPicture)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, picture.name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
