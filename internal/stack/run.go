package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

const (
	// pollEvery is how often a running execution is looked at: Step Functions throttles at a few calls a second.
	pollEvery = 500 * time.Millisecond
	// eventsFailed is the error of a run whose failed events are in the retry queue.
	eventsFailed = "Carnation.EventsFailed"
)

// Names of states that the progress of a run is read from.
const (
	ProcessEvents    = "Process Events"
	EventFailed      = "Event Failed"
	InvocationFailed = "Invocation Failed"
)

// Input of a run. The range is half open.
type Input struct {
	StartSeq    int64   `json:"start_seq"`
	EndSeq      int64   `json:"end_seq"`
	FailureRate float64 `json:"failure_rate,omitempty"`
}

// Progress of a run. Total is 0 until the run's events are known.
type Progress struct {
	Total, Done, Failed int
	Elapsed             time.Duration
}

// Run is how a run ended.
type Run struct {
	Name      string  `json:"name"`
	Arn       string  `json:"arn"`
	Status    string  `json:"status"`
	Generated int     `json:"generated"`
	Claimed   int     `json:"claimed"`
	Inserted  int     `json:"inserted"`
	Failed    int     `json:"failed"`
	Error     string  `json:"error,omitempty"`
	Cause     string  `json:"cause,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// Succeeded tells whether all events of the run are in the table.
func (r Run) Succeeded() bool { return r.Status == string(types.ExecutionStatusSucceeded) }

// EventsFailed tells whether the run ended as it should with events that failed: they are in the retry queue.
func (r Run) EventsFailed() bool { return r.Error == eventsFailed }

// Run starts an execution and follows it to its end. report is called about once a second. When ctx ends, the
// execution goes on, and its name is in the error.
func (s *Stack) Run(ctx context.Context, input Input, report func(Progress)) (Run, error) {
	var run Run
	data, err := json.Marshal(input)
	if err != nil {
		return run, fmt.Errorf("start execution: %w", err)
	}
	started, err := s.executions.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: aws.String(s.StateMachineArn), Input: aws.String(string(data))})
	if err != nil {
		return run, fmt.Errorf("start execution: %w", err)
	}
	run.Arn = aws.ToString(started.ExecutionArn)
	counter := &historyCounter{arn: run.Arn}
	for start := time.Now(); ; {
		// Described first: the history that is read afterwards is then complete when the execution is.
		out, err := s.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(run.Arn)})
		if err == nil {
			err = counter.read(ctx, s.executions)
		}
		if ctx.Err() != nil {
			return run, fmt.Errorf("stopped following %s, which goes on: %w", run.Arn, context.Cause(ctx))
		}
		if err != nil {
			return run, fmt.Errorf("follow %s: %w", run.Arn, err)
		}
		report(Progress{counter.total, counter.done, counter.failed, time.Since(start)})
		if out.Status == types.ExecutionStatusRunning {
			select {
			case <-ctx.Done():
			case <-time.After(pollEvery):
			}
			continue
		}
		run.Name, run.Status = aws.ToString(out.Name), string(out.Status)
		run.Error, run.Cause = aws.ToString(out.Error), aws.ToString(out.Cause)
		// A run that was stopped may have failed events whose iteration did not end.
		run.Inserted, run.Failed = max(0, counter.done-counter.failed), counter.failed
		run.Seconds = aws.ToTime(out.StopDate).Sub(aws.ToTime(out.StartDate)).Seconds()
		run.Generated, run.Claimed, err = s.generated(ctx, run.Arn)
		return run, err
	}
}

// historyCounter counts what an execution has done so far, reading each history event once.
type historyCounter struct {
	arn                 string
	seen                int64 // id of the newest event that is counted
	total, done, failed int
}

// read counts the events since the last read. It pages from the newest back, since a history can only be read from
// either end.
func (c *historyCounter) read(ctx context.Context, client *sfn.Client) error {
	newest, oldest := c.seen, int64(math.MaxInt64)
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(c.arn), ReverseOrder: true, MaxResults: 1000, IncludeExecutionData: aws.Bool(false),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for _, e := range page.Events {
			if e.Id <= c.seen {
				c.seen = newest
				return nil
			}
			if e.Id < oldest { // new events may have shifted old ones onto the next page
				newest, oldest = max(newest, e.Id), e.Id
				c.count(e)
			}
		}
	}
	c.seen = newest
	return nil
}

func (c *historyCounter) count(e types.HistoryEvent) {
	switch e.Type {
	case types.HistoryEventTypeMapStateStarted:
		// The first Map state has all events of the run, the second one at most as many.
		c.total = max(c.total, int(e.MapStateStartedEventDetails.Length))
	case types.HistoryEventTypeMapIterationSucceeded:
		if aws.ToString(e.MapIterationSucceededEventDetails.Name) == ProcessEvents {
			c.done++
		}
	case types.HistoryEventTypePassStateEntered:
		if name := aws.ToString(e.StateEnteredEventDetails.Name); name == EventFailed || name == InvocationFailed {
			c.failed++
		}
	}
}

// generated reads from an execution's history how many events generate-data answered, new and claimed.
func (s *Stack) generated(ctx context.Context, arn string) (generated, claimed int, err error) {
	out, err := s.executions.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 25})
	if err != nil {
		return 0, 0, fmt.Errorf("read history: %w", err)
	}
	for _, e := range out.Events {
		if e.Type != types.HistoryEventTypeTaskSucceeded {
			continue
		}
		var output struct {
			Payload struct{ Generated, Claimed int }
		}
		if err := json.Unmarshal([]byte(aws.ToString(e.TaskSucceededEventDetails.Output)), &output); err != nil {
			return 0, 0, fmt.Errorf("read what generate-data answered: %w", err)
		}
		return output.Payload.Generated, output.Payload.Claimed, nil
	}
	return 0, 0, nil // the run ended before
}

// ErrLeft says that events are left in the retry queue after the most runs that were allowed.
var ErrLeft = errors.New("the retry queue is not empty")

// Drain starts retry-only runs until the retry queue is empty, at most maxRuns of them: then the error is ErrLeft.
// failed says that the run before put events back, which SQS may not count yet.
// Where claims of a dead run are in flight, it waits for them to come back. report and each are told of every run, while
// it goes on and when it ended; an error of each ends Drain.
func (s *Stack) Drain(ctx context.Context, failureRate float64, maxRuns int, failed bool, report func(Progress), each func(Run) error) error {
	for runs := 0; ; {
		queues, err := s.Queues(ctx)
		if err != nil {
			return err
		}
		switch {
		case queues.Retry > 0 || failed:
			if runs == maxRuns {
				return fmt.Errorf("%w after %d retry-only runs: %d events waiting, %d in flight", ErrLeft, runs, queues.Retry, queues.InFlight)
			}
			run, err := s.Run(ctx, Input{FailureRate: failureRate}, report)
			if err != nil {
				return err
			}
			if err := each(run); err != nil {
				return err
			}
			failed = run.EventsFailed()
			runs++
		case queues.InFlight == 0:
			return nil
		default:
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w: %d in flight: %w", ErrLeft, queues.InFlight, context.Cause(ctx))
			case <-time.After(pollEvery):
			}
		}
	}
}
