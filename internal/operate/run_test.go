package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
)

func TestCountKnowsTheEventsOfTheMap(t *testing.T) {
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

// The names that Go counts by are the state machine's.
func TestStateNamesAreInTheStateMachine(t *testing.T) {
	data, err := os.ReadFile("../../state-machine/carnation-state-machine.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	type state struct{ Type, Error string }
	var machine struct {
		States map[string]struct {
			state
			ItemProcessor struct{ States map[string]state }
		}
	}
	if err := json.Unmarshal(data, &machine); err != nil {
		t.Fatal(err)
	}
	process := machine.States[ProcessEvents]
	if process.Type != "Map" {
		t.Errorf("state %q is a %q, want a Map", ProcessEvents, process.Type)
	}
	for _, name := range []string{EventFailed, InvocationFailed} {
		if got := process.ItemProcessor.States[name].Type; got != "Pass" {
			t.Errorf("state %q in %q is a %q, want a Pass", name, ProcessEvents, got)
		}
	}
	var failures []string
	for _, s := range machine.States {
		if s.Type == "Fail" {
			failures = append(failures, s.Error)
		}
	}
	if !slices.Equal(failures, []string{eventsFailed}) {
		t.Errorf("errors of Fail states = %v, want %s only", failures, eventsFailed)
	}
}

// fakeHistory is an execution that the fake plays: it answers pages of its events from either end.
type fakeHistory struct {
	events   []map[string]any
	pageSize int
	// between, where set, is called after each page.
	between func()
}

func (h *fakeHistory) add(kind string, details ...any) {
	e := map[string]any{"id": len(h.events) + 1, "type": kind, "timestamp": 1795416822}
	for i := 0; i+1 < len(details); i += 2 {
		e[details[i].(string)] = details[i+1]
	}
	h.events = append(h.events, e)
}

// start adds what generate-data answers, and the start of the Map.
func (h *fakeHistory) start(generated, claimed int) {
	h.add("ExecutionStarted")
	h.add("TaskStateEntered", "stateEnteredEventDetails", map[string]any{"name": "Generate Data"})
	h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{
		"resource": "invoke", "resourceType": "lambda",
		"output": fmt.Sprintf(`{"ExecutedVersion":"$LATEST","Payload":{"items":[],"generated":%d,"claimed":%d},"StatusCode":200}`, generated, claimed),
	})
	h.add("MapStateStarted", "mapStateStartedEventDetails", map[string]any{"length": generated + claimed})
}

// iterate adds iterations of the Map that end in the Pass state.
func (h *fakeHistory) iterate(n int, pass string) {
	for range n {
		h.add("PassStateEntered", "stateEnteredEventDetails", map[string]any{"name": pass})
		h.add("MapIterationSucceeded", "mapIterationSucceededEventDetails", map[string]any{"name": ProcessEvents})
	}
}

// page answers GetExecutionHistory. The token is how many events come before the page, as counted from the newest:
// events that are new by then shift old ones onto the next page.
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

func TestReadCountsEventsOnceThatShiftOntoTheNextPage(t *testing.T) {
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

func TestReadStopsAtWhatItKnows(t *testing.T) {
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

// executions has the fake run executions one after the other. Each is told by its history and how it ends.
type execution struct {
	history          *fakeHistory
	status           string
	err, cause       string
	runningFor       int // descriptions that say RUNNING
	whenDescribed    func(times int)
	timesDescribed   int
	startedWithInput string
}

func (f *fakeAWS) executing(list ...*execution) {
	started := -1
	f.answer["StartExecution"] = func(input map[string]any) (any, error) {
		started++
		if started == len(list) {
			return nil, errors.New("ExecutionLimitExceeded")
		}
		list[started].startedWithInput = input["input"].(string)
		if input["stateMachineArn"] != "arn:machine" {
			return nil, errors.New("StateMachineDoesNotExist")
		}
		return map[string]any{"executionArn": fmt.Sprint("arn:execution:", started), "startDate": 1795416822}, nil
	}
	f.answer["DescribeExecution"] = func(input map[string]any) (any, error) {
		if input["executionArn"] != fmt.Sprint("arn:execution:", started) {
			return nil, errors.New("ExecutionDoesNotExist")
		}
		e := list[started]
		e.timesDescribed++
		if e.whenDescribed != nil {
			e.whenDescribed(e.timesDescribed)
		}
		out := map[string]any{"executionArn": input["executionArn"], "name": fmt.Sprint("run-", started), "status": "RUNNING", "startDate": 1795416822}
		if e.timesDescribed > e.runningFor {
			out["status"], out["stopDate"] = e.status, 1795416824.5
			if e.err != "" {
				out["error"], out["cause"] = e.err, e.cause
			}
		}
		return out, nil
	}
	f.answer["GetExecutionHistory"] = func(input map[string]any) (any, error) { return list[started].history.page(input) }
}

// ended is an execution that has inserted and failed events.
func ended(inserted, failed int) *execution {
	h := &fakeHistory{}
	h.start(inserted+failed, 0)
	h.iterate(inserted, "Event Inserted")
	h.iterate(failed, EventFailed)
	if failed == 0 {
		return &execution{history: h, status: "SUCCEEDED"}
	}
	return &execution{history: h, status: "FAILED", err: eventsFailed, cause: fmt.Sprintf("%d of %d events failed and are in the retry queue", failed, inserted+failed)}
}

func TestRunFollowsAnExecutionToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		h := &fakeHistory{}
		e := &execution{history: h, status: "FAILED", err: eventsFailed, cause: "2 of 5 events failed and are in the retry queue", runningFor: 3}
		e.whenDescribed = func(times int) {
			switch times {
			case 2:
				h.start(4, 1)
			case 3:
				h.iterate(2, "Event Inserted")
				h.iterate(1, InvocationFailed)
			case 4:
				h.iterate(1, EventFailed)
				h.iterate(1, "Event Inserted")
			}
		}
		f.executing(e)
		var got []Progress
		run, err := s.Run(t.Context(), event.Run{StartSeq: 1, EndSeq: 5, FailureRate: 0.5}, func(p Progress) { got = append(got, p) })
		want := Run{
			Name: "run-0", Arn: "arn:execution:0", Status: "FAILED", Generated: 4, Claimed: 1, Inserted: 3, Failed: 2,
			Error: eventsFailed, Cause: "2 of 5 events failed and are in the retry queue", Seconds: 2.5,
		}
		if run != want || err != nil {
			t.Errorf("Run() = %+v, %v, want %+v", run, err, want)
		}
		if run.Succeeded() || !run.EventsFailed() {
			t.Errorf("Succeeded() = %t, EventsFailed() = %t, want false and true", run.Succeeded(), run.EventsFailed())
		}
		if want := `{"start_seq":1,"end_seq":5,"failure_rate":0.5}`; e.startedWithInput != want {
			t.Errorf("input = %s, want %s", e.startedWithInput, want)
		}
		wantProgress := []Progress{
			{0, 0, 0, 0, nil}, {5, 0, 0, pollEvery, nil}, {5, 3, 1, 2 * pollEvery, nil}, {5, 5, 2, 3 * pollEvery, nil},
		}
		if !slices.Equal(got, wantProgress) {
			t.Errorf("progress = %v, want %v", got, wantProgress)
		}
	})
}

func TestARunThatWasStoppedHasNoNegativeFigures(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{}
	h.start(3, 0)
	// Stopped while two iterations were in their last state.
	for range 2 {
		h.add("PassStateEntered", "stateEnteredEventDetails", map[string]any{"name": EventFailed})
	}
	f.executing(&execution{history: h, status: "ABORTED"})
	run, err := s.Run(t.Context(), event.Run{StartSeq: 1, EndSeq: 4}, func(Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	if run.Inserted != 0 || run.Failed > 2 {
		t.Errorf("Run() = %d inserted, %d failed, want 0 and at most 2", run.Inserted, run.Failed)
	}
}

func TestARunWhoseInputIsRefusedIsToldAsItIs(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{}
	h.add("ExecutionStarted")
	h.add("TaskFailed", "taskFailedEventDetails", map[string]any{"error": "InvalidInputError", "resource": "invoke", "resourceType": "lambda"})
	f.executing(&execution{history: h, status: "FAILED", err: "InvalidInputError", cause: "end_seq is missing"})
	run, err := s.Run(t.Context(), event.Run{}, func(Progress) {})
	want := Run{Name: "run-0", Arn: "arn:execution:0", Status: "FAILED", Error: "InvalidInputError", Cause: "end_seq is missing", Seconds: 2.5}
	if run != want || err != nil || run.EventsFailed() || run.Succeeded() {
		t.Errorf("Run() = %+v, %v, want %+v, neither succeeded nor with failed events", run, err, want)
	}
}

func TestRunThatIsNotFollowedToItsEndNamesTheExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		f.executing(&execution{history: &fakeHistory{}, runningFor: 1000})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("--timeout of 2s is over"))
		defer cancel()
		run, err := s.Run(ctx, event.Run{}, func(Progress) {})
		if want := "stopped following arn:execution:0, which continues: --timeout of 2s is over"; fmt.Sprint(err) != want || run.Arn != "arn:execution:0" {
			t.Errorf("Run() = %+v, %v, want %s", run, err, want)
		}
	})
}

func TestRunErrorsSayWhatWasBeingDone(t *testing.T) {
	for operation, want := range map[string]string{
		"StartExecution": "start execution: ", "DescribeExecution": "follow arn:execution:0: ", "GetExecutionHistory": "follow arn:execution:0: read history: ",
	} {
		f, s := newFakeAWS(t)
		f.executing(ended(1, 0))
		f.answer[operation] = func(map[string]any) (any, error) { return nil, errors.New("AccessDeniedException") }
		_, err := s.Run(t.Context(), event.Run{}, func(Progress) {})
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) || !strings.Contains(got, "AccessDeniedException") {
			t.Errorf("Run() with %s refused: error = %s, want %s... AccessDeniedException", operation, got, want)
		}
	}
}

func TestGeneratedReadsPastTheRetriesOfGenerateData(t *testing.T) {
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
	h.start(7, 2)
	f.answer["GetExecutionHistory"] = h.page
	if first, err := s.readFirstAnswer(t.Context(), "arn:execution"); first != (firstAnswer{Generated: 7, Claimed: 2}) || err != nil {
		t.Errorf("readFirstAnswer() = %+v, %v, want 7 and 2", first, err)
	}
}

func TestDrainRunsUntilTheQueueIsEmpty(t *testing.T) {
	empty := Queues{}
	for _, tc := range []struct {
		name       string
		queues     []Queues
		failed     bool
		maxRuns    int
		executions []*execution
		want       []string // statuses of the runs
		wantErr    string
	}{
		{"empty", []Queues{empty}, false, 3, nil, nil, ""},
		{"one run", []Queues{{Retry: 3}, empty}, false, 3, []*execution{ended(3, 0)}, []string{"SUCCEEDED"}, ""},
		{"some fail again", []Queues{{Retry: 3}, {Retry: 1}, empty}, false, 3, []*execution{ended(2, 1), ended(1, 0)}, []string{"FAILED", "SUCCEEDED"}, ""},
		{"not counted yet", []Queues{empty}, true, 3, []*execution{ended(1, 1), ended(1, 0)}, []string{"FAILED", "SUCCEEDED"}, ""},
		{"claims of a dead run", []Queues{{InFlight: 2}, {InFlight: 2}, {Retry: 2}, empty}, false, 3, []*execution{ended(2, 0)}, []string{"SUCCEEDED"}, ""},
		{"too many runs", []Queues{{Retry: 3}, {Retry: 2}, {Retry: 1, InFlight: 4}}, false, 2, []*execution{ended(1, 2), ended(1, 1)}, []string{"FAILED", "FAILED"},
			"the retry queue is not empty after 2 runs that only retry: 1 events waiting, 4 in flight"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFakeAWS(t)
				f.holding(tc.queues...)
				f.executing(tc.executions...)
				var got []string
				err := s.Drain(t.Context(), 0.5, tc.maxRuns, tc.failed, func(Progress) {}, func(run Run) error {
					got = append(got, run.Status)
					return nil
				})
				if !slices.Equal(got, tc.want) {
					t.Errorf("Drain() ran %v, want %v", got, tc.want)
				}
				if tc.wantErr == "" && err != nil || tc.wantErr != "" && (fmt.Sprint(err) != tc.wantErr || !errors.Is(err, ErrNotEmpty)) {
					t.Errorf("Drain() error = %v, want %s", err, tc.wantErr)
				}
				for _, e := range tc.executions {
					if want := `{"start_seq":0,"end_seq":0,"failure_rate":0.5}`; e.startedWithInput != want {
						t.Errorf("input = %s, want %s", e.startedWithInput, want)
					}
				}
			})
		})
	}
}

func TestDrainStopsWhenToldAfterARun(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{Retry: 3})
	f.executing(ended(1, 2), ended(1, 1))
	stop := errors.New("stop")
	err := s.Drain(t.Context(), 0, 5, false, func(Progress) {}, func(Run) error { return stop })
	if !errors.Is(err, stop) || f.count("StartExecution") != 1 {
		t.Errorf("Drain() = %v after %d runs, want stop after 1", err, f.count("StartExecution"))
	}
}

func TestDrainWaitsForClaimsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		f.holding(Queues{InFlight: 2})
		// Between two looks at the queues.
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*pollEvery+time.Millisecond, errors.New("--timeout is over"))
		defer cancel()
		err := s.Drain(ctx, 0, 5, false, func(Progress) {}, func(Run) error { return nil })
		if want := "the retry queue is not empty: 2 in flight: --timeout is over"; fmt.Sprint(err) != want || !errors.Is(err, ErrNotEmpty) {
			t.Errorf("Drain() error = %v, want %s", err, want)
		}
	})
}
