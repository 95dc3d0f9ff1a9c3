package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

// States of a message move task.
const (
	moveRunning    = "RUNNING"
	moveCompleted  = "COMPLETED"
	moveCancelling = "CANCELLING"
)

// Move says how far a message move task is. SQS counts approximately.
type Move struct {
	Moved  int
	ToMove int // 0 until SQS has counted
}

// Redrive moves the messages of the dead-letter queue to the retry queue and answers how many. SQS does it, in a task that
// is followed to its end; one that is on its way already is followed too, since SQS takes only one at a time. report is
// called about every half second. When ctx ends, the task goes on.
func (s *Stack) Redrive(ctx context.Context, report func(Move)) (int, error) {
	var from, to string
	var group errgroup.Group
	group.Go(func() (err error) { from, err = s.queueARN(ctx, s.DeadLetterQueueURL); return err })
	group.Go(func() (err error) { to, err = s.queueARN(ctx, s.RetryQueueURL); return err })
	if err := group.Wait(); err != nil {
		return 0, err
	}
	before, err := s.lastMove(ctx, from)
	if err != nil {
		return 0, err
	}
	if !underWay(before) {
		// To the retry queue by name: SQS remembers where each message came from, save those that somebody sent by hand.
		input := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(from), DestinationArn: aws.String(to)}
		if _, err := s.queues.StartMessageMoveTask(ctx, input); err != nil {
			return 0, fmt.Errorf("start moving messages: %w", err)
		}
	}
	for moved := 0; ; {
		task, err := s.lastMove(ctx, from)
		if ctx.Err() != nil {
			return moved, fmt.Errorf("stopped following the move, which goes on: %w", context.Cause(ctx))
		}
		if err != nil {
			return moved, err
		}
		// A task that was just started may not be listed yet.
		if task != nil && (before == nil || underWay(before) || task.StartedTimestamp != before.StartedTimestamp) {
			moved = int(task.ApproximateNumberOfMessagesMoved)
			report(Move{moved, int(aws.ToInt64(task.ApproximateNumberOfMessagesToMove))})
			switch status := aws.ToString(task.Status); {
			case status == moveCompleted:
				return moved, nil
			case !underWay(task):
				err := fmt.Errorf("the move is %s after %d messages", status, moved)
				if reason := aws.ToString(task.FailureReason); reason != "" {
					err = fmt.Errorf("%w: %s", err, reason)
				}
				return moved, err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}

func underWay(task *types.ListMessageMoveTasksResultEntry) bool {
	return task != nil && (aws.ToString(task.Status) == moveRunning || aws.ToString(task.Status) == moveCancelling)
}

// lastMove is the newest message move task of a queue, nil if there was none.
func (s *Stack) lastMove(ctx context.Context, arn string) (*types.ListMessageMoveTasksResultEntry, error) {
	out, err := s.queues.ListMessageMoveTasks(ctx, &sqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn), MaxResults: aws.Int32(1)})
	if err != nil {
		return nil, fmt.Errorf("list message move tasks: %w", err)
	}
	if len(out.Results) == 0 {
		return nil, nil
	}
	return &out.Results[0], nil
}

func (s *Stack) queueARN(ctx context.Context, url string) (string, error) {
	out, err := s.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", fmt.Errorf("ask for the ARN of %s: %w", url, err)
	}
	arn := out.Attributes[string(types.QueueAttributeNameQueueArn)]
	if arn == "" {
		return "", errors.New("ask for the ARN of " + url + ": the answer has none")
	}
	return arn, nil
}
