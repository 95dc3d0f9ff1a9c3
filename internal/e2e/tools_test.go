package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/console"
	"carnation/internal/localaws/moto"
	"carnation/internal/operate"
)

func TestRunCommandExitsWithTheOutcome(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, test := range []struct {
		args string
		code int
		want string // in stdout or stderr
	}{
		{"run --start-seq 900 --end-seq 903", 0, "3 new and 0 claimed events, 3 inserted, 0 failed"},
		{"run --start-seq 903 --end-seq 904 --failure-rate 1", 1, "1 new and 0 claimed events, 0 inserted, 1 failed"},
		{"run --until-empty", 0, "0 new and 1 claimed events, 1 inserted, 0 failed"},
		{"run --until-empty", 0, "retry queue: 0 waiting, 0 in flight"},
		{"run", 2, "--start-seq is missing: must be an integer from 0 to"},
		{"run --start-seq 5 --end-seq 3", 2, "--end-seq is 3: must be an integer from 5 to"},
		{"run --start-seq 1 --end-seq 2 --failure-rate 7", 2, "invalid value \"7\" for flag -failure-rate: must be a number from 0 to 1"},
		{"run --start-seq 1 --end-seq 99999", 2, "RangeTooLargeError"},
		{"run --start-seq 1 --end-seq 2 --stack-name no-such-stack", 2, "no-such-stack"},
		{"status --output yaml", 2, "yaml"},
	} {
		out := s.command(nil, append([]string{carnation}, strings.Fields(test.args)...)...)
		if out.code != test.code || !strings.Contains(out.stdout+out.stderr, test.want) {
			t.Errorf("carnation %s: %s, want exit code %d and %q", test.args, out, test.code, test.want)
		}
	}
}

func TestRunUntilEmptyAsJSON(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	out := s.command(nil, carnation, "run", "--start-seq", "910", "--end-seq", "930", "--failure-rate", "0.3", "--until-empty", "--output", "json")
	var result struct {
		Runs   []operate.Run  `json:"runs"`
		Queues operate.Queues `json:"queues"`
	}
	if err := json.Unmarshal([]byte(out.stdout), &result); err != nil || out.code != 0 {
		t.Fatalf("%v: %s", err, out)
	}
	if len(result.Runs) < 2 {
		t.Fatalf("%d runs, want a first one and retries", len(result.Runs))
	}
	failed := stillFailing(910, 930, 0.3, 0)
	first := result.Runs[0]
	if first.Generated != 20 || first.Inserted != 20-failed || first.Failed != failed || first.Error != "Carnation.EventsFailed" {
		t.Errorf("first run is %+v, want 20 events of which %d failed", first, failed)
	}
	if last := result.Runs[len(result.Runs)-1]; last.Status != "SUCCEEDED" || last.Failed != 0 {
		t.Errorf("last run is %+v", last)
	}
	if result.Queues != (operate.Queues{}) {
		t.Errorf("queues at the end are %+v, want them empty", result.Queues)
	}
}

func TestStatusCommandCountsRowsAndMessages(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.execute(t, `{"start_seq":938,"end_seq":940}`)
	s.execute(t, `{"start_seq":940,"end_seq":942,"failure_rate":1}`)
	var status operate.Status
	if err := json.Unmarshal([]byte(s.run(t, carnation, "status", "--output", "json", "--executions", "2")), &status); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, r := range s.rows(t, 0, 1<<53) {
		rows += len(r)
	}
	if status.Table != rows || status.Retry != 2 || status.InFlight != 0 || status.DeadLetter != 0 {
		t.Errorf("status is %+v, want %d rows and 2 waiting", status, rows)
	}
	if len(status.Executions) != 2 || status.Executions[0].Status != "FAILED" || status.Executions[0].Started.Before(status.Executions[1].Started) {
		t.Errorf("executions are %+v, want two, the failed one first", status.Executions)
	}
}

// process is a command that is stopped midway.
type process struct {
	cmd    *exec.Cmd
	output output
}

// output is what a running command has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts a command in its own process group.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Dir = root
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() { // otherwise nothing is left of the group, and its number can be that of another one, such as a function's
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return p
}

// waitForFile waits for a file and returns its content.
func waitForFile(t *testing.T, path string) (content string) {
	t.Helper()
	waitFor(t, "file "+path, func() bool {
		data, err := os.ReadFile(path)
		content = string(data)
		return err == nil
	})
	return content
}

var endpointURL = regexp.MustCompile(`AWS_ENDPOINT_URL=http://(127\.0\.0\.1:\d+)`)

// expectNothingLeft checks that no process of the command's group is left, none that names the mark, nothing listens at the
// address, if it is known, and the files are gone.
func (p *process) expectNothingLeft(t *testing.T, mark, address string, files ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		left := ""
		for _, search := range [][]string{{"-fl", mark}, {"-l", "-g", fmt.Sprint(p.cmd.Process.Pid)}} {
			if out, err := exec.Command("pgrep", search...).Output(); err == nil {
				left += "processes: " + string(out)
			}
		}
		if address != "" && listens(address) {
			left += " something listens at " + address
		}
		for _, file := range files {
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				left += " file " + file
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %s\nit had printed: %s", left, p.output.String())
		}
	}
}

func listens(address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		connection.Close()
	}
	return err == nil
}

func TestLocalLeavesNothingHoweverItIsStopped(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var p *process
			if signal == syscall.SIGHUP { // the terminal is closed: nobody reads any more, and all processes get the signal
				if ossignal.Ignored(signal) {
					t.Skip("run without nohup: a process that is started under it ignores SIGHUP")
				}
				p = launchLocal(t, dir, "sh", "-c", `"$@" | true`, "sh")
			} else {
				p = launchLocal(t, dir)
			}
			address := endpointURL.FindStringSubmatch(waitForFile(t, dir+"/env"))[1]
			if signal == syscall.SIGHUP {
				time.Sleep(time.Second) // it prints after it has written the file
				if !listens(address) {
					t.Error("it ended when its output could not be written")
				}
				if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil {
					t.Fatal(err)
				}
				_ = p.cmd.Wait() // the shell ends by the signal
				p.expectNothingLeft(t, dir, address, dir+"/env")
				return
			}
			if signal == syscall.SIGTERM {
				expectExportsLeadHere(t, dir)
			}
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			err := p.cmd.Wait()
			if signal == syscall.SIGKILL {
				p.expectNothingLeft(t, dir, address)
				return
			}
			if err != nil {
				t.Errorf("it ended with %v: %s", err, p.output.String())
			}
			if out := p.output.String(); !strings.Contains(out, "export AWS_ENDPOINT_URL=http://"+address) {
				t.Errorf("it printed %s", out)
			}
			p.expectNothingLeft(t, dir, address, dir+"/env")
		})
	}
}

// expectExportsLeadHere runs clients in a shell whose own settings lead them elsewhere, or nowhere, after the exports.
func expectExportsLeadHere(t *testing.T, dir string) {
	t.Helper()
	files := map[string]string{
		dir + "/config":      "[default]\nregion = us-east-1\nuse_fips_endpoint = true\nca_bundle = /none\nservices = s\n[services s]\ncloudformation =\n  endpoint_url = http://127.0.0.1:1\n",
		dir + "/credentials": "[default]\naws_access_key_id = other\naws_secret_access_key = other\n",
	}
	for path, content := range files {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hostile := environment("AWS_PROFILE=nobody", "AWS_DEFAULT_PROFILE=nobody", "AWS_CONFIG_FILE="+dir+"/config", "AWS_SHARED_CREDENTIALS_FILE="+dir+"/credentials",
		"AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_ACCOUNT_ID_ENDPOINT_MODE=required", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true",
		"AWS_ENDPOINT_URL_CLOUDFORMATION=http://127.0.0.1:1", "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:1", "AWS_CA_BUNDLE=/none", "AWS_SESSION_TOKEN=old",
		"AWS_CREDENTIAL_EXPIRATION=2020-01-01T00:00:00Z", "AWS_ROLE_ARN=arn:aws:iam::123456789012:role/other", "AWS_WEB_IDENTITY_TOKEN_FILE=/none",
		"AWS_AUTH_SCHEME_PREFERENCE=sigv4a", "AWS_ENABLE_ENDPOINT_DISCOVERY=true", "AWS_REGION=us-east-1", "AWS_DEFAULTS_MODE=auto",
		"HTTP_PROXY=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "ALL_PROXY=http://127.0.0.1:1", "NO_PROXY=", "no_proxy=")
	for _, test := range []struct{ command, want string }{
		{carnation + " status --stack-name none", "does not exist"},
		{"aws cloudformation describe-stacks --stack-name none", "Stack with id none does not exist"},
		{"aws dynamodb list-tables", `"TableNames": []`},
	} {
		cmd := exec.Command("sh", "-c", ". "+dir+"/env && "+test.command)
		cmd.Env = hostile
		if out, err := cmd.CombinedOutput(); cmd.ProcessState == nil || !strings.Contains(string(out), test.want) || strings.Contains(string(out), "http://127.0.0.1:1") {
			t.Errorf("%s: %v\n%s\nwant %q", test.command, err, out, test.want)
		}
	}
}

// launchLocal starts carnation local, which keeps its files in a folder, by itself or as the arguments of another command.
func launchLocal(t *testing.T, dir string, command ...string) *process {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a local AWS, and this is go test -short")
	}
	return launch(t, environment("TMPDIR="+dir), append(command, carnation, "local", "--python", moto.Python(root), "--env-file", dir+"/env")...)
}

func TestLocalWithoutMotoSaysWhatToRun(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	dir := t.TempDir()
	old := filepath.Join(dir, "python3")
	// A Python that has no packages at all.
	script := "#!/bin/sh\nexec python3 -I -S \"$@\"\n"
	if err := os.WriteFile(old, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	// One whose moto is of another version.
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(dir+"/packages/moto", 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		dir + "/packages/moto/__init__.py": `__version__ = "4.2.14"`,
		other:                              "#!/bin/sh\nPYTHONPATH='" + dir + "/packages' exec python3 \"$@\"\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, python := range []string{old, other, dir + "/none"} {
		out := c.command(nil, carnation, "local", "--python", python)
		if out.code != 2 || strings.Count(out.stderr, "\n") != 1 || !strings.Contains(out.stderr, "make tools") {
			t.Errorf("with Python %s: %s, want one line that says to run make tools", python, out)
		}
	}
}

var kills = flag.Int("kills", 1, "how often each tool is killed with a signal that asks and with one that does not, at random moments")

// killAtRandom kills a tool with a signal that asks it to end, and at the same time another one with SIGKILL, each at a random moment: when
// a random number of things, less than the given one, have happened.
func killAtRandom(t *testing.T, things int, test func(t *testing.T, signal syscall.Signal, kill func(p *process, happened func() int))) {
	for range *kills {
		asked := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[rand.IntN(3)]
		planned := map[string]kill{}
		for _, signal := range []syscall.Signal{asked, syscall.SIGKILL} {
			k := kill{signal, rand.IntN(things), rand.IntN(3)}
			planned[fmt.Sprintf("%s after %d", signal, k.moment)] = k
		}
		atOnce(t, slices.Collect(maps.Keys(planned)), func(t *testing.T, name string) {
			k := planned[name]
			test(t, k.signal, func(p *process, happened func() int) { k.do(t, p, happened) })
		})
	}
}

// kill is a signal for a tool, and when to send it. If the tool has several processes, whom says whether make gets it, the script that make
// runs, or all of them.
type kill struct {
	signal       syscall.Signal
	moment, whom int
}

// do kills a tool, and returns when it has ended. A tool that ends by itself before must not fail.
func (k kill) do(t *testing.T, p *process, happened func() int) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	waitFor(t, fmt.Sprintf("%d things to happen", k.moment), func() bool { return len(ended) > 0 || happened() >= k.moment })
	if len(ended) > 0 { // its id may be another process's by now
		if err := <-ended; err != nil {
			t.Errorf("it failed before it was killed: %v: %s", err, p.output.String())
		}
		return
	}
	target := p.cmd.Process.Pid
	switch {
	case k.signal == syscall.SIGINT, k.whom == 0: // as Ctrl-C does
		target = -target
	case k.signal == syscall.SIGKILL && k.whom == 1:
		if out, err := exec.Command("pgrep", "-P", fmt.Sprint(target)).Output(); err == nil {
			if _, err := fmt.Sscan(string(out), &target); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := syscall.Kill(target, k.signal); err != nil && !errors.Is(err, syscall.ESRCH) { // it may have ended
		t.Fatal(err)
	}
	<-ended // the next one must work however this one ended
}

// lines counts the lines that a process has printed.
func (p *process) lines() int { return strings.Count(p.output.String(), "\n") }

// tenths counts tenths of a second from now on.
func tenths() func() int {
	start := time.Now()
	return func() int { return int(time.Since(start) / (100 * time.Millisecond)) }
}

func TestLocalKilledAtARandomMomentDoesNotStopTheNextOne(t *testing.T) {
	t.Parallel()
	killAtRandom(t, 30, func(t *testing.T, _ syscall.Signal, kill func(*process, func() int)) {
		dir := t.TempDir()
		p := launchLocal(t, dir)
		kill(p, tenths())
		p.expectNothingLeft(t, dir, "")

		next := launchLocal(t, dir)
		var address string
		waitFor(t, "the next local AWS", func() bool {
			address = endpointURL.FindStringSubmatch(waitForFile(t, dir+"/env"))[1] // the killed one may have left its own
			return listens(address)
		})
		page := next.consoleURL(t)
		if got := getJSON[console.Stacks](t, page+"/api/stacks"); got.ReadOnly || len(got.Stacks) != 0 || got.Endpoint != "http://"+address {
			t.Errorf("the console shows %+v, want the local AWS at %s without a stack", got, address)
		}
		if err := next.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := next.cmd.Wait(); err != nil {
			t.Errorf("the next one ended with %v: %s", err, next.output.String())
		}
		next.expectNothingLeft(t, dir, address, dir+"/env")
		if listens(strings.TrimPrefix(page, "http://")) {
			t.Errorf("the console still answers at %s", page)
		}
	})
}

func TestRunKilledAtARandomMomentLosesNothing(t *testing.T) {
	t.Parallel()
	killAtRandom(t, 40, func(t *testing.T, signal syscall.Signal, kill func(*process, func() int)) {
		s := newStack(t)
		start := int64(20_000 + 100*signal) // the command line is searched for
		p := launch(t, s.environment(), carnation, "run", "--start-seq", fmt.Sprint(start), "--end-seq", fmt.Sprint(start+30), "--failure-rate", "0.4", "--until-empty")
		kill(p, func() int { return s.count("DescribeExecution", "") + s.count("UpdateItem", "") })
		p.expectNothingLeft(t, fmt.Sprintf("start-seq %d ", start), "")

		// The execution that it started continues by itself.
		waitFor(t, "all executions to end", func() bool {
			running, err := s.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{
				StateMachineArn: aws.String(s.outputs["StateMachineArn"]), StatusFilter: sfntypes.ExecutionStatusRunning,
			})
			if err != nil {
				t.Fatal(err)
			}
			return len(running.Executions) == 0
		})
		s.run(t, carnation, "run", "--until-empty")
		if found := s.rows(t, start, start+30); len(found) != 0 && len(found) != 30 { // it may not have come to start one
			t.Errorf("the table has %d of 30 events", len(found))
		}
		s.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
	})
}

func TestDemoKilledAtARandomMomentDoesNotStopTheNextOne(t *testing.T) {
	t.Parallel()
	project := newCloud(t).newProject(t)
	dir := t.TempDir()
	killAtRandom(t, 30, func(t *testing.T, _ syscall.Signal, kill func(*process, func() int)) {
		own, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		p := launchDemo(t, project, own)
		kill(p, p.lines)
		p.expectNothingLeft(t, own, "")
	})
	next := launchDemo(t, project, dir, "CONSOLE=1") // only its local AWS gets SIGINT
	page := next.consoleURL(t)
	expectInOrder(t, next.output.String(), demoStory(60, 0.35, 1001)...)
	now := getJSON[console.Overview](t, page+"/api/overview?stack=carnation-devl")
	waitFor(t, "the console to count the rows", func() bool {
		now = getJSON[console.Overview](t, page+"/api/overview?stack=carnation-devl")
		return !now.RowsAt.IsZero()
	})
	if now.Rows != 60 || now.Queues != (operate.Queues{DeadLetter: 1}) || now.Sentence != "1 event failed for good" {
		t.Errorf("the console shows %+v, want 60 rows and a dead letter", now)
	}
	if err := syscall.Kill(-next.cmd.Process.Pid, syscall.SIGINT); err != nil { // as Ctrl-C does
		t.Fatal(err)
	}
	_ = next.cmd.Wait() // make ends with the signal, too
	if text := next.output.String(); strings.Contains(text, "make demo: ") || regexp.MustCompile(`make: \*\*\* .* Error 1\b`).MatchString(text) {
		t.Errorf("Ctrl-C is reported as a failure: %s", text[max(0, len(text)-500):])
	}
	next.expectNothingLeft(t, dir, strings.TrimPrefix(page, "http://"))
}

var consoleAddress = regexp.MustCompile(`(?m)^The console is at (http://127\.0\.0\.1:\d+)`)

// consoleURL is the address of the console that a process prints.
func (p *process) consoleURL(t *testing.T) (address string) {
	t.Helper()
	waitFor(t, "the address of the console", func() bool {
		if found := consoleAddress.FindStringSubmatch(p.output.String()); found != nil {
			address = found[1]
		}
		return address != ""
	})
	return address
}

// getJSON reads what a page of the console reads.
func getJSON[T any](t *testing.T, url string) (value T) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&value); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", url, response.StatusCode, err)
	}
	return value
}

// launchDemo starts make demo, which keeps its files in a folder.
func launchDemo(t *testing.T, p project, dir string, settings ...string) *process {
	t.Helper()
	env := environment("TMPDIR="+dir, "PATH="+p.before(os.Getenv("PATH"), "go"))
	if os.Getenv("CARNATION_TOOLS") != "" { // scripts/python-tools does not look for the installed aws
		env = append(append(env, awsCommands.environment()...), "PATH="+p.before(awsCommands.path(), "go"))
	}
	command := append([]string{"make", "--no-print-directory", "-C", p.dir, "demo"}, settings...)
	if slices.Contains(settings, "CONSOLE=1") { // as in the background of a script: a shell cannot trap a signal that was ignored before
		command = append([]string{"sh", "-c", `trap "" INT; exec "$@"`, "sh"}, command...)
	}
	return launch(t, env, command...)
}

func TestDistributedDemoTellsTheStoryOfFiveThousandEvents(t *testing.T) {
	dir := t.TempDir()
	p := newCloud(t).newProject(t)
	demo := launchDemo(t, p, dir, "MODE=distributed")
	t.Parallel() // only now: it takes longest, so it does not wait for its turn
	if err := demo.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, demo.output.String())
	}
	story := append(demoStory(5000, 0.05, 1_000_001), "make demo CONSOLE=1 MODE=distributed keeps all this, with a web page, until Ctrl-C.\n")
	expectInOrder(t, demo.output.String(), story...)
	demo.expectNothingLeft(t, dir, "")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

// demoStory is what a demo prints about its events, in order: runs until no event fails any more, and then one event that always
// fails.
func demoStory(total int, rate float64, lone int64) (lines []string) {
	run := func(flags, result string, fresh, claimed, failed int) {
		lines = append(lines, fmt.Sprintf("$ carnation run %s\n", flags), fmt.Sprintf(" %s in ", result),
			fmt.Sprintf(": %d new and %d claimed events, %d inserted, %d failed\n", fresh, claimed, fresh+claimed-failed, failed))
	}
	left := func(rows, waiting, dead int) {
		lines = append(lines, fmt.Sprintf("  table: %d rows; retry queue: %d waiting, 0 in flight; dead-letter queue: %d\n", rows, waiting, dead))
	}
	end := int64(total + 1)
	failed := stillFailing(1, end, rate, 0)
	run(fmt.Sprintf("--start-seq 1 --end-seq %d --failure-rate %g", end, rate), "FAILED", total, 0, failed)
	left(total-failed, failed, 0)
	for attempt := 1; failed > 0; attempt++ {
		claimed, result := failed, "FAILED"
		if failed = stillFailing(1, end, rate, attempt); failed == 0 {
			result = "SUCCEEDED"
		}
		run(fmt.Sprintf("--start-seq 0 --end-seq 0 --failure-rate %g", rate), result, 0, claimed, failed)
		left(total-failed, failed, 0)
	}
	run(fmt.Sprintf("--start-seq %d --end-seq %d --failure-rate 1", lone, lone+1), "FAILED", 1, 0, 1)
	left(total, 1, 0)
	for range 2 {
		run("--start-seq 0 --end-seq 0 --failure-rate 1", "FAILED", 0, 1, 1)
	}
	lines = append(lines, "$ carnation run --start-seq 0 --end-seq 0 --failure-rate 1\n",
		": 0 new and 1 claimed events, 0 inserted, 1 failed, 1 of them for good: in the dead-letter queue\n")
	left(total, 0, 1)
	return append(lines, fmt.Sprintf("\n  %d\n", total), fmt.Sprintf(`{"sequence_no":%d,`, lone),
		fmt.Sprintf("All %d events are in the table. The event that failed every time is in the dead-letter queue. Nothing is lost.\n", total))
}
