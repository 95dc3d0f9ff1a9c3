package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"carnation/internal/operate"
)

// changeFlags are the flags of a command that changes a run.
type changeFlags struct {
	stack   *string
	yes     *bool
	timeout *time.Duration
	output  *oneOf
}

func (f *changeFlags) define(flags *flag.FlagSet, timeout time.Duration, what string) {
	f.stack = stackFlag(flags)
	f.yes = flags.Bool("yes", false, "do not ask; YES=1 in the environment does the same")
	f.timeout = flags.Duration("timeout", timeout, what)
	f.output = outputFlag(flags)
}

// refuse prints why a run cannot be changed, which is an error of its own.
func refuse(err error, stderr io.Writer) error {
	var refused *operate.RefusedError
	if errors.As(err, &refused) {
		fmt.Fprintf(stderr, "carnation: runs: %v\n", refused)
		return errFailed
	}
	return err
}

func (f *changeFlags) agreed() bool { return *f.yes || os.Getenv("YES") == "1" }

// check checks the flags. It refuses to change a run without anybody to ask.
func (f *changeFlags) check(verb string) error {
	if !f.agreed() && !term.IsTerminal(int(os.Stdin.Fd())) {
		return fmt.Errorf("there is no terminal to ask whether to %s the run: use --yes or set YES=1", verb)
	}
	return checkTimeout(*f.timeout)
}

// agree says what will happen, which plan finds out, and asks whether it should. The question waits for as long as it takes.
func (f *changeFlags) agree(ctx context.Context, plan func() (operate.RunChange, error), verb, past string, stderr io.Writer) error {
	if f.agreed() {
		return nil
	}
	change, err := plan()
	if err != nil {
		return err
	}
	printWhat(stderr, change)
	agreed, err := ask(ctx, os.Stdin, stderr, fmt.Sprintf("Do you want to %s run %s of stack %s?", verb, change.Name, *f.stack))
	if err == nil && !agreed {
		fmt.Fprintf(stderr, "carnation: runs: nothing was %s\n", past)
		err = errFailed
	}
	return err
}

func printWhat(w io.Writer, change operate.RunChange) {
	for _, sentence := range change.What {
		fmt.Fprintf(w, "- %s\n", sentence)
	}
}

const runsStopExamples = `  carnation runs stop orders-2026-11-23
  carnation runs stop orders-2026-11-23 --yes --output json
`

func setupRunsStop(flags *flag.FlagSet) action {
	var f changeFlags
	f.define(flags, 5*time.Minute, "maximum time to take")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check("stop"); err != nil {
			return err
		}
		stack, arn, err := f.find(ctx, flags.Arg(0))
		if err == nil {
			err = f.agree(ctx, func() (operate.RunChange, error) { return stack.PlanStop(ctx, arn) }, "stop", "stopped", stderr)
		}
		if err != nil {
			return refuse(err, stderr)
		}
		ctx, cancel := withTimeout(ctx, *f.timeout)
		defer cancel()
		change, err := stack.StopRun(ctx, arn)
		if err != nil {
			return refuse(err, stderr)
		}
		if f.output.value == "json" {
			return printJSON(stdout, change)
		}
		_, err = fmt.Fprintf(stdout, "%s %s\n", change.Name, change.Status)
		printWhat(stdout, change)
		return err
	}
}

// find opens the stack and finds the run.
func (f *changeFlags) find(ctx context.Context, execution string) (*operate.Stack, string, error) {
	ctx, cancel := withTimeout(ctx, *f.timeout)
	defer cancel()
	stack, err := operate.Open(ctx, *f.stack)
	if err != nil {
		return nil, "", err
	}
	arn, err := stack.FindRun(ctx, execution)
	return stack, arn, err
}

const runsRedriveExamples = `  carnation runs redrive orders-2026-11-23
  carnation runs redrive orders-2026-11-23 --yes --follow=false
`

// redriveResult is what carnation runs redrive --output json prints.
type redriveResult struct {
	Redrive operate.RunChange `json:"redrive"`
	Run     *operate.Run      `json:"run,omitempty"`    // once it has ended; missing with --follow=false
	Queues  *operate.Queues   `json:"queues,omitempty"` // then
}

func setupRunsRedrive(flags *flag.FlagSet) action {
	var f changeFlags
	f.define(flags, 24*time.Hour, "maximum time to follow the run, which continues by itself")
	follow := flags.Bool("follow", true, "follow the run to its end; --follow=false only starts the redrive")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check("redrive"); err != nil {
			return err
		}
		stack, arn, err := f.find(ctx, flags.Arg(0))
		if err == nil {
			err = f.agree(ctx, func() (operate.RunChange, error) { return stack.PlanRedrive(ctx, arn) }, "redrive", "redriven", stderr)
		}
		if err != nil {
			return refuse(err, stderr)
		}
		ctx, cancel := withTimeout(ctx, *f.timeout)
		defer cancel()
		var result redriveResult
		if result.Redrive, err = stack.RedriveRun(ctx, arn); err != nil {
			return refuse(err, stderr)
		}
		r := &runner{stack: stack, stdout: stdout, progress: newProgress(stderr), text: f.output.value == "text"}
		if r.text {
			fmt.Fprintf(stdout, "%s %s\n", result.Redrive.Name, result.Redrive.Status)
			printWhat(stdout, result.Redrive)
		}
		if *follow {
			err = r.followRedrive(ctx, arn, &result)
		}
		if !r.text {
			err = errors.Join(err, printJSON(stdout, result))
		}
		return err
	}
}

// followRedrive follows a run that goes on to its end.
func (r *runner) followRedrive(ctx context.Context, arn string, result *redriveResult) error {
	defer r.progress.clear()
	run, err := r.stack.Follow(ctx, arn, r.progress.showRun)
	if err != nil {
		return err
	}
	result.Run = &run
	err = r.finished(run)
	if queues, countErr := countQueues(ctx, r.stack); countErr == nil {
		result.Queues = &queues
		if r.text {
			err = errors.Join(err, printQueues(r.stdout, queues))
		}
	} else {
		err = errors.Join(err, countErr)
	}
	if err == nil && run.EventsFailed() {
		err = errFailed
	}
	return err
}
