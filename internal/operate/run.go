package operate

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

	"carnation/internal/event"
	"carnation/internal/function/shard"
)

const (
	// pollEvery is how often a running execution is looked at: Step Functions throttles at a few calls a second.
	pollEvery = 500 * time.Millisecond
	// pollShardsEvery is how often the shards of a distributed run are counted: once a second, in the long run, is throttled.
	pollShardsEvery = 3 * time.Second
	// eventsFailed is the error of a run whose failed events are in the retry queue.
	eventsFailed = "Carnation.EventsFailed"
	// shardFailed is the error of a distributed run that a shard has failed.
	shardFailed = "States.ExceedToleratedFailureThreshold"
)

// Names of states that the progress of a run is read from.
const (
	ProcessEvents    = "Process Events"
	EventFailed      = "Event Failed"
	InvocationFailed = "Invocation Failed"
)

// Progress of a run. Total is 0 until the run's events are known. A distributed run counts its shards, and knows its events
// at the end only.
type Progress struct {
	Total, Done, Failed int
	Elapsed             time.Duration
	Shards              *Shards
}

// Shards is how far the shards of a distributed run are. Of those that failed, the most have only been stopped.
type Shards struct {
	Total  int `json:"total"`
	Done   int `json:"done"`
	Failed int `json:"failed"`
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
	Shards    *Shards `json:"shards,omitempty"` // of a distributed run, which counts its events only if all have ended
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
func (s *Stack) Run(ctx context.Context, input event.Run, report func(Progress)) (Run, error) {
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
	var counted time.Time // when the shards were
	for start := time.Now(); ; {
		// Described first: the history that is read afterwards is then complete when the execution is.
		out, err := s.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(run.Arn)})
		if err == nil {
			err = counter.read(ctx, s.executions)
		}
		if err == nil && len(counter.mapRuns) > 0 && (out.Status != types.ExecutionStatusRunning || time.Since(counted) > pollShardsEvery) {
			run.Shards, err = s.countShards(ctx, counter)
			counted = time.Now()
		}
		if ctx.Err() != nil {
			return run, fmt.Errorf("stopped following %s, which goes on: %w", run.Arn, context.Cause(ctx))
		}
		if err != nil {
			return run, fmt.Errorf("follow %s: %w", run.Arn, err)
		}
		report(Progress{counter.total, counter.done, counter.failed, time.Since(start), run.Shards})
		if out.Status == types.ExecutionStatusRunning {
			select {
			case <-ctx.Done():
			case <-time.After(pollEvery):
			}
			continue
		}
		run.Name, run.Status = aws.ToString(out.Name), string(out.Status)
		run.Error, run.Cause = aws.ToString(out.Error), aws.ToString(out.Cause)
		run.Seconds = aws.ToTime(out.StopDate).Sub(aws.ToTime(out.StartDate)).Seconds()
		if run.Shards != nil {
			return run, s.finish(ctx, &run, counter)
		}
		// A run that was stopped may have failed events whose iteration did not end.
		run.Inserted, run.Failed = max(0, counter.done-counter.failed), counter.failed
		answer, err := s.firstAnswer(ctx, run.Arn)
		run.Generated, run.Claimed = answer.Generated, answer.Claimed
		return run, err
	}
}

// historyCounter counts what an execution has done so far, reading each history event once.
type historyCounter struct {
	arn                 string
	seen                int64 // id of the newest event that is counted
	total, done, failed int
	mapRuns             []string    // ARNs, of a distributed run
	plan                *shard.Plan // of a distributed run, once it is known
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
	case types.HistoryEventTypeMapRunStarted:
		c.mapRuns = append(c.mapRuns, aws.ToString(e.MapRunStartedEventDetails.MapRunArn))
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

// answer is what a run's first function answered: generate-data, or plan-shards.
type answer struct {
	Generated, Claimed int
	Plan               *shard.Plan
}

// firstAnswer reads from an execution's history what its first function answered. It is empty if the run ended before.
func (s *Stack) firstAnswer(ctx context.Context, arn string) (answer, error) {
	var output struct{ Payload answer }
	_, err := s.findAnswer(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 25}, &output)
	return output.Payload, err
}

// findAnswer reads the first answer of a function on one page of a history, and tells whether there is one.
func (s *Stack) findAnswer(ctx context.Context, page *sfn.GetExecutionHistoryInput, output any) (bool, error) {
	out, err := s.executions.GetExecutionHistory(ctx, page)
	if err != nil {
		return false, fmt.Errorf("read history: %w", err)
	}
	for _, e := range out.Events {
		if e.Type != types.HistoryEventTypeTaskSucceeded {
			continue
		}
		if err := json.Unmarshal([]byte(aws.ToString(e.TaskSucceededEventDetails.Output)), output); err != nil {
			return false, fmt.Errorf("read what a function answered: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// countShards counts the shards of a distributed run.
func (s *Stack) countShards(ctx context.Context, c *historyCounter) (*Shards, error) {
	if c.plan == nil {
		first, err := s.firstAnswer(ctx, c.arn)
		if err != nil {
			return nil, err
		}
		if first.Plan == nil {
			return nil, fmt.Errorf("the history of %s has a Map Run and no plan", c.arn)
		}
		c.plan = first.Plan
	}
	shards := &Shards{Total: c.plan.Shards()}
	for _, arn := range c.mapRuns {
		out, err := s.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: aws.String(arn)})
		if err != nil {
			return nil, fmt.Errorf("count shards: %w", err)
		}
		shards.Done += int(out.ItemCounts.Succeeded)
		shards.Failed += int(out.ItemCounts.Failed + out.ItemCounts.TimedOut + out.ItemCounts.Aborted)
	}
	return shards, nil
}

// finish counts the events of a distributed run that has ended, or says which shard has failed it.
func (s *Stack) finish(ctx context.Context, run *Run, c *historyCounter) error {
	run.Generated = int(c.plan.EndSeq - c.plan.StartSeq)
	if run.Succeeded() || run.EventsFailed() {
		var output struct{ Payload shard.Outcome }
		found, err := s.findAnswer(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(run.Arn), ReverseOrder: true, MaxResults: 25}, &output)
		if err == nil && !found {
			err = fmt.Errorf("the history of %s has no outcome", run.Arn)
		}
		run.Inserted, run.Failed = int(output.Payload.Inserted), int(output.Payload.Failed)
		run.Claimed = run.Inserted + run.Failed - run.Generated
		return err
	}
	if run.Error != shardFailed {
		return nil
	}
	for _, mapRun := range c.mapRuns {
		list, err := s.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{
			MapRunArn: aws.String(mapRun), StatusFilter: types.ExecutionStatusFailed, MaxResults: 1,
		})
		if err != nil {
			run.Cause += fmt.Sprintf("; its shards cannot be listed: %v", err) // those of the type EXPRESS never can
			continue
		}
		if len(list.Executions) == 0 {
			continue
		}
		out, err := s.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: list.Executions[0].ExecutionArn})
		if err != nil {
			return fmt.Errorf("describe the shard that failed: %w", err)
		}
		run.Cause += fmt.Sprintf("; shard %s failed: %s: %s", aws.ToString(out.Name), aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	return nil
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
			run, err := s.Run(ctx, event.Run{FailureRate: failureRate}, report)
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
