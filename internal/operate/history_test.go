package operate

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

func TestHistoryCountsTheEventsOfTheMap(t *testing.T) {
	mapStarted := func(length int32) types.HistoryEvent {
		return types.HistoryEvent{Type: types.HistoryEventTypeMapStateStarted, MapStateStartedEventDetails: &types.MapStateStartedEventDetails{Length: length}}
	}
	iteration := func(kind types.HistoryEventType, name string) types.HistoryEvent {
		details := &types.MapIterationEventDetails{Name: aws.String(name)}
		return types.HistoryEvent{Type: kind, MapIterationStartedEventDetails: details, MapIterationSucceededEventDetails: details}
	}
	entered := func(kind types.HistoryEventType, name string) types.HistoryEvent {
		return types.HistoryEvent{Type: kind, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: aws.String(name)}}
	}
	const pass, succeeded = types.HistoryEventTypePassStateEntered, types.HistoryEventTypeMapIterationSucceeded
	for _, tc := range []struct {
		name   string
		events []types.HistoryEvent
		want   history
	}{
		{"nothing yet", []types.HistoryEvent{{Type: types.HistoryEventTypeExecutionStarted}}, history{}},
		{"map started", []types.HistoryEvent{mapStarted(20)}, history{total: 20}},
		{"one inserted", []types.HistoryEvent{mapStarted(20), iteration(types.HistoryEventTypeMapIterationStarted, ProcessEvents),
			entered(pass, "Event Inserted"), iteration(succeeded, ProcessEvents)}, history{total: 20, done: 1}},
		{"one answered as failed", []types.HistoryEvent{mapStarted(20), entered(pass, EventFailed), iteration(succeeded, ProcessEvents)},
			history{total: 20, done: 1, failed: 1}},
		{"one invocation failed", []types.HistoryEvent{mapStarted(20), entered(pass, InvocationFailed), iteration(succeeded, ProcessEvents)},
			history{total: 20, done: 1, failed: 1}},
		{"failed ones returned", []types.HistoryEvent{mapStarted(2), entered(pass, EventFailed), iteration(succeeded, ProcessEvents),
			iteration(succeeded, ProcessEvents), mapStarted(1), iteration(succeeded, "Return Failed Events"), entered(pass, "Comes Back By Itself")},
			history{total: 2, done: 2, failed: 1}},
		{"entered by another kind of state", []types.HistoryEvent{entered(types.HistoryEventTypeTaskStateEntered, "Insert Data"),
			entered(types.HistoryEventTypePassStateExited, "")}, history{}},
	} {
		var got history
		for _, e := range tc.events {
			got.count(e)
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: counted %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// fakeHistory is the history of an execution, which can be read in pages from both ends.
type fakeHistory struct {
	events   []map[string]any
	pageSize int
	// between, if set, is called after each page.
	between func()
}

func (h *fakeHistory) add(kind string, details ...any) {
	e := map[string]any{"id": len(h.events) + 1, "type": kind, "timestamp": 1795416822}
	for i := 0; i+1 < len(details); i += 2 {
		e[details[i].(string)] = details[i+1]
	}
	h.events = append(h.events, e)
}

// start adds the answer of generate-data and the start of the Map.
func (h *fakeHistory) start(generated, claimed int) {
	h.add("ExecutionStarted")
	h.add("TaskStateEntered", "stateEnteredEventDetails", map[string]any{"name": "Generate Data"})
	h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{
		"resource": "invoke", "resourceType": "lambda",
		"output": fmt.Sprintf(`{"ExecutedVersion":"$LATEST","Payload":{"items":[],"generated":%d,"claimed":%d},"StatusCode":200}`, generated, claimed),
	})
	h.add("TaskStateExited", "stateExitedEventDetails", map[string]any{"name": "Generate Data"})
	h.add("MapStateStarted", "mapStateStartedEventDetails", map[string]any{"length": generated + claimed})
}

// iterate adds n iterations of the Map that end in this Pass state.
func (h *fakeHistory) iterate(n int, pass string) {
	for range n {
		h.add("PassStateEntered", "stateEnteredEventDetails", map[string]any{"name": pass})
		h.add("MapIterationSucceeded", "mapIterationSucceededEventDetails", map[string]any{"name": ProcessEvents})
	}
}

// page answers GetExecutionHistory. The token is the number of events before the page. Events that are added between two pages
// of the reverse order move older ones to the next page.
func (h *fakeHistory) page(input map[string]any) (any, error) {
	events := slices.Clone(h.events)
	if input["reverseOrder"] == true {
		slices.Reverse(events)
	}
	from := 0
	if token, ok := input["nextToken"].(string); ok {
		if _, err := fmt.Sscan(token, &from); err != nil {
			return nil, err
		}
	}
	size := h.pageSize
	if most, ok := input["maxResults"].(float64); ok && (size == 0 || int(most) < size) {
		size = int(most)
	}
	to := min(len(events), from+size)
	out := map[string]any{"events": events[from:to]}
	if to < len(events) {
		out["nextToken"] = fmt.Sprint(to)
	}
	if h.between != nil {
		h.between()
	}
	return out, nil
}

func TestReadCountsEveryEventOnce(t *testing.T) {
	for _, pageSize := range []int{1, 2, 3, 7, 1000} {
		f, s := newFakeAWS(t)
		h := &fakeHistory{pageSize: pageSize}
		f.answer["GetExecutionHistory"] = h.page
		h.start(20, 0)
		c := &history{arn: "arn:execution"}
		want := history{arn: c.arn, total: 20}
		for step := range 5 {
			h.iterate(step, EventFailed)
			h.iterate(2, "Event Inserted")
			want.done += step + 2
			want.failed += step
			want.newest = int64(len(h.events))
			if err := c.read(t.Context(), s.executions); err != nil || !reflect.DeepEqual(*c, want) {
				t.Fatalf("page size %d, step %d: read() = %+v, %v, want %+v", pageSize, step, *c, err, want)
			}
		}
	}
}

func TestReadCountsEventsOnceWhenTheyMoveToTheNextPage(t *testing.T) {
	for _, pageSize := range []int{2, 3, 4, 5, 9} {
		f, s := newFakeAWS(t)
		h := &fakeHistory{pageSize: pageSize}
		f.answer["GetExecutionHistory"] = h.page
		h.start(20, 0)
		h.iterate(3, EventFailed)
		c := &history{arn: "arn:execution"}
		pages := 0
		h.between = func() {
			if pages++; pages < 4 {
				h.iterate(1, "Event Inserted")
			}
		}
		if err := c.read(t.Context(), s.executions); err != nil {
			t.Fatal(err)
		}
		if c.failed != 3 || c.done > 3+pages || c.total != 20 {
			t.Errorf("page size %d: read() while it goes on = %+v, want 3 failed of 20, each once", pageSize, *c)
		}
		h.between = nil
		if err := c.read(t.Context(), s.executions); err != nil {
			t.Fatal(err)
		}
		if want := 3 + min(pages, 3); c.done != want || c.failed != 3 {
			t.Errorf("page size %d: read() afterwards = %+v, want %d done, 3 failed", pageSize, *c, want)
		}
	}
}

func TestReadStopsAtTheEventsItHasCounted(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{pageSize: 10}
	f.answer["GetExecutionHistory"] = h.page
	h.start(500, 0)
	h.iterate(500, "Event Inserted")
	c := &history{arn: "arn:execution"}
	if err := c.read(t.Context(), s.executions); err != nil {
		t.Fatal(err)
	}
	before := len(f.calls)
	h.iterate(2, "Event Inserted")
	if err := c.read(t.Context(), s.executions); err != nil || c.done != 502 || len(f.calls)-before != 1 {
		t.Errorf("read() of 4 new events = %d done in %d calls, %v, want 502 in 1", c.done, len(f.calls)-before, err)
	}
}

func TestFirstAnswerIsFoundAfterAllRetriesOfGenerateData(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{}
	h.add("ExecutionStarted")
	h.add("TaskStateEntered")
	for range 4 { // all the retries that the state machine allows
		h.add("TaskScheduled")
		h.add("TaskStarted")
		h.add("TaskFailed", "taskFailedEventDetails", map[string]any{"resource": "invoke", "resourceType": "lambda"})
	}
	h.add("TaskScheduled")
	h.add("TaskStarted")
	// Answers that the state machine has not accepted, before a redrive.
	for _, nonsense := range []string{``, `{"Payload":"done"}`, `{"Payload":{}}`, `{"Payload":{"items":7,"generated":9}}`, `{"Payload":{"items":null,"generated":9}}`, `{"Payload":{"items":[],"generated":9,"claimed":0}}`, `{"Payload":{"plan":{}}}`} {
		h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{"output": nonsense})
	}
	h.start(7, 2)
	f.answer["GetExecutionHistory"] = h.page
	if first, err := s.readFirstAnswer(t.Context(), "arn:execution"); first.Generated != 7 || first.Claimed != 2 || err != nil {
		t.Errorf("readFirstAnswer() = %+v, %v, want 7 and 2", first, err)
	}
}
