package retryqueue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
)

const (
	queueURL   = "https://sqs.eu-central-2.amazonaws.com/111122223333/carnation-retry"
	visibility = 960 * time.Second
	roundTrip  = 20 * time.Millisecond
)

// fakeSQS behaves like a standard queue, in the time of a synctest bubble. A receive hides the messages that it answers, counts the
// receive, gives each message a new receipt handle, and answers fewer messages than it could. A short poll answers nothing.
type fakeSQS struct {
	API
	random     *rand.Rand
	handleSize int
	// receiving, if set, is called before each receive, numbered from 1.
	receiving func(ctx context.Context, n int) error
	// answering is how long an answer takes to arrive. Its messages are in flight by then.
	answering time.Duration

	mu         sync.Mutex
	messages   []*queued
	receives   []sqs.ReceiveMessageInput
	starts     []time.Time
	concurrent int
	most       int // receives at once
}

type queued struct {
	id, body, handle string
	receives         int
	hiddenUntil      time.Time
}

func newFakeSQS(bodies ...string) *fakeSQS {
	f := &fakeSQS{random: rand.New(rand.NewPCG(1, 2)), handleSize: 400}
	for i, body := range bodies {
		f.messages = append(f.messages, &queued{id: fmt.Sprintf("id-%d", i), body: body})
	}
	return f
}

func (f *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	f.mu.Lock()
	f.receives = append(f.receives, *in)
	f.starts = append(f.starts, time.Now())
	n := len(f.receives)
	f.concurrent++
	f.most = max(f.most, f.concurrent)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.concurrent--
		f.mu.Unlock()
	}()
	if in.MaxNumberOfMessages < 1 || in.MaxNumberOfMessages > 10 {
		return nil, fmt.Errorf("InvalidParameterValue: MaxNumberOfMessages is %d", in.MaxNumberOfMessages)
	}
	if f.receiving != nil {
		if err := f.receiving(ctx, n); err != nil {
			return nil, err
		}
	}
	out := &sqs.ReceiveMessageOutput{}
	for wait := roundTrip; ; wait = time.Duration(in.WaitTimeSeconds) * time.Second {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		if in.WaitTimeSeconds > 0 {
			out.Messages = f.hand(int(in.MaxNumberOfMessages))
		}
		if len(out.Messages) > 0 || wait != roundTrip || in.WaitTimeSeconds == 0 {
			break
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(f.answering):
		return out, nil
	}
}

// hand returns some of the visible messages, at least one.
func (f *fakeSQS) hand(most int) []types.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	most = 1 + f.random.IntN(most)
	var out []types.Message
	for _, i := range f.random.Perm(len(f.messages)) {
		m := f.messages[i]
		if len(out) == most {
			break
		}
		if time.Now().Before(m.hiddenUntil) {
			continue
		}
		m.receives++
		m.hiddenUntil = time.Now().Add(visibility)
		m.handle = fmt.Sprintf("%s#%d#", m.id, m.receives)
		m.handle += strings.Repeat("h", max(0, f.handleSize-len(m.handle)))
		out = append(out, received(m.id, m.body, m.handle, m.receives))
	}
	return out
}

func received(id, body, handle string, receives int) types.Message {
	return types.Message{
		MessageId: aws.String(id), Body: aws.String(body), ReceiptHandle: aws.String(handle),
		Attributes: map[string]string{"ApproximateReceiveCount": strconv.Itoa(receives)},
	}
}

// inFlight are the ids of the messages that were received.
func (f *fakeSQS) inFlight() []string {
	var ids []string
	for _, m := range f.messages {
		if m.receives > 0 {
			ids = append(ids, m.id)
		}
	}
	slices.Sort(ids)
	return ids
}

// bodyOf is an event as a message body.
func bodyOf(sequenceNo int64) string {
	return fmt.Sprintf(`{"sequence_no":%d,"random_value":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a","current_time":1795416822,"start_seq":0,"end_seq":%d,"retry_attempt":0}`,
		sequenceNo, int64(event.MaxSequenceNo))
}

func bodies(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = bodyOf(int64(i))
	}
	return list
}

// queueOf is a queue that calls a fake. A fake embeds the API to have all its methods; a call of one that it does not define panics.
func queueOf(fake API) (Queue, *bytes.Buffer) {
	var log bytes.Buffer
	return Queue{API: fake, URL: queueURL, Logger: slog.New(slog.NewJSONHandler(&log, nil))}, &log
}

// ids are the message ids that the fake wrote into the receipt handles.
func ids(items []event.Item) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i], _, _ = strings.Cut(item.ReceiptHandle, "#")
	}
	slices.Sort(list)
	return list
}

var ample = Room{Items: 500, Bytes: 1 << 20, Overhead: 130}

func TestClaimTakesAllThatWaits(t *testing.T) {
	for _, waiting := range []int{0, 1, 9, 10, 11, 79, 80, 81, 300} {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeSQS(bodies(waiting)...)
			for i, m := range f.messages {
				m.receives = i % 3
			}
			queue, log := queueOf(f)
			items, err := queue.Claim(t.Context(), ample)
			if len(items) != waiting || err != nil {
				t.Fatalf("Claim() of %d messages = %d items, %v, want all", waiting, len(items), err)
			}
			for i, item := range items {
				if item.Event.SequenceNo != int64(i) || item.Event.RetryAttempt != i%3+1 || item.ReceiptHandle != f.messages[i].handle {
					t.Errorf("item %d of %d = %+v, want event %d, attempt %d, in the order of the sequence numbers", i, waiting, item, i, i%3+1)
				}
			}
			if log.Len() > 0 {
				t.Errorf("log = %s, want nothing", log)
			}
		})
	}
}

func TestClaimAsksWithALongPollForTheReceiveCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSQS()
		queue, _ := queueOf(f)
		if _, err := queue.Claim(t.Context(), Room{Items: 7, Bytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if len(f.receives) != 1 {
			t.Fatalf("receives of an empty queue for 7 items = %d, want 1", len(f.receives))
		}
		in := f.receives[0]
		if aws.ToString(in.QueueUrl) != queueURL || in.MaxNumberOfMessages != 7 || in.WaitTimeSeconds < 1 || in.VisibilityTimeout != 0 ||
			!slices.Contains(in.MessageSystemAttributeNames, types.MessageSystemAttributeNameApproximateReceiveCount) {
			t.Errorf("ReceiveMessage(%+v), want up to 7 messages by a long poll, with their receive count, hidden for as long as the queue says", in)
		}
	})
}

// Each long poll of an empty queue takes a second and a connection, and costs a request.
func TestAnEmptyQueueIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSQS()
		queue, _ := queueOf(f)
		if items, err := queue.Claim(t.Context(), ample); len(items) > 0 || err != nil || len(f.receives) != 1 {
			t.Errorf("Claim() = %v, %v after %d receives, want nothing after one", items, err, len(f.receives))
		}
	})
}

// In rare cases, SQS answers a long poll without messages although there are some. A run that only claims asks again.
func TestARunThatOnlyClaimsAsksAnEmptyQueueTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := ample
		only.Only = true
		f := newFakeSQS()
		queue, _ := queueOf(f)
		if items, err := queue.Claim(t.Context(), only); len(items) > 0 || err != nil || len(f.receives) != 2 {
			t.Errorf("Claim() = %v, %v after %d receives, want nothing after two", items, err, len(f.receives))
		}
		played := &playedSQS{answers: [][]types.Message{{}, {received("id", bodyOf(1), "handle", 1)}}}
		queue, _ = queueOf(played)
		if items, err := queue.Claim(t.Context(), only); len(items) != 1 || err != nil {
			t.Errorf("Claim() = %v, %v, want what the second receive brings", items, err)
		}
	})
}

// recordOf is the body of a message of an event that was made from a record, with about as many bytes.
func recordOf(sequenceNo int64, bytes int) string {
	e := event.Largest()
	e.SequenceNo, e.RetryAttempt = sequenceNo, 0
	e.Payload = json.RawMessage(`{"<":"` + strings.Repeat("&", max(0, bytes-len(`{"<":""}`))) + `"}`)
	body, _ := event.Encode(e)
	return string(body)
}

func TestClaimKeepsInsideTheRoom(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 150 {
		room := Room{Items: random.IntN(120), Bytes: random.IntN(300_000), Overhead: random.IntN(300)}
		waiting, handleSize := random.IntN(200), 1+random.IntN(MaxReceiptHandle)
		if random.IntN(2) == 0 {
			handleSize = MaxReceiptHandle
		}
		synctest.Test(t, func(t *testing.T) {
			f := newFakeSQS()
			f.handleSize = max(handleSize, len("id-199#1#"))
			for i := range waiting {
				sequenceNo := random.Int64N(event.MaxSequenceNo)
				body := bodyOf(sequenceNo)
				if i%20 == 19 {
					body = recordOf(sequenceNo, random.IntN(event.MaxRecord))
				}
				f.messages = append(f.messages, &queued{id: fmt.Sprintf("id-%d", i), body: body, receives: random.IntN(2) * (math.MaxInt32 - 1)})
			}
			before := map[string]int{}
			for _, m := range f.messages {
				before[m.id] = m.receives
			}
			queue, _ := queueOf(f)
			items, err := queue.Claim(t.Context(), room)
			if err != nil {
				t.Fatal(err)
			}
			used := 0
			for _, item := range items {
				data, err := event.Encode(item)
				if err != nil {
					t.Fatal(err)
				}
				used += len(data) + room.Overhead
			}
			if len(items) > room.Items || used > room.Bytes {
				t.Errorf("Claim(%+v) with handles of %d = %d items of %d bytes, want no more than the room", room, handleSize, len(items), used)
			}
			// What does not fit stays visible in the queue, for other runs to claim.
			var hidden []string
			for _, m := range f.messages {
				if m.receives > before[m.id] {
					hidden = append(hidden, m.id)
				}
			}
			slices.Sort(hidden)
			if got := ids(items); !slices.Equal(got, hidden) {
				t.Errorf("Claim(%+v) = %d items and hid %d messages, want the same ones", room, len(got), len(hidden))
			}
			const largest = 24_000 // an event and a receipt handle at their longest
			if len(items) < min(waiting, room.Items) && room.Bytes-used >= largest+room.Overhead {
				t.Errorf("Claim(%+v) = %d items of %d bytes with %d messages waiting, want the room used", room, len(items), used, waiting)
			}
		})
	}
}

func TestClaimKeepsTheLatestReceiptHandleOfAMessageThatCameTwice(t *testing.T) {
	older, newer := received("twin", bodyOf(1), "older", 1), received("twin", bodyOf(1), "newer", 2)
	other := received("other", bodyOf(2), "other", 1)
	for _, tc := range []struct {
		name    string
		answers [][]types.Message
	}{
		{"newer last", [][]types.Message{{older}, {newer, other}}},
		{"older last", [][]types.Message{{newer}, {older}, {other}}},
		{"in one answer", [][]types.Message{{older, newer, other}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &playedSQS{answers: tc.answers}
			queue, _ := queueOf(f)
			// There is room for one receiver, and for one item more than there are messages.
			items, err := queue.Claim(t.Context(), Room{Items: 3, Bytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, item := range items {
				got = append(got, fmt.Sprint(item.ReceiptHandle, item.Event.RetryAttempt))
			}
			if want := []string{"newer2", "other1"}; !slices.Equal(got, want) {
				t.Errorf("Claim() = %v, want %v", got, want)
			}
			// A message that came twice takes the room of one item.
			if got := f.asked[len(f.asked)-1]; got != 1 {
				t.Errorf("last receive asked for %d messages, want 1", got)
			}
		})
	}
}

// playedSQS plays back answers to receives, and then none.
type playedSQS struct {
	API
	mu      sync.Mutex
	answers [][]types.Message
	asked   []int32
}

func (f *playedSQS) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, in.MaxNumberOfMessages)
	out := &sqs.ReceiveMessageOutput{}
	if len(f.answers) > 0 {
		out.Messages, f.answers = f.answers[0], f.answers[1:]
	}
	return out, nil
}

func TestClaimIgnoresMessagesThatAreNotEventsAndLogsOnlyTheirIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "s3cr3t"
		f := newFakeSQS(
			bodyOf(0), secret, bodyOf(1), `{"order":"`+secret+`"}`, `{"`+secret+`":1}`, "",
			strings.Replace(bodyOf(2), `"random_value":"`, `"random_value":"`+secret, 1),
			strings.Replace(bodyOf(3), `"current_time":`, `"current_time":"`+secret+`","sequence_no":`, 1), bodyOf(4),
		)
		queue, log := queueOf(f)
		items, err := queue.Claim(t.Context(), ample)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ids(items), []string{"id-0", "id-2", "id-8"}; !slices.Equal(got, want) {
			t.Errorf("Claim() = messages %v, want %v", got, want)
		}
		// They stay hidden and their receive is counted: this moves them to the dead-letter queue.
		if got := len(f.inFlight()); got != 9 {
			t.Errorf("messages in flight = %d, want all 9", got)
		}
		var logged []string
		for line := range strings.Lines(log.String()) {
			var record struct {
				Level, MessageID string
			}
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatal(err)
			}
			if record.Level != "ERROR" {
				t.Errorf("log line %s has level %s, want ERROR", line, record.Level)
			}
			logged = append(logged, record.MessageID)
		}
		slices.Sort(logged)
		if want := []string{"id-1", "id-3", "id-4", "id-5", "id-6", "id-7"}; !slices.Equal(logged, want) {
			t.Errorf("logged message ids = %v, want %v", logged, want)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("log has the content of a message, want only ids:\n%s", log)
		}
	})
}

func TestMessagesThatAreNotEventsTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSQS(slices.Concat(slices.Repeat([]string{"no event"}, 30), bodies(5))...)
		queue, _ := queueOf(f)
		items, err := queue.Claim(t.Context(), Room{Items: 5, Bytes: 1 << 20})
		if len(items) != 5 || err != nil {
			t.Errorf("Claim() = %d items, %v, want 5", len(items), err)
		}
	})
}

func TestClaimReturnsWhatItHasWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSQS(bodies(400)...)
		denied := errors.New("AccessDenied")
		f.receiving = func(_ context.Context, n int) error {
			if n == 12 {
				return denied
			}
			return nil
		}
		queue, _ := queueOf(f)
		items, err := queue.Claim(t.Context(), ample)
		if !errors.Is(err, denied) || !strings.Contains(err.Error(), "receive from the retry queue: ") {
			t.Errorf("Claim() error = %v, want receive from the retry queue: AccessDenied", err)
		}
		if got, want := ids(items), f.inFlight(); len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("Claim() = %d items with the error, want the %d in flight", len(got), len(want))
		}
		if got := len(f.receives); got != 12 {
			t.Errorf("receives = %d, want none that starts after the error of the 12th", got)
		}
	})
}

// endlessSQS has a new message for each receive, which takes a second.
func endlessSQS() *fakeSQS {
	f := newFakeSQS()
	f.answering = time.Second
	f.receiving = func(_ context.Context, n int) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.messages = append(f.messages, &queued{id: fmt.Sprint("late-", n), body: bodyOf(int64(n))})
		return nil
	}
	return f
}

func TestClaimStartsNoReceiveWhenItsTimeIsAlmostUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := endlessSQS()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		queue, _ := queueOf(f)
		items, err := queue.Claim(ctx, ample)
		if err != nil {
			t.Errorf("Claim() error = %v, want nil: what is claimed by then is what the run gets", err)
		}
		if got, want := ids(items), f.inFlight(); len(got) < 25 || !slices.Equal(got, want) {
			t.Errorf("Claim() = %d items, want all %d that were received", len(got), len(want))
		}
		if last := f.starts[len(f.starts)-1].Sub(start); last < 20*time.Second || last > 25*time.Second {
			t.Errorf("last receive started after %s, want shortly before 25 s of 30 s", last)
		}
	})
}

// What other shards release becomes visible after that time.
func TestClaimEndsByTheTimeOfItsRoom(t *testing.T) {
	for _, tc := range []struct{ until, last, ended time.Duration }{
		{20 * time.Second, 15 * time.Second, 20 * time.Second}, {time.Minute, 25 * time.Second, 30 * time.Second}, {-time.Second, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := endlessSQS()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			room := ample
			start := time.Now()
			room.Until = start.Add(tc.until)
			queue, _ := queueOf(f)
			items, err := queue.Claim(ctx, room)
			if err != nil || (len(items) == 0) != (tc.last == 0) || time.Since(start) > tc.ended {
				t.Errorf("until %s: Claim() = %d items, %v after %s, want it to end by %s", tc.until, len(items), err, time.Since(start), tc.ended)
			}
			for _, began := range f.starts {
				if began.Sub(start) >= tc.last {
					t.Errorf("until %s: a receive started after %s, want none from %s on", tc.until, began.Sub(start), tc.last)
				}
			}
		})
	}
}

func TestClaimCutOffByItsDeadlineIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeSQS(bodies(60)...)
		f.receiving = func(ctx context.Context, n int) error {
			if n > 4 {
				<-ctx.Done()
				return fmt.Errorf("operation error SQS: ReceiveMessage: %w", ctx.Err())
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		queue, log := queueOf(f)
		items, err := queue.Claim(ctx, ample)
		if got, want := ids(items), f.inFlight(); err != nil || len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("Claim() = %d items, %v, want the %d received before", len(got), err, len(want))
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("Claim() took %s, want at most 30 s", took)
		}
		if !strings.Contains(log.String(), `"level":"WARN"`) {
			t.Errorf("log = %s, want a warning", log)
		}
	})
}

// batchSQS makes entries of batches fail as told, and records every call.
type batchSQS struct {
	API
	// answer returns, for the n-th call from 1, the receipt handles that fail in the answer, and the error of the call.
	answer func(n int, handles []string) ([]string, error)
	silent bool // the answer does not name those that fail

	mu     sync.Mutex
	calls  [][]string // receipt handles, sorted
	served []string
}

// call returns the ids that were served, and the entries that failed.
func (f *batchSQS) call(url *string, timeouts []int32, ids, handles []string) ([]*string, []types.BatchResultErrorEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sorted := slices.Sorted(slices.Values(handles))
	f.calls = append(f.calls, sorted)
	unique := slices.Compact(slices.Sorted(slices.Values(ids)))
	if aws.ToString(url) != queueURL || len(ids) < 1 || len(ids) > 10 || len(unique) != len(ids) || len(slices.Compact(append(timeouts, 7))) != 1 {
		return nil, nil, fmt.Errorf("bad batch: url %s, ids %v, visibility timeouts %v", aws.ToString(url), ids, timeouts)
	}
	var fail []string
	if f.answer != nil {
		var err error
		if fail, err = f.answer(len(f.calls), sorted); err != nil {
			return nil, nil, err
		}
	}
	var served []*string
	var failed []types.BatchResultErrorEntry
	for i, handle := range handles {
		switch {
		case !slices.Contains(fail, handle):
			f.served = append(f.served, handle)
			served = append(served, aws.String(ids[i]))
		case !f.silent:
			failed = append(failed, types.BatchResultErrorEntry{Id: aws.String(ids[i]), Code: aws.String("InternalError"), Message: aws.String("try again")})
		}
	}
	return served, failed, nil
}

func (f *batchSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	var ids, handles []string
	var timeouts []int32
	for _, entry := range in.Entries {
		ids, handles = append(ids, aws.ToString(entry.Id)), append(handles, aws.ToString(entry.ReceiptHandle))
		timeouts = append(timeouts, entry.VisibilityTimeout)
	}
	served, failed, err := f.call(in.QueueUrl, timeouts, ids, handles)
	out := &sqs.ChangeMessageVisibilityBatchOutput{Failed: failed}
	for _, id := range served {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: id})
	}
	return out, err
}

func (f *batchSQS) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	var ids, handles []string
	for _, entry := range in.Entries {
		ids, handles = append(ids, aws.ToString(entry.Id)), append(handles, aws.ToString(entry.ReceiptHandle))
	}
	served, failed, err := f.call(in.QueueUrl, nil, ids, handles)
	out := &sqs.DeleteMessageBatchOutput{Failed: failed}
	for _, id := range served {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: id})
	}
	return out, err
}

// SendMessageBatch takes event n for handle n.
func (f *batchSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	var ids, handles []string
	for _, entry := range in.Entries {
		parked, err := event.Parse([]byte(aws.ToString(entry.MessageBody)), "")
		if err != nil {
			return nil, err
		}
		for name, want := range map[string]string{"Error": fmt.Sprintf("error %d", parked.SequenceNo), "ExecutionArn": "arn:run"} {
			if a := entry.MessageAttributes[name]; aws.ToString(a.StringValue) != want || aws.ToString(a.DataType) != "String" {
				return nil, fmt.Errorf("message attribute %s is %+v, want %s", name, a, want)
			}
		}
		ids, handles = append(ids, aws.ToString(entry.Id)), append(handles, fmt.Sprintf("handle-%03d", parked.SequenceNo))
	}
	served, failed, err := f.call(in.QueueUrl, nil, ids, handles)
	out := &sqs.SendMessageBatchOutput{Failed: failed}
	for _, id := range served {
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: id})
	}
	return out, err
}

func park(q Queue, ctx context.Context, handles []string) error {
	var events []Parked
	for _, handle := range handles {
		n, err := strconv.ParseInt(strings.TrimPrefix(handle, "handle-"), 10, 64)
		if err != nil {
			return err
		}
		events = append(events, Parked{
			Event: event.Event{SequenceNo: n, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, EndSeq: 1000}, Error: fmt.Sprintf("error %d", n),
		})
	}
	return q.Park(ctx, "arn:run", events)
}

func release(q Queue, ctx context.Context, handles []string) error {
	return q.Release(ctx, handles, time.Now().Add(6500*time.Millisecond)) // rounded up to 7 seconds
}

func handlesOf(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("handle-%03d", i)
	}
	return list
}

// eachCall runs a test for Park, Release and Delete, which share their batches and retries.
func eachCall(t *testing.T, test func(t *testing.T, what string, call func(Queue, context.Context, []string) error)) {
	for what, call := range map[string]func(Queue, context.Context, []string) error{"send": park, "release": release, "delete": Queue.Delete} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, what, call) })
		})
	}
}

func TestHandlesGoInBatchesOfTen(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		for _, tc := range []struct {
			handles int
			want    []int // sizes of the batches, sorted
		}{
			{0, nil},
			{1, []int{1}},
			{10, []int{10}},
			{11, []int{1, 10}},
			{25, []int{5, 10, 10}},
			{200, slices.Repeat([]int{10}, 20)},
		} {
			f := &batchSQS{}
			queue, _ := queueOf(f)
			err := call(queue, t.Context(), handlesOf(tc.handles))
			var got []int
			for _, handles := range f.calls {
				got = append(got, len(handles))
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%s of %d handles: batches of %v, %v, want %v", what, tc.handles, got, err, tc.want)
			}
			slices.Sort(f.served)
			if !slices.Equal(f.served, handlesOf(tc.handles)) {
				t.Errorf("%s of %d handles served %v, want each once", what, tc.handles, f.served)
			}
		}
	})
}

func TestOnlyTheEntriesThatFailedAreSentAgain(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		all := handlesOf(10)
		f := &batchSQS{answer: func(n int, _ []string) ([]string, error) {
			return map[int][]string{1: all[3:6], 2: all[3:4]}[n], nil
		}}
		queue, _ := queueOf(f)
		err := call(queue, t.Context(), all)
		want := [][]string{all, all[3:6], all[3:4]}
		if err != nil || !slices.EqualFunc(f.calls, want, slices.Equal) {
			t.Errorf("%s: calls %v, %v, want %v", what, f.calls, err, want)
		}
	})
}

func TestEntriesAreTriedFiveTimesAndThenCounted(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		stubborn := []string{"handle-002", "handle-007"}
		f := &batchSQS{answer: func(int, []string) ([]string, error) { return stubborn, nil }}
		queue, _ := queueOf(f)
		err := call(queue, t.Context(), handlesOf(10))
		if want := what + " 2 of 10 messages: InternalError: try again"; err == nil || err.Error() != want {
			t.Errorf("%s error = %v, want %s", what, err, want)
		}
		if len(f.calls) != 5 || len(f.served) != 8 {
			t.Errorf("%s: %d calls, %d served, want 5 and 8", what, len(f.calls), len(f.served))
		}
	})
}

// An entry that the answer does not name may not have been served.
func TestEntriesThatTheAnswerDoesNotNameAreTriedAgain(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		f := &batchSQS{silent: true, answer: func(n int, handles []string) ([]string, error) { return handles[:max(0, 3-n)], nil }}
		queue, _ := queueOf(f)
		err := call(queue, t.Context(), handlesOf(10))
		if want := [][]string{handlesOf(10), handlesOf(2), handlesOf(1)}; err != nil || !slices.EqualFunc(f.calls, want, slices.Equal) {
			t.Errorf("%s: calls %v, %v, want %v", what, f.calls, err, want)
		}

		f = &batchSQS{silent: true, answer: func(_ int, handles []string) ([]string, error) { return handles, nil }}
		queue, _ = queueOf(f)
		err = call(queue, t.Context(), handlesOf(2))
		if want := what + " 2 of 2 messages: the answer does not name 2 of them"; fmt.Sprint(err) != want || len(f.calls) != 5 {
			t.Errorf("%s error = %v after %d calls, want %s after 5", what, err, len(f.calls), want)
		}
	})
}

// The functions reserve 5 seconds for releases. Without jitter, shards whose entries fail together would send them again together.
func TestEachDelayOfTheBackOffIsRandomAndAllEndInThreeSeconds(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		delays := [batchAttempts - 1][]time.Duration{}
		for range 100 {
			var before time.Time
			f := &batchSQS{answer: func(n int, handles []string) ([]string, error) {
				if n > 1 {
					delays[n-2] = append(delays[n-2], time.Since(before))
				}
				before = time.Now()
				return handles, nil
			}}
			queue, _ := queueOf(f)
			start := time.Now()
			if err := call(queue, t.Context(), handlesOf(1)); err == nil {
				t.Errorf("%s: error = nil, want that of the entry", what)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%s backed off for %s, want at most 3 s", what, took)
			}
		}
		for i, all := range delays {
			most := 200 * time.Millisecond << i
			if shortest, longest := slices.Min(all), slices.Max(all); shortest > most/2 || longest < most/2 || longest > most {
				t.Errorf("%s: delay %d is %s to %s in 100 calls, want a random one up to %s", what, i+1, shortest, longest, most)
			}
		}
	})
}

func TestOneBatchsFailureLeavesTheOthersAlone(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		f := &batchSQS{answer: func(_ int, handles []string) ([]string, error) {
			if slices.Contains(handles, "handle-011") {
				return nil, errors.New("AccessDenied")
			}
			return nil, nil
		}}
		queue, _ := queueOf(f)
		err := call(queue, t.Context(), handlesOf(25))
		if want := what + " 10 of 25 messages: AccessDenied"; err == nil || err.Error() != want {
			t.Errorf("%s error = %v, want %s", what, err, want)
		}
		if len(f.calls) != 3 || len(f.served) != 15 {
			t.Errorf("%s: %d calls, %d served, want 3 and 15: an error of a call was tried again by the SDK", what, len(f.calls), len(f.served))
		}
	})
}

func TestTheEndOfTheContextEndsTheBackOff(t *testing.T) {
	eachCall(t, func(t *testing.T, what string, call func(Queue, context.Context, []string) error) {
		ctx, cancel := context.WithCancel(t.Context())
		var ended time.Time
		f := &batchSQS{answer: func(n int, handles []string) ([]string, error) {
			if n == 3 {
				cancel()
				ended = time.Now()
			}
			return handles[:1], nil
		}}
		queue, _ := queueOf(f)
		err := call(queue, ctx, handlesOf(3))
		if !errors.Is(err, context.Canceled) || !strings.HasPrefix(fmt.Sprint(err), what+" 1 of 3 messages: InternalError: try again") {
			t.Errorf("%s error = %v, want %s 1 of 3 messages: InternalError, and the end of the context", what, err, what)
		}
		if late := time.Since(ended); late != 0 || len(f.calls) != 3 {
			t.Errorf("%s ended %s after its context and %d calls, want it at once after 3", what, late, len(f.calls))
		}
	})
}

// countedSQS answers GetQueueAttributes.
type countedSQS struct {
	API
	attributes map[string]string
	err        error
}

func (c countedSQS) GetQueueAttributes(_ context.Context, in *sqs.GetQueueAttributesInput, _ ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	if want := []types.QueueAttributeName{"ApproximateNumberOfMessages"}; aws.ToString(in.QueueUrl) != queueURL || !slices.Equal(in.AttributeNames, want) {
		return nil, fmt.Errorf("GetQueueAttributes(%s, %v), want %s, %v", aws.ToString(in.QueueUrl), in.AttributeNames, queueURL, want)
	}
	return &sqs.GetQueueAttributesOutput{Attributes: c.attributes}, c.err
}

func TestWaitingIsTheNumberThatSQSGives(t *testing.T) {
	const name = "ApproximateNumberOfMessages"
	for _, tc := range []struct {
		sqs  countedSQS
		want int
		err  string
	}{
		{countedSQS{attributes: map[string]string{name: "12345"}}, 12345, "<nil>"},
		{countedSQS{attributes: map[string]string{name: "0"}}, 0, "<nil>"},
		{countedSQS{attributes: map[string]string{name: "-1"}}, 0, `ApproximateNumberOfMessages of the retry queue is "-1"`},
		{countedSQS{}, 0, `ApproximateNumberOfMessages of the retry queue is ""`},
		{countedSQS{err: errors.New("AccessDenied")}, 0, "get attributes of the retry queue: AccessDenied"},
	} {
		queue, _ := queueOf(tc.sqs)
		if got, err := queue.Waiting(t.Context()); fmt.Sprint(err) != tc.err || err == nil && got != tc.want {
			t.Errorf("Waiting() of %+v = %d, %v, want %d, %s", tc.sqs, got, err, tc.want, tc.err)
		}
	}
}

// The body of a message is the event as JSON.
func TestClaimReadsTheContractsEvent(t *testing.T) {
	data, err := os.ReadFile("../../event/testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	f := &playedSQS{answers: [][]types.Message{{received("id", string(data), "handle", 2)}}}
	queue, _ := queueOf(f)
	items, err := queue.Claim(t.Context(), ample)
	want := event.Item{Event: event.Event{
		SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, StartSeq: 1, EndSeq: 21, RetryAttempt: 2,
	}, ReceiptHandle: "handle"}
	if err != nil || !slices.EqualFunc(items, []event.Item{want}, event.Item.Equal) {
		t.Errorf("Claim() = %+v, %v, want %+v", items, err, want)
	}
}

// deadSQS keeps what is sent, by the URL of the queue. It refuses the events whose numbers are in refused.
type deadSQS struct {
	API
	refused []string
	mu      sync.Mutex
	sent    map[string][]types.SendMessageBatchRequestEntry
}

func (d *deadSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &sqs.SendMessageBatchOutput{}
	for _, entry := range in.Entries {
		e, err := event.Parse([]byte(aws.ToString(entry.MessageBody)), "")
		if err != nil {
			return nil, err
		}
		if slices.Contains(d.refused, strconv.FormatInt(e.SequenceNo, 10)) {
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: entry.Id, Code: aws.String("AccessDenied"), SenderFault: true})
			continue
		}
		d.sent[aws.ToString(in.QueueUrl)] = append(d.sent[aws.ToString(in.QueueUrl)], entry)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: entry.Id})
	}
	return out, nil
}

// The caller deletes the messages of the events that Bury has sent, and of no other.
func TestBurySendsToTheDeadLetterQueueAndSaysWhichEventsAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var events []Parked
		for n := range int64(25) {
			events = append(events, Parked{Event: event.Event{
				SequenceNo: n, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, EndSeq: 1000, RetryAttempt: 3,
			}, Error: "Name", Permanent: n%2 == 0})
		}
		d := &deadSQS{refused: []string{"3", "17", "24"}, sent: map[string][]types.SendMessageBatchRequestEntry{}}
		queue, _ := queueOf(d)
		queue.DeadLetterURL = "https://sqs/dead"
		left, err := queue.Bury(t.Context(), "arn:run", events)
		if slices.Sort(left); !slices.Equal(left, []int{3, 17, 24}) || fmt.Sprint(err) != "send 3 of 25 messages: AccessDenied: " {
			t.Errorf("Bury() = %v, %v, want 3, 17 and 24 left", left, err)
		}
		if len(d.sent) != 1 || len(d.sent["https://sqs/dead"]) != 22 {
			t.Fatalf("sent to %v, want 22 messages to the dead-letter queue", slices.Collect(maps.Keys(d.sent)))
		}
		for _, message := range d.sent["https://sqs/dead"] {
			e, err := event.Parse([]byte(aws.ToString(message.MessageBody)), "")
			if err != nil || e.RetryAttempt != 0 {
				t.Errorf("message %s: %v, want the event with retry_attempt 0", aws.ToString(message.MessageBody), err)
			}
			permanent, marked := message.MessageAttributes["Permanent"]
			if want := e.SequenceNo%2 == 0; marked != want || want && aws.ToString(permanent.StringValue) != "true" {
				t.Errorf("event %d has the attribute Permanent %t %q, want it only if no retry can cure it", e.SequenceNo, marked, aws.ToString(permanent.StringValue))
			}
			if got := aws.ToString(message.MessageAttributes["Error"].StringValue) + " " + aws.ToString(message.MessageAttributes["ExecutionArn"].StringValue); got != "Name arn:run" {
				t.Errorf("attributes %s, want Name arn:run", got)
			}
		}
		if left, err := queue.Bury(t.Context(), "arn:run", nil); len(left) > 0 || err != nil {
			t.Errorf("Bury() of nothing = %v, %v", left, err)
		}
	})
}

// A batch of SQS may have as many bytes as a message: 1 MiB, and 256 KiB in the past.
func TestTenOfTheLargestEventsFitABatchOfSQS(t *testing.T) {
	largest := event.Largest()
	d := &deadSQS{sent: map[string][]types.SendMessageBatchRequestEntry{}}
	queue, _ := queueOf(d)
	if err := queue.Park(t.Context(), strings.Repeat("a", 300), slices.Repeat([]Parked{{Event: largest, Error: strings.Repeat("E", 90), Permanent: true}}, 10)); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, message := range d.sent[queue.URL] {
		size += len(aws.ToString(message.MessageBody))
		for name, value := range message.MessageAttributes {
			size += len(name) + len(aws.ToString(value.DataType)) + len(aws.ToString(value.StringValue))
		}
	}
	if size < 10*event.MaxRecord || size > 256<<10 {
		t.Errorf("the batch has %d bytes, want ten records and at most 256 KiB", size)
	}
}
