package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// stateLimit is the most data that Step Functions passes from state to state, in bytes.
const stateLimit = 256 << 10

// waiting is a retry queue with this many failed events. A negative number is an error.
type waiting int

func (w waiting) Waiting(context.Context) (int, error) {
	if w < 0 {
		return 0, errors.New("AccessDenied")
	}
	return int(w), nil
}

var silent = slog.New(slog.DiscardHandler)

func plan(t *testing.T, queue waiting, size int64, input string) *Planned {
	t.Helper()
	h := &Handler{Queue: queue, Logger: silent, Size: size, Concurrency: environment.Concurrency{Value: 10}, FailureInjection: true}
	answer, err := h.Handle(t.Context(), runOf(input))
	if err != nil {
		t.Fatalf("Handle(%s): %v", input, err)
	}
	return answer.Planned
}

// runOf is the request to plan a run with this input.
func runOf(input string) json.RawMessage {
	return json.RawMessage(`{"operation":"PlanRun","input":` + input + `,"started":"2026-11-26T12:00:00Z"}`)
}

func TestShardsHaveTheWholeRangeInOrderOnce(t *testing.T) {
	for _, tc := range []struct {
		waiting               waiting
		size, start, end      int64
		claimers, shards, per int
	}{
		{0, 1000, 1, 21, 0, 1, 20},
		{0, 10, 0, 100, 0, 10, 10},
		{0, 10, 5, 106, 0, 11, 10},
		{0, 1000, 7, 7, 1, 1, 0},
		{1, 1000, 7, 7, 1, 1, 0},
		{1, 1000, 1, 21, 1, 2, 20},
		{200, 1000, 0, 2000, 1, 3, 1000},
		{201, 1000, 0, 2000, 2, 4, 1000},
		{10_000_000, 1000, 0, 0, 500, 500, 0},
		{10_000_000, 1000, 0, 10_000_000, 500, 10_500, 1000},
		{0, 100, 0, 10_000_000, 0, 10_000, 1000},
		{0, 1, 0, 10_001, 0, 5001, 2},
		{0, 1000, event.MaxSequenceNo - 1, event.MaxSequenceNo, 0, 1, 1},
	} {
		planned := plan(t, tc.waiting, tc.size, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d}`, tc.start, tc.end))
		p := planned.Plan
		numbers := slices.Concat(planned.First, planned.Then)
		if p.Claimers != tc.claimers || p.Shards() != tc.shards || len(numbers) != tc.shards || len(planned.First) == 0 {
			t.Errorf("%+v: %d shards, %d of them claim, %d and %d to take up", tc, p.Shards(), p.Claimers, len(planned.First), len(planned.Then))
		}
		next := tc.start
		for i, number := range numbers {
			start, end := p.Range(number)
			switch {
			case number != i:
				t.Fatalf("%+v: shard %d is taken up as number %d", tc, number, i)
			case number < p.Claimers && (start != end || !slices.Contains(planned.First, number)):
				t.Fatalf("%+v: shard %d claims, has %d to %d, and is not among the first", tc, number, start, end)
			case number >= p.Claimers && (start != next || end <= start || end-start > int64(tc.per)):
				t.Fatalf("%+v: shard %d has %d to %d, want up to %d events from %d", tc, number, start, end, tc.per, next)
			}
			next = end
			if number < p.Claimers {
				next = tc.start
			}
		}
		if next != tc.end {
			t.Errorf("%+v: the shards end at %d", tc, next)
		}
	}
}

func TestRangesAboveTenMillionEventsAreRefused(t *testing.T) {
	h := &Handler{Queue: waiting(0), Logger: silent, Size: 1000}
	_, err := h.Handle(t.Context(), runOf(`{"start_seq":5,"end_seq":10000006}`))
	var tooLarge *event.RangeTooLargeError
	want := "end_seq is 10000006: the range of 10000001 events does not fit one run: the largest that fits is 10000000 events (end_seq 10000005); split it into several runs"
	if !errors.As(err, &tooLarge) || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestBadInputIsRefusedByItsField(t *testing.T) {
	const good = `{"start_seq":0,"end_seq":20,"failure_rate":0,"claimers":1,"claim_until":0,"shard_size":10,"current_time":1795416822,"seed":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"}`
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in the plan", old)
		}
		return `{"operation":"AddUpShards","plan":` + strings.Replace(good, old, new, 1) + `,"results":{"first":[[0,0,0]],"last":[[10,0,0],[8,1,1]]}}`
	}
	for _, tc := range []struct{ input, want string }{
		{string(runOf(`{"start_seq":1}`)), "end_seq is missing: must be an integer from 1 to 9007199254740991"},
		{string(runOf(`{"start_seq":1,"end_seq":2,"failure_rate":0.5}`)), "failure_rate is 0.5: must be 0, because the stack's parameter FailureInjection is disabled"},
		{string(runOf(`{"start_seq":1,"end_seq":2,"shards":3}`)), "shards is unknown: must be one of start_seq, end_seq, events, source, failure_rate, time"},
		{change(`"end_seq":20`, `"end_seq":10000001`), "plan.end_seq is 10000001: must be an integer from 0 to 10000000"},
		{change(`"shard_size":10`, `"shard_size":0`), "plan.shard_size is 0: must be an integer from 1 to 1000"},
		{change(`"claimers":1`, `"claimers":501`), "plan.claimers is 501: must be an integer from 0 to 500"},
		{change(`"seed":"0f6f`, `"seed":"xxxx`), `plan.seed is "xxxx3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a": must be a UUID`},
		{change(`"current_time":1795416822,`, ``), "plan.current_time is missing: must be an integer from 0 to 9007199254740991"},
		{`{"operation":"AddUpShards","plan":` + good + `,"results":[[10,0,0],[10,0,0]]}`, "results is [[10,0,0],[10,0,0]]: must be lists of [inserted, returned, dead] for 3 shards in total"},
		{`{"operation":"AddUpShards","plan":` + good + `,"results":{"first":[[0,0,0]],"last":[[10,0,0]]}}`, `results is {"first":[[0,0,0]],"last":[[10,0,0]]}: must be lists of [inserted, returned, dead] for 3 shards in total`},
		{`{"operation":"AddUpShards","plan":` + good + `,"results":{"first":[[0,0,0]],"last":[[10,0,0],[20,0]]}}`, "results[2] is [20 0]: must be [inserted, returned, dead], three integers from 0 to 10000000"},
		{`{"operation":"AddUpShards","plan":` + good + `,"results":{"first":[[0,0,0]],"last":[[10,0,0],[20,-10,0]]}}`, "results[2] is [20 -10 0]: must be [inserted, returned, dead], three integers from 0 to 10000000"},
		{`{"operation":"AddUpShards","plan":` + good + `,"results":{"first":[["0",0,0]],"last":[]}}`, `results is {"first":[["0",0,0]],"last":[]}: must be lists of [inserted, returned, dead] for 3 shards in total`},
	} {
		h := &Handler{Queue: waiting(0), Logger: silent, Size: 10}
		_, err := h.Handle(t.Context(), json.RawMessage(tc.input))
		var invalid *event.InvalidInputError
		if !errors.As(err, &invalid) || err.Error() != tc.want {
			t.Errorf("Handle(%s) error = %v, want %s", tc.input, err, tc.want)
		}
	}
}

func TestAQueueThatCannotBeCountedFailsTheRunBeforeItBegins(t *testing.T) {
	h := &Handler{Queue: waiting(-1), Logger: silent, Size: 10}
	_, err := h.Handle(t.Context(), runOf(`{"start_seq":1,"end_seq":2}`))
	if want := "count failed events: AccessDenied"; fmt.Sprint(err) != want || fmt.Sprintf("%T", err) != "*shard.CountError" {
		t.Errorf("error = %T %v, want %s", err, err, want)
	}
}

// A single shard has no time limit: no other shard of its run can claim what it releases. The time of the events may be any.
func TestEachRoundOfShardsThatClaimHasTimeForIt(t *testing.T) {
	for _, tc := range []struct {
		waiting
		concurrency, want int64
	}{
		{0, 10, 0}, {200, 10, 0}, {201, 10, 10}, {2000, 10, 10}, {2001, 10, 15}, {10_000_000, 10, 255},
		{10_000_000, 1000, 10}, {10_000_000, 1, 900}, // the longest time that a release can wait
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &Handler{Queue: tc.waiting, Logger: silent, Size: 1000, Concurrency: environment.Concurrency{Value: tc.concurrency}}
			answer, err := h.Handle(t.Context(), runOf(`{"start_seq":0,"end_seq":0,"time":7}`))
			if err != nil {
				t.Fatal(err)
			}
			planned := answer.Planned
			got := planned.Plan.ClaimUntil
			if got != 0 {
				got -= time.Now().Unix()
			}
			if got != tc.want || planned.MaxConcurrency != tc.concurrency || planned.Plan.CurrentTime != 7 {
				t.Errorf("%+v: %d shards claim for %d s, %d at once, want %d s", tc, planned.Plan.Claimers, got, planned.MaxConcurrency, tc.want)
			}
		})
	}
}

func TestOutcomeAddsUpAllShards(t *testing.T) {
	planned := plan(t, 201, 10, `{"start_seq":0,"end_seq":25}`) // two shards that claim, three with the range
	for _, tc := range []struct{ results, want string }{
		{`{"first":[[3,1,0],[0,0,0]],"last":[[10,0,0],[9,1,0],[0,3,2]]}`, `{"inserted":22,"failed":7,"returned":5,"dead":2} <nil>`},
		{`{"first":[],"last":[[0,0,0],[0,0,0],[10,0,0],[10,0,0],[5,0,0]]}`, `{"inserted":25,"failed":0,"returned":0,"dead":0} <nil>`},
		{`{"first":[[0,0,0],[3,1,2]],"last":[[5,0,0],[10,0,0],[9,1,0]]}`, `{"inserted":27,"failed":4,"returned":2,"dead":2} <nil>`},
		{`{"first":[[3,1,0],[0,0,0]],"last":[[10,0,0],[9,0,0],[5,0,0]]}`, `null the shards account for 24 of 25 events`},
		{`{"first":[[3,1,0],[0,0,0]],"last":[[10,0,0],[10,0,0],[4,0,0]]}`, `null the shards account for 24 of 25 events`},
		{`{"first":[[3,1,0],[0,0,0]],"last":[[10,0,0],[10,0,0],[5,0,1]]}`, `null the shards account for 26 of 25 events`},
	} {
		input, err := json.Marshal(map[string]any{"operation": AddUpShards, "plan": planned.Plan, "results": json.RawMessage(tc.results)})
		if err != nil {
			t.Fatal(err)
		}
		outcome, err := (&Handler{Logger: silent}).Handle(t.Context(), input)
		data, jsonErr := json.Marshal(outcome)
		if got := fmt.Sprintf("%s %v", data, err); got != tc.want || jsonErr != nil {
			t.Errorf("outcome of %s = %s, want %s", tc.results, got, tc.want)
		}
	}
}

// The largest run has as many shards as possible, and every event of each has failed.
func TestLargestPlanAndOutcomeFitTheState(t *testing.T) {
	largest := plan(t, 10_000_000, 1000, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.12345678901234567}`, int64(event.MaxSequenceNo-event.MaxEvents), int64(event.MaxSequenceNo)))
	results := func(n, each int) (list [][3]int) {
		for range n {
			list = append(list, [3]int{each, each, each}) // more digits than real results have
		}
		return list
	}
	claimed, ranges := results(len(largest.First), event.MaxShardClaims), results(len(largest.Then), event.MaxShardSize)
	// The states of the state machine, by what they have in them.
	states := map[string]any{
		"Plan Shards' answer, in Lambda's envelope": map[string]any{"ExecutedVersion": "$LATEST", "Payload": largest, "SdkHttpMetadata": strings.Repeat("x", 2000)},
		"after the shards that claim":               map[string]any{"plan": largest.Plan, "shards": largest.First, "then": largest.Then, "results": map[string]any{"first": []int{}, "last": claimed}, "max_concurrency": 10_000},
		"after the range":                           map[string]any{"plan": largest.Plan, "shards": largest.Then, "then": []int{}, "results": map[string]any{"first": claimed, "last": ranges}, "max_concurrency": 10_000},
		"what Add Up Shards is given":               map[string]any{"operation": AddUpShards, "plan": largest.Plan, "results": map[string]any{"first": claimed, "last": ranges}},
	}
	run := "arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:" + strings.Repeat("m", 80) + ":" + strings.Repeat("e", 80)
	states["Add Up Shards' whole call"] = map[string]any{
		"FunctionName":  "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + strings.Repeat("f", 64),
		"ClientContext": []byte(`{"custom":{"executionArn":"` + run + `"}}`),
		"Payload":       states["what Add Up Shards is given"],
	}
	for name, state := range states {
		data, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > stateLimit {
			t.Errorf("%s: %d bytes, want at most %d", name, len(data), stateLimit)
		}
		t.Logf("%s: %d bytes", name, len(data))
	}
	if len(largest.First) != 500 || len(largest.Then) != 10_000 {
		t.Errorf("%d and %d shards, want 500 and 10,000", len(largest.First), len(largest.Then))
	}
	thirds := make([][3]int, len(largest.Then))
	for i := range thirds {
		thirds[i] = [3]int{500, 300, 200}
	}
	input, err := json.Marshal(map[string]any{"operation": AddUpShards, "plan": largest.Plan, "results": map[string]any{"first": claimed, "last": thirds}})
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := (&Handler{Logger: silent}).Handle(t.Context(), input)
	if want := (Outcome{Inserted: 100_000 + 5_000_000, Failed: 200_000 + 5_000_000, Returned: 100_000 + 3_000_000, Dead: 100_000 + 2_000_000}); err != nil || *outcome.Outcome != want {
		t.Errorf("outcome = %+v, %v, want %+v", outcome.Outcome, err, want)
	}
}
