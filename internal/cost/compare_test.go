package cost

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"carnation/internal/event"
)

// Prices of what Carnation does not use, in USD. docs/compare.md has their sources.
const (
	durableOperation = 8.0 / 1e6
	temporalAction   = 50.0 / 1e6
)

// The costs in docs/compare.md follow from the prices and the assumptions of this package.
func TestCompareShowsTheComputedCosts(t *testing.T) {
	const events, failed, batch, message = 1_000_000, 10_000, 1000, 10
	p := prices(t)
	price := func(part string, quantity float64) float64 { return p.line(part, quantity).USD }
	work := func(calls, events float64) float64 { // invocations of a function that does the work, 256 MB
		return price("function requests", calls) + price("function time", (calls*insertSeconds+events*shardEventSeconds)*memoryMB/1024)
	}
	writes := price("DynamoDB writes", events)
	carnation := func(mode string) float64 {
		first, retry := ownRecords(t, events, 200, event.MaxShardSize), ownRecords(t, failed, 200, event.MaxShardSize)
		return p.Bill(Run{Mode: mode, Events: events, Records: first, Failed: failed, ShardSize: batch, ChildType: Standard}).USD +
			p.Bill(Run{Mode: mode, Events: failed, Records: retry, ShardSize: batch, ChildType: Standard}).USD + price("SQS requests", 2*failed/message)
	}
	const all = events + failed
	rows := []struct {
		what, of string
		usd      float64
	}{
		{"Carnation, distributed", "`carnation cost`, and a run of the 10,000 that failed", carnation(Distributed)},
		{"Carnation, inline", "the same", carnation(Inline)},
		{"Inline Map, one Task state for each event", "a transition and an invocation for each attempt",
			writes + price("state transitions", all) + work(all, 0)},
		{"Distributed Map, 1,000 events in a batch", "two transitions and an invocation a batch; every batch has failed events and is repeated",
			2 * (writes + price("state transitions", 2*events/batch) + work(events/batch, events))},
		{"Distributed Map, a child for each event", "two transitions and an invocation for each event; one more of each for a retry",
			writes + price("state transitions", 2*events+failed) + work(all, 0)},
		{"SQS and Lambda, ten messages in a batch", "a send, a receive, a delete and an invocation for ten",
			writes + price("SQS requests", (3*events+2*failed)/message) + work(all/message, all)},
		{"Lambda durable functions, a step for each event", "an operation for each attempt; data written and kept not counted",
			writes + all*durableOperation + work(events/2500, all)},
		{"Temporal Cloud, an activity for each event", "an action for each attempt, and 100 workflows; workers and storage not counted",
			writes + (all+100)*temporalAction},
	}
	table := "| what | counted | USD |\n| --- | --- | --- |\n"
	for _, row := range rows {
		table += fmt.Sprintf("| %s | %s | %.2f |\n", row.what, row.of, row.usd)
	}
	page, err := os.ReadFile("../../docs/compare.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), table) {
		t.Errorf("docs/compare.md does not have this table:\n%s", table)
	}
}
