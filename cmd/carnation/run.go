package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"carnation/internal/event"
	"carnation/internal/operate"
)

const runExamples = `  carnation run --start-seq 1 --end-seq 61
  carnation run --start-seq 1 --end-seq 61 --failure-rate 0.5
  carnation run --events orders.csv
  carnation run --events orders.jsonl --time 1795416800 --name orders-2026-11-23
  carnation run --start-seq 0 --end-seq 0     # retry the failed events once
  carnation run --until-empty --output json   # retry until the retry queue is empty
`

// runFlags are the flags of carnation run, other than the stack and the output.
type runFlags struct {
	start, end  sequenceNo
	events      eventsFlags
	time        unixTime
	name        executionName
	failureRate share
	untilEmpty  bool
	maxRuns     int
	timeout     time.Duration
}

func (f *runFlags) define(flags *flag.FlagSet) {
	flags.Var(&f.start, "start-seq", "`first` sequence number of the range")
	flags.Var(&f.end, "end-seq", "`end` of the range: the first sequence number after it")
	f.events.define(flags)
	flags.Var(&f.time, "time", "`time` of all new events, in Unix seconds, so that the same events are the same rows; by default, when the run starts")
	flags.Var(&f.name, "name", "`name` of the run: the same name and events start nothing twice")
	flags.Var(&f.failureRate, "failure-rate", "`share` of the inserts that fail on purpose, from 0 to 1")
	flags.BoolVar(&f.untilEmpty, "until-empty", false, "afterwards start runs that only retry, until the retry queue is empty")
	flags.IntVar(&f.maxRuns, "max-runs", 100, "maximum number of runs that --until-empty starts")
	flags.DurationVar(&f.timeout, "timeout", 24*time.Hour, "maximum time to follow all runs together; a run continues by itself")
}

// hasRange reports whether a range is given. Only --events and --until-empty work without one.
func (f *runFlags) hasRange() bool { return f.start.set || f.end.set }

func (f *runFlags) hasEvents() bool { return f.events.file != "" }

func (f *runFlags) check() error {
	if err := f.events.check(); err != nil {
		return err
	}
	switch {
	case f.hasRange() && f.hasEvents():
		return errors.New("--events and a range are two inputs: must be one of them")
	case !f.hasEvents() && !f.hasRange() && f.untilEmpty && (f.time.seconds != nil || f.name != ""):
		return errors.New("--time and --name are for new events: must have --events, or --start-seq and --end-seq")
	}
	if f.hasRange() || !f.untilEmpty && !f.hasEvents() {
		switch {
		case !f.start.set:
			return fmt.Errorf("--start-seq is missing: %s", mustBeSequenceNo(0))
		case !f.end.set:
			return fmt.Errorf("--end-seq is missing: %s", mustBeSequenceNo(f.start.n))
		case f.end.n < f.start.n:
			return fmt.Errorf("--end-seq is %d: %s", f.end.n, mustBeSequenceNo(f.start.n))
		}
	}
	if f.maxRuns < 1 {
		return fmt.Errorf("--max-runs is %d: must be an integer of at least 1", f.maxRuns)
	}
	return checkTimeout(f.timeout)
}

func setupRun(flags *flag.FlagSet) action {
	var f runFlags
	name := stackFlag(flags)
	f.define(flags)
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check(); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *name)
		if err != nil {
			return err
		}
		r := &runner{stack: stack, stdin: os.Stdin, stdout: stdout, progress: newProgress(stderr), text: output.value == "text"}
		failed, err := r.run(ctx, &f)
		if err == nil && failed {
			err = errFailed
		}
		return errors.Join(err, r.printSummary())
	}
}

// runner starts runs, prints each, and keeps them for the summary.
type runner struct {
	stack    *operate.Stack
	stdin    io.Reader
	stdout   io.Writer
	progress *progress
	text     bool
	result   runResult
}

// runResult is what --output json prints.
type runResult struct {
	Events *ownEvents      `json:"events,omitempty"`
	Runs   []operate.Run   `json:"runs"`
	Queues *operate.Queues `json:"queues"` // at the end; null if they could not be counted
}

// run starts all the runs that the flags ask for. It reports whether events are left in a queue because they failed.
func (r *runner) run(ctx context.Context, f *runFlags) (failed bool, err error) {
	defer r.progress.clear()
	before, err := r.stack.Queues(ctx)
	if err != nil {
		return false, err
	}
	returned := false // to the retry queue
	input, ok, err := r.input(ctx, f)
	if err != nil {
		return false, err
	}
	if ok {
		run, err := r.first(ctx, input, string(f.name))
		if err != nil {
			return false, err
		}
		failed, returned = run.EventsFailed(), run.Failed > run.Dead
	}
	if f.untilEmpty {
		err := r.stack.Drain(ctx, float64(f.failureRate), f.maxRuns, returned, r.progress.showRun, r.finished)
		if errors.Is(err, operate.ErrNotEmpty) {
			r.warn(err.Error())
		} else if err != nil {
			return false, err
		}
		failed = err != nil
	}
	after, err := countQueues(ctx, r.stack)
	if err != nil {
		return false, err
	}
	r.result.Queues = &after
	if dead := after.DeadLetter - before.DeadLetter; f.untilEmpty && dead > 0 {
		r.warn(fmt.Sprintf("%d events failed for good and are in the dead-letter queue", dead))
		failed = true
	}
	return failed, nil
}

// input is the input of the first run, if there is one.
func (r *runner) input(ctx context.Context, f *runFlags) (input event.Input, ok bool, err error) {
	switch {
	case f.hasEvents():
		reader := &eventsReader{flags: &f.events, stack: r.stack, progress: r.progress, stdin: r.stdin}
		var events ownEvents
		if input, events, err = reader.input(ctx); err != nil {
			return input, false, err
		}
		r.result.Events = &events
		if r.text {
			fmt.Fprintln(r.stdout, events)
		}
		ok = events.Ignored == ""
	case f.hasRange():
		input.StartSeq, input.EndSeq, ok = f.start.n, f.end.n, true
	}
	input.FailureRate, input.Time = float64(f.failureRate), f.time.seconds
	return input, ok, nil
}

// first starts the first run, and follows it. If there is a run with this name and input, it follows that one.
func (r *runner) first(ctx context.Context, input event.Input, name string) (operate.Run, error) {
	arn, again, err := r.stack.Start(ctx, input, name)
	if err != nil {
		return operate.Run{}, err
	}
	if again {
		r.warn(fmt.Sprintf("execution %s with this input was started before, so nothing was started: this is what became of it", name))
	}
	run, err := r.stack.Follow(ctx, arn, r.progress.showRun)
	if err == nil {
		err = r.finished(run)
	}
	return run, err
}

func (r *runner) warn(message string) {
	fmt.Fprintf(r.progress.w, "carnation: run: %s\n", message)
}

// finished prints a run that has ended. The error says why a run ended before it had inserted or returned all of its events.
func (r *runner) finished(run operate.Run) error {
	r.progress.clear()
	r.result.Runs = append(r.result.Runs, run)
	complete := run.Succeeded() || run.EventsFailed()
	if r.text {
		fmt.Fprintf(r.stdout, "%s %s in %.1f s: ", run.Name, run.Status, run.Seconds)
		if complete || run.Shards == nil {
			fmt.Fprintf(r.stdout, "%d new and %d claimed events, %d inserted, %d failed", run.Generated, run.Claimed, run.Inserted, run.Failed)
			if run.Dead > 0 {
				fmt.Fprintf(r.stdout, ", %d of them for good: in the dead-letter queue", run.Dead)
			}
			fmt.Fprintln(r.stdout)
		} else {
			fmt.Fprintf(r.stdout, "%d of %d shards done, with %d new events in all; %s\n", run.Shards.Done, run.Shards.Total, run.Generated, whatNext(run))
		}
	}
	if complete {
		return nil
	}
	message := fmt.Sprintf("execution %s is %s", run.Arn, run.Status)
	for _, detail := range []string{run.Error, run.Cause} {
		if detail != "" {
			message += ": " + detail
		}
	}
	return errors.New(message)
}

// whatNext says how to go on with a distributed run that ended before its outcome was known.
func whatNext(run operate.Run) string {
	switch {
	case run.Unaccounted():
		return "a redrive would fail again; see docs/operations.md#executions-failed"
	case run.Shards.Done == run.Shards.Total:
		return "carnation runs redrive adds up their results again"
	default:
		return "carnation runs redrive continues with the other shards"
	}
}

// printSummary prints where the events are now, or the whole result as JSON.
func (r *runner) printSummary() error {
	if !r.text {
		if r.result.Runs == nil {
			r.result.Runs = []operate.Run{}
		}
		return printJSON(r.stdout, r.result)
	}
	if q := r.result.Queues; q != nil {
		return printQueues(r.stdout, *q)
	}
	return nil
}

// withTimeout ends ctx when --timeout is over, with an error that says so.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("--timeout of %s is over", timeout))
}

// countQueues counts the messages of both queues at the end of a command, even if its --timeout is over by then.
func countQueues(ctx context.Context, stack *operate.Stack) (operate.Queues, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return stack.Queues(ctx)
}
