package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"carnation/internal/operate/model"
)

const runsShowExamples = `  carnation runs show orders-2026-11-23
  carnation runs show orders-2026-11-23 --payloads
  carnation runs show orders-2026-11-23 --output json > run.json
`

func setupRunsShow(flags *flag.FlagSet) action {
	stack := stackFlag(flags)
	payloads := flags.Bool("payloads", false, "also the payloads of the events, and the input and the output of the run")
	rows := count{n: 2000, most: 100_000}
	flags.Var(&rows, "rows", "maximum `number` of events, of spans of time and of shards in the JSON, each")
	timeout := flags.Duration("timeout", 15*time.Minute, "maximum time to take")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		_, doc, err := readExecution(ctx, *stack, flags.Arg(0), model.Options{Payloads: *payloads, Rows: rows.n})
		if err != nil {
			return err
		}
		printGaps(stderr, "runs show", doc)
		if output.value == "json" {
			return printJSON(stdout, doc)
		}
		return printDocument(stdout, doc)
	}
}

// mostShown is how many events, shards and log lines the text lists, each.
const mostShown = 10

// documentPrinter prints a run as text. What comes from data is printed in one line each.
type documentPrinter struct {
	w   *tabwriter.Writer
	doc *model.Document
}

func printDocument(w io.Writer, doc *model.Document) error {
	p := documentPrinter{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), doc}
	p.head()
	p.states()
	p.items()
	p.shards()
	p.warnings()
	p.cost()
	return p.w.Flush()
}

// part begins a table with its own columns.
func (p documentPrinter) part(columns ...string) {
	p.w.Flush()
	fmt.Fprintln(p.w)
	p.line(columns...)
}

func (p documentPrinter) line(cells ...string) {
	for i, cell := range cells {
		cells[i] = oneLine(cell)
	}
	fmt.Fprintln(p.w, strings.Join(cells, "\t"))
}

func (p documentPrinter) head() {
	run := p.doc.Run
	p.line("run", run.Name)
	if run.Of != "" {
		p.line("shard of", run.Of)
	}
	p.line("stack", fmt.Sprintf("%s, %s, %s", p.doc.Stack.Name, strings.ToLower(p.doc.Stack.MapMode), p.doc.Stack.Region))
	p.line("status", run.Status)
	if run.Error != "" {
		p.line("error", run.Error)
	}
	if run.Cause != "" {
		p.line("cause", cut(run.Cause))
	}
	p.line("outcome", p.doc.Outcome.Sentence)
	input := run.Input.Text
	if run.Input.FailureRate > 0 {
		input += fmt.Sprintf(", of which the share %v fails on purpose", run.Input.FailureRate)
	}
	p.line("input", input)
	p.line("started", run.Started.Local().Format(time.DateTime))
	took := duration(time.Duration(run.Milliseconds) * time.Millisecond)
	if run.Stopped == nil {
		took += " so far"
	}
	p.line("took", took)
	if run.Redrives > 0 && run.Redriven != nil {
		p.line("redriven", fmt.Sprintf("%d times, last at %s", run.Redrives, run.Redriven.Local().Format(time.DateTime)))
	}
	p.line("cost", dollars(p.doc.Cost.USD))
	p.line("arn", run.Arn)
	if run.RawInput != nil {
		p.line("raw input", string(run.RawInput))
	}
	if run.RawOutput != nil {
		p.line("raw output", string(run.RawOutput))
	}
}

func (p documentPrinter) states() {
	if len(p.doc.States) == 0 {
		return
	}
	p.part("STATE", "TYPE", "ENTERED", "SUCCEEDED", "FAILED", "CAUGHT", "RETRIED", "RUNNING", "ABORTED", "MEAN", "MOST")
	for _, s := range p.doc.States {
		name := strings.Repeat("  ", len(s.Path)-1) + s.Path[len(s.Path)-1]
		mean, most := "-", "-"
		if ended := s.Succeeded + s.Failed + s.Aborted; ended > 0 {
			mean, most = milliseconds(s.TotalMS/int64(ended)), milliseconds(s.MostMS)
		}
		about := ""
		if s.Estimated {
			about = "~"
		}
		n := func(n int) string { return about + strconv.Itoa(n) }
		p.line(name, s.Type, n(s.Entered), n(s.Succeeded), n(s.Failed), n(s.Caught), n(s.Retried), n(s.Running), n(s.Aborted), mean, most)
	}
}

func (p documentPrinter) items() {
	items := p.doc.Items
	if len(items.Groups) > 0 {
		p.part("EVENTS", "STATUS", "ERROR")
		for _, g := range items.Groups {
			p.line(strconv.Itoa(g.Count), g.Status, cmp.Or(cut(g.Error), "-"))
		}
	}
	// The failed ones come first.
	var failed []model.Item
	for _, item := range items.Rows {
		if item.Status != model.ItemInserted && item.Status != model.ItemRunning {
			failed = append(failed, item)
		}
	}
	if len(failed) == 0 {
		return
	}
	columns := []string{"SEQUENCE", "STATUS", "KIND", "RETRY", "ERROR"}
	payloads := failed[0].Payload != nil
	if payloads {
		columns = append(columns, "PAYLOAD")
	}
	p.part(columns...)
	for _, item := range failed[:min(mostShown, len(failed))] {
		kind := "new"
		if item.Claimed {
			kind = "claimed"
		}
		cells := []string{strconv.FormatInt(item.SequenceNo, 10), item.Status, kind, strconv.Itoa(item.RetryAttempt), cmp.Or(cut(item.Error), "-")}
		if payloads {
			cells = append(cells, string(item.Payload))
		}
		p.line(cells...)
	}
	p.more(len(failed)-mostShown, items.Omitted, "events")
}

// more says that a list has more than is printed: in this document, or left out of it.
func (p documentPrinter) more(more, omitted int, what string) {
	if more > 0 || omitted > 0 {
		p.w.Flush()
		fmt.Fprintf(p.w, "there are more %s: carnation runs show %s --output json has %d of them", what, oneLine(p.doc.Run.Name), max(0, more)+mostShown)
		if omitted > 0 {
			fmt.Fprintf(p.w, ", and --rows raises the number")
		}
		fmt.Fprintln(p.w)
	}
}

func (p documentPrinter) shards() {
	s := p.doc.Shards
	if s == nil {
		return
	}
	p.part("SHARDS", "SUCCEEDED", "FAILED", "TIMED OUT", "ABORTED", "RUNNING", "PENDING", "TYPE")
	p.line(strconv.Itoa(s.Total), strconv.Itoa(s.Succeeded), strconv.Itoa(s.Failed), strconv.Itoa(s.TimedOut), strconv.Itoa(s.Aborted), strconv.Itoa(s.Running), strconv.Itoa(s.Pending), s.Type)
	var failed []model.Shard
	for _, shard := range s.Rows {
		if shard.Status == model.Failed || shard.Status == model.TimedOut || shard.Status == model.Aborted {
			failed = append(failed, shard)
		}
	}
	if len(failed) == 0 {
		return
	}
	p.part("SHARD", "STATUS", "ERROR", "CAUSE")
	for _, shard := range failed[:min(mostShown, len(failed))] {
		p.line(shard.Arn, shard.Status, cmp.Or(cut(shard.Error), "-"), cmp.Or(cut(shard.Cause), "-"))
	}
	p.more(len(failed)-mostShown, 0, "shards")
}

// warnings are the newest log lines that are not for information.
func (p documentPrinter) warnings() {
	var lines []model.LogLine
	for _, line := range p.doc.Logs.Lines {
		if line.Level == "WARN" || line.Level == "ERROR" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return
	}
	p.part("LOG", "FUNCTION", "LEVEL", "MESSAGE", "SEQUENCE", "FIELDS")
	for _, line := range lines[max(0, len(lines)-mostShown):] {
		sequence := "-"
		if line.Sequence != nil {
			sequence = strconv.FormatInt(*line.Sequence, 10)
		}
		p.line(line.Time.Local().Format(time.TimeOnly), line.Function, line.Level, cut(line.Message), sequence, cut(line.Fields))
	}
	p.more(len(lines)-mostShown, 0, "log lines")
}

func (p documentPrinter) cost() {
	if len(p.doc.Cost.Lines) == 0 {
		return
	}
	p.part("COST", "QUANTITY", "UNIT", "USD", "BASIS")
	for _, line := range p.doc.Cost.Lines {
		p.line(line.Part, significant(line.Quantity, 4), line.Unit, dollars(line.USD), line.Basis)
	}
	p.line("total", "", "", dollars(p.doc.Cost.USD), fmt.Sprintf("prices of %s, %s", p.doc.Cost.Date, p.doc.Cost.Region))
}

func dollars(usd float64) string { return "$" + significant(usd, 3) }

// significant is a number with so many significant digits. A whole number has all of its digits.
func significant(n float64, digits int) string {
	if n != math.Trunc(n) {
		n, _ = strconv.ParseFloat(strconv.FormatFloat(n, 'g', digits, 64), 64)
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func milliseconds(ms int64) string {
	if ms < 1000 {
		return fmt.Sprintf("%d ms", ms)
	}
	return duration(time.Duration(ms) * time.Millisecond)
}

// cut is as much of a text as somebody reads in a table.
func cut(text string) string {
	const most = 200
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}
