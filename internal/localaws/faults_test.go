package localaws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"carnation/internal/localaws/moto"
)

func TestParseFaultsNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{`{"rules":[{"fault":"earthquake"}]}`, `rules[0].fault is "earthquake": must be one of batch, delay, duplicate`},
		{`{"rules":[{"fault":"throttle"},{"fault":"error","share":1.5}]}`, `rules[1].share is 1.5: must be a number from 0 to 1`},
		{`{"rules":[{"fault":"error","body":"("}]}`, `rules[0].body is "(": must be a regular expression: `},
		{`{"rules":[{"fault":"error","nth":-1}]}`, `rules[0].nth is -1: must be an integer from 1`},
		{`{"rules":[{"fault":"error","times":-2}]}`, `rules[0].times is -2: must be an integer from 1`},
		{`{"rules":[{"fault":"delay"}]}`, `rules[0].for is "0s": must be a duration above 0 for delay and outage`},
		{`{"rules":[{"fault":"error","for":"1s"}]}`, `rules[0].for is "1s": must be a duration above 0 for delay and outage`},
		{`{"rules":[{"fault":"delay","for":"soon"}]}`, `duration is "soon": must be a string like "1.5s"`},
		{`{"rules":[{"fault":"delay","for":3}]}`, `duration is 3: must be a string like "1.5s"`},
		{`{"rules":[{"fault":"error","service":"stepfunctions"}]}`, `rules[0].service is "stepfunctions": must be one of cloudformation, cloudwatch,`},
		{`{"rules":[{"fault":"error","chance":1}]}`, `unknown field "chance"`},
		{`{"seed":1} {}`, `must be one JSON object`},
		{`[]`, `faults: `},
	} {
		if _, err := ParseFaults([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("ParseFaults(%s) = %v, want an error with %s", test.file, err, test.want)
		}
	}
	if _, err := ParseFaults([]byte(`{"seed":7,"rules":[{"fault":"delay","service":"sqs","body":"a+","for":"1.5s","share":0.5}]}`)); err != nil {
		t.Error(err)
	}
}

func FuzzParseFaults(f *testing.F) {
	f.Add([]byte(`{"seed":7,"rules":[{"fault":"delay","service":"sqs","operation":"SendMessage","body":"a+","for":"1.5s","share":0.5,"nth":2,"times":3}]}`))
	f.Add([]byte(`{"rules":[{"fault":"outage","for":"-1s"}]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		faults, err := ParseFaults(data)
		if err != nil {
			return
		}
		e := &Endpoint{faults: faultInjector{counts: map[string]int{}}}
		if err := e.SetFaults(faults); err != nil {
			t.Fatalf("SetFaults refuses what ParseFaults accepts: %v", err)
		}
		e.faults.pick(Call{Service: "sqs", Operation: "ReceiveMessage"}, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
	})
}

func TestPickFollowsTheRule(t *testing.T) {
	sent := Call{Service: "sqs", Operation: "SendMessage", Caller: EngineKeyID}
	fired := func(calls int, call Call, rules ...Rule) (which []int) {
		f := &faultInjector{counts: map[string]int{}}
		f.set(Faults{Seed: 1, Rules: rules})
		for i := range calls {
			if rule, _ := f.pick(call, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(fmt.Sprintf(`{"call":%d}`, i+1)))); rule.Fault != "" {
				which = append(which, i+1)
			}
		}
		return which
	}
	for _, test := range []struct {
		rule Rule
		want []int
	}{
		{Rule{Fault: FaultError}, []int{1, 2, 3, 4, 5}},
		{Rule{Fault: FaultError, Nth: 3}, []int{3}},
		{Rule{Fault: FaultError, Times: 2}, []int{1, 2}},
		{Rule{Fault: FaultError, Service: "dynamodb"}, nil},
		{Rule{Fault: FaultError, Service: "sqs", Operation: "SendMessage", Caller: "states"}, []int{1, 2, 3, 4, 5}},
		{Rule{Fault: FaultError, Caller: "insert-data"}, nil},
		{Rule{Fault: FaultError, Service: "cloudwatch"}, nil},
		{Rule{Fault: FaultInvalid, Body: `"call":[24]}`}, []int{2, 4}},
		{Rule{Fault: FaultInvalid, Body: `"call":[24]}`, Nth: 2}, []int{4}},
		{Rule{Fault: FaultInvalid, Body: `"call":[24]}`, Service: "dynamodb"}, nil},
		{Rule{Fault: FaultReceive}, nil},
		{Rule{Fault: FaultKill}, nil},
	} {
		if got := fired(5, sent, test.rule); !slices.Equal(got, test.want) {
			t.Errorf("%+v fires on calls %v, want %v", test.rule, got, test.want)
		}
	}
	if got := fired(1, Call{Service: "monitoring", Operation: "PutMetricData"}, Rule{Fault: FaultError, Service: "cloudwatch"}); len(got) != 1 {
		t.Error("a rule for cloudwatch does not apply to a call of CloudWatch")
	}
	half := Rule{Fault: FaultError, Share: 0.3}
	first := fired(10_000, sent, half)
	if len(first) < 2800 || len(first) > 3200 {
		t.Errorf("a share of 0.3 fires on %d of 10,000 calls", len(first))
	}
	if !slices.Equal(first, fired(10_000, sent, half)) {
		t.Error("the same seed gives different faults")
	}
}

// TestFaultsAsAClientSeesThem has a queue on a local AWS, and a client that does not retry.
func TestFaultsAsAClientSeesThem(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts moto")
	}
	t.Parallel()
	e, err := Start(t.Context(), Options{Python: moto.Python("../..")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(e.URL), Region: Region, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "local", ""),
	})
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	send := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: created.QueueUrl, MessageBody: aws.String("hello")})
		return err
	}
	receive := func(n int32) []types.Message {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: created.QueueUrl, MaxNumberOfMessages: n})
		if err != nil {
			t.Fatal(err)
		}
		return out.Messages
	}
	empty := func() {
		for {
			messages := receive(10)
			if len(messages) == 0 {
				return
			}
			for _, m := range messages {
				if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: created.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	with := func(rule Rule) {
		if err := e.SetFaults(Faults{Rules: []Rule{rule}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		rule Rule
		code string // of the error, empty when the connection breaks
		sent int    // messages that are in the queue nevertheless
	}{
		{Rule{Fault: FaultThrottle}, "RequestThrottled", 0},
		{Rule{Fault: FaultInvalid, Body: `"MessageBody":"hel+o"`}, "InvalidParameterValue", 0},
		{Rule{Fault: FaultError}, "InternalError", 0},
		{Rule{Fault: FaultUnavailable}, "ServiceUnavailable", 0},
		{Rule{Fault: FaultResetBefore}, "", 0},
		{Rule{Fault: FaultResetAfter}, "", 1},
		{Rule{Fault: FaultDelay, For: Duration(time.Minute)}, "", 1},
		{Rule{Fault: FaultOutage, For: Duration(time.Minute)}, "", 0},
	} {
		with(test.rule)
		timeout := 30 * time.Second
		if test.rule.Fault == FaultDelay {
			timeout = time.Second
		}
		err := send(timeout)
		with(Rule{Fault: FaultError, Service: "none"})
		var api smithy.APIError
		code := ""
		if errors.As(err, &api) {
			code = api.ErrorCode()
		}
		if err == nil || code != test.code {
			t.Errorf("%s: send gives %v, want %q", test.rule.Fault, err, test.code)
		}
		if got := len(receive(10)); got != test.sent {
			t.Errorf("%s: %d messages in the queue, want %d", test.rule.Fault, got, test.sent)
		}
		if _, err := client.PurgeQueue(context.WithoutCancel(t.Context()), &sqs.PurgeQueueInput{QueueUrl: created.QueueUrl}); err != nil {
			t.Fatal(err)
		}
	}

	with(Rule{Fault: FaultDelay, Operation: "SendMessage", For: Duration(time.Hour)})
	delayed := make(chan error, 1)
	go func() { delayed <- send(30 * time.Second) }()
	for len(receive(1)) == 0 && len(delayed) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	with(Rule{Fault: FaultError, Service: "none"})
	if err := <-delayed; err != nil {
		t.Errorf("%s: send gives %v, want its answer when other faults are set", FaultDelay, err)
	}
	if _, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: created.QueueUrl}); err != nil {
		t.Fatal(err)
	}

	for range 5 {
		if err := send(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	with(Rule{Fault: FaultReceive, Times: 1})
	if got := len(receive(10)); got != 1 {
		t.Errorf("%s: got %d of 5 messages, want 1", FaultReceive, got)
	}
	with(Rule{Fault: FaultDuplicate, Times: 1})
	first, second := receive(10), receive(10)
	if len(first) != 4 || len(second) != 4 {
		t.Errorf("%s: received %d and then %d messages, want 4 twice", FaultDuplicate, len(first), len(second))
	}
	with(Rule{Fault: FaultBatch, Times: 1})
	in := &sqs.DeleteMessageBatchInput{QueueUrl: created.QueueUrl}
	for _, m := range second {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
	}
	out, err := client.DeleteMessageBatch(t.Context(), in)
	if err != nil || len(out.Failed) != 2 || len(out.Successful) != 2 {
		t.Errorf("%s: %+v, %v, want 2 deleted and 2 failed", FaultBatch, out, err)
	}
	empty()
	for _, kind := range []string{FaultThrottle, FaultResetAfter, FaultDelay, FaultBatch, FaultDuplicate, FaultReceive, FaultOutage} {
		if e.FaultCounts()[kind] == 0 {
			t.Errorf("%s is not counted", kind)
		}
	}
}

func TestFaultsOfInvocations(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	for _, test := range []struct{ fault, errorType, message string }{
		{FaultKill, "Runtime.ExitError", "signal: killed"},
		{FaultTimeout, "Sandbox.Timedout", "Task timed out after 2.00 seconds"},
	} {
		h.fault = test.fault
		if a := h.call(t, `{"do":"nap"}`); a.errorHeader != "Unhandled" || a.errorType != test.errorType || !strings.Contains(a.message, test.message) {
			t.Errorf("%s: %+v, want %s: %s", test.fault, a, test.errorType, test.message)
		}
	}
	h.fault = FaultGarbage
	if a := h.raw(t, `{}`); strings.Contains(a, "pid") {
		t.Errorf("%s: the answer makes sense: %s", FaultGarbage, a)
	}
	h.fault = ""
	if a := h.call(t, `{}`); a.errorHeader != "" {
		t.Errorf("the invocation after the faults failed: %s", a.body)
	}
}

func TestDocumentedFaults(t *testing.T) {
	const file = "docs/reliability.md"
	text, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	if faults, err := ParseFaults([]byte(example)); err != nil || len(faults.Rules) == 0 {
		t.Errorf("%s shows %s: %v", file, example, err)
	}
	for _, kind := range FaultKinds() {
		if !strings.Contains(string(text), "`"+kind+"`") {
			t.Errorf("%s does not describe the fault %s", file, kind)
		}
	}
}
