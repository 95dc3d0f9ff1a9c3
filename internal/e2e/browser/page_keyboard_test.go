package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// testKeyboard does everything with the keyboard alone.
func testKeyboard(t *testing.T, b *Browser) {
	f, _ := usual(t)
	running, stopped := f.runs[1].Arn, f.runs[2].Arn
	p := b.Open(t)
	expectPosts := func(want ...string) {
		t.Helper()
		var got []string
		p.Wait("the dialog to close", "!document.querySelector('dialog')")
		if got = f.posts(); !slices.Equal(got, want) {
			t.Errorf("the page asked for %q, want %q", got, want)
		}
	}
	press := func(role, name string) { t.Helper(); p.TabTo(role, name); p.Press(kb.Enter) }
	fill := func(name, text string) { t.Helper(); p.TabTo("textbox", name); p.Type(text) }

	p.Goto(f.address())
	press("button", "Start a run")
	fill("First number", "5")
	fill("Last number", "9")
	p.WaitText("The run makes 5 new events, numbers 5 to 9, and inserts them into the table. It also tries 12 events again that are waiting in the retry queue.")
	press("button", "Start run with 5 events")
	p.WaitFor("button", "/^Generate Data, Task: /")
	expectPosts(`start  {"start_seq":5,"end_seq":10}`)

	// The page of the run: a state and its details, and back to where the focus was.
	press("button", "/^Generate Data, Task: /")
	p.WaitText("Rate exceeded")
	press("button", "Close details")
	if focused := p.Focused(); !strings.HasPrefix(focused, `button "Generate Data, Task`) {
		t.Errorf("after the details the focus is on %s, want the state", focused)
	}

	p.Goto(f.address())
	press("button", "Start a run")
	press("button", "Pasted events")
	fill("Events, as a JSON list or one JSON object in each line", `{"order": "A-17", "amount": 12.50}`)
	press("button", "Start run with 1 event")
	p.WaitFor("button", "/^Generate Data, Task: /")
	expectPosts(`start  {"events":[{"order":"A-17","amount":12.50}]}`)

	file := filepath.Join(t.TempDir(), "orders.csv")
	if err := os.WriteFile(file, []byte("order\nA-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Goto(f.address())
	press("button", "Start a run")
	press("button", "A file")
	p.TabTo("button", "/^Choose a file/")
	p.ChooseFile(func() { p.Press(kb.Enter) }, file)
	p.WaitText("The file orders.csv (10 bytes) is checked and uploaded.")
	press("button", "Start run with this file")
	p.WaitFor("button", "/^Generate Data, Task: /")
	expectPosts("start-file format=CSV&name=orders.csv order\nA-1")

	p.Goto(f.address())
	press("button", "Retry until empty")
	press("button", "Retry")
	p.WaitText("The retry has started.")
	expectPosts(`retry  {}`)
	press("button", "Retry until empty")
	p.WaitFor("button", "Cancel")
	p.Press(kb.Escape) // changes nothing
	expectPosts()

	for _, change := range []struct{ arn, button, confirm, call string }{{running, "Stop", "Stop run", "stop"}, {stopped, "Redrive", "Redrive run", "redrive"}} {
		p.Goto(f.address("run", change.arn))
		press("button", change.button)
		p.WaitFor("button", change.confirm)
		press("button", "Cancel")
		expectPosts()
		press("button", change.button)
		press("button", change.confirm)
		p.WaitText("This was done: " + change.call)
		expectPosts(fmt.Sprintf(`%s  {"arn":%q}`, change.call, change.arn))
	}

	downloads := p.Downloads()
	press("link", "/^Dead letters/")
	p.TabTo("checkbox", "Select event 4")
	p.Press(" ")
	press("button", "Redrive")
	p.WaitText(") will go back to the retry queue.")
	press("button", "Redrive 1 dead letter")
	p.WaitText("This was done: dead-letters/redrive")
	expectPosts(`dead-letters/redrive  {"message_ids":["message-4"]}`)
	p.TabTo("checkbox", "Select all")
	p.Press(" ")
	press("button", "Export")
	p.Wait("the export", "true")
	press("button", "Drop")
	p.WaitText("4 dead letters will be deleted from the dead-letter queue for good.")
	press("button", "Drop 4 dead letters")
	p.WaitText("4 dead letters dropped. Your browser saved them to a file.")
	const all = `{"message_ids":["message-4","message-5","message-6","message-100"]}`
	expectPosts("dead-letters/export  "+all, "dead-letters/drop  "+all)
	waitFiles(t, downloads, 2)
	press("button", "Event 5")
	press("button", "Edit")
	fill("Payload", `{"order": "A-5", "amount": 1.10}`)
	press("button", "Save and send")
	press("button", "Send event")
	p.WaitText("This was done: dead-letters/edit")
	expectPosts(`dead-letters/edit  {"message_id":"message-5","payload":{"order": "A-5", "amount": 1.10}}`)
}

// waitFiles waits until a folder has n files.
func waitFiles(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the files saved are %v, want %d: %v", files, n, err)
		}
		if len(files) == n {
			return
		}
	}
}
