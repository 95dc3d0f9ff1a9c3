package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
	"carnation/internal/function/shard"
	"carnation/internal/localaws"
	"carnation/internal/operate"
)

// newDistributedStack creates a stack in the distributed mode. Its shards are small, so that a few events are several shards,
// and runs that overlap are throttled.
func newDistributedStack(t testing.TB) *deployed {
	t.Helper()
	return newStack(t, "MapMode=DISTRIBUTED", "ShardSize=20", "ShardConcurrency=10", "LambdaReservedConcurrency=4")
}

// planned is what plan-shards answered, from an execution's history.
func (d *deployed) planned(t testing.TB, arn string) shard.Planned {
	t.Helper()
	out, err := d.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 25})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events {
		if e.Type == sfntypes.HistoryEventTypeTaskSucceeded {
			var output struct{ Payload shard.Planned }
			if err := json.Unmarshal([]byte(*e.TaskSucceededEventDetails.Output), &output); err != nil {
				t.Fatal(err)
			}
			return output.Payload
		}
	}
	t.Fatalf("plan-shards of %s did not answer", arn)
	return shard.Planned{}
}

// sharded is the new events of an execution, made again from its plan.
func (d *deployed) sharded(t testing.TB, arn string) (events []event.Event) {
	t.Helper()
	planned := d.planned(t, arn)
	for number := range planned.Plan.Shards() {
		for _, item := range planned.Plan.Items(number) {
			events = append(events, item.Event)
		}
	}
	return events
}

// mapRuns is the Map Runs of an execution.
func (d *deployed) mapRuns(t testing.TB, arn string) (found []*sfn.DescribeMapRunOutput) {
	t.Helper()
	runs, err := d.sfn.ListMapRuns(t.Context(), &sfn.ListMapRunsInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	for _, listed := range runs.MapRuns {
		out, err := d.sfn.DescribeMapRun(t.Context(), &sfn.DescribeMapRunInput{MapRunArn: listed.MapRunArn})
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, out)
	}
	return found
}

func TestDistributedRunInsertsEveryEventOfItsRange(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	out := s.execute(t, `{"start_seq":1,"end_seq":131}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if got, want := aws.ToString(out.Output), `{"inserted":130,"failed":0}`; got != want {
		t.Errorf("output is %s, want %s", got, want)
	}
	if runs := s.mapRuns(t, *out.ExecutionArn); len(runs) != 1 || runs[0].ItemCounts.Total != 7 || runs[0].ItemCounts.Succeeded != 7 {
		t.Errorf("the run had %d Map Runs, want one of 7 shards of up to 20 events, which succeeded", len(runs))
	}
	if most := s.planned(t, *out.ExecutionArn).MaxConcurrency; most != 4 {
		t.Errorf("the run works on %d shards at once, want the 4 that LambdaReservedConcurrency lets, not the 10 of ShardConcurrency", most)
	}
	s.expectInserted(t, 1, 131, s.sharded(t, *out.ExecutionArn))
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

func TestDistributedRunsRetryFailedEventsThreeTimes(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	const start, end, rate = 1000, 1200, 0.5
	first := s.execute(t, `{"start_seq":1000,"end_seq":1200,"failure_rate":0.5}`)
	failed := stillFailing(start, end, rate, 0)
	expectEventsFailed(t, first)
	if got, want := aws.ToString(first.Error)+": "+aws.ToString(first.Cause), fmt.Sprintf("Carnation.EventsFailed: %d of 200 events failed and are in the retry queue", failed); got != want {
		t.Errorf("the run ended with %s, want %s", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", failed, 0)
	for attempt := 1; failed > 0 && attempt <= 3; attempt++ {
		retry := s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":0.5}`)
		claimed := failed
		failed = stillFailing(start, end, rate, attempt)
		want, waiting := fmt.Sprintf("%d of %d events failed and are in the retry queue", failed, claimed), failed
		if failed == 0 {
			want = fmt.Sprintf(`{"inserted":%d,"failed":0}`, claimed)
		} else if attempt == 3 {
			want, waiting = fmt.Sprintf("%d of %d events failed: 0 are in the retry queue, %d in the dead-letter queue", failed, claimed, failed), 0
		}
		if got := aws.ToString(retry.Cause) + aws.ToString(retry.Output); got != want {
			t.Errorf("retry %d ended with %s, want %s", attempt, got, want)
		}
		s.expectQueue(t, "RetryQueueUrl", waiting, 0)
	}
	if failed == 0 {
		t.Fatal("no event failed its last retry: choose another range")
	}
	dead := s.takeAll(t, "DeadLetterQueueUrl")
	if len(dead) != failed {
		t.Errorf("%d events in the dead-letter queue, want %d", len(dead), failed)
	}
	if rows := s.rows(t, start, end); len(rows)+len(dead) != end-start {
		t.Errorf("%d rows and %d dead letters, want %d together", len(rows), len(dead), end-start)
	}

	// A shard whose invocations crash gives its claims back all the same, and buries those without retries left.
	expectEventsFailed(t, s.execute(t, `{"start_seq":1300,"end_seq":1302,"failure_rate":1}`))
	for range 2 {
		expectEventsFailed(t, s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`))
	}
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data", Times: 2})
	crashed := s.execute(t, `{"start_seq":1310,"end_seq":1320}`)
	s.setFaults(t)
	if got, want := aws.ToString(crashed.Cause), "2 of 12 events failed: 0 are in the retry queue, 2 in the dead-letter queue"; got != want {
		t.Errorf("the run whose claims crashed ended with %s, want %s", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	for _, letter := range s.takeAll(t, "DeadLetterQueueUrl") {
		for name, want := range map[string]string{"Error": "Runtime.ExitError", "ExecutionArn": *crashed.ExecutionArn} {
			if got := aws.ToString(letter.MessageAttributes[name].StringValue); got != want {
				t.Errorf("attribute %s of a dead letter is %q, want %q", name, got, want)
			}
		}
	}
}

func TestParkedMessageOfAShardIsTheEventWithItsErrorAndRun(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	out := s.execute(t, `{"start_seq":2000,"end_seq":2001,"failure_rate":1}`)
	expectEventsFailed(t, out)
	messages := s.takeAll(t, "RetryQueueUrl")
	if len(messages) != 1 {
		t.Fatalf("%d messages parked, want 1", len(messages))
	}
	if parked, err := event.Parse([]byte(*messages[0].Body), ""); err != nil || !parked.Equal(s.sharded(t, *out.ExecutionArn)[0]) {
		t.Errorf("parked %+v, %v, want %+v", parked, err, s.sharded(t, *out.ExecutionArn)[0])
	}
	for name, want := range map[string]string{"Error": "SimulatedFailure", "ExecutionArn": *out.ExecutionArn} {
		if got := aws.ToString(messages[0].MessageAttributes[name].StringValue); got != want {
			t.Errorf("message attribute %s is %q, want %q", name, got, want)
		}
	}
}

// A shard's lines name the run, by which users ask for them, and not the execution of the shard.
func TestEveryLineOfADistributedRunNamesTheRun(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	const start, end, rate = 8000, 8050, 0.5
	failed := stillFailing(start, end, rate, 0)
	since := time.Now()
	first := s.execute(t, `{"start_seq":8000,"end_seq":8050,"failure_rate":0.5}`)
	expectEventsFailed(t, first)
	rows := logRows(t, s, since, "plan-shards", "generate-data", "insert-data")
	lines := map[any]int{}
	for _, row := range rows {
		if row["level"] == nil {
			continue // Lambda's own
		}
		lines[row["message"]]++
		if row["executionArn"] != *first.ExecutionArn {
			t.Errorf("a line names the execution %v, want %s: %v", row["executionArn"], *first.ExecutionArn, row["@message"])
		}
	}
	if want := map[any]int{"concurrency lowered to the reserved concurrency": 1, "shards planned": 1, "shards added up": 1, "events generated": 3, "events inserted": 3, "event failed": failed}; !maps.Equal(lines, want) {
		t.Errorf("lines by message are %v, want %v", lines, want)
	}

	counts := map[string]float64{}
	for _, row := range rows {
		for _, name := range []string{"EventsGenerated", "EventsClaimed", "EventsInserted", "EventsFailed"} {
			if n, ok := row[name].(float64); ok {
				counts[name] += n
			}
		}
	}
	want := map[string]float64{"EventsGenerated": 50, "EventsClaimed": 0, "EventsInserted": float64(50 - failed), "EventsFailed": float64(failed)}
	if !maps.Equal(counts, want) {
		t.Errorf("the lines of the execution count %v, want %v", counts, want)
	}
}

func TestOverlappingDistributedRunsShareTheQueueAndLoseNothing(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	var arns []string
	for i := range int64(3) {
		arns = append(arns, s.start(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.2}`, 3000+50*i, 3050+50*i)))
		arns = append(arns, s.start(t, `{"start_seq":0,"end_seq":0}`))
	}
	var events []event.Event
	for _, arn := range arns {
		s.wait(t, arn)
		events = append(events, s.sharded(t, arn)...)
	}
	if len(events) != 150 {
		t.Fatalf("%d events generated, want 150", len(events))
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectInserted(t, 3000, 3150, events)
}

// All that a run parks would be claimed again by its own shards, and use up its retries in one run, if these ran together.
func TestDistributedRunClaimsOnlyWhatWasThereBeforeIt(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	expectEventsFailed(t, s.execute(t, `{"start_seq":7000,"end_seq":7001,"failure_rate":1}`))
	out := s.execute(t, `{"start_seq":7001,"end_seq":7101,"failure_rate":1}`)
	if got, want := aws.ToString(out.Cause), "101 of 101 events failed and are in the retry queue"; got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	if runs := s.mapRuns(t, *out.ExecutionArn); len(runs) != 2 || runs[0].ItemCounts.Total != 1 || runs[1].ItemCounts.Total != 5 {
		t.Errorf("the run had %d Map Runs, want one of a shard that claims, then one of five", len(runs))
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

func TestBadInputOfADistributedRunIsRefused(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	for _, test := range []struct{ input, kind, cause string }{
		{`{"end_seq":5}`, "InvalidInputError", "start_seq is missing: must be an integer from 0 to 9007199254740991"},
		{`{"start_seq":1,"end_seq":5,"failure_rate":1.5}`, "InvalidInputError", "failure_rate is 1.5: must be a number from 0 to 1"},
		{`{"start_seq":1,"end_seq":10000002}`, "RangeTooLargeError", "end_seq is 10000002: the range of 10000001 events does not fit one run: the largest that fits is 10000000 events (end_seq 10000001); split it into several runs"},
	} {
		out := s.execute(t, test.input)
		expectStatus(t, out, sfntypes.ExecutionStatusFailed)
		var cause struct{ ErrorMessage, ErrorType string }
		if err := json.Unmarshal([]byte(aws.ToString(out.Cause)), &cause); err != nil || cause.ErrorMessage != test.cause || cause.ErrorType != test.kind || aws.ToString(out.Error) != test.kind {
			t.Errorf("%s ended with %s %s, want %s %s", test.input, aws.ToString(out.Error), aws.ToString(out.Cause), test.kind, test.cause)
		}
	}
}

// A killed invocation is tried again: what it had done before does no harm.
func TestShardWhoseFunctionIsKilledIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	before := s.endpoint.FaultCounts()[localaws.FaultKill]
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data", Times: 2})
	out := s.execute(t, `{"start_seq":4000,"end_seq":4060}`)
	s.setFaults(t)
	if killed := s.endpoint.FaultCounts()[localaws.FaultKill] - before; killed != 2 {
		t.Errorf("%d functions killed, want 2", killed)
	}
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	s.expectInserted(t, 4000, 4060, s.sharded(t, *out.ExecutionArn))
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

// A shard that cannot return its failed events must not let its run say that they are in the queue.
func TestShardThatFailsFailsTheRunAndRedriveTakesUpThatShardAlone(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	// The only shard with failed events is the last one, so that the others have ended by then.
	var start int64
	for start = 5000; stillFailing(start, start+100, 0.004, 0) > 0 || stillFailing(start+100, start+110, 0.004, 0) == 0; start++ {
	}
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultError, Operation: "SendMessageBatch"})
	told := s.command(nil, carnation, "run", "--output", "json",
		"--start-seq", fmt.Sprint(start), "--end-seq", fmt.Sprint(start+110), "--failure-rate", "0.004")
	s.setFaults(t)
	var result struct{ Runs []operate.Run }
	if err := json.Unmarshal([]byte(told.stdout), &result); err != nil || len(result.Runs) != 1 || told.code != 2 {
		t.Fatalf("carnation run: %v, %s", err, told)
	}
	failed := result.Runs[0]
	if failed.Error != "States.ExceedToleratedFailureThreshold" || failed.Generated != 110 || *failed.Shards != (operate.Shards{Total: 6, Done: 5, Failed: 1}) {
		t.Errorf("the run is %+v with shards %+v, want 5 of 6 shards done", failed, failed.Shards)
	}
	if !strings.Contains(failed.Cause, "ParkError") || !strings.Contains(failed.Cause, "park failed events: send 1 of 1 messages") {
		t.Errorf("the cause is %s, want that of the shard", failed.Cause)
	}

	invoked := s.count("Invoke", "generate-data") + s.count("Invoke", "insert-data")
	redriven := s.redrive(t, failed.Arn)
	if got, want := aws.ToString(redriven.Cause), "1 of 110 events failed and are in the retry queue"; got != want {
		t.Errorf("after the redrive the cause is %q, want %q", got, want)
	}
	if again := s.count("Invoke", "generate-data") + s.count("Invoke", "insert-data") - invoked; again != 1 {
		t.Errorf("the redrive invoked %d functions, want insert-data of one shard alone", again)
	}
	s.expectQueue(t, "RetryQueueUrl", 1, 0)
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectInserted(t, start, start+110, s.sharded(t, failed.Arn))

	// A run goes on after a function that answered nonsense has been repaired.
	for i, function := range []string{"plan-shards", "generate-data", "insert-data"} {
		first := 5300 + 50*int64(i)
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultGarbage, Function: function})
		out := s.execute(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d}`, first, first+50))
		s.setFaults(t)
		expectStatus(t, out, sfntypes.ExecutionStatusFailed)
		expectStatus(t, s.redrive(t, *out.ExecutionArn), sfntypes.ExecutionStatusSucceeded)
		if rows := s.rows(t, first, first+50); len(rows) != 50 {
			t.Errorf("after nonsense from %s the table has %d of the events, want 50", function, len(rows))
		}
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

func TestRunAndStatusCommandsTellOfADistributedRun(t *testing.T) {
	t.Parallel()
	s := newDistributedStack(t)
	var result struct{ Runs []operate.Run }
	out := s.command(nil, carnation, "run", "--output", "json", "--start-seq", "6000", "--end-seq", "6100", "--failure-rate", "0.1", "--until-empty")
	if err := json.Unmarshal([]byte(out.stdout), &result); err != nil || out.code != 0 {
		t.Fatalf("carnation run: %v, %s", err, out)
	}
	failed := stillFailing(6000, 6100, 0.1, 0)
	if first := result.Runs[0]; first.Generated != 100 || first.Claimed != 0 || first.Inserted != 100-failed || first.Failed != failed || *first.Shards != (operate.Shards{Total: 5, Done: 5}) {
		t.Errorf("the first run is %+v with shards %+v, want %d of 100 events failed in 5 shards", first, first.Shards, failed)
	}
	if second := result.Runs[1]; second.Generated != 0 || second.Claimed != failed || *second.Shards != (operate.Shards{Total: 1, Done: 1}) {
		t.Errorf("the second run is %+v with shards %+v, want %d claimed events in one shard", second, second.Shards, failed)
	}
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultThrottle, Operation: "Invoke", Function: "insert-data"})
	arn := s.start(t, `{"start_seq":6100,"end_seq":6200}`)
	waitFor(t, "carnation status to show the shards", func() bool {
		return strings.Contains(s.run(t, carnation, "status"), "0 of 5 shards done")
	})
	s.setFaults(t)
	expectStatus(t, s.wait(t, arn), sfntypes.ExecutionStatusSucceeded)
}

// A redrive starts an Express shard from its beginning, and it makes the same events again.
func TestRedriveOfAnExpressShardInsertsTheSameEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t, "MapMode=DISTRIBUTED", "ShardExecutionType=EXPRESS")
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultTimeout, Function: "insert-data"}) // after its work
	stopped := s.execute(t, `{"start_seq":10000,"end_seq":10030}`)
	s.setFaults(t)
	expectStatus(t, stopped, sfntypes.ExecutionStatusFailed)
	s.expectInserted(t, 10000, 10030, s.sharded(t, *stopped.ExecutionArn))
	generated := s.count("Invoke", "generate-data")
	expectStatus(t, s.redrive(t, *stopped.ExecutionArn), sfntypes.ExecutionStatusSucceeded)
	if again := s.count("Invoke", "generate-data") - generated; again != 1 {
		t.Errorf("the redrive generated %d times, want once", again)
	}
	s.expectInserted(t, 10000, 10030, s.sharded(t, *stopped.ExecutionArn))
}

// TestReadme and the distributed demo run 5,000 events, in standard executions.
func TestExpressShardsOfAThousandEventsInsertEveryEvent(t *testing.T) {
	t.Parallel()
	s := newStack(t, "MapMode=DISTRIBUTED", "ShardExecutionType=EXPRESS")
	out := s.execute(t, `{"start_seq":0,"end_seq":3000,"failure_rate":0.1}`)
	failed := stillFailing(0, 3000, 0.1, 0)
	if got, want := aws.ToString(out.Cause), fmt.Sprintf("%d of 3000 events failed and are in the retry queue", failed); got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	retry := s.execute(t, `{"start_seq":0,"end_seq":0}`)
	if got, want := aws.ToString(retry.Output), fmt.Sprintf(`{"inserted":%d,"failed":0}`, failed); got != want {
		t.Errorf("retry ended with %s %s, want %s", got, aws.ToString(retry.Cause), want)
	}
	s.expectInserted(t, 0, 3000, s.sharded(t, *out.ExecutionArn))
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}
