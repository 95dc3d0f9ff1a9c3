package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"carnation/internal/operate"
)

const redriveExamples = `  carnation redrive
  carnation redrive --stack-name carnation-prod --timeout 2h
  carnation redrive && carnation run --until-empty   # then retry the events
`

// redriveResult is what --output json prints.
type redriveResult struct {
	Moved  int             `json:"moved"`
	Queues *operate.Queues `json:"queues"` // at the end; null if they could not be counted
}

func setupRedrive(flags *flag.FlagSet) action {
	name := stackFlag(flags)
	timeout := flags.Duration("timeout", 30*time.Minute, "maximum time to follow the move, which continues by itself")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *name)
		if err != nil {
			return err
		}
		var result redriveResult
		result.Moved, err = redrive(ctx, stack, newProgress(stderr))
		// The user needs to know where the events are, above all if the move failed.
		if queues, countErr := countQueues(ctx, stack); countErr == nil {
			result.Queues = &queues
		} else if err == nil {
			err = countErr
		}
		return errors.Join(err, result.print(stdout, output.value))
	}
}

// redrive moves the messages, shows the progress, and returns the number of messages moved.
func redrive(ctx context.Context, stack *operate.Stack, progress *progress) (int, error) {
	defer progress.clear()
	start := time.Now()
	return stack.Redrive(ctx, func(now operate.Move) {
		elapsed := time.Since(start).Round(time.Second)
		progress.show(fmt.Sprintf("%d of about %d messages moved, %s", now.Moved, now.ToMove, elapsed), now.ToMove > 0)
	})
}

func (r redriveResult) print(w io.Writer, format string) error {
	if format == "json" {
		return printJSON(w, r)
	}
	_, err := fmt.Fprintf(w, "%d messages moved to the retry queue\n", r.Moved)
	if err == nil && r.Queues != nil {
		err = printQueues(w, *r.Queues)
	}
	return err
}
