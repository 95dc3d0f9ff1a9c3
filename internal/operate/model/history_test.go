package model

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// play is a journey through events that follow each other.
func play(events ...types.HistoryEvent) *journey {
	at := time.Unix(1_700_000_000, 0)
	j := newJourney(at, nil)
	for i, e := range events {
		e.Id, e.PreviousEventId, e.Timestamp = int64(i+1), int64(i), &at
		j.add(e)
	}
	return j
}

func entered(name string, kind types.HistoryEventType) types.HistoryEvent {
	return types.HistoryEvent{Type: kind, StateEnteredEventDetails: &types.StateEnteredEventDetails{Name: &name}}
}

func exited(name string) types.HistoryEvent {
	return types.HistoryEvent{Type: types.HistoryEventTypeTaskStateExited, StateExitedEventDetails: &types.StateExitedEventDetails{Name: &name}}
}

var (
	begun     = types.HistoryEvent{Type: types.HistoryEventTypeExecutionStarted}
	scheduled = types.HistoryEvent{Type: types.HistoryEventTypeTaskScheduled, TaskScheduledEventDetails: &types.TaskScheduledEventDetails{}}
	failing   = types.HistoryEvent{Type: types.HistoryEventTypeTaskFailed, TaskFailedEventDetails: &types.TaskFailedEventDetails{Error: aws.String("Oops")}}
	succeeded = types.HistoryEvent{Type: types.HistoryEventTypeTaskSucceeded, TaskSucceededEventDetails: &types.TaskSucceededEventDetails{}}
	failed    = types.HistoryEvent{Type: types.HistoryEventTypeExecutionFailed, ExecutionFailedEventDetails: &types.ExecutionFailedEventDetails{Error: aws.String("States.Runtime")}}
	redriven  = types.HistoryEvent{Type: types.HistoryEventTypeExecutionRedriven}
	done      = types.HistoryEvent{Type: types.HistoryEventTypeExecutionSucceeded}
)

// On AWS a redrive may go on in a state without entering it again.
func TestARedriveMayGoOnWithoutEnteringTheState(t *testing.T) {
	states := play(begun, entered("Work", types.HistoryEventTypeTaskStateEntered), scheduled, failing, failed, redriven, scheduled, succeeded, exited("Work"), done).states()
	if len(states) != 1 || states[0].Entered != 1 || states[0].Succeeded != 1 || states[0].Retried != 1 {
		t.Errorf("states are %+v, want one that was entered once, and tried twice", states)
	}
}

func TestAStateThatSucceededAfterARetryHasNoError(t *testing.T) {
	j := play(begun, entered("Work", types.HistoryEventTypeTaskStateEntered), scheduled, failing, scheduled, succeeded, exited("Work"), done)
	if v := j.root.visits[0]; v.error != "" || v.status != Succeeded || v.retries() != 1 || v.caught {
		t.Errorf("the visit is %+v", v)
	}
	j = play(begun, entered("Work", types.HistoryEventTypeTaskStateEntered), scheduled, failing, exited("Work"), done)
	if v := j.root.visits[0]; v.error != "Oops" || v.status != Failed || !v.caught {
		t.Errorf("the visit whose error was caught is %+v", v)
	}
}

// Data that a path does not find makes a state fail, and only the end of the execution or of the iteration says so.
func TestAStateMayFailWithoutAnEventOfItsOwn(t *testing.T) {
	j := play(begun, entered("Choose", types.HistoryEventTypeChoiceStateEntered), failed)
	if v := j.root.visits[0]; v.status != Failed || v.error != "States.Runtime" {
		t.Errorf("the visit is %+v, want it failed", v)
	}
	of := &types.MapIterationEventDetails{Name: aws.String("Each"), Index: 3}
	j = play(begun, entered("Each", types.HistoryEventTypeMapStateEntered),
		types.HistoryEvent{Type: types.HistoryEventTypeMapIterationStarted, MapIterationStartedEventDetails: of},
		entered("Choose", types.HistoryEventTypeChoiceStateEntered),
		types.HistoryEvent{Type: types.HistoryEventTypeMapIterationFailed, MapIterationFailedEventDetails: of})
	if i := j.maps[0].iterations[3]; i.status != Failed || i.visits[0].status != Failed || j.maps[0].status != Running {
		t.Errorf("the iteration is %s, its state %s, and the Map state %s", i.status, i.visits[0].status, j.maps[0].status)
	}
}

// Whatever an endpoint leaves out, and in whatever order its times are, a history can be read.
func TestAHistoryMayLackDetailsAndOrder(t *testing.T) {
	for _, kind := range types.HistoryEventType("").Values() {
		work := entered("Work", types.HistoryEventTypeTaskStateEntered)
		each := entered("Each", types.HistoryEventTypeMapStateEntered)
		for _, before := range [][]types.HistoryEvent{nil, {begun}, {begun, work}, {begun, each}, {begun, work, scheduled}} {
			j := play(append(before, types.HistoryEvent{Type: kind}, types.HistoryEvent{Type: kind}, done)...)
			newAnswers(true).see(types.HistoryEvent{Type: kind}, j.root.last())
			if j.root.status != Succeeded {
				t.Errorf("after %s: the execution is %s, want %s", kind, j.root.status, Succeeded)
			}
		}
	}
	s := series{list: []ran{{start: 900, end: 100, status: Succeeded}}}
	if m := s.of(&visit{name: "Each", frame: &frame{}, end: 100}, 900, 50); m.Succeeded != 1 || len(m.Series) != 1 {
		t.Errorf("series is %+v, want one bucket with one iteration", m)
	}
}
