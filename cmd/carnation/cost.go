package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"carnation/internal/cost"
	"carnation/internal/event"
	"carnation/internal/records"
)

const costExamples = `  carnation cost --events 1000000
  carnation cost --events 1000000 --record-size 200
  carnation cost --events 1000000 --failure-rate 0.05 --mode distributed
  carnation cost --events 500 --output json
`

func setupCost(flags *flag.FlagSet) action {
	events := eventsOrFile{count: count{most: event.MaxEvents}}
	shardSize := count{n: event.MaxShardSize, most: event.MaxShardSize}
	recordSize := count{most: event.MaxRecord}
	var rate share
	mode := &oneOf{"", []string{cost.Inline, cost.Distributed}}
	children := &oneOf{cost.Standard, []string{cost.Standard, cost.Express}}
	format := &oneOf{"", records.Formats}
	retryEvery := flags.Duration("retry-every", 0, "the interval of the stack's RetrySchedule, such as 1h")
	flags.Var(&events, "events", "`number` of events that Carnation generates, or the file with your own events; - for standard input")
	flags.Var(&recordSize, "record-size", "with a number of events, they are your own, and each has this `number` of bytes of JSON")
	flags.Var(format, "format", "`format` of the file: JSONL, JSON or CSV; by the ending of its name if not set")
	flags.Var(&rate, "failure-rate", "`share` of the inserts that fail, from 0 to 1")
	flags.Var(mode, "mode", "show only this `mode`: inline or distributed")
	flags.Var(&shardSize, "shard-size", "`number` of events in a shard of the distributed mode, from 1 to 1000")
	flags.Var(children, "child-type", "`type` of the child executions of the distributed mode: STANDARD or EXPRESS")
	output := outputFlag(flags)
	return func(_ context.Context, stdout, _ io.Writer) error {
		own, err := events.records(recordSize.n, format.value, shardSize.n)
		if err != nil {
			return err
		}
		if *retryEvery != 0 && *retryEvery < time.Minute {
			return fmt.Errorf("--retry-every is %s: must be at least 1m", *retryEvery)
		}
		prices, err := cost.LoadPrices()
		if err != nil {
			return err
		}
		result := costResult{Events: events.n, Region: prices.Region, Date: prices.Date}
		if own != nil {
			result.Events, result.Bytes = own.Count, own.Bytes
		}
		result.Failed = int(math.Round(float64(result.Events) * float64(rate)))
		for _, m := range mode.allowed {
			if mode.value == "" || mode.value == m {
				result.Bills = append(result.Bills, prices.Bill(cost.Run{
					Mode: m, Events: result.Events, Records: own, Failed: result.Failed, ShardSize: shardSize.n, ChildType: children.value, RetryEvery: *retryEvery,
				}))
			}
		}
		if output.value == "json" {
			result.Prices = prices.Prices
			return printJSON(stdout, result)
		}
		_, err = io.WriteString(stdout, result.text(prices))
		return err
	}
}

// eventsOrFile is a flag for a number of events, or the name of a file.
type eventsOrFile struct {
	count
	file string
}

func (e *eventsOrFile) Set(text string) error {
	if strings.Trim(text, "0123456789") == "" || strings.HasPrefix(text, "-") && text != "-" {
		e.file = ""
		return e.count.Set(text)
	}
	e.file = text
	return nil
}

// records are the own events that the flags describe: those of the file, or as many of one size. They are nil for generated events.
func (e *eventsOrFile) records(size int, format string, shardSize int) (*cost.Records, error) {
	const leastSize = len(`{"data":""}`)
	own := cost.NewRecords(shardSize)
	switch {
	case e.file == "" && e.n == 0:
		return nil, fmt.Errorf("--events is missing: %s, or the name of a file", e.mustBe())
	case e.file == "" && format != "":
		return nil, errors.New("--format is for a file, and --events is a number")
	case e.file == "" && size == 0:
		return nil, nil
	case e.file == "" && size < leastSize:
		return nil, fmt.Errorf("--record-size is %d: must be an integer from %d to %d", size, leastSize, event.MaxRecord)
	case e.file == "":
		return own, own.AddTimes([]byte(`{"data":"`+strings.Repeat("x", size-leastSize)+`"}`), e.n)
	case size != 0:
		return nil, errors.New("--record-size is for a number of events, and --events is a file")
	}
	if format = cmp.Or(format, records.FormatOf(e.file)); format == "" {
		return nil, fmt.Errorf("--events is %q: %s, or a file whose name ends in .jsonl, .json or .csv; for another file, set --format", e.file, e.mustBe())
	}
	input := os.Stdin
	if e.file != "-" {
		var err error
		if input, err = os.Open(e.file); err != nil {
			return nil, err
		}
		defer input.Close()
	}
	return own, addAll(own, input, e.file, format)
}

// addAll counts the records of a file.
func addAll(own *cost.Records, file io.Reader, name, format string) error {
	reader := records.NewReader(file, format)
	for {
		record, err := reader.Next()
		switch {
		case err == io.EOF && own.Count == 0:
			return fmt.Errorf("%s has no records", name)
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", name, err)
		case record.Problem != "":
			return fmt.Errorf("%s, line %d: the record %s", name, record.Line, record.Problem)
		}
		if err := own.Add(record.JSON); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, record.Line, err)
		}
	}
}

// costResult is what --output json prints.
type costResult struct {
	Events int                   `json:"events"`
	Bytes  int64                 `json:"bytes,omitempty"` // of your own events, as JSON Lines
	Failed int                   `json:"failed"`
	Region string                `json:"region"`
	Date   string                `json:"date"` // of the prices
	Bills  []cost.Bill           `json:"bills"`
	Prices map[string]cost.Price `json:"prices"`
}

// text shows the bills side by side, without the parts that none of them uses.
func (r costResult) text(prices cost.Prices) string {
	var b strings.Builder
	row := func(part, price string, cells ...string) {
		line := fmt.Sprintf("%-18s %-29s", part, price)
		for i, cell := range cells {
			line += fmt.Sprintf(" %*s", []int{15, 10}[i%2], cell)
		}
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	rows := func(lines func(cost.Bill) []cost.Line) (total []float64) {
		total = make([]float64, len(r.Bills))
		for i, line := range lines(r.Bills[0]) {
			var cells []string
			var used bool
			for j, bill := range r.Bills {
				l := lines(bill)[i]
				cells = append(cells, quantity(l.Quantity), usd(l.USD))
				total[j] += l.USD
				used = used || l.Quantity > 0
			}
			if used {
				row(line.Part, unitPrice(prices.Prices[line.Part]), cells...)
			}
		}
		return total
	}
	summary := func(part string, value func(int) string) {
		var cells []string
		for i := range r.Bills {
			cells = append(cells, "", value(i))
		}
		row(part, "", cells...)
	}

	what := "events"
	if r.Bytes > 0 {
		what = fmt.Sprintf("events of your own, %s bytes of JSON", thousands(float64(r.Bytes)))
	}
	fmt.Fprintf(&b, "%s %s, of which %s fail. Prices of %s on %s, in USD.\n\n", thousands(float64(r.Events)), what, thousands(float64(r.Failed)), r.Region, r.Date)
	var modes []string
	for _, bill := range r.Bills {
		modes = append(modes, bill.Mode, "USD")
	}
	row("the run", "price", modes...)
	rows(func(bill cost.Bill) []cost.Line { return bill.Lines })
	summary("total", func(i int) string { return usd(r.Bills[i].USD) })
	summary("DynamoDB alone", func(i int) string { return usd(r.Bills[i].Floor) })
	summary("times as much", func(i int) string { return fmt.Sprintf("%.2f", r.Bills[i].Ratio) })
	fmt.Fprintln(&b)
	row("every month after", "price", modes...)
	monthly := rows(func(bill cost.Bill) []cost.Line { return bill.Monthly })
	summary("total", func(i int) string { return usd(monthly[i]) })
	return b.String()
}

// unitPrice is a price such as 0.2 per 1,000,000 requests.
func unitPrice(p cost.Price) string {
	per := p.Unit
	if p.Per > 1 {
		per = thousands(p.Per) + " " + p.Unit
	}
	return strconv.FormatFloat(p.USD, 'f', -1, 64) + " per " + per
}

func usd(amount float64) string { return fmt.Sprintf("%.4f", amount) }

// quantity is a whole number, or a small one with three significant digits.
func quantity(n float64) string {
	switch {
	case n == math.Trunc(n) || n >= 1000:
		return thousands(math.Round(n))
	case n < 0.001:
		return "< 0.001"
	}
	return strconv.FormatFloat(n, 'g', 3, 64)
}

// thousands is a whole number with commas between its thousands.
func thousands(n float64) string {
	s := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
