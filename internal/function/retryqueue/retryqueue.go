// Package retryqueue parks failed events in the SQS retry queue, counts and claims them, releases them, and deletes the
// ones that are in the table. See docs/design.md for what these words mean.
package retryqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/deadline"
)

const (
	// batchSize is the most messages that SQS receives, releases or deletes in one call.
	batchSize = 10
	// receivers is how many receives run at once: one alone gets about ten messages a round trip.
	receivers = 8
	// longPollSeconds makes an empty answer mean an empty queue, but for rare cases: a long poll asks all of the queue's servers.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/confirm-queue-is-empty.html
	longPollSeconds = 1
	// batchAttempts is how often an entry is sent that fails inside a batch that was served.
	batchAttempts = 5
	// MaxReceiptHandle is the longest receipt handle, in bytes.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
	MaxReceiptHandle = 1024
	// MaxReleaseAfter is the longest that a release leaves an event invisible. No claim lasts shorter.
	MaxReleaseAfter = 900 * time.Second
	// lastReceives is the time that receives get to end: messages on their way would be lost to this run if they were cut off.
	lastReceives = 5 * time.Second
)

// API calls an operation of SQS: *awsjson.Client, or what stands for it in a test.
type API interface {
	Call(ctx context.Context, operation string, input, output any) error
}

// Queue is the retry queue.
type Queue struct {
	API    API
	URL    string
	Logger *slog.Logger
}

// Room is what is left of a run for claimed items.
type Room struct {
	Only     bool // the run has no other items
	Items    int
	Bytes    int
	Overhead int       // bytes that an item takes besides its own JSON
	Until    time.Time // when the last receive has ended; zero for no limit but the context's
}

// Claim receives failed events until a long poll of every receiver comes back empty, the room is used up, or the time
// is up that ctx or the room gives, whichever is first. RetryAttempt of a claimed event is how often its message was received.
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
	if !room.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, room.Until)
		defer cancel()
	}
	starting, cancel := deadline.Reserve(ctx, lastReceives)
	defer cancel()
	c := claiming{queue: q, room: room, starting: starting, reserved: most + room.Overhead, claimed: map[string]claim{}}
	// Most runs find the queue empty. One receiver is enough to learn that; where there is nothing else to do, it asks twice.
	if c.receive(ctx) || room.Only && c.receive(ctx) {
		var wg sync.WaitGroup
		for range min(receivers, (room.Items+batchSize-1)/batchSize) {
			wg.Go(func() {
				for c.receive(ctx) {
				}
			})
		}
		wg.Wait()
	}
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

// receive claims up to ten messages, and says whether there may be more. After an error of one receiver, the others end too.
func (c *claiming) receive(ctx context.Context) bool {
	n := c.reserve()
	if n == 0 {
		return false
	}
	var out receiveOutput
	err := c.queue.API.Call(ctx, "ReceiveMessage", receiveInput{
		QueueUrl: c.queue.URL, MaxNumberOfMessages: n, WaitTimeSeconds: longPollSeconds, MessageSystemAttributeNames: []string{receiveCount},
	}, &out)
	c.take(ctx, n, out.Messages, err)
	return len(out.Messages) > 0
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
func (c *claiming) take(ctx context.Context, n int, messages []message, err error) {
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
		id := message.MessageId
		item := event.Item{ReceiptHandle: message.ReceiptHandle}
		var err error
		if item.Event, err = event.Parse([]byte(message.Body), ""); err != nil {
			// Not the error: it quotes the message.
			c.queue.Logger.ErrorContext(ctx, "message is no event, left to the dead-letter queue", "messageId", id)
			continue
		}
		count := message.Attributes[receiveCount]
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

// Release makes claimed messages visible again, at once or at that time, in whole seconds. The error says how many it has
// not reached; those come back when their visibility timeout ends.
func (q Queue) Release(ctx context.Context, receiptHandles []string, at time.Time) error {
	return eachBatch(ctx, q, "release", "ChangeMessageVisibilityBatch", receiptHandles, func(id, handle string) releaseEntry {
		after := min(max(0, time.Until(at)), MaxReleaseAfter)
		return releaseEntry{id, handle, int(math.Ceil(after.Seconds()))}
	})
}

// Delete removes claimed messages for good. The error says how many are still there; those come back when their
// visibility timeout ends.
func (q Queue) Delete(ctx context.Context, receiptHandles []string) error {
	return eachBatch(ctx, q, "delete", "DeleteMessageBatch", receiptHandles, func(id, handle string) deleteEntry {
		return deleteEntry{id, handle}
	})
}

// Parked is a new event that failed, with the type of its error.
type Parked struct {
	Event event.Event
	Error string
}

// Park sends new events to the queue, in the name of an execution. The error says how many are not there.
func (q Queue) Park(ctx context.Context, execution string, events []Parked) error {
	return eachBatch(ctx, q, "park", "SendMessageBatch", events, func(id string, parked Parked) sendEntry {
		return sendEntry{id, body(parked.Event), map[string]messageAttribute{"Error": {"String", parked.Error}, "ExecutionArn": {"String", execution}}}
	})
}

// Waiting is about how many failed events wait in the queue: SQS may lag behind by a minute.
func (q Queue) Waiting(ctx context.Context) (int, error) {
	var out attributesOutput
	if err := q.API.Call(ctx, "GetQueueAttributes", attributesInput{q.URL, []string{waitingNumber}}, &out); err != nil {
		return 0, fmt.Errorf("get attributes of the retry queue: %w", err)
	}
	waiting, err := strconv.Atoi(out.Attributes[waitingNumber])
	if err != nil || waiting < 0 {
		return 0, fmt.Errorf("%s of the retry queue is %q", waitingNumber, out.Attributes[waitingNumber])
	}
	return waiting, nil
}

// eachBatch calls an operation for batches of entries, and again for those that failed inside an answer.
func eachBatch[T, E any](ctx context.Context, q Queue, what, operation string, list []T, entry func(id string, of T) E) error {
	var group errgroup.Group
	group.SetLimit(receivers)
	var left atomic.Int64
	for some := range slices.Chunk(list, batchSize) {
		entries := map[string]E{}
		for i, of := range some {
			id := strconv.Itoa(i)
			entries[id] = entry(id, of)
		}
		group.Go(func() error {
			err := untilServed(ctx, q, operation, entries)
			if err != nil {
				left.Add(int64(len(entries)))
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s %d of %d messages: %w", what, left.Load(), len(list), err)
	}
	return nil
}

// untilServed leaves in entries, which go by their ids, those that are not known to be served, and says why.
func untilServed[E any](ctx context.Context, q Queue, operation string, entries map[string]E) error {
	for attempt := 1; ; attempt++ {
		var out batchOutput
		err := q.API.Call(ctx, operation, batchInput[E]{q.URL, slices.Collect(maps.Values(entries))}, &out)
		if err != nil {
			return err
		}
		for _, served := range out.Successful {
			delete(entries, served.Id)
		}
		if len(entries) == 0 {
			return nil
		}
		err = fmt.Errorf("the answer does not name %d of them", len(entries)-len(out.Failed))
		again := len(out.Failed) < len(entries)
		for _, failed := range out.Failed {
			again = again || !failed.SenderFault // a handle that is not valid never will be
			err = fmt.Errorf("%s: %s", failed.Code, failed.Message)
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
