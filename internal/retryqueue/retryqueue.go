// Package retryqueue parks failed events in the SQS retry queue, counts and claims them, releases them, and deletes the
// ones that are in the table. See docs/design.md for what these words mean.
package retryqueue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"carnation/internal/deadline"
	"carnation/internal/event"
)

const (
	// batchSize is the most messages that SQS receives, releases or deletes in one call.
	batchSize = 10
	// receivers is how many receives run at once: one alone gets about ten messages a round trip.
	receivers = 8
	// longPollSeconds makes an empty answer mean an empty queue: only a long poll asks all of the queue's servers.
	longPollSeconds = 1
	// batchAttempts is how often an entry is sent that fails inside a batch that was served.
	batchAttempts = 5
	// MaxReceiptHandle is the longest receipt handle, in bytes.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
	MaxReceiptHandle = 1024
	// MaxReleaseAfter is the most seconds that a release leaves an event invisible. No claim lasts shorter.
	MaxReleaseAfter = 900
)

// API is what a Queue asks of SQS.
type API interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Queue is the retry queue.
type Queue struct {
	API    API
	URL    string
	Logger *slog.Logger
}

// Room is what is left of a run for claimed items.
type Room struct {
	Items    int
	Bytes    int
	Overhead int // bytes that an item takes besides its own JSON
}

// Claim receives failed events until a long poll of every receiver comes back empty, the room is used up, or the time
// is up that ctx gives, whichever is first. RetryAttempt of a claimed event is how often its message was received.
// A message that is no event is logged and left alone: SQS itself moves it to the dead-letter queue.
// With an error come the items that were claimed before it, for the caller to release.
func (q Queue) Claim(ctx context.Context, room Room) ([]event.Item, error) {
	most, err := event.Item{
		Event: event.Event{
			SequenceNo: event.MaxSequenceNo, RandomValue: uuid.NewString(), CurrentTime: event.MaxSequenceNo,
			StartSeq: event.MaxSequenceNo, EndSeq: event.MaxSequenceNo, RetryAttempt: math.MaxInt32,
		},
		ReceiptHandle: strings.Repeat("h", MaxReceiptHandle),
	}.Size()
	if err != nil {
		return nil, err
	}
	// The last receives get the time to end: messages on their way would be lost to this run if they were cut off.
	starting, cancel := deadline.Reserve(ctx)
	defer cancel()
	c := claiming{queue: q, room: room, starting: starting, reserved: most + room.Overhead, claimed: map[string]claim{}}
	var wg sync.WaitGroup
	for range min(receivers, (room.Items+batchSize-1)/batchSize) {
		wg.Go(func() { c.receive(ctx) })
	}
	wg.Wait()
	items := make([]event.Item, 0, len(c.claimed))
	for _, claim := range c.claimed {
		items = append(items, claim.item)
	}
	slices.SortFunc(items, func(a, b event.Item) int { return cmp.Compare(a.Event.SequenceNo, b.Event.SequenceNo) })
	return items, c.err
}

// claiming is the state that the receivers of one Claim share.
type claiming struct {
	queue    Queue
	starting context.Context // done when no more receives are to be started
	reserved int             // bytes set aside for a message that is not received yet: the largest there is

	mu      sync.Mutex
	room    Room
	claimed map[string]claim // by message id: SQS may deliver a message twice
	err     error
}

type claim struct {
	item event.Item
	size int
}

// receive claims until there is nothing more to claim. After an error of one receiver, the others end their call too.
func (c *claiming) receive(ctx context.Context) {
	for {
		n := c.reserve()
		if n == 0 {
			return
		}
		out, err := c.queue.API.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:                    aws.String(c.queue.URL),
			MaxNumberOfMessages:         int32(n),
			WaitTimeSeconds:             longPollSeconds,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
		})
		var messages []types.Message
		if err == nil {
			messages = out.Messages
		}
		c.take(ctx, n, messages, err)
		if len(messages) == 0 {
			return
		}
	}
}

// reserve sets room aside for one receive and says for how many messages, 0 when claiming is over.
func (c *claiming) reserve() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.starting.Err() != nil {
		return 0
	}
	n := max(0, min(batchSize, c.room.Items, c.room.Bytes/c.reserved))
	c.room.Items -= n
	c.room.Bytes -= n * c.reserved
	return n
}

// take keeps what was received and gives back what it did not need of the room reserved for n messages.
func (c *claiming) take(ctx context.Context, n int, messages []types.Message, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room.Items += n
	c.room.Bytes += n * c.reserved
	switch {
	case err != nil && ctx.Err() != nil: // the time is up: what is claimed by now is what this run gets
		c.queue.Logger.WarnContext(ctx, "receive from the retry queue cut off", "error", err.Error())
	case err != nil:
		c.fail(fmt.Errorf("receive from the retry queue: %w", err))
	}
	for _, message := range messages {
		id := aws.ToString(message.MessageId)
		item := event.Item{ReceiptHandle: aws.ToString(message.ReceiptHandle)}
		var err error
		if item.Event, err = event.Parse([]byte(aws.ToString(message.Body)), ""); err != nil {
			// Not the error: it quotes the message.
			c.queue.Logger.ErrorContext(ctx, "message is no event, left to the dead-letter queue", "messageId", id)
			continue
		}
		count := message.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]
		if item.Event.RetryAttempt, err = strconv.Atoi(count); err != nil {
			c.fail(fmt.Errorf("ApproximateReceiveCount of message %s is %q", id, count))
		}
		size, err := item.Size()
		if err != nil {
			c.fail(err)
		}
		if known, ok := c.claimed[id]; ok {
			c.room.Items++
			c.room.Bytes += known.size
			// The receipt handle of the latest receive is the one that counts.
			if known.item.Event.RetryAttempt > item.Event.RetryAttempt {
				item, size = known.item, known.size-c.room.Overhead
			}
		}
		c.claimed[id] = claim{item, size + c.room.Overhead}
		c.room.Items--
		c.room.Bytes -= size + c.room.Overhead
	}
}

// fail ends the claiming. Further errors say the same: receives that were on their way fail together.
func (c *claiming) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Release makes claimed messages visible again, after some seconds. The error says how many it has not reached; those come
// back when their visibility timeout ends.
func (q Queue) Release(ctx context.Context, receiptHandles []string, after int) error {
	return eachBatch(ctx, "release", receiptHandles, func(batch map[string]string) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(q.URL)}
		for id, handle := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(id), ReceiptHandle: aws.String(handle), VisibilityTimeout: int32(after),
			})
		}
		out, err := q.API.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// Delete removes claimed messages for good. The error says how many are still there; those come back when their
// visibility timeout ends.
func (q Queue) Delete(ctx context.Context, receiptHandles []string) error {
	return eachBatch(ctx, "delete", receiptHandles, func(batch map[string]string) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(q.URL)}
		for id, handle := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(id), ReceiptHandle: aws.String(handle)})
		}
		out, err := q.API.DeleteMessageBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// Parked is a new event that failed, with the type of its error.
type Parked struct {
	Event event.Event
	Error string
}

// Park sends new events to the queue, in the name of an execution. The error says how many are not there.
func (q Queue) Park(ctx context.Context, execution string, events []Parked) error {
	return eachBatch(ctx, "park", events, func(batch map[string]Parked) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(q.URL)}
		for id, parked := range batch {
			body, err := json.Marshal(parked.Event)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", parked.Event.SequenceNo, err)
			}
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: aws.String(id), MessageBody: aws.String(string(body)),
				MessageAttributes: map[string]types.MessageAttributeValue{"Error": text(parked.Error), "ExecutionArn": text(execution)},
			})
		}
		out, err := q.API.SendMessageBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
}

// Waiting is about how many failed events wait in the queue: SQS may lag behind by a minute.
func (q Queue) Waiting(ctx context.Context) (int, error) {
	const name = types.QueueAttributeNameApproximateNumberOfMessages
	out, err := q.API.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(q.URL), AttributeNames: []types.QueueAttributeName{name},
	})
	if err != nil {
		return 0, fmt.Errorf("get attributes of the retry queue: %w", err)
	}
	waiting, err := strconv.Atoi(out.Attributes[string(name)])
	if err != nil || waiting < 0 {
		return 0, fmt.Errorf("%s of the retry queue is %q", name, out.Attributes[string(name)])
	}
	return waiting, nil
}

// eachBatch calls for batches of entries by their id, and again for those that failed inside an answer.
func eachBatch[T any](ctx context.Context, what string, entries []T, call func(map[string]T) ([]types.BatchResultErrorEntry, error)) error {
	var group errgroup.Group
	group.SetLimit(receivers)
	var left atomic.Int64
	for some := range slices.Chunk(entries, batchSize) {
		batch := map[string]T{}
		for i, entry := range some {
			batch[strconv.Itoa(i)] = entry
		}
		group.Go(func() error {
			err := untilServed(ctx, batch, call)
			if err != nil {
				left.Add(int64(len(batch)))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s %d of %d messages: %w", what, left.Load(), len(entries), err)
	}
	return nil
}

// untilServed leaves in batch the entries that were not served, and says why.
func untilServed[T any](ctx context.Context, batch map[string]T, call func(map[string]T) ([]types.BatchResultErrorEntry, error)) error {
	for attempt := 1; ; attempt++ {
		failed, err := call(batch)
		if err != nil {
			return err
		}
		left := map[string]T{}
		again := false
		for _, entry := range failed {
			id := aws.ToString(entry.Id)
			left[id] = batch[id]
			again = again || !entry.SenderFault // a handle that is not valid never will be
			err = fmt.Errorf("%s: %s", aws.ToString(entry.Code), aws.ToString(entry.Message))
		}
		if len(left) == 0 {
			return nil
		}
		for id := range batch {
			if _, ok := left[id]; !ok {
				delete(batch, id)
			}
		}
		if attempt == batchAttempts || !again {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(100 * time.Millisecond << attempt):
		}
	}
}
