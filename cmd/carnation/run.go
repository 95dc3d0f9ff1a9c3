package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"carnation/internal/event"
	"carnation/internal/stack"
)

const runExamples = `  carnation run --start-seq 1 --end-seq 61
  carnation run --start-seq 1 --end-seq 61 --failure-rate 0.5
  carnation run --start-seq 0 --end-seq 0     # only retry what is in the queue
  carnation run --until-empty --output json   # the same until the queue is empty
`

func setupRun(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer) error {
	name := stackFlag(flags)
	start := flags.Int64("start-seq", -1, "`first` sequence number of the range")
	end := flags.Int64("end-seq", -1, "`end` of the range: the first sequence number behind it")
	rate := flags.Float64("failure-rate", 0, "`share` of the inserts that fail on purpose, 0 to 1")
	untilEmpty := flags.Bool("until-empty", false, "then retry, in further runs, until the retry queue is empty")
	maxRuns := flags.Int("max-runs", 20, "most retry-only runs of --until-empty")
	timeout := flags.Duration("timeout", 30*time.Minute, "longest time to follow, all runs together")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		input := stack.Input{StartSeq: *start, EndSeq: *end, FailureRate: *rate}
		ranged := *start != -1 || *end != -1
		if err := checkRun(input, ranged || !*untilEmpty, *maxRuns, *timeout); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("--timeout of %s is over", *timeout))
		defer cancel()
		s, err := stack.Open(ctx, *name)
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		r := &runner{stack: s, stdout: stdout, progress: newProgress(stderr), text: output.value == "text"}
		err = r.run(ctx, input, ranged, *untilEmpty, *maxRuns)
		return errors.Join(err, r.summary())
	}
}

func checkRun(input stack.Input, needsRange bool, maxRuns int, timeout time.Duration) error {
	if needsRange {
		const allowed = "allowed is an integer from %d to %d"
		if input.StartSeq < 0 || input.StartSeq > event.MaxSequenceNo {
			return fmt.Errorf("--start-seq is %s: "+allowed, orMissing(input.StartSeq), 0, int64(event.MaxSequenceNo))
		}
		if input.EndSeq < input.StartSeq || input.EndSeq > event.MaxSequenceNo {
			return fmt.Errorf("--end-seq is %s: "+allowed, orMissing(input.EndSeq), input.StartSeq, int64(event.MaxSequenceNo))
		}
	}
	if !(input.FailureRate >= 0 && input.FailureRate <= 1) {
		return fmt.Errorf("--failure-rate is %v: allowed is a number from 0 to 1", input.FailureRate)
	}
	if maxRuns < 1 {
		return fmt.Errorf("--max-runs is %d: allowed is an integer from 1", maxRuns)
	}
	if timeout <= 0 {
		return fmt.Errorf("--timeout is %s: allowed is a duration above 0, like 90s or 30m", timeout)
	}
	return nil
}

func orMissing(n int64) string {
	if n == -1 {
		return "missing"
	}
	return fmt.Sprint(n)
}

// runner runs executions, tells of each, and keeps them for the summary.
type runner struct {
	stack    *stack.Stack
	stdout   io.Writer
	progress *progress
	text     bool
	result   runResult
}

// runResult is what --output json prints.
type runResult struct {
	Runs   []stack.Run   `json:"runs"`
	Queues *stack.Queues `json:"queues"` // at the end
}

func (r *runner) run(ctx context.Context, input stack.Input, ranged, untilEmpty bool, maxRuns int) error {
	before, err := r.stack.Queues(ctx)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	var failed bool
	if ranged {
		run, err := r.stack.Run(ctx, input, r.progress.report)
		if err == nil {
			err = r.tell(run)
		}
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		failed = run.EventsFailed()
	}
	if untilEmpty {
		err := r.stack.Drain(ctx, input.FailureRate, maxRuns, failed, r.progress.report, r.tell)
		if errors.Is(err, stack.ErrLeft) {
			fmt.Fprintf(r.progress.w, "carnation: run: %v\n", err)
		} else if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		failed = err != nil
	}
	after, err := r.stack.Queues(ctx)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	r.result.Queues = &after
	if untilEmpty && after.DeadLetter > before.DeadLetter {
		fmt.Fprintf(r.progress.w, "carnation: run: %d events failed for good and are in the dead-letter queue\n", after.DeadLetter-before.DeadLetter)
		failed = true
	}
	if failed {
		return errFailed
	}
	return nil
}

// tell prints a run that ended. A run that ended in any other way than with its events inserted or returned is an error.
func (r *runner) tell(run stack.Run) error {
	r.progress.clear()
	r.result.Runs = append(r.result.Runs, run)
	if r.text {
		fmt.Fprintf(r.stdout, "%s %s in %.1f s: %d new and %d claimed events, %d inserted, %d failed\n",
			run.Name, run.Status, run.Seconds, run.Generated, run.Claimed, run.Inserted, run.Failed)
	}
	if run.Succeeded() || run.EventsFailed() {
		return nil
	}
	return fmt.Errorf("execution %s is %s: %s: %s", run.Arn, run.Status, run.Error, run.Cause)
}

// summary prints where the events are, or all as JSON.
func (r *runner) summary() error {
	if !r.text {
		if r.result.Runs == nil {
			r.result.Runs = []stack.Run{}
		}
		return printJSON(r.stdout, r.result)
	}
	if q := r.result.Queues; q != nil {
		_, err := fmt.Fprintf(r.stdout, "retry queue: %d waiting, %d in flight; dead-letter queue: %d\n", q.Retry, q.InFlight, q.DeadLetter)
		return err
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// progress shows how far a run is: in place on a terminal, a line every few seconds elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	last     time.Time
	shown    int // characters on the terminal's line
}

// plainEvery is how often a line is written where it cannot be overwritten.
const plainEvery = 5 * time.Second

func newProgress(w io.Writer) *progress {
	file, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

func (p *progress) report(now stack.Progress) {
	line := fmt.Sprintf("%d of %d events done, %d failed so far, %s", now.Done, now.Total, now.Failed, now.Elapsed.Round(time.Second))
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.shown-len(line))))
		p.shown = len(line)
	} else if now.Total > 0 && time.Since(p.last) >= plainEvery {
		fmt.Fprintln(p.w, line)
		p.last = time.Now()
	}
}

func (p *progress) clear() {
	if p.shown > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.shown))
		p.shown = 0
	}
}
