// Package operate works with a deployed Carnation stack: it starts runs, follows them, and says where the events are.
package operate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

// Stack is a deployed Carnation stack, known by its outputs.
type Stack struct {
	Name               string
	StateMachineArn    string
	Distributed        bool // whether its runs are
	TableName          string
	RetryQueueURL      string
	DeadLetterQueueURL string

	executions *sfn.Client
	table      *dynamodb.Client
	queues     *sqs.Client
}

// Open finds the stack by its name, in the account and region of the ordinary AWS configuration.
func Open(ctx context.Context, name string) (*Stack, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region is configured: set AWS_REGION, or a region in the profile")
	}
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		return nil, fmt.Errorf("find stack %s in %s: %w", name, cfg.Region, err)
	}
	s := &Stack{
		Name:       name,
		executions: sfn.NewFromConfig(cfg),
		table:      dynamodb.NewFromConfig(cfg),
		queues:     sqs.NewFromConfig(cfg),
	}
	outputs := map[string]string{}
	for _, output := range out.Stacks[0].Outputs {
		outputs[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
	}
	for key, field := range map[string]*string{
		"StateMachineArn": &s.StateMachineArn, "TableName": &s.TableName,
		"RetryQueueUrl": &s.RetryQueueURL, "DeadLetterQueueUrl": &s.DeadLetterQueueURL,
	} {
		if *field = outputs[key]; *field == "" {
			return nil, fmt.Errorf("stack %s is %s and has no output %s: is it a Carnation stack that was created to the end?", name, out.Stacks[0].StackStatus, key)
		}
	}
	s.Distributed = outputs["MapMode"] == "DISTRIBUTED"
	return s, nil
}

// Queues says how many messages are where. SQS counts approximately: on AWS the figures may lag by up to a minute.
type Queues struct {
	Retry      int `json:"retry_queue"` // waiting
	InFlight   int `json:"in_flight"`   // claimed by a run, or by one that died
	DeadLetter int `json:"dead_letter_queue"`
}

// Queues counts the messages of both queues.
func (s *Stack) Queues(ctx context.Context) (Queues, error) {
	var q Queues
	const waiting, inFlight = sqstypes.QueueAttributeNameApproximateNumberOfMessages, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	counts, err := s.count(ctx, s.RetryQueueURL, waiting, inFlight)
	if err != nil {
		return q, err
	}
	q.Retry, q.InFlight = counts[0], counts[1]
	counts, err = s.count(ctx, s.DeadLetterQueueURL, waiting)
	if err != nil {
		return q, err
	}
	q.DeadLetter = counts[0]
	return q, nil
}

func (s *Stack) count(ctx context.Context, url string, names ...sqstypes.QueueAttributeName) ([]int, error) {
	out, err := s.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("count messages of %s: %w", url, err)
	}
	counts := make([]int, len(names))
	for i, name := range names {
		if counts[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return nil, fmt.Errorf("count messages of %s: %s is %q", url, name, out.Attributes[string(name)])
		}
	}
	return counts, nil
}

// Status is where the events are, and how the last executions went, the newest first.
type Status struct {
	Stack string `json:"stack"`
	Table int    `json:"table"` // rows
	Queues
	Executions []Execution `json:"executions"`
}

// Execution is one execution of the state machine.
type Execution struct {
	Name    string     `json:"name"`
	Status  string     `json:"status"`
	Started time.Time  `json:"started"`
	Stopped *time.Time `json:"stopped,omitempty"`
	Shards  *Shards    `json:"shards,omitempty"` // of a distributed run that goes on
}

// tableSegments is how many scans count the rows at once.
const tableSegments = 4

// Status counts the table's rows, with a scan, and the queues' messages, and lists the last executions.
func (s *Stack) Status(ctx context.Context, executions int) (Status, error) {
	status := Status{Stack: s.Name, Executions: []Execution{}}
	var err error
	if status.Queues, err = s.Queues(ctx); err != nil {
		return status, err
	}
	if status.Table, err = s.countRows(ctx); err != nil {
		return status, err
	}
	out, err := s.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(s.StateMachineArn), MaxResults: int32(executions)})
	if err != nil {
		return status, fmt.Errorf("list executions: %w", err)
	}
	for _, e := range out.Executions {
		execution := Execution{Name: aws.ToString(e.Name), Status: string(e.Status), Started: aws.ToTime(e.StartDate), Stopped: e.StopDate}
		if s.Distributed && e.StopDate == nil {
			counter := &historyCounter{arn: aws.ToString(e.ExecutionArn)}
			err := counter.read(ctx, s.executions)
			if err == nil && len(counter.mapRuns) > 0 {
				execution.Shards, err = s.countShards(ctx, counter)
			}
			if err != nil {
				return status, fmt.Errorf("follow %s: %w", execution.Name, err)
			}
		}
		status.Executions = append(status.Executions, execution)
	}
	return status, nil
}

func (s *Stack) countRows(ctx context.Context) (int, error) {
	counts := make([]int, tableSegments)
	group, ctx := errgroup.WithContext(ctx)
	for i := range counts {
		group.Go(func() error {
			pages := dynamodb.NewScanPaginator(s.table, &dynamodb.ScanInput{
				TableName: aws.String(s.TableName), Select: dynamodbtypes.SelectCount, ConsistentRead: aws.Bool(true),
				Segment: aws.Int32(int32(i)), TotalSegments: aws.Int32(tableSegments),
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
	total := 0
	err := group.Wait()
	for _, n := range counts {
		total += n
	}
	return total, err
}
