package generate

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/insert"
	"carnation/internal/function/shard"
)

// machine is what these tests read of a state machine.
type machine struct {
	StartAt string
	States  map[string]state
}

type state struct {
	Type, Next, Default, Error, Label string
	Choices                           []struct{ Next string }
	Catch                             []struct {
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
	return readMachine(t, "carnation-state-machine")
}

func distributedMachine(t *testing.T) machine {
	return readMachine(t, "carnation-distributed")
}

func readMachine(t *testing.T, name string) machine {
	t.Helper()
	data, err := os.ReadFile("../../../state-machine/" + name + ".asl.json")
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

// errorNames are the names of the errors that the functions return, by which a state machine knows them.
var errorNames = map[string]error{
	"InvalidInputError":  &event.InvalidInputError{},
	"RangeTooLargeError": &event.RangeTooLargeError{},
	"ClaimError":         &ClaimError{},
	"ParkError":          &insert.ParkError{},
	"CountError":         &shard.CountError{},
	"UnaccountedError":   &shard.UnaccountedError{},
}

func TestErrorNamesAreTheNamesOfTheGoTypes(t *testing.T) {
	for want, err := range errorNames {
		if got := nameOf(err); got != want {
			t.Errorf("error name of %T = %q, want %q", err, got, want)
		}
	}
}

// The parent of a Distributed Map has only its Map Runs in its history, and a child only its two invocations.
func TestHistoriesOfADistributedRunStaySmallHoweverManyShards(t *testing.T) {
	m := distributedMachine(t)
	own := 2
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		switch s := m.States[name]; s.Type {
		case "Map": // twice: entered, started, Map Run started, Map Run succeeded, succeeded, exited
			own += 2 * 6
			child, nested := s.ItemProcessor.worst(t, s.ItemProcessor.StartAt)
			if child += 2; nested > 0 || child > 200 {
				t.Errorf("a shard takes up to %d history events", child)
			}
		case "Succeed":
			own += 2
		default:
			state, _ := machine{States: map[string]state{name: {Type: s.Type, Retry: s.Retry}}}.worst(t, name)
			own += 2 * state // a loop passes it twice at most
		}
	}
	if own > 400 {
		t.Errorf("a distributed run takes up to %d history events of its own", own)
	}
}

// Redrive is allowed by the label of the Map state, which stands in the ARN of its children.
func TestRedriveIsAllowedForTheMapsLabel(t *testing.T) {
	template, err := os.ReadFile("../../../cft/nested-stacks/iam-role-stack.yaml")
	if err != nil {
		t.Fatal(err)
	}
	label := distributedMachine(t).States["Process Shards"].Label
	if label == "" || !strings.Contains(string(template), "-state-machine-${Environment}-${AWS::Region}/"+label+":*") {
		t.Errorf("no permission for the executions of label %q", label)
	}
}

// Bad input must not be tried again: it stays bad, and the retries would only delay the answer.
func TestFunctionsAreTriedAgainForLambdasOwnErrorsOnly(t *testing.T) {
	want := []string{"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"}
	slices.Sort(want)
	m := inlineMachine(t)
	for name, s := range map[string]state{
		"Generate Data": m.States["Generate Data"],
		"Insert Data":   m.States["Process Events"].ItemProcessor.States["Insert Data"],
		"Plan Shards":   distributedMachine(t).States["Plan Shards"],
		"Add Up Shards": distributedMachine(t).States["Add Up Shards"],
	} {
		var got []string
		for _, r := range s.Retry {
			got = append(got, r.ErrorEquals...)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("state %q retries %v, want %v", name, got, want)
		}
	}
}

// A shard that fails fails its run, so a crash is tried again, twice: its input was checked when the run began. A throttle is
// tried again for minutes, since runs that overlap can take all of an account's concurrency for as long as a shard takes.
func TestFunctionsOfAShardAreTriedAgainForAnyError(t *testing.T) {
	for name, s := range distributedMachine(t).States["Process Shards"].ItemProcessor.States {
		if len(s.Retry) != 3 || !slices.Equal(s.Retry[2].ErrorEquals, []string{"States.ALL"}) || s.Retry[2].MaxAttempts == nil || *s.Retry[2].MaxAttempts != 2 {
			t.Fatalf("state %q retries %+v, want States.ALL twice", name, s.Retry)
		}
		if first := s.Retry[0]; !slices.Equal(first.ErrorEquals, []string{"Lambda.TooManyRequestsException"}) || first.MaxAttempts == nil || *first.MaxAttempts != 20 {
			t.Errorf("state %q retries %+v first, want throttles, 20 times", name, first)
		}
		if len(s.Catch) > 0 {
			t.Errorf("state %q catches an error, which would hide it from the run", name)
		}
	}
}
