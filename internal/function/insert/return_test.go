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
	"testing/synctest"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/retryqueue"
)

// handleShard invokes the function for a shard's items.
func handleShard(t *testing.T, ctx context.Context, h *Handler, more string, items ...event.Item) (*Answer, error) {
	t.Helper()
	data, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	return h.Handle(ctx, json.RawMessage(`{"operation":"InsertShard","items":`+string(data)+`,"run":"arn:run","release_at":1795416829`+more+`}`))
}

// failing is work that fails for some sequence numbers.
func failing(numbers ...int64) *fakeWork {
	return &fakeWork{answer: func(_ context.Context, sequenceNo int64) error {
		if slices.Contains(numbers, sequenceNo) {
			return errors.New("no connection")
		}
		return nil
	}}
}

func TestForAShardNewEventsThatFailAreParkedAndClaimedOnesReleased(t *testing.T) {
	queue := &fakeQueue{}
	h, _ := handlerOf(failing(2, 4), queue)
	answer, err := handleShard(t, t.Context(), h, "", newItem(1), newItem(2), claimed(3), claimed(4))
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(answer); err != nil || string(data) != `{"inserted":2,"returned":2,"dead":0}` {
		t.Errorf("answer is %s, %v", data, err)
	}
	if want := []retryqueue.Parked{{Event: newItem(2).Event, Error: "WorkFailed"}}; queue.execution != "arn:run" || !reflect.DeepEqual(queue.parked, want) {
		t.Errorf("parked %+v in the name of %s, want %+v of arn:run", queue.parked, queue.execution, want)
	}
	if want := []string{claimed(4).ReceiptHandle}; !slices.Equal(queue.released, want) || queue.releaseAt.Unix() != 1795416829 {
		t.Errorf("released %v at %d, want %v at 1795416829", queue.released, queue.releaseAt.Unix(), want)
	}
	if want := []string{claimed(3).ReceiptHandle}; !slices.Equal(queue.deleted, want) {
		t.Errorf("deleted %v, want %v", queue.deleted, want)
	}
}

// A message is deleted only once its event is in the dead-letter queue.
func TestForAShardClaimedEventsWithoutRetriesLeftAreBuried(t *testing.T) {
	items := make([]event.Item, 6)
	for i := range items {
		items[i] = claimed(int64(i + 1))
		items[i].Event.RetryAttempt = i // 3 is the last retry
	}
	queue := &fakeQueue{unburied: []int{1}}
	h, log := handlerOf(failing(3, 4, 5, 6), queue)
	answer, err := handleShard(t, t.Context(), h, "", items...)
	if data, _ := json.Marshal(answer); err != nil || string(data) != `{"inserted":2,"returned":2,"dead":2}` {
		t.Errorf("answer is %s, %v", data, err)
	}
	var want []retryqueue.Parked
	for _, item := range items[3:] {
		want = append(want, retryqueue.Parked{Event: item.Event, Error: "WorkFailed"})
	}
	if queue.execution != "arn:run" || !reflect.DeepEqual(queue.buried, want) || len(queue.parked) > 0 {
		t.Errorf("buried %+v in the name of %s, want %+v of arn:run", queue.buried, queue.execution, want)
	}
	if want := []string{"handle-3", "handle-5"}; !slices.Equal(queue.released, want) {
		t.Errorf("released %v, want %v: the third, which has retries left, and the fifth, which could not be buried", queue.released, want)
	}
	if want := []string{"handle-1", "handle-2", "handle-4", "handle-6"}; !slices.Equal(queue.deleted, want) {
		t.Errorf("deleted %v, want %v: two that were inserted and two that were buried", queue.deleted, want)
	}
	if !strings.Contains(log.String(), "events not sent to the dead-letter queue") {
		t.Errorf("the log does not say that an event could not be buried:\n%s", log)
	}
}

// A whole shard of failed events takes a hundred calls, which may be slow.
func TestInsertingForAShardLeavesTimeToReturnAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped time.Time
		work := &fakeWork{answer: func(ctx context.Context, _ int64) error {
			<-ctx.Done()
			stopped = time.Now()
			return ctx.Err()
		}}
		queue := &fakeQueue{}
		h, _ := handlerOf(work, queue)
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		end := time.Now().Add(60 * time.Second)
		answer, err := handleShard(t, ctx, h, "", newItem(1))
		if err != nil || *answer.Returned != 1 || len(queue.parked) != 1 {
			t.Fatalf("Handle() = %+v, %v, parked %v, want one event parked", answer, err, queue.parked)
		}
		if left := end.Sub(stopped); left != 15*time.Second || queue.left != 10*time.Second {
			t.Errorf("inserting left %s of 60 s, %s of them for parking, want 15 s and 10 s", left, queue.left)
		}
	})
}

// The state machine needs the number, even if it is 0.
func TestAShardWithoutFailuresAnswersThatNoneWasReturned(t *testing.T) {
	queue := &fakeQueue{}
	h, _ := handlerOf(failing(), queue)
	answer, err := handleShard(t, t.Context(), h, "", newItem(1))
	if data, _ := json.Marshal(answer); err != nil || string(data) != `{"inserted":1,"returned":0,"dead":0}` {
		t.Errorf("answer is %s, %v", data, err)
	}
}

// An answer would say that the events are in the queue. The message of the inserted event stays; the next attempt deletes it.
func TestEventsThatCannotBeParkedFailTheInvocation(t *testing.T) {
	queue := &fakeQueue{parkErr: errors.New("send 1 of 1 messages: AccessDenied")}
	h, log := handlerOf(failing(2), queue)
	_, err := handleShard(t, t.Context(), h, "", claimed(1), newItem(2))
	var park *ParkError
	if !errors.As(err, &park) || fmt.Sprintf("%T", err) != "*insert.ParkError" || err.Error() != "park failed events: send 1 of 1 messages: AccessDenied" {
		t.Errorf("error = %T %v, want a *ParkError", err, err)
	}
	if strings.Contains(log.String(), "EventsInserted") {
		t.Error("an invocation that will be tried again counted its events")
	}
}

func TestClaimsThatCannotBeReleasedComeBackByThemselves(t *testing.T) {
	queue := &fakeQueue{releaseErr: errors.New("release 1 of 1 messages: AccessDenied")}
	h, log := handlerOf(failing(1), queue)
	answer, err := handleShard(t, t.Context(), h, "", claimed(1))
	if err != nil || *answer.Returned != 1 || !strings.Contains(log.String(), "claims of failed events not released") {
		t.Errorf("answer = %+v, %v; log:\n%s", answer, err, log)
	}
}

func TestInsertItemsAnswersWhatFailedAndReturnsNothing(t *testing.T) {
	queue := &fakeQueue{}
	h, _ := handlerOf(failing(1, 2, 3), queue)
	last := claimed(3)
	last.Event.RetryAttempt = 3 // the state machine buries it
	answer := handle(t, h, t.Context(), 0, newItem(1), claimed(2), last)
	if len(answer.Failed) != 3 || answer.Dead != 0 || answer.Returned != nil || len(queue.parked)+len(queue.released)+len(queue.buried) > 0 {
		t.Errorf("answer = %+v, parked %v, released %v, buried %v", answer, queue.parked, queue.released, queue.buried)
	}
}
