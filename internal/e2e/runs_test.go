package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/insert"
	"carnation/internal/localaws"
)

// stillFailing counts the events of a range whose insert is simulated to fail at this attempt and all before.
func stillFailing(start, end int64, rate float64, attempt int) int {
	n := 0
	for seq := start; seq < end; seq++ {
		fails := true
		for a := 0; a <= attempt; a++ {
			fails = fails && insert.Simulated(seq, a, rate)
		}
		if fails {
			n++
		}
	}
	return n
}

func TestFailedEventsAreRetriedUntilARunSucceeds(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const start, end, rate = 1, 61, 0.35
	first := s.execute(t, `{"start_seq":1,"end_seq":61,"failure_rate":0.35}`)
	expectEventsFailed(t, first)
	failed := stillFailing(start, end, rate, 0)
	if got, want := aws.ToString(first.Cause), fmt.Sprintf("%d of 60 events failed and are in the retry queue", failed); got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	events := s.generated(t, *first.ExecutionArn)
	if len(events) != end-start || events[0].SequenceNo != start || events[len(events)-1].SequenceNo != end-1 {
		t.Fatalf("generated %d events, want %d to %d without the end", len(events), start, end)
	}
	s.expectQueue(t, "RetryQueueUrl", failed, 0)
	if rows := s.rows(t, start, end); len(rows) != 60-failed {
		t.Errorf("the table has %d of the events, want %d", len(rows), 60-failed)
	}

	for attempt := 1; failed > 0; attempt++ {
		retry := s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":0.35}`)
		claimed := failed
		failed = stillFailing(start, end, rate, attempt)
		want := sfntypes.ExecutionStatusFailed
		if failed == 0 {
			want = sfntypes.ExecutionStatusSucceeded
			if got, want := aws.ToString(retry.Output), fmt.Sprintf(`{"inserted":%d,"failed":0}`, claimed); !equalJSON(t, got, want) {
				t.Errorf("output is %s, want %s", got, want)
			}
		}
		expectStatus(t, retry, want)
		s.expectQueue(t, "RetryQueueUrl", failed, 0)
	}
	s.expectInserted(t, start, end, events)
	for seq, rows := range s.rows(t, start, end) {
		attempt := 0
		for insert.Simulated(seq, attempt, rate) {
			attempt++
		}
		if rows[0].RetryAttempt != attempt {
			t.Errorf("event %d has retryAttempt %d, want %d", seq, rows[0].RetryAttempt, attempt)
		}
	}
}

func equalJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y map[string]any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Errorf("%q: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Errorf("%q: %v", b, err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

func TestParkedMessageIsTheEventWithItsErrorAndExecution(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	out := s.execute(t, `{"start_seq":100,"end_seq":101,"failure_rate":1}`)
	expectEventsFailed(t, out)
	messages := s.takeAll(t, "RetryQueueUrl")
	if len(messages) != 1 {
		t.Fatalf("%d messages parked, want 1", len(messages))
	}
	parked, err := event.Parse([]byte(*messages[0].Body), "")
	if err != nil {
		t.Fatal(err)
	}
	if generated := s.generated(t, *out.ExecutionArn); !parked.Equal(generated[0]) {
		t.Errorf("parked %+v, generated %+v", parked, generated[0])
	}
	for name, want := range map[string]string{"Error": "SimulatedFailure", "ExecutionArn": *out.ExecutionArn} {
		if got := aws.ToString(messages[0].MessageAttributes[name].StringValue); got != want {
			t.Errorf("message attribute %s is %q, want %q", name, got, want)
		}
	}
}

func TestEventThatFailsEveryTimeReachesTheDeadLetterQueueAfterItsThirdRetry(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	out := s.execute(t, `{"start_seq":200,"end_seq":201,"failure_rate":1}`)
	expectEventsFailed(t, out)
	var last *sfn.DescribeExecutionOutput
	for attempt := range 3 {
		s.expectQueue(t, "RetryQueueUrl", 1, 0)
		s.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
		if attempt == 2 { // the last invocation crashes
			s.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data"})
		}
		last = s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":1,"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn:parent"}`)
		expectEventsFailed(t, last)
	}
	s.setFaults(t)
	if got, want := aws.ToString(last.Cause), "1 of 1 events failed: 0 are in the retry queue, 1 in the dead-letter queue"; got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	dead := s.takeAll(t, "DeadLetterQueueUrl")
	if len(dead) != 1 {
		t.Fatalf("%d messages in the dead-letter queue, want 1", len(dead))
	}
	for name, want := range map[string]string{"Error": "Runtime.ExitError", "ExecutionArn": *last.ExecutionArn} {
		if got := aws.ToString(dead[0].MessageAttributes[name].StringValue); got != want {
			t.Errorf("message attribute %s is %q, want %q", name, got, want)
		}
	}
	if e, err := event.Parse([]byte(*dead[0].Body), ""); err != nil || !e.Equal(s.generated(t, *out.ExecutionArn)[0]) {
		t.Errorf("dead letter is %s (%v)", *dead[0].Body, err)
	}
	s.expectInserted(t, 200, 201, nil)
}

func TestRetryOnlyRunOnAnEmptyQueueSucceedsWithNothingInserted(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	out := s.execute(t, `{"start_seq":0,"end_seq":0}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if got := aws.ToString(out.Output); !equalJSON(t, got, `{"inserted":0,"failed":0}`) {
		t.Errorf("output is %s", got)
	}
}

func TestOverlappingRunsShareTheQueueAndLoseNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var arns []string
	for i := range int64(3) {
		arns = append(arns, s.start(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.3}`, 300+20*i, 320+20*i)))
		arns = append(arns, s.start(t, `{"start_seq":0,"end_seq":0,"failure_rate":0.3}`))
	}
	var events []event.Event
	for _, arn := range arns {
		s.wait(t, arn)
		events = append(events, s.generated(t, arn)...)
	}
	if len(events) != 60 {
		t.Fatalf("%d events generated, want 60", len(events))
	}
	for range 4 {
		if out := s.execute(t, `{"start_seq":0,"end_seq":0}`); out.Status == sfntypes.ExecutionStatusSucceeded {
			break
		}
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
	s.expectInserted(t, 300, 360, events)
}

func TestBadInputFailsTheRunWithItsFieldValueAndWhatIsAllowed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, test := range []struct{ input, kind, cause string }{
		{`{"end_seq":5}`, "InvalidInputError", "start_seq is missing: must be an integer from 0 to 9007199254740991"},
		{`{"start_seq":"1","end_seq":5}`, "InvalidInputError", `start_seq is "1": must be an integer from 0 to 9007199254740991`},
		{`{"start_seq":9,"end_seq":5}`, "InvalidInputError", "end_seq is 5: must be an integer from 9 to 9007199254740991"},
		{`{"start_seq":-1,"end_seq":5}`, "InvalidInputError", "start_seq is -1: must be an integer from 0 to 9007199254740991"},
		{`{"start_seq":1,"end_seq":5,"failure_rate":1.5}`, "InvalidInputError", "failure_rate is 1.5: must be a number from 0 to 1"},
		{`{"start_seq":1,"end_seq":5,"rate":1}`, "InvalidInputError", "rate is unknown: must be one of start_seq, end_seq, events, source, failure_rate, time"},
		{`[1,5]`, "InvalidInputError", "the input is a list: must be a JSON object with the fields start_seq, end_seq, events, source, failure_rate, time"},
		{`{"events":[{"n":8642086420e126}]}`, "RecordError", "record 1 has a number out of range: must have numbers from 1E-130 to 9.99E125, or strings"},
		{`{"events":{"hush":1}}`, "InvalidInputError", "events is an object: must be a list of JSON objects"},
		{`{"start_seq":1,"end_seq":1000000}`, "RangeTooLargeError", fmt.Sprintf("end_seq is 1000000: the range of 999999 events does not fit one run: the largest that fits is %d events (end_seq %d); split it into several runs, or use the distributed mode", generate.MaxItems, generate.MaxItems+1)},
	} {
		out := s.execute(t, test.input)
		expectStatus(t, out, sfntypes.ExecutionStatusFailed)
		if got := aws.ToString(out.Error); got != test.kind {
			t.Errorf("%s: error is %s, want %s", test.input, got, test.kind)
		}
		var cause struct{ ErrorMessage, ErrorType string }
		if err := json.Unmarshal([]byte(aws.ToString(out.Cause)), &cause); err != nil || cause.ErrorMessage != test.cause || cause.ErrorType != test.kind {
			t.Errorf("%s: cause is %s, want the message %s", test.input, aws.ToString(out.Cause), test.cause)
		}
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	// Lambda's runtime logs the errors of functions.
	if logs := s.logs(t, "generate-data"); !strings.Contains(logs, "RangeTooLargeError") || strings.Contains(logs, "64208642") || strings.Contains(logs, "hush") {
		t.Errorf("the log must have the errors, and no records:\n%s", logs)
	}
}

func TestMessageThatIsNotAnEventIsLoggedByIDAndStaysInFlight(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	sent := s.send(t, `{"secret":"hush"}`)
	out := s.execute(t, `{"start_seq":400,"end_seq":402}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	s.expectQueue(t, "RetryQueueUrl", 0, 1)
	s.expectInserted(t, 400, 402, s.generated(t, *out.ExecutionArn))

	logs := s.logs(t, "generate-data")
	if !strings.Contains(logs, sent) {
		t.Errorf("the log does not name message %s", sent)
	}
	if strings.Contains(logs, "hush") {
		t.Error("the log contains the message's body")
	}
}

func TestMessageThatIsNotAnEventMovesToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.setVisibility(t, 1)
	sent := s.send(t, `{"secret":"hush"}`)
	waitFor(t, "the message to be in the dead-letter queue", func() bool {
		expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
		waiting, _ := s.queue(t, "DeadLetterQueueUrl")
		return waiting > 0
	})
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	if dead := s.takeAll(t, "DeadLetterQueueUrl"); len(dead) != 1 || *dead[0].MessageId != sent {
		t.Errorf("%d messages in the dead-letter queue, want message %s", len(dead), sent)
	}
}

// send sends a message to the retry queue and returns its id.
func (d *deployed) send(t testing.TB, body string) string {
	t.Helper()
	sent, err := d.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(d.outputs["RetryQueueUrl"]), MessageBody: aws.String(body)})
	if err != nil {
		t.Fatal(err)
	}
	return *sent.MessageId
}

// setVisibility makes claims end after some seconds: nobody can wait for the 16 minutes of the template.
func (d *deployed) setVisibility(t testing.TB, seconds int) {
	t.Helper()
	_, err := d.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: aws.String(d.outputs["RetryQueueUrl"]), Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(seconds)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKilledFunctionFailsOnlyItsOwnEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	before := s.endpoint.FaultCounts()[localaws.FaultKill]
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data", Share: 0.2})
	out := s.execute(t, `{"start_seq":500,"end_seq":560}`)
	s.setFaults(t)
	killed := s.endpoint.FaultCounts()[localaws.FaultKill] - before
	if killed == 0 {
		t.Fatal("no function was killed")
	}
	expectEventsFailed(t, out)
	if got, want := aws.ToString(out.Cause), fmt.Sprintf("%d of 60 events failed and are in the retry queue", killed); got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", killed, 0)
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectInserted(t, 500, 560, s.generated(t, *out.ExecutionArn))
}

func TestRedriveParksWhatCouldNotBeParked(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultError, Operation: "SendMessage"})
	out := s.execute(t, `{"start_seq":660,"end_seq":670,"failure_rate":1}`)
	s.setFaults(t)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if aws.ToString(out.Error) == "Carnation.EventsFailed" {
		t.Error("the run says that its events are in the retry queue, and they are not")
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	redriven := s.redrive(t, *out.ExecutionArn)
	if got, want := aws.ToString(redriven.Cause), "10 of 10 events failed and are in the retry queue"; got != want {
		t.Errorf("after the redrive the cause is %q, want %q", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", 10, 0)
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectInserted(t, 660, 670, s.generated(t, *out.ExecutionArn))

	// The same run goes on after functions that answered nonsense have been repaired.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultGarbage, Function: "generate-data"})
	out = s.execute(t, `{"start_seq":670,"end_seq":700}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultGarbage, Function: "insert-data"})
	redriven = s.redrive(t, *out.ExecutionArn)
	s.setFaults(t)
	if got, want := aws.ToString(redriven.Cause), "30 of 30 events failed and are in the retry queue"; got != want {
		t.Errorf("after the redrive with nonsense from insert-data the cause is %q, want %q", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", 30, 0)
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	if rows := s.rows(t, 670, 700); len(rows) != 30 {
		t.Errorf("the table has %d of the events, want 30", len(rows))
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

func TestDeployedFunctionsAnswerInvoke(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	invoke := func(function, payload string) (functionError, answer string) {
		t.Helper()
		return s.invoke(t, s.outputs[function], payload)
	}
	item := `{"event":{"sequence_no":450,"random_value":"123e4567-e89b-42d3-a456-426614174000","current_time":1795416822,"start_seq":450,"end_seq":451,"retry_attempt":0}}`
	for range 2 { // the same event twice is one row
		if failure, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":[`+item+`]}`); failure != "" || !equalJSON(t, answer, `{"inserted":1,"dead":0,"failed":[]}`) {
			t.Errorf("insert-data answers %s %s", failure, answer)
		}
	}
	s.expectInserted(t, 450, 451, []event.Event{{SequenceNo: 450, RandomValue: "123e4567-e89b-42d3-a456-426614174000", CurrentTime: 1795416822}})
	if _, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":[`+item+`],"failure_rate":1}`); !equalJSON(t, answer, `{"inserted":0,"dead":0,"failed":[`+strings.TrimSuffix(item, "}")+`,"error":"SimulatedFailure"}]}`) {
		t.Errorf("insert-data answers %s", answer)
	}
	// Another event of the same number and second is a row of its own.
	other := strings.NewReplacer("123e4567", "00000000", "450", "451", "451", "452").Replace(item)
	for _, one := range []string{other, strings.Replace(other, "00000000", "11111111", 1)} {
		if _, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":[`+one+`]}`); !equalJSON(t, answer, `{"inserted":1,"dead":0,"failed":[]}`) {
			t.Errorf("insert-data answers %s", answer)
		}
	}
	if rows := s.rows(t, 451, 452); len(rows[451]) != 2 {
		t.Errorf("two events with the same number and time are %d rows, want 2", len(rows[451]))
	}
	if failure, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":7}`); failure != "Unhandled" || !equalJSON(t, answer, `{"errorMessage":"items is 7: must be a list of items","errorType":"InvalidInputError"}`) {
		t.Errorf("insert-data answers %s %s", failure, answer)
	}
	if failure, answer := invoke("GenerateDataFunctionArn", `{"operation":"GenerateRun","started":"2026-11-26T12:00:00Z","input":{"start_seq":1,"end_seq":1}}`); failure != "" || !equalJSON(t, answer, `{"items":[],"generated":0,"claimed":0,"max_concurrency":10}`) {
		t.Errorf("generate-data answers %s %s", failure, answer)
	}

	name := aws.String(s.outputs["InsertDataFunctionArn"])
	was, err := s.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: name})
	if err != nil {
		t.Fatal(err)
	}
	setVariables := func(variables map[string]string) {
		t.Helper()
		if _, err := s.lambda.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
			FunctionName: name, Environment: &lambdatypes.Environment{Variables: variables},
		}); err != nil {
			t.Fatal(err)
		}
	}
	without := maps.Clone(was.Environment.Variables)
	delete(without, "TABLE_NAME")
	setVariables(without)
	failure, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":[]}`)
	setVariables(was.Environment.Variables)
	if failure != "Unhandled" || !strings.Contains(answer, "Runtime.ExitError") || !strings.Contains(s.logs(t, "insert-data"), "environment variable TABLE_NAME is not set") {
		t.Errorf("without TABLE_NAME insert-data answers %s %s", failure, answer)
	}
	if _, answer := invoke("InsertDataFunctionArn", `{"operation":"InsertItems","run":"arn","items":[]}`); !equalJSON(t, answer, `{"inserted":0,"dead":0,"failed":[]}`) {
		t.Errorf("with TABLE_NAME again insert-data answers %s", answer)
	}
}

// invoke invokes a function.
func (d *deployed) invoke(t testing.TB, function, payload string) (functionError, answer string) {
	t.Helper()
	out, err := d.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(function), Payload: []byte(payload)})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToString(out.FunctionError), string(out.Payload)
}

func TestFiveHundredEventsInOneRun(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	start := time.Now()
	out := s.execute(t, `{"start_seq":1000,"end_seq":1500,"failure_rate":0.1}`)
	expectEventsFailed(t, out)
	took := time.Since(start)
	waiting, _ := s.queue(t, "RetryQueueUrl")
	if want := stillFailing(1000, 1500, 0.1, 0); waiting != want {
		t.Errorf("%d events parked, want %d", waiting, want)
	}
	events := s.generated(t, *out.ExecutionArn)
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectInserted(t, 1000, 1500, events)
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
	t.Logf("500 events took %s", took.Round(100*time.Millisecond))
}

func TestClaimsOfAStoppedRunComeBack(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	failed := s.execute(t, `{"start_seq":600,"end_seq":640,"failure_rate":1}`)
	expectEventsFailed(t, failed)
	s.setVisibility(t, 5)
	arn := s.start(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`)
	waitFor(t, "a claim", func() bool {
		_, inFlight := s.queue(t, "RetryQueueUrl")
		return inFlight > 0
	})
	if _, err := s.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatal(err)
	}
	expectStatus(t, s.wait(t, arn), sfntypes.ExecutionStatusAborted)
	waitFor(t, "all claims to end", func() bool {
		waiting, inFlight := s.queue(t, "RetryQueueUrl")
		return waiting == 40 && inFlight == 0
	})
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	s.expectInserted(t, 600, 640, s.generated(t, *failed.ExecutionArn))
}

func TestCountsAreMetricsAndLogsHoldNoPayload(t *testing.T) {
	t.Parallel()
	s := newStack(t, "MapMaxConcurrency=7", "LambdaReservedConcurrency=3")
	since := time.Now()
	out := s.execute(t, `{"start_seq":700,"end_seq":704,"failure_rate":0.5}`)
	logs := s.logs(t, "insert-data") + s.logs(t, "generate-data")
	for _, want := range []string{`"Namespace":"Carnation"`, `"EventsGenerated":4`, `"EventsInserted":1`, `"EventsFailed":1`, `"EventsClaimed":0`, `"requestId":"`, `"Environment":"devl"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("the logs have no %s", want)
		}
	}
	for _, e := range s.generated(t, *out.ExecutionArn) {
		if strings.Contains(logs, e.RandomValue) {
			t.Errorf("the logs hold the payload of event %d", e.SequenceNo)
		}
	}
	if most := s.answered(t, *out.ExecutionArn).MaxConcurrency; most != 3 {
		t.Errorf("the run inserts %d events at once, want the 3 that LambdaReservedConcurrency lets, not the 7 of MapMaxConcurrency", most)
	}
	lowered := 0
	for _, row := range logRows(t, s, since, "generate-data") {
		if row["message"] == "concurrency lowered to the reserved concurrency" {
			lowered++
			if row["executionArn"] != *out.ExecutionArn || row["value"] != 7.0 || row["reserved"] != 3.0 || row["level"] != "INFO" {
				t.Errorf("a line says %v, want INFO, the execution, 7 lowered to 3", row["@message"])
			}
		}
	}
	if lowered != 1 {
		t.Errorf("%d lines say that the concurrency was lowered, want 1", lowered)
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
}
