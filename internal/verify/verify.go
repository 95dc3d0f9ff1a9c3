// Package verify runs the whole story of a deployed stack, and checks it from the outside: rows, queues, histories, log lines,
// metrics and alarms. It uses nothing but AWS's own APIs, so that it works on AWS and on local AWS. It deletes what it made.
package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/operate"
)

// How long each wait may take. SQS counts are up to a minute old, and metrics that are made of log lines come minutes later.
const (
	pollEvery      = 500 * time.Millisecond
	runPatience    = 5 * time.Minute
	queuePatience  = 90 * time.Second
	letterPatience = 20 * time.Second // a run sends a dead letter before it ends
	logPatience    = 2 * time.Minute
	alarmPatience  = time.Minute
	metricPatience = 5 * time.Minute
	cleanPatience  = 4 * time.Minute
)

// sequenceNos is the length of the range of sequence numbers that one verification may use.
const sequenceNos = 40

// check is one row of the report.
type check struct {
	name  string
	claim string
	// run returns what it has seen. An error says what did not hold; errNotChecked says why it could not be checked.
	run func(*verifier, context.Context) (seen string, err error)
}

// checks are in the order in which they run. Metrics come late, so they are the last.
var checks = []check{
	{"insert", "a run inserts its events", (*verifier).insert},
	{"retry", "failed events wait in the retry queue, and the next run inserts them", (*verifier).retry},
	{"receives", "SQS moves a message that was received too often to the dead-letter queue", (*verifier).receives},
	{"dead-letter", "an event that fails every retry becomes a dead letter, and a redrive brings it back", (*verifier).deadLetter},
	{"redrive", "a run that was stopped midway, or whose shard was, goes on where it stopped", (*verifier).redrive},
	{"logs", "the functions log what happened to an event", (*verifier).functionLogs},
	{"state-machine-log", "the state machine logs a run that failed", (*verifier).machineLog},
	{"actions", "every alarm notifies the topic", (*verifier).actions},
	{"alarm", "an alarm that goes off is delivered to the topic", (*verifier).alarm},
	{"subscription", "somebody gets the alarms", (*verifier).subscription},
	{"metrics", "the log lines become metrics", (*verifier).metrics},
}

// Names are the names of all checks, in the order in which they run.
func Names() (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// verifier verifies one stack.
type verifier struct {
	stack      *operate.Stack
	progress   func(string)
	executions *sfn.Client
	table      *dynamodb.Client
	queues     *sqs.Client
	functions  *lambda.Client
	alarms     *cloudwatch.Client
	logs       *cloudwatchlogs.Client
	stacks     *cloudformation.Client

	begun    time.Time
	isLocal  bool     // AWS is on this machine
	injects  bool     // the stack accepts a failure_rate
	first    int64    // of the sequence numbers
	next     int64    // the first one that is not used yet
	started  []string // ARNs of executions
	undo     []*undo  // newest last
	failed   *failedRun
	inserted int // events that are in the table at the end of a check
}

// undo puts something back.
type undo struct {
	what string
	do   func(context.Context) error
}

// failedRun is a run of one event that failed.
type failedRun struct {
	arn        string
	sequenceNo int64
}

// errNotChecked is wrapped by the errors that say why something was not checked.
var errNotChecked = errors.New("not checked")

func notChecked(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errNotChecked, fmt.Sprintf(format, args...))
}

// Run verifies a stack with the checks of these names, or with all of them if there are none. The error says why the stack cannot be
// verified, or that ctx has ended; then the report has what was checked until then. Whatever happens, what was made is deleted again.
// progress gets a line for every step.
func Run(ctx context.Context, stack *operate.Stack, names []string, progress func(string)) (Report, error) {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return Report{}, fmt.Errorf("check is %q: must be one of %s", name, strings.Join(Names(), ", "))
		}
	}
	cfg := stack.Config
	now := time.Now()
	v := &verifier{
		stack: stack, progress: progress, begun: now,
		executions: sfn.NewFromConfig(cfg), table: dynamodb.NewFromConfig(cfg), queues: sqs.NewFromConfig(cfg), functions: lambda.NewFromConfig(cfg),
		alarms: cloudwatch.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg), stacks: cloudformation.NewFromConfig(cfg),
		isLocal: isLocal(aws.ToString(cfg.BaseEndpoint)),
		injects: stack.Parameters["FailureInjection"] != "disabled",
	}
	// Different from those of every other verification, and higher than anybody else's.
	v.first = 9_000_000_000_000_000 + 1000*now.Unix()
	v.next = v.first
	report := v.report()
	if err := v.refuse(ctx); err != nil {
		return report, err
	}
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		if len(names) == 0 || slices.Contains(names, c.name) {
			report.add(v.check(ctx, c))
		}
	}
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanPatience)
	defer cancel()
	report.add(v.check(cleaning, check{"clean-up", "everything is as it was before", (*verifier).cleanUp}))
	report.Seconds = time.Since(v.begun).Seconds()
	if ctx.Err() != nil {
		return report, fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
	}
	return report, nil
}

// check does one check.
func (v *verifier) check(ctx context.Context, c check) Result {
	start := time.Now()
	v.progress(c.name)
	seen, err := c.run(v, ctx)
	result := Result{Check: c.name, Claim: c.claim, Held: Yes, Seen: seen, At: start.UTC(), Seconds: time.Since(start).Seconds()}
	switch {
	case errors.Is(err, errNotChecked):
		result.Held, result.Seen = NotChecked, strings.TrimPrefix(err.Error(), errNotChecked.Error()+": ")
	case ctx.Err() != nil:
		result.Held, result.Seen = NotChecked, "stopped before the end"
	case err != nil:
		result.Held, result.Seen = No, err.Error()
	}
	return result
}

// refuse returns why the stack cannot be verified without a danger to somebody's events.
func (v *verifier) refuse(ctx context.Context) error {
	if env := v.stack.Parameters["Environment"]; env != "devl" && env != "test" {
		return fmt.Errorf("stack %s has the Environment %q: must be devl or test, because verify makes events, and stops a function for some seconds", v.stack.Name, env)
	}
	if !strings.HasSuffix(v.stack.State, "_COMPLETE") {
		return fmt.Errorf("stack %s is %s: it must be complete", v.stack.Name, v.stack.State)
	}
	queues, err := v.stack.Queues(ctx)
	if err != nil {
		return err
	}
	if queues != (operate.Queues{}) {
		return fmt.Errorf("the queues hold events (retry queue: %d waiting, %d in flight; dead-letter queue: %d): they must be empty, because verify would use up their retries",
			queues.Retry, queues.InFlight, queues.DeadLetter)
	}
	running, err := v.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{
		StateMachineArn: aws.String(v.stack.StateMachineArn), StatusFilter: sfntypes.ExecutionStatusRunning, MaxResults: 1,
	})
	if err != nil {
		return fmt.Errorf("list executions: %w", err)
	}
	if len(running.Executions) > 0 {
		return fmt.Errorf("execution %s is running: wait until it has ended, because it could claim the events of verify", aws.ToString(running.Executions[0].Name))
	}
	function := v.function("InsertData")
	concurrency, err := v.functions.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: aws.String(function)})
	if err != nil {
		return fmt.Errorf("get the reserved concurrency of %s: %w", function, err)
	}
	if n := concurrency.ReservedConcurrentExecutions; n != nil && *n == 0 {
		return fmt.Errorf("the reserved concurrency of %[1]s is 0, so it cannot run. If an earlier verify was killed, run: aws lambda delete-function-concurrency --function-name %[1]s", function)
	}
	rows, err := v.rows(ctx, v.first, v.first+sequenceNos)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return fmt.Errorf("the table has rows with sequence numbers from %d to %d, which verify would use: try again in a second", v.first, v.first+sequenceNos-1)
	}
	return nil
}

// isLocal tells whether an endpoint is on this machine.
func isLocal(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if endpoint == "" || err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// function is the name of a function, by the first part of the name of its output.
func (v *verifier) function(output string) string {
	arn := v.stack.Outputs[output+"FunctionArn"]
	return arn[strings.LastIndex(arn, ":")+1:]
}

// take reserves sequence numbers.
func (v *verifier) take(n int64) (start int64) {
	start = v.next
	v.next += n
	if v.next > v.first+sequenceNos {
		panic("verify: sequenceNos is too small for the checks")
	}
	return start
}

// until asks until it is done, or for as long as patience. done also returns what it sees, for the error.
func (v *verifier) until(ctx context.Context, patience time.Duration, what string, done func(context.Context) (bool, string, error)) error {
	begun := time.Now()
	for {
		ok, seen, err := done(ctx)
		if ok || err != nil {
			return err
		}
		waited := time.Since(begun)
		if waited >= patience {
			return fmt.Errorf("%s: not within %s: %s", what, patience, seen)
		}
		v.progress(fmt.Sprintf("waiting for %s, %s", what, waited.Round(time.Second)))
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// sleep waits, but no longer than ctx lasts.
func sleep(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(duration):
		return nil
	}
}

// later adds what is to be put back. The function that it returns puts it back now, once.
func (v *verifier) later(what string, do func(context.Context) error) (now func(context.Context) error) {
	u := &undo{what, do}
	v.undo = append(v.undo, u)
	return func(ctx context.Context) error {
		if err := u.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", u.what, err)
		}
		v.undo = slices.DeleteFunc(v.undo, func(other *undo) bool { return other == u })
		return nil
	}
}

// report is the head of the report.
func (v *verifier) report() Report {
	r := Report{
		Stack: v.stack.Name, Region: v.stack.Config.Region, Mode: "inline", Endpoint: "AWS", Started: v.begun.UTC(),
		Templates: path.Base(v.stack.Parameters["TemplatesFolder"]), FirstSequenceNo: v.first, Checks: []Result{},
	}
	if v.stack.Distributed {
		r.Mode = "distributed"
	}
	if v.isLocal {
		r.Endpoint = "local AWS"
	}
	return r
}
