package model

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"carnation/internal/operate/model/recording"
)

func TestRecordedDistributedRunsHaveTheirShardsAndOutcome(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome [6]int
		shards  [7]int // total, succeeded, failed, aborted, timed out, running, pending
		groups  string
	}{
		{"distributed-failures", [6]int{30, 0, 20, 10, 10, 0}, [7]int{4, 4}, "inserted 20, parked 10"},
		{"distributed-claims", [6]int{20, 10, 25, 5, 5, 0}, [7]int{4, 4}, "inserted 25, released 3, parked 2"},
		{"distributed-shard-failed", [6]int{30, 5, 0, 5, 5, 0}, [7]int{5, 1, 1, 2, 0, 0, 1}, "unknown 30, released 5"},
		{"distributed-redriven", [6]int{30, 5, 30, 5, 5, 0}, [7]int{5, 5}, "inserted 30, released 5"},
		{"distributed-running", [6]int{40, 0, 8, 0, 0, 0}, [7]int{5, 1, 0, 0, 0, 3, 1}, "running 32, inserted 8"},
		{"distributed-stopped", [6]int{40, 0, 8, 0, 0, 0}, [7]int{5, 1, 0, 3, 0, 0, 1}, "unknown 32, inserted 8"},
		{"distributed-source", [6]int{20, 0, 13, 7, 7, 0}, [7]int{3, 3}, "inserted 13, parked 7"},
		{"distributed-own-events", [6]int{3, 7, 10, 0, 0, 0}, [7]int{2, 2}, "inserted 10"},
		{"express", [6]int{30, 0, 20, 10, 10, 0}, [7]int{4, 4}, "inserted 20, parked 10"},
	} {
		d := document(t, test.name, Options{})
		if got := d.Outcome.counts(); got != test.outcome {
			t.Errorf("%s: outcome is %v, want %v", test.name, got, test.outcome)
		}
		s := d.Shards
		if got := [7]int{s.Total, s.Succeeded, s.Failed, s.Aborted, s.TimedOut, s.Running, s.Pending}; got != test.shards {
			t.Errorf("%s: shards are %v, want %v", test.name, got, test.shards)
		}
		if got := d.Items.text(); got != test.groups {
			t.Errorf("%s: items are %q, want %q", test.name, got, test.groups)
		}
		if len(d.Partial) > 0 && test.name != "express" {
			t.Errorf("%s: %v could not be read", test.name, d.Partial)
		}
	}
}

// childDocument is the document of a child of a recorded run, with the status and a label of its Map state.
func childDocument(t *testing.T, name, label, status string, payloads bool) *Document {
	t.Helper()
	p, stack := open(t, name)
	for mapRun, children := range p.Children {
		for _, text := range children {
			var child struct{ ExecutionArn, Status string }
			unmarshal(t, text, &child)
			if child.Status != status || !strings.Contains(mapRun, "/"+label+":") {
				continue
			}
			r := newReader(stack, Options{Payloads: payloads})
			r.now, r.limits = p.At, newLimits()
			d, err := r.read(t.Context(), child.ExecutionArn)
			if err != nil {
				t.Fatal(err)
			}
			if d.Run.Of != p.Arn || d.Run.MapRun != mapRun {
				t.Errorf("the child is of %s and %s, want %s and %s", d.Run.Of, d.Run.MapRun, p.Arn, mapRun)
			}
			return d
		}
	}
	t.Fatalf("%s has no child of %s that is %s", name, label, status)
	return nil
}

func TestAShardIsARunOfItsOwn(t *testing.T) {
	d := childDocument(t, "distributed-failures", "Shard", "SUCCEEDED", false)
	var definition struct{ StartAt string }
	unmarshal(t, d.Definition, &definition)
	if definition.StartAt != "Generate Data" {
		t.Errorf("its definition starts at %q, want that of the ItemProcessor", definition.StartAt)
	}
	if in := d.Run.Input; in.Kind != KindShard || in.EndSeq-in.StartSeq != int64(in.Events) || in.Events == 0 {
		t.Errorf("its input is %+v", in)
	}
	o := d.Outcome
	if *o.Generated != d.Run.Input.Events || *o.Inserted+*o.Returned != *o.Generated || d.Items.Total != *o.Generated {
		t.Errorf("its outcome is %v, and it has %d items", o.counts(), d.Items.Total)
	}
	counts := map[string]int{}
	for _, item := range d.Items.Rows {
		counts[item.Status]++
		if item.Status == ItemParked && item.Error != "SimulatedFailure" {
			t.Errorf("item %+v has another error than SimulatedFailure", item)
		}
		if item.SequenceNo < d.Run.Input.StartSeq || item.SequenceNo >= d.Run.Input.EndSeq {
			t.Errorf("item %d is not one of the events of %s", item.SequenceNo, d.Run.Input.Text)
		}
	}
	if counts[ItemInserted] != *o.Inserted || counts[ItemParked] != *o.Returned {
		t.Errorf("the items are %v, want %v", counts, o.counts())
	}
	d.state(t, "Insert Data")
	own := 0
	for _, l := range d.Logs.Lines {
		if l.Message == "events generated" || l.Message == "events inserted" {
			own++
		}
	}
	if own != 2 { // those of its own two invocations, and not those of the other shards
		t.Errorf("it has %d lines with counts, want 2: %+v", own, d.Logs.Lines)
	}
}

func TestAFailedShardSaysWhyItFailed(t *testing.T) {
	d := childDocument(t, "distributed-shard-failed", "Shard", "FAILED", false)
	if d.Run.Error != "States.QueryEvaluationError" || d.state(t, "Insert Data").Retried != 1 || d.state(t, "Insert Data Again").Failed != 1 {
		t.Errorf("the shard failed with %s, its states are %+v", d.Run.Error, d.States)
	}
	if got := d.Items.text(); !strings.HasPrefix(got, "unknown ") || d.Outcome.Inserted == nil || *d.Outcome.Inserted != 0 {
		t.Errorf("its items are %s, and its outcome %v: want them unknown", got, d.Outcome.counts())
	}
	run := document(t, "distributed-shard-failed", Options{})
	if first := run.Shards.Rows[0]; first.Status != Failed || first.Error != d.Run.Error || first.Cause != d.Run.Cause {
		t.Errorf("the first shard of its run is %+v, want the one that failed with %s: %s", first, d.Run.Error, d.Run.Cause)
	}
}

func TestAnEventOfAShardThatFailedForGoodIsBuried(t *testing.T) {
	p, stack := open(t, "distributed-failures")
	for arn, execution := range p.Executions {
		var described struct{ Output string }
		unmarshal(t, execution, &described)
		var counts [3]int
		if json.Unmarshal([]byte(described.Output), &counts) != nil || counts[1] < 2 {
			continue
		}
		// One of the returned events is buried instead.
		change := strings.NewReplacer(fmt.Sprintf(`[%d,%d,0]`, counts[0], counts[1]), fmt.Sprintf(`[%d,%d,1]`, counts[0], counts[1]-1),
			fmt.Sprintf(`\"returned\":%d,\"dead\":0`, counts[1]), fmt.Sprintf(`\"returned\":%d,\"dead\":1`, counts[1]-1))
		p.Executions[arn] = json.RawMessage(change.Replace(string(execution)))
		for i, e := range p.Histories[arn] {
			p.Histories[arn][i] = json.RawMessage(change.Replace(string(e)))
		}
		r := newReader(stack, Options{})
		r.now, r.limits = p.At, newLimits()
		d, err := r.read(t.Context(), arn)
		if err != nil {
			t.Fatal(err)
		}
		// The log lines do not say which one.
		if len(d.Partial) != 1 || d.Partial[0].What != "items" || d.Items.Rows[0].Status != ItemUnknown {
			t.Errorf("missing is %+v, and the first item is %+v: want it unknown", d.Partial, d.Items.Rows[0])
		}
		want := Items{Groups: []ItemGroup{{ItemInserted, "", counts[0]}, {ItemParked, "", counts[1] - 1}, {ItemBuried, "", 1}}}
		want.sort()
		if got := d.Items.text(); got != want.text() {
			t.Errorf("items are %q, want %q", got, want.text())
		}
		// Now they do.
		for group, lines := range p.Logs {
			for i, line := range lines {
				if strings.Contains(string(line), fmt.Sprintf(`\"sequenceNo\":%d,`, failedOf(t, p, d))) {
					p.Logs[group][i] = json.RawMessage(strings.Replace(string(line), `\"permanent\":false`, `\"permanent\":true`, 1))
				}
			}
		}
		if d, err = Read(t.Context(), stack, arn, Options{}); err != nil {
			t.Fatal(err)
		}
		if got := d.Items.text(); len(d.Partial) > 0 || !strings.Contains(got, "buried 1 SimulatedFailure") || !strings.Contains(got, fmt.Sprintf("parked %d SimulatedFailure", counts[1]-1)) {
			t.Errorf("items are %q, and missing is %+v", got, d.Partial)
		}
		return
	}
	t.Error("no shard has returned two events")
}

// failedOf is the number of an event of a document that has a log line that it failed.
func failedOf(t *testing.T, p *recording.Player, d *Document) int64 {
	t.Helper()
	for _, l := range d.Logs.Lines {
		if l.Message == "event failed" {
			return *l.Sequence
		}
	}
	t.Fatalf("no event of %s failed", p.Arn)
	return 0
}

// The function did not return these events, so states look at each of them.
func TestClaimsOfAShardWhoseInvocationsFailedComeBack(t *testing.T) {
	p, stack := open(t, "distributed-redriven")
	for arn := range p.Histories {
		r := newReader(stack, Options{})
		r.now, r.limits = p.At, newLimits()
		d, err := r.read(t.Context(), arn)
		if err != nil {
			t.Fatal(err)
		}
		if d.Run.Input.Text == "shard 0: failed events of earlier runs" {
			if got := d.Items.text(); got != "returning 5 States.QueryEvaluationError" {
				t.Errorf("its items are %q, want 5 that come back by themselves", got)
			}
			return
		}
	}
	t.Error("no shard claims")
}

func TestABatchHasItsRecordsAsItems(t *testing.T) {
	for _, payloads := range []bool{false, true} {
		d := childDocument(t, "distributed-source", "Csv", "SUCCEEDED", payloads)
		in := d.Run.Input
		if in.Kind != KindBatch || !strings.HasSuffix(in.Text, "of recorded.csv") || in.Events != d.Items.Total || d.Outcome.total() != in.Events {
			t.Errorf("its input is %+v, its outcome %v", in, d.Outcome.counts())
		}
		for _, item := range d.Items.Rows {
			if item.SequenceNo < in.StartSeq || item.SequenceNo >= in.EndSeq || item.RandomValue == "" || item.Payload != nil != payloads || item.Status == ItemUnknown {
				t.Errorf("item is %+v with payload: %t", item, item.Payload != nil)
			}
		}
	}
}

func TestExpressShardsAreCountedAndTheRestIsMissing(t *testing.T) {
	d := document(t, "express", Options{})
	if d.Shards.Type != "EXPRESS" || len(d.Shards.Rows) != 0 || d.Shards.Omitted != 4 {
		t.Errorf("the shards are %+v", d.Shards)
	}
	if len(d.Partial) != 1 || d.Partial[0].What != "shards" {
		t.Errorf("missing is %+v, want the shards", d.Partial)
	}
	failed := document(t, "express-shard-failed", Options{})
	if got := failed.Items.text(); failed.Shards.Failed == 0 || got != "unknown 30, released 10" { // the shard that claimed had succeeded
		t.Errorf("the shards are %+v, the items %q", failed.Shards, got)
	}
}

func TestResultsThatAreNotKnownAreNotGuessed(t *testing.T) {
	d := documentOf(t, large(t, 10_000, 3).Player(), Options{})
	if d.Outcome.Inserted != nil || d.Outcome.Sentence != "The run ended early with States.ExceedToleratedFailureThreshold with 5000 of 10000 shards done" {
		t.Errorf("outcome is %v %q", d.Outcome.counts(), d.Outcome.Sentence)
	}
	if len(d.Partial) != 1 || d.Partial[0].What != "results of shards" {
		t.Errorf("missing is %+v, want the results", d.Partial)
	}
	explained := 0
	for _, s := range d.Shards.Rows {
		if s.Error != "" {
			explained++
		}
	}
	if explained != 3 {
		t.Errorf("%d shards have an error, want 3", explained)
	}
}
