// Package retryqueue is the SQS queue of failed events: it parks, counts, claims, releases, deletes and buries them. docs/design.md
// defines these words.
package retryqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

const (
	// batchSize is the most messages of one call of SQS.
	batchSize = 10
	// parallelCalls is how many calls with batches run at once.
	parallelCalls = 8
	// longPollSeconds makes receives long polls. These ask all servers of the queue, so that an empty answer means an empty queue,
	// except in rare cases.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/confirm-queue-is-empty.html
	longPollSeconds = 1
	// batchAttempts is how often an entry is sent that fails in a batch whose call succeeds. The SDK retries a call that fails, but
	// not such an entry.
	batchAttempts = 5
	// batchDelay is the longest delay before the second attempt. Before each further attempt it is twice as long, 3 seconds in all,
	// which is less than the time that the functions reserve for releases and for parking. Each delay is random, so that shards
	// whose entries fail together do not send them again together.
	batchDelay = 200 * time.Millisecond
	// MaxReceiptHandle is the longest receipt handle, in bytes.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
	MaxReceiptHandle = 1024
	// MaxReleaseAfter is the longest time that a release keeps an event invisible. Every claim lasts longer.
	MaxReleaseAfter = 900 * time.Second
	// lastReceives is the time that running receives get to end. If they were cut off, this run would lose their messages.
	lastReceives = 5 * time.Second
)

// API is the operations of SQS that a Queue uses. *sqs.Client has them.
type API interface {
	ReceiveMessage(ctx context.Context, input *sqs.ReceiveMessageInput, options ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	SendMessageBatch(ctx context.Context, input *sqs.SendMessageBatchInput, options ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, input *sqs.ChangeMessageVisibilityBatchInput, options ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	DeleteMessageBatch(ctx context.Context, input *sqs.DeleteMessageBatchInput, options ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	GetQueueAttributes(ctx context.Context, input *sqs.GetQueueAttributesInput, options ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

const (
	receiveCount  = types.MessageSystemAttributeNameApproximateReceiveCount
	waitingNumber = types.QueueAttributeNameApproximateNumberOfMessages
)

// Queue is the retry queue, with its dead-letter queue.
type Queue struct {
	API           API
	URL           string
	DeadLetterURL string // only to bury
	Logger        *slog.Logger
}

// Room is the room that a run has for claimed items.
type Room struct {
	Only     bool // the run has no other items
	Items    int
	Bytes    int
	Overhead int       // bytes that an item needs in addition to its JSON
	Until    time.Time // when the last receive must have ended; zero for no limit other than the context's
}

// Claim receives failed events until the queue looks empty, the room for one more is not sure, or the time of ctx or of the room is
// up. RetryAttempt of a claimed event is the number of times that its message was received. A message that is not an event is logged
// and ignored: SQS moves it to the dead-letter queue. If there is an error, Claim also returns the items that it has claimed before,
// for the caller to release.
func (q Queue) Claim(ctx context.Context, room Room) ([]event.Item, error) {
	most, err := event.Item{Event: event.Largest(), ReceiptHandle: strings.Repeat("h", MaxReceiptHandle)}.Size()
	if err != nil {
		return nil, err
	}
	if !room.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, room.Until)
		defer cancel()
	}
	starting, cancel := environment.Reserve(ctx, lastReceives)
	defer cancel()
	c := claiming{queue: q, room: room, starting: starting, reserved: most + room.Overhead, claimed: map[string]claim{}}
	// Most runs find the queue empty. One receive is enough to see that. A run without other items asks a second time.
	if c.receive(ctx) || room.Only && c.receive(ctx) {
		for c.receive(ctx) {
		}
	}
	items := make([]event.Item, 0, len(c.claimed))
	for _, claim := range c.claimed {
		items = append(items, claim.item)
	}
	slices.SortFunc(items, func(a, b event.Item) int { return cmp.Compare(a.Event.SequenceNo, b.Event.SequenceNo) })
	return items, c.err
}

// claiming is the state of one Claim.
type claiming struct {
	queue    Queue
	starting context.Context  // done when it is too late to start another receive
	reserved int              // bytes that there must be for each message that is requested: the size of the largest one
	room     Room             // that is left
	claimed  map[string]claim // by message id: SQS may deliver a message twice
	err      error
}

type claim struct {
	item event.Item
	size int
}

// receive claims up to ten messages, and tells whether there may be more. Only one receive runs at a time, because any message may be
// the largest, and ten of those fill the state of a run.
func (c *claiming) receive(ctx context.Context) bool {
	n := max(0, min(batchSize, c.room.Items, c.room.Bytes/c.reserved))
	if n == 0 || c.err != nil || c.starting.Err() != nil {
		return false
	}
	out, err := c.queue.API.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(c.queue.URL), MaxNumberOfMessages: int32(n), WaitTimeSeconds: longPollSeconds,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{receiveCount},
	})
	switch {
	case err != nil && ctx.Err() != nil: // the time is up: the run goes on with what it has claimed so far
		c.queue.Logger.WarnContext(ctx, "receive from the retry queue cut off", "error", err.Error())
		return false
	case err != nil:
		c.err = fmt.Errorf("receive from the retry queue: %w", err)
		return false
	}
	for _, message := range out.Messages {
		if err := c.take(ctx, message); err != nil && c.err == nil {
			c.err = err
		}
	}
	return len(out.Messages) > 0
}

// take keeps a received message.
func (c *claiming) take(ctx context.Context, message types.Message) error {
	id := aws.ToString(message.MessageId)
	item := event.Item{ReceiptHandle: aws.ToString(message.ReceiptHandle)}
	var failure error
	parsed, err := event.Parse([]byte(aws.ToString(message.Body)), "")
	if err != nil {
		// The error is not logged, because it quotes the message.
		c.queue.Logger.ErrorContext(ctx, "message is not an event, left for the dead-letter queue", "messageId", id)
		return nil
	}
	item.Event = parsed
	count := message.Attributes[string(receiveCount)]
	if item.Event.RetryAttempt, err = strconv.Atoi(count); err != nil {
		failure = fmt.Errorf("ApproximateReceiveCount of message %s is %q", id, count)
	}
	size, err := item.Size()
	failure = cmp.Or(failure, err)
	if known, ok := c.claimed[id]; ok {
		c.room.Items++
		c.room.Bytes += known.size
		// Only the receipt handle of the latest receive is sure to work.
		if known.item.Event.RetryAttempt > item.Event.RetryAttempt {
			item, size = known.item, known.size-c.room.Overhead
		}
	}
	c.claimed[id] = claim{item, size + c.room.Overhead}
	c.room.Items--
	c.room.Bytes -= size + c.room.Overhead
	return failure
}

// Release makes claimed messages visible again, immediately or at the given time, in whole seconds. The error says how many it
// could not release. These come back when their visibility timeout ends.
func (q Queue) Release(ctx context.Context, receiptHandles []string, at time.Time) error {
	_, err := eachBatch(ctx, "release", receiptHandles, func(id, handle string) types.ChangeMessageVisibilityBatchRequestEntry {
		after := min(max(0, time.Until(at)), MaxReleaseAfter)
		return types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(id), ReceiptHandle: aws.String(handle), VisibilityTimeout: int32(math.Ceil(after.Seconds())),
		}
	}, func(entries []types.ChangeMessageVisibilityBatchRequestEntry) (served []string, failed []types.BatchResultErrorEntry, err error) {
		out, err := q.API.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(q.URL), Entries: entries})
		if err != nil {
			return nil, nil, err
		}
		for _, entry := range out.Successful {
			served = append(served, aws.ToString(entry.Id))
		}
		return served, out.Failed, nil
	})
	return err
}

// Delete deletes claimed messages. The error says how many are still there. These come back when their visibility timeout ends.
func (q Queue) Delete(ctx context.Context, receiptHandles []string) error {
	_, err := eachBatch(ctx, "delete", receiptHandles, func(id, handle string) types.DeleteMessageBatchRequestEntry {
		return types.DeleteMessageBatchRequestEntry{Id: aws.String(id), ReceiptHandle: aws.String(handle)}
	}, func(entries []types.DeleteMessageBatchRequestEntry) (served []string, failed []types.BatchResultErrorEntry, err error) {
		out, err := q.API.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(q.URL), Entries: entries})
		if err != nil {
			return nil, nil, err
		}
		for _, entry := range out.Successful {
			served = append(served, aws.ToString(entry.Id))
		}
		return served, out.Failed, nil
	})
	return err
}

// Parked is an event that failed, with the name of its error.
type Parked struct {
	Event     event.Event
	Error     string
	Permanent bool // no retry can cure it
}

// Park sends new events to the queue, on behalf of an execution. The error says how many may not be in the queue.
func (q Queue) Park(ctx context.Context, execution string, events []Parked) error {
	_, err := q.send(ctx, q.URL, execution, events)
	return err
}

// Bury sends events without retries left, or that no retry can cure, to the dead-letter queue, on behalf of an execution. It returns the positions in
// the list of those that may not be there; the caller then deletes the messages of the others. The error says how many there are.
func (q Queue) Bury(ctx context.Context, execution string, events []Parked) (left []int, err error) {
	return q.send(ctx, q.DeadLetterURL, execution, events)
}

// send sends events to a queue. It returns the positions of those that may not be there.
func (q Queue) send(ctx context.Context, url, execution string, events []Parked) (left []int, err error) {
	messages := make([]types.SendMessageBatchRequestEntry, len(events))
	for i, failed := range events {
		failed.Event.RetryAttempt = 0 // SQS counts it: all messages of an event have the same body
		body, err := event.Encode(failed.Event)
		if err != nil {
			return all(len(events)), fmt.Errorf("send event %d: %w", failed.Event.SequenceNo, err)
		}
		messages[i].MessageBody = aws.String(string(body))
		messages[i].MessageAttributes = map[string]types.MessageAttributeValue{"Error": text(failed.Error), "ExecutionArn": text(execution)}
		if failed.Permanent {
			messages[i].MessageAttributes["Permanent"] = text("true")
		}
	}
	return eachBatch(ctx, "send", messages, func(id string, message types.SendMessageBatchRequestEntry) types.SendMessageBatchRequestEntry {
		message.Id = aws.String(id)
		return message
	}, func(entries []types.SendMessageBatchRequestEntry) (served []string, failed []types.BatchResultErrorEntry, err error) {
		out, err := q.API.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries})
		if err != nil {
			return nil, nil, err
		}
		for _, entry := range out.Successful {
			served = append(served, aws.ToString(entry.Id))
		}
		return served, out.Failed, nil
	})
}

// all is the positions in a list of n elements.
func all(n int) []int {
	positions := make([]int, n)
	for i := range positions {
		positions[i] = i
	}
	return positions
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
}

// Waiting is the approximate number of failed events in the queue. SQS may lag behind by a minute.
func (q Queue) Waiting(ctx context.Context) (int, error) {
	out, err := q.API.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(q.URL), AttributeNames: []types.QueueAttributeName{waitingNumber},
	})
	if err != nil {
		return 0, fmt.Errorf("get attributes of the retry queue: %w", err)
	}
	waiting, err := strconv.Atoi(out.Attributes[string(waitingNumber)])
	if err != nil || waiting < 0 {
		return 0, fmt.Errorf("%s of the retry queue is %q", waitingNumber, out.Attributes[string(waitingNumber)])
	}
	return waiting, nil
}

// caller calls SQS with a batch. It returns the ids of the entries that were served, and the entries that failed.
type caller[E any] func(entries []E) (served []string, failed []types.BatchResultErrorEntry, err error)

// eachBatch makes an entry for each element of the list, and calls SQS with ten of them at a time. Entries that fail in a call that
// succeeds are sent again. It returns the positions in the list of the elements that may not be served.
func eachBatch[T, E any](ctx context.Context, what string, list []T, entry func(id string, of T) E, call caller[E]) ([]int, error) {
	var group errgroup.Group
	group.SetLimit(parallelCalls)
	batches := slices.Collect(slices.Chunk(all(len(list)), batchSize))
	left := make([][]int, len(batches))
	for n, batch := range batches {
		entries := map[string]E{}
		for _, position := range batch {
			id := strconv.Itoa(position)
			entries[id] = entry(id, list[position])
		}
		group.Go(func() error {
			err := untilServed(ctx, entries, call)
			for _, position := range batch {
				if _, ok := entries[strconv.Itoa(position)]; ok {
					left[n] = append(left[n], position)
				}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		unserved := slices.Concat(left...)
		return unserved, fmt.Errorf("%s %d of %d messages: %w", what, len(unserved), len(list), err)
	}
	return nil, nil
}

// untilServed calls SQS with the entries, which are in a map by their ids, until all are served. It leaves those in the map that
// may not be served, and returns the error of one of them.
func untilServed[E any](ctx context.Context, entries map[string]E, call caller[E]) error {
	for attempt := 1; ; attempt++ {
		served, failed, err := call(slices.Collect(maps.Values(entries)))
		if err != nil {
			return err
		}
		for _, id := range served {
			delete(entries, id)
		}
		if len(entries) == 0 {
			return nil
		}
		err = fmt.Errorf("the answer does not name %d of them", len(entries)-len(failed))
		again := len(failed) < len(entries)
		for _, entry := range failed {
			again = again || !entry.SenderFault // an invalid receipt handle stays invalid
			err = fmt.Errorf("%s: %s", aws.ToString(entry.Code), aws.ToString(entry.Message))
		}
		if attempt == batchAttempts || !again {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(rand.N(batchDelay << (attempt - 1))):
		}
	}
}
