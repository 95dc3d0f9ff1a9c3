package browser

import (
	"strings"
	"testing"

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
