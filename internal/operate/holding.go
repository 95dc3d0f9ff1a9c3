package operate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

const (
	batchSize = 10 // most messages of one call of SQS
	// receivers is how many receives run at once. From a laptop, a call takes up to 200 ms: 10,000 messages then take 13 seconds.
	receivers = 16
	// longPollSeconds makes receives long polls, which ask all servers of the queue. An empty answer means an empty queue, except in
	// rare cases. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/confirm-queue-is-empty.html
	longPollSeconds = 1
	// emptyReceives is how many empty receives in a row end a receiver while SQS counts more messages than have come.
	emptyReceives = 3
	// defaultHold is how long dead letters are held at most, if the context has no deadline. MaxHold is the longest deadline. SQS
	// hides a message for at most twelve hours.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
	defaultHold = 5 * time.Minute
	MaxHold     = 11 * time.Hour
	// lastCalls is the time for a receive that has begun, and for the delete of what was sent, after the context has ended. If they
	// were cut off, messages would stay hidden, or be in both queues.
	lastCalls = 15 * time.Second
	// releaseTime is the time to release what is held. After it, the rest comes back by itself.
	releaseTime = time.Minute
)

// Received is what a look at the whole dead-letter queue has seen.
type Received struct {
	Messages int // seen
	Matched  int // of these, selected
	// NotEvents is how many were selected and left out, because no run would take them: they are not events, or have a bad payload.
	NotEvents int
	// Unseen is about how many more SQS counts. Somebody else may hold them, or the count may be a minute old.
	Unseen int
	// Retention is how long the queue keeps a message after it was first sent.
	Retention time.Duration
	// Unreleased is how many messages could not be released. They come back by themselves.
	Unreleased int

	deleted int
}

// A handler works on selected dead letters, at most ten at a time. It returns those whose messages can be deleted now, even with an
// error. Several calls of it may run at once.
type handler func(ctx context.Context, letters []*DeadLetter) ([]*DeadLetter, error)

// holding is one pass through the dead-letter queue. It receives every message once, and keeps it hidden until the end of the pass, so that
// it does not come again. If the command is killed, the messages come back when the context of the pass would have ended.
type holding struct {
	stack     *Stack
	selection Selection
	ids       map[string]bool // those of the selection
	handle    handler
	report    func(seen int)
	began     time.Time // by the clock of SQS
	until     time.Time // when the messages come back by themselves

	mu       sync.Mutex
	received Received
	expected int
	full     bool                   // SQS holds no more messages
	stop     bool                   // as many as wanted are selected, or there was an error
	held     map[string]heldMessage // by message id
	deleted  map[string]bool        // message ids
}

// heldMessage is the latest receive of a message. SQS may deliver a message twice, and only the latest receipt handle is sure to work.
type heldMessage struct {
	handle   string
	receives int
}

// eachDeadLetter receives all messages of the dead-letter queue, gives the selected ones to handle, deletes those that it returns, and
// releases the others, also if ctx ends or something fails. It leaves out messages that came after it began: what a run sends back
// meanwhile is for the next time. It reports how many messages it has seen.
func (s *Stack) eachDeadLetter(ctx context.Context, selection Selection, report func(seen int), handle handler) (Received, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultHold)
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	h := &holding{
		stack: s, selection: selection, handle: handle, report: report, until: deadline.Add(lastCalls),
		ids: map[string]bool{}, held: map[string]heldMessage{}, deleted: map[string]bool{},
	}
	for _, id := range selection.MessageIDs {
		h.ids[id] = true
	}
	if err := h.count(ctx); err != nil {
		return h.received, err
	}
	group, together := errgroup.WithContext(ctx)
	for range min(receivers, 1+h.expected/batchSize) {
		group.Go(func() error {
			for empty := 0; !h.ends(empty); {
				n, err := h.receive(together)
				if err != nil {
					return err
				}
				if empty++; n > 0 {
					empty = 0
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	h.release(ctx)
	if seen := h.received.Messages; h.expected > seen && !h.selected() {
		h.received.Unseen = h.expected - seen
	}
	return h.received, err
}

// count reads what SQS counts, and the time of SQS.
func (h *holding) count(ctx context.Context) error {
	const (
		waiting   = types.QueueAttributeNameApproximateNumberOfMessages
		inFlight  = types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
		retention = types.QueueAttributeNameMessageRetentionPeriod
	)
	url := h.stack.DeadLetterQueueURL
	out, err := h.stack.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{waiting, inFlight, retention},
	})
	if err != nil {
		return fmt.Errorf("count messages of %s: %w", url, err)
	}
	for _, name := range []types.QueueAttributeName{waiting, inFlight, retention} {
		n, err := strconv.Atoi(out.Attributes[string(name)])
		if err != nil {
			return fmt.Errorf("count messages of %s: %s is %q: must be an integer", url, name, out.Attributes[string(name)])
		}
		if name == retention {
			h.received.Retention = time.Duration(n) * time.Second
		} else {
			h.expected += n
		}
	}
	h.began = time.Now()
	if now, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
		h.began = now.Add(time.Second) // it has whole seconds
	}
	return nil
}

// ends tells whether a receiver ends after this number of empty receives in a row.
func (h *holding) ends(empty int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stop || h.full || empty >= emptyReceives || empty > 0 && h.received.Messages >= h.expected
}

// selected tells whether as many messages are selected as the selection wants.
func (h *holding) selected() bool {
	return h.selection.Max > 0 && h.received.Matched >= h.selection.Max
}

// receive receives up to ten messages, has the selected ones handled, and returns how many messages came.
func (h *holding) receive(ctx context.Context) (int, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	// Nobody sees the messages of a receive that is cut off.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastCalls)
	defer cancel()
	hold := min(time.Until(h.until), MaxHold+time.Hour)
	out, err := h.stack.queues.ReceiveMessage(whole, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(h.stack.DeadLetterQueueURL), MaxNumberOfMessages: batchSize, WaitTimeSeconds: longPollSeconds,
		VisibilityTimeout: int32(math.Ceil(hold.Seconds())), MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{
			types.MessageSystemAttributeNameSentTimestamp, types.MessageSystemAttributeNameApproximateReceiveCount,
		},
	})
	// A queue can have 120,000 messages in flight. With long polls, SQS may also answer that there are no more.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
	if limit := (*types.OverLimit)(nil); errors.As(err, &limit) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.full = true
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("receive dead letters: %w", err)
	}
	return len(out.Messages), h.settle(whole, out.Messages)
}

// settle has the selected messages handled, and deletes those that the handler returns.
func (h *holding) settle(ctx context.Context, messages []types.Message) error {
	selected, done := h.take(messages)
	if len(selected) > 0 {
		handled, err := h.handle(ctx, selected)
		if err != nil {
			return errors.Join(err, h.delete(ctx, handled))
		}
		done = append(done, handled...)
	}
	return h.delete(ctx, done)
}

// take notes that messages are held. It returns the selected ones that have not come before, and those that come again although they were
// deleted.
func (h *holding) take(messages []types.Message) (selected, again []*DeadLetter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, message := range messages {
		letter := newDeadLetter(message)
		id := letter.MessageID
		held, known := h.held[id]
		if letter.Receives > held.receives { // the answers to two receives may come in any order
			h.held[id] = heldMessage{aws.ToString(message.ReceiptHandle), letter.Receives}
		}
		if h.deleted[id] {
			again = append(again, letter)
			continue
		}
		if known || letter.Sent.After(h.began) {
			continue
		}
		h.received.Messages++
		if h.stop || len(h.ids) > 0 && !h.ids[id] || !h.selection.matches(letter) {
			continue
		}
		if h.selection.EventsOnly && !letter.retriable() {
			h.received.NotEvents++
			continue
		}
		h.received.Matched++
		h.stop = h.selected()
		selected = append(selected, letter)
	}
	if h.report != nil {
		h.report(h.received.Messages)
	}
	return selected, again
}

// delete deletes messages. SQS can fail for one entry of a batch. Such an entry is sent again alone, and the SDK repeats that call.
func (h *holding) delete(ctx context.Context, letters []*DeadLetter) error {
	if len(letters) == 0 {
		return nil
	}
	h.mu.Lock()
	handles := make([]string, len(letters))
	for i, letter := range letters {
		handles[i] = h.held[letter.MessageID].handle
	}
	h.mu.Unlock()
	left, err := h.stack.deleteMessages(ctx, handles)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, letter := range letters {
		if left[i] {
			continue
		}
		delete(h.held, letter.MessageID)
		if !h.deleted[letter.MessageID] {
			h.deleted[letter.MessageID] = true
			h.received.deleted++
		}
	}
	if err != nil {
		return fmt.Errorf("delete %d of %d messages from the dead-letter queue: %w", len(left), len(letters), err)
	}
	return nil
}

// deleteMessages deletes at most ten messages by their receipt handles. It returns the positions of those that may still be there.
func (s *Stack) deleteMessages(ctx context.Context, handles []string) (left map[int]bool, err error) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(handles))
	left = map[int]bool{}
	for i, handle := range handles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(handle)}
		left[i] = true
	}
	url := aws.String(s.DeadLetterQueueURL)
	out, err := s.queues.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: entries})
	if err != nil {
		return left, err
	}
	for _, entry := range out.Successful {
		delete(left, position(entry.Id))
	}
	for i, handle := range handles {
		if !left[i] {
			continue
		}
		if _, failed := s.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String(handle)}); failed != nil {
			err = failed
			continue
		}
		delete(left, i)
	}
	return left, err
}

// position reads the id of an entry in the answer to a batch, -1 if it is not a number.
func position(id *string) int {
	i, err := strconv.Atoi(aws.ToString(id))
	if err != nil {
		return -1
	}
	return i
}

// release makes the messages visible again that are still held, even if ctx has ended. Those that it cannot release come back by
// themselves.
func (h *holding) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	handles := make([]string, 0, len(h.held))
	for _, held := range h.held {
		handles = append(handles, held.handle)
	}
	var group errgroup.Group
	group.SetLimit(receivers)
	released := make([]int, (len(handles)+batchSize-1)/batchSize)
	for n, batch := range slices.Collect(slices.Chunk(handles, batchSize)) {
		group.Go(func() error {
			entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(batch))
			for i, handle := range batch {
				entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(handle), VisibilityTimeout: 0}
			}
			out, err := h.stack.queues.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
				QueueUrl: aws.String(h.stack.DeadLetterQueueURL), Entries: entries,
			})
			if err == nil {
				released[n] = len(out.Successful)
			}
			return err
		})
	}
	group.Wait() // what is not released is counted
	h.received.Unreleased = len(handles)
	for _, n := range released {
		h.received.Unreleased -= n
	}
}
