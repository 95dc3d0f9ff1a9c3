package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"carnation/internal/event"
	"carnation/internal/operate"
)

const runExamples = `  carnation run --start-seq 1 --end-seq 61
  carnation run --start-seq 1 --end-seq 61 --failure-rate 0.5
  carnation run --start-seq 0 --end-seq 0     # only retry what is in the queue
  carnation run --until-empty --output json   # the same until the queue is empty
`

func setupRun(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer) error {
	name := stackFlag(flags)
	var start, end sequenceNo
	var rate share
	flags.Var(&start, "start-seq", "`first` sequence number of the range")
	flags.Var(&end, "end-seq", "`end` of the range: the first sequence number behind it")
	flags.Var(&rate, "failure-rate", "`share` of the inserts that fail on purpose, 0 to 1")
	untilEmpty := flags.Bool("until-empty", false, "then retry, in further runs, until the retry queue is empty")
	maxRuns := flags.Int("max-runs", 100, "most retry-only runs of --until-empty")
	timeout := flags.Duration("timeout", 24*time.Hour, "longest time to follow, all runs together")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		ranged := start.set || end.set
		if ranged || !*untilEmpty {
			if err := checkRange(start, end); err != nil {
				return fmt.Errorf("run: %w", err)
			}
		}
		if *maxRuns < 1 {
			return fmt.Errorf("run: --max-runs is %d: allowed is an integer from 1", *maxRuns)
		}
		if err := checkTimeout(*timeout); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		input := event.Run{StartSeq: start.n, EndSeq: end.n, FailureRate: float64(rate)}
		ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("--timeout of %s is over", *timeout))
		defer cancel()
		s, err := operate.Open(ctx, *name)
		if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		r := &runner{stack: s, stdout: stdout, progress: newProgress(stderr), text: output.value == "text"}
		err = r.run(ctx, input, ranged, *untilEmpty, *maxRuns)
		return errors.Join(err, r.summary())
	}
}

// sequenceNo is the flag of a sequence number.
type sequenceNo struct {
	n   int64
	set bool
}

func (s *sequenceNo) String() string { return "" }

func (s *sequenceNo) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > event.MaxSequenceNo {
		return fmt.Errorf("allowed is an integer from 0 to %d", int64(event.MaxSequenceNo))
	}
	s.n, s.set = n, true
	return nil
}

// share is the flag of a number from 0 to 1.
type share float64

func (s *share) String() string { return "" }

func (s *share) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return errors.New("allowed is a number from 0 to 1")
	}
	*s = share(n)
	return nil
}

func checkRange(start, end sequenceNo) error {
	const allowed = "allowed is an integer from %d to %d"
	switch {
	case !start.set:
		return fmt.Errorf("--start-seq is missing: "+allowed, 0, int64(event.MaxSequenceNo))
	case !end.set:
		return fmt.Errorf("--end-seq is missing: "+allowed, start.n, int64(event.MaxSequenceNo))
	case end.n < start.n:
		return fmt.Errorf("--end-seq is %d: "+allowed, end.n, start.n, int64(event.MaxSequenceNo))
	}
	return nil
}

// countLimit is how long counting the messages at the end may take.
const countLimit = 10 * time.Second

// runner runs executions, tells of each, and keeps them for the summary.
type runner struct {
	stack    *operate.Stack
	stdout   io.Writer
	progress *progress
	text     bool
	result   runResult
}

// runResult is what --output json prints.
type runResult struct {
	Runs   []operate.Run   `json:"runs"`
	Queues *operate.Queues `json:"queues"` // at the end
}

func (r *runner) run(ctx context.Context, input event.Run, ranged, untilEmpty bool, maxRuns int) error {
	defer r.progress.clear()
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
		if errors.Is(err, operate.ErrLeft) {
			fmt.Fprintf(r.progress.w, "carnation: run: %v\n", err)
		} else if err != nil {
			return fmt.Errorf("run: %w", err)
		}
		failed = err != nil
	}
	// The time may be up, and where the events are is still worth saying.
	countCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countLimit)
	defer cancel()
	after, err := r.stack.Queues(countCtx)
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
func (r *runner) tell(run operate.Run) error {
	r.progress.clear()
	r.result.Runs = append(r.result.Runs, run)
	switch counted := run.Succeeded() || run.EventsFailed() || run.Shards == nil; {
	case r.text && !counted:
		fmt.Fprintf(r.stdout, "%s %s in %.1f s: %d of %d shards done, of %d new events; aws stepfunctions redrive-execution goes on with the others\n",
			run.Name, run.Status, run.Seconds, run.Shards.Done, run.Shards.Total, run.Generated)
	case r.text:
		fmt.Fprintf(r.stdout, "%s %s in %.1f s: %d new and %d claimed events, %d inserted, %d failed\n",
			run.Name, run.Status, run.Seconds, run.Generated, run.Claimed, run.Inserted, run.Failed)
	}
	if run.Succeeded() || run.EventsFailed() {
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

// summary prints where the events are, or all as JSON.
func (r *runner) summary() error {
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

func printQueues(w io.Writer, q operate.Queues) error {
	_, err := fmt.Fprintf(w, "retry queue: %d waiting, %d in flight; dead-letter queue: %d\n", q.Retry, q.InFlight, q.DeadLetter)
	return err
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// progress shows how far something is: in place on a terminal, a line every few seconds elsewhere.
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

func (p *progress) report(now operate.Progress) {
	if now.Shards != nil {
		p.show(fmt.Sprintf("%d of %d shards done, %s", now.Shards.Done, now.Shards.Total, now.Elapsed.Round(time.Second)), true)
		return
	}
	p.show(fmt.Sprintf("%d of %d events done, %d failed so far, %s", now.Done, now.Total, now.Failed, now.Elapsed.Round(time.Second)), now.Total > 0)
}

// show shows a line. One that says nothing yet is for a terminal only.
func (p *progress) show(line string, telling bool) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.shown-len(line))))
		p.shown = len(line)
	} else if telling && time.Since(p.last) >= plainEvery {
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
