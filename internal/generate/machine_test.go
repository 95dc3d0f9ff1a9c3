package generate

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"carnation/internal/event"
)

// machine is what these tests read of a state machine.
type machine struct {
	StartAt string
	States  map[string]state
}

type state struct {
	Type, Next, Default, Error string
	Choices                    []struct{ Next string }
	Catch                      []struct {
		ErrorEquals []string
		Next        string
	}
	Retry []struct {
		ErrorEquals []string
		MaxAttempts *int
	}
	ItemProcessor *machine
}

func inlineMachine(t *testing.T) machine {
	t.Helper()
	data, err := os.ReadFile("../../state-machine/carnation-state-machine.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	var m machine
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// worst is the most history events from this state to the end: the machine's own, and for each item of its Maps.
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
func (m machine) worst(t *testing.T, name string) (own, item int) {
	t.Helper()
	s, ok := m.States[name]
	if !ok {
		t.Fatalf("the state machine has no state %q", name)
	}
	next := []string{s.Next, s.Default}
	for _, c := range s.Choices {
		next = append(next, c.Next)
	}
	for _, c := range s.Catch {
		next = append(next, c.Next)
	}
	for _, n := range next {
		if n != "" {
			nextOwn, nextItem := m.worst(t, n)
			own, item = max(own, nextOwn), max(item, nextItem)
		}
	}
	switch s.Type {
	case "Choice", "Pass":
		own += 2 // entered, exited
	case "Fail":
		own++ // entered
	case "Task":
		attempts := 1
		for _, r := range s.Retry {
			if r.MaxAttempts == nil {
				attempts += 3 // the default
			} else {
				attempts += *r.MaxAttempts
			}
		}
		own += 2 + 3*attempts // entered, exited; scheduled, started, ended
	case "Map":
		own += 4 // entered, started, succeeded, exited
		iteration, nested := s.ItemProcessor.worst(t, s.ItemProcessor.StartAt)
		if nested > 0 {
			t.Fatalf("state %q has a Map inside its Map: count its iterations", name)
		}
		item += 2 + iteration // started, succeeded
	default:
		t.Fatalf("state %q is a %s: say how many history events it takes", name, s.Type)
	}
	return own, item
}

// Step Functions ends an execution at 25,000 history events, whatever it is doing.
func TestMaxItemsFitTheHistoryEvenIfEveryAttemptFails(t *testing.T) {
	m := inlineMachine(t)
	own, item := m.worst(t, m.StartAt)
	own += 2 // ExecutionStarted, and how it ended
	if item != itemHistory {
		t.Errorf("an item takes up to %d history events by the state machine's file, itemHistory = %d", item, itemHistory)
	}
	if own > runHistory {
		t.Errorf("a run's own history has up to %d events by the state machine's file, runHistory = %d", own, runHistory)
	}
	if most := own + MaxItems*item; most > 25_000 {
		t.Errorf("a run of MaxItems = %d has up to %d history events, want at most 25,000", MaxItems, most)
	}
}

// errorNames are the names of the errors that generate-data returns, by which a state machine knows them.
var errorNames = map[string]error{
	"InvalidInputError":  &event.InvalidInputError{},
	"RangeTooLargeError": &RangeTooLargeError{},
	"ClaimError":         &ClaimError{},
}

func TestErrorNamesAreTheNamesOfTheGoTypes(t *testing.T) {
	for want, err := range errorNames {
		if got := nameOf(err); got != want {
			t.Errorf("error name of %T = %q, want %q", err, got, want)
		}
	}
}

// Bad input must not be tried again: it stays bad, and the retries would only delay the answer.
func TestFunctionsAreTriedAgainForLambdasOwnErrorsOnly(t *testing.T) {
	want := []string{"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"}
	m := inlineMachine(t)
	for name, s := range map[string]state{
		"Generate Data": m.States["Generate Data"],
		"Insert Data":   m.States["Process Events"].ItemProcessor.States["Insert Data"],
	} {
		if len(s.Retry) != 1 || !slices.Equal(s.Retry[0].ErrorEquals, want) {
			t.Errorf("state %q retries %+v, want %v", name, s.Retry, want)
		}
	}
}
