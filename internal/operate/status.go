package operate

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sync/errgroup"
)

// Status says where the events are, who gets the alarms, and how the last executions went, newest first.
type Status struct {
	Stack string `json:"stack"`
	Table int    `json:"table"` // rows
	Queues
	Subscriptions Subscriptions `json:"subscriptions"`
	Executions    []Execution   `json:"executions"`
}

// Execution is one execution of the state machine.
type Execution struct {
	Name    string     `json:"name"`
	Status  string     `json:"status"`
	Started time.Time  `json:"started"`
	Stopped *time.Time `json:"stopped,omitempty"`
	Shards  *Shards    `json:"shards,omitempty"` // of a distributed run that is still running
}

// scanSegments is the number of parallel scans that count the rows.
const scanSegments = 4

// Status scans the table to count its rows, counts the messages of the queues and the subscriptions of the alarms, and lists the
// last executions, 1 to 1000.
func (s *Stack) Status(ctx context.Context, executions int) (Status, error) {
	status := Status{Stack: s.Name, Executions: []Execution{}}
	var err error
	if status.Queues, err = s.Queues(ctx); err != nil {
		return status, err
	}
	if status.Table, err = s.Rows(ctx); err != nil {
		return status, err
	}
	if status.Subscriptions, err = s.Subscriptions(ctx); err != nil {
		return status, err
	}
	out, err := s.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(s.StateMachineArn), MaxResults: int32(executions)})
	if err != nil {
		return status, fmt.Errorf("list executions: %w", err)
	}
	for _, item := range out.Executions {
		execution, err := s.execution(ctx, item)
		if err != nil {
			return status, fmt.Errorf("follow %s: %w", execution.Name, err)
		}
		status.Executions = append(status.Executions, execution)
	}
	return status, nil
}

func (s *Stack) execution(ctx context.Context, item sfntypes.ExecutionListItem) (Execution, error) {
	e := Execution{Name: aws.ToString(item.Name), Status: string(item.Status), Started: aws.ToTime(item.StartDate), Stopped: item.StopDate}
	if !s.Distributed || item.StopDate != nil {
		return e, nil
	}
	h := &history{arn: aws.ToString(item.ExecutionArn)}
	err := h.read(ctx, s.executions)
	if err == nil && len(h.mapRuns) > 0 {
		e.Shards, err = s.countShards(ctx, h)
	}
	return e, err
}

// Rows counts the rows of the table. It scans the whole table, which costs as much as reading it.
func (s *Stack) Rows(ctx context.Context) (int, error) {
	counts := make([]int, scanSegments)
	group, ctx := errgroup.WithContext(ctx)
	for i := range counts {
		group.Go(func() error {
			pages := dynamodb.NewScanPaginator(s.table, &dynamodb.ScanInput{
				TableName: aws.String(s.TableName), Select: dynamodbtypes.SelectCount, ConsistentRead: aws.Bool(true),
				Segment: aws.Int32(int32(i)), TotalSegments: aws.Int32(scanSegments),
			})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					return fmt.Errorf("count rows of %s: %w", s.TableName, err)
				}
				counts[i] += int(page.Count)
			}
			return nil
		})
	}
	err := group.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, err
}
