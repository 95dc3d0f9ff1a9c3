package statemachine

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/insert"
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
	Arguments     arguments // JSONata
	Parameters    arguments // JSONPath
	ItemProcessor *machine

	ItemReader, ItemSelector, ItemBatcher map[string]any // of a Distributed Map of records
}

// arguments are those of a call of a function. The payload is an object, or JSONata that makes one.
type arguments struct {
	FunctionName, ClientContext string
	Payload                     any
}

// operation is what the function is asked for, "" for no function.
func (a arguments) operation() string {
	if payload, ok := a.Payload.(map[string]any); ok {
		return fmt.Sprint(payload["operation"])
	}
	if found := regexp.MustCompile(`'operation': '(\w+)'`).FindStringSubmatch(fmt.Sprint(a.Payload)); found != nil {
		return found[1]
	}
	return ""
}

// ofRecords are the Map states of a distributed run that make events of records.
func (m machine) ofRecords() map[string]state {
	found := map[string]state{}
	for name, s := range m.States {
		if s.ItemBatcher != nil {
			found[name] = s
		}
	}
	return found
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
			for _, operation := range []string{s.Arguments.operation(), s.Parameters.operation()} {
				if operation != "" {
					got[operation], _, _ = strings.Cut(name, " of ")
				}
			}
		})
	}
	want := map[string]string{
		generate.GenerateRun: "Generate Data", generate.GenerateShard: "Generate Data", shard.PlanRun: "Plan Shards", shard.AddUpShards: "Add Up Shards",
		insert.InsertItems: "Insert Data", insert.InsertShard: "Insert Data Again", insert.InsertRecords: "Insert Records",
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
	for _, name := range []string{operate.EventFailed, operate.InvocationFailed, operate.EventIsDead} {
		if got := process.ItemProcessor.States[name].Type; got != "Pass" {
			t.Errorf("state %q in %q is a %q, want a Pass", name, operate.ProcessEvents, got)
		}
	}
	var labels []string
	for _, s := range read(t).machine(t, distributedFile).ofRecords() {
		labels = append(labels, s.Label)
	}
	if slices.Sort(labels); !slices.Equal(labels, slices.Sorted(slices.Values(operate.RecordLabels))) {
		t.Errorf("the labels of the Maps of records are %v, the command knows %v", labels, operate.RecordLabels)
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

// The label of a Map state is part of the ARN of its children. A redrive is allowed for it, and so is the use of the key.
func TestRoleKnowsTheLabelOfEachMap(t *testing.T) {
	f := read(t)
	labels := map[string]string{}
	for name, s := range f.machine(t, distributedFile).States {
		if s.Type != "Map" {
			continue
		}
		if other, twice := labels[s.Label]; twice || s.Label == "" {
			t.Errorf("states %q and %q have the label %q", name, other, s.Label)
		}
		labels[s.Label] = name
		const of = "-state-machine-${Environment}-${AWS::Region}/"
		if redrives, uses := strings.Count(f[rolesTemplate], of+s.Label+":*\n"), strings.Count(f[rolesTemplate], of+s.Label+`"`); redrives != 1 || uses != 2 {
			t.Errorf("%s has %d permissions for the executions with the label %q, and names it %d times in the trust and in the use of the key, want 1 and 2",
				rolesTemplate, redrives, s.Label, uses)
		}
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
	of := strings.NewReplacer("$states.input.items", "$states.input.Items", "of the shard", "of the batch")
	for name, s := range f.machine(t, distributedFile).ofRecords() {
		if got, want := s.ItemProcessor.States[s.ItemProcessor.StartAt].Output, of.Replace(states["Insert Data"].Output.(string)); got != want {
			t.Errorf("%q checks the answer by %s, want %s", name, got, want)
		}
	}
}

// The four Maps differ only in where their records come from, because Step Functions must know the kind of a file when it reads the
// definition, and must have another name for each state.
func TestMapsOfRecordsDoTheSame(t *testing.T) {
	m := read(t).machine(t, distributedFile)
	again := m.States["Process Shards"].ItemProcessor.States
	maps := m.ofRecords()
	if len(maps) != 4 {
		t.Errorf("%d Maps have batches of records, want 4", len(maps))
	}
	inputTypes := map[string]int{}
	first := maps["Process Input Events"]
	for name, s := range maps {
		inserts := s.ItemProcessor.States[s.ItemProcessor.StartAt]
		if len(s.ItemProcessor.States) != 1 || !reflect.DeepEqual(inserts, first.ItemProcessor.States[first.ItemProcessor.StartAt]) {
			t.Errorf("the child of %q is not that of the others", name)
		}
		if !reflect.DeepEqual(inserts.Retry, again["Generate Data"].Retry) || inserts.TimeoutSeconds != again["Insert Data"].TimeoutSeconds || len(inserts.Catch) > 0 {
			t.Errorf("the child of %q retries %+v within %d s and catches %v, want what a shard does, and no catch", name, inserts.Retry, inserts.TimeoutSeconds, inserts.Catch)
		}
		if !reflect.DeepEqual(s.ItemSelector, first.ItemSelector) || !reflect.DeepEqual(s.ItemBatcher, first.ItemBatcher) || s.Next != "Add Up Shards" {
			t.Errorf("%q has other batches than the others: %v, %v, then %q", name, s.ItemSelector, s.ItemBatcher, s.Next)
		}
		if s.ItemReader == nil {
			inputTypes["none"]++
			continue
		}
		config := s.ItemReader["ReaderConfig"].(map[string]any)
		inputTypes[fmt.Sprint(config["InputType"])]++
		if config["MaxItems"] != float64(event.MaxEvents+1) {
			t.Errorf("%q reads up to %v records, want one more than %d, so that plan-shards notices too many", name, config["MaxItems"], event.MaxEvents)
		}
		if !reflect.DeepEqual(s.ItemReader["Parameters"], maps["Process CSV"].ItemReader["Parameters"]) {
			t.Errorf("%q reads %v, and the others do not", name, s.ItemReader["Parameters"])
		}
	}
	if want := map[string]int{"none": 1, event.JSONL: 1, event.JSON: 1, event.CSV: 1}; !reflect.DeepEqual(inputTypes, want) {
		t.Errorf("the Maps read %v, want %v", inputTypes, want)
	}
}

// stateLimit is the most data that a state takes, and a task gives to its function, in bytes.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const stateLimit = 256 << 10

// A batch has fewer bytes than a state may have, because the call of the function has its batch and more.
func TestCallWithTheLargestBatchFitsTheState(t *testing.T) {
	m := read(t).machine(t, distributedFile)
	run := "arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:" + strings.Repeat("m", 80) + ":" + strings.Repeat("e", 80)
	for name, s := range m.ofRecords() {
		most := int(s.ItemBatcher["MaxInputBytesPerBatch"].(float64))
		given := map[string]any{"source": "s3://" + strings.Repeat("b", 63) + "/" + strings.Repeat(`"`, 1024), "time": int64(event.MaxSequenceNo), "failure_rate": 0.12345678901234567, "run": run}
		if fields := s.ItemBatcher["BatchInput"].(map[string]any); len(fields) != len(given) {
			t.Fatalf("the batches of %q have %v, this test knows %v", name, fields, given)
		}
		item := map[string]any{"index": event.MaxEvents, "record": map[string]any{"n": strings.Repeat("x", 1000)}}
		batch := map[string]any{"BatchInput": given, "Items": []any{}}
		for len(encode(t, batch)) < most-2000 {
			batch["Items"] = append(batch["Items"].([]any), item)
		}
		last := map[string]any{"index": 1, "record": map[string]any{"n": ""}}
		batch["Items"] = append(batch["Items"].([]any), last)
		last["record"] = map[string]any{"n": strings.Repeat("x", most-len(encode(t, batch)))}
		if got := len(encode(t, batch)); got != most {
			t.Fatalf("the batch has %d bytes, want %d", got, most)
		}
		payload := map[string]any{"operation": insert.InsertRecords, "records": batch["Items"]}
		for name, value := range given {
			payload[name] = value
		}
		call := encode(t, map[string]any{
			"FunctionName":  "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + strings.Repeat("f", 64) + ":v1000000",
			"ClientContext": []byte(`{"custom":{"executionArn":"` + run + `"}}`),
			"Payload":       payload,
		})
		if len(call) > stateLimit {
			t.Errorf("the call with the largest batch of %q has %d bytes, want at most %d", name, len(call), stateLimit)
		}
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	data, err := event.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
