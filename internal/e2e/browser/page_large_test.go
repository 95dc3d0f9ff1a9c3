package browser

import (
	"strings"
	"testing"
)

// TestPageStaysSmall shows large things: a page is fast only if it makes no element for what nobody sees.
func TestPageStaysSmall(t *testing.T) {
	f, _ := usual(t)
	few, many, events := sharded(t, 200), sharded(t, 10_000), failing(t, 541)
	few.Run.Arn += "-few"
	f.add(few)
	f.add(many)
	f.add(events)
	manyRuns(f, 500)
	p := start(t).Open(t)
	elements := func(address, ready string) int {
		t.Helper()
		p.Goto("about:blank")
		p.Goto(address)
		p.WaitText(ready)
		p.Settle()
		return p.Count("*")
	}
	if some, all := elements(f.address("run", few.Run.Arn), "All 200"), elements(f.address("run", many.Run.Arn), "2,000 of 10,000 are listed"); all > some+50 {
		t.Errorf("the page has %d elements with 10,000 shards, want as many as with 200: %d", all, some)
	}
	lastShard := many.Shards.Rows[len(many.Shards.Rows)-1].Name
	if strings.Contains(p.Text(), lastShard) {
		t.Error("the last shard has an element, although nobody sees it")
	}
	Eval[any](p, `document.querySelector(".shards.rows").scrollTop = 1e9`)
	p.WaitText(lastShard)
	if n := elements(f.address("run", events.Run.Arn), "All 541"); n > 3000 {
		t.Errorf("the page has %d elements with 541 events, want at most 3,000", n)
	}
	if n := elements(f.address("runs"), "500 runs"); n > 1500 {
		t.Errorf("the page has %d elements with 500 runs, want at most 1,500", n)
	}
}
