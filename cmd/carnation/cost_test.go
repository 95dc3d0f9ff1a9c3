package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carnation/internal/cost"
	"carnation/internal/event"
)

var update = flag.Bool("update", false, "update docs/cost.md with the output of the command")

var (
	shown      = regexp.MustCompile("(?s)(```console\n\\$ build/carnation (cost [^\n]*)\n)(.*?)(```)")
	priceTable = regexp.MustCompile(`\| part \| [^\n]*\n(?:\|[^\n]*\n)+`)
	overview   = regexp.MustCompile(`\| events \| [^\n]*\n(?:\|[^\n]*\n)+`)
)

// docs/cost.md shows the output of the command. go test ./cmd/carnation -run Docs -update updates it.
func TestCostDocsShowTheOutputOfTheCommand(t *testing.T) {
	const path = "../../docs/cost.md"
	docs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(shown.FindAll(docs, -1)); n < 3 {
		t.Fatalf("%s shows %d commands, want at least three", path, n)
	}
	want := shown.ReplaceAllFunc(docs, func(block []byte) []byte {
		part := shown.FindSubmatch(block)
		got := carnation(t, nil, strings.Fields(string(part[2]))...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("carnation %s = %+v", part[2], got)
		}
		return []byte(string(part[1]) + got.stdout + string(part[4]))
	})
	prices, err := cost.LoadPrices()
	if err != nil {
		t.Fatal(err)
	}
	table := "| part | USD | from | read at | |\n| --- | --- | --- | --- | --- |\n"
	for _, part := range slices.Sorted(maps.Keys(prices.Prices)) {
		p := prices.Prices[part]
		table += fmt.Sprintf("| %s | %s | <%s> | %s | %s |\n", part, unitPrice(p), p.Source, strings.TrimSuffix("<"+p.ReadAt+">", "<>"), p.Note)
	}
	totals := "| events | DynamoDB alone | distributed | | inline | |\n| --- | --- | --- | --- | --- | --- |\n"
	for _, events := range []int{1000, 1_000_000, 10_000_000} {
		distributed := prices.Bill(cost.Run{Mode: cost.Distributed, Events: events, ShardSize: event.MaxShardSize, ChildType: cost.Standard})
		inline := prices.Bill(cost.Run{Mode: cost.Inline, Events: events})
		totals += fmt.Sprintf("| %s | %s | %s | %.2f times | %s | %.1f times |\n", thousands(float64(events)),
			usd(inline.Floor), usd(distributed.USD), distributed.Ratio, usd(inline.USD), inline.Ratio)
	}
	if !priceTable.Match(want) || !overview.Match(want) {
		t.Fatalf("%s has no table of prices or no table of totals", path)
	}
	want = priceTable.ReplaceAllLiteral(want, []byte(table))
	want = overview.ReplaceAllLiteral(want, []byte(totals))
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(want) != string(docs) {
		t.Errorf("%s does not show the output of the command: run go test ./cmd/carnation -run Docs -update", path)
	}
}

func TestCostAsJSONHasBothModesWithTheirPricesAndTotals(t *testing.T) {
	got := carnation(t, nil, "cost", "--events", "1000", "--failure-rate", "0.1", "--output", "json")
	var out costResult
	if err := json.Unmarshal([]byte(got.stdout), &out); err != nil || got.code != 0 {
		t.Fatalf("%v: %+v", err, got)
	}
	if out.Events != 1000 || out.Failed != 100 || out.Region != "us-east-1" || len(out.Bills) != 2 || out.Bills[0].Mode != cost.Inline || out.Bills[1].Mode != cost.Distributed {
		t.Errorf("carnation cost --output json = %+v, want two bills of 1,000 events, 100 of which fail", out)
	}
	for _, bill := range out.Bills {
		sum := 0.0
		for _, line := range bill.Lines {
			price := out.Prices[line.Part]
			if line.Quantity > 0 && (price.Per == 0 || price.Source == "") {
				t.Errorf("%s: %s has no price", bill.Mode, line.Part)
			}
			sum += line.USD
		}
		if sum <= 0 || sum-bill.USD > 1e-9 || bill.USD-sum > 1e-9 {
			t.Errorf("%s: parts cost %g, total is %g", bill.Mode, sum, bill.USD)
		}
	}
}

func TestCostOfOneModeShowsOnlyThatMode(t *testing.T) {
	for mode, lacks := range map[string]string{cost.Inline: "distributed", cost.Distributed: "inline"} {
		got := carnation(t, nil, "cost", "--events", "10", "--mode", mode)
		if got.code != 0 || strings.Contains(got.stdout, lacks) || strings.Contains(got.stdout, "Express") || !strings.Contains(got.stdout, "state transitions") {
			t.Errorf("carnation cost --mode %s = %+v", mode, got)
		}
	}
	if got := carnation(t, nil, "cost", "--events", "10", "--child-type", "EXPRESS"); !strings.Contains(got.stdout, "Express requests") {
		t.Errorf("with EXPRESS children: %+v, want what they cost", got)
	}
}

func TestExamplesOfCostRun(t *testing.T) {
	for line := range strings.Lines(costExamples) {
		if got := carnation(t, nil, strings.Fields(line)[1:]...); got.code != 0 || got.stderr != "" || got.stdout == "" {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

// The records of the file decide what it costs, however the file writes them.
func TestCostOfAFileOfOwnEvents(t *testing.T) {
	dir := t.TempDir()
	const row = `{"order":"A-17","customer":"Ada, \"Countess\"","note":"one\ntwo"}`
	for name, content := range map[string]string{
		"orders.jsonl": strings.Repeat(row+"\r\n", 3), "orders.json": "[" + row + ", " + row + "," + row + "]\n",
		"orders.csv": "order,customer,note\n" + strings.Repeat("A-17,\"Ada, \"\"Countess\"\"\",\"one\ntwo\"\n", 3),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got := carnation(t, nil, "cost", "--events", path, "--output", "json")
		var out costResult
		if err := json.Unmarshal([]byte(got.stdout), &out); err != nil || got.code != 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		if want := int64(3 * (len(row) + 1)); out.Events != 3 || out.Bytes != want || len(out.Bills) != 2 {
			t.Errorf("%s: %d events of %d bytes in all, want 3 of %d", name, out.Events, out.Bytes, want)
		}
	}
	path := filepath.Join(dir, "bad.jsonl")
	for content, want := range map[string]string{
		row + "\n\n[1]\n": path + ", line 3: the record ", "": path + " has no records", "\n\n": path + " has no records",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := carnation(t, nil, "cost", "--events", path); got.code != 1 && got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: %+v, want the error %s", content, got, want)
		}
	}
}
