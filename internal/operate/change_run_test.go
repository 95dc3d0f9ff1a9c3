package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

const changedRun = "arn:aws:states:eu-central-2:1:execution:machine:orders"

// changing is a stack with one run, which has this history and description.
func changing(t *testing.T, h *fakeHistory, described map[string]any) (*fakeAWS, *Stack) {
	f, s := newFakeAWS(t)
	s.StateMachineArn = "arn:aws:states:eu-central-2:1:stateMachine:machine"
	f.answer["DescribeExecution"] = func(input map[string]any) (any, error) {
		if input["executionArn"] != changedRun {
			return nil, errors.New("ExecutionDoesNotExist")
		}
		out := map[string]any{"executionArn": changedRun, "name": "orders", "startDate": 1795416822}
		for name, value := range described {
			out[name] = value
		}
		return out, nil
	}
	f.answer["GetExecutionHistory"] = h.page
	f.answer["GetQueueAttributes"] = func(input map[string]any) (any, error) {
		if input["QueueUrl"] != "https://sqs/retry" || !slices.Equal(input["AttributeNames"].([]any), []any{"VisibilityTimeout"}) {
			return nil, errors.New("InvalidAttributeName")
		}
		return map[string]any{"Attributes": map[string]string{"VisibilityTimeout": "960"}}, nil
	}
	return f, s
}

func (h *fakeHistory) enter(kind, name string, input any) {
	text, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	h.add(kind+"StateEntered", "stateEnteredEventDetails", map[string]any{"name": name, "input": string(text)})
}

func (h *fakeHistory) exit(kind, name, output string) {
	h.add(kind+"StateExited", "stateExitedEventDetails", map[string]any{"name": name, "output": output})
}

// processing adds the start of an inline run with these items: "new" or "claimed" ones.
func (h *fakeHistory) processing(kinds ...string) (items []map[string]any) {
	h.add("ExecutionStarted")
	h.enter("Task", GenerateData, map[string]any{})
	for i, kind := range kinds {
		item := map[string]any{"event": map[string]any{"sequence_no": i + 1, "random_value": fmt.Sprint("random-", i)}}
		if kind == "claimed" {
			item["receipt_handle"] = fmt.Sprint("handle-", i)
		}
		items = append(items, item)
	}
	output, err := json.Marshal(map[string]any{"items": items, "failure_rate": 0, "max_concurrency": 20})
	if err != nil {
		panic(err)
	}
	h.exit("Task", GenerateData, string(output))
	h.enter("Map", ProcessEvents, map[string]any{"items": items})
	h.add("MapStateStarted", "mapStateStartedEventDetails", map[string]any{"length": len(items)})
	return items
}

// process adds an iteration that ends in this state. A state without its iteration's end was stopped there.
func (h *fakeHistory) process(items []map[string]any, index int, pass string, ends bool) {
	h.enter("Task", "Insert Data", map[string]any{"item": items[index]})
	h.enter("Pass", pass, map[string]any{"item": items[index], "failure_rate": 0, "result": map[string]any{}})
	h.exit("Pass", pass, "{}")
	if ends {
		h.add("MapIterationSucceeded", "mapIterationSucceededEventDetails", map[string]any{"name": ProcessEvents, "index": index})
	}
}

// returning adds the start of the Map that returns failed events, and the end of these iterations.
func (h *fakeHistory) returning(ended ...int) {
	h.exit("Map", ProcessEvents, "{}")
	h.enter("Choice", "Any Failures?", map[string]any{})
	h.enter("Map", ReturnFailed, map[string]any{})
	for _, index := range ended {
		h.enter("Choice", "Was It Claimed?", map[string]any{})
		h.enter("Task", "Park New Event", map[string]any{})
		h.add("MapIterationSucceeded", "mapIterationSucceededEventDetails", map[string]any{"name": ReturnFailed, "index": index})
	}
}

// halfWay is a run of seven events. Three are in the table, the failed ones are not in a queue yet, and two have no result.
func halfWay() *fakeHistory {
	h := &fakeHistory{pageSize: 7}
	items := h.processing("claimed", "claimed", "claimed", "new", "new", "new", "new")
	h.process(items, 0, "Event Inserted", true)
	h.process(items, 3, "Event Inserted", true)
	h.process(items, 4, EventIsDead, true)
	h.process(items, 1, EventFailed, true)
	h.process(items, 5, InvocationFailed, true)
	h.process(items, 6, "Event Inserted", false)
	return h
}

// at is the time of the histories.
var at = time.Unix(1795416822, 0)

func inLocalTime(at time.Time) string { return at.Local().Format(time.DateTime) }

func TestStopSaysWhatBecomesOfTheEvents(t *testing.T) {
	// In the bubble, it is the year 2000. So the claims of these runs have not ended.
	back := at.Add(960 * time.Second)
	for _, tc := range []struct {
		name    string
		history func() *fakeHistory
		want    RunChange
	}{
		{"half way", halfWay, RunChange{
			State: ProcessEvents, Events: 7, Done: 3, New: 2, Claimed: 2, Returns: &back,
			What: []string{
				"3 of 7 events are done: in the table or in a queue",
				"2 new events are then only in the history of the run; within 14 days, carnation runs redrive orders continues with them",
				"2 claimed events come back to the retry queue without help, by " + inLocalTime(back),
				"functions that are running go on to their end, so some of these events may still be inserted",
			},
		}},
		{"while it returns events", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			items := h.processing("claimed", "new", "new", "new")
			for i, pass := range []string{EventFailed, "Event Inserted", InvocationFailed, EventFailed} {
				h.process(items, i, pass, true)
			}
			h.returning(0, 2) // the first and the last of the failed ones
			return h
		}, RunChange{
			State: ReturnFailed, Events: 4, Done: 3, New: 1,
			What: []string{
				"3 of 4 events are done: in the table or in a queue",
				"1 new event is then only in the history of the run; within 14 days, carnation runs redrive orders continues with it",
				"functions that are running go on to their end, so some of these events may still be inserted",
			},
		}},
		{"after the last event", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			h.process(h.processing("new"), 0, EventFailed, true)
			h.returning(0)
			h.exit("Map", ReturnFailed, "{}")
			h.enter("Fail", "Events Failed", map[string]any{})
			return h
		}, RunChange{State: "Events Failed", Events: 1, Done: 1, What: []string{"1 of 1 event is done: in the table or in a queue"}}},
		{"an event that is claimed twice", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			items := h.processing("claimed", "claimed")
			items[1]["event"] = items[0]["event"]
			h.events = h.events[:0]
			h.add("ExecutionStarted")
			h.enter("Task", GenerateData, map[string]any{})
			output, _ := json.Marshal(map[string]any{"items": items})
			h.exit("Task", GenerateData, string(output))
			h.enter("Map", ProcessEvents, map[string]any{})
			h.process(items, 0, EventFailed, true)
			h.process(items, 1, "Event Inserted", true)
			return h
		}, RunChange{State: ProcessEvents, Events: 2, Done: 1, Claimed: 1, Returns: &back, What: []string{
			"1 of 2 events are done: in the table or in a queue",
			"1 claimed event comes back to the retry queue without help, by " + inLocalTime(back),
			"functions that are running go on to their end, so some of these events may still be inserted",
		}}},
		{"before its events are known", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			h.add("ExecutionStarted")
			h.enter("Task", GenerateData, map[string]any{})
			return h
		}, RunChange{State: GenerateData, What: []string{
			"no event was processed; within 14 days, carnation runs redrive orders continues the run from its beginning",
			"events that Generate Data has just claimed come back to the retry queue by themselves, within 16m0s",
		}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, s := changing(t, tc.history(), map[string]any{"status": "RUNNING"})
			tc.want.Arn, tc.want.Name, tc.want.Status = changedRun, "orders", "RUNNING"
			got, err := s.PlanStop(t.Context(), changedRun)
			if err != nil || !equalChange(got, tc.want) {
				t.Errorf("%s: PlanStop() = %s, %v, want %s", tc.name, inJSON(got), err, inJSON(tc.want))
			}
			if n := f.count("StopExecution"); n > 0 {
				t.Errorf("%s: PlanStop() stopped the run", tc.name)
			}
		})
	}
}

func inJSON(value any) string {
	text, err := json.Marshal(value)
	return fmt.Sprint(string(text), err)
}

// equalChange compares times as instants.
func equalChange(a, b RunChange) bool {
	if (a.Returns == nil) != (b.Returns == nil) || a.Returns != nil && !a.Returns.Equal(*b.Returns) {
		return false
	}
	a.Returns, b.Returns = nil, nil
	return reflect.DeepEqual(a, b)
}

func TestStopRunStopsTheRunAndSaysWhatIsLeft(t *testing.T) {
	described := map[string]any{"status": "RUNNING"}
	f, s := changing(t, halfWay(), described)
	f.answer["StopExecution"] = func(input map[string]any) (any, error) {
		if input["executionArn"] != changedRun {
			return nil, errors.New("ExecutionDoesNotExist")
		}
		described["status"], described["stopDate"] = "ABORTED", 1795416830
		return map[string]any{"stopDate": 1795416830}, nil
	}
	got, err := s.StopRun(t.Context(), changedRun)
	if err != nil || got.Status != "ABORTED" || got.New != 2 || got.Claimed != 2 || f.count("StopExecution") != 1 {
		t.Errorf("StopRun() = %s, %v after %v, want it ABORTED with 2 new and 2 claimed events left", inJSON(got), err, f.calls)
	}
	if want := "2 new events are only in the history of the run; within 14 days, carnation runs redrive orders continues with them"; !slices.Contains(got.What, want) {
		t.Errorf("StopRun() says %q, want %q", got.What, want)
	}
	// It has ended, so it is not stopped again.
	_, err = s.StopRun(t.Context(), changedRun)
	expectRefused(t, err, "run orders is ABORTED: must be RUNNING to be stopped")
	_, err = s.PlanStop(t.Context(), changedRun)
	expectRefused(t, err, "run orders is ABORTED: must be RUNNING to be stopped")
	if n := f.count("StopExecution"); n != 1 {
		t.Errorf("the run was stopped %d times, want once", n)
	}
	// It ended by itself at the same moment.
	described["status"] = "RUNNING"
	f.answer["StopExecution"] = func(map[string]any) (any, error) {
		described["status"] = "SUCCEEDED"
		return map[string]any{"stopDate": 1795416830}, nil
	}
	if got, err := s.StopRun(t.Context(), changedRun); err != nil || !slices.Equal(got.What, []string{"the run ended before it could be stopped: it is SUCCEEDED"}) {
		t.Errorf("StopRun() = %s, %v, want that it had ended", inJSON(got), err)
	}
	described["status"] = "RUNNING"
	f.answer["StopExecution"] = func(map[string]any) (any, error) { return nil, errors.New("AccessDeniedException") }
	if _, err := s.StopRun(t.Context(), changedRun); !strings.HasPrefix(fmt.Sprint(err), "stop run orders: ") {
		t.Errorf("StopRun() = %v, want what was being done", err)
	}
}

func expectRefused(t *testing.T, err error, reason string) {
	t.Helper()
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Reason != reason {
		t.Errorf("error is %v, want it refused because %s", err, reason)
	}
}

func TestRedriveSaysWhatItRepeats(t *testing.T) {
	back := at.Add(960 * time.Second)
	for _, tc := range []struct {
		name, failure string
		history       func() *fakeHistory
		want          []string
	}{
		{"half way", "", halfWay, []string{
			"2 of 7 events have no result, and the run tries them again",
			"5 events keep their results",
			"2 of these results are failures, and the run sends them to a queue at its end",
			"2 claimed events come back to the retry queue without help, by " + inLocalTime(back),
		}},
		{"while it returns events", "SQS.AmazonSQSException", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			items := h.processing("new", "new")
			h.process(items, 0, EventFailed, true)
			h.process(items, 1, EventFailed, true)
			h.returning(1)
			return h
		}, []string{"1 failed event is not in a queue yet, and the run sends it there; no event is tried again"}},
		{"after a redrive that was stopped", "", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			items := h.processing("new", "new", "new")
			h.process(items, 0, EventFailed, false)
			h.add("ExecutionAborted")
			h.add("ExecutionRedriven")
			h.enter("Map", ProcessEvents, map[string]any{})
			h.process(items, 0, "Event Inserted", true)
			h.process(items, 1, "Event Inserted", true)
			return h
		}, []string{"1 of 3 events have no result, and the run tries it again", "2 events keep their results"}},
		{"refused input", "InvalidInputError", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			h.enter("Task", GenerateData, map[string]any{})
			return h
		}, []string{
			"no event was processed; the run begins again in the state Generate Data, with the same input",
			"its error was InvalidInputError: unless the cause is gone, the run fails again",
		}},
		{"between two Maps", "States.Runtime", func() *fakeHistory {
			h := &fakeHistory{pageSize: 1000}
			h.process(h.processing("new"), 0, "Event Inserted", true)
			h.exit("Map", ProcessEvents, "{}")
			h.enter("Choice", "Any Failures?", map[string]any{})
			return h
		}, []string{"the run continues in the state Any Failures?; no event is tried again"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, s := changing(t, tc.history(), map[string]any{"status": "FAILED", "error": tc.failure, "redriveStatus": "REDRIVABLE", "stopDate": 1795416830})
			got, err := s.PlanRedrive(t.Context(), changedRun)
			if err != nil || !slices.Equal(got.What, tc.want) {
				t.Errorf("%s: PlanRedrive() says %q, %v, want %q", tc.name, got.What, err, tc.want)
			}
			if n := f.count("RedriveExecution"); n > 0 {
				t.Errorf("%s: PlanRedrive() redrove the run", tc.name)
			}
		})
	}
}

// Outside of a bubble, it is long after the claims of these histories ended.
func TestRedriveSaysThatClaimedEventsAreBack(t *testing.T) {
	h := halfWay()
	for _, e := range h.events {
		e["timestamp"] = 1000000000
	}
	_, s := changing(t, h, map[string]any{"status": "ABORTED", "redriveStatus": "REDRIVABLE"})
	got, err := s.PlanRedrive(t.Context(), changedRun)
	want := "2 claimed events are back in the retry queue since " + inLocalTime(time.Unix(1000000960, 0)) +
		"; another run may have taken them, which does no harm: an event that is inserted twice is one row"
	if err != nil || !slices.Contains(got.What, want) {
		t.Errorf("PlanRedrive() says %q, %v, want %q", got.What, err, want)
	}
}

func TestRedriveIsRefused(t *testing.T) {
	h := halfWay()
	for _, tc := range []struct {
		described map[string]any
		want      string
	}{
		{map[string]any{"status": "SUCCEEDED", "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven"},
			"run orders cannot be redriven: Execution is SUCCEEDED and cannot be redriven"},
		{map[string]any{"status": "FAILED", "redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": "Execution redrivable period exceeded"},
			"run orders cannot be redriven: Execution redrivable period exceeded"},
		{map[string]any{"status": "FAILED", "redriveStatus": "REDRIVABLE", "error": eventsFailed},
			"run orders has nothing to redrive: its events are in the table or in a queue; carnation run --until-empty retries those that failed"},
	} {
		_, s := changing(t, h, tc.described) // RedriveExecution has no answer
		_, err := s.RedriveRun(t.Context(), changedRun)
		expectRefused(t, err, tc.want)
	}
	f, s := changing(t, h, map[string]any{"status": "FAILED", "redriveStatus": "REDRIVABLE"})
	f.answer["RedriveExecution"] = func(map[string]any) (any, error) { return nil, errors.New("ExecutionNotRedrivable") }
	_, err := s.RedriveRun(t.Context(), changedRun)
	expectRefused(t, err, "run orders cannot be redriven: refused")
	f.answer["RedriveExecution"] = func(map[string]any) (any, error) { return nil, errors.New("ExecutionLimitExceeded") }
	if _, err := s.RedriveRun(t.Context(), changedRun); !strings.HasPrefix(fmt.Sprint(err), "redrive run orders: ") {
		t.Errorf("RedriveRun() = %v, want what was being done", err)
	}
	f.answer["RedriveExecution"] = func(input map[string]any) (any, error) {
		if input["executionArn"] != changedRun {
			return nil, errors.New("ExecutionDoesNotExist")
		}
		return map[string]any{"redriveDate": 1795416900}, nil
	}
	if got, err := s.RedriveRun(t.Context(), changedRun); err != nil || got.Status != "RUNNING" || got.New != 2 {
		t.Errorf("RedriveRun() = %s, %v, want it RUNNING with 2 new events left", inJSON(got), err)
	}
}

// planned adds the accepted answer of plan-shards: two shards that claim, and three with up to 20 of 50 events.
func (h *fakeHistory) planned(own string) {
	h.add("ExecutionStarted")
	h.enter("Task", PlanShards, map[string]any{})
	h.exit("Task", PlanShards, `{"plan":`+strings.Replace(eventPlan, `"end_seq":41`, `"end_seq":51`, 1)+`,"shards":[0,1],"then":[2,3,4],"own":`+own+`}`)
	h.enter("Choice", "Any Shards?", map[string]any{})
}

func (h *fakeHistory) distribute(name, mapRun string, ended bool) {
	h.enter("Map", name, map[string]any{})
	h.mapRun(mapRun, 0)
	if ended {
		h.exit("Map", name, "{}")
	}
}

func TestChangesOfADistributedRun(t *testing.T) {
	const continues = "within 14 days, carnation runs redrive orders continues"
	until := time.Unix(1795416832, 0).Add(960 * time.Second)
	for _, tc := range []struct {
		name    string
		history func(h *fakeHistory)
		counts  map[string]map[string]int
		shards  ShardsLeft
		// events, new and claimed
		numbers       [3]int
		stop, redrive []string
	}{
		{
			"claims", func(h *fakeHistory) { h.planned(`{}`); h.distribute("Process Shards", "arn:m/Shard:1", false) },
			map[string]map[string]int{"arn:m/Shard:1": {"succeeded": 1, "aborted": 1}},
			ShardsLeft{Total: 5, Succeeded: 1, Left: 4}, [3]int{50, 50, 200},
			[]string{
				"1 of 5 shards are done: their events are in the table or in a queue",
				"4 of them not; " + continues + " with these",
				"up to 50 new events are only in the plan or in the source of the run",
				"up to 200 claimed events come back to the retry queue without help, by " + inLocalTime(until),
				"functions that are running go on to their end, so some of these events may still be inserted",
			},
			[]string{
				"4 of 5 shards have not succeeded and run again, with up to 50 new events",
				"1 shard keeps its result; events that another shard has inserted before are inserted into the same rows",
				"up to 200 claimed events come back to the retry queue without help, by " + inLocalTime(until),
			},
		},
		{
			"range", func(h *fakeHistory) {
				h.planned(`{}`)
				h.distribute("Process Shards", "arn:m/Shard:1", true)
				h.enter("Pass", "Take Up Range", map[string]any{})
				h.distribute("Process Shards", "arn:m/Shard:2", false)
			},
			map[string]map[string]int{"arn:m/Shard:1": {"succeeded": 2}, "arn:m/Shard:2": {"succeeded": 1, "failed": 1, "aborted": 1}},
			ShardsLeft{Total: 5, Succeeded: 3, Left: 2}, [3]int{50, 40, 0},
			[]string{
				"3 of 5 shards are done: their events are in the table or in a queue",
				"2 of them not; " + continues + " with these",
				"up to 40 new events are only in the plan or in the source of the run",
				"functions that are running go on to their end, so some of these events may still be inserted",
			},
			[]string{
				"2 of 5 shards have not succeeded and run again, with up to 40 new events",
				"3 shards keep their results; events that another shard has inserted before are inserted into the same rows",
			},
		},
		{
			"source", func(h *fakeHistory) {
				h.planned(`{"source":{"bucket":"b","key":"k","format":"JSONL"}}`)
				h.distribute("Process Shards", "arn:m/Shard:1", true)
				h.distribute("Process JSON Lines", "arn:m/JsonLines:2", false)
			},
			map[string]map[string]int{"arn:m/Shard:1": {"succeeded": 5}, "arn:m/JsonLines:2": {"succeeded": 3, "aborted": 1, "total": 4}},
			ShardsLeft{Total: 9, Succeeded: 8, Left: 1}, [3]int{54, 51, 0},
			[]string{
				"8 of 9 shards are done: their events are in the table or in a queue",
				"1 of them not; " + continues + " with these",
				"up to 51 new events are only in the plan or in the source of the run",
				"records that Step Functions has not read yet are not counted; a redrive reads them",
				"functions that are running go on to their end, so some of these events may still be inserted",
			},
			[]string{
				"1 of 9 shards have not succeeded and run again, with up to 51 new events",
				"8 shards keep their results; events that another shard has inserted before are inserted into the same rows",
				"records that Step Functions has not read yet are not counted; the redrive reads them",
			},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &fakeHistory{pageSize: 3}
			tc.history(h)
			described := map[string]any{"status": "RUNNING"}
			f, s := changing(t, h, described)
			s.Distributed = true
			f.shards(tc.counts)
			f.answer["StopExecution"] = func(map[string]any) (any, error) {
				described["status"], described["stopDate"], described["redriveStatus"] = "ABORTED", 1795416840, "REDRIVABLE"
				return map[string]any{"stopDate": 1795416840}, nil
			}
			got, err := s.StopRun(t.Context(), changedRun)
			if err != nil || *got.Shards != tc.shards || [3]int{got.Events, got.New, got.Claimed} != tc.numbers || !got.AtMost || !slices.Equal(got.What, tc.stop) {
				t.Errorf("%s: StopRun() = %s, %v, want %+v, %v, %q", tc.name, inJSON(got), err, tc.shards, tc.numbers, tc.stop)
			}
			if got, err := s.PlanRedrive(t.Context(), changedRun); err != nil || !slices.Equal(got.What, tc.redrive) {
				t.Errorf("%s: PlanRedrive() says %q, %v, want %q", tc.name, got.What, err, tc.redrive)
			}
		})
	}
	// The shards are done, and only their sum is missing.
	h := &fakeHistory{pageSize: 1000}
	h.planned(`{}`)
	h.distribute("Process Shards", "arn:m/Shard:1", true)
	h.distribute("Process Shards", "arn:m/Shard:2", true)
	h.enter("Task", "Add Up Shards", map[string]any{})
	f, s := changing(t, h, map[string]any{"status": "FAILED", "error": unaccounted, "redriveStatus": "REDRIVABLE"})
	s.Distributed = true
	f.shards(map[string]map[string]int{"arn:m/Shard:1": {"succeeded": 2}, "arn:m/Shard:2": {"succeeded": 3}})
	want := []string{"all shards keep their results; the run continues in the state Add Up Shards", "its error was UnaccountedError: unless the function was repaired, the run fails again"}
	if got, err := s.PlanRedrive(t.Context(), changedRun); err != nil || !slices.Equal(got.What, want) {
		t.Errorf("PlanRedrive() says %q, %v, want %q", got.What, err, want)
	}
}

func TestFindRunTakesANameOrAnARN(t *testing.T) {
	_, s := changing(t, &fakeHistory{}, map[string]any{"status": "RUNNING"})
	for _, execution := range []string{"orders", changedRun} {
		if got, err := s.FindRun(t.Context(), execution); got != changedRun || err != nil {
			t.Errorf("FindRun(%s) = %s, %v, want %s", execution, got, err, changedRun)
		}
	}
	_, err := s.FindRun(t.Context(), "other")
	var missing *types.ExecutionDoesNotExist
	if want := "stack carnation-devl has no run other; AWS forgets runs after 90 days"; !errors.As(err, &missing) || err.Error() != want {
		t.Errorf("FindRun(other) = %v, want %s", err, want)
	}
	const machine = "arn:aws:states:eu-central-2:1:execution:machine"
	for execution, want := range map[string]string{
		"": "execution is empty: must be the name or the ARN of a run",
		"arn:aws:states:eu-central-2:1:execution:another:orders": "execution arn:aws:states:eu-central-2:1:execution:another:orders is not one of stack carnation-devl: must be a name, or an ARN that begins with " + machine + ":",
		machine + ":":           "execution " + machine + ": is not one of stack carnation-devl: must be a name, or an ARN that begins with " + machine + ":",
		machine + "/Shard:a:b":  "execution " + machine + "/Shard:a:b is a shard: must be a run, which stops and redrives its shards",
		machine + "s/Shard:a:b": "execution " + machine + "s/Shard:a:b is not one of stack carnation-devl: must be a name, or an ARN that begins with " + machine + ":",
	} {
		_, err := s.FindRun(t.Context(), execution)
		expectRefused(t, err, want)
	}
}

func TestRunsAreListedNewestFirst(t *testing.T) {
	f, s := newFakeAWS(t)
	var asked []map[string]any
	f.answer["ListExecutions"] = func(input map[string]any) (any, error) {
		asked = append(asked, input)
		first := 0
		if token, ok := input["nextToken"].(string); ok {
			fmt.Sscan(token, &first)
		}
		var list []any
		for i := first; i < first+2; i++ {
			list = append(list, map[string]any{"executionArn": fmt.Sprint("arn:", i), "name": fmt.Sprint("run-", i), "status": "FAILED", "startDate": 1000 - i, "stopDate": 2000, "redriveCount": 1})
		}
		return map[string]any{"executions": list, "nextToken": fmt.Sprint(first + 2)}, nil
	}
	for _, tc := range []struct {
		filter RunsFilter
		want   int
		more   bool
	}{
		{RunsFilter{Max: 3}, 3, true},
		{RunsFilter{Max: 100, Since: time.Unix(996, 0)}, 5, false},
		{RunsFilter{Max: 5, Since: time.Unix(996, 0), Status: "failed"}, 5, false},
	} {
		runs, more, err := s.Runs(t.Context(), tc.filter)
		if err != nil || len(runs) != tc.want || more != tc.more {
			t.Errorf("Runs(%+v) = %d runs, more: %t, %v, want %d, %t", tc.filter, len(runs), more, err, tc.want, tc.more)
			continue
		}
		if got := runs[1]; got.Name != "run-1" || got.Arn != "arn:1" || got.Status != "FAILED" || !got.Started.Equal(time.Unix(999, 0)) || aws.ToTime(got.Stopped).Unix() != 2000 || got.Redrives != 1 {
			t.Errorf("the second run is %+v", got)
		}
	}
	if last := asked[len(asked)-1]; last["statusFilter"] != "FAILED" || last["stateMachineArn"] != "arn:machine" || last["maxResults"] != 6.0 {
		t.Errorf("the last call was %v, want FAILED runs of the machine", last)
	}
}
