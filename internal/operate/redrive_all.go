package operate

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

// Statuses of a message move task.
const (
	moveRunning    = "RUNNING"
	moveCancelling = "CANCELLING"
	moveCompleted  = "COMPLETED"
)

// Move is the progress of a message move task. SQS counts approximately.
type Move struct {
	Moved  int
	ToMove int // 0 until SQS has counted
}

// RedriveAll moves the messages of the dead-letter queue to the retry queue, and returns the number of messages moved. SQS does
// this in a message move task, which RedriveAll follows to its end. SQS allows one task at a time: if one is already running,
// RedriveAll follows that one. It calls report about twice a second. If ctx ends, the task continues.
func (s *Stack) RedriveAll(ctx context.Context, report func(Move)) (int, error) {
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
	if isMoving(before) {
		return s.followMove(ctx, from, nil, report)
	}
	// The destination is explicit because SQS does not know where a message came from that somebody sent by hand.
	input := &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(from), DestinationArn: aws.String(to)}
	if _, err := s.queues.StartMessageMoveTask(ctx, input); err != nil {
		return 0, fmt.Errorf("start moving messages: %w", err)
	}
	return s.followMove(ctx, from, before, report)
}

// followMove follows the newest message move task of a queue to its end. A task that has just been started may not be listed
// yet: before, if not nil, is the newest task that was listed until then.
func (s *Stack) followMove(ctx context.Context, from string, before *types.ListMessageMoveTasksResultEntry, report func(Move)) (int, error) {
	for moved := 0; ; {
		task, err := s.lastMove(ctx, from)
		if ctx.Err() != nil {
			return moved, fmt.Errorf("stopped following the move, which continues: %w", context.Cause(ctx))
		}
		if err != nil {
			return moved, err
		}
		if task != nil && (before == nil || task.StartedTimestamp != before.StartedTimestamp) {
			moved = int(task.ApproximateNumberOfMessagesMoved)
			report(Move{moved, int(aws.ToInt64(task.ApproximateNumberOfMessagesToMove))})
			if !isMoving(task) {
				return moved, moveError(task)
			}
		}
		sleep(ctx, pollEvery)
	}
}

func isMoving(task *types.ListMessageMoveTasksResultEntry) bool {
	return task != nil && (aws.ToString(task.Status) == moveRunning || aws.ToString(task.Status) == moveCancelling)
}

// moveError says why a task that has ended did not move all messages. It is nil if the task did.
func moveError(task *types.ListMessageMoveTasksResultEntry) error {
	status := aws.ToString(task.Status)
	if status == moveCompleted {
		return nil
	}
	err := fmt.Errorf("the move is %s after %d messages", status, task.ApproximateNumberOfMessagesMoved)
	if reason := aws.ToString(task.FailureReason); reason != "" {
		err = fmt.Errorf("%w: %s", err, reason)
	}
	return err
}

// lastMove is the newest message move task of a queue, or nil if there is none.
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
		return "", fmt.Errorf("get the ARN of %s: %w", url, err)
	}
	arn := out.Attributes[string(types.QueueAttributeNameQueueArn)]
	if arn == "" {
		return "", fmt.Errorf("get the ARN of %s: the answer has none", url)
	}
	return arn, nil
}
