package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"carnation/internal/operate"
)

const redriveExamples = `  carnation redrive
  carnation redrive --stack-name carnation-prod --timeout 2h
  carnation redrive && carnation run --until-empty   # then retry them
`

// redriveResult is what --output json prints.
type redriveResult struct {
	Moved  int             `json:"moved"`
	Queues *operate.Queues `json:"queues"` // at the end, null if they could not be counted
}

func setupRedrive(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer) error {
	name := stackFlag(flags)
	timeout := flags.Duration("timeout", 30*time.Minute, "longest time to follow the move, which goes on by itself")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return fmt.Errorf("redrive: %w", err)
		}
		ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("--timeout of %s is over", *timeout))
		defer cancel()
		s, err := operate.Open(ctx, *name)
		if err != nil {
			return fmt.Errorf("redrive: %w", err)
		}
		var result redriveResult
		progress := newProgress(stderr)
		start := time.Now()
		result.Moved, err = s.Redrive(ctx, func(now operate.Move) {
			progress.show(fmt.Sprintf("%d of about %d messages moved, %s", now.Moved, now.ToMove, time.Since(start).Round(time.Second)), now.ToMove > 0)
		})
		progress.clear()
		// Whatever became of the move, where the events are is worth saying.
		countCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), countLimit)
		defer cancel()
		if queues, countErr := s.Queues(countCtx); countErr == nil {
			result.Queues = &queues
		} else if err == nil {
			err = countErr
		}
		if output.value == "json" {
			if printErr := printJSON(stdout, result); err == nil {
				err = printErr
			}
		} else {
			fmt.Fprintf(stdout, "%d messages moved to the retry queue\n", result.Moved)
			if q := result.Queues; q != nil {
				if printErr := printQueues(stdout, *q); err == nil {
					err = printErr
				}
			}
		}
		if err != nil {
			return fmt.Errorf("redrive: %w", err)
		}
		return nil
	}
}
