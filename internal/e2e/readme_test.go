package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	shellBlock   = regexp.MustCompile("(?s)```sh\n(.*?)```")
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
)

// document reads a page of the documentation by its path from the root.
func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section returns the part of a page below a heading of the second level.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, text, found := strings.Cut(page, "\n## "+heading+"\n")
	if !found {
		t.Fatalf("there is no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// commands returns the shell commands of a text.
func commands(text string) string {
	var commands strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		commands.WriteString(block[1])
	}
	return commands.String()
}

var simulated = regexp.MustCompile(`(?m) --failure-rate 0\.\d+$`)

// runCommands runs documented commands in a copy of the project, on a local AWS that has nothing else, and returns what they print.
func runCommands(t *testing.T, commands string, extra ...string) string {
	t.Helper()
	return newCloud(t).newProject(t).bash(t, commands, extra...)
}

// bash runs documented commands. A run with simulated failures exits with code 1, as it should. YES=1 answers make destroy.
func (p project) bash(t *testing.T, commands string, extra ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // dozens of commands
	defer cancel()
	script := simulated.ReplaceAllString(commands, "$0 || [ $$? = 1 ]")
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = p.dir
	cmd.Env = p.environment(append(extra, "YES=1", "PATH="+p.before(awsCommands.path(), "go", "sleep"))...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.ReplaceAll(string(out), "\t", " ")
}

func expectInOrder(t testing.TB, output string, wants ...string) {
	t.Helper()
	rest := output
	for _, want := range wants {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %q where it should be in\n%s", want, output)
		}
		rest = after
	}
}

// The README's commands run in its own order, and print what it says that one sees.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme := document(t, "README.md")
	output := runCommands(t, commands(section(t, readme, "Deploy it")+section(t, readme, "How it works")+section(t, readme, "Clean up")))
	wants := []string{"carnation-prerequisites", "CREATE_COMPLETE", "carnation-devl", "CREATE_COMPLETE"}
	for _, block := range consoleBlock.FindAllStringSubmatch(section(t, readme, "What you should see"), -1) {
		for line := range strings.Lines(block[1]) {
			if !strings.HasPrefix(line, "$ ") {
				wants = append(wants, strings.Split(strings.TrimSuffix(line, "\n"), "...")...)
			}
		}
	}
	wants = append(wants, "UPDATE_COMPLETE", "5000 new and 0 claimed events, 4747 inserted, 253 failed", "UPDATE_COMPLETE", "0 new and 253 claimed events, 253 inserted, 0 failed",
		"DELETE_COMPLETE", "kept: the templates and the code", "DeletionDate")
	expectInOrder(t, output, wants...)
}

func TestWalkthrough(t *testing.T) {
	t.Parallel()
	output := runCommands(t, commands(document(t, "docs/walkthrough.md")), "ARCH="+arch())
	expectInOrder(t, output,
		"FAILED None Carnation.EventsFailed 11 of 20 events failed and are in the retry queue",
		"\n9\n", `"ApproximateNumberOfMessages": "11"`,
		`SUCCEEDED {"inserted":11,"failed":0}`, "\n20\n",
		"FAILED None InvalidInputError", "end_seq is 5: must be an integer from 9 to 9007199254740991",
		"FAILED None RangeTooLargeError", "the largest that fits is 541 events")
}
