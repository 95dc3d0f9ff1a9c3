package browser

import (
	"strings"
	"testing"

	"carnation/internal/operate/model"

	"github.com/chromedp/chromedp/kb"
)

// A look at the dead-letter queue hides its messages for a moment, so the count changes because of it. That must not lead to another look.
func TestPageReadsDeadLettersOnlyWhenItIsAsked(t *testing.T) {
	f, _ := usual(t)
	p := start(t).Open(t)
	reads := func() (n int) {
		for _, request := range p.Requests() {
			if strings.Contains(request, "/api/dead-letters?") {
				n++
			}
		}
		return n
	}
	setDead := func(n int) {
		f.set(func() { f.overview.Queues.DeadLetter = n })
	}
	p.Goto(f.address("dead-letters"))
	p.WaitFor("button", "Reload")
	for _, dead := range []int{0, 3, 0} {
		setDead(dead)
		p.Settle()
	}
	setDead(9)
	p.WaitText("5 more messages")
	if n := reads(); n != 1 {
		t.Errorf("the page has read the dead letters %d times, want once", n)
	}
	p.Click("button", "Read again")
	p.Wait("a second read", "performance.getEntriesByType('resource').filter((e) => e.name.includes('/api/dead-letters?')).length === 2")

	p.Click("checkbox", "Select all")
	p.Click("button", "Drop")
	p.WaitFor("button", "Drop 4 dead letters")
	p.Press(kb.Escape)
	p.Wait("no dialog", "!document.querySelector('dialog')")
	if got := p.Focused(); !strings.Contains(got, "Drop") {
		t.Errorf("after Escape the focus is on %s, want the button Drop", got)
	}
}

// Nothing tells the page that time goes on, and it need not ask.
func TestPageOfARunningRunGoesOnWithoutARequest(t *testing.T) {
	f, _ := usual(t)
	running := f.runs[1].Arn // recorded while it was running
	f.documents[running].(*model.Document).Run.Milliseconds = 4200
	p := start(t).Open(t)
	p.Goto(f.address("run", running))
	p.WaitText("Runs for")
	const took = `[...document.querySelectorAll("dt")].find((e) => e.textContent === "Runs for").nextSibling.textContent`
	p.Settle()
	before, requests := Eval[string](p, took), len(p.Requests())
	p.Wait("the time to go on", took+" !== "+quote(before))
	if now := p.Requests(); len(now) != requests {
		t.Errorf("meanwhile the page asked for %q", now[requests:])
	}
}
