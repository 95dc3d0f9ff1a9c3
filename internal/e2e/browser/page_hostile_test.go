package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carnation/internal/console"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

// Texts that try to be more than text.
const (
	markup      = `"><script>document.title = "pwned"</script><img src=x onerror="document.title='pwned'"><b class=pwned>&amp;`
	rightToLeft = "\u202e\u05e9\u05dc\u05d5\u05dd 1 \u202c\u0645\u0631\u062d\u0628\u0627"
	oddName     = `Say "hi", it's <b class=pwned>/</b> \ ` + "`${1}`"
)

// long is a text without a place to break it.
var long = strings.Repeat("0123456789", 20_000)

// hostile is a run whose every text is hostile, and visits of its state oddName.
func hostile(t testing.TB, failed *model.Document) (*model.Document, []model.Visit) {
	t.Helper()
	text, err := json.Marshal(failed)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := json.Marshal(oddName)
	var doc model.Document
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), `"Generate Data"`, string(name))), &doc); err != nil {
		t.Fatal(err)
	}
	doc.Run.Arn += "-hostile"
	doc.Run.Name = "run " + markup
	doc.Run.Started = time.Now().Add(-time.Minute) // the newest one
	doc.Run.Error, doc.Run.Cause = rightToLeft+markup, markup+long
	doc.Run.Input.Text = rightToLeft + markup + long[:300]
	doc.Outcome.Sentence = rightToLeft + markup + long[:300]
	doc.Items.Rows[0].Error, doc.Items.Groups[0].Error = markup+long, rightToLeft+markup
	doc.Items.Rows[1].RandomValue = markup
	doc.Logs.Lines = append([]model.LogLine{{Time: failed.Run.Started, Function: "insert-data", Level: markup, Message: rightToLeft + markup, Fields: markup + long}}, doc.Logs.Lines...)
	doc.Partial = append(doc.Partial, model.Gap{What: rightToLeft + markup, Why: rightToLeft + long[:300]})
	doc.Cost.Lines = append(doc.Cost.Lines, model.CostLine{Part: rightToLeft + markup, Unit: markup, Note: rightToLeft + long[:300], Basis: "counted"})
	payload := hostilePayload()
	return &doc, []model.Visit{{Path: []string{oddName}, EventID: 2, End: 5, Status: model.Failed, Input: payload, Output: payload, Error: rightToLeft + markup, Cause: markup + long}}
}

func hostilePayload() json.RawMessage {
	// The page shows the beginning of a long payload.
	payload, _ := json.Marshal(struct{ A, Direction, Long string }{markup, rightToLeft, long})
	return payload
}

// hostileLetters are an event and a message that is none.
func hostileLetters(run string) console.DeadLetters {
	event := fmt.Sprintf(`{"sequence_no":7,"random_value":"x","current_time":1,"source":"input","retry_attempt":0,"payload":%s}`, hostilePayload())
	return console.DeadLetters{
		Groups: []operate.DeadLetterGroup{{Error: markup + long[:300], ExecutionArn: run, Messages: 1, Sequence: markup}, {Error: rightToLeft, Messages: 1}},
		Letters: []operate.DeadLetter{
			{MessageID: "1", Error: markup + long[:300], ExecutionArn: run, Event: json.RawMessage(event), Attributes: map[string]string{markup: long}, BadPayload: rightToLeft + markup + long[:300]},
			{MessageID: "2", Error: rightToLeft, Body: markup + long, Attributes: map[string]string{"a": rightToLeft}},
		},
	}
}

// expectText looks for hostile content that became more than text, in windows of these widths.
func expectText(t *testing.T, p *Page, where string, widths ...int) {
	t.Helper()
	for _, width := range widths {
		p.Look(Look{Width: width})
		p.Settle()
		for _, wrong := range p.Layout() {
			t.Errorf("%s, %d pixels wide: %s", where, width, wrong)
		}
	}
	if n := p.Count(".pwned, #app img, #app script, #app iframe, [onerror]"); n > 0 {
		t.Errorf("%s: hostile content became %d elements", where, n)
	}
	if title := Eval[string](p, "document.title"); title == "pwned" {
		t.Errorf("%s: hostile content ran as a script", where)
	}
	p.Look(Look{})
	// What changes the direction of text must not change that around it.
	if loose := Eval[[]string](p, `forTest.containing("\u202e").filter((e) => !["bdi", "[dir=auto]", "textarea", "title", "select"].some((s) => e.closest(s))).map((e) => e.outerHTML.slice(0, 200))`); len(loose) > 0 {
		t.Errorf("%s: the direction of a text can change that of the page: %q", where, loose)
	}
}

// testHostileContent shows hostile texts in every view.
func testHostileContent(t *testing.T, b *Browser) {
	f, failed := usual(t)
	doc, visits := hostile(t, failed)
	f.add(doc)
	sharded := clone(t, recorded(t, "distributed-failures"))
	sharded.Run.Arn += "-hostile"
	sharded.Shards.Rows[0].Name, sharded.Shards.Rows[0].Error, sharded.Shards.Rows[0].Cause = markup, rightToLeft+markup, markup+long
	sharded.Items.Groups[0].Error = rightToLeft + markup + long[:300]
	f.add(sharded)
	running := f.runs[1].Arn // recorded while it was running
	f.documents[running].(*model.Document).Run.Name = rightToLeft + markup
	f.setVisits(visits...)
	f.letters = hostileLetters(doc.Run.Arn)
	f.texts.plan = rightToLeft + markup + long[:300]
	f.overview.Sentence = rightToLeft + markup + long[:300]
	f.overview.RowsError = markup + long[:300]
	f.overview.Retry = &console.Retry{Runs: 1, Done: true, Error: rightToLeft + markup + long[:300]}

	p := b.Open(t)
	squeezed := strings.Join(strings.Fields(markup), " ")
	expect := func(where string) {
		t.Helper()
		expectText(t, p, where, 1280, 360)
	}
	p.Goto(f.address())
	p.WaitText(squeezed)
	p.WaitFor("link", doc.Run.Name)
	expect("events")
	f.refuse["retry"], f.texts.refused = "aws", rightToLeft+markup+long[:300]
	p.Allow("status of 502")
	p.Click("button", "Retry until empty")
	p.Click("button", "Retry")
	p.Wait("the refusal", "document.querySelector('dialog .problem')")
	expect("a refusal")
	delete(f.refuse, "retry")
	f.texts.done = rightToLeft + markup + long[:300]
	p.Click("button", "Retry")
	p.WaitFor("button", "Close message")
	p.Click("button", "Start a run")
	p.Click("button", "A file")
	file := filepath.Join(t.TempDir(), "a '\"<img src=x onerror=alert(1)>"+rightToLeft+long[:120]+".jsonl")
	if err := os.WriteFile(file, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.DropAt(".drop", file)
	p.WaitText("is checked and uploaded")
	expect("start with a file")
	p.Click("button", "Cancel")

	p.Goto(f.address("runs"))
	p.WaitFor("link", `/^run "><script>/`)
	expect("runs")
	p.Goto(f.address("run", doc.Run.Arn))
	p.WaitText("run " + squeezed)
	p.WaitFor("button", "/^Say \"hi\"/")
	expect("run")
	p.Click("button", "/^Say \"hi\"/")
	p.WaitText(`"A": "` + strings.ReplaceAll(markup, `"`, `\"`))
	if text := p.Text(); !strings.Contains(text, oddName) || !strings.Contains(text, rightToLeft) {
		t.Errorf("the page does not show the name of the state or the text from right to left")
	}
	expect("state")
	p.Click("button", "Close details")
	p.Click("button", "/^\u202e/") // a log line
	p.WaitFor("button", "Close details")
	expect("log line")
	p.Click("button", "Close details")
	p.Click("button", fmt.Sprintf("/^Event %d, /", doc.Items.Rows[0].SequenceNo))
	p.WaitText("States of this iteration")
	expect("event")
	p.Goto(f.address("run", sharded.Run.Arn))
	p.WaitFor("link", `/^"><script>/`)
	expect("distributed run")
	p.Goto(f.address("run", running))
	p.Click("button", "Stop")
	p.WaitFor("button", "Stop run")
	expect("stop")
	p.Click("button", "Stop run")
	p.WaitFor("button", "Close message")
	expect("what was done")

	p.Goto(f.address("dead-letters"))
	p.WaitText(squeezed)
	expect("dead letters")
	p.Click("checkbox", "Select all")
	p.Click("button", "Drop")
	p.WaitFor("button", "Drop 2 dead letters")
	expect("drop")
	p.Click("button", "Cancel")
	p.Click("button", "Event 7")
	p.WaitText("Payload")
	expect("dead letter")
	p.Click("button", "Close details")
	p.Click("button", "Message")
	p.WaitFor("button", "Close details")
	expect("message that is no event")

	f.set(func() { f.problem = rightToLeft + markup + long[:300] })
	p.WaitText("AWS cannot be read.")
	expect("problem")
	p.Goto(f.url + "/#/" + strings.NewReplacer("/", "%2F", "%", "%25", " ", "%20", "\u202e", "%E2%80%AE").Replace(rightToLeft+markup))
	p.WaitText("There is no stack")
	expect("a stack with a hostile name")
}
