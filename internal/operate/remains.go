package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
)

// Names of states, as in the state machines' files.
const (
	GenerateData = "Generate Data"
	PlanShards   = "Plan Shards"
	ReturnFailed = "Return Failed Events"
)

// remains is what a run has not done yet, as its history says it.
type remains struct {
	distributed bool
	known       bool          // the first function has answered, so that the events of the run are known
	answered    time.Time     // when
	state       string        // that was entered last, other than the states in a Map
	visibility  time.Duration // how long a claim hides an event

	// Of an inline run.
	items    []event.Item
	last     map[itemKey]string // the state in which the iteration of an item ended
	ended    map[int]bool       // iterations of Process Events that have a result
	returned map[int]bool       // iterations of Return Failed Events that have one

	// Of a distributed run.
	plan    event.Plan
	records int  // of the input, which come after the shards
	source  bool // so do those of a source
	mapRuns []string
	unread  bool // Step Functions has not read all of the source, as far as it says
}

// itemKey identifies an item of a run: a run can claim two messages of the same event.
type itemKey struct {
	sequenceNo     int64
	random, handle string
}

func keyOf(i event.Item) itemKey {
	return itemKey{i.Event.SequenceNo, i.Event.RandomValue, i.ReceiptHandle}
}

// remaining reads what a run has done and what it has not.
func (s *Stack) remaining(ctx context.Context, execution *sfn.DescribeExecutionOutput) (RunChange, *remains, error) {
	c := RunChange{Arn: aws.ToString(execution.ExecutionArn), Name: aws.ToString(execution.Name), Status: string(execution.Status), What: []string{}}
	r := &remains{distributed: s.Distributed, last: map[itemKey]string{}, ended: map[int]bool{}, returned: map[int]bool{}}
	var err error
	if r.visibility, err = s.visibilityTimeout(ctx); err != nil {
		return c, r, err
	}
	if err := r.read(ctx, s.executions, c.Arn); err != nil {
		return c, r, fmt.Errorf("look at run %s: %w", c.Name, err)
	}
	c.State = r.state
	if !r.known {
		return c, r, nil
	}
	if r.distributed {
		err := s.remainingShards(ctx, &c, r, execution.StopDate)
		return c, r, err
	}
	c.Events = len(r.items)
	for i, settled := range r.settled() {
		switch {
		case settled:
			c.Done++
		case r.items[i].ReceiptHandle == "":
			c.New++
		default:
			c.Claimed++
		}
	}
	if c.Claimed > 0 {
		at := r.answered.Add(r.visibility)
		c.Returns = &at
	}
	return c, r, nil
}

// visibilityTimeout is how long a claimed event is invisible.
func (s *Stack) visibilityTimeout(ctx context.Context) (time.Duration, error) {
	seconds, err := s.countMessages(ctx, s.RetryQueueURL, sqstypes.QueueAttributeNameVisibilityTimeout)
	if err != nil {
		return 0, err
	}
	return time.Duration(seconds[0]) * time.Second, nil
}

// read reads the history of the run from its beginning.
func (r *remains) read(ctx context.Context, client *sfn.Client, arn string) error {
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 1000})
	inMap := false
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for _, e := range page.Events {
			if entered := e.StateEnteredEventDetails; entered != nil {
				name := aws.ToString(entered.Name)
				if again := name == r.state; !inMap || again { // a redrive may enter the Map state again
					r.state, inMap = name, e.Type == types.HistoryEventTypeMapStateEntered
				} else if e.Type == types.HistoryEventTypePassStateEntered {
					var input struct{ Item event.Item }
					if json.Unmarshal([]byte(aws.ToString(entered.Input)), &input) == nil {
						r.last[keyOf(input.Item)] = name
					}
				}
			}
			if err := r.count(e); err != nil {
				return err
			}
			if e.Type == types.HistoryEventTypeMapStateExited && aws.ToString(e.StateExitedEventDetails.Name) == r.state {
				inMap = false
			}
		}
	}
	return nil
}

func (r *remains) count(e types.HistoryEvent) error {
	switch e.Type {
	case types.HistoryEventTypeTaskStateExited:
		name := aws.ToString(e.StateExitedEventDetails.Name)
		if name != r.state || name != GenerateData && name != PlanShards {
			return nil
		}
		var output struct {
			Items []event.Item
			Plan  event.Plan
			Own   struct {
				Events int
				Source *event.Source
			}
		}
		if err := json.Unmarshal([]byte(aws.ToString(e.StateExitedEventDetails.Output)), &output); err != nil {
			return fmt.Errorf("read the answer of %s: %w", name, err)
		}
		r.known, r.answered, r.items, r.plan = true, aws.ToTime(e.Timestamp), output.Items, output.Plan
		r.records, r.source = output.Own.Events, output.Own.Source != nil
	case types.HistoryEventTypeMapRunStarted:
		r.mapRuns = append(r.mapRuns, aws.ToString(e.MapRunStartedEventDetails.MapRunArn))
	case types.HistoryEventTypeMapIterationSucceeded:
		index := int(e.MapIterationSucceededEventDetails.Index)
		switch aws.ToString(e.MapIterationSucceededEventDetails.Name) {
		case ProcessEvents:
			r.ended[index] = true
		case ReturnFailed:
			r.returned[index] = true
		}
	}
	return nil
}

// settled tells of each item of an inline run whether its event is in the table or in a queue.
func (r *remains) settled() []bool {
	settled, failures := make([]bool, len(r.items)), 0
	for i, item := range r.items {
		if !r.ended[i] {
			continue
		}
		switch r.last[keyOf(item)] {
		case EventFailed, InvocationFailed:
			// The results of a Map are in the order of its items, and so are the failures among them.
			settled[i] = r.returned[failures]
			failures++
		default:
			settled[i] = true
		}
	}
	return settled
}

// open counts the items of an inline run that have no result, and those whose result is that they failed.
func (r *remains) open() (again, failed int) {
	for i, item := range r.items {
		switch last := r.last[keyOf(item)]; {
		case !r.ended[i]:
			again++
		case last == EventFailed || last == InvocationFailed:
			failed++
		}
	}
	return again, failed
}

// remainingShards counts the shards of a distributed run. Step Functions says how many have succeeded, but not with how many events.
func (s *Stack) remainingShards(ctx context.Context, c *RunChange, r *remains, ended *time.Time) error {
	generated := int(r.plan.EndSeq - r.plan.StartSeq)
	left := ShardsLeft{Total: r.plan.Shards()}
	claims, ranges, records := 0, left.Total-r.plan.Claimers, r.records
	c.Events, r.unread = generated+r.records, r.source
	for i, arn := range r.mapRuns {
		out, err := s.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: aws.String(arn)})
		if err != nil {
			return fmt.Errorf("count shards: %w", err)
		}
		counts := out.ExecutionCounts
		left.Succeeded += int(counts.Succeeded)
		left.Running += int(counts.Running)
		switch {
		case ofRecords(arn):
			left.Total += int(counts.Total)
			c.Events = generated + max(r.records, int(out.ItemCounts.Total))
			records = c.Events - generated - int(out.ItemCounts.Succeeded)
			r.unread = r.source && out.Status != types.MapRunStatusSucceeded
		case i == 0 && r.plan.Claimers > 0:
			claims = int(counts.Running + counts.Failed + counts.Aborted + counts.TimedOut)
		default:
			ranges -= int(counts.Succeeded)
		}
	}
	left.Left = left.Total - left.Succeeded
	c.Shards, c.AtMost = &left, true
	c.New = min(ranges*int(r.plan.ShardSize), generated) + records
	if c.Claimed = claims * event.MaxShardClaims; c.Claimed > 0 {
		at := aws.ToTime(ended)
		if ended == nil {
			at = time.Now()
		}
		if until := time.Unix(r.plan.ClaimUntil, 0); r.plan.ClaimUntil > 0 && until.Before(at) {
			at = until
		}
		at = at.Add(r.visibility)
		c.Returns = &at
	}
	return nil
}
