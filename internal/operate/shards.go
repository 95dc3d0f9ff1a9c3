package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// shardFailed is the error of a distributed run in which a shard failed.
const shardFailed = "States.ExceedToleratedFailureThreshold"

// unaccounted is the error of plan-shards if the results of the shards do not account for every event.
const unaccounted = "UnaccountedError"

// Shards is the progress of the shards of a distributed run. Step Functions stops the other shards as soon as one fails, and
// Failed counts those too. A batch of your own events is a shard, which Total counts once Step Functions has read it.
type Shards struct {
	Total   int `json:"total"`
	Done    int `json:"done"`
	Failed  int `json:"failed"`
	Records int `json:"records,omitempty"` // your own events that Step Functions has read so far
}

func (s Shards) String() string {
	text := fmt.Sprintf("%d of %d shards done", s.Done, s.Total)
	if s.Records > 0 {
		text += fmt.Sprintf(", %d records read", s.Records)
	}
	return text
}

// RecordLabels are the labels of the Map states of your own events. A label is a part of the ARN of each Map Run.
var RecordLabels = []string{"Events", "JsonLines", "JsonArray", "Csv"}

// ofRecords tells whether a Map Run is one of your own events.
func ofRecords(mapRun string) bool {
	return slices.ContainsFunc(RecordLabels, func(label string) bool { return strings.Contains(mapRun, "/"+label+":") })
}

// countShards counts the shards of a distributed run. It reads the plan into h if h does not have it yet.
func (s *Stack) countShards(ctx context.Context, h *history) (*Shards, error) {
	if h.plan == nil {
		answer, err := s.readFirstAnswer(ctx, h.arn)
		if err != nil {
			return nil, err
		}
		if answer.Plan == nil {
			return nil, fmt.Errorf("the history of %s has a Map Run but no plan", h.arn)
		}
		h.plan = answer.Plan
	}
	shards := &Shards{Total: h.plan.Shards()}
	for _, arn := range h.mapRuns {
		out, err := s.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: aws.String(arn)})
		if err != nil {
			return nil, fmt.Errorf("count shards: %w", err)
		}
		// An item of a batch is a record, so the batches are the executions.
		counts := out.ExecutionCounts
		if ofRecords(arn) {
			shards.Total += int(counts.Total)
			shards.Records += int(out.ItemCounts.Total)
		}
		shards.Done += int(counts.Succeeded)
		shards.Failed += int(counts.Failed + counts.TimedOut + counts.Aborted)
	}
	return shards, nil
}

// outcome is what plan-shards answers at the end of a run.
type outcome struct {
	Inserted     *int
	Failed, Dead int
}

// readOutcome sets the number of events of a distributed run whose shards have all ended. The function that adds them up is the last one
// that answers in such a run.
func (s *Stack) readOutcome(ctx context.Context, run *Run) error {
	history, err := s.executions.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(run.Arn), ReverseOrder: true, MaxResults: answerWithin})
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	var answer outcome
	at := slices.IndexFunc(history.Events, func(e types.HistoryEvent) bool { return e.Type == types.HistoryEventTypeTaskSucceeded })
	if at >= 0 {
		if err := decodeAnswer(history.Events[at], &answer); err != nil {
			return err
		}
	}
	if answer.Inserted == nil {
		return fmt.Errorf("the history of %s has no outcome", run.Arn)
	}
	run.Inserted, run.Failed, run.Dead = *answer.Inserted, answer.Failed, answer.Dead
	run.Claimed = run.Inserted + run.Failed - run.Generated
	return nil
}

// explainFailure adds to the cause of a run which shard failed, and why.
func (s *Stack) explainFailure(ctx context.Context, run *Run, mapRuns []string) error {
	for _, mapRun := range mapRuns {
		list, err := s.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{
			MapRunArn: aws.String(mapRun), StatusFilter: types.ExecutionStatusFailed, MaxResults: 1,
		})
		if err != nil {
			run.Cause += fmt.Sprintf("; its shards cannot be listed: %v", err) // Express children never can
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
