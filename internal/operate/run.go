package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
)

const (
	// pollEvery is the time between two looks at a running execution. Step Functions throttles at a few calls a second.
	pollEvery = 500 * time.Millisecond
	// countShardsEvery is the time between two counts of the shards. Step Functions throttles DescribeMapRun at one call a second.
	countShardsEvery = 3 * time.Second
	// eventsFailed is the error of a run whose failed events are in the retry queue, or in the dead-letter queue.
	eventsFailed = "Carnation.EventsFailed"
)

// Progress of a run. A distributed run counts its shards, and not its events.
type Progress struct {
	Total   int // 0 until the events of the run are known
	Done    int // inserted or failed
	Failed  int
	Elapsed time.Duration
	Shards  *Shards // nil in the inline mode, and before the first shard
}

// Run is a run that has ended.
type Run struct {
	Name      string  `json:"name"`
	Arn       string  `json:"arn"`
	Status    string  `json:"status"`
	Generated int     `json:"generated"`
	Claimed   int     `json:"claimed"`
	Inserted  int     `json:"inserted"`
	Failed    int     `json:"failed"`           // with those that are dead
	Dead      int     `json:"dead"`             // in the dead-letter queue: no retry can help, or none is left
	Shards    *Shards `json:"shards,omitempty"` // of a distributed run, which counts events only if all of its shards ended
	Error     string  `json:"error,omitempty"`
	Cause     string  `json:"cause,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// Succeeded reports whether all events of the run are in the table.
func (r Run) Succeeded() bool { return r.Status == string(types.ExecutionStatusSucceeded) }

// EventsFailed reports whether the run worked as designed, and some events failed: they are in the retry queue, or in the dead-letter
// queue.
func (r Run) EventsFailed() bool { return r.Error == eventsFailed }

// Unaccounted reports whether all shards of the run succeeded, and their results do not account for its events.
func (r Run) Unaccounted() bool { return r.Error == unaccounted }

// Run starts an execution and follows it to its end, as Follow does.
func (s *Stack) Run(ctx context.Context, input event.Run, report func(Progress)) (Run, error) {
	arn, _, err := s.Start(ctx, event.Input{Run: input}, "")
	if err != nil {
		return Run{}, err
	}
	return s.Follow(ctx, arn, report)
}

// Follow follows an execution to its end. It calls report about twice a second. If ctx ends, the execution continues, and the error
// names it.
func (s *Stack) Follow(ctx context.Context, arn string, report func(Progress)) (Run, error) {
	f := &follower{stack: s, history: history{arn: arn}, started: time.Now()}
	for {
		execution, err := f.look(ctx)
		if ctx.Err() != nil {
			return Run{Arn: f.history.arn}, fmt.Errorf("stopped following %s, which continues: %w", f.history.arn, context.Cause(ctx))
		}
		if err != nil {
			return Run{Arn: f.history.arn}, fmt.Errorf("follow %s: %w", f.history.arn, err)
		}
		report(f.progress())
		if execution.Status != types.ExecutionStatusRunning {
			return f.end(ctx, execution)
		}
		sleep(ctx, pollEvery)
	}
}

// follower follows one execution.
type follower struct {
	stack         *Stack
	history       history
	started       time.Time
	shards        *Shards
	shardsCounted time.Time
}

// look reads what has changed since the last look.
func (f *follower) look(ctx context.Context) (*sfn.DescribeExecutionOutput, error) {
	// The execution comes first. If it has ended, the history that is read afterwards is complete.
	execution, err := f.stack.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(f.history.arn)})
	if err != nil {
		return nil, err
	}
	if err := f.history.read(ctx, f.stack.executions); err != nil {
		return nil, err
	}
	due := execution.Status != types.ExecutionStatusRunning || time.Since(f.shardsCounted) > countShardsEvery
	if len(f.history.mapRuns) > 0 && due {
		f.shards, err = f.stack.countShards(ctx, &f.history)
		f.shardsCounted = time.Now()
	}
	return execution, err
}

func (f *follower) progress() Progress {
	return Progress{Total: f.history.total, Done: f.history.done, Failed: f.history.failed, Elapsed: time.Since(f.started), Shards: f.shards}
}

// end is the run, once its execution has ended.
func (f *follower) end(ctx context.Context, execution *sfn.DescribeExecutionOutput) (Run, error) {
	run := Run{
		Name: aws.ToString(execution.Name), Arn: f.history.arn, Status: string(execution.Status), Shards: f.shards,
		Error: aws.ToString(execution.Error), Cause: aws.ToString(execution.Cause),
		Seconds: aws.ToTime(execution.StopDate).Sub(aws.ToTime(execution.StartDate)).Seconds(),
	}
	if run.Shards == nil {
		// In a run that was stopped, an iteration may have failed its event but not ended.
		run.Inserted, run.Failed = max(0, f.history.done-f.history.failed), f.history.failed
		run.Dead = f.history.dead
		answer, err := f.stack.readFirstAnswer(ctx, run.Arn)
		run.Generated, run.Claimed = answer.Generated, answer.Claimed
		return run, err
	}
	run.Generated = int(f.history.plan.EndSeq-f.history.plan.StartSeq) + run.Shards.Records
	var err error
	if run.Succeeded() || run.EventsFailed() {
		err = f.stack.readOutcome(ctx, &run)
	} else if run.Error == shardFailed {
		err = f.stack.explainFailure(ctx, &run, f.history.mapRuns)
	}
	return run, err
}

// sleep waits, but no longer than ctx lasts.
func sleep(ctx context.Context, duration time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(duration):
	}
}
