package insert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/retryqueue"
	"carnation/internal/function/work"
)

// failingForGood is work that fails for good for some events, and in the usual way for others.
func failingForGood(permanent []int64, other ...int64) *fakeWork {
	return &fakeWork{answer: func(_ context.Context, sequenceNo int64) error {
		switch {
		case slices.Contains(permanent, sequenceNo):
			return work.Permanent(errors.New("no such order"))
		case slices.Contains(other, sequenceNo):
			return errors.New("try again")
		}
		return nil
	}}
}

func forGood(item event.Item, name string) retryqueue.Parked {
	return retryqueue.Parked{Event: item.Event, Error: name, Permanent: true}
}

// invoke invokes the function and returns its answer as JSON.
func invoke(t *testing.T, h *Handler, request string) string {
	t.Helper()
	answer, err := h.Handle(t.Context(), json.RawMessage(request))
	if err != nil {
		t.Fatalf("Handle(%.200s): %v", request, err)
	}
	return show(t, answer)
}

func itemsJSON(t *testing.T, items ...event.Item) string {
	t.Helper()
	data, err := event.Encode(items)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// In both modes, an event that no retry can cure goes to the dead-letter queue at once, and then its claim is deleted.
func TestPermanentFailuresAreBuriedAtOnce(t *testing.T) {
	for _, tc := range []struct{ request, want string }{
		{`{"operation":"InsertItems","run":"arn:run","items":%s}`, `{"inserted":1,"dead":2,"failed":[{"event":%s,"error":"WorkFailed"}]}`},
		{`{"operation":"InsertShard","run":"arn:run","release_at":0,"items":%s}`, `{"inserted":1,"returned":1,"dead":2}`},
	} {
		queue := &fakeQueue{}
		h, log := handlerOf(failingForGood([]int64{2, 3}, 4), queue)
		got := invoke(t, h, fmt.Sprintf(tc.request, itemsJSON(t, claimed(1), newItem(2), claimed(3), newItem(4))))
		want := tc.want
		if strings.Contains(want, "%s") {
			want = fmt.Sprintf(want, show(t, newItem(4).Event))
		}
		if got != want {
			t.Errorf("Handle(%s) = %s, want %s", tc.request, got, want)
		}
		if want := []retryqueue.Parked{forGood(newItem(2), "WorkFailed"), forGood(claimed(3), "WorkFailed")}; !reflect.DeepEqual(queue.buried, want) || queue.execution != "arn:run" {
			t.Errorf("buried %+v on behalf of %s, want %+v of arn:run", queue.buried, queue.execution, want)
		}
		if want := []string{"handle-1", "handle-3"}; !slices.Equal(queue.deleted, want) { // fakeQueue refuses to bury after a delete
			t.Errorf("deleted %v, want %v", queue.deleted, want)
		}
		if got := countsOf(t, log); got["EventsInserted"] != 1 || got["EventsFailed"] != 3 {
			t.Errorf("metrics = %v, want EventsInserted 1, EventsFailed 3", got)
		}
	}
}

func TestAPermanentFailureThatCannotBeBuriedIsAnOrdinaryOne(t *testing.T) {
	for _, tc := range []struct {
		request, want    string
		parked, released int
	}{
		{`{"operation":"InsertItems","run":"arn:run","items":%s}`, `"dead":1,"failed":[{`, 0, 0},
		{`{"operation":"InsertShard","run":"arn:run","release_at":0,"items":%s}`, `"returned":2,"dead":1}`, 1, 1},
	} {
		queue := &fakeQueue{unburied: []int{0, 1}}
		h, log := handlerOf(failingForGood([]int64{1, 2, 3}), queue)
		if got := invoke(t, h, fmt.Sprintf(tc.request, itemsJSON(t, newItem(1), claimed(2), claimed(3)))); !strings.Contains(got, tc.want) {
			t.Errorf("Handle(%s) = %s, want %s", tc.request, got, tc.want)
		}
		if len(queue.parked) != tc.parked || len(queue.released) != tc.released || !slices.Equal(queue.deleted, []string{"handle-3"}) {
			t.Errorf("parked %+v, released %v, deleted %v, want %d, %d and handle-3", queue.parked, queue.released, queue.deleted, tc.parked, tc.released)
		}
		if !strings.Contains(log.String(), "not sent to the dead-letter queue") {
			t.Errorf("the log does not say that events could not be buried:\n%s", log)
		}
	}
}

// If parking failed after burying, the next attempt would bury the same events again.
func TestNothingIsBuriedIfParkingFails(t *testing.T) {
	queue := &fakeQueue{parkErr: errors.New("send 1 of 1 messages: AccessDenied")}
	h, _ := handlerOf(failingForGood([]int64{1}, 2), queue)
	_, err := handleShard(t, t.Context(), h, "", newItem(1), newItem(2))
	if _, ok := errors.AsType[*ParkError](err); !ok || len(queue.buried) > 0 {
		t.Errorf("error = %v, buried %+v, want a *ParkError and none", err, queue.buried)
	}
}

func TestRecordsBecomeEventsAndFailAlone(t *testing.T) {
	fake := failingForGood(nil, 8)
	queue := &fakeQueue{}
	h, log := handlerOf(fake, queue)
	big := `{"secret":"` + strings.Repeat("x", event.MaxRecord) + `"}`
	got := invoke(t, h, `{"operation":"InsertRecords","source":"s3://bucket/key","time":1795416822,"run":"arn:run","records":[`+
		`{"index":6,"record":{"n":1.50}},{"index":7,"record":{"n":2}},{"index":8,"record":["secret"]},{"index":9,"record":{"n":1e126}},{"index":10,"record":`+big+`}]}`)
	if want := `{"inserted":1,"returned":1,"dead":3}`; got != want {
		t.Errorf("Handle() = %s, want %s", got, want)
	}
	made := func(position int64, record string) event.Event {
		e, err := event.FromRecord("s3://bucket/key", 1795416822, position, json.RawMessage(record))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	slices.SortFunc(fake.events, func(a, b event.Event) int { return int(a.SequenceNo - b.SequenceNo) })
	if want := []event.Event{made(7, `{"n":1.50}`), made(8, `{"n":2}`)}; !slices.EqualFunc(fake.events, want, event.Event.Equal) {
		t.Errorf("worked on %+v, want %+v", fake.events, want)
	}
	if len(queue.parked) != 1 || !queue.parked[0].Event.Equal(made(8, `{"n":2}`)) {
		t.Errorf("parked %+v, want event 8", queue.parked)
	}
	var payloads []string
	for _, dead := range queue.buried {
		payloads = append(payloads, string(dead.Event.Payload))
		if dead.Error != "InvalidRecord" || !dead.Permanent {
			t.Errorf("buried %+v, want a permanent InvalidRecord", dead)
		}
	}
	if want := []string{`{"invalid_record":"[\"secret\"]"}`, `{"n":1e126}`, `{"invalid_record":"{\"secret\":\"` + strings.Repeat("x", 1000-len(`{"secret":"`)) + `"}`}; !slices.Equal(payloads, want) {
		t.Errorf("payloads of dead letters are %.200s, want %.200s", payloads, want)
	}
	if strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "1e126") || !strings.Contains(log.String(), `"sequenceNo":9`) {
		t.Errorf("the log has a payload, or not the numbers of bad records:\n%s", log)
	}
}

// A batch may come again after a crash: its events are the same.
func TestTheSameRecordsAreTheSameEvents(t *testing.T) {
	const request = `{"operation":"InsertRecords","source":"input","time":7,"run":"arn:run","records":[{"index":0,"record":{"a":1,"b":2}},{"index":1,"record":7}]}`
	var events, dead [2]event.Event
	for i := range events {
		fake, queue := &fakeWork{}, &fakeQueue{}
		h, _ := handlerOf(fake, queue)
		invoke(t, h, request)
		events[i], dead[i] = fake.events[0], queue.buried[0].Event
	}
	if !events[0].Equal(events[1]) || !dead[0].Equal(dead[1]) {
		t.Errorf("events %+v, dead %+v", events, dead)
	}
}

type codedError string

func (e codedError) Error() string { return "coded" }

func (e codedError) ErrorCode() string { return string(e) }

func TestNamesOfErrorsOfAnyWork(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{codedError("OrderRejected"), "OrderRejected"},
		{work.Permanent(codedError("HTTP 422")), "HTTP_422"},
		{fmt.Errorf("call: %w", codedError("")), "UnknownError"},
		{errors.New("no"), "WorkFailed"},
		{fmt.Errorf("post: %w", context.DeadlineExceeded), "ConnectionError"}, // of a single call: net/http's errors are those of package net
		{&event.RecordError{Position: 7, Reason: "is null"}, "InvalidRecord"},
	} {
		queue := &fakeQueue{}
		h, _ := handlerOf(&fakeWork{answer: func(context.Context, int64) error { return tc.err }}, queue)
		answer := handle(t, h, t.Context(), 0, newItem(1))
		var got string
		if len(answer.Failed) == 1 {
			got = answer.Failed[0].Error
		} else if len(queue.buried) == 1 {
			got = queue.buried[0].Error
		}
		if got != tc.want {
			t.Errorf("error %v is named %q, want %s", tc.err, got, tc.want)
		}
	}
}

// The event of a bad record never reaches the table, even if it comes back from the retry queue because it could not be buried.
func TestABadRecordThatComesBackIsBuried(t *testing.T) {
	bad := claimed(2)
	bad.Event = event.FromBadRecord("s3://bucket/key", 1795416822, 2, json.RawMessage(`7`))
	bad.Event.RetryAttempt = 1
	own := newItem(3)
	own.Event = event.FromBadRecord("s3://bucket/key", 1795416822, 3, json.RawMessage(`{"invalid_record":"x","n":1}`))
	for _, tc := range []struct{ request, want string }{
		{`{"operation":"InsertItems","run":"arn:run","items":%s}`, `{"inserted":1,"dead":1,"failed":[]}`},
		{`{"operation":"InsertShard","run":"arn:run","release_at":0,"items":%s}`, `{"inserted":1,"returned":0,"dead":1}`},
	} {
		fake, queue := failingForGood(nil), &fakeQueue{}
		h, _ := handlerOf(fake, queue)
		if got := invoke(t, h, fmt.Sprintf(tc.request, itemsJSON(t, bad, own))); got != tc.want {
			t.Errorf("Handle(%s) = %s, want %s", tc.request, got, tc.want)
		}
		if len(fake.events) != 1 || len(queue.buried) != 1 || queue.buried[0].Error != "InvalidRecord" || !queue.buried[0].Permanent {
			t.Errorf("worked on %+v, buried %+v, want event 3, and event 2 as a permanent InvalidRecord", fake.events, queue.buried)
		}
		if want := []string{"handle-2"}; !slices.Equal(queue.deleted, want) {
			t.Errorf("deleted %v, want %v", queue.deleted, want)
		}
	}
}
