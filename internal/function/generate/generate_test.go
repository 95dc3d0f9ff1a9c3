package generate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/insert"
	"carnation/internal/function/retryqueue"
)

// fakeQueue returns claimed items as told, and records its calls.
type fakeQueue struct {
	claimed    []event.Item
	claimErr   error
	releaseErr error
	claiming   func(ctx context.Context)

	rooms           []retryqueue.Room
	released        []string
	releaseDeadline time.Duration // left when Release was called
}

func (q *fakeQueue) Claim(ctx context.Context, room retryqueue.Room) ([]event.Item, error) {
	q.rooms = append(q.rooms, room)
	if q.claiming != nil {
		q.claiming(ctx)
	}
	return q.claimed, q.claimErr
}

func (q *fakeQueue) Release(ctx context.Context, receiptHandles []string, at time.Time) error {
	if !at.IsZero() {
		return fmt.Errorf("released at %s, want at once", at)
	}
	q.released = append(q.released, receiptHandles...)
	if deadline, ok := ctx.Deadline(); ok {
		q.releaseDeadline = time.Until(deadline)
	}
	return q.releaseErr
}

func handlerOf(queue Queue) (*Handler, *bytes.Buffer) {
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	return &Handler{
		Queue: queue, Metrics: environment.Metrics{Logger: logger, ProjectName: "carnation", Environment: "test"}, Logger: logger,
		Concurrency: environment.Concurrency{Value: 10}, FailureInjection: true,
	}, &log
}

// runOf is the request for a run with this input; "" leaves the input out.
func runOf(input string) json.RawMessage {
	if input == "" {
		return json.RawMessage(`{"operation":"GenerateRun","started":"2026-11-26T12:00:00.5Z"}`)
	}
	return json.RawMessage(`{"operation":"GenerateRun","input":` + input + `,"started":"2026-11-26T12:00:00.5Z"}`)
}

var claimedItem = event.Item{
	Event: event.Event{
		SequenceNo: 3, RandomValue: "6e1c2d74-93a0-4b1f-8c55-2f0a7d9be310", CurrentTime: 1795410000, StartSeq: 1, EndSeq: 11, RetryAttempt: 2,
	},
	ReceiptHandle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a+/=",
}

func TestBadInputIsRefusedBeforeAnythingIsClaimed(t *testing.T) {
	const (
		names    = "start_seq, end_seq, events, source, failure_rate, time"
		integer  = "an integer from 0 to 9007199254740991"
		number   = "a number from 0 to 1"
		disabled = "0, because the stack's parameter FailureInjection is disabled"
	)
	for _, tc := range []struct {
		input     string
		injection bool
		want      string
	}{
		{`{}`, true, "the input is an object without fields: must be an object with start_seq and end_seq, or with events, or with source"},
		{`{"events":[],"start_seq":1,"end_seq":2}`, true, `the input is an object with end_seq, events, start_seq: must be an object with start_seq and end_seq, or with events, or with source`},
		{`{"source":{"bucket":"my-bucket","key":"a/b"}}`, true, "source is s3://my-bucket/a/b: must be left out, because only a stack with MapMode=DISTRIBUTED reads records from S3"},
		{`{"events":[{}],"failure_rate":0.1}`, false, "failure_rate is 0.1: must be " + disabled},
		{`{"end_seq":5}`, true, "start_seq is missing: must be " + integer},
		{`{"start_seq":1}`, true, "end_seq is missing: must be an integer from 1 to 9007199254740991"},
		{`{"start_seq":"1","end_seq":5}`, true, `start_seq is "1": must be ` + integer},
		{`{"start_seq":1,"end_seq":"5"}`, true, `end_seq is "5": must be an integer from 1 to 9007199254740991`},
		{`{"start_seq":null,"end_seq":5}`, true, "start_seq is null: must be " + integer},
		{`{"start_seq":1,"end_seq":null}`, true, "end_seq is null: must be an integer from 1 to 9007199254740991"},
		{`{"start_seq":1.0,"end_seq":5}`, true, "start_seq is 1.0: must be " + integer},
		{`{"start_seq":1,"end_seq":1e3}`, true, "end_seq is 1e3: must be an integer from 1 to 9007199254740991"},
		{`{"start_seq":-1,"end_seq":5}`, true, "start_seq is -1: must be " + integer},
		{`{"start_seq":-5,"end_seq":-1}`, true, "start_seq is -5: must be " + integer},
		{`{"start_seq":6,"end_seq":5}`, true, "end_seq is 5: must be an integer from 6 to 9007199254740991"},
		{`{"start_seq":0,"end_seq":9007199254740992}`, true, "end_seq is 9007199254740992: must be " + integer},
		{`{"start_seq":9223372036854775808,"end_seq":5}`, true, "start_seq is 9223372036854775808: must be " + integer},
		{`{"start_seq":1,"end_seq":5,"failure_rate":-0.1}`, true, "failure_rate is -0.1: must be " + number},
		{`{"start_seq":1,"end_seq":5,"failure_rate":1.5}`, true, "failure_rate is 1.5: must be " + number},
		{`{"start_seq":1,"end_seq":5,"failure_rate":"NaN"}`, true, `failure_rate is "NaN": must be ` + number},
		{`{"start_seq":1,"end_seq":5,"failure_rate":null}`, true, "failure_rate is null: must be " + number},
		{`{"start_seq":1,"end_seq":5,"failure_rate":0.1}`, false, "failure_rate is 0.1: must be " + disabled},
		{`{"start_seq":1,"end_seq":5,"failure_rat":0.1}`, true, "failure_rat is unknown: must be one of " + names},
		{`{"start_seq":1,"End_seq":5}`, true, "End_seq is unknown: must be one of " + names},
		{`[1,5]`, true, "the input is a list: must be a JSON object with the fields " + names},
		{`null`, true, "the input is null: must be a JSON object with the fields " + names},
		{`"start_seq"`, true, `the input is a string: must be a JSON object with the fields ` + names},
		{``, true, "the input is missing: must be a JSON object with the fields " + names},
	} {
		queue := &fakeQueue{}
		h, log := handlerOf(queue)
		h.FailureInjection = tc.injection
		answer, err := h.Handle(t.Context(), runOf(tc.input))
		if got := fmt.Sprint(err); got != tc.want || nameOf(err) != "InvalidInputError" || answer != nil {
			t.Errorf("Handle(%s) = %v, %s %s, want InvalidInputError %s", tc.input, answer, nameOf(err), got, tc.want)
		}
		if len(queue.rooms) > 0 || log.Len() > 0 {
			t.Errorf("Handle(%s) claimed %d times and logged %s, want neither", tc.input, len(queue.rooms), log)
		}
	}
}

func TestAFailureRateOfZeroIsAllowedWhereFailuresAreNotSimulated(t *testing.T) {
	for _, input := range []string{`{"start_seq":1,"end_seq":3}`, `{"start_seq":1,"end_seq":3,"failure_rate":0}`, `{"start_seq":1,"end_seq":3,"failure_rate":0.0}`} {
		h, _ := handlerOf(&fakeQueue{})
		h.FailureInjection = false
		if answer, err := h.Handle(t.Context(), runOf(input)); err != nil || answer.Generated != 2 {
			t.Errorf("Handle(%s) = %v, %v, want 2 events", input, answer, err)
		}
	}
}

func TestARangeThatDoesNotFitOneRunIsRefused(t *testing.T) {
	for _, tc := range []struct{ input, want string }{
		{`{"start_seq":1,"end_seq":543}`,
			"end_seq is 543: the range of 542 events does not fit one run: the largest that fits is 541 events (end_seq 542); split it into several runs, or use the distributed mode"},
		{`{"start_seq":0,"end_seq":9007199254740991}`,
			"end_seq is 9007199254740991: the range of 9007199254740991 events does not fit one run: the largest that fits is 541 events (end_seq 541); split it into several runs, or use the distributed mode"},
	} {
		queue := &fakeQueue{}
		h, _ := handlerOf(queue)
		_, err := h.Handle(t.Context(), runOf(tc.input))
		if got := fmt.Sprint(err); got != tc.want || nameOf(err) != "RangeTooLargeError" || len(queue.rooms) > 0 {
			t.Errorf("Handle(%s) error = %s %s, want RangeTooLargeError %s", tc.input, nameOf(err), got, tc.want)
		}
	}
	h, _ := handlerOf(&fakeQueue{})
	if answer, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":542}`)); err != nil || len(answer.Items) != MaxItems {
		t.Errorf("Handle() of the range that the error names: %v, want %d items", err, MaxItems)
	}
}

func TestTheRangeIsHalfOpenAndEveryEventIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := handlerOf(&fakeQueue{})
		answer, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":21}`))
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Items) != 20 || answer.Generated != 20 || answer.Claimed != 0 {
			t.Fatalf("Handle() = %d items, %d generated, %d claimed, want 20, 20 and 0", len(answer.Items), answer.Generated, answer.Claimed)
		}
		uuidV4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		seen := map[string]bool{}
		for i, item := range answer.Items {
			random := item.Event.RandomValue
			if !uuidV4.MatchString(random) || seen[random] {
				t.Errorf("item %d has random_value %s, want a UUID version 4 of its own", i, random)
			}
			seen[random] = true
			want := event.Item{Event: event.Event{SequenceNo: int64(i) + 1, RandomValue: random, CurrentTime: 1795694400, StartSeq: 1, EndSeq: 21}}
			if !item.Equal(want) {
				t.Errorf("item %d = %+v, want %+v", i, item, want)
			}
		}
	})
}

func TestARunHasTheConcurrencyOfItsMap(t *testing.T) {
	for _, tc := range []struct{ value, reserved, want int64 }{{10, 0, 10}, {40, 4, 4}} {
		h, log := handlerOf(&fakeQueue{})
		h.Concurrency = environment.Concurrency{Value: tc.value, Reserved: tc.reserved}
		answer, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":3}`))
		if err != nil || answer.MaxConcurrency != tc.want {
			t.Errorf("Handle() with %d at once, %d reserved = %+v, %v, want %d", tc.value, tc.reserved, answer, err, tc.want)
		}
		if lowered := strings.Contains(log.String(), "concurrency lowered"); lowered != (tc.reserved > 0) {
			t.Errorf("log with %d at once, %d reserved:\n%s", tc.value, tc.reserved, log)
		}
	}
}

func TestAnEmptyRangeOnlyClaims(t *testing.T) {
	for _, input := range []string{`{"start_seq":0,"end_seq":0}`, `{"start_seq":5,"end_seq":5}`} {
		for _, claimed := range [][]event.Item{nil, {claimedItem}} {
			queue := &fakeQueue{claimed: claimed}
			h, _ := handlerOf(queue)
			answer, err := h.Handle(t.Context(), runOf(input))
			if err != nil || !slices.EqualFunc(answer.Items, claimed, event.Item.Equal) || answer.Generated != 0 || answer.Claimed != len(claimed) {
				t.Errorf("Handle(%s) = %+v, %v, want the %d claimed", input, answer, err, len(claimed))
			}
			if len(queue.rooms) != 1 || queue.rooms[0].Items != 395 {
				t.Errorf("Handle(%s) claimed into %+v, want once, with room for 395", input, queue.rooms)
			}
			if answer.Items == nil {
				t.Errorf("Handle(%s) answers null items, which a Map state cannot take: want a list", input)
			}
		}
	}
}

func TestNewEventsComeFirstAndTakeTheirRoom(t *testing.T) {
	queue := &fakeQueue{claimed: []event.Item{claimedItem}}
	h, log := handlerOf(queue)
	answer, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":101}`))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Generated != 100 || answer.Claimed != 1 || len(answer.Items) != 101 || !answer.Items[100].Equal(claimedItem) {
		t.Errorf("Handle() = %d generated, %d claimed, %d items, want 100 and 1, the claimed one last", answer.Generated, answer.Claimed, len(answer.Items))
	}
	if got := queue.rooms[0].Items; got != 322 {
		t.Errorf("room = %d items, want 322: (24,900 - 100 x 46) / 63", got)
	}
	var line struct{ EventsGenerated, EventsClaimed int }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.EventsGenerated != 100 || line.EventsClaimed != 1 {
		t.Errorf("log = %s, %v, want EventsGenerated 100 and EventsClaimed 1", log, err)
	}
	if strings.Contains(log.String(), claimedItem.Event.RandomValue) || strings.Contains(log.String(), claimedItem.ReceiptHandle) {
		t.Errorf("log has a payload:\n%s", log)
	}
}

func TestAnErrorAfterClaimingReleasesWhatWasClaimed(t *testing.T) {
	other := claimedItem
	other.ReceiptHandle = "other"
	denied := errors.New("AccessDenied")
	for _, tc := range []struct {
		name       string
		claimed    []event.Item
		releaseErr error
		released   []string
		want       string
	}{
		{"nothing claimed", nil, nil, nil, "claim failed events: AccessDenied"},
		{"two claimed", []event.Item{claimedItem, other}, nil, []string{claimedItem.ReceiptHandle, "other"}, "claim failed events: AccessDenied"},
		{"not released", []event.Item{claimedItem}, errors.New("release 1 messages: gone"), []string{claimedItem.ReceiptHandle},
			"claim failed events: AccessDenied\nrelease 1 messages: gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			queue := &fakeQueue{claimed: tc.claimed, claimErr: denied, releaseErr: tc.releaseErr}
			h, log := handlerOf(queue)
			answer, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":3}`))
			if got := fmt.Sprint(err); got != tc.want || nameOf(err) != "ClaimError" || !errors.Is(err, denied) || answer != nil {
				t.Errorf("Handle() = %v, %s %s, want ClaimError %s", answer, nameOf(err), got, tc.want)
			}
			if !slices.Equal(queue.released, tc.released) {
				t.Errorf("released %v, want %v", queue.released, tc.released)
			}
			if log.Len() > 0 {
				t.Errorf("log = %s, want no counts of a run that does not go on", log)
			}
		})
	}
}

func TestClaimingLeavesTimeToRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := &fakeQueue{
			claimed: []event.Item{claimedItem}, claimErr: errors.New("AccessDenied"),
			claiming: func(ctx context.Context) { <-ctx.Done() },
		}
		h, _ := handlerOf(queue)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := h.Handle(ctx, runOf(`{"start_seq":0,"end_seq":0}`)); err == nil {
			t.Error("Handle() error = nil, want the ClaimError")
		}
		if queue.releaseDeadline < time.Second {
			t.Errorf("time left to release = %s, want seconds", queue.releaseDeadline)
		}
	})
}

// nameOf is the name of an error that a state machine sees: aws-lambda-go takes it from the type of the returned error.
func nameOf(err error) string {
	if err == nil {
		return ""
	}
	kind := reflect.TypeOf(err)
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	return kind.Name()
}

func TestAnswerIsWrittenAsTheContractSays(t *testing.T) {
	queue := &fakeQueue{claimed: []event.Item{claimedItem}}
	h, _ := handlerOf(queue)
	payload, err := lambda.NewHandler(h.Handle).Invoke(t.Context(), runOf(`{"start_seq":7,"end_seq":8}`))
	if err != nil {
		t.Fatal(err)
	}
	got, want := decode(t, payload), decode(t, read(t, "generate-data-answer"))
	// These values are new every time.
	made := got.(map[string]any)["items"].([]any)[0].(map[string]any)["event"].(map[string]any)
	file := want.(map[string]any)["items"].([]any)[0].(map[string]any)["event"].(map[string]any)
	for _, name := range []string{"random_value", "current_time"} {
		if reflect.TypeOf(made[name]) != reflect.TypeOf(file[name]) {
			t.Errorf("%s = %v, want one like %v", name, made[name], file[name])
		}
		made[name] = file[name]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Invoke() = %s, want generate-data-answer.json", payload)
	}
}

func TestTheContractsExecutionInputIsTaken(t *testing.T) {
	h, _ := handlerOf(&fakeQueue{})
	answer, err := h.Handle(t.Context(), runOf(string(read(t, "execution-input"))))
	if err != nil || answer.Generated != 20 {
		t.Errorf("Handle(execution-input.json) = %v, %v, want 20 events", answer, err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../event/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decode reads JSON and keeps its numbers as written.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("decode %s: %v", data, err)
	}
	return value
}

// endlessSQS has more events than any run can take, each with this body.
type endlessSQS struct {
	retryqueue.API
	body       string
	handleSize int

	mu       sync.Mutex
	received int
}

func (q *endlessSQS) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.ReceiveMessageOutput{}
	for range in.MaxNumberOfMessages {
		out.Messages = append(out.Messages, types.Message{
			MessageId:     aws.String(strconv.Itoa(q.received)),
			Body:          aws.String(q.body),
			ReceiptHandle: aws.String(strings.Repeat("h", q.handleSize)),
			Attributes:    map[string]string{"ApproximateReceiveCount": strconv.Itoa(math.MaxInt32)},
		})
		q.received++
	}
	return out, nil
}

// longestError is the longest name of an error that insert-data answers, taken from an answer of its handler.
func longestError(t *testing.T) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	h := &insert.Handler{Queue: noQueue{}, Logger: log, Metrics: environment.Metrics{Logger: log}, Work: func(context.Context, event.Event) error {
		return &smithy.GenericAPIError{Code: strings.Repeat("E", 10_000)}
	}}
	answer, err := h.Handle(t.Context(), json.RawMessage(`{"operation":"InsertItems","run":"arn","items":[`+string(read(t, "item"))+`]}`))
	if err != nil || len(answer.Failed) != 1 {
		t.Fatalf("insert.Handle() = %v, %v, want one failed item", answer, err)
	}
	return answer.Failed[0].Error
}

type noQueue struct{ insert.Queue }

func (noQueue) Delete(context.Context, []string) error { return nil }

func (noQueue) Bury(context.Context, string, []retryqueue.Parked) ([]int, error) { return nil, nil }

// largestMessages are the bodies of the largest messages of generated events, and of events made from records.
func largestMessages(t *testing.T) map[string]string {
	t.Helper()
	const random = "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"
	record := event.Largest()
	record.RetryAttempt = 0
	return map[string]string{
		"generated": fmt.Sprintf(`{"sequence_no":%d,"random_value":"%s","current_time":%d,"start_seq":%d,"end_seq":%d,"retry_attempt":0}`,
			event.MaxSequenceNo-1, random, event.MaxSequenceNo, event.MaxSequenceNo-1, event.MaxSequenceNo),
		"record": string(marshal(t, record)),
	}
}

// inputsOf are inputs of runs with this many new events: as a range, and as records that are as large as fits.
func inputsOf(t *testing.T, events int) []string {
	t.Helper()
	inputs := []string{fmt.Sprintf(`{"start_seq":%d,"end_seq":%d}`, event.MaxSequenceNo-events, event.MaxSequenceNo)}
	if events == 0 {
		return append(inputs, `{"events":[]}`)
	}
	const empty = `{"r":""}`
	e, err := event.FromRecord(event.InputSource, 1795694400, int64(events), json.RawMessage(empty))
	if err != nil {
		t.Fatal(err)
	}
	size, err := event.Item{Event: e}.Size()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("<", min(maxItemsState/events-size-itemOverhead, event.MaxRecord-len(empty)))
	return append(inputs, `{"events":[`+strings.TrimSuffix(strings.Repeat(`{"r":"`+text+`"},`, events), ",")+`]}`)
}

// A state has at most 256 KiB. The largest state of a run is the result of Process Events if every event failed.
func TestItemsFitTheStateEvenIfEveryOneFails(t *testing.T) {
	const limit = 262_144
	name := longestError(t)
	for kind, body := range largestMessages(t) {
		for _, handleSize := range []int{1, 400, retryqueue.MaxReceiptHandle} {
			for _, events := range []int{0, 1, 100, MaxItems - 1, MaxItems} {
				for _, input := range inputsOf(t, events) {
					api := &endlessSQS{body: body, handleSize: handleSize}
					h, _ := handlerOf(retryqueue.Queue{API: api, Logger: slog.New(slog.DiscardHandler)})
					answer, err := h.Handle(t.Context(), runOf(input))
					if err != nil {
						t.Fatalf("%.100s: %v", input, err)
					}
					what := fmt.Sprintf("%d new events of %.20s and %d claims of a %s event with handles of %d", events, input, answer.Claimed, kind, handleSize)
					type failed struct {
						Item  event.Item `json:"item"`
						Error string     `json:"error"`
					}
					type outcome struct {
						Failed failed `json:"failed"`
					}
					var outcomes []outcome
					var failures []failed
					for _, item := range answer.Items {
						outcomes = append(outcomes, outcome{failed{item, name}})
						failures = append(failures, failed{item, name})
					}
					sizes := map[string]int{
						"answer":                  len(marshal(t, answer)),
						"result of the Map":       len(marshal(t, outcomes)),
						"input of the second Map": len(marshal(t, map[string]any{"total": len(answer.Items), "failures": failures})),
					}
					for state, size := range sizes {
						if size > limit-1024 { // Lambda's answer has an envelope of headers
							t.Errorf("%s: the %s has %d bytes, want at most %d", what, state, size, limit-1024)
						}
					}
					if answer.Generated != events || answer.Claimed > MaxClaims(events) || answer.Claimed != api.received {
						t.Errorf("%s: %d generated, %d received, want at most %d claims and no more received than claimed", what, answer.Generated, api.received, MaxClaims(events))
					}
					// The room for one more event is reserved for the largest.
					if left := limit - sizes["result of the Map"]; answer.Claimed < MaxClaims(events) && left > 32_000 {
						t.Errorf("%s, although %d bytes are left", what, left)
					}
				}
			}
		}
	}
}

// A receive has ten messages. If ten of the largest did not fit, a run could claim fewer than SQS hands out at once.
func TestTenOfTheLargestEventsFitOneRun(t *testing.T) {
	api := &endlessSQS{body: largestMessages(t)["record"], handleSize: retryqueue.MaxReceiptHandle}
	h, _ := handlerOf(retryqueue.Queue{API: api, Logger: slog.New(slog.DiscardHandler)})
	if answer, err := h.Handle(t.Context(), runOf(`{"start_seq":0,"end_seq":0}`)); err != nil || answer.Claimed != 10 {
		t.Errorf("claimed %d, %v, want 10", answer.Claimed, err)
	}
}

func TestEachRecordBecomesAnEvent(t *testing.T) {
	queue := &fakeQueue{claimed: []event.Item{claimedItem}}
	h, log := handlerOf(queue)
	records := []string{`{"secret":"Zoë <&>"}`, `{"n":12345678901234567890123456789012345678}`}
	answer, err := h.Handle(t.Context(), runOf(`{"events":[`+strings.Join(records, ",")+`],"time":7}`))
	if err != nil {
		t.Fatal(err)
	}
	var want []event.Item
	for i, record := range records {
		e, err := event.FromRecord("input", 7, int64(i)+1, json.RawMessage(record))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, event.Item{Event: e})
	}
	if want = append(want, claimedItem); !slices.EqualFunc(answer.Items, want, event.Item.Equal) || answer.Generated != 2 || answer.Claimed != 1 {
		t.Errorf("Handle() = %+v, want %+v", answer, want)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has a record:\n%s", log)
	}
	// Without a time, it is the start of the execution.
	answer, err = h.Handle(t.Context(), runOf(`{"events":[{}]}`))
	if err != nil || answer.Items[0].Event.CurrentTime != 1795694400 {
		t.Errorf("Handle() = %+v, %v, want an event of the execution's start", answer, err)
	}
}

func TestBadRecordsAreRefusedBeforeAnythingIsClaimed(t *testing.T) {
	queue := &fakeQueue{}
	h, _ := handlerOf(queue)
	_, err := h.Handle(t.Context(), runOf(`{"events":[{},{"n":7e126},7]}`))
	if want := "record 2 has a number out of range: must have numbers from 1E-130 to 9.99E125, or strings"; fmt.Sprint(err) != want || nameOf(err) != "RecordError" || len(queue.rooms) > 0 {
		t.Errorf("Handle() error = %s %v, want RecordError %s", nameOf(err), err, want)
	}
}

func TestRecordsThatDoNotFitOneRunAreRefused(t *testing.T) {
	const instead = "; split them into several runs, or deploy the stack with MapMode=DISTRIBUTED and read them from S3 with source"
	list := func(n int, record string) string {
		return `{"events":[` + strings.TrimSuffix(strings.Repeat(record+",", n), ",") + `]}`
	}
	fits := inputsOf(t, 541)[1]
	h, _ := handlerOf(&fakeQueue{})
	answer, err := h.Handle(t.Context(), runOf(fits))
	if err != nil {
		t.Fatal(err)
	}
	spare := maxItemsState
	for _, item := range answer.Items {
		size, err := item.Size()
		if err != nil {
			t.Fatal(err)
		}
		spare -= size + itemOverhead
	}
	const end = `"}]}`
	exact := strings.TrimSuffix(fits, end) + strings.Repeat("x", spare) + end
	for _, tc := range []struct{ input, want string }{
		{exact, "<nil>"},
		{strings.TrimSuffix(exact, end) + "x" + end, "events has 541 records, which take 258,049 bytes of the run's state: one run takes at most 541 records and 258,048 bytes" + instead},
		{list(541, `{}`), "<nil>"},
		{list(542, `{}`), "events has 542 records, which take 155,446 bytes of the run's state: one run takes at most 541 records and 258,048 bytes" + instead},
	} {
		queue := &fakeQueue{}
		h, _ := handlerOf(queue)
		_, err := h.Handle(t.Context(), runOf(tc.input))
		if fmt.Sprint(err) != tc.want || err != nil && (nameOf(err) != "EventsTooLargeError" || len(queue.rooms) > 0) {
			t.Errorf("Handle(%.50s) error = %s %v, want EventsTooLargeError %s", tc.input, nameOf(err), err, tc.want)
		}
	}
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	data, err := event.Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
