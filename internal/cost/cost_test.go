package cost

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"carnation/internal/event"
)

func prices(t *testing.T) Prices {
	t.Helper()
	p, err := LoadPrices()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryPriceHasAUnitAndASource(t *testing.T) {
	p := prices(t)
	if p.Region != "us-east-1" {
		t.Errorf("region is %q, want us-east-1", p.Region)
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil {
		t.Errorf("date: %v", err)
	}
	for part, price := range p.Prices {
		if price.USD <= 0 || price.Per < 1 || price.Unit == "" {
			t.Errorf("price of %s is %+v, want a price of a number of units", part, price)
		}
		if !strings.HasPrefix(price.Source, "https://aws.amazon.com/") || price.ReadAt != "" && !strings.HasPrefix(price.ReadAt, "https://") {
			t.Errorf("price of %s: source %q, read at %q, want a page of AWS, and the page that the figure was read from", part, price.Source, price.ReadAt)
		}
	}
}

func TestEveryPartOfABillHasAPriceAndEveryPriceIsUsed(t *testing.T) {
	p := prices(t)
	used := map[string]bool{}
	for _, mode := range []string{Inline, Distributed} {
		own := ownRecords(t, 2000, 200, 100)
		bill := p.Bill(Run{Mode: mode, Events: own.Count, Records: own, Failed: 10, ShardSize: 100, ChildType: Express, RetryEvery: time.Hour})
		var sum float64
		for i, l := range append(bill.Lines, bill.Monthly...) {
			price, ok := p.Prices[l.Part]
			if !ok {
				t.Fatalf("%s has no price", l.Part)
			}
			if want := l.Quantity * price.USD / price.Per; math.Abs(l.USD-want) > 1e-12 || l.Quantity < 0 {
				t.Errorf("%g of %s cost %g, want %g", l.Quantity, l.Part, l.USD, want)
			}
			used[l.Part] = true
			if i < len(bill.Lines) {
				sum += l.USD
			}
		}
		if math.Abs(bill.USD-sum) > 1e-12 || math.Abs(bill.Ratio-sum/bill.Floor) > 1e-9 {
			t.Errorf("%s: total %g, ratio %g, want %g, %g", mode, bill.USD, bill.Ratio, sum, sum/bill.Floor)
		}
	}
	for part := range p.Prices {
		if !used[part] {
			t.Errorf("no bill has %s", part)
		}
	}
}

// The end-to-end tests compare small runs with the local AWS. These are larger runs, counted by hand.
func TestCountsOfLargeRuns(t *testing.T) {
	for _, test := range []struct {
		run  Run
		want Counts
	}{
		{Run{Mode: Inline, Events: 541}, Counts{Executions: 1, Transitions: 4 + 3*541, Generates: 1, Inserts: 541, Writes: 541}},
		{Run{Mode: Inline, Events: 542}, Counts{Executions: 2, Transitions: 8 + 3*542, Generates: 2, Inserts: 542, Writes: 542, QueueCalls: 1}},
		{Run{Mode: Inline, Events: 540, Failed: 540}, Counts{Executions: 1, Transitions: 5 + 5*540, Generates: 1, Inserts: 540, QueueCalls: 541}},
		{Run{Mode: Distributed, Events: 1000, ShardSize: 1000, ChildType: Standard},
			Counts{Executions: 1, Children: 1, Transitions: 7 + 3, Generates: 1, Inserts: 1, Plans: 2, Writes: 1000, QueueCalls: 1}},
		{Run{Mode: Distributed, Events: 1001, Failed: 15, ShardSize: 1000, ChildType: Express},
			Counts{Executions: 1, Children: 2, Transitions: 7 + 2, Generates: 2, Inserts: 2, Plans: 2, Writes: 986, QueueCalls: 1 + 2}},
		{Run{Mode: Distributed, Events: 1000, Failed: 111, ShardSize: 100, ChildType: Standard}, // eleven in nine shards, twelve in one
			Counts{Executions: 1, Children: 10, Transitions: 7 + 30, Generates: 10, Inserts: 10, Plans: 2, Writes: 889, QueueCalls: 1 + 20}},
		{Run{Mode: Distributed, Events: 10_000_000, ShardSize: 1, ChildType: Standard},
			Counts{Executions: 1, Children: 10_000, Transitions: 7 + 3*10_000, Generates: 10_000, Inserts: 10_000, Plans: 2, Writes: 10_000_000, QueueCalls: 1}},
	} {
		if got := test.run.Counts(); got != test.want {
			t.Errorf("counts of %+v = %+v, want %+v", test.run, got, test.want)
		}
	}
}

// maxMillion is the maximum price of a million events in the distributed mode, in USD.
const maxMillion = 0.80

func TestAMillionDistributedEventsCostLittleMoreThanTheirWrites(t *testing.T) {
	for _, children := range []string{Standard, Express} {
		bill := prices(t).Bill(Run{Mode: Distributed, Events: 1_000_000, ShardSize: event.MaxShardSize, ChildType: children})
		if bill.Floor != 0.625 || bill.USD > maxMillion || bill.Ratio > 1.25 {
			t.Errorf("with %s children they cost %.4f USD, %.2f times the %.4f of their writes: want at most %.2f, and 1.25 times 0.625",
				children, bill.USD, bill.Ratio, bill.Floor, maxMillion)
		}
	}
}

// The prices are those of a stack with the defaults of the templates.
func TestPricesUseTheDefaultsOfTheTemplates(t *testing.T) {
	var text string
	for _, pattern := range []string{"../../cft/*.yaml", "../../cft/nested-stacks/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v files, %v", pattern, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(data)
		}
	}
	for name, want := range map[string]int{"LambdaMemorySize": memoryMB, "MapMaxConcurrency": mapConcurrency, "ShardConcurrency": shardConcurrency, "ShardSize": event.MaxShardSize} {
		match := regexp.MustCompile(`(?m)^  ` + name + `:\n(?:    .*\n)*?    Default: '?(\d+)'?$`).FindStringSubmatch(text)
		if match == nil || match[1] != strconv.Itoa(want) {
			t.Errorf("default of %s is %v, %d is priced", name, match, want)
		}
	}
	if got := strings.Count(text, "KmsDataKeyReusePeriodSeconds: "+strconv.Itoa(queueKeySeconds)); got != 2 {
		t.Errorf("%d queues use a data key for %d s, want 2", got, queueKeySeconds)
	}
	// lambda-function-stack.yaml has the alarms of one function, cloudwatch-stack.yaml the others.
	if got, want := strings.Count(text, "Type: AWS::CloudWatch::Alarm\n"), functionAlarms+otherAlarms+shardAlarms; got != want {
		t.Errorf("the templates have %d alarms, %d are priced", got, want)
	}
	if got := strings.Count(text, "Type: AWS::CloudWatch::Dashboard\n"); got != dashboards {
		t.Errorf("the templates have %d dashboards, %d are priced", got, dashboards)
	}
}

func TestDocsListTheAssumptions(t *testing.T) {
	docs, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, seconds := range map[string]float64{
		"finding the retry queue empty":             longPollSeconds,
		"generate-data and plan-shards, other work": smallSeconds,
		"insert-data of one event":                  insertSeconds,
		"insert-data of a shard, for each event":    shardEventSeconds,
		"cold start of an environment":              coldStartSeconds,
		"an event in the inline Map":                eventSeconds,
		"an execution or child, other time":         betweenSeconds,
	} {
		if row := fmt.Sprintf("\n| %s | %g ms |", what, 1000*seconds); !strings.Contains(string(docs), row) {
			t.Errorf("docs/cost.md has no row %s", row)
		}
	}
}
