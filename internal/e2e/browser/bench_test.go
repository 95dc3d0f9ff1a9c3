package browser

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"carnation/internal/operate/model"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
)

// failing is a run of n events that all failed, in the inline mode.
func failing(t testing.TB, n int) *model.Document {
	t.Helper()
	doc := clone(t, recorded(t, "inline-failures"))
	doc.Run.Arn += "-failing"
	item, lines := doc.Items.Rows[0], doc.Logs.Lines
	iteration := slices.IndexFunc(doc.Timeline.Spans, func(s model.Span) bool { return s.Index != nil })
	span := doc.Timeline.Spans[iteration]
	doc.Items = model.Items{Total: n, Groups: []model.ItemGroup{{Status: item.Status, Error: item.Error, Count: n}}}
	doc.Timeline.Spans = doc.Timeline.Spans[:iteration]
	doc.Logs.Lines = nil
	for i := range n {
		item.Index, item.SequenceNo = i, int64(i+1)
		doc.Items.Rows = append(doc.Items.Rows, item)
		span.Index, span.Start, span.End = &[]int{i}[0], int64(100+i*5), int64(400+i*5)
		doc.Timeline.Spans = append(doc.Timeline.Spans, span)
		if len(lines) > 0 {
			doc.Logs.Lines = append(doc.Logs.Lines, lines[i%len(lines)])
		}
	}
	doc.Run.Milliseconds = int64(500 + n*5)
	return doc
}

// sharded is a run of n shards, as many of which are listed as a document has at most.
func sharded(t testing.TB, n int) *model.Document {
	t.Helper()
	doc := clone(t, recorded(t, "distributed-failures"))
	doc.Run.Arn += "-sharded"
	row := doc.Shards.Rows[0]
	at := slices.IndexFunc(doc.Timeline.Spans, func(s model.Span) bool { return s.Shard != "" })
	span := doc.Timeline.Spans[at]
	listed := min(n, 2000)
	*doc.Shards = model.Shards{Total: n, Succeeded: n, Type: "STANDARD", Omitted: n - listed}
	doc.Timeline.Spans, doc.Timeline.Omitted = doc.Timeline.Spans[:at], n-listed
	for i := range listed {
		row.Arn = fmt.Sprintf("%s-%d", doc.Run.Arn, i)
		row.Name, row.Start, row.End = fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), int64(i*100), int64(i*100+2600)
		doc.Shards.Rows = append(doc.Shards.Rows, row)
		span.Shard, span.Start, span.End = row.Arn, row.Start, row.End
		doc.Timeline.Spans = append(doc.Timeline.Spans, span)
	}
	doc.Run.Milliseconds = int64(listed*100 + 3000)
	return doc
}

// manyRuns lists n runs.
func manyRuns(f *fakeConsole, n int) {
	first := f.runs[0]
	for i := range n - len(f.runs) {
		one := first
		one.Arn, one.Name, one.Started = fmt.Sprintf("%s-%d", first.Arn, i), fmt.Sprintf("run-%d", i), first.Started.Add(-time.Duration(i)*time.Minute)
		f.runs = append(f.runs, one)
	}
}

// openAlone opens a page whose roles and names nobody asks for, because a browser works for them all the time.
func openAlone(b *testing.B, browser *Browser) *Page {
	b.Helper()
	p := browser.Open(b)
	call(p, accessibility.Disable, cdp.Empty{})
	b.Cleanup(func() { call(p, accessibility.Enable, cdp.Empty{}) })
	return p
}

// Limits, in milliseconds. A person feels a task of more than 100 ms.
const (
	maxPaint = 1000
	maxOpen  = 2000
	maxTask  = 100
)

func expectAtMost(b *testing.B, what string, took, most float64) {
	b.Helper()
	if took > most {
		b.Errorf("%s takes %.0f ms, want at most %.0f", what, took, most)
	}
}

// BenchmarkPage measures how long the page takes to show what has arrived, and its longest task while a person scrolls. Each figure is the
// worst of all rounds.
func BenchmarkPage(b *testing.B) {
	browser := start(b)
	f, _ := usual(b)
	events, shards := failing(b, 541), sharded(b, 10_000)
	f.add(events)
	f.add(shards)
	manyRuns(f, 500)
	for _, view := range []struct{ name, address, ready string }{
		{"500 runs", f.address("runs"), ".runs tbody tr:nth-child(20)"},
		{"541 failing events", f.address("run", events.Run.Arn), ".graph svg text"},
		{"10,000 shards", f.address("run", shards.Run.Arn), ".graph svg text"},
	} {
		b.Run(view.name, func(b *testing.B) {
			p := openAlone(b, browser)
			var opened, task float64
			for b.Loop() {
				p.Goto("about:blank")
				p.Goto(f.address("dead-letters"))
				p.WaitText("By error and run")
				p.LongTasks()
				opened = max(opened, p.TimeTo(view.address, view.ready))
				p.LongTasks()
				p.Scroll()
				task = slices.Max(append(p.LongTasks(), task))
			}
			expectAtMost(b, "opening", opened, maxOpen)
			expectAtMost(b, "the longest task of scrolling", task, maxTask)
			b.ReportMetric(opened, "ms-to-open")
			b.ReportMetric(task, "ms-longest-task-of-scrolling")
		})
	}
	b.Run("first paint of 500 runs", func(b *testing.B) {
		p := openAlone(b, browser)
		var paint float64
		for b.Loop() {
			p.Goto("about:blank")
			p.Goto(f.address("runs"))
			p.Wait("the first paint", `performance.getEntriesByName("first-contentful-paint").length`)
			paint = max(paint, Eval[float64](p, `performance.getEntriesByName("first-contentful-paint")[0].startTime`))
		}
		expectAtMost(b, "the first paint", paint, maxPaint)
		b.ReportMetric(paint, "ms-to-paint")
	})
}
