package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carnation/internal/event"
)

// execution is an execution of the fake: its history, and how it ends.
type execution struct {
	history          *fakeHistory
	status           string
	err, cause       string
	runningFor       int // descriptions that say RUNNING
	whenDescribed    func(times int)
	timesDescribed   int
	startedWithInput string
}

// executing answers with these executions, one after another.
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

// ended is an execution that has ended, with these numbers of inserted and failed events.
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

// buried is an execution in which all of its events fail their last retry.
func buried(failed int) *execution {
	e := ended(0, failed)
	for range failed {
		e.history.add("TaskStateEntered", "stateEnteredEventDetails", map[string]any{"name": DeleteBuried})
	}
	return e
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
				h.add("TaskStateEntered", "stateEnteredEventDetails", map[string]any{"name": DeleteBuried})
			}
		}
		f.executing(e)
		var got []Progress
		run, err := s.Run(t.Context(), event.Run{StartSeq: 1, EndSeq: 5, FailureRate: 0.5}, func(p Progress) { got = append(got, p) })
		want := Run{
			Name: "run-0", Arn: "arn:execution:0", Status: "FAILED", Generated: 4, Claimed: 1, Inserted: 3, Failed: 2, Dead: 1,
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

func TestRunCountsTheEventsThatNoRetryCanCure(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{}
	h.start(20, 0)
	h.iterate(13, "Event Inserted")
	h.iterate(2, EventFailed)
	h.iterate(5, EventIsDead)
	f.executing(&execution{history: h, status: "FAILED", err: eventsFailed})
	run, err := s.Run(t.Context(), event.Run{}, func(Progress) {})
	if err != nil || run.Inserted != 13 || run.Failed != 7 || run.Dead != 5 {
		t.Errorf("Run() = %+v, %v, want 13 inserted and 7 failed, 5 of them dead", run, err)
	}
}

func TestAStoppedRunHasNoNegativeCounts(t *testing.T) {
	f, s := newFakeAWS(t)
	h := &fakeHistory{}
	h.start(3, 0)
	// It was stopped while two iterations were in their last state.
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

func TestRunReturnsTheErrorOfAnInvalidInput(t *testing.T) {
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

func TestRunNamesTheExecutionThatItStopsFollowing(t *testing.T) {
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
