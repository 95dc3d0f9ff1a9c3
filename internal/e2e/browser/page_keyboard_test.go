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

// typist uses the page with the keyboard alone.
type typist struct {
	*Page
	t *testing.T
	f *fakeConsole
}

// press goes to a button or a link, and presses Enter.
func (u typist) press(role, name string) {
	u.t.Helper()
	u.TabTo(role, name)
	u.Press(kb.Enter)
}

// fill goes to a field, and replaces its text.
func (u typist) fill(role, name, text string) {
	u.t.Helper()
	u.TabTo(role, name)
	u.Type(text)
}

// pick goes to a list, and types the beginning of a choice.
func (u typist) pick(name, choice string) {
	u.t.Helper()
	u.TabTo("combobox", name)
	u.Press(choice)
}

// check goes to a checkbox, and presses the space bar.
func (u typist) check(name string) {
	u.t.Helper()
	u.TabTo("checkbox", name)
	u.Press(" ")
}

// escape closes what is open. The focus must go back to where it was before.
func (u typist) escape(back string) {
	u.t.Helper()
	u.Wait("details or a dialog", "document.querySelector('dialog[open], .drawer')")
	u.Press(kb.Escape)
	u.expectClosed(back)
}

func (u typist) expectClosed(back string) {
	u.t.Helper()
	u.Wait("the details and dialogs to close", "!document.querySelector('dialog, .drawer')")
	u.expectFocus(back)
}

func (u typist) expectFocus(want string) {
	u.t.Helper()
	u.Wait("the focus on "+want, fmt.Sprintf("forTest.focused().startsWith(%s)", quote(want)))
}

// expectPosts waits until no dialog is open. Then the page has asked for these changes, and for no others.
func (u typist) expectPosts(want ...string) {
	u.t.Helper()
	u.Wait("the dialog to close", "!document.querySelector('dialog')")
	if got := u.f.posts(); !slices.Equal(got, want) {
		u.t.Errorf("the page asked for %q, want %q", got, want)
	}
}

// testKeyboard does everything with the keyboard alone.
func testKeyboard(t *testing.T, b *Browser) {
	f, failed := usual(t)
	u := typist{b.Open(t), t, f}
	u.Goto(f.address())
	startsRuns(u)
	looksForRuns(u)
	looksAtRun(u, failed.Run.Arn)
	changesRuns(u, f.runs[1].Arn, f.runs[2].Arn) // recorded while it was running, and after it was stopped
	changesDeadLetters(u)
}

// startsRuns starts a run of a range, of pasted events, and of a file, and retries.
func startsRuns(u typist) {
	u.t.Helper()
	u.press("button", "Start a run")
	u.escape(`button "Start a run"`)
	u.Press(kb.Enter)
	u.fill("textbox", "First number", "5")
	u.fill("textbox", "Last number", "9")
	u.WaitText("The run makes 5 new events, numbers 5 to 9, and inserts them into the table. It also tries 12 events again that are waiting in the retry queue.")
	u.press("button", "Start run with 5 events")
	u.WaitFor("button", "/^Generate Data, Task: /")
	u.expectPosts(`start  {"start_seq":5,"end_seq":10}`)
	u.press("button", "Close message")

	u.press("link", "Events")
	u.press("button", "Start a run")
	u.press("button", "Pasted events")
	u.fill("textbox", "Events, as a JSON list or one JSON object in each line", `{"order": "A-17", "amount": 12.50}`)
	u.press("button", "Start run with 1 event")
	u.WaitFor("button", "/^Generate Data, Task: /")
	u.expectPosts(`start  {"events":[{"order":"A-17","amount":12.50}]}`)

	file := filepath.Join(u.t.TempDir(), "orders.csv")
	if err := os.WriteFile(file, []byte("order\nA-1\n"), 0o600); err != nil {
		u.t.Fatal(err)
	}
	u.press("link", "Events")
	u.press("button", "Start a run")
	u.press("button", "A file")
	u.TabTo("button", "/^Choose a file/")
	u.ChooseFile(func() { u.Press(kb.Enter) }, file)
	u.WaitText("The file orders.csv (10 bytes) is checked and uploaded.")
	u.press("button", "Start run with this file")
	u.WaitFor("button", "/^Generate Data, Task: /")
	u.expectPosts("start-file format=CSV&name=orders.csv order\nA-1")

	u.press("link", "Events")
	u.press("button", "Retry until empty")
	u.press("button", "Retry")
	u.WaitText("The retry has started.")
	u.expectPosts(`retry  {}`)
	u.expectFocus(`button "Retry until empty"`)
	u.Press(kb.Enter)
	u.WaitFor("button", "Cancel")
	u.escape(`button "Retry until empty"`)
	u.expectPosts()
}

// looksForRuns uses the filters of the list of runs, and the choice of the stack.
func looksForRuns(u typist) {
	u.t.Helper()
	u.press("link", "All runs")
	u.WaitText("8 runs")
	u.press("button", "Failed")
	u.WaitText("3 runs")
	u.fill("searchbox", "Name, input or error", "invalid")
	u.WaitText("1 run")
	if hash := Eval[string](u.Page, "location.hash"); !strings.HasSuffix(hash, "?status=FAILED&text=invalid") {
		u.t.Errorf("the address ends with %s, want the filters", hash)
	}
	u.pick("Stack", "o")
	u.Wait("the other stack", `location.hash === "#/other-devl" && document.activeElement.id === "main"`)
	u.pick("Stack", "c")
	u.Wait("the first stack", `location.hash === "#/carnation-devl"`)
	u.Wait("the focus on the content", `document.activeElement.id === "main"`)
	u.press("link", "Skip to the content")
	u.expectFocus("main ")
}

// looksAtRun opens a run and everything in it.
func looksAtRun(u typist, arn string) {
	u.t.Helper()
	u.press("link", arn[strings.LastIndex(arn, ":")+1:])
	u.press("button", "/^Generate Data, Task: /")
	u.WaitText("Rate exceeded")
	u.expectFocus(`heading "Generate Data"`)
	u.escape(`button "Generate Data, Task`)
	// An Escape counts as soon as the details are in the page, even if the browser has not drawn them yet.
	Eval[any](u.Page, `new Promise((done) => {
		new MutationObserver((_, observer) => {
			if (!document.querySelector(".drawer")) return;
			observer.disconnect();
			document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
			done(null);
		}).observe(document, { childList: true, subtree: true });
		document.activeElement.dispatchEvent(new MouseEvent("click", { bubbles: true }));
	})`)
	u.expectClosed(`button "Generate Data, Task`)

	rows := func(table string, n int) {
		u.t.Helper()
		u.Wait(fmt.Sprintf("%d rows in %s", n, table), fmt.Sprintf(`document.querySelector('[role="table"][aria-label="%s"]').getAttribute("aria-rowcount") === "%d"`, table, n+1))
	}
	u.press("link", "Timeline")
	u.expectFocus(`region "Timeline"`)
	all := Eval[int](u.Page, `Number(document.querySelector('[role="table"][aria-label="Timeline"]').getAttribute("aria-rowcount")) - 1`)
	u.press("button", "Failed events 9")
	rows("Timeline", 10) // nine events, and their Map state
	u.press("button", "All")
	u.pick("Order", "l")
	u.press("button", "Zoom in")
	u.press("button", "Later")
	u.press("button", "Earlier")
	u.press("button", "Zoom out")
	u.press("button", "Zoom in")
	u.press("button", "Fit")
	u.press("button", "Hide what is inside Process Events")
	rows("Timeline", all-20)
	u.press("button", "Show what is inside Process Events")
	rows("Timeline", all)
	u.TabTo("button", "/^Process Events: /")
	u.Press(kb.ArrowDown)
	u.Wait("the next row", `document.activeElement.computedName.startsWith("Event ")`)
	u.Press(kb.Enter)
	u.WaitText("States of this iteration")
	u.escape(`button "Event `)

	u.fill("searchbox", "Number, error or value", "Runtime.Exit")
	rows("Events", 1)
	u.Type("")
	u.press("button", "/^Sent to the dead-letter queue: /")
	rows("Events", 2)
	u.press("button", "/^Event 14, /")
	u.WaitText("States of this iteration")
	u.escape(`button "Event 14, `)

	u.pick("From", "s")
	u.fill("searchbox", "Text", "exit")
	rows("Log lines", 1)
	u.press("button", "/^TaskFailed /")
	u.WaitText("Request")
	u.escape(`button "TaskFailed `)
	u.expectPosts()
}

// changesRuns stops a run, and redrives another one.
func changesRuns(u typist, running, stopped string) {
	u.t.Helper()
	for _, change := range []struct{ arn, button, confirm, call string }{{running, "Stop", "Stop run", "stop"}, {stopped, "Redrive", "Redrive run", "redrive"}} {
		u.Goto(u.f.address("run", change.arn))
		u.press("button", change.button)
		u.WaitFor("button", change.confirm)
		u.press("button", "Cancel")
		u.expectPosts()
		u.expectFocus(fmt.Sprintf("button %q", change.button))
		u.Press(kb.Enter)
		u.press("button", change.confirm)
		u.WaitText("This was done: " + change.call)
		u.expectPosts(fmt.Sprintf(`%s  {"arn":%q}`, change.call, change.arn))
	}
}

// changesDeadLetters finds, redrives, exports, drops and edits dead letters.
func changesDeadLetters(u typist) {
	u.t.Helper()
	downloads := u.Downloads()
	u.press("link", "/^Dead letters/")
	u.press("button", "/^Show 1 message with InvalidRecord/")
	u.press("button", "Show all")
	u.fill("searchbox", "Number, error or payload", "A-5")
	u.Wait("one letter", `document.querySelectorAll('.letters [data-row]').length === 1`)
	u.Type("")
	u.check("Select event 4")
	u.press("button", "Redrive")
	u.WaitText("Event 4 (ValidationException) will go back to the retry queue.")
	u.press("button", "Redrive 1 dead letter")
	u.WaitText("This was done: dead-letters/redrive")
	u.expectPosts(`dead-letters/redrive  {"message_ids":["message-4"]}`)

	u.check("Select all")
	u.press("button", "Export")
	waitFiles(u.t, downloads, 1)
	u.press("button", "Drop")
	u.WaitText("4 dead letters will be deleted from the dead-letter queue for good.")
	u.press("button", "Drop 4 dead letters")
	u.WaitText("4 dead letters dropped. Your browser saved them to a file.")
	const all = `{"message_ids":["message-4","message-5","message-6","message-100"]}`
	u.expectPosts("dead-letters/export  "+all, "dead-letters/drop  "+all)
	waitFiles(u.t, downloads, 2)

	u.press("button", "Event 5")
	u.press("button", "Edit")
	u.expectFocus(`textbox "Payload"`)
	u.press("button", "Cancel")
	u.expectFocus(`button "Edit"`)
	u.Press(kb.Enter)
	u.expectFocus(`textbox "Payload"`)
	u.Type(`{"order": "A-5", "amount": 1.10}`)
	u.press("button", "Save and send")
	u.press("button", "Send event")
	u.WaitText("This was done: dead-letters/edit")
	u.expectPosts(`dead-letters/edit  {"message_id":"message-5","payload":{"order": "A-5", "amount": 1.10}}`)
	u.Wait("the details to close", "!document.querySelector('.drawer')")
	u.expectFocus(`button "Event 5"`)
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
