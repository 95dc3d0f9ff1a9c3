package insert

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

// fakeWork records the events that it gets, and answers as told.
type fakeWork struct {
	answer func(ctx context.Context, sequenceNo int64) error

	mu               sync.Mutex
	events           []event.Event
	concurrent, most int
}

func (f *fakeWork) do(ctx context.Context, e event.Event) error {
	f.mu.Lock()
	f.events = append(f.events, e)
	f.concurrent++
	f.most = max(f.most, f.concurrent)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.concurrent--
		f.mu.Unlock()
	}()
	if f.answer != nil {
		return f.answer(ctx, e.SequenceNo)
	}
	return nil
}

// fakeQueue records what is parked, released and deleted, and the time that was left for it.
type fakeQueue struct {
	err, releaseErr, parkErr error
	deleted, released        []string
	parked, buried           []retryqueue.Parked
	unburied                 []int // what Bury answers
	execution                string
	releaseAt                time.Time
	left                     time.Duration
}

func (q *fakeQueue) Release(_ context.Context, receiptHandles []string, at time.Time) error {
	q.releaseAt, q.released = at, append(q.released, receiptHandles...)
	return q.releaseErr
}

func (q *fakeQueue) Park(ctx context.Context, execution string, events []retryqueue.Parked) error {
	q.execution, q.parked = execution, append(q.parked, events...)
	q.noteLeft(ctx)
	return q.parkErr
}

func (q *fakeQueue) Bury(ctx context.Context, execution string, events []retryqueue.Parked) ([]int, error) {
	if len(q.deleted) > 0 {
		return nil, errors.New("messages were deleted before their events were buried")
	}
	q.execution, q.buried = execution, append(q.buried, events...)
	q.noteLeft(ctx)
	if len(q.unburied) > 0 {
		return q.unburied, fmt.Errorf("send %d of %d messages: AccessDenied", len(q.unburied), len(events))
	}
	return nil, nil
}

func (q *fakeQueue) Delete(ctx context.Context, receiptHandles []string) error {
	q.deleted = append(q.deleted, receiptHandles...)
	q.noteLeft(ctx)
	return q.err
}

func (q *fakeQueue) noteLeft(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		q.left = time.Until(deadline)
	}
}

func handlerOf(work *fakeWork, queue Queue) (*Handler, *bytes.Buffer) {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	return &Handler{
		Work: work.do, Queue: queue, Logger: logger, FailureInjection: true, MaxReceiveCount: 3,
		Metrics: environment.Metrics{Logger: logger, ProjectName: "carnation", Environment: "test"},
	}, &log
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../event/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newItem is an item with a new event.
func newItem(sequenceNo int64) event.Item {
	return event.Item{Event: event.Event{
		SequenceNo: sequenceNo, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, StartSeq: 0, EndSeq: 1_000_000,
	}}
}

// claimed is an item with a claimed event.
func claimed(sequenceNo int64) event.Item {
	item := newItem(sequenceNo)
	item.Event.RetryAttempt = 1
	item.ReceiptHandle = fmt.Sprint("handle-", sequenceNo)
	return item
}

// handle invokes the function with items. It must succeed.
func handle(t *testing.T, h *Handler, ctx context.Context, rate float64, items ...event.Item) *Answer {
	t.Helper()
	if items == nil {
		items = []event.Item{}
	}
	payload, err := json.Marshal(map[string]any{"operation": InsertItems, "items": items, "failure_rate": rate, "run": "arn:run"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.Handle(ctx, payload)
	if err != nil {
		t.Fatalf("Handle() error = %v, want nil", err)
	}
	return answer
}

func TestEachEventIsWorkedOnOnce(t *testing.T) {
	work := &fakeWork{}
	h, _ := handlerOf(work, &fakeQueue{})
	items := []event.Item{newItem(1), claimed(2), newItem(3)}
	if got := handle(t, h, t.Context(), 0, items...); got.Inserted != 3 || len(got.Failed) != 0 {
		t.Fatalf("Handle() = %+v, want 3 inserted", got)
	}
	slices.SortFunc(work.events, func(a, b event.Event) int { return cmp.Compare(a.SequenceNo, b.SequenceNo) })
	if want := []event.Event{items[0].Event, items[1].Event, items[2].Event}; !slices.EqualFunc(work.events, want, event.Event.Equal) {
		t.Errorf("worked on %+v, want %+v", work.events, want)
	}
}

func show(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestInsertsRunTogetherButNotMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := &fakeWork{answer: func(context.Context, int64) error {
			time.Sleep(time.Second)
			return nil
		}}
		h, _ := handlerOf(work, &fakeQueue{})
		var items []event.Item
		for i := range int64(10 * concurrency) {
			items = append(items, newItem(i))
		}
		start := time.Now()
		answer := handle(t, h, t.Context(), 0, items...)
		if answer.Inserted != len(items) || len(work.events) != len(items) {
			t.Errorf("Handle() = %d inserted with %d calls, want %d", answer.Inserted, len(work.events), len(items))
		}
		if work.most != concurrency || time.Since(start) != 10*time.Second {
			t.Errorf("%d inserts at once, %s for all, want %d and 10s", work.most, time.Since(start), concurrency)
		}
	})
}

func TestAFailedInsertFailsNothingElse(t *testing.T) {
	work := &fakeWork{answer: func(_ context.Context, sequenceNo int64) error {
		if sequenceNo == 2 || sequenceNo == 4 {
			return &smithy.GenericAPIError{Code: "ProvisionedThroughputExceededException", Message: "slow down"}
		}
		return nil
	}}
	queue := &fakeQueue{}
	h, log := handlerOf(work, queue)
	answer := handle(t, h, t.Context(), 0, newItem(1), newItem(2), claimed(3), claimed(4), claimed(5))
	want := &Answer{Inserted: 3, Failed: []Failed{
		{Item: newItem(2), Error: "ProvisionedThroughputExceededException"}, {Item: claimed(4), Error: "ProvisionedThroughputExceededException"},
	}}
	if !reflect.DeepEqual(answer, want) {
		t.Errorf("Handle() = %+v, want %+v", answer, want)
	}
	// Only claimed events have messages, and only those of inserted events may be deleted.
	if want := []string{"handle-3", "handle-5"}; !slices.Equal(queue.deleted, want) {
		t.Errorf("deleted %v, want %v", queue.deleted, want)
	}
	if got := countsOf(t, log); got["EventsInserted"] != 3 || got["EventsFailed"] != 2 {
		t.Errorf("metrics = %v, want EventsInserted 3, EventsFailed 2", got)
	}
}

// countsOf are the counts of the one line of metrics in a log.
func countsOf(t *testing.T, log *bytes.Buffer) map[string]float64 {
	t.Helper()
	var found []map[string]float64
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if _, ok := record["_aws"]; ok {
			counts := map[string]float64{}
			for name, value := range record {
				if n, ok := value.(float64); ok {
					counts[name] = n
				}
			}
			found = append(found, counts)
		}
	}
	if len(found) != 1 {
		t.Fatalf("lines of metrics = %d, want 1:\n%s", len(found), log)
	}
	return found[0]
}

func TestAMessageIsDeletedOnlyAfterItsInsert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		work := &fakeWork{answer: func(context.Context, int64) error {
			time.Sleep(time.Second)
			order = append(order, "inserted")
			return nil
		}}
		h, _ := handlerOf(work, deleteFunc{Queue: takesAll{}, do: func() { order = append(order, "deleted") }})
		handle(t, h, t.Context(), 0, claimed(1))
		if want := []string{"inserted", "deleted"}; !slices.Equal(order, want) {
			t.Errorf("order = %v, want %v", order, want)
		}
	})
}

type deleteFunc struct {
	Queue
	do func()
}

func (f deleteFunc) Delete(context.Context, []string) error {
	f.do()
	return nil
}

func TestADeleteThatFailsLeavesTheEventInserted(t *testing.T) {
	queue := &fakeQueue{err: errors.New("delete 1 messages: InternalError: try again")}
	h, log := handlerOf(&fakeWork{}, queue)
	answer := handle(t, h, t.Context(), 0, claimed(1), newItem(2))
	if answer.Inserted != 2 || len(answer.Failed) != 0 {
		t.Errorf("Handle() = %+v, want 2 inserted", answer)
	}
	if !strings.Contains(log.String(), `"level":"ERROR"`) || !strings.Contains(log.String(), queue.err.Error()) {
		t.Errorf("log = %s, want the error", log)
	}
}

func TestNoItemsAreNoWork(t *testing.T) {
	work, queue := &fakeWork{}, &fakeQueue{}
	h, _ := handlerOf(work, queue)
	answer := handle(t, h, t.Context(), 0)
	if got, want := show(t, answer), `{"inserted":0,"dead":0,"failed":[]}`; got != want || len(work.events) > 0 || len(queue.deleted) > 0 {
		t.Errorf("Handle() of no items = %s with %d inserts, want %s and none", got, len(work.events), want)
	}
}

func TestEventsThatDoNotFitTheTimeAreAnsweredAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := &fakeWork{answer: func(ctx context.Context, sequenceNo int64) error {
			if sequenceNo == 1 {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("operation error DynamoDB: UpdateItem: %w", ctx.Err())
		}}
		queue := &fakeQueue{}
		h, _ := handlerOf(work, queue)
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		items := []event.Item{claimed(1)}
		for i := range int64(100) {
			items = append(items, claimed(2+i))
		}
		start := time.Now()
		answer := handle(t, h, ctx, 0, items...)
		if took := time.Since(start); took < 50*time.Second || took > 57*time.Second {
			t.Errorf("Handle() took %s of 60 s, want most of it, with seconds to spare", took)
		}
		if answer.Inserted != 1 || len(answer.Failed) != 100 {
			t.Fatalf("Handle() = %d inserted, %d failed, want 1 and 100", answer.Inserted, len(answer.Failed))
		}
		for i, failed := range answer.Failed {
			if failed.Error != "DeadlineExceeded" || !failed.Item.Equal(items[i+1]) {
				t.Errorf("failed[%d] = %+v, want event %d, DeadlineExceeded", i, failed, items[i+1].Event.SequenceNo)
			}
		}
		if len(work.events) > concurrency+1 {
			t.Errorf("inserts started = %d, want none after the time was up", len(work.events))
		}
		if !slices.Equal(queue.deleted, []string{"handle-1"}) || queue.left < time.Second {
			t.Errorf("deleted %v with %s left, want handle-1 with seconds left", queue.deleted, queue.left)
		}
	})
}

func TestAnInvocationThatStartsTooLateFailsItsItemsAtOnce(t *testing.T) {
	work := &fakeWork{}
	h, _ := handlerOf(work, &fakeQueue{})
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	answer := handle(t, h, ctx, 0, newItem(1))
	if answer.Inserted != 0 || len(answer.Failed) != 1 || answer.Failed[0].Error != "DeadlineExceeded" || len(work.events) > 0 {
		t.Errorf("Handle() = %+v with %d inserts, want DeadlineExceeded and none", answer, len(work.events))
	}
}

func TestBadInputIsRefusedBeforeAnythingIsInserted(t *testing.T) {
	item := string(read(t, "item"))
	items := func(fields string) string { return `{"operation":"InsertItems",` + fields + `}` }
	shard := func(fields string) string {
		return `{"operation":"InsertShard","items":[` + item + `],"run":"arn:run"` + fields + `}`
	}
	records := func(fields string) string {
		return `{"operation":"InsertRecords","run":"arn:run","source":"s3://bucket/key","time":1795416822` + fields + `}`
	}
	const run = `,"run":"arn:run"`
	const operations = "must be InsertItems or InsertRecords or InsertShard"
	const number = "must be an integer from 0 to 9007199254740991"
	for _, tc := range []struct {
		request   string
		injection bool
		want      string
	}{
		{`{}`, true, "operation is missing: " + operations},
		{`{"items":[` + item + `]}`, true, "operation is missing: " + operations},
		{`{"operation":"Insert"}`, true, `operation is "Insert": ` + operations},
		{`[` + item + `]`, true, "the request is ["},
		{`null`, true, "the request is null: must be a JSON object with the field operation"},
		{items(`"run":"arn:run"`), true, "items is missing: must be a list of items"},
		{items(`"items":null` + run), true, "items is null: must be a list of items"},
		{items(`"items":[` + item + `,{}]` + run), true, "items[1].event is missing: must be an event"},
		{items(`"items":[` + item + `],"failure_rate":2` + run), true, "failure_rate is 2: must be a number from 0 to 1"},
		{items(`"items":[` + item + `],"failure_rate":0.5` + run), false, "failure_rate is 0.5: must be 0, because the stack's parameter FailureInjection is disabled"},
		{items(`"items":[` + item + `],"rate":0.5` + run), true, "rate is unknown: must be one of operation, items, failure_rate, run"},
		{items(`"items":[` + item + `]`), true, "run is missing: must be the ARN of the run"},
		{items(`"items":[` + item + `],"run":""`), true, `run is "": must be the ARN of the run`},
		{items(`"items":[` + item + `],"run":7`), true, "run is 7: must be the ARN of the run"},
		{items(`"items":[` + item + `],"release_at":7` + run), true, "release_at is unknown: must be one of operation, items, failure_rate, run"},
		{shard(""), true, "release_at is missing: " + number},
		{shard(`,"release_at":9007199254740992`), true, "release_at is 9007199254740992: " + number},
		{shard(`,"release_at":-1`), true, "release_at is -1: " + number},
		{records(""), true, "records is missing: must be a list of records with their indexes"},
		{records(`,"records":{}`), true, "records is {}: must be a list of records with their indexes"},
		{records(`,"records":[7]`), true, "records[0] is 7: must be a JSON object with the fields index, record"},
		{records(`,"records":[{"record":{}}]`), true, "records[0].index is missing: must be an integer from 0 to 9007199254740990"},
		{records(`,"records":[{"index":-1,"record":{}}]`), true, "records[0].index is -1: must be an integer from 0 to 9007199254740990"},
		{records(`,"records":[{"index":0,"record":{}},{"index":1}]`), true, "records[1].record is missing: must be a record"},
		{records(`,"records":[],"release_at":1`), true, "release_at is unknown: must be one of operation, records, source, time, failure_rate, run"},
		{`{"operation":"InsertRecords","records":[],"time":1,"run":"a"}`, true, "source is missing: must be input, or s3:// with a bucket and a key"},
		{`{"operation":"InsertRecords","records":[],"source":"key","time":1,"run":"a"}`, true, `source is "key": must be input, or s3:// with a bucket and a key`},
		{`{"operation":"InsertRecords","records":[],"source":"input","run":"a"}`, true, "time is missing: " + number},
		{`{"operation":"InsertRecords","records":[],"source":"input","time":"1","run":"a"}`, true, `time is "1": ` + number},
	} {
		work := &fakeWork{}
		h, _ := handlerOf(work, &fakeQueue{})
		h.FailureInjection = tc.injection
		_, err := h.Handle(t.Context(), json.RawMessage(tc.request))
		if _, ok := err.(*event.InvalidInputError); !ok || !strings.HasPrefix(err.Error(), tc.want) || len(work.events) > 0 {
			t.Errorf("Handle(%s) error = %T %v with %d inserts, want *event.InvalidInputError %s and none", tc.request, err, err, len(work.events), tc.want)
		}
	}
}

func TestAnswerIsWrittenAsTheContractSays(t *testing.T) {
	work := &fakeWork{answer: func(_ context.Context, sequenceNo int64) error {
		if sequenceNo == 3 {
			return nil
		}
		return &types.ProvisionedThroughputExceededException{}
	}}
	h, _ := handlerOf(work, &fakeQueue{})
	payload, err := lambda.NewHandler(h.Handle).Invoke(t.Context(), read(t, "insert-data-input"))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	for data, value := range map[string]*any{string(payload): &got, string(read(t, "insert-data-answer")): &want} {
		decoder := json.NewDecoder(strings.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(value); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Invoke(insert-data-input.json) = %s, want insert-data-answer.json", payload)
	}
}

func TestLogsHaveNoPayloads(t *testing.T) {
	work := &fakeWork{answer: func(context.Context, int64) error {
		return &smithy.GenericAPIError{Code: "InternalServerError", Message: "try again"}
	}}
	h, log := handlerOf(work, &fakeQueue{err: errors.New("delete 1 messages: gone")})
	handle(t, h, t.Context(), 0.5, claimed(1), claimed(2), newItem(3))
	for _, secret := range []string{claimed(1).Event.RandomValue, claimed(1).ReceiptHandle} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("log has %s:\n%s", secret, log)
		}
	}
	if !strings.Contains(log.String(), `"sequenceNo":2`) {
		t.Errorf("log = %s, want the sequence numbers of failed events", log)
	}
}

func TestSimulatedFailuresAreTheSameEveryTime(t *testing.T) {
	for _, tc := range []struct {
		sequenceNo int64
		attempt    int
		rate       float64
		want       bool
	}{
		{0, 0, 0.3, false},
		{0, 0, 0.5, true},
		{0, 1, 0.5, false},
		{0, 3, 0.9, false},
		{1, 0, 0.1, true},
		{1, 1, 0.1, false},
		{1, 1, 0.3, true},
		{1, 2, 0.5, false},
		{1, 2, 0.9, true},
		{1, 3, 0.1, true},
		{2, 0, 0.5, false},
		{2, 0, 0.9, true},
		{2, 1, 0.3, true},
		{2, 2, 0.3, false},
		{2, 2, 0.5, true},
		{3, 0, 0.1, true},
		{3, 1, 0.1, true},
		{3, 2, 0.3, false},
		{3, 3, 0.5, false},
	} {
		if got := Simulated(tc.sequenceNo, tc.attempt, tc.rate); got != tc.want {
			t.Errorf("Simulated(%d, %d, %v) = %t, want %t", tc.sequenceNo, tc.attempt, tc.rate, got, tc.want)
		}
	}
}

func TestTheShareOfSimulatedFailuresIsTheRate(t *testing.T) {
	const events = 10_000
	for attempt := range 4 {
		for _, rate := range []float64{0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 1} {
			failures := 0
			for i := range int64(events) {
				if Simulated(i, attempt, rate) {
					failures++
				}
			}
			share := float64(failures) / events
			if math.Abs(share-rate) > 0.02 || (rate == 0 || rate == 1) && share != rate {
				t.Errorf("share of failures at rate %v, attempt %d = %v", rate, attempt, share)
			}
		}
	}
}

func TestSimulatedFailuresAreNotInserted(t *testing.T) {
	work, queue := &fakeWork{}, &fakeQueue{}
	h, _ := handlerOf(work, queue)
	answer := handle(t, h, t.Context(), 1, newItem(1), claimed(2))
	want := &Answer{Failed: []Failed{{Item: newItem(1), Error: "SimulatedFailure"}, {Item: claimed(2), Error: "SimulatedFailure"}}}
	if !reflect.DeepEqual(answer, want) || len(work.events) > 0 || len(queue.deleted) > 0 {
		t.Errorf("Handle() at rate 1 = %+v with %d inserts, want %+v and none", answer, len(work.events), want)
	}
	// The decision depends only on sequence number and attempt: event 0 fails at 0.5 when it is new, but not on its first retry.
	again := newItem(0)
	again.Event.RetryAttempt = 1
	again.Event.RandomValue = "6e1c2d74-93a0-4b1f-8c55-2f0a7d9be310"
	if got := handle(t, h, t.Context(), 0.5, newItem(0), again); got.Inserted != 1 || len(got.Failed) != 1 || got.Failed[0].Event.RetryAttempt != 0 {
		t.Errorf("Handle() at rate 0.5 = %+v, want the first attempt failed, the second inserted", got)
	}
}

func serviceError(status int, body string) smithyhttp.ClientDoFunc {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func TestErrorNamesOfTheRealClient(t *testing.T) {
	long := strings.Repeat("Throttled", 30)
	for _, tc := range []struct {
		name string
		do   smithyhttp.ClientDoFunc
		want string
	}{
		{"modelled", serviceError(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"m"}`), "ProvisionedThroughputExceededException"},
		{"condition", serviceError(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"m"}`), "ConditionalCheckFailedException"},
		{"not modelled", serviceError(400, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"m"}`), "AccessDeniedException"},
		{"not from DynamoDB", serviceError(400, `<html>`), "WorkFailed"},
		{"long", serviceError(400, `{"__type":"`+long+`","message":"m"}`), long[:maxError]},
		{"unsafe", serviceError(400, `{"__type":"Über\u0000 <code>","message":"m"}`), "_ber___code_"},
		{"connection", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, "ConnectionError"},
		{"deadline", func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, "DeadlineExceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := dynamodb.New(dynamodb.Options{
					Region: "eu-central-2", HTTPClient: tc.do, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), Retryer: aws.NopRetryer{},
				})
				h, _ := handlerOf(&fakeWork{}, &fakeQueue{})
				h.Work = writeTo(client)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				answer := handle(t, h, ctx, 0, newItem(1))
				if len(answer.Failed) != 1 || answer.Failed[0].Error != tc.want {
					t.Errorf("Handle() = %+v, want error %s", answer, tc.want)
				}
			})
		})
	}
}
