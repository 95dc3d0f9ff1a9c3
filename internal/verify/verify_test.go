package verify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"carnation/internal/event"
	"carnation/internal/operate"
)

func TestOnlyACompleteDevlOrTestStackIsVerified(t *testing.T) {
	for _, tc := range []struct{ environment, state, want string }{
		{"prod", "CREATE_COMPLETE", `stack s has the Environment "prod": must be devl or test`},
		{"", "CREATE_COMPLETE", `stack s has the Environment "": must be devl or test`},
		{"devl", "UPDATE_IN_PROGRESS", "stack s is UPDATE_IN_PROGRESS: it must be complete"},
		{"test", "ROLLBACK_FAILED", "stack s is ROLLBACK_FAILED: it must be complete"},
	} {
		stack := &operate.Stack{Name: "s", State: tc.state, Parameters: map[string]string{"Environment": tc.environment}, Config: aws.Config{Region: "eu-central-2"}}
		report, err := Run(t.Context(), stack, nil, func(string) {})
		if !strings.HasPrefix(fmt.Sprint(err), tc.want) || len(report.Checks) != 0 {
			t.Errorf("Run() of a %s stack that is %s = %d checks, %v, want %s", tc.environment, tc.state, len(report.Checks), err, tc.want)
		}
	}
}

func TestUnknownCheckIsRefused(t *testing.T) {
	_, err := Run(t.Context(), &operate.Stack{}, []string{"insert", "inserts"}, func(string) {})
	if want := `check is "inserts": must be one of insert, retry, `; !strings.HasPrefix(fmt.Sprint(err), want) {
		t.Errorf("Run() error = %v, want %s", err, want)
	}
}

func TestCheckSaysWhetherItHeld(t *testing.T) {
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("Ctrl-C"))
	for _, tc := range []struct {
		ctx  context.Context
		err  error
		held Held
		seen string
	}{
		{t.Context(), nil, Yes, "seen"},
		{t.Context(), errors.New("no row"), No, "no row"},
		{t.Context(), notChecked("there is no %s", "log"), NotChecked, "there is no log"},
		{stopped, errors.New("canceled"), NotChecked, "stopped before the end"},
	} {
		v := &verifier{progress: func(string) {}}
		got := v.check(tc.ctx, check{"name", "claim", func(*verifier, context.Context) (string, error) { return "seen", tc.err }})
		if got.Held != tc.held || got.Seen != tc.seen || got.Check != "name" || got.Claim != "claim" {
			t.Errorf("check with error %v = %+v, want %s: %s", tc.err, got, tc.held, tc.seen)
		}
	}
}

func TestReportIsATableWithoutAccounts(t *testing.T) {
	at := time.Date(2026, 11, 26, 9, 30, 0, 0, time.UTC)
	r := Report{Stack: "carnation-devl", Region: "eu-central-2", Mode: "inline", Endpoint: "AWS", Templates: "cft-1", Version: "v1", Started: at, Seconds: 61.2}
	r.add(Result{"insert", "a run inserts", Yes, "5 events", at, 1.25})
	r.add(Result{"alarm", "it is delivered", No, "no action\nin arn:aws:sns:eu-central-2:123456789012:alarms | 9001795685888000", at, 60})
	r.add(Result{"metrics", "they come", NotChecked, "local", at, 0})
	var out strings.Builder
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	const want = `stack carnation-devl, inline, AWS, eu-central-2; carnation v1, templates cft-1; 2026-11-26 09:30:00 UTC

| held        | at (UTC) | took   | check   | what it says    | what was seen |
| --- | --- | --- | --- | --- | --- |
| yes         | 09:30:00 | 1.2 s  | insert  | a run inserts   | 5 events |
| NO          | 09:30:00 | 60.0 s | alarm   | it is delivered | no action in arn:aws:sns:eu-central-2:ACCOUNT:alarms \| 9001795685888000 |
| not checked | 09:30:00 | 0.0 s  | metrics | they come       | local |

1 held, 1 did not, 1 not checked, in 61 s
`
	if got := out.String(); got != want {
		t.Errorf("Print() printed\n%s\nwant\n%s", got, want)
	}
	if r.AllHeld() {
		t.Error("AllHeld() = true, want false: a check did not hold")
	}
}

func TestOnlyMessagesOfThisVerificationAreMine(t *testing.T) {
	v := &verifier{first: 9_001_795_685_888_000, next: 9_001_795_685_888_003}
	body := func(seq int64) string {
		return fmt.Sprintf(`{"sequence_no":%d,"random_value":"r","current_time":1,"start_seq":1,"end_seq":2,"retry_attempt":0}`, seq)
	}
	for _, tc := range []struct {
		body string
		want bool
	}{
		{body(v.first), true},
		{body(v.next - 1), true},
		{body(v.first - 1), false},
		{body(v.next), false},
		{body(v.first * 10), false}, // begins with the same digits
		{v.foreign(), true},
		{(&verifier{first: 1}).foreign(), false},
		{`{}`, false},
	} {
		if got := v.isMyMessage(tc.body); got != tc.want {
			t.Errorf("isMyMessage(%s) = %t, want %t", tc.body, got, tc.want)
		}
	}
	if v.isMine(event.Event{SequenceNo: v.first - 1}) || !v.isMine(event.Event{SequenceNo: v.first}) || v.isMine(event.Event{SequenceNo: v.next}) {
		t.Error("isMine() takes other sequence numbers than those of the range")
	}
}

func TestSequenceNumbersFitAndAreNotNegative(t *testing.T) {
	const year2100 = 4_102_444_800
	if last := int64(9_000_000_000_000_000) + 1000*year2100 + sequenceNos; last > event.MaxSequenceNo {
		t.Errorf("in the year 2100 the numbers go up to %d, want at most %d", last, int64(event.MaxSequenceNo))
	}
}

func TestLocalAWSIsRecognisedByItsAddress(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": false, "http://127.0.0.1:4566": true, "http://localhost:4566": true, "http://[::1]:1": true, "https://sqs.eu-central-2.amazonaws.com": false, "http://10.0.0.1": false,
	} {
		if got := isLocal(endpoint); got != want {
			t.Errorf("isLocal(%q) = %t, want %t", endpoint, got, want)
		}
	}
}

func TestLineHasFields(t *testing.T) {
	want := map[string]any{"message": "event failed", "sequenceNo": 7.0}
	for line, has := range map[string]bool{
		`{"message":"event failed","sequenceNo":7,"error":"x"}`: true,
		`{"message":"event failed","sequenceNo":8}`:             false,
		`{"message":"event failed"}`:                            false,
		`START RequestId: 1`:                                    false,
	} {
		if got := hasFields(line, want); got != has {
			t.Errorf("hasFields(%s) = %t, want %t", line, got, has)
		}
	}
}

func TestUntilSaysWhatItSawLast(t *testing.T) {
	v := &verifier{progress: func(string) {}}
	err := v.until(t.Context(), time.Millisecond, "the row", func(context.Context) (bool, string, error) { return false, "there are 2", nil })
	if !regexp.MustCompile(`^the row: not within 1ms: there are 2$`).MatchString(fmt.Sprint(err)) {
		t.Errorf("until() error = %v", err)
	}
}

func TestWhatWasPutBackIsNotPutBackAgain(t *testing.T) {
	v := &verifier{}
	var done []string
	first := v.later("first", func(context.Context) error { done = append(done, "first"); return nil })
	v.later("second", func(context.Context) error { return errors.New("refused") })
	if err := first(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(v.undo) != 1 || v.undo[0].what != "second" || len(done) != 1 {
		t.Errorf("after the first was put back, %d are left, and %v was done", len(v.undo), done)
	}
}
