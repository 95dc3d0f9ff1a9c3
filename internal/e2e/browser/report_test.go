package browser

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carnation/internal/console"
	"carnation/internal/operate/model"
)

// openReport writes the report of a run to a file, and opens that.
func openReport(t *testing.T, p *Page, doc *model.Document, visits []model.Visit) (content string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.html")
	var b strings.Builder
	if err := console.WriteReport(&b, doc, visits); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Goto("file://" + file)
	p.WaitFor("button", "/, Map: /")
	return b.String()
}

// expectNoRequests looks for requests of a report: it needs nothing but its own file.
func expectNoRequests(t *testing.T, p *Page) {
	t.Helper()
	requests := slices.DeleteFunc(p.Requests(), func(r string) bool { return strings.HasPrefix(r, "GET data:,") }) // the icon, which is empty
	if len(requests) != 1 || !strings.HasPrefix(requests[0], "GET file://") {
		t.Errorf("a report makes the requests %q, want only that of the file", requests)
	}
}

// TestReport opens reports from files, as somebody does who got one.
func TestReport(t *testing.T) {
	b := start(t)
	t.Run("shows hostile content as text", func(t *testing.T) {
		doc, visits := hostile(t, recorded(t, "inline-failures"))
		p := b.Open(t)
		openReport(t, p, doc, visits)
		p.Click("button", "/^Say \"hi\"/")
		p.WaitText(`"A": "` + strings.ReplaceAll(markup, `"`, `\"`))
		p.Click("button", "Close details")
		expectText(t, p, "report", 2560, 1280, 360)
		expectNoRequests(t, p)
	})
	t.Run("has payloads only if it is asked", func(t *testing.T) {
		stack, arn := recordedStack(t, "inline-own-events")
		doc, err := model.Read(t.Context(), stack, arn, model.Options{Payloads: true})
		if err != nil {
			t.Fatal(err)
		}
		visits, err := model.AllVisits(t.Context(), stack, arn)
		if err != nil {
			t.Fatal(err)
		}
		p := b.Open(t)
		for _, payloads := range []bool{true, false} {
			if !payloads {
				doc, visits = recorded(t, "inline-own-events"), nil
			}
			content := openReport(t, p, doc, visits)
			p.Click("button", "/^Event [0-9]+, /")
			p.WaitText("States of this iteration")
			if got := p.Has("button", "Copy Payload"); got != payloads {
				t.Errorf("the report shows a payload: %t, want %t", got, payloads)
			}
			if text := p.Text(); strings.Contains(text, "This report has no inputs and outputs.") == payloads || strings.Contains(content, `"payload"`) != payloads {
				t.Errorf("the report has payloads: %t, want %t", !payloads, payloads)
			}
		}
	})
}
