package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carnation/internal/operate"
)

// asCommand, set in the environment, makes the test binary the carnation command. So the tests run the real command without
// building it.
const asCommand = "CARNATION_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Other programs do a part of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestReadsThroughOtherPrograms(t *testing.T) { t.Log(os.Getenv("CARNATION_PROGRAMS")) }

// result is what the command printed, and its exit code.
type result struct {
	stdout, stderr string
	code           int
}

// carnation runs the command. Its only AWS configuration is the environment given.
func carnation(t *testing.T, environment []string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append([]string{
		asCommand + "=1", "HOME=" + t.TempDir(), "AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_MAX_ATTEMPTS=1",
	}, environment...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func TestWrongArgumentsEndWithCodeTwoAndOneClearLine(t *testing.T) {
	const integer = "must be an integer from 0 to 9007199254740991"
	for _, tc := range []struct{ args, want string }{
		{"deploy", `command is "deploy": must be local, run, status, runs, report, console, dlq, verify, cost or version`},
		{"run now", `run: unexpected argument "now": only flags are allowed; see: carnation run -h`},
		{"run --start 1", "run: flag provided but not defined: -start; see: carnation run -h"},
		{"run --start-seq", "run: flag needs an argument: -start-seq; see: carnation run -h"},
		{"run", "run: --start-seq is missing: " + integer},
		{"run --end-seq 5", "run: --start-seq is missing: " + integer},
		{"run --start-seq 1", "run: --end-seq is missing: must be an integer from 1 to 9007199254740991"},
		{"run --start-seq -2 --end-seq 5", "run: invalid value \"-2\" for flag -start-seq: " + integer + "; see: carnation run -h"},
		{"run --start-seq 9007199254740992 --end-seq 9007199254740993", "run: invalid value \"9007199254740992\" for flag -start-seq: " + integer + "; see: carnation run -h"},
		{"run --start-seq 6 --end-seq 5", "run: --end-seq is 5: must be an integer from 6 to 9007199254740991"},
		{"run --start-seq 1 --end-seq 9007199254740992", "run: invalid value \"9007199254740992\" for flag -end-seq: must be an integer from 0 to 9007199254740991; see: carnation run -h"},
		{"run --until-empty --end-seq 5", "run: --start-seq is missing: " + integer},
		{"run --start-seq 1 --end-seq 5 --failure-rate 1.1", "run: invalid value \"1.1\" for flag -failure-rate: must be a number from 0 to 1; see: carnation run -h"},
		{"run --start-seq 1 --end-seq 5 --failure-rate -0.1", "run: invalid value \"-0.1\" for flag -failure-rate: must be a number from 0 to 1; see: carnation run -h"},
		{"run --start-seq 1 --end-seq 5 --failure-rate NaN", "run: invalid value \"NaN\" for flag -failure-rate: must be a number from 0 to 1; see: carnation run -h"},
		{"run --until-empty --failure-rate +Inf", "run: invalid value \"+Inf\" for flag -failure-rate: must be a number from 0 to 1; see: carnation run -h"},
		{"run --events a.csv --start-seq 1 --end-seq 5", "run: --events and a range are two inputs: must be one of them"},
		{"run --events orders.txt", "run: --format is missing: must be jsonl, json or csv, because the name orders.txt does not say it"},
		{"run --events a.csv --format xml", "run: invalid value \"xml\" for flag -format: must be jsonl, json or csv; see: carnation run -h"},
		{"run --until-empty --format csv", "run: --format is the format of --events, which is missing"},
		{"run --until-empty --skip-bad x", "run: --skip-bad is for bad records of --events, which is missing"},
		{"run --events s3://bucket --format csv", "run: --events is s3://bucket: must be s3://bucket/key"},
		{"run --events s3://bucket/a.csv --skip-bad x", "run: --skip-bad is for a file on this machine: the run itself sends the bad records of an S3 object to the dead-letter queue"},
		{"run --until-empty --name x", "run: --time and --name are for new events: must have --events, or --start-seq and --end-seq"},
		{"run --until-empty --time 7", "run: --time and --name are for new events: must have --events, or --start-seq and --end-seq"},
		{"run --events a.csv --time -1", "run: invalid value \"-1\" for flag -time: must be Unix seconds, an integer from 0 to 9007199254740991; see: carnation run -h"},
		{"run --events a.csv --name a/b", "run: invalid value \"a/b\" for flag -name: must be 1 to 80 of the characters A-Z a-z 0-9 - _; see: carnation run -h"},
		{"run --events a.csv --name " + strings.Repeat("x", 81), "run: invalid value \"" + strings.Repeat("x", 81) + "\" for flag -name: must be 1 to 80 of the characters A-Z a-z 0-9 - _; see: carnation run -h"},
		{"run --until-empty --max-runs 0", "run: --max-runs is 0: must be an integer of at least 1"},
		{"run --until-empty --timeout 0s", "run: --timeout is 0s: must be a duration above 0, such as 90s or 30m"},
		{"run --until-empty --timeout -1m", "run: --timeout is -1m0s: must be a duration above 0, such as 90s or 30m"},
		{"run --until-empty --output yaml", `run: invalid value "yaml" for flag -output: must be text or json; see: carnation run -h`},
		{"status --executions 0", "status: --executions is 0: must be an integer from 1 to 1000"},
		{"status --executions 1001", "status: --executions is 1001: must be an integer from 1 to 1000"},
		{"status --timeout 0s", "status: --timeout is 0s: must be a duration above 0, such as 90s or 30m"},
		{"status --output xml", `status: invalid value "xml" for flag -output: must be text or json; see: carnation status -h`},
		{"status all", `status: unexpected argument "all": only flags are allowed; see: carnation status -h`},
		{"redrive", `command is "redrive": must be local, run, status, runs, report, console, dlq, verify, cost or version`},
		{"dlq redrive --all --timeout 0s", "dlq redrive: --timeout is 0s: must be a duration above 0, such as 90s or 30m"},
		{"dlq redrive --output yaml", `dlq redrive: invalid value "yaml" for flag -output: must be text or json; see: carnation dlq redrive -h`},
		{"dlq purge", `dlq: subcommand is "purge": must be list, show, redrive, drop or export`},
		{"dlq list --sequence 7,12-9", `dlq list: invalid value "7,12-9" for flag -sequence: must be sequence numbers and ranges of them, such as 7,9-12, from 0 to 9007199254740991; see: carnation dlq list -h`},
		{"dlq list --sequence 9007199254740992", `dlq list: invalid value "9007199254740992" for flag -sequence: must be sequence numbers and ranges of them, such as 7,9-12, from 0 to 9007199254740991; see: carnation dlq list -h`},
		{"dlq list --by error,stack", `dlq list: invalid value "error,stack" for flag -by: must be error, run or age; see: carnation dlq list -h`},
		{"dlq list --error ", `dlq list: flag needs an argument: -error; see: carnation dlq list -h`},
		{"dlq list --max 0", `dlq list: invalid value "0" for flag -max: must be an integer from 1 to 120000; see: carnation dlq list -h`},
		{"dlq list --timeout 12h", "dlq list: --timeout is 12h0m0s: must be at most 11h0m0s, because SQS hides a message for 12 hours at most"},
		{"dlq show --all --error A", "dlq show: --all selects every dead letter: leave out --error, --sequence, --execution and --message"},
		{"dlq redrive", "dlq redrive: nothing is selected: use --error, --sequence, --execution, --message or --all"},
		{"dlq redrive --max 5", "dlq redrive: nothing is selected: use --error, --sequence, --execution, --message or --all"},
		{"dlq drop --yes", "dlq drop: nothing is selected: use --error, --sequence, --execution, --message or --all"},
		{"dlq drop --all --file main.go", "dlq drop: main.go exists: must be a new file"},
		{"dlq drop --all", "dlq drop: there is no terminal to ask whether to drop dead letters: use --yes or set YES=1"},
		{"dlq export --file main.go", "dlq export: main.go exists: must be a new file"},
		{"verify --checks insert,x", `verify: invalid value "insert,x" for flag -checks: must be insert, retry, receives, dead-letter, redrive, logs, state-machine-log, actions, alarm, subscription or metrics; see: carnation verify -h`},
		{"verify --timeout 0s", "verify: --timeout is 0s: must be a duration above 0, such as 90s or 30m"},
		{"version --output yaml", `version: invalid value "yaml" for flag -output: must be text or json; see: carnation version -h`},
		{"version now", `version: unexpected argument "now": only flags are allowed; see: carnation version -h`},
		{"runs show-all", `runs: subcommand is "show-all": must be list, show, stop or redrive`},
		{"runs list orders", `runs list: unexpected argument "orders": only flags are allowed; see: carnation runs list -h`},
		{"runs list --status lost", `runs list: invalid value "lost" for flag -status: must be running, succeeded, failed, timed_out, aborted or pending_redrive; see: carnation runs list -h`},
		{"runs list --max 0", `runs list: invalid value "0" for flag -max: must be an integer from 1 to 100000; see: carnation runs list -h`},
		{"runs list --since yesterday", `runs list: invalid value "yesterday" for flag -since: must be a duration such as 90m, 24h or 7d, or a time such as 2026-11-23, "2026-11-23 12:00:00" or 2026-11-23T12:00:00Z; see: carnation runs list -h`},
		{"runs stop", `runs stop: EXECUTION is missing: must be ` + executionIs + `; see: carnation runs stop -h`},
		{"runs stop --yes", `runs stop: EXECUTION is missing: must be ` + executionIs + `; see: carnation runs stop -h`},
		{"runs stop orders --yes others", `runs stop: unexpected argument "others": must be one EXECUTION; see: carnation runs stop -h`},
		{"runs stop orders --now", `runs stop: flag provided but not defined: -now; see: carnation runs stop -h`},
		{"runs stop orders", `runs stop: there is no terminal to ask whether to stop the run: use --yes or set YES=1`},
		{"runs redrive orders", `runs redrive: there is no terminal to ask whether to redrive the run: use --yes or set YES=1`},
		{"runs redrive orders --yes --timeout 0s", `runs redrive: --timeout is 0s: must be a duration above 0, such as 90s or 30m`},
		{"dlq redrive all", `dlq redrive: unexpected argument "all": only flags are allowed; see: carnation dlq redrive -h`},
		{"cost", "cost: --events is missing: must be an integer from 1 to 10000000, or the name of a file"},
		{"cost --events 0", "cost: invalid value \"0\" for flag -events: must be an integer from 1 to 10000000; see: carnation cost -h"},
		{"cost --events -5", "cost: invalid value \"-5\" for flag -events: must be an integer from 1 to 10000000; see: carnation cost -h"},
		{"cost --events 10000001", "cost: invalid value \"10000001\" for flag -events: must be an integer from 1 to 10000000; see: carnation cost -h"},
		{"cost --events 1e3", "cost: --events is \"1e3\": must be an integer from 1 to 10000000, or a file whose name ends in .jsonl, .json or .csv; for another file, set --format"},
		{"cost --events nowhere.csv", "cost: open nowhere.csv: no such file or directory"},
		{"cost --events nowhere.csv --record-size 20", "cost: --record-size is for a number of events, and --events is a file"},
		{"cost --events 5 --record-size 10", "cost: --record-size is 10: must be an integer from 11 to 20480"},
		{"cost --events 5 --record-size 20481", "cost: invalid value \"20481\" for flag -record-size: must be an integer from 1 to 20480; see: carnation cost -h"},
		{"cost --events 5 --format CSV", "cost: --format is for a file, and --events is a number"},
		{"cost --events 5 --retry-every 59s", "cost: --retry-every is 59s: must be at least 1m"},
		{"cost --events 5 --failure-rate NaN", "cost: invalid value \"NaN\" for flag -failure-rate: must be a number from 0 to 1; see: carnation cost -h"},
		{"cost --events 5 --failure-rate -0.1", "cost: invalid value \"-0.1\" for flag -failure-rate: must be a number from 0 to 1; see: carnation cost -h"},
		{"cost --events 5 --mode both", "cost: invalid value \"both\" for flag -mode: must be inline or distributed; see: carnation cost -h"},
		{"cost --events 5 --shard-size 0", "cost: invalid value \"0\" for flag -shard-size: must be an integer from 1 to 1000; see: carnation cost -h"},
		{"cost --events 5 --shard-size 1001", "cost: invalid value \"1001\" for flag -shard-size: must be an integer from 1 to 1000; see: carnation cost -h"},
		{"cost --events 5 --child-type express", "cost: invalid value \"express\" for flag -child-type: must be STANDARD or EXPRESS; see: carnation cost -h"},
		{"cost --events 5 --output yaml", "cost: invalid value \"yaml\" for flag -output: must be text or json; see: carnation cost -h"},
		{"local --port -1", "local: --port is -1: must be an integer from 0 to 65535"},
		{"local --port 65536", "local: --port is 65536: must be an integer from 0 to 65535"},
	} {
		got := carnation(t, nil, strings.Fields(tc.args)...)
		if want := (result{stderr: "carnation: " + tc.want + "\n", code: 2}); got != want {
			t.Errorf("carnation %s = %+v, want %+v", tc.args, got, want)
		}
	}
}

func TestNoCommandShowsTheUsageAndFails(t *testing.T) {
	got := carnation(t, nil)
	if want := (result{stderr: usage + "carnation: command is missing: must be local, run, status, runs, report, console, dlq, verify, cost or version\n", code: 2}); got != want {
		t.Errorf("carnation = %+v, want %+v", got, want)
	}
	got = carnation(t, nil, "dlq")
	if want := (result{stderr: dlqUsage + "carnation: dlq: subcommand is missing: must be list, show, redrive, drop or export\n", code: 2}); got != want {
		t.Errorf("carnation dlq = %+v, want %+v", got, want)
	}
	got = carnation(t, nil, "runs")
	if want := (result{stderr: runsUsage + "carnation: runs: subcommand is missing: must be list, show, stop or redrive\n", code: 2}); got != want {
		t.Errorf("carnation runs = %+v, want %+v", got, want)
	}
}

var dlqFlagNames = []string{"-stack-name", "-error", "-sequence", "-execution", "-message", "-all", "-max", "-timeout", "-output"}

func TestHelpSucceeds(t *testing.T) {
	for _, args := range []string{"-h", "--help", "help"} {
		if got, want := carnation(t, nil, args), (result{stdout: usage}); got != want {
			t.Errorf("carnation %s = %+v, want %+v", args, got, want)
		}
		if got, want := carnation(t, nil, "runs", args), (result{stdout: runsUsage}); got != want {
			t.Errorf("carnation runs %s = %+v, want %+v", args, got, want)
		}
		if got, want := carnation(t, nil, "dlq", args), (result{stdout: dlqUsage}); got != want {
			t.Errorf("carnation dlq %s = %+v, want %+v", args, got, want)
		}
	}
	for _, tc := range []struct {
		command, examples string
		flags             []string
	}{
		{"local", localExamples, []string{"-port", "-python", "-env-file", "-console-port", "-until-eof"}},
		{"console", consoleExamples, []string{"-stack-name", "-port", "-allow-changes"}},
		{"run", runExamples, []string{"-stack-name", "-start-seq", "-end-seq", "-events", "-format", "-skip-bad", "-time", "-name", "-failure-rate", "-until-empty", "-max-runs", "-timeout", "-output"}},
		{"status", statusExamples, []string{"-stack-name", "-executions", "-timeout", "-output"}},
		{"runs list", runsListExamples, []string{"-stack-name", "-status", "-since", "-max", "-summary", "-timeout", "-output"}},
		{"runs show EXECUTION", runsShowExamples, []string{"-stack-name", "-payloads", "-rows", "-timeout", "-output"}},
		{"report EXECUTION", reportExamples, []string{"-stack-name", "-o", "-payloads", "-timeout"}},
		{"runs stop EXECUTION", runsStopExamples, []string{"-stack-name", "-yes", "-timeout", "-output"}},
		{"runs redrive EXECUTION", runsRedriveExamples, []string{"-stack-name", "-yes", "-follow", "-timeout", "-output"}},
		{"dlq list", dlqListExamples, append([]string{"-by"}, dlqFlagNames...)},
		{"dlq show", dlqShowExamples, append([]string{"-edit"}, dlqFlagNames...)},
		{"dlq redrive", dlqRedriveExamples, append([]string{"-dry-run"}, dlqFlagNames...)},
		{"dlq drop", dlqDropExamples, append([]string{"-dry-run", "-yes", "-file"}, dlqFlagNames...)},
		{"dlq export", dlqExportExamples, append([]string{"-dry-run", "-file"}, dlqFlagNames...)},
		{"cost", costExamples, []string{"-events", "-record-size", "-format", "-failure-rate", "-mode", "-shard-size", "-child-type", "-retry-every", "-output"}},
		{"version", versionExamples, []string{"-output"}},
	} {
		for _, flag := range []string{"-h", "--help"} {
			got := carnation(t, nil, append(strings.Fields(strings.TrimSuffix(tc.command, " EXECUTION")), flag)...)
			if got.code != 0 || got.stderr != "" || !strings.HasPrefix(got.stdout, "Usage: carnation "+tc.command+" [flags]\n") || !strings.HasSuffix(got.stdout, tc.examples) {
				t.Errorf("carnation %s %s = %+v, want usage, flags and examples", tc.command, flag, got)
			}
			for _, name := range tc.flags {
				if !strings.Contains(got.stdout, "\n  "+name+" ") && !strings.Contains(got.stdout, "\n  "+name+"\n") {
					t.Errorf("carnation %s %s has no flag %s:\n%s", tc.command, flag, name, got.stdout)
				}
			}
		}
	}
}

// The examples work up to the first call of AWS.
func TestExamplesParse(t *testing.T) {
	for line := range strings.Lines(runExamples + statusExamples + runsListExamples + runsShowExamples + reportExamples + runsStopExamples + runsRedriveExamples + dlqListExamples + dlqShowExamples + dlqRedriveExamples + dlqDropExamples + dlqExportExamples) {
		words, _, _ := strings.Cut(line, "#")
		words, _, _ = strings.Cut(words, "&&")
		words, _, _ = strings.Cut(words, ">")
		args := strings.Fields(words)[1:]
		name := args[0]
		if name == "dlq" || name == "runs" {
			name += " " + args[1]
		}
		got := carnation(t, []string{"YES=1"}, args...)
		if want := "carnation: " + name + ": AWS region is missing: set AWS_REGION, or a region in your profile\n"; got.code != 2 || got.stderr != want {
			t.Errorf("carnation %v = %+v, want code 2 and %s", args, got, want)
		}
	}
}

func TestJSONOutputIsCompleteWithoutAnyRun(t *testing.T) {
	server := cloudFormation("carnation-devl", "CREATE_COMPLETE", "StateMachineArn", "TableName", "RetryQueueUrl", "DeadLetterQueueUrl")
	defer server.Close()
	// The fake has no queues, so counting their messages fails.
	got := carnation(t, []string{"AWS_REGION=eu-central-2", "AWS_ENDPOINT_URL=" + server.URL}, "run", "--until-empty", "--output", "json")
	if want := "{\n  \"runs\": [],\n  \"queues\": null\n}\n"; got.code != 2 || got.stdout != want || !strings.HasPrefix(got.stderr, "carnation: run: count messages of ") {
		t.Errorf("carnation run --output json = %+v, want %s", got, want)
	}
}

func TestMissingOrIncompleteStack(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server *httptest.Server
		want   []string
	}{
		{"missing", cloudFormation("carnation-test", "CREATE_COMPLETE"),
			[]string{"find stack carnation-devl in eu-central-2: ", "Stack with id carnation-devl does not exist"}},
		{"without outputs", cloudFormation("carnation-devl", "ROLLBACK_COMPLETE"),
			[]string{"stack carnation-devl is ROLLBACK_COMPLETE and has no output ", "is it a complete Carnation stack?"}},
		{"without one output", cloudFormation("carnation-devl", "CREATE_COMPLETE", "StateMachineArn", "TableName", "RetryQueueUrl"),
			[]string{"stack carnation-devl is CREATE_COMPLETE and has no output DeadLetterQueueUrl: "}},
	} {
		defer tc.server.Close()
		for _, args := range []string{"status", "dlq list", "dlq redrive --all", "run --start-seq 0 --end-seq 0"} {
			got := carnation(t, []string{"AWS_REGION=eu-central-2", "AWS_ENDPOINT_URL=" + tc.server.URL}, strings.Fields(args)...)
			if got.code != 2 || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
				t.Errorf("%s: carnation %s = %+v, want code 2 and one line", tc.name, args, got)
			}
			for _, want := range tc.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%s: carnation %s: stderr %s, want %s", tc.name, args, got.stderr, want)
				}
			}
		}
	}
}

// cloudFormation is an endpoint that has one stack with these outputs, and nothing else.
func cloudFormation(name, status string, outputs ...string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "DescribeStacks" || r.FormValue("StackName") != name {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, r.FormValue("StackName"))
			return
		}
		var members strings.Builder
		for _, key := range outputs {
			fmt.Fprintf(&members, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", key, key)
		}
		fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>%s</StackName><StackStatus>%s</StackStatus><Outputs>%s</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
			name, status, members.String())
	}))
}

func TestFinishedPrintsARunAndReturnsAnErrorIfItIsIncomplete(t *testing.T) {
	for _, tc := range []struct {
		run           operate.Run
		want, wantErr string
	}{
		{operate.Run{Name: "a", Arn: "arn:a", Status: "SUCCEEDED", Generated: 20, Claimed: 3, Inserted: 23, Seconds: 1.25},
			"a SUCCEEDED in 1.2 s: 20 new and 3 claimed events, 23 inserted, 0 failed\n", "<nil>"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "Carnation.EventsFailed", Cause: "7 of 20", Generated: 20, Inserted: 13, Failed: 7},
			"a FAILED in 0.0 s: 20 new and 0 claimed events, 13 inserted, 7 failed\n", "<nil>"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "Carnation.EventsFailed", Claimed: 7, Failed: 7, Dead: 2},
			"a FAILED in 0.0 s: 0 new and 7 claimed events, 0 inserted, 7 failed, 2 of them for good: in the dead-letter queue\n", "<nil>"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "States.ExceedToleratedFailureThreshold", Generated: 20, Shards: &operate.Shards{Total: 3, Done: 1, Failed: 2}},
			"a FAILED in 0.0 s: 1 of 3 shards done, with 20 new events in all; carnation runs redrive continues with the other shards\n",
			"execution arn:a is FAILED: States.ExceedToleratedFailureThreshold"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "Lambda.TooManyRequestsException", Generated: 20, Shards: &operate.Shards{Total: 3, Done: 3}},
			"a FAILED in 0.0 s: 3 of 3 shards done, with 20 new events in all; carnation runs redrive adds up their results again\n",
			"execution arn:a is FAILED: Lambda.TooManyRequestsException"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "UnaccountedError", Generated: 20, Shards: &operate.Shards{Total: 3, Done: 3}},
			"a FAILED in 0.0 s: 3 of 3 shards done, with 20 new events in all; a redrive would fail again; see docs/operations.md#executions-failed\n",
			"execution arn:a is FAILED: UnaccountedError"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "FAILED", Error: "InvalidInputError", Cause: "end_seq is missing"},
			"a FAILED in 0.0 s: 0 new and 0 claimed events, 0 inserted, 0 failed\n", "execution arn:a is FAILED: InvalidInputError: end_seq is missing"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "TIMED_OUT", Error: "States.Timeout"},
			"a TIMED_OUT in 0.0 s: 0 new and 0 claimed events, 0 inserted, 0 failed\n", "execution arn:a is TIMED_OUT: States.Timeout"},
		{operate.Run{Name: "a", Arn: "arn:a", Status: "ABORTED"},
			"a ABORTED in 0.0 s: 0 new and 0 claimed events, 0 inserted, 0 failed\n", "execution arn:a is ABORTED"},
	} {
		var stdout bytes.Buffer
		r := &runner{stdout: &stdout, progress: newProgress(io.Discard), text: true}
		err := r.finished(tc.run)
		if stdout.String() != tc.want || fmt.Sprint(err) != tc.wantErr {
			t.Errorf("finished(%+v) = %q, %v, want %q, %s", tc.run, stdout.String(), err, tc.want, tc.wantErr)
		}
		if len(r.result.Runs) != 1 || r.result.Runs[0] != tc.run {
			t.Errorf("finished(%+v) kept %+v, want the run", tc.run, r.result.Runs)
		}
	}
}

func TestSummary(t *testing.T) {
	queues := &operate.Queues{Retry: 3, InFlight: 2, DeadLetter: 1}
	for _, tc := range []struct {
		name   string
		text   bool
		result runResult
		want   string
	}{
		{"text", true, runResult{Queues: queues}, "retry queue: 3 waiting, 2 in flight; dead-letter queue: 1\n"},
		{"text, not counted", true, runResult{}, ""},
		{"JSON", false, runResult{Queues: queues}, `{
  "runs": [],
  "queues": {
    "retry_queue": 3,
    "in_flight": 2,
    "dead_letter_queue": 1
  }
}
`},
	} {
		var stdout bytes.Buffer
		r := &runner{stdout: &stdout, text: tc.text, result: tc.result}
		if err := r.printSummary(); stdout.String() != tc.want || err != nil {
			t.Errorf("%s: printSummary() = %q, %v, want %q", tc.name, stdout.String(), err, tc.want)
		}
	}
}

func TestStatusSaysWhenNobodyGetsTheAlarms(t *testing.T) {
	for _, tc := range []struct {
		subscriptions operate.Subscriptions
		want          string
	}{
		{operate.Subscriptions{Confirmed: 1}, ""},
		{operate.Subscriptions{Pending: 1}, "alarms             nobody gets them: the e-mail subscription is not confirmed; "},
	} {
		var out strings.Builder
		if err := printStatus(&out, operate.Status{Stack: "carnation-devl", Subscriptions: tc.subscriptions}); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.Contains(got, "alarms") != (tc.want != "") || !strings.Contains(got, tc.want) {
			t.Errorf("printStatus(%+v) printed %s, want %q", tc.subscriptions, got, tc.want)
		}
	}
}

func TestProgressWithoutATerminalIsALineEveryFewSeconds(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.showRun(operate.Progress{Elapsed: time.Second}) // nothing is known yet
	for done := range 20 {
		p.showRun(operate.Progress{Total: 20, Done: done, Failed: done / 2, Elapsed: time.Duration(done) * time.Second})
	}
	p.clear()
	if got, want := out.String(), "0 of 20 events done, 0 failed so far, 0s\n"; got != want {
		t.Errorf("progress = %q, want one line at once and the next after 5 s: %q", got, want)
	}
}

func TestProgressOnATerminalOverwritesItsLine(t *testing.T) {
	var out bytes.Buffer
	p := &progress{w: &out, terminal: true}
	p.showRun(operate.Progress{Total: 20, Done: 10, Failed: 5, Elapsed: 119 * time.Second})
	p.showRun(operate.Progress{Total: 20, Done: 11, Failed: 5, Elapsed: 120 * time.Second})
	p.clear()
	p.clear() // nothing is left to clear
	const first, second = "10 of 20 events done, 5 failed so far, 1m59s", "11 of 20 events done, 5 failed so far, 2m0s"
	want := "\r" + first + "\r" + second + " \r" + strings.Repeat(" ", len(second)) + "\r"
	if got := out.String(); got != want {
		t.Errorf("progress = %q, want %q", got, want)
	}
}

func TestHangUpEndsACommandUnlessItIsIgnored(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("these tests run under nohup")
	}
	if !slices.Contains(endSignals(), os.Signal(syscall.SIGHUP)) {
		t.Error("SIGHUP does not end a command in an orderly way")
	}
	signal.Ignore(syscall.SIGHUP) // as nohup does
	defer signal.Reset(syscall.SIGHUP)
	if slices.Contains(endSignals(), os.Signal(syscall.SIGHUP)) {
		t.Error("under nohup, SIGHUP ends a command")
	}
}
