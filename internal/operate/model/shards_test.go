package model

import (
	"testing"
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
