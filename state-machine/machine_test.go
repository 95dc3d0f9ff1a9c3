package statemachine

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/shard"
	"carnation/internal/operate"
)

// machine is what these tests read of a state machine.
type machine struct {
	StartAt         string
	TimeoutSeconds  int
	States          map[string]state
	ProcessorConfig struct{ Mode string }
}

type state struct {
	Type, Resource, Next, Default, Error, Label string
	QueryLanguage, Output                       any
	TimeoutSeconds                              int
	Choices                                     []struct{ Next string }
	Catch                                       []struct {
		ErrorEquals []string
		Next        string
	}
	Retry         []retry
	Arguments     struct{ Payload map[string]any } // JSONata
	ItemProcessor *machine
}

type retry struct {
	ErrorEquals                                                []string
	IntervalSeconds, BackoffRate, MaxDelaySeconds, MaxAttempts float64
}

// each visits the states of a machine and of its Maps.
func (m machine) each(visit func(name string, s state)) {
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		s := m.States[name]
		visit(name, s)
		if s.ItemProcessor != nil {
			s.ItemProcessor.each(visit)
		}
	}
}

// worst is the most history events from a state to the end of its machine: those of the machine itself, and those for each item of
// its Maps. It does not enter the states in without.
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
func (m machine) worst(t *testing.T, name string, without ...string) (own, item int) {
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
		if n != "" && !slices.Contains(without, n) {
			nextOwn, nextItem := m.worst(t, n, without...)
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
			if r.MaxAttempts == 0 {
				t.Fatalf("state %q has a Retry without MaxAttempts", name)
			}
			attempts += int(r.MaxAttempts)
		}
		own += 2 + 3*attempts // entered, exited; scheduled, started, ended
		if s.QueryLanguage == "JSONata" {
			own += attempts // the evaluation of Output failed
		}
	case "Map":
		own += 4 // entered, started, succeeded, exited
		iteration, nested := s.ItemProcessor.worst(t, s.ItemProcessor.StartAt, without...)
		if nested > 0 {
			t.Fatalf("state %q has a Map inside its Map: count its iterations", name)
		}
		item += 2 + iteration // started, succeeded
	default:
		t.Fatalf("state %q is a %s: add the number of its history events", name, s.Type)
	}
	return own, item
}

// Step Functions ends an execution after 25,000 history events.
func TestARunOfMaxItemsFitsTheHistoryEvenIfEveryAttemptFails(t *testing.T) {
	m := read(t).machine(t, inlineFile)
	own, ofClaim := m.worst(t, m.StartAt)
	_, ofNew := m.worst(t, m.StartAt, "Bury Claimed Event", "Release Claimed Event")
	own += 2 // ExecutionStarted, and how it ended
	const limit, reserve = 25_000, 100
	for _, events := range []int{0, 1, 100, 540, generate.MaxItems} {
		claims := generate.MaxClaims(events)
		most := own + events*ofNew + claims*ofClaim
		if tooFew := most < limit-reserve-ofClaim-2*events; most > limit-2*events || tooFew { // two for each new event are for a redrive
			t.Errorf("a run of %d new and %d claimed events has up to %d + %d x %d + %d x %d = %d history events, want at most %d, and not much less",
				events, claims, own, events, ofNew, claims, ofClaim, most, limit-2*events)
		}
	}
}

// The history of the parent only has its Map Runs. The history of a child has its invocations, and what is done with the claims of
// the last one if it failed.
func TestHistoriesOfADistributedRunStaySmallWithAnyNumberOfShards(t *testing.T) {
	m := read(t).machine(t, distributedFile)
	own := 2
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		switch s := m.States[name]; s.Type {
		case "Map": // twice: entered, started, Map Run started, Map Run succeeded, succeeded, exited
			own += 2 * 6
			child, nested := s.ItemProcessor.worst(t, s.ItemProcessor.StartAt)
			if most := child + 2 + event.MaxShardClaims*nested; most > 12_000 {
				t.Errorf("a shard has up to %d + %d x %d history events, want at most 12,000", child+2, event.MaxShardClaims, nested)
			}
		case "Succeed":
			own += 2
		default:
			events, _ := machine{States: map[string]state{name: {Type: s.Type, Retry: s.Retry, QueryLanguage: s.QueryLanguage}}}.worst(t, name)
			own += 2 * events // the loop enters a state at most twice
		}
	}
	if own > 500 {
		t.Errorf("a distributed run has up to %d history events of its own, want at most 500", own)
	}
}

func TestRequestsNameTheOperationsOfTheFunctions(t *testing.T) {
	got := map[string]string{}
	for _, m := range read(t).machines(t) {
		m.each(func(name string, s state) {
			if operation, ok := s.Arguments.Payload["operation"]; ok {
				got[fmt.Sprint(operation)] = name
			}
		})
	}
	want := map[string]string{
		generate.GenerateRun: "Generate Data", generate.GenerateShard: "Generate Data", shard.PlanRun: "Plan Shards", shard.AddUpShards: "Add Up Shards",
	}
	if !maps.Equal(got, want) {
		t.Errorf("operations and their states are %v, want %v", got, want)
	}
}

// The carnation command counts events by the names of states.
func TestStatesHaveTheNamesThatTheCommandCountsBy(t *testing.T) {
	m := read(t).machine(t, inlineFile)
	process := m.States[operate.ProcessEvents]
	if process.Type != "Map" {
		t.Fatalf("state %q is a %q, want a Map", operate.ProcessEvents, process.Type)
	}
	for _, name := range []string{operate.EventFailed, operate.InvocationFailed} {
		if got := process.ItemProcessor.States[name].Type; got != "Pass" {
			t.Errorf("state %q in %q is a %q, want a Pass", name, operate.ProcessEvents, got)
		}
	}
	returning := m.States["Return Failed Events"].ItemProcessor.States
	if got := returning["Bury Claimed Event"].Next; got != operate.DeleteBuried || returning[got].Type != "Task" {
		t.Errorf("after an event is buried comes %q, want the task %q, which the command counts", got, operate.DeleteBuried)
	}
	for path, m := range read(t).machines(t) {
		m.each(func(name string, s state) {
			if s.Type == "Fail" && !(operate.Run{Error: s.Error}).EventsFailed() {
				t.Errorf("%s: state %q fails with %s, which is not what the command knows as failed events", path, name, s.Error)
			}
		})
	}
}

// A redrive is allowed for the label of the Map state, which is part of the ARN of its children.
func TestRedriveIsAllowedForTheMapsLabel(t *testing.T) {
	f := read(t)
	label := f.machine(t, distributedFile).States["Process Shards"].Label
	if label == "" || !strings.Contains(f[rolesTemplate], "-state-machine-${Environment}-${AWS::Region}/"+label+":*") {
		t.Errorf("%s has no permission for the executions with the label %q", rolesTemplate, label)
	}
}

// Bad input is not retried: it stays bad, and retries would only delay the answer.
func TestFunctionsAreOnlyRetriedForLambdasOwnErrors(t *testing.T) {
	want := []string{"Lambda.ServiceException", "Lambda.AWSLambdaException", "Lambda.SdkClientException", "Lambda.TooManyRequestsException"}
	slices.Sort(want)
	f := read(t)
	inline, distributed := f.machine(t, inlineFile), f.machine(t, distributedFile)
	for name, s := range map[string]state{
		"Generate Data": inline.States["Generate Data"],
		"Insert Data":   inline.States["Process Events"].ItemProcessor.States["Insert Data"],
		"Plan Shards":   distributed.States["Plan Shards"],
		"Add Up Shards": distributed.States["Add Up Shards"],
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

// A shard that fails makes its run fail, so a crash is retried; the input was checked when the run began. A throttled call is retried
// for minutes, because other runs can use all of an account's concurrency for as long as a shard takes. The last state of a shard of
// new events fails with the invocation, so that a redrive asks again.
func TestFunctionsOfAShardAreRetriedForAnyError(t *testing.T) {
	states := read(t).machine(t, distributedFile).States["Process Shards"].ItemProcessor.States
	for name, attempts := range map[string]float64{"Generate Data": 2, "Insert Data": 1, "Insert Data Again": 0} {
		s := states[name]
		if len(s.Retry) < 2 || !slices.Equal(s.Retry[0].ErrorEquals, []string{"Lambda.TooManyRequestsException"}) || s.Retry[0].MaxAttempts != 20 {
			t.Fatalf("state %q retries %+v, want throttled calls first, 20 times", name, s.Retry)
		}
		got := 0.0
		for _, r := range s.Retry[2:] {
			if slices.Equal(r.ErrorEquals, []string{"States.ALL"}) {
				got += r.MaxAttempts
			}
		}
		if got != attempts {
			t.Errorf("state %q retries States.ALL %g times, want %g", name, got, attempts)
		}
		if catches := len(s.Catch) > 0; catches != (name == "Insert Data") {
			t.Errorf("state %q catches an error: %t, which would hide it from the run if another state did not repeat it", name, catches)
		}
	}
	if next := states["Insert Data"].Catch[0].Next; states[next].Default != "Insert Data Again" || states["Insert Data Again"].Next != "" {
		t.Errorf("after a failed Insert Data comes %q, and then %q by default, want Insert Data Again, and then the end", next, states[next].Default)
	}
}

// What the checks of answers say, and the name of an error that counts, are the same in all states.
func TestJSONataChecksAreTheSameEverywhere(t *testing.T) {
	f := read(t)
	for file, names := range map[string]int{inlineFile: 2, distributedFile: 1} {
		const pattern = `/^[A-Za-z0-9._-]{1,90}$/`
		if got := strings.Count(f[file], pattern); got != names || strings.Count(f[file], "$contains(") != names {
			t.Errorf("%s checks %d names of errors by %s, want %d, and no other check of a name", file, got, pattern, names)
		}
	}
	states := f.machine(t, distributedFile).States["Process Shards"].ItemProcessor.States
	if states["Insert Data"].Output != states["Insert Data Again"].Output || !reflect.DeepEqual(states["Insert Data"].Arguments, states["Insert Data Again"].Arguments) {
		t.Errorf("Insert Data and Insert Data Again do not ask and check the same")
	}
}
