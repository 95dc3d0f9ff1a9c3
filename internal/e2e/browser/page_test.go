package browser

import (
	"encoding/json"
	"testing"

	"carnation/internal/operate/model"
)

// usual is a console with runs of every kind and some dead letters.
func usual(t testing.TB) (f *fakeConsole, failed *model.Document) {
	t.Helper()
	f = newFakeConsole(t)
	failed = recorded(t, "inline-failures")
	f.add(failed)
	for _, name := range []string{"inline-running", "inline-stopped", "inline-succeeded", "inline-timed-out", "inline-redriven", "inline-refused", "distributed-shard-failed"} {
		doc := recorded(t, name)
		doc.Run.Arn += "-" + name // some of them are one run at several times
		f.add(doc)
	}
	f.addLetters(failed.Run.Arn, "ValidationException", 4, 3)
	f.addLetters("", "InvalidRecord", 100, 1)
	f.setVisits(model.Visit{Path: []string{"Generate Data"}, EventID: 2, Start: 3, End: 120, Status: model.Succeeded, Input: json.RawMessage(`{"start_seq": 1, "end_seq": 21}`),
		Output: json.RawMessage(`{"items": []}`), Request: "7b0e1d5c"}, model.Visit{Path: []string{"Generate Data"}, EventID: 9, Start: 30, End: 180, Status: model.Failed, Retries: 2,
		Error: "Lambda.TooManyRequestsException", Cause: "Rate exceeded"})
	return f, failed
}

// views are what a person can look at, with what is open there.
func views(f *fakeConsole, failed *model.Document) map[string]func(p *Page) {
	// Another part of the page comes first, so that nothing is open in a view. That takes a fraction of the time of loading the page again.
	open := func(p *Page, view ...string) {
		p.Goto(f.address("runs"))
		p.Wait("the runs", `document.querySelector("main .runs:not(.runs-short)") && !document.querySelector("dialog, .drawer")`)
		p.Goto(f.address(view...))
	}
	run := func(p *Page) {
		open(p, "run", failed.Run.Arn)
		p.WaitFor("button", "/^Generate Data, Task: /")
	}
	letters := func(p *Page) { open(p, "dead-letters"); p.WaitFor("checkbox", "Select event 4") }
	return map[string]func(p *Page){
		"events":            func(p *Page) { open(p); p.WaitFor("link", failed.Run.Name) },
		"start a run":       func(p *Page) { open(p); p.Click("button", "Start a run"); p.Click("button", "Pasted events") },
		"start with a file": func(p *Page) { open(p); p.Click("button", "Start a run"); p.Click("button", "A file") },
		"runs":              func(p *Page) { open(p, "runs"); p.WaitFor("link", failed.Run.Name) },
		"run":               run,
		"state":             func(p *Page) { run(p); p.Click("button", "/^Generate Data, Task: /"); p.WaitText("Rate exceeded") },
		"distributed run": func(p *Page) {
			open(p, "run", f.runs[len(f.runs)-1].Arn)
			p.WaitText("Standard executions.")
		},
		"dead letters": letters,
		"dead letter": func(p *Page) {
			letters(p)
			p.Click("button", "Event 4")
			p.Click("button", "Edit")
			p.Fill("textbox", "Payload", "no JSON")
			p.WaitText("The payload must be JSON")
		},
		"drop": func(p *Page) {
			letters(p)
			p.Click("checkbox", "Select all")
			p.Click("button", "Drop")
			p.WaitFor("button", "Drop 4 dead letters")
		},
	}
}

// testPageLooks looks at each view in three widths, and light and dark.
func testPageLooks(t *testing.T, b *Browser) {
	f, failed := usual(t)
	p := b.Open(t)
	for name, open := range views(f, failed) {
		open(p)
		// Colours do not depend on the width, and each change of the window draws the whole page again.
		for _, look := range []struct {
			Look
			layout, contrast bool
		}{{Look{Width: 1280}, true, true}, {Look{Width: 1280, Dark: true}, false, true}, {Look{Width: 2560}, true, false}, {Look{Width: 360}, true, false}} {
			p.Look(look.Look)
			p.Settle()
			var wrong []string
			if look.layout {
				wrong = append(wrong, p.Layout()...)
			}
			if look.contrast {
				wrong = append(wrong, p.Contrast()...)
			}
			for _, one := range wrong {
				t.Errorf("%s, %+v: %s", name, look.Look, one)
			}
		}
		p.Look(Look{})
	}
}

// testReadOnly tries to change something in a console that is read-only.
func testReadOnly(t *testing.T, b *Browser) {
	f, _ := usual(t)
	f.stacks.ReadOnly = true
	p := b.Open(t)
	p.Goto(f.address())
	p.WaitText("This page is read-only. Start the console with --allow-changes to allow changes.")
	p.Wait("the button", "document.querySelector('button.primary')")
	if p.Has("button", "Start a run") || p.Has("button", "Retry until empty") {
		t.Error("a page that is read-only can start a run or retry")
	}
	p.Goto(f.address("run", f.runs[1].Arn))
	p.WaitFor("button", "/^Generate Data, Task: /")
	if p.Has("button", "Stop") {
		t.Error("a page that is read-only can stop a run")
	}
	p.Goto(f.address("dead-letters"))
	p.Click("checkbox", "Select all")
	p.WaitFor("button", "Export")
	if p.Has("button", "Redrive") || p.Has("button", "Drop") {
		t.Error("a page that is read-only can redrive or drop dead letters")
	}
	if posts := f.posts(); posts != nil {
		t.Errorf("a page that is read-only asked for %q", posts)
	}
}

// TestPage shows the console's page to a browser, with an API that knows what the test tells it.
func TestPage(t *testing.T) {
	b := start(t)
	t.Run("is readable at three widths, light and dark", func(t *testing.T) { testPageLooks(t, b) })
	t.Run("changes nothing if it is read-only", func(t *testing.T) { testReadOnly(t, b) })
	t.Run("needs no mouse", func(t *testing.T) { testKeyboard(t, b) })
	t.Run("shows hostile content as text", func(t *testing.T) { testHostileContent(t, b) })
}
