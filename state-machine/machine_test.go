package statemachine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

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
	TimeoutSeconds                              int
	Choices                                     []struct{ Next string }
	Catch                                       []struct {
		ErrorEquals []string
		Next        string
	}
	Retry         []retry
	Parameters    struct{ Payload map[string]any }
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
// its Maps.
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
			if r.MaxAttempts == 0 {
				t.Fatalf("state %q has a Retry without MaxAttempts", name)
			}
			attempts += int(r.MaxAttempts)
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
		t.Fatalf("state %q is a %s: add the number of its history events", name, s.Type)
	}
	return own, item
}

// Step Functions ends an execution after 25,000 history events.
func TestARunOfMaxItemsFitsTheHistoryEvenIfEveryAttemptFails(t *testing.T) {
	m := read(t).machine(t, inlineFile)
	own, item := m.worst(t, m.StartAt)
	own += 2 // ExecutionStarted, and how it ended
	const limit, reserve = 25_000, 100
	if most := own + generate.MaxItems*item; most > limit || most < limit-reserve-item {
		t.Errorf("a run of MaxItems = %d has up to %d + %d x %d = %d history events, want at most %d, and not much less",
			generate.MaxItems, own, generate.MaxItems, item, most, limit)
	}
}

// The history of the parent only has its Map Runs, and the history of a child only its two invocations.
func TestHistoriesOfADistributedRunStaySmallWithAnyNumberOfShards(t *testing.T) {
	m := read(t).machine(t, distributedFile)
	own := 2
	for _, name := range slices.Sorted(maps.Keys(m.States)) {
		switch s := m.States[name]; s.Type {
		case "Map": // twice: entered, started, Map Run started, Map Run succeeded, succeeded, exited
			own += 2 * 6
			child, nested := s.ItemProcessor.worst(t, s.ItemProcessor.StartAt)
			if child += 2; nested > 0 || child > 200 {
				t.Errorf("a shard has up to %d history events, want at most 200", child)
			}
		case "Succeed":
			own += 2
		default:
			events, _ := machine{States: map[string]state{name: {Type: s.Type, Retry: s.Retry}}}.worst(t, name)
			own += 2 * events // the loop enters a state at most twice
		}
	}
	if own > 400 {
		t.Errorf("a distributed run has up to %d history events of its own, want at most 400", own)
	}
}

func TestRequestsNameTheOperationsOfTheFunctions(t *testing.T) {
	got := map[string]string{}
	for _, m := range read(t).machines(t) {
		m.each(func(name string, s state) {
			if operation, ok := s.Parameters.Payload["operation"]; ok {
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

// A shard that fails makes its run fail, so a crash is retried twice; the input was checked when the run began. A throttled call is
// retried for minutes, because other runs can use all of an account's concurrency for as long as a shard takes.
func TestFunctionsOfAShardAreRetriedForAnyError(t *testing.T) {
	for name, s := range read(t).machine(t, distributedFile).States["Process Shards"].ItemProcessor.States {
		if len(s.Retry) != 3 || !slices.Equal(s.Retry[2].ErrorEquals, []string{"States.ALL"}) || s.Retry[2].MaxAttempts != 2 {
			t.Fatalf("state %q retries %+v, want States.ALL twice", name, s.Retry)
		}
		if first := s.Retry[0]; !slices.Equal(first.ErrorEquals, []string{"Lambda.TooManyRequestsException"}) || first.MaxAttempts != 20 {
			t.Errorf("state %q retries %+v first, want throttled calls, 20 times", name, first)
		}
		if len(s.Catch) > 0 {
			t.Errorf("state %q catches an error, which would hide it from the run", name)
		}
	}
}
