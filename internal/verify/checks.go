package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
	"carnation/internal/operate"
)

// maxReceives is the largest MaxReceiveCount for which the checks of dead letters are worth their time.
const maxReceives = 10

// betweenRuns is the time after a run that found nothing to retry. A distributed run releases events for some seconds later.
const betweenRuns = 2 * time.Second

func (v *verifier) insert(ctx context.Context) (string, error) {
	const n = 5
	start := v.take(n)
	out, err := v.run(ctx, start, start+n, 0)
	if err != nil {
		return "", err
	}
	if err := expectInserted(out, n); err != nil {
		return "", err
	}
	if err := v.expectRows(ctx, aws.ToString(out.ExecutionArn), start, start+n, 0); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events, each one row with the values of the history", n), nil
}

func (v *verifier) retry(ctx context.Context) (string, error) {
	const n = 3
	start := v.take(n)
	arn, err := v.park(ctx, start, n)
	if err != nil {
		return "", err
	}
	v.failed = &failedRun{arn, start}
	if err := v.waitForQueues(ctx, operate.Queues{Retry: n}); err != nil {
		return "", err
	}
	runs, err := v.retryUntilInserted(ctx, start, start+n)
	if err != nil {
		return "", err
	}
	if err := v.expectRows(ctx, arn, start, start+n, 1); err != nil {
		return "", err
	}
	if err := v.waitForQueues(ctx, operate.Queues{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d events failed on purpose and waited; %d more runs inserted them; the queues are empty", n, runs), nil
}

// park runs n new events that all fail. It returns the ARN of the run.
func (v *verifier) park(ctx context.Context, start, n int64) (arn string, err error) {
	if !v.injects {
		return "", notChecked("events cannot fail on purpose, because FailureInjection is disabled")
	}
	out, err := v.run(ctx, start, start+n, 1)
	if err != nil {
		return "", err
	}
	if err := expectEventsFailed(out, int(n)); err != nil {
		return "", err
	}
	return aws.ToString(out.ExecutionArn), v.expectNoRows(ctx, start, start+n)
}

// waitForQueues waits until the queues have as many messages as they should.
func (v *verifier) waitForQueues(ctx context.Context, want operate.Queues) error {
	return v.until(ctx, queuePatience, fmt.Sprintf("the queues to have %s", inWords(want)), func(ctx context.Context) (bool, string, error) {
		got, err := v.stack.Queues(ctx)
		return got == want, "they have " + inWords(got), err
	})
}

func inWords(q operate.Queues) string {
	return fmt.Sprintf("%d events waiting, %d in flight and %d dead letters", q.Retry, q.InFlight, q.DeadLetter)
}

// retryUntilInserted starts runs that only retry, until the events are in the table. It returns the number of runs that inserted some.
// One is enough, unless SQS hands out only some of the messages, or a distributed run has released them for a later time.
func (v *verifier) retryUntilInserted(ctx context.Context, start, end int64) (runs int, err error) {
	said := 0
	err = v.until(ctx, queuePatience, "a run that retries the events", func(ctx context.Context) (bool, string, error) {
		out, err := v.run(ctx, 0, 0, 0)
		if err != nil {
			return false, "", err
		}
		if out.Status != sfntypes.ExecutionStatusSucceeded {
			return false, "", fmt.Errorf("%s, want it to succeed", outcome(out))
		}
		if inserted(out) > 0 {
			said += inserted(out)
			runs++
		}
		rows, err := v.rows(ctx, start, end)
		seen := fmt.Sprintf("%d of %d events are in the table, and runs say that they inserted %d", len(rows), end-start, said)
		if err != nil || len(rows) >= int(end-start) {
			return err == nil, seen, err
		}
		if said >= int(end-start) {
			return false, "", errors.New(seen)
		}
		return false, seen, sleep(ctx, betweenRuns)
	})
	return runs, err
}

// maxReceiveCount reads after how many receives SQS moves a message, from the queue itself. It is 0 if it moves none.
func (v *verifier) maxReceiveCount(ctx context.Context) (int, error) {
	const name = sqstypes.QueueAttributeNameRedrivePolicy
	out, err := v.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(v.stack.RetryQueueURL), AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		return 0, fmt.Errorf("read the redrive policy of the retry queue: %w", err)
	}
	var policy struct {
		MaxReceiveCount json.Number `json:"maxReceiveCount"` // a number, or a string with one
	}
	if text := out.Attributes[string(name)]; text != "" {
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			return 0, fmt.Errorf("read the redrive policy of the retry queue: %w", err)
		}
	}
	n, _ := strconv.Atoi(policy.MaxReceiveCount.String())
	return n, nil
}

// foreign is the body of a message that is not an event, and that only this verification can have sent.
func (v *verifier) foreign() string { return fmt.Sprintf(`{"sent_by_carnation_verify":%d}`, v.first) }

// receives sends a message that is not an event, and receives it as often as the retry queue allows. This is what SQS does with a
// message whose runs always die.
func (v *verifier) receives(ctx context.Context) (string, error) {
	most, err := v.maxReceiveCount(ctx)
	if err != nil {
		return "", err
	}
	if most == 0 {
		return "", errors.New("the retry queue has no redrive policy, so nothing moves to the dead-letter queue")
	}
	if most > maxReceives {
		return "", notChecked("MaxReceiveCount is %d; up to %d is checked", most, maxReceives)
	}
	if _, err := v.queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(v.stack.RetryQueueURL), MessageBody: aws.String(v.foreign())}); err != nil {
		return "", fmt.Errorf("send a message to the retry queue: %w", err)
	}
	received := 0
	err = v.until(ctx, queuePatience, "the message to move", func(ctx context.Context) (bool, string, error) {
		found, err := v.peek(ctx, v.stack.RetryQueueURL, v.foreign())
		if err != nil {
			return false, "", err
		}
		if found != nil {
			received++
			return false, fmt.Sprintf("it is in the retry queue after %d receives", received), nil
		}
		found, err = v.peek(ctx, v.stack.DeadLetterQueueURL, v.foreign())
		if err != nil || found == nil {
			return false, fmt.Sprintf("it is in no queue after %d receives", received), err
		}
		_, err = v.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(v.stack.DeadLetterQueueURL), ReceiptHandle: found.ReceiptHandle})
		return true, "", err
	})
	if err != nil {
		return "", err
	}
	if received != most {
		return "", fmt.Errorf("the message moved after %d receives, want %d", received, most)
	}
	return fmt.Sprintf("a message moved after %d receives", received), v.waitForQueues(ctx, operate.Queues{})
}

// peek receives messages of a queue until one has a body with this part, and makes all visible to others again. It returns nil if none
// has.
func (v *verifier) peek(ctx context.Context, url, part string) (found *sqstypes.Message, err error) {
	out, err := v.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(url), MaxNumberOfMessages: 10, VisibilityTimeout: hidden, WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return nil, fmt.Errorf("receive messages: %w", err)
	}
	for _, m := range out.Messages {
		if strings.Contains(aws.ToString(m.Body), part) {
			found = &m
		}
		if err := v.release(ctx, url, m.ReceiptHandle); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// release makes a received message visible again.
func (v *verifier) release(ctx context.Context, url string, handle *string) error {
	_, err := v.queues.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(url), ReceiptHandle: handle, VisibilityTimeout: 0})
	if err != nil {
		return fmt.Errorf("release a message: %w", err)
	}
	return nil
}

func (v *verifier) deadLetter(ctx context.Context) (string, error) {
	most, err := v.maxReceiveCount(ctx)
	if err != nil {
		return "", err
	}
	if most == 0 || most > maxReceives {
		return "", notChecked("MaxReceiveCount is %d; 1 to %d is checked", most, maxReceives)
	}
	start := v.take(1)
	arn, err := v.park(ctx, start, 1)
	if err != nil {
		return "", err
	}
	for retry := 1; retry <= most; retry++ {
		err := v.until(ctx, queuePatience, fmt.Sprintf("retry %d of %d", retry, most), func(ctx context.Context) (bool, string, error) {
			out, err := v.run(ctx, 0, 0, 1)
			if err != nil {
				return false, "", err
			}
			if out.Status == sfntypes.ExecutionStatusSucceeded && inserted(out) == 0 {
				return false, "the run found no event to retry", sleep(ctx, betweenRuns)
			}
			return true, "", expectEventsFailed(out, 1)
		})
		if err != nil {
			return "", err
		}
	}
	if err := v.expectNoRows(ctx, start, start+1); err != nil {
		return "", err
	}
	letter, err := v.waitForDeadLetter(ctx, start)
	if err != nil {
		return "", err
	}
	for name, want := range map[string]string{"Error": "SimulatedFailure", "ExecutionArn": ":execution:"} {
		if got := aws.ToString(letter.MessageAttributes[name].StringValue); !strings.Contains(got, want) {
			return "", fmt.Errorf("the dead letter has the attribute %s %q, want %q; its event was new in %s", name, got, want, nameOf(arn))
		}
	}
	moved, err := v.stack.RedriveAll(ctx, func(now operate.Move) {
		v.progress(fmt.Sprintf("%d of about %d dead letters moved", now.Moved, now.ToMove))
	})
	if err != nil {
		return "", err
	}
	if moved != 1 {
		return "", fmt.Errorf("the redrive moved %d messages, want 1", moved)
	}
	if _, err := v.retryUntilInserted(ctx, start, start+1); err != nil {
		return "", err
	}
	if err := v.expectRows(ctx, arn, start, start+1, 1); err != nil {
		return "", err
	}
	return fmt.Sprintf("an event failed %d retries, and its last run sent it to the dead-letter queue, with its error; moved back, it was inserted", most), v.waitForQueues(ctx, operate.Queues{})
}

// waitForDeadLetter waits for an event in the dead-letter queue. The run in which it failed its last retry sends it there before it ends.
func (v *verifier) waitForDeadLetter(ctx context.Context, seq int64) (letter *sqstypes.Message, err error) {
	err = v.until(ctx, letterPatience, "the event in the dead-letter queue after its last retry", func(ctx context.Context) (bool, string, error) {
		letter, err = v.peek(ctx, v.stack.DeadLetterQueueURL, fmt.Sprintf(`"sequence_no":%d,`, seq))
		return letter != nil, "it is not there", err
	})
	return letter, err
}

// redrive stops a run while insert-data cannot run, lets insert-data run again, and redrives the run.
func (v *verifier) redrive(ctx context.Context) (string, error) {
	const n, tries = 3, 3
	for range tries {
		start := v.take(n)
		arn, stopped, err := v.interrupted(ctx, start, start+n)
		if err != nil {
			return "", err
		}
		if arn == "" {
			continue // Lambda needs some time to stop a function, and the run has ended before that
		}
		if _, err := v.executions.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			return "", fmt.Errorf("%s; redrive it: %w", stopped, err)
		}
		out, err := v.ended(ctx, arn)
		if err != nil {
			return "", err
		}
		v.inserted += inserted(out)
		if err := expectInserted(out, n); err != nil {
			return "", fmt.Errorf("%s; after its redrive %w", stopped, err)
		}
		if err := v.expectRows(ctx, arn, start, start+n, 0); err != nil {
			return "", fmt.Errorf("%s; after its redrive %w", stopped, err)
		}
		return fmt.Sprintf("%s; its redrive inserted its %d events", stopped, n), nil
	}
	return "", notChecked("%d runs ended before they could be stopped: a reserved concurrency of 0 did not stop insert-data in time", tries)
}

// interrupted starts a run of new events while the reserved concurrency of insert-data is 0, and stops it when it waits for
// insert-data. In the distributed mode it stops the shard, which makes the run fail. It returns the ARN of the run and how it ended, or
// no ARN if the run ended by itself.
func (v *verifier) interrupted(ctx context.Context, start, end int64) (arn, stopped string, err error) {
	release, err := v.holdInsertData(ctx)
	if err != nil {
		return "", "", err
	}
	if arn, err = v.start(ctx, event.Run{StartSeq: start, EndSeq: end}); err != nil {
		return "", "", err
	}
	target := arn
	byItself := false
	err = v.until(ctx, runPatience, "the run to wait for insert-data", func(ctx context.Context) (_ bool, _ string, err error) {
		out, err := v.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil {
			return false, "", err
		}
		if out.Status != sfntypes.ExecutionStatusRunning {
			byItself = true
			return true, "", nil
		}
		if v.stack.Distributed && !v.isExpress() {
			shards, err := v.shards(ctx, arn, sfntypes.ExecutionStatusRunning)
			if err != nil || len(shards) == 0 {
				return false, "it has no shard yet", err
			}
			target = shards[0]
		}
		waits, err := v.waitsForInsertData(ctx, target)
		return waits, "it does not", err
	})
	if err != nil {
		return "", "", err
	}
	if byItself {
		return "", "", release(ctx)
	}
	// No error and no cause: these would need permissions on the KMS key.
	// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
	if _, err := v.executions.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(target)}); err != nil {
		return "", "", fmt.Errorf("stop %s: %w", nameOf(target), err)
	}
	out, err := v.ended(ctx, arn)
	if err != nil {
		return "", "", fmt.Errorf("after its execution was stopped: %w", err)
	}
	stopped = "a run was stopped: " + string(out.Status)
	if target != arn {
		stopped = fmt.Sprintf("the shard of a run was stopped: %s %s", out.Status, aws.ToString(out.Error))
		if aws.ToString(out.Error) != "States.ExceedToleratedFailureThreshold" {
			return "", "", fmt.Errorf("%s, want States.ExceedToleratedFailureThreshold", stopped)
		}
	}
	return arn, stopped, release(ctx)
}

// waitsForInsertData tells whether an execution has tried to invoke insert-data: a Map iteration that has started, or a second task.
func (v *verifier) waitsForInsertData(ctx context.Context, arn string) (waits bool, err error) {
	err = v.history(ctx, arn, func(e sfntypes.HistoryEvent) {
		if details := e.TaskFailedEventDetails; details != nil && aws.ToString(details.Error) == "Lambda.TooManyRequestsException" {
			waits = true
		}
		if v.isExpress() && e.Type == sfntypes.HistoryEventTypeMapRunStarted {
			waits = true
		}
	})
	return waits, err
}

// holdInsertData keeps insert-data from running, until the function that it returns is called, or the verification ends.
func (v *verifier) holdInsertData(ctx context.Context) (release func(context.Context) error, err error) {
	function := aws.String(v.function("InsertData"))
	before, err := v.functions.GetFunctionConcurrency(ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: function})
	if err != nil {
		return nil, fmt.Errorf("get the reserved concurrency of insert-data: %w", err)
	}
	release = v.later("give insert-data its concurrency back", func(ctx context.Context) error {
		if before.ReservedConcurrentExecutions == nil {
			_, err := v.functions.DeleteFunctionConcurrency(ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: function})
			return err
		}
		_, err := v.functions.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: function, ReservedConcurrentExecutions: before.ReservedConcurrentExecutions})
		return err
	})
	if _, err := v.functions.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: function, ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		return nil, fmt.Errorf("set the reserved concurrency of insert-data to 0: %w", err)
	}
	return release, nil
}
