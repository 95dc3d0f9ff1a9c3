package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carnation/internal/localaws"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// section is the shell commands of a section of the README, by its heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var commands strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		commands.WriteString(block[1])
	}
	return commands.String()
}

var simulated = regexp.MustCompile(`(?m) --failure-rate 0\.\d+$`)

// runCommands runs commands of the README on a local AWS of their own, where nothing is yet, and returns what they print. A
// carnation run that ends with code 1, and make run with 2, has failed as it should. Nobody is there to answer make destroy.
func runCommands(t *testing.T, commands string, extra ...string) string {
	t.Helper()
	fresh, err := localaws.Start(t.Context(), localaws.Options{Python: os.Getenv("CARNATION_PYTHON")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fresh.Close(); err != nil {
			t.Error(err)
		}
	}()
	script := strings.Replace(commands, "make local\n", "", 1) // this one runs already
	script = simulated.ReplaceAllString(script, "$0 || [ $$? = 1 ]")
	script = strings.Replace(script, " RATE=0.5\n", " RATE=0.5 || [ $? = 2 ]\n", 1)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = root
	cmd.Env = append(local.environment(append(extra, "YES=1")...), fresh.Environment()...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.ReplaceAll(string(out), "\t", " ")
}

func expectInOrder(t *testing.T, output string, wants ...string) {
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

func TestReadmeByHand(t *testing.T) {
	output := runCommands(t, section(t, "Deploy it by hand"), "ARCH="+arch())
	expectInOrder(t, output,
		"FAILED None Carnation.EventsFailed 11 of 20 events failed and are in the retry queue",
		"\n9\n", `"ApproximateNumberOfMessages": "11"`,
		`SUCCEEDED {"inserted":11,"failed":0}`, "\n20\n",
		"FAILED None InvalidInputError", "end_seq is 5: allowed is an integer from 9 to 9007199254740991",
		"FAILED None RangeTooLargeError", "the largest that fits is 541 events")
}

// The stack that is played with is switched to the distributed mode for a larger range, and back.
func TestReadmePlayAndLargerRanges(t *testing.T) {
	larger := section(t, "Larger ranges") + "make deploy PARAMETERS=MapMode=INLINE\nbuild/carnation run --until-empty\n"
	output := runCommands(t, strings.Replace(section(t, "Play with it"), "make destroy\n", larger+"make destroy\n", 1))
	expectInOrder(t, output, "CREATE_COMPLETE", "20 new and 0 claimed events, 9 inserted, 11 failed", "9 rows", "11 inserted, 0 failed", "retry queue: 0 waiting",
		"UPDATE_COMPLETE", "5000 new and 0 claimed events, 4747 inserted, 253 failed", "UPDATE_COMPLETE", "0 new and 253 claimed events, 253 inserted, 0 failed",
		"kept: the templates and the code")
}

func TestReadmeDeploy(t *testing.T) {
	output := runCommands(t, section(t, "Deploy it to AWS"))
	expectInOrder(t, output, "carnation-prerequisites", "CREATE_COMPLETE", "carnation-devl", "CREATE_COMPLETE", "9 inserted, 11 failed",
		"DELETE_COMPLETE", "kept: the templates and the code", "DeletionDate")
}
