package operate

import (
	"context"
	"errors"
	"fmt"

	"carnation/internal/event"
)

// ErrNotEmpty says that Drain stopped while there were still messages in the retry queue.
var ErrNotEmpty = errors.New("the retry queue is not empty")

// Drain starts runs that only retry, until the retry queue is empty. It starts at most maxRuns of them, and then returns
// ErrNotEmpty. If messages are in flight, claimed by a run that died, it waits until they are visible again; if ctx ends
// before that, it returns ErrNotEmpty too.
//
// failed says that the run before has returned events to the retry queue, which SQS may not count yet. Drain calls report while a
// run is running, and finished when it has ended. An error of finished ends Drain.
func (s *Stack) Drain(ctx context.Context, failureRate float64, maxRuns int, failed bool, report func(Progress), finished func(Run) error) error {
	for runs := 0; ; {
		queues, err := s.Queues(ctx)
		if err != nil {
			return err
		}
		if queues.Retry == 0 && !failed {
			if queues.InFlight == 0 {
				return nil
			}
			if sleep(ctx, pollEvery); ctx.Err() != nil {
				return fmt.Errorf("%w: %d in flight: %w", ErrNotEmpty, queues.InFlight, context.Cause(ctx))
			}
			continue
		}
		if runs == maxRuns {
			return fmt.Errorf("%w after %d runs that only retry: %d events waiting, %d in flight", ErrNotEmpty, runs, queues.Retry, queues.InFlight)
		}
		run, err := s.Run(ctx, event.Run{FailureRate: failureRate}, report)
		if err != nil {
			return err
		}
		if err := finished(run); err != nil {
			return err
		}
		failed = run.Failed > run.Dead
		runs++
	}
}
