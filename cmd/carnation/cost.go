package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"carnation/internal/cost"
	"carnation/internal/event"
)

const costExamples = `  carnation cost --events 1000000
  carnation cost --events 1000000 --failure-rate 0.05 --mode distributed
  carnation cost --events 500 --output json
`

func setupCost(flags *flag.FlagSet) action {
	events := count{most: event.MaxEvents}
	shardSize := count{n: event.MaxShardSize, most: event.MaxShardSize}
	var rate share
	mode := &oneOf{"", []string{cost.Inline, cost.Distributed}}
	children := &oneOf{cost.Standard, []string{cost.Standard, cost.Express}}
	flags.Var(&events, "events", "`number` of events to insert")
	flags.Var(&rate, "failure-rate", "`share` of the inserts that fail, from 0 to 1")
	flags.Var(mode, "mode", "show only this `mode`: inline or distributed")
	flags.Var(&shardSize, "shard-size", "`number` of events in a shard of the distributed mode, from 1 to 1000")
	flags.Var(children, "child-type", "`type` of the child executions of the distributed mode: STANDARD or EXPRESS")
	output := outputFlag(flags)
	return func(_ context.Context, stdout, _ io.Writer) error {
		if events.n == 0 {
			return fmt.Errorf("--events is missing: %s", events.mustBe())
		}
		prices, err := cost.LoadPrices()
		if err != nil {
			return err
		}
		result := costResult{Events: events.n, Failed: int(math.Round(float64(events.n) * float64(rate))), Region: prices.Region, Date: prices.Date}
		for _, m := range mode.allowed {
			if mode.value == "" || mode.value == m {
				result.Bills = append(result.Bills, prices.Bill(cost.Run{
					Mode: m, Events: result.Events, Failed: result.Failed, ShardSize: shardSize.n, ChildType: children.value,
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

// costResult is what --output json prints.
type costResult struct {
	Events int                   `json:"events"`
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

	fmt.Fprintf(&b, "%s events, of which %s fail. Prices of %s on %s, in USD.\n\n", thousands(float64(r.Events)), thousands(float64(r.Failed)), r.Region, r.Date)
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
