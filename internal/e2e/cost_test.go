package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/cost"
	"carnation/internal/function/generate"
	"carnation/internal/localaws"
)

// recorded is what the local AWS counts of an execution that it runs to its end, as cost.Counts has it.
func recorded(t *testing.T, d *deployed, input string) cost.Counts {
	t.Helper()
	before := d.callsByStack()
	out := d.execute(t, input)
	after := d.callsByStack()
	c := cost.Counts{Executions: 1, Transitions: transitions(t, d, *out.ExecutionArn)}
	for _, child := range children(t, d, *out.ExecutionArn) {
		c.Children++
		c.Transitions += 1 + transitions(t, d, child)
	}
	for call, n := range after {
		n -= before[call]
		switch {
		case call.Operation == "Invoke" && strings.Contains(call.Function, "generate-data"):
			c.Generates += n
		case call.Operation == "Invoke" && strings.Contains(call.Function, "insert-data"):
			c.Inserts += n
		case call.Operation == "Invoke" && strings.Contains(call.Function, "plan-shards"):
			c.Plans += n
		case call.Service == "dynamodb":
			c.Writes += n
		case call.Service == "sqs":
			c.QueueCalls += n
		case call.Service == "s3":
			c.ObjectCalls += n
		case n > 0:
			t.Errorf("a run makes %d calls %+v, which internal/cost does not count", n, call)
		}
	}
	return c
}

// callsByStack is the calls that the functions and the state machine made so far.
func (d *deployed) callsByStack() map[localaws.Call]int {
	made := map[localaws.Call]int{}
	for call, n := range d.recorded() {
		if call.Caller == localaws.EngineKeyID || strings.Contains(call.Caller, "-role-") {
			made[call] = n
		}
	}
	return made
}

// children is the executions that an execution's Distributed Map started, if it has one.
func children(t *testing.T, d *deployed, arn string) (arns []string) {
	t.Helper()
	runs, err := d.sfn.ListMapRuns(t.Context(), &sfn.ListMapRunsInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs.MapRuns {
		pages := sfn.NewListExecutionsPaginator(d.sfn, &sfn.ListExecutionsInput{MapRunArn: run.MapRunArn})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Executions {
				arns = append(arns, *e.ExecutionArn)
			}
		}
	}
	return arns
}

// transitions is the state transitions of an execution: the states that it entered.
func transitions(t *testing.T, d *deployed, arn string) (n int) {
	t.Helper()
	pages := sfn.NewGetExecutionHistoryPaginator(d.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.StateEnteredEventDetails != nil {
				n++
			}
		}
	}
	return n
}

func TestInlineRunMakesWhatTheCostCounts(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const start = 900_000
	for _, test := range []struct {
		events int
		rate   float64
	}{{20, 0}, {30, 0.5}, {generate.MaxItems - 25, 0}} {
		failed := stillFailing(start, int64(start+test.events), test.rate, 0)
		got := recorded(t, s, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":%g}`, start, start+test.events, test.rate))
		if want := (cost.Run{Mode: cost.Inline, Events: test.events, Failed: failed}).Counts(); got != want {
			t.Errorf("a run of %d events, %d of which fail, makes %+v, want %+v", test.events, failed, got, want)
		}
		expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	}
	const rate = 0.5
	own, records := ownEvents(t, 30, 50, 20)
	failed := stillFailing(1, 31, rate, 0)
	got := recorded(t, s, fmt.Sprintf(`{"events":[%s],"failure_rate":%g}`, strings.Join(own, ","), rate))
	if want := (cost.Run{Mode: cost.Inline, Events: records.Count, Records: records, Failed: failed}).Counts(); got != want {
		t.Errorf("a run of %d own events, %d of which fail, makes %+v, want %+v", records.Count, failed, got, want)
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	if got, want := recorded(t, s, `{"start_seq":0,"end_seq":0}`), (cost.Run{Mode: cost.Inline}).Idle(); got != want {
		t.Errorf("a run with nothing to retry makes %+v, want %+v", got, want)
	}
}

// ownEvents are records of about the given size, with every kind of value, and what the cost takes them for.
func ownEvents(t *testing.T, n, size, shardSize int) (own []string, records *cost.Records) {
	t.Helper()
	records = cost.NewRecords(shardSize)
	for i := range n {
		record := fmt.Sprintf(`{"order":"Ä-%d","amount":-12.50,"count":%d,"paid":true,"note":null,"lines":[1,"two",{"a":[]}],"text":"%s"}`, i, i, strings.Repeat("x", size))
		if err := records.Add([]byte(record)); err != nil {
			t.Fatal(err)
		}
		own = append(own, record)
	}
	return own, records
}

func TestDistributedRunMakesWhatTheCostCounts(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	const start = 900_000
	for _, test := range []struct {
		events int
		rate   float64
	}{{130, 0}, {60, 1}} {
		input := fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":%g}`, start, start+test.events, test.rate)
		failed := stillFailing(start, int64(start+test.events), test.rate, 0)
		r := cost.Run{Mode: cost.Distributed, Events: test.events, Failed: failed, ShardSize: 20, ChildType: cost.Standard}
		if got, want := recorded(t, s, input), r.Counts(); got != want {
			t.Errorf("a run of %d events, %d of which fail, makes %+v, want %+v", test.events, failed, got, want)
		}
		expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	}

	// Batches that are full by their number of records, and one run that reads from S3, whose batches are full by their bytes.
	for _, test := range []struct {
		n, size, shardSize int
		rate               float64
	}{{60, 50, 20, 1}, {60, 15_000, 20, 0}} {
		own, records := ownEvents(t, test.n, test.size, test.shardSize)
		input := fmt.Sprintf(`{"events":[%s],"failure_rate":%g}`, strings.Join(own, ","), test.rate)
		if test.size > 10_000 {
			const key = "carnation/events/cost.jsonl"
			if err := s.put(key, []byte(strings.Join(own, "\n")+"\n")); err != nil {
				t.Fatal(err)
			}
			input = fmt.Sprintf(`{"source":{"bucket":%q,"key":%q},"failure_rate":%g}`, bucket, key, test.rate)
		}
		failed := stillFailing(1, int64(test.n+1), test.rate, 0)
		r := cost.Run{Mode: cost.Distributed, Events: test.n, Records: records, Failed: failed, ShardSize: test.shardSize, ChildType: cost.Standard}
		want := r.Counts()
		if want.ObjectCalls > 0 {
			want.ObjectCalls++ // the bucket of these tests has no versions, so plan-shards looks at the end whether the object has changed
		}
		if got := recorded(t, s, input); got != want {
			t.Errorf("a run of %d own events of %d bytes, %d of which fail, makes %+v, want %+v", test.n, test.size, failed, got, want)
		}
		expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	}
	if got, want := recorded(t, s, `{"start_seq":0,"end_seq":0}`), (cost.Run{Mode: cost.Distributed, ChildType: cost.Standard}).Idle(); got != want {
		t.Errorf("a run with nothing to retry makes %+v, want %+v", got, want)
	}
}

// What the cost takes from the sizes of lines and items has to be at least what they are.
func TestLinesAndItemsAreNoLargerThanTheCostTakesThem(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	out := s.execute(t, `{"start_seq":901000,"end_seq":901020,"failure_rate":0.5}`)
	expectEventsFailed(t, out)
	own, records := ownEvents(t, 1, 2000, 1000)
	expectStatus(t, s.execute(t, `{"events":[`+own[0]+`]}`), sfntypes.ExecutionStatusSucceeded)
	names := map[string]bool{}
	logs := s.logs(t, "generate-data") + "\t" + s.logs(t, "insert-data")
	for _, line := range strings.FieldsFunc(logs, func(r rune) bool { return r == '\t' || r == '\n' }) {
		limit := math.MaxInt // of what other tests made go wrong
		if _, directive, counts := strings.Cut(line, `"Metrics":[`); counts {
			limit = cost.LogBytes
			for _, name := range strings.Split(directive, `"Name":"`)[1:] {
				name, _, _ = strings.Cut(name, `"`)
				names[name] = true
			}
		} else if strings.Contains(line, `"type":"platform.`) {
			limit = cost.LambdaLogBytes
		} else if strings.Contains(line, `"sequenceNo":9010`) {
			limit = cost.FailedLogBytes
		}
		if len(line) > limit {
			t.Errorf("a line of %d bytes, the cost takes it as %d: %s", len(line), limit, line)
		}
	}
	if len(names) != cost.Metrics {
		t.Errorf("the functions publish the metrics %v, the cost takes %d", names, cost.Metrics)
	}

	page, err := s.table.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(s.outputs["TableName"])})
	if err != nil || len(page.Items) == 0 {
		t.Fatalf("scan the table: %d items, %v", len(page.Items), err)
	}
	for _, item := range page.Items {
		n, most := size(t, item), cost.ItemBytes
		if source, ok := item["source"].(*types.AttributeValueMemberS); ok {
			n += cost.SourceBytes - len(source.Value) // the longest one is counted
			most = int(records.Stored)
		}
		if n > most || n < most-20 {
			t.Errorf("an item of %d bytes, the cost takes it as %d: %v", n, most, item)
		}
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
}

// size is the bytes of an item as DynamoDB counts them.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func size(t *testing.T, item map[string]types.AttributeValue) (n int) {
	t.Helper()
	for name, value := range item {
		n += len(name) + valueSize(t, value)
	}
	return n
}

func valueSize(t *testing.T, value types.AttributeValue) (n int) {
	t.Helper()
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(v.Value), "0")
		return (len(digits)+1)/2 + 1 + strings.Count(v.Value, "-")
	case *types.AttributeValueMemberBOOL, *types.AttributeValueMemberNULL:
		return 1
	case *types.AttributeValueMemberL:
		n = 3
		for _, element := range v.Value {
			n += 1 + valueSize(t, element)
		}
		return n
	case *types.AttributeValueMemberM:
		return 3 + len(v.Value) + size(t, v.Value)
	}
	t.Fatalf("a value is a %T", value)
	return 0
}
