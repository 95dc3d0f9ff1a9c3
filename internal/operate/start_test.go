package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
)

func TestStartWithoutANameAlwaysStartsAnExecution(t *testing.T) {
	f, s := newFakeAWS(t)
	first, second := &execution{}, &execution{}
	f.executing(first, second)
	time := int64(1795416800)
	input := event.Input{Events: []json.RawMessage{json.RawMessage(`{"a": "<ü>"}`)}, Time: &time, Run: event.Run{FailureRate: 0.5}}
	for _, want := range []string{"arn:execution:0", "arn:execution:1"} {
		if arn, again, err := s.Start(t.Context(), input, ""); arn != want || again || err != nil {
			t.Errorf("Start() = %s, %t, %v, want %s", arn, again, err, want)
		}
	}
	if want := `{"events":[{"a":"<ü>"}],"failure_rate":0.5,"time":1795416800}`; first.startedWithInput != want {
		t.Errorf("input = %s, want %s", first.startedWithInput, want)
	}
}

// Step Functions starts nothing twice while an execution runs, and refuses its name once it has ended.
func TestTheSameNameAndInputStartNothingTwice(t *testing.T) {
	const arn = "arn:aws:states:eu-central-2:123456789012:execution:machine:nightly"
	input := event.Input{Run: event.Run{StartSeq: 1, EndSeq: 5}}
	const sameInput = `{"start_seq":1,"end_seq":5,"failure_rate":0}`
	for _, tc := range []struct {
		name     string
		existing []string // the input of the execution when it is looked up; "" if there is none
		start    string   // the error of StartExecution
		want     string
		again    bool
		wantErr  string
		calls    []string
	}{
		{"new", []string{""}, "", arn, false, "<nil>", []string{"DescribeExecution", "StartExecution"}},
		{"started before", []string{sameInput}, "", arn, true, "<nil>", []string{"DescribeExecution"}},
		{"started before with another input", []string{`{}`}, "", "", true,
			"execution nightly was started with another input at 2026-11-23 06:53:42 UTC: choose another name", []string{"DescribeExecution"}},
		{"started and ended meanwhile", []string{"", sameInput}, "ExecutionAlreadyExists", arn, true, "<nil>",
			[]string{"DescribeExecution", "StartExecution", "DescribeExecution"}},
		{"refused", []string{""}, "ExecutionLimitExceeded", "", false, "start execution: ", []string{"DescribeExecution", "StartExecution"}},
		{"refused without a reason", []string{"", ""}, "ExecutionAlreadyExists", "", true, "start execution: ",
			[]string{"DescribeExecution", "StartExecution", "DescribeExecution"}},
	} {
		f, s := newFakeAWS(t)
		s.StateMachineArn = "arn:aws:states:eu-central-2:123456789012:stateMachine:machine"
		f.answer["DescribeExecution"] = func(input map[string]any) (any, error) {
			if input["executionArn"] != arn {
				t.Errorf("%s: described %v, want %s", tc.name, input, arn)
			}
			existing := tc.existing[0]
			tc.existing = tc.existing[1:]
			if existing == "" {
				return nil, errors.New("ExecutionDoesNotExist")
			}
			return map[string]any{"executionArn": arn, "status": "SUCCEEDED", "input": existing, "startDate": 1795416822}, nil
		}
		f.answer["StartExecution"] = func(input map[string]any) (any, error) {
			if input["name"] != "nightly" || input["input"] != sameInput {
				t.Errorf("%s: started %v", tc.name, input)
			}
			if tc.start != "" {
				return nil, errors.New(tc.start)
			}
			return map[string]any{"executionArn": arn, "startDate": 1795416822}, nil
		}
		got, again, err := s.Start(t.Context(), input, "nightly")
		if got != tc.want || again != tc.again || !startsWith(err, tc.wantErr) {
			t.Errorf("%s: Start() = %s, %t, %v, want %s, %t, %s", tc.name, got, again, err, tc.want, tc.again, tc.wantErr)
		}
		if !slices.Equal(f.calls, tc.calls) {
			t.Errorf("%s: calls = %v, want %v", tc.name, f.calls, tc.calls)
		}
	}
}

// startsWith tells whether an error, as it is printed, begins with this.
func startsWith(err error, begin string) bool {
	return strings.HasPrefix(fmt.Sprint(err), begin)
}
