package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
	"carnation/internal/operate"
)

// lastWords is the time after which a function that was invoked by an execution that was stopped has done its work.
const lastWords = 3 * time.Second

// hidden is how long a message is hidden at most while the queues are searched, in seconds.
const hidden = 20

// cleanUp puts back what was changed, ends the executions, and deletes the messages and the rows of this verification. It goes on after
// an error, so that as much as possible is as it was before.
func (v *verifier) cleanUp(ctx context.Context) (string, error) {
	var faults []error
	for _, u := range slices.Backward(v.undo) {
		if err := u.do(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", u.what, err))
		}
	}
	faults = append(faults, v.stopExecutions(ctx))
	messages, err := v.deleteMessages(ctx)
	faults = append(faults, err)
	rows, err := v.deleteRows(ctx)
	faults = append(faults, err)
	if len(v.started) > 0 {
		faults = append(faults, v.waitForQueues(ctx, operate.Queues{}))
	}
	if err := errors.Join(faults...); err != nil {
		return "", fmt.Errorf("left behind, with sequence numbers from %d to %d: %w", v.first, v.next-1, err)
	}
	return fmt.Sprintf("%d rows and %d messages of this verification are deleted; no other was touched", rows, messages), nil
}

// stopExecutions stops what is still running, and gives claims back that were lost on the way.
func (v *verifier) stopExecutions(ctx context.Context) error {
	var faults []error
	for _, arn := range v.started {
		out, err := v.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		var missing *sfntypes.ExecutionDoesNotExist
		switch {
		case errors.As(err, &missing):
			continue // its start failed
		case err != nil:
			faults = append(faults, fmt.Errorf("describe %s: %w", nameOf(arn), err))
			continue
		}
		if out.Status == sfntypes.ExecutionStatusRunning {
			if _, err := v.executions.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
				faults = append(faults, fmt.Errorf("stop %s: %w", nameOf(arn), err))
				continue
			}
			if out, err = v.ended(ctx, arn); err == nil {
				err = sleep(ctx, lastWords)
			}
			faults = append(faults, err)
		}
		if out.Status != sfntypes.ExecutionStatusSucceeded && aws.ToString(out.Error) != "Carnation.EventsFailed" {
			faults = append(faults, v.deleteClaims(ctx, arn))
		}
	}
	return errors.Join(faults...)
}

// deleteClaims deletes the messages that an execution claimed before it ended too early. Nobody sees them for 16 minutes, but their
// receipt handles are in the history.
func (v *verifier) deleteClaims(ctx context.Context, arn string) error {
	items, err := v.items(ctx, arn)
	if err != nil {
		return err
	}
	for _, item := range items {
		if item.ReceiptHandle == "" || !v.isMine(item.Event) {
			continue
		}
		_, err := v.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(v.stack.RetryQueueURL), ReceiptHandle: aws.String(item.ReceiptHandle)})
		var invalid *sqstypes.ReceiptHandleIsInvalid
		if err != nil && !errors.As(err, &invalid) { // it is invalid if the message is gone
			return fmt.Errorf("delete the message of event %d: %w", item.Event.SequenceNo, err)
		}
	}
	return nil
}

// isMine tells whether an event is one of this verification.
func (v *verifier) isMine(e event.Event) bool {
	return v.first <= e.SequenceNo && e.SequenceNo < v.next
}

// isMyMessage tells the same about the body of a message.
func (v *verifier) isMyMessage(body string) bool {
	if body == v.foreign() {
		return true
	}
	for seq := v.first; seq < v.next; seq++ {
		if strings.Contains(body, fmt.Sprintf(`"sequence_no":%d,`, seq)) {
			return true
		}
	}
	return false
}

// deleteMessages deletes the messages of this verification from both queues, and returns their number. Messages of others, which have
// come meanwhile, become visible again at once.
func (v *verifier) deleteMessages(ctx context.Context) (n int, err error) {
	for _, url := range []string{v.stack.RetryQueueURL, v.stack.DeadLetterQueueURL} {
		var others []*string
		for empty := false; !empty; {
			out, err := v.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
				QueueUrl: aws.String(url), MaxNumberOfMessages: 10, VisibilityTimeout: hidden, WaitTimeSeconds: 1,
			})
			if err != nil {
				return n, fmt.Errorf("receive messages: %w", err)
			}
			if len(out.Messages) == 0 {
				empty = true
			}
			for _, m := range out.Messages {
				if !v.isMyMessage(aws.ToString(m.Body)) {
					others = append(others, m.ReceiptHandle)
					continue
				}
				if _, err := v.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: m.ReceiptHandle}); err != nil {
					return n, fmt.Errorf("delete a message: %w", err)
				}
				n++
			}
			if len(others) > 0 {
				break // somebody else uses the stack
			}
		}
		for _, handle := range others {
			if err := v.release(ctx, url, handle); err != nil {
				return n, err
			}
		}
		if len(others) > 0 {
			return n, fmt.Errorf("the queues have %d messages of somebody else, who used the stack at the same time; those of this verification may be among the others", len(others))
		}
	}
	return n, nil
}

// deleteRows deletes the rows of this verification, and returns their number.
func (v *verifier) deleteRows(ctx context.Context) (n int, err error) {
	rows, err := v.rows(ctx, v.first, v.next)
	if err != nil {
		return 0, err
	}
	for _, r := range rows {
		_, err := v.table.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: aws.String(v.stack.TableName),
			Key: map[string]dynamodbtypes.AttributeValue{
				"sequenceNo":        &dynamodbtypes.AttributeValueMemberN{Value: fmt.Sprint(r.SequenceNo)},
				"randomStringValue": &dynamodbtypes.AttributeValueMemberS{Value: r.RandomStringValue},
			},
		})
		if err != nil {
			return n, fmt.Errorf("delete row %d: %w", r.SequenceNo, err)
		}
		n++
	}
	return n, nil
}
