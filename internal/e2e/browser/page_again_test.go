package browser

import "testing"

// What the page cannot read, it reads again, although nothing changes: a run that has ended does not change any more.
func TestPageReadsAgainWhatItCouldNotRead(t *testing.T) {
	f, failed := usual(t)
	p := start(t).Open(t)
	p.Allow("^the browser complains: network: Failed to load resource: the server responded with a status of 502")
	refuse := func(call, kind string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.refuse[call] = kind
	}
	for _, view := range []struct {
		call    string
		address string
		want    string
	}{
		{"run", f.address("run", failed.Run.Arn), "Generate Data"},
		{"runs", f.address("runs"), "8 runs"},
	} {
		refuse(view.call, "unreachable")
		p.Goto("about:blank")
		p.Goto(view.address)
		p.WaitText("refused on purpose")
		refuse(view.call, "")
		p.WaitText(view.want)
		p.WaitNoText("refused on purpose")
	}
}
