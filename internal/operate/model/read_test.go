package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"carnation/internal/operate/model/recording"
)

// counts are [generated, claimed, inserted, failed, returned, dead], -1 for what is not known.
func (o Outcome) counts() (list [6]int) {
	for i, n := range []*int{o.Generated, o.Claimed, o.Inserted, o.Failed, o.Returned, o.Dead} {
		list[i] = -1
		if n != nil {
			list[i] = *n
		}
	}
	return list
}

var nothing = [6]int{-1, -1, -1, -1, -1, -1}

func TestRecordedRunsHaveTheirInputAndTheirOutcome(t *testing.T) {
	for _, test := range []struct {
		name, kind, input, status string
		outcome                   [6]int
		sentence                  string
	}{
		{"inline-succeeded", KindRange, "events 101 to 105", "SUCCEEDED", [6]int{5, 0, 5, 0, 0, 0}, "All 5 events were inserted"},
		{"inline-failures", KindRange, "events 1 to 20", "FAILED", [6]int{20, 0, 11, 9, 7, 2}, "11 of 20 events were inserted; 7 were returned to the retry queue, 2 went to the dead-letter queue"},
		{"inline-claims", KindRetry, "retries only", "FAILED", [6]int{0, 7, 0, 7, 7, 0}, "0 of 7 events were inserted; 7 were returned to the retry queue"},
		{"inline-buried", KindRetry, "retries only", "FAILED", [6]int{0, 7, 0, 7, 0, 7}, "0 of 7 events were inserted; 7 went to the dead-letter queue"},
		{"inline-own-events", KindEvents, "3 events in the input", "FAILED", [6]int{3, 0, 1, 2, 2, 0}, "1 of 3 events was inserted; 2 were returned to the retry queue"},
		{"inline-refused", KindInvalid, "not valid: end_seq is 1: must be an integer from 21 to 9007199254740991", "FAILED", nothing, "The input was refused, and nothing happened"},
		{"inline-running", KindRange, "events 201 to 210", "RUNNING", [6]int{10, 2, 1, 0, 0, 0}, "Running: 1 of 12 events inserted so far"},
		{"inline-stopped", KindRange, "events 201 to 210", "ABORTED", [6]int{10, 2, 1, 0, 0, 0}, "The run was stopped with 1 of 12 events inserted"},
		{"inline-redriven", KindRange, "events 201 to 210", "SUCCEEDED", [6]int{10, 2, 12, 0, 0, 0}, "All 12 events were inserted"},
		{"inline-timed-out", KindRange, "events 302 to 311", "TIMED_OUT", [6]int{10, 0, 0, 0, 0, 0}, "The run ran out of time with 0 of 10 events inserted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := document(t, test.name, Options{})
			if d.Run.Input.Kind != test.kind || d.Run.Input.Text != test.input {
				t.Errorf("input is %q %q, want %q %q", d.Run.Input.Kind, d.Run.Input.Text, test.kind, test.input)
			}
			if got := d.Outcome.counts(); got != test.outcome || d.Run.Status != test.status {
				t.Errorf("outcome is %s %v, want %s %v", d.Run.Status, got, test.status, test.outcome)
			}
			if d.Outcome.Sentence != test.sentence {
				t.Errorf("sentence is %q, want %q", d.Outcome.Sentence, test.sentence)
			}
		})
	}
}

// state is the state with this path, its names joined with " / ".
func (d *Document) state(t *testing.T, path string) State {
	t.Helper()
	for _, s := range d.States {
		if strings.Join(s.Path, " / ") == path {
			return s
		}
	}
	t.Fatalf("there is no state %q in %v", path, d.States)
	return State{}
}

func TestStatesAreCounted(t *testing.T) {
	for _, test := range []struct {
		name, path                                                      string
		entered, succeeded, failed, caught, retried, running, abortions int
	}{
		{"inline-failures", "Process Events / Insert Data", 20, 19, 1, 1, 0, 0, 0}, // an invocation was killed
		{"inline-failures", "Process Events / Event Is Dead", 2, 2, 0, 0, 0, 0, 0},
		{"inline-failures", "Return Failed Events / Park New Event", 7, 7, 0, 0, 0, 0, 0},
		{"inline-failures", "Events Failed", 1, 0, 1, 0, 0, 0, 0},
		{"inline-refused", "Generate Data", 1, 0, 1, 0, 0, 0, 0},
		{"inline-running", "Process Events", 1, 0, 0, 0, 0, 1, 0},
		{"inline-running", "Process Events / Insert Data", 5, 1, 0, 0, 0, 4, 0},
		{"inline-stopped", "Process Events / Insert Data", 5, 1, 0, 0, 0, 0, 4},
		{"inline-redriven", "Process Events", 2, 1, 0, 0, 0, 0, 1},
		{"inline-redriven", "Process Events / Insert Data", 16, 12, 0, 0, 0, 0, 4}, // four were stopped, and 12 events were inserted once
		{"inline-timed-out", "Process Events / Insert Data", 4, 0, 0, 0, 0, 0, 4},
	} {
		s := document(t, test.name, Options{}).state(t, test.path)
		got := [7]int{s.Entered, s.Succeeded, s.Failed, s.Caught, s.Retried, s.Running, s.Aborted}
		if want := [7]int{test.entered, test.succeeded, test.failed, test.caught, test.retried, test.running, test.abortions}; got != want {
			t.Errorf("%s: %s has %v, want %v", test.name, test.path, got, want)
		}
	}
}

// Each visit ends in exactly one way, in every recording.
func TestVisitsOfAStateAddUp(t *testing.T) {
	for _, name := range names(t) {
		for _, s := range document(t, name, Options{}).States {
			if s.Entered != s.Succeeded+s.Failed+s.Running+s.Aborted || s.LeastMS > s.MostMS || s.MostMS > s.TotalMS || s.Caught > s.Failed {
				t.Errorf("%s: %+v does not add up", name, s)
			}
		}
	}
}

func TestItemsHaveTheirStatusErrorAndHistory(t *testing.T) {
	d := document(t, "inline-failures", Options{})
	groups := map[ItemGroup]bool{}
	for _, g := range d.Items.Groups {
		groups[g] = true
	}
	if d.Items.Total != 20 || !groups[ItemGroup{ItemInserted, "", 11}] || !groups[ItemGroup{ItemParked, "Runtime.ExitError", 1}] || !groups[ItemGroup{ItemParked, "SimulatedFailure", 6}] {
		t.Errorf("items are %+v", d.Items.Groups)
	}
	p, _ := open(t, "inline-failures")
	entered := map[int64]string{}
	for _, text := range p.Histories[p.Arn] {
		var e struct {
			ID      int64
			Details struct{ Name, Input string } `json:"stateEnteredEventDetails"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		entered[e.ID] = e.Details.Input
	}
	for _, item := range d.Items.Rows {
		var input struct {
			Item struct {
				Event struct {
					SequenceNo int64 `json:"sequence_no"`
				}
			}
		}
		if len(item.EventIDs) < 7 || json.Unmarshal([]byte(entered[item.EventIDs[1]]), &input) != nil || input.Item.Event.SequenceNo != item.SequenceNo {
			t.Errorf("item %+v has the history of event %d", item, input.Item.Event.SequenceNo)
		}
		if item.Payload != nil {
			t.Errorf("item %d has a payload", item.Index)
		}
	}
	if first := d.Items.Rows[0]; first.Status == ItemInserted {
		t.Errorf("the first item is %+v, want one that failed", first)
	}
	for name, want := range map[string]string{
		"inline-succeeded": "inserted 5", "inline-redriven": "inserted 12", "inline-stopped": "unknown 11, inserted 1", "inline-running": "running 11, inserted 1",
		"inline-timed-out": "unknown 10", "inline-refused": "", "inline-own-events": "parked 2 SimulatedFailure, inserted 1",
	} {
		if got := document(t, name, Options{}).Items.text(); got != want {
			t.Errorf("%s: items are %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"inline-claims": ItemReleased, "inline-buried": ItemBuried} {
		for _, item := range document(t, name, Options{}).Items.Rows {
			if item.Status != want || !item.Claimed || item.Error != "SimulatedFailure" {
				t.Errorf("%s: item is %+v, want it claimed and %s", name, item, want)
			}
		}
	}
}

func TestFewRowsSayHowManyAreLeftOut(t *testing.T) {
	d := document(t, "inline-failures", Options{Rows: 15})
	if len(d.Items.Rows) != 15 || d.Items.Omitted != 5 {
		t.Errorf("%d items and %d left out, want 15 and 5", len(d.Items.Rows), d.Items.Omitted)
	}
	// five states outside of the Maps, and 20 iterations of the first and 7 of the second
	if len(d.Timeline.Spans) != 15 || d.Timeline.Omitted != 5+20+7-15 {
		t.Errorf("%d spans and %d left out, want 15 and 17", len(d.Timeline.Spans), d.Timeline.Omitted)
	}
	if failed := slices.IndexFunc(d.Timeline.Spans, func(s Span) bool { return s.Index != nil && s.Error != "" }); failed < 0 {
		t.Error("the iteration with an error is left out")
	}
}

func TestPayloadsAreLeftOutUnlessAsked(t *testing.T) {
	const secret = "<script>alert(1)"
	for payloads, want := range map[bool]bool{false: false, true: true} {
		d := document(t, "inline-own-events", Options{Payloads: payloads})
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(d); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text.String(), secret); got != want {
			t.Errorf("Payloads is %t: the document has the payload: %t", payloads, got)
		}
		if d.Run.RawInput != nil != want || d.Items.Rows[0].Payload != nil != want {
			t.Errorf("Payloads is %t: the input is %s, and the payload of an item %s", payloads, d.Run.RawInput, d.Items.Rows[0].Payload)
		}
	}
}

func TestTimelineHasStatesIterationsAndSeries(t *testing.T) {
	d := document(t, "inline-failures", Options{})
	var iterations int
	for _, s := range d.Timeline.Spans {
		if s.End < s.Start || s.Start < 0 || s.End > d.Run.Milliseconds+1 {
			t.Errorf("span %+v is outside of the run of %d ms", s, d.Run.Milliseconds)
		}
		if s.Index == nil {
			continue
		}
		iterations++
		for i, step := range s.Steps {
			if path := d.States[step[0]].Path; len(path) != 2 || path[0] != s.Path[0] {
				t.Errorf("step %d of iteration %d of %v is %v", i, *s.Index, s.Path, path)
			}
			if step[1] < s.Start || step[2] > s.End {
				t.Errorf("step %v is outside of %+v", step, s)
			}
		}
	}
	if iterations != 20+7 {
		t.Errorf("there are %d iterations, want 20 of the first Map and 7 of the second", iterations)
	}
	for _, m := range d.Timeline.Maps {
		ended, durations := 0, 0
		for _, b := range m.Series {
			ended += b[1]
		}
		for _, b := range m.Durations {
			durations += b.Count
		}
		if ended != m.Total || durations != m.Total || m.Succeeded != m.Total || m.Series[len(m.Series)-1][0] != 0 || len(m.Series) > maxBuckets {
			t.Errorf("series %+v does not account for %d iterations", m, m.Total)
		}
	}
}

func TestVisitsHaveInputOutputAndError(t *testing.T) {
	p, stack := open(t, "inline-failures")
	all, err := Visits(t.Context(), stack, p.Arn, []string{"Process Events", "Insert Data"}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var failed *Visit
	for i, v := range all {
		if v.Index == nil || len(v.Input) == 0 || len(v.Output) == 0 || v.End < v.Start {
			t.Errorf("visit %d of event %d has %d bytes of input and %d of output", v.Start, v.EventID, len(v.Input), len(v.Output))
		}
		if v.Status == Failed {
			failed = &all[i]
		}
	}
	if len(all) != 20 || failed == nil || failed.Error != "Runtime.ExitError" || failed.Cause == "" {
		t.Fatalf("%d visits, that failed: %t", len(all), failed != nil)
	}
	one, err := Visits(t.Context(), stack, p.Arn, failed.Path, failed.Index, 0)
	if err != nil || len(one) != 1 || one[0].EventID != failed.EventID {
		t.Errorf("Visits() of iteration %d = %d visits, %v", *failed.Index, len(one), err)
	}
	inside, err := Visits(t.Context(), stack, p.Arn, []string{"Process Events"}, failed.Index, 0)
	if err != nil || len(inside) != 2 || inside[1].Path[1] != "Invocation Failed" {
		t.Errorf("Visits() inside of iteration %d = %d visits, %v", *failed.Index, len(inside), err)
	}
	few, err := Visits(t.Context(), stack, p.Arn, []string{"Process Events", "Insert Data"}, nil, 3)
	if err != nil || len(few) != 3 {
		t.Errorf("Visits() of at most 3 = %d, %v", len(few), err)
	}
}

func TestSummaryTakesOneCall(t *testing.T) {
	p, stack := open(t, "inline-failures")
	s, err := Summary(t.Context(), stack, p.Arn)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Outcome.counts(), ([6]int{20, 0, 11, 9, 7, 2}); got != want || s.Input.Text != "events 1 to 20" || s.Error != EventsFailed {
		t.Errorf("Summary() = %v %q %s, want %v", got, s.Input.Text, s.Error, want)
	}
	if s.USD == nil || *s.USD <= 0 {
		t.Error("Summary() has no cost")
	}
	if p.Calls("DescribeExecution") != 1 || p.Calls("GetExecutionHistory") != 0 {
		t.Error("Summary() makes other calls than DescribeExecution")
	}
}

// text is the groups of the items, such as "inserted 3, parked 1 Error".
func (i Items) text() string {
	var parts []string
	for _, g := range i.Groups {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %d %s", g.Status, g.Count, g.Error)))
	}
	return strings.Join(parts, ", ")
}

// The history is read after the description of the run, so it can have what began later.
func TestMapStateMayBeginAfterTheRunWasDescribed(t *testing.T) {
	s := series{}
	s.add(1460, -1, Running)
	m := s.of(&visit{frame: &frame{}, name: "Map", start: 1453, end: -1}, 1453, 1446)
	if m.Running != 1 || len(m.Series) != 1 || m.Series[0] != [3]int{1, 0, 0} {
		t.Errorf("the series is %+v, want one bucket with one iteration that runs", m)
	}
}

// ending is a client for which an execution ends, or is redriven, between its description and its history.
type ending struct {
	*recording.Player
	first json.RawMessage // description
	asked bool
}

func (e *ending) Do(r *http.Request) (*http.Response, error) {
	if !e.asked && strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeExecution") {
		e.asked = true
		last := e.Executions[e.Arn]
		e.Executions[e.Arn] = e.first
		defer func() { e.Executions[e.Arn] = last }()
	}
	return e.Player.Do(r)
}

func TestARunMayEndWhileItIsRead(t *testing.T) {
	for name, first := range map[string]map[string]any{
		"inline-failures": {"status": "RUNNING", "stopDate": nil, "error": nil, "cause": nil},
		"inline-running":  {"status": "ABORTED"}, // and it was redriven
	} {
		p, stack := open(t, name)
		last := documentOf(t, p, Options{})
		stack.Config.HTTPClient = &ending{Player: p, first: with(t, p.Executions[p.Arn], first)}
		d, err := Read(t.Context(), stack, p.Arn, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Run.Status != last.Run.Status || d.Outcome.Sentence != last.Outcome.Sentence || d.Run.Cause != last.Run.Cause || len(d.Definition) != len(last.Definition) {
			t.Errorf("%s: it is %s, %q; want %s, %q", name, d.Run.Status, d.Outcome.Sentence, last.Run.Status, last.Outcome.Sentence)
		}
	}
}
