package event

import (
	"encoding/json"
	"regexp"
	"slices"
	"testing"
)

func TestThePlanAloneDeterminesTheEvents(t *testing.T) {
	run := Run{StartSeq: 50, EndSeq: 350, FailureRate: 0.25}
	p, err := NewPlan(run, 100, 1795416822)
	if err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(map[string]Plan{"plan": p})
	if err != nil {
		t.Fatal(err)
	}
	input, err := ReadObject(written, "", "plan")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePlan(input, "plan")
	if err != nil || again != p {
		t.Fatalf("plan read again = %+v, %v, want %+v", again, err, p)
	}
	other, err := NewPlan(run, 100, 1795416822)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	uuidV4 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for number := range p.Shards() {
		items := p.Items(number)
		if !slices.EqualFunc(items, again.Items(number), Item.Equal) {
			t.Errorf("shard %d has other events after its plan was written and read", number)
		}
		for i, item := range items {
			e := item.Event
			if item.ReceiptHandle != "" || e.SequenceNo != int64(50+100*number+i) || e.StartSeq != 50 || e.EndSeq != 350 || e.RetryAttempt != 0 ||
				e.CurrentTime != 1795416822 || !uuidV4.MatchString(e.RandomValue) {
				t.Errorf("event %d of shard %d is %+v", i, number, e)
			}
			if e.RandomValue == other.Items(number)[i].Event.RandomValue {
				t.Errorf("event %d of another run has the same random value", e.SequenceNo)
			}
			seen[e.RandomValue] = true
		}
	}
	if len(seen) != 300 {
		t.Errorf("%d different random values, want 300", len(seen))
	}
}
