// Package scripts tests what make builds, and the bash scripts of scripts/, which has no Go. It runs the scripts with a fake aws, which
// answers from a list and keeps what it was asked. The end-to-end tests run the same scripts with the real aws on a local AWS.
package scripts

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Other programs do a part of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestReadsThroughOtherPrograms(t *testing.T) {
	t.Log(os.Getenv("CARNATION_PROGRAMS"))
	for _, path := range []string{".gitignore", "Makefile", "requirements.txt", ".ci", "scripts", "cft", "state-machine", "go.mod", "go.sum", "cmd", "internal"} {
		if err := filepath.WalkDir(project+"/"+path, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Error(err)
		}
	}
}

// fakeAWS answers each call with the first answer whose call it contains and that is not used up. The fakes start hundreds of times, and sh
// starts in half the time of bash on some systems.
const fakeAWS = `#!/bin/sh
call="$*"
echo "$call" >>"$FAKE/calls"
while IFS='|' read -r number times code wanted text; do
  case $call in *"$wanted"*) ;; *) continue ;; esac
  used=
  [ ! -e "$FAKE/used-$number" ] || read -r used <"$FAKE/used-$number"
  [ "${#used}" -lt "$times" ] || continue
  [ "$times" = 1000 ] || echo "${used}x" >"$FAKE/used-$number"
  [ "$code" = 0 ] || exec >&2
  printf '%b\n' "$text"
  exit "$code"
done <"$FAKE/answers"
echo "fake aws: no answer to $call" >&2
exit 97
`

const fakeSleep = `#!/bin/sh
echo "sleep $*" >>"$FAKE/calls"
[ "$(wc -l <"$FAKE/calls")" -lt 60 ] # or it waits for something that never comes
`

// answer is what the fake aws says to a call that contains these words. A code other than 0 is an error.
type answer struct {
	call, text string
	code       int
	times      int // how often, 0 for always
}

type result struct {
	out   string // standard output and standard error
	code  int
	calls []string
}

// has: whether a call was made that contains these words.
func (r result) has(words string) bool {
	return slices.ContainsFunc(r.calls, func(call string) bool { return strings.Contains(call, words) })
}

const (
	testRegion = "us-east-1"
	account    = "111122223333"
	stackID    = "arn:aws:cloudformation:us-east-1:111122223333:stack/carnation-prod/1"
)

// run runs a script with these answers and settings, without a terminal.
func run(t *testing.T, answers []answer, settings []string, script string, args ...string) result {
	t.Helper()
	return execute(t, answers, settings, append([]string{"scripts/" + script}, args...)...)
}

// onTerminal runs a script with a terminal, where a user answers the first question with a line.
func onTerminal(t *testing.T, line string, answers []answer, settings []string, script string, args ...string) result {
	t.Helper()
	// script(1) could make a terminal too, but it has different flags on macOS.
	const terminal = `import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    if b"[y/N]" in part and b"[y/N]" not in said:
        os.write(fd, sys.argv[1].encode())
    said += part
_, status = os.waitpid(pid, 0)
sys.stdout.write(said.decode().replace("\r\n", "\n"))
sys.exit(os.waitstatus_to_exitcode(status))
`
	python, err := pythonPath()
	if err != nil {
		t.Fatal(err)
	}
	return execute(t, answers, settings, append([]string{python, "-c", terminal, line, "scripts/" + script}, args...)...)
}

var pythonPath = sync.OnceValues(func() (string, error) {
	path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(path)), err
})

func execute(t *testing.T, answers []answer, settings []string, command ...string) result {
	t.Helper()
	if testing.Short() {
		t.Skip("starts dozens of processes, and this is go test -short")
	}
	dir := t.TempDir()
	var lines strings.Builder
	for i, a := range answers {
		times := a.times
		if times == 0 {
			times = 1000 // always
		}
		fmt.Fprintf(&lines, "%d|%d|%d|%s|%s\n", i, times, a.code, a.call, strings.ReplaceAll(strings.ReplaceAll(a.text, "\n", `\n`), "\t", `\t`))
	}
	// python3 on PATH may be a version manager, which takes longer than all the rest.
	python, err := pythonPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(python, filepath.Join(dir, "python3")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"aws": fakeAWS, "sleep": fakeSleep, "answers": lines.String(), "calls": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = project
	cmd.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "FAKE=" + dir, "AWS_REGION=" + testRegion, "DEPLOY_TIMEOUT=1"}, settings...)
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return result{out.String(), cmd.ProcessState.ExitCode(), strings.Split(strings.TrimSpace(string(calls)), "\n")}
}

// expect checks the exit code, and that the output has all of wants in this order.
func (r result) expect(t *testing.T, code int, wants ...string) {
	t.Helper()
	rest := r.out
	for _, want := range wants {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("output is\n%s\nwant %q in it, in this order: %q", r.out, want, wants)
			break
		}
		rest = after
	}
	if r.code != code {
		t.Errorf("exit code is %d, want %d; output:\n%s\ncalls:\n%s", r.code, code, r.out, strings.Join(r.calls, "\n"))
	}
}

// never checks that no call has these words.
func (r result) never(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if r.has(w) {
			t.Errorf("%q was called:\n%s", w, strings.Join(r.calls, "\n"))
		}
	}
}

// inOrder checks that calls with these words were made in this order.
func (r result) inOrder(t *testing.T, words ...string) {
	t.Helper()
	i := 0
	for _, call := range r.calls {
		if i < len(words) && strings.Contains(call, words[i]) {
			i++
		}
	}
	if i < len(words) {
		t.Errorf("calls are\n%s\nwant %q, in this order: %q", strings.Join(r.calls, "\n"), words[i], words)
	}
}

// An AWS CLI that does not know AWS_ENDPOINT_URL would call the real AWS.
func TestEveryCallNamesTheEndpointOfLocalAWS(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(project + "/scripts/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	uses := regexp.MustCompile(`(^|[(;&|!{] *|(if|do|then|exec) +|^ *)(aws|ask|ask_for_lines|ask_meanwhile [4-9]|list|command aws) [a-z0-9]`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "aws.sh" {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if uses.MatchString(line) && !bytes.Contains(content, []byte("\n. scripts/aws.sh\n")) {
				t.Errorf("%s calls aws and does not source aws.sh: %s", file, line)
			}
		}
		if bytes.Contains(content, []byte("command aws")) || bytes.Contains(content, []byte("exec aws")) {
			t.Errorf("%s calls aws past the function of aws.sh", file)
		}
	}
	answers := []answer{{call: "describe-stacks", text: "-\t-"}, {call: "list-stacks"}}
	for _, call := range run(t, answers, []string{"AWS_ENDPOINT_URL=http://localhost:1"}, "make-way", "s", "p", "devl").calls {
		if !strings.HasPrefix(call, "--endpoint-url http://localhost:1 ") {
			t.Errorf("on local AWS the call is aws %s, want --endpoint-url first", call)
		}
	}
	for _, call := range run(t, answers, nil, "make-way", "s", "p", "devl").calls {
		if strings.Contains(call, "--endpoint-url") {
			t.Errorf("on AWS the call is aws %s", call)
		}
	}
}

const (
	tableName  = "carnation-events-prod-us-east-1"
	retryQueue = "carnation-retry-queue-prod-us-east-1"
	deadLetter = "carnation-dead-letter-queue-prod-us-east-1"
)

var (
	noTable  = answer{call: "dynamodb scan", code: 254, text: "\nAn error occurred (ResourceNotFoundException) when calling the Scan operation: Requested resource not found"}
	noQueue  = answer{call: "get-queue-url", code: 254, text: "\nAn error occurred (AWS.SimpleQueueService.NonExistentQueue) when calling the GetQueueUrl operation: The specified queue does not exist."}
	queues   = answer{call: "get-queue-url", text: "https://queue"}
	counts   = answer{call: "get-queue-attributes", text: "0\t0\t0"}
	empty    = answer{call: "dynamodb scan", text: "0\t-"}
	deleting = []answer{{call: "delete-queue"}, {call: "update-table"}, {call: "delete-table"}, {call: "wait table-"}}
)

func TestEmptyLeftoversOfProdAreDeleted(t *testing.T) {
	t.Parallel()
	r := run(t, append([]answer{queues, counts, empty}, deleting...), nil, "delete-leftovers", "carnation")
	r.expect(t, 0, "delete-queue "+retryQueue, "delete-queue "+deadLetter, "delete-table "+tableName)
	// The numbers of messages are read for a minute, and the rows once more when nothing can come any more.
	r.inOrder(t, "--queue-name "+retryQueue, "scan --table-name "+tableName, "get-queue-attributes", "sleep 20", "get-queue-attributes", "sleep 20",
		"get-queue-attributes", "sleep 20", "get-queue-attributes", "delete-queue", "update-table --table-name "+tableName+" --no-deletion-protection-enabled",
		"wait table-exists", "scan", "delete-table --table-name "+tableName, "wait table-not-exists")
	scan := r.calls[slices.IndexFunc(r.calls, func(call string) bool { return strings.Contains(call, "scan") })]
	if !strings.Contains(scan, "--consistent-read") || !strings.Contains(scan, "--no-paginate") {
		t.Errorf("the table is read with %s: must be consistent, and one page", scan)
	}

	r = run(t, []answer{noTable, noQueue}, nil, "delete-leftovers", "carnation")
	r.expect(t, 0)
	r.never(t, "delete", "update", "sleep")

	// The other services' names for what is not there.
	json := noQueue
	json.text = "An error occurred (QueueDoesNotExist) when calling the GetQueueUrl operation"
	run(t, []answer{noTable, json}, nil, "delete-leftovers", "carnation").expect(t, 0)
}

func TestLeftoversWithAnEventAreNeverDeleted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []answer
		want    string
	}{
		"a row":                       {[]answer{{call: "dynamodb scan", text: "1\tmore"}, queues, counts}, "table " + tableName + " has rows"},
		"an empty page":               {[]answer{{call: "dynamodb scan", text: "0\tmore"}, queues, counts}, "table " + tableName + " has rows"},
		"a message":                   {[]answer{empty, queues, {call: "get-queue-attributes", text: "1\t0\t0"}}, "queue " + retryQueue + " has messages (1)"},
		"a message in flight":         {[]answer{empty, queues, {call: "get-queue-attributes", text: "0\t2\t0"}}, "queue " + retryQueue + " has messages (2)"},
		"a delayed message":           {[]answer{empty, queues, {call: "get-queue-attributes", text: "0\t0\t1"}}, "queue " + retryQueue + " has messages (1)"},
		"a message that appears late": {[]answer{empty, queues, {call: "get-queue-attributes", text: "0\t0\t0", times: 6}, {call: "get-queue-attributes", text: "1\t0\t0"}}, "has messages (1)"},
		"a row, and no queue":         {[]answer{{call: "dynamodb scan", text: "1\tmore"}, noQueue}, "table " + tableName + " has rows"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, append(test.answers, deleting...), nil, "delete-leftovers", "carnation")
			r.expect(t, 3, test.want, "nothing of them was deleted", "docs/operations.md")
			r.never(t, "delete-queue", "delete-table", "update-table")
		})
	}
	for name, test := range map[string]struct {
		answers []answer
		want    string
	}{
		"no permission to read the table":     {[]answer{{call: "dynamodb scan", code: 254, text: "An error occurred (AccessDeniedException)"}, queues, counts}, "table " + tableName + ": An error occurred (AccessDenied"},
		"no permission to count the messages": {[]answer{empty, queues, {call: "get-queue-attributes", code: 254, text: "An error occurred (AccessDenied)"}}, "An error occurred (AccessDenied)"},
		"an answer without numbers":           {[]answer{empty, queues, {call: "get-queue-attributes", text: "None"}}, "must be integers"},
		"a row that appears at the end":       {[]answer{{call: "dynamodb scan", text: "0\t-", times: 4}, {call: "dynamodb scan", text: "1\tmore"}, queues, counts}, "has a row now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, append(test.answers, deleting...), nil, "delete-leftovers", "carnation")
			r.expect(t, 1, test.want)
			r.never(t, "delete-table")
		})
	}
}

func TestNewStackWaitsUntilSQSAcceptsTheNamesOfItsQueues(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		deleted     time.Duration // how long ago, 0 for never
		answers     []answer
		environment string
		waits       bool
		want        string
	}{
		"deleted just now":    {5 * time.Second, nil, "devl", true, "wait 60 seconds: the queues of an earlier stack carnation-devl were deleted at "},
		"deleted a while ago": {2 * time.Minute, nil, "devl", false, ""},
		"never existed":       {0, []answer{{call: "list-stacks"}}, "devl", false, ""},
		"not to be known":     {0, []answer{{call: "list-stacks", code: 254, text: "An error occurred (AccessDenied)"}}, "devl", false, "not known whether the queues were deleted just now, when SQS refuses their names: An error"},
		"prod with nothing":   {0, []answer{noTable, noQueue, {call: "list-stacks"}}, "prod", false, ""},
		"prod with leftovers": {0, append([]answer{queues, counts, empty}, deleting...), "prod", true, "wait 60 seconds, because SQS refuses the names of deleted queues as long"},
	} {
		t.Run(name, func(t *testing.T) {
			at := time.Now().UTC().Add(-test.deleted).Format("2006-01-02T15:04:05.000Z")
			answers := append(test.answers, answer{call: "list-stacks", text: "2025-01-01T00:00:00.000Z\n" + at + "\nNone"})
			r := run(t, answers, nil, "make-way", "carnation-"+test.environment, "carnation", test.environment)
			r.expect(t, 0, test.want)
			if got := r.has("sleep 60"); got != test.waits {
				t.Errorf("it waits: %v, want %v; calls:\n%s", got, test.waits, strings.Join(r.calls, "\n"))
			}
			if test.environment == "devl" && !r.has("starts_with(StackName,'carnation-devl-SQSStack-')") {
				t.Errorf("calls are %q, want a list of this stack's nested stacks with the queues", r.calls)
			}
		})
	}
	r := run(t, append([]answer{{call: "dynamodb scan", text: "1\tmore"}, queues, counts}, deleting...), nil, "make-way", "carnation-prod", "carnation", "prod")
	r.expect(t, 3, "has rows")
	r.never(t, "delete", "sleep", "list-stacks")
}

// stack is the answers of CloudFormation about a stack of an environment, with its template and its last event.
func stack(t *testing.T, environment string, status string, protected bool, more ...string) []answer {
	t.Helper()
	body, err := os.ReadFile(project + "/" + root[1])
	if err != nil {
		t.Fatal(err)
	}
	template := strings.ReplaceAll(string(body), `\`, `\\`)
	lines := append([]string{"stack\t" + status + "\t" + stackID + "\t" + map[bool]string{true: "True", false: "False"}[protected], "parameter\tEnvironment\t" + environment}, more...)
	return []answer{
		{call: "describe-stacks", text: strings.Join(lines, "\n")},
		{call: "get-template-summary", text: "Environment\tLambdaMemorySize"},
		{call: "get-template ", text: template},
		{call: "describe-stack-events --query StackEvents[0].EventId", text: "old"},
	}
}

// ends is the events of an operation that ends with a status.
func ends(status string, more ...string) answer {
	lines := []string{"old\t2026-11-26T08:00:00.000Z\tcarnation-prod\tCREATE_COMPLETE\t" + stackID + "\t"}
	lines = append(lines, more...)
	lines = append(lines, "end\t2026-11-26T09:00:09.000Z\tcarnation-prod\t"+status+"\t"+stackID+"\t")
	return answer{call: "describe-stack-events --stack-name", text: strings.Join(lines, "\n")}
}

const noStack = "An error occurred (ValidationError) when calling the DescribeStacks operation: Stack with id carnation-prod does not exist"

// root is a stack and a template. A short template is compared sooner.
var root = []string{"carnation-prod", "cft/nested-stacks/dynamodb-stack.yaml"}

func TestProdIsProtectedFromDeletionWhenItIsComplete(t *testing.T) {
	t.Parallel()
	protect := answer{call: "update-termination-protection"}
	created := append([]answer{{call: "describe-stacks", code: 254, text: noStack, times: 1}, {call: "create-stack", text: stackID}, protect, ends("CREATE_COMPLETE")}, stack(t, "prod", "CREATE_COMPLETE", false)...)
	r := run(t, created, nil, "apply-stack", append(root, "Environment=prod")...)
	r.expect(t, 0, "create-stack carnation-prod", "CREATE_COMPLETE", "stack carnation-prod is protected from deletion")
	r.inOrder(t, "create-stack", "describe-stack-events", "update-termination-protection --enable-termination-protection --stack-name carnation-prod")

	// A deployment that was interrupted before this is completed by the next one.
	r = run(t, append(stack(t, "prod", "CREATE_COMPLETE", false), protect), nil, "apply-stack", append(root, "Environment=prod")...)
	r.expect(t, 0, "is up to date", "is protected from deletion")

	for name, r := range map[string]result{
		"protected already": run(t, stack(t, "prod", "CREATE_COMPLETE", true), nil, "apply-stack", root...),
		"not prod":          run(t, stack(t, "test", "CREATE_COMPLETE", false), nil, "apply-stack", root...),
	} {
		t.Run(name, func(t *testing.T) {
			r.expect(t, 0, "is up to date")
			r.never(t, "update-termination-protection")
		})
	}

	// A stack whose creation failed must be deleted, so it is not protected before.
	failed := append([]answer{{call: "describe-stacks", code: 254, text: noStack, times: 1}, {call: "create-stack", text: stackID},
		ends("ROLLBACK_COMPLETE", "no\t2026-11-26T09:00:01.000Z\tTopic\tCREATE_FAILED\tt\tno")}, stack(t, "prod", "ROLLBACK_COMPLETE", false)...)
	r = run(t, failed, nil, "apply-stack", append(root, "Environment=prod")...)
	r.expect(t, 1, "make: stack carnation-prod is ROLLBACK_COMPLETE: Topic CREATE_FAILED: no")
	r.never(t, "termination-protection")
}

// changeSet is the answers of a change set that changes the table, in a nested stack, and the dashboard.
var changeSet = []answer{
	{call: "create-change-set", text: "arn:root"},
	{call: "describe-change-set --change-set-name arn:root --query [Status", text: "CREATE_IN_PROGRESS\t-", times: 1},
	{call: "describe-change-set --change-set-name arn:root --query [Status", text: "CREATE_COMPLETE\t-"},
	{call: "describe-change-set --change-set-name arn:root", text: "Modify\tDynamoDBStack\tAWS::CloudFormation::Stack\tFalse\tarn:nested\nRemove\tDashboard\tAWS::CloudWatch::Dashboard\t-\t-\nModify\tStateMachine\tAWS::StepFunctions::StateMachine\tConditional\t-"},
	{call: "describe-change-set --change-set-name arn:nested", text: "Modify\tTable\tAWS::DynamoDB::Table\tTrue\t-"},
	{call: "execute-change-set"},
	{call: "delete-change-set"},
}

func TestUpdateOfProdShowsItsChangesAndAsks(t *testing.T) {
	t.Parallel()
	answers := append(slices.Clone(changeSet), append(stack(t, "prod", "CREATE_COMPLETE", true), ends("UPDATE_COMPLETE"))...)
	change := append(slices.Clone(root), "LambdaMemorySize=512")
	shown := []string{"Modify    DynamoDBStack/Table", "is replaced", "Remove    Dashboard", "Modify    StateMachine", "may be replaced"}

	r := run(t, answers, nil, "apply-stack", change...)
	r.expect(t, 1, "there is no terminal to ask whether to update stack carnation-prod, which is prod: set YES=1")
	r.never(t, "change-set", "update-stack")

	r = run(t, answers, []string{"YES=1"}, "apply-stack", change...)
	r.expect(t, 0, append(slices.Clone(shown), "UPDATE_COMPLETE")...)
	r.inOrder(t, "create-change-set", "execute-change-set --change-set-name arn:root", "describe-stack-events")
	r.never(t, "update-stack", "delete-change-set")
	create := r.calls[slices.IndexFunc(r.calls, func(call string) bool { return strings.Contains(call, "create-change-set") })]
	for _, want := range []string{"--include-nested-stacks", "--change-set-type UPDATE", `{"ParameterKey":"LambdaMemorySize","ParameterValue":"512"}`, `{"ParameterKey":"Environment","UsePreviousValue":true}`, "--capabilities CAPABILITY_NAMED_IAM"} {
		if !strings.Contains(create, want) {
			t.Errorf("the change set is created with %s, want %s", create, want)
		}
	}

	r = onTerminal(t, "y\n", answers, nil, "apply-stack", change...)
	r.expect(t, 0, append(slices.Clone(shown), "Update stack carnation-prod? [y/N]", "UPDATE_COMPLETE")...)
	for _, no := range []string{"n\n", "\n"} {
		r = onTerminal(t, no, answers, nil, "apply-stack", change...)
		r.expect(t, 1, append(slices.Clone(shown), "Update stack carnation-prod? [y/N]", "nothing was changed")...)
		r.inOrder(t, "delete-change-set --change-set-name arn:root")
		r.never(t, "execute-change-set")
	}
}

func TestChangeSetThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for reason, test := range map[string]struct {
		code int
		want string
	}{
		"The submitted information didn't contain changes. Submit different information to create a change set.": {0, "stack carnation-prod is up to date"},
		"No updates are to be performed.":       {0, "stack carnation-prod is up to date"},
		"Parameter LambdaMemorySize is too big": {1, "make: Parameter LambdaMemorySize is too big"},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			answers := []answer{{call: "create-change-set", text: "arn:root"}, {call: "describe-change-set", text: "FAILED\t" + reason}, {call: "delete-change-set"}}
			r := run(t, append(answers, stack(t, "prod", "CREATE_COMPLETE", true)...), []string{"YES=1"}, "apply-stack", append(root, "LambdaMemorySize=512")...)
			r.expect(t, test.code, test.want)
			r.inOrder(t, "delete-change-set --change-set-name arn:root")
			r.never(t, "execute-change-set")
		})
	}
}

func TestUpdateOfDevlDoesNotAsk(t *testing.T) {
	t.Parallel()
	answers := append(stack(t, "devl", "CREATE_COMPLETE", false), answer{call: "update-stack", text: stackID}, ends("UPDATE_COMPLETE"))
	r := run(t, answers, nil, "apply-stack", append(root, "LambdaMemorySize=512")...)
	r.expect(t, 0, "update-stack carnation-prod", "UPDATE_COMPLETE")
	r.never(t, "change-set")
}

func TestRoleAndTagsReachEveryOperation(t *testing.T) {
	t.Parallel()
	const role = "--role-arn arn:aws:iam::111122223333:role/cfn"
	const tags = `--tags [{"Key":"team","Value":"a=b"},{"Key":"cost","Value":"7"}]`
	settings := []string{"SERVICE_ROLE_ARN=arn:aws:iam::111122223333:role/cfn", "TAGS=team=a=b  cost=7", "YES=1"}
	find := func(r result, words string) string {
		t.Helper()
		i := slices.IndexFunc(r.calls, func(call string) bool { return strings.Contains(call, words) })
		if i < 0 {
			t.Fatalf("there is no call of %s:\n%s\n%s", words, strings.Join(r.calls, "\n"), r.out)
		}
		return r.calls[i]
	}
	expect := func(call string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(call, want) {
				t.Errorf("call is %s, want %s", call, want)
			}
		}
	}
	created := append([]answer{{call: "describe-stacks", code: 254, text: noStack, times: 1}, {call: "create-stack", text: stackID}, ends("CREATE_COMPLETE")}, stack(t, "devl", "CREATE_COMPLETE", false)...)
	expect(find(run(t, created, settings, "apply-stack", root...), "create-stack"), role, tags)

	updated := append(stack(t, "devl", "CREATE_COMPLETE", false, "tag\tteam\told"), answer{call: "update-stack", text: stackID}, ends("UPDATE_COMPLETE"))
	expect(find(run(t, updated, settings, "apply-stack", root...), "update-stack"), role, tags)

	r := run(t, stack(t, "devl", "CREATE_COMPLETE", false, "tag\tcost\t7", "tag\tteam\ta=b"), settings, "apply-stack", root...)
	r.expect(t, 0, "is up to date")
	r = run(t, stack(t, "devl", "CREATE_COMPLETE", false, "tag\tcost\t7", "tag\tteam\ta=b"), nil, "apply-stack", root...)
	r.expect(t, 0, "is up to date") // an update without tags keeps them

	if call := find(run(t, updated, nil, "apply-stack", append(root, "LambdaMemorySize=512")...), "update-stack"); strings.Contains(call, "--tags") || strings.Contains(call, "--role-arn") {
		t.Errorf("without TAGS and SERVICE_ROLE_ARN the call is %s", call)
	}
	prod := append(slices.Clone(changeSet), append(stack(t, "prod", "CREATE_COMPLETE", true), ends("UPDATE_COMPLETE"))...)
	expect(find(run(t, prod, settings, "apply-stack", root...), "create-change-set"), role, tags)

	again := append([]answer{{call: "delete-stack"}, {call: "create-stack", text: stackID}, ends("DELETE_COMPLETE")}, stack(t, "devl", "ROLLBACK_COMPLETE", false)...)
	expect(find(run(t, again, settings, "apply-stack", root...), "delete-stack"), role)
	stuck := append([]answer{{call: "continue-update-rollback"}, ends("UPDATE_ROLLBACK_COMPLETE"), {call: "update-stack", text: stackID}}, stack(t, "devl", "UPDATE_ROLLBACK_FAILED", false)...)
	expect(find(run(t, stuck, settings, "apply-stack", root...), "continue-update-rollback"), role)

	destroyed := []answer{{call: "describe-stacks", text: stackID + "\tCREATE_COMPLETE\tFalse\tbucket\tcarnation/cft\tkey\tcarnation\tdevl"},
		{call: "describe-stack-events --stack-name " + stackID + " --no-paginate --query StackEvents[0]", text: "old"}, {call: "delete-stack"}, ends("DELETE_COMPLETE")}
	expect(find(run(t, destroyed, append(settings, "STACK_NAME=carnation-devl"), "destroy"), "delete-stack"), role)

	r = run(t, nil, []string{"TAGS=team"}, "apply-stack", root...)
	r.expect(t, 1, "TAGS has team: must be Key=Value")
}

func TestWayIsMadeBeforeAStackIsCreated(t *testing.T) {
	t.Parallel()
	way := []string{"--", "aws", "the-way"}
	created := append([]answer{{call: "the-way"}, {call: "describe-stacks", code: 254, text: noStack, times: 1}, {call: "create-stack", text: stackID}, ends("CREATE_COMPLETE")}, stack(t, "devl", "CREATE_COMPLETE", false)...)
	r := run(t, created, nil, "apply-stack", append(root, way...)...)
	r.expect(t, 0)
	r.inOrder(t, "describe-stacks", "the-way", "create-stack")

	refused := append([]answer{{call: "the-way", code: 3, text: "an event"}}, created[1:]...)
	r = run(t, refused, nil, "apply-stack", append(root, way...)...)
	r.expect(t, 3, "an event")
	r.never(t, "create-stack")

	for _, state := range []string{"ROLLBACK_FAILED", "ROLLBACK_COMPLETE"} {
		again := append([]answer{{call: "the-way"}, {call: "delete-stack"}, {call: "create-stack", text: stackID}, ends("DELETE_COMPLETE")}, stack(t, "devl", state, false)...)
		r = run(t, again, nil, "apply-stack", append(root, way...)...)
		r.expect(t, 0, "it was never complete")
		if state == "ROLLBACK_FAILED" { // what stopped the rollback must go first
			r.inOrder(t, "the-way", "delete-stack", "the-way", "create-stack")
		} else {
			r.inOrder(t, "delete-stack", "the-way", "create-stack")
		}
	}
	updated := append(stack(t, "devl", "CREATE_COMPLETE", false), answer{call: "update-stack", text: stackID}, ends("UPDATE_COMPLETE"))
	r = run(t, updated, nil, "apply-stack", append(append(root, "LambdaMemorySize=512"), way...)...)
	r.expect(t, 0)
	r.never(t, "the-way")
}

func TestErrorOfSeveralLinesIsShownWhole(t *testing.T) {
	t.Parallel()
	const template = "\nAn error occurred (ValidationError) when calling the CreateStack operation: Template error: mapping values are not allowed here\n  in line 3\n    Type: x: y\n          ^"
	answers := []answer{{call: "describe-stacks", code: 254, text: noStack}, {call: "create-stack", code: 254, text: template}}
	run(t, answers, nil, "apply-stack", root...).expect(t, 1, "make: An error occurred (ValidationError) when calling", "in line 3\n    Type: x: y\n          ^\n")
	const denied = "\nAn error occurred (AccessDenied): User is not\nauthorized"
	run(t, []answer{{call: "describe-stacks", code: 254, text: denied}}, nil, "apply-stack", root...).expect(t, 1, "make: stack carnation-prod: An error occurred (AccessDenied): User is not\nauthorized\n")
	run(t, []answer{{call: "describe-stacks", code: 254, text: denied}}, []string{"STACK_NAME=s"}, "destroy").expect(t, 1, "make destroy: stack s: An error occurred (AccessDenied): User is not\nauthorized\n")
}

func TestRefusedDeletionPolicyIsExplained(t *testing.T) {
	t.Parallel()
	for refusal, want := range map[string]string{
		"Template format error: Every DeletionPolicy member must be a string.":                     "make: CloudFormation refuses !If in a DeletionPolicy here.",
		"Template format error: Unrecognized DeletionPolicy RetainExceptOnCreate for resource Key": "make: CloudFormation does not know RetainExceptOnCreate here.",
	} {
		answers := []answer{{call: "describe-stacks", code: 254, text: noStack}, {call: "create-stack", code: 254, text: refusal}}
		run(t, answers, nil, "apply-stack", root...).expect(t, 1, "make: "+refusal, want)
		nested := append([]answer{{call: "describe-stacks", code: 254, text: noStack}, {call: "create-stack", text: stackID}},
			ends("ROLLBACK_COMPLETE", "no\t2026-11-26T09:00:01.000Z\tSQSStack\tCREATE_FAILED\tx\t"+refusal))
		run(t, nested, nil, "apply-stack", root...).expect(t, 1, "SQSStack CREATE_FAILED: "+refusal, want)
	}
	// The command that it prints does what it says.
	dir := t.TempDir()
	for _, name := range []string{"sqs-stack.yaml", "dynamodb-stack.yaml"} {
		content, err := os.ReadFile(project + "/cft/nested-stacks/" + name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		advice := run(t, []answer{{call: "describe-stacks", code: 254, text: noStack}, {call: "create-stack", code: 254, text: "Every DeletionPolicy member must be a string"}}, nil, "apply-stack", root...).out
		_, command, _ := strings.Cut(advice, "make:   sed ")
		command, _, _ = strings.Cut(command, "\n")
		command = "sed " + strings.Replace(command, "cft/nested-stacks/*.yaml", path, 1)
		if out, err := exec.Command("bash", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		changed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(changed, []byte("DeletionPolicy: !If")) || bytes.Count(changed, []byte("DeletionPolicy: Delete\n")) != bytes.Count(content, []byte("DeletionPolicy: !If")) {
			t.Errorf("%s leaves %s as\n%s", command, name, changed)
		}
	}
}

func TestDestroyLiftsTheProtectionOfProdAlone(t *testing.T) {
	t.Parallel()
	answers := func(environment string) []answer {
		return []answer{{call: "describe-stacks", text: stackID + "\tCREATE_COMPLETE\tTrue\tbucket\tcarnation/cft\tkey\tcarnation\t" + environment},
			{call: "--query StackEvents[0]", text: "old"}, {call: "update-termination-protection"}, {call: "delete-stack"}, ends("DELETE_COMPLETE"),
			{call: "describe-table", code: 254}, noQueue}
	}
	settings := []string{"STACK_NAME=carnation-prod"}
	r := onTerminal(t, "n\n", answers("prod"), settings, "destroy")
	r.expect(t, 1, "The table and the queues will be kept, with their events. [y/N]", "nothing was deleted")
	r.never(t, "termination", "delete-stack")
	r = onTerminal(t, "y\n", answers("prod"), settings, "destroy")
	r.expect(t, 0, "DELETE_COMPLETE")
	r.inOrder(t, "update-termination-protection --no-enable-termination-protection --stack-name carnation-prod", "delete-stack")
	r = run(t, answers("prod"), settings, "destroy")
	r.expect(t, 1, "there is no terminal to ask whether to delete stack carnation-prod: set YES=1")
	r.never(t, "termination", "delete-stack")
	r = run(t, answers("devl"), append(settings, "YES=1"), "destroy")
	r.never(t, "termination")
}

func TestDestroyOfAProdThatWasNeverCompleteKeepsWhatHoldsAnEvent(t *testing.T) {
	t.Parallel()
	answers := []answer{{call: "describe-stacks", text: stackID + "\tROLLBACK_FAILED\tFalse\tbucket\tcarnation/cft\tkey\tcarnation\tprod"},
		{call: "--query StackEvents[0]", text: "old"}, {call: "delete-stack"}, ends("DELETE_COMPLETE"), {call: "dynamodb scan", text: "1\tmore"}, noQueue, {call: "describe-table"}}
	r := run(t, answers, []string{"STACK_NAME=carnation-prod", "YES=1"}, "destroy")
	r.expect(t, 0, "table "+tableName+" has rows", "DELETE_COMPLETE", "kept, because this was prod: table "+tableName)
	r.never(t, "delete-table")
}

func TestPrerequisitesOfAnEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		settings []string
		stack    string
		has, not string
	}{
		{nil, "carnation-prerequisites", `{"ParameterKey":"ProjectName","ParameterValue":"carnation"}`, `"Environment"`},
		{[]string{"PROJECT=rose", "ENVIRONMENT=prod"}, "rose-prerequisites-prod", `{"ParameterKey":"Environment","ParameterValue":"prod"}`, "KeyAdministratorRoleArn"},
		{[]string{"KEY_ADMINISTRATOR_ROLE_ARN=arn:aws:iam::111122223333:role/admin"}, "carnation-prerequisites", `{"ParameterKey":"KeyAdministratorRoleArn","ParameterValue":"arn:aws:iam::111122223333:role/admin"}`, `"Environment"`},
	} {
		r := run(t, []answer{{call: "describe-stacks", code: 254, text: noStack}, {call: "create-stack", code: 1, text: "stop"}}, test.settings, "prerequisites")
		last := r.calls[len(r.calls)-1]
		if !strings.Contains(last, "create-stack") || !strings.Contains(last, "--stack-name "+test.stack+" ") || !strings.Contains(last, test.has) || strings.Contains(last, test.not) {
			t.Errorf("with %q the call is %s, want stack %s with %s and without %s", test.settings, last, test.stack, test.has, test.not)
		}
	}
}

func TestDeployTakesTheKeyOfItsEnvironmentFirst(t *testing.T) {
	t.Parallel()
	own := answer{call: "describe-stacks --stack-name carnation-prod ", text: "own-bucket\town-key"}
	prod := answer{call: "describe-stacks --stack-name carnation-prerequisites-prod ", text: "prod-bucket\tprod-key"}
	all := answer{call: "describe-stacks --stack-name carnation-prerequisites ", text: "all-bucket\tall-key"}
	none := answer{call: "describe-stacks", code: 254, text: noStack}
	for _, test := range []struct {
		name     string
		answers  []answer
		settings []string
		want     string
	}{
		{"the stack has a key", []answer{own, prod, all}, nil, "own-bucket own-key"},
		{"the environment has a key", []answer{prod, all, none}, nil, "prod-bucket prod-key"},
		{"the project has a key", []answer{all, none}, nil, "all-bucket all-key"},
		{"a bucket is given", []answer{prod, all, none}, []string{"BUCKET=mine"}, "mine prod-key"},
		{"both are given", nil, []string{"BUCKET=mine", "KMS_KEY_ID=k"}, "mine k"},
	} {
		r := run(t, test.answers, append(test.settings, "STACK_NAME=carnation-prod", "ENVIRONMENT=prod"), "with-prerequisites", "bash", "-c", `echo "$BUCKET $KMS_KEY_ID"`)
		r.expect(t, 0)
		if got := strings.TrimSpace(r.out); got != test.want {
			t.Errorf("%s: BUCKET and KMS_KEY_ID are %s, want %s", test.name, got, test.want)
		}
	}
}

const keyARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func keyPolicy(t *testing.T, settings ...string) string {
	t.Helper()
	r := run(t, nil, settings, "key-policy", keyARN)
	r.expect(t, 0)
	if !json.Valid([]byte(r.out)) {
		t.Fatalf("key-policy prints %s", r.out)
	}
	var policy bytes.Buffer
	if err := json.Compact(&policy, []byte(r.out)); err != nil {
		t.Fatal(err)
	}
	return policy.String()
}

func TestKeyOfOnesOwnIsComparedWithThePolicyThatItNeeds(t *testing.T) {
	t.Parallel()
	whole := keyPolicy(t)
	edit := func(old, new string) string {
		t.Helper()
		edited := strings.Replace(whole, old, new, 1)
		if edited == whole {
			t.Fatalf("the policy has no %s", old)
		}
		return edited
	}
	without := func(sid string) string {
		t.Helper()
		return edit(`"Sid":"`+sid+`","Effect":"Allow"`, `"Sid":"`+sid+`","Effect":"Deny"`)
	}
	for name, test := range map[string]struct {
		policy string
		wants  []string // nothing is missing if there are none
	}{
		"the same policy":                    {whole, nil},
		"for the environment alone":          {keyPolicy(t, "ENVIRONMENT=prod"), nil},
		"for another environment":            {keyPolicy(t, "ENVIRONMENT=devl"), []string{"QueuesUseIt: kms:Decrypt, kms:GenerateDataKey", "AlarmsPublishToTheTopic: kms:Decrypt"}},
		"for another project":                {keyPolicy(t, "PROJECT=rose"), []string{"QueuesUseIt: kms:Decrypt, kms:GenerateDataKey"}},
		"another administrator":              {keyPolicy(t, "KEY_ADMINISTRATOR_ROLE_ARN=arn:aws:iam::111122223333:role/admin"), nil},
		"without a statement of a service":   {without("AlarmsPublishToTheTopic"), []string{"AlarmsPublishToTheTopic: kms:Decrypt, kms:GenerateDataKey, kms:GenerateDataKeyWithoutPlaintext"}},
		"without a statement of the account": {without("QueuesUseIt"), []string{"QueuesUseIt: kms:Decrypt, kms:GenerateDataKey"}},
		"without an action":                  {edit(`"kms:CreateGrant","kms:Decrypt",`, `"kms:Decrypt",`), []string{"TableUsesIt: kms:CreateGrant\n"}},
		"a wildcard for actions":             {edit(`"Action":["kms:Decrypt","kms:GenerateDataKey"]`, `"Action":"kms:*"`), nil},
		"the account by its number":          {edit(`"Sid":"QueuesUseIt","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"}`, `"Sid":"QueuesUseIt","Effect":"Allow","Principal":{"AWS":["444455556666","111122223333"]}`), nil},
		"a condition on the account":         {edit(`"kms:ViaService":"s3.us-east-1.*"`, `"kms:ViaService":"s3.us-east-1.amazonaws.com","kms:CallerAccount":"111122223333"`), nil},
		"a condition that it does not know":  {edit(`"kms:ViaService":"s3.us-east-1.*"`, `"kms:ViaService":"s3.us-east-1.amazonaws.com","aws:SourceIp":"10.0.0.0/8"`), []string{"BucketUsesIt: kms:Decrypt, kms:GenerateDataKey"}},
		"AWS's default policy":               {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`, []string{"StateMachineLogsAreDelivered: kms:Decrypt", "FunctionsCodeIsEncrypted", "LogGroupsAreEncrypted", "AlarmsPublishToTheTopic"}},
		"everything for everybody":           {`{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := []answer{{call: "describe-key", text: "Enabled\t" + keyARN}, {call: "get-key-policy", text: strings.ReplaceAll(test.policy, `\`, `\\`)}}
			settings := []string{"KMS_KEY_ID=1234abcd-12ab-34cd-56ef-1234567890ab"}
			r := run(t, answers, settings, "check-key", "carnation", "prod")
			if test.wants == nil {
				r.expect(t, 0)
				if r.out != "" {
					t.Errorf("output is %s, want nothing", r.out)
				}
				return
			}
			wants := append([]string{"does not allow what project carnation needs in prod:"}, test.wants...)
			r.expect(t, 1, append(wants, "scripts/key-policy prints the policy that it needs", "there is no terminal to ask", "set YES=1")...)
		})
	}
}

func TestDeploymentWithAKeyThatIsNotCheckedOrLacksSomething(t *testing.T) {
	t.Parallel()
	settings := []string{"KMS_KEY_ID=1234abcd-12ab-34cd-56ef-1234567890ab"}
	answers := []answer{{call: "describe-key", text: "Enabled\t" + keyARN}, {call: "get-key-policy", code: 254, text: "\nAn error occurred (AccessDeniedException) when calling the GetKeyPolicy operation"}}
	run(t, answers, settings, "check-key", "carnation", "prod").expect(t, 0, "the policy of KMS key 1234abcd-12ab-34cd-56ef-1234567890ab was not checked: An error occurred (AccessDenied")
	answers[1] = answer{call: "get-key-policy", text: `{"Statement":[]}`}
	run(t, answers, append(settings, "YES=1"), "check-key", "carnation", "prod").expect(t, 0, "does not allow what project carnation needs in prod:")
	answers[0] = answer{call: "describe-key", text: "Disabled\t" + keyARN}
	run(t, answers, settings, "check-key", "carnation", "prod").expect(t, 1, "is Disabled: must be Enabled")
}

// Somebody else may have put a zip under the key, even one of the same size. And two uploads of a checkout can run at the same time.
func TestUploadReplacesWhatIsNotItsZip(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	sums := map[string]string{}
	for _, name := range []string{"generate-data", "insert-data", "plan-shards"} {
		if err := os.WriteFile(filepath.Join(out, name+".zip"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(name))
		sums[name] = base64.StdEncoding.EncodeToString(sum[:])
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(out); err != nil || len(left) != len(sums) {
			t.Errorf("the uploads left %v, %v, want the zips alone", left, err)
		}
	})
	copied := regexp.MustCompile(`s3 cp (` + regexp.QuoteMeta(out) + `/s3-\w+) s3://b/carnation --recursive`)
	var folders sync.Map // that an upload has copied
	const forged = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
	for name, test := range map[string]struct {
		head, put answer
		code      int
		puts      bool
		want      string
	}{
		"absent":              {answer{call: "generate-data", code: 254, text: "An error occurred (404) when calling the HeadObject operation: Not Found"}, answer{text: sums["generate-data"]}, 0, true, "GenerateDataS3Key=carnation/code/go/generate-data-"},
		"the same":            {answer{text: sums["generate-data"]}, answer{}, 0, false, "GenerateDataS3Key=carnation/code/go/generate-data-"},
		"another":             {answer{text: forged}, answer{text: sums["generate-data"]}, 0, true, "has other content: it is replaced"},
		"without a checksum":  {answer{text: "None"}, answer{text: sums["generate-data"]}, 0, true, "has other content: it is replaced"},
		"uploaded in parts":   {answer{text: sums["generate-data"] + "-2"}, answer{text: sums["generate-data"]}, 0, true, "has other content: it is replaced"},
		"no permission":       {answer{code: 254, text: "An error occurred (403) when calling the HeadObject operation: Forbidden"}, answer{}, 1, false, "(403)"},
		"refused":             {answer{text: "None"}, answer{code: 254, text: "An error occurred (AccessDenied) when calling the PutObject operation"}, 1, true, "(AccessDenied)"},
		"changed on its way":  {answer{text: "None"}, answer{text: forged}, 1, true, "has the checksum " + forged + " after the upload: must be " + sums["generate-data"]},
		"bucket without sums": {answer{text: "None"}, answer{text: "None"}, 1, true, "has the checksum None after the upload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.head.call, test.put.call = "head-object --bucket b --key carnation/code/go/generate-data", "put-object --bucket b --key carnation/code/go/generate-data"
			answers := []answer{test.head, test.put, {call: "head-bucket", text: "None"}, {call: "s3 cp"},
				{call: "head-object --bucket b --key carnation/code/go/insert-data", text: sums["insert-data"]}, {call: "head-object --bucket b --key carnation/code/go/plan-shards", text: sums["plan-shards"]}}
			r := run(t, answers, []string{"BUCKET=b", "PREFIX=carnation"}, "upload", out)
			r.expect(t, test.code, test.want)
			if got := r.has("put-object"); got != test.puts {
				t.Errorf("it uploads: %v, want %v", got, test.puts)
			}
			for _, call := range r.calls {
				if strings.Contains(call, "head-object") && !strings.Contains(call, "--checksum-mode ENABLED") || strings.Contains(call, "put-object") && !strings.Contains(call, "--checksum-algorithm SHA256") {
					t.Errorf("the call is %s, want the checksum", call)
				}
			}
			folder := copied.FindStringSubmatch(strings.Join(r.calls, "\n"))
			if folder == nil {
				t.Fatalf("the templates are not copied:\n%s", strings.Join(r.calls, "\n"))
			}
			if _, another := folders.LoadOrStore(folder[1], true); another {
				t.Errorf("two uploads at the same time use the folder %s", folder[1])
			}
		})
	}
}

// fakeBrowsers are programs that a machine has: a browser after apt-get has installed it, or from the start.
func fakeBrowsers(t *testing.T, installed bool, more map[string]string) []string {
	t.Helper()
	dir := t.TempDir()
	programs := map[string]string{
		"make":    `echo "make $*"`,
		"apt-get": `echo "apt-get $*" >&2; case "$*" in *" install "*) echo "exit 0" >"$(dirname "$0")/chromium-headless-shell" ;; esac`,
	}
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		programs[name] = "exit 1"
		if installed {
			programs[name] = "exit 0"
		}
	}
	for name, content := range more {
		programs[name] = content
	}
	for name, content := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+content+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
}

func TestCIInstallsABrowserWhereItCan(t *testing.T) {
	t.Parallel()
	if matches, _ := filepath.Glob("/Applications/*Chrom*.app"); matches != nil {
		t.Skip("this Mac has a browser that a test cannot hide")
	}
	const cannot = ".ci/run: there is no browser, and Debian's Chromium could not be installed: the browser tests are skipped"
	root, user := "echo 0", "echo 1000"
	for name, test := range map[string]struct {
		installed bool
		more      map[string]string
		want      []string
		never     string
	}{
		"there is one":          {true, map[string]string{"id": root}, []string{"make test"}, "apt-get"},
		"root":                  {false, map[string]string{"id": root, "sudo": "exit 1"}, []string{"apt-get -qq update", "make test"}, cannot},
		"sudo":                  {false, map[string]string{"id": user, "sudo": `[ "$1" = -n ] && shift; exec env "$@"`}, []string{"apt-get -qq update", "make test"}, cannot},
		"neither root nor sudo": {false, map[string]string{"id": user, "sudo": "exit 1"}, []string{cannot, "make test"}, "apt-get"},
		"no such package":       {false, map[string]string{"id": root, "apt-get": "exit 100"}, []string{cannot, "make test"}, "apt-get"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := execute(t, nil, fakeBrowsers(t, test.installed, test.more), ".ci/run")
			r.expect(t, 0, test.want...)
			if strings.Contains(r.out, test.never) {
				t.Errorf("output is\n%s\nwant no %q in it", r.out, test.never)
			}
		})
	}
}

func TestBrowserIsTheFirstThatStarts(t *testing.T) {
	t.Parallel()
	if matches, _ := filepath.Glob("/Applications/*Chrom*.app"); matches != nil {
		t.Skip("this Mac has a browser that a test cannot hide")
	}
	run(t, nil, fakeBrowsers(t, false, map[string]string{"google-chrome": "exit 0", "chrome": "exit 0"}), "browser").expect(t, 0, "/google-chrome\n")
	run(t, nil, fakeBrowsers(t, false, nil), "browser").expect(t, 1, "there is neither Chromium nor Chrome on PATH")
}

func TestMakeTestSaysThatItHasNoBrowser(t *testing.T) {
	t.Parallel()
	if matches, _ := filepath.Glob("/Applications/*Chrom*.app"); matches != nil {
		t.Skip("this Mac has a browser that a test cannot hide")
	}
	const skipped = "make test: the browser tests were skipped: there is neither Chromium nor Chrome on PATH\n"
	requirements, err := os.ReadFile(project + "/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, installed := range []bool{false, true} {
		settings := fakeBrowsers(t, installed, map[string]string{"go": "echo go test"})
		settings = append(settings, "CARNATION_TOOLS="+strings.TrimSpace(string(requirements))) // nothing needs to be looked up
		r := execute(t, nil, settings, "make", "--no-print-directory", "--old-file=check", "test")
		r.expect(t, 0, "go test")
		if said := strings.HasSuffix(r.out, skipped); said == installed {
			t.Errorf("with a browser: %t; output is\n%s", installed, r.out)
		}
	}
}
