package operate

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"carnation/internal/event"
)

const eventPlan = `{"start_seq":1,"end_seq":41,"failure_rate":0,"claimers":2,"claim_until":1795416832,"shard_size":20,"current_time":1795416822,"seed":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"}`

// plan adds the answer of plan-shards: two shards that claim, and two with 20 events each.
func (h *fakeHistory) plan() {
	h.add("ExecutionStarted")
	h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{"output": `{"Payload":{"plan":` + eventPlan + `,"first":[0,1],"then":[2,3]}}`})
	h.add("TaskStateExited", "stateExitedEventDetails", map[string]any{"name": "Plan Shards"})
}

func (h *fakeHistory) mapRun(arn string, shards int) {
	h.add("MapStateStarted", "mapStateStartedEventDetails", map[string]any{"length": shards})
	h.add("MapRunStarted", "mapRunStartedEventDetails", map[string]any{"mapRunArn": arn})
}

func (h *fakeHistory) outcome(inserted, failed int) {
	for _, nonsense := range []string{``, `{"Payload":7}`, `{"Payload":{"failed":9}}`, `{"Payload":{"inserted":9,"failed":9}}`} { // which the state machine has not accepted
		h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{"output": nonsense})
	}
	h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{"output": fmt.Sprintf(`{"Payload":{"inserted":%d,"failed":%d,"returned":%d,"dead":1}}`, inserted, failed, failed-1)})
	h.add("PassStateEntered", "stateEnteredEventDetails", map[string]any{"name": "All Inserted"})
}

// shards answers DescribeMapRun with these counts, by Map Run.
func (f *fakeAWS) shards(counts map[string]map[string]int) {
	f.answer["DescribeMapRun"] = func(input map[string]any) (any, error) {
		count, ok := counts[input["mapRunArn"].(string)]
		if !ok {
			return nil, errors.New("ResourceNotFound")
		}
		items := map[string]int{"pending": 0, "running": 0, "succeeded": 0, "failed": 0, "timedOut": 0, "aborted": 0, "total": 2, "resultsWritten": 0}
		for name, n := range count {
			items[name] = n
		}
		return map[string]any{"mapRunArn": input["mapRunArn"], "itemCounts": items, "executionCounts": items}, nil
	}
}

func TestRunFollowsTheShardsOfADistributedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		h := &fakeHistory{}
		e := &execution{history: h, status: "FAILED", err: eventsFailed, cause: "3 of 45 events failed and are in the retry queue", runningFor: 20}
		e.whenDescribed = func(times int) {
			switch times {
			case 2:
				h.plan()
				h.mapRun("arn:claims", 2)
				f.shards(map[string]map[string]int{"arn:claims": {"running": 2}})
			case 6:
				h.mapRun("arn:range", 2)
				f.shards(map[string]map[string]int{"arn:claims": {"succeeded": 2}, "arn:range": {"succeeded": 1, "running": 1}})
			case 21:
				h.outcome(42, 3)
				f.shards(map[string]map[string]int{"arn:claims": {"succeeded": 2}, "arn:range": {"succeeded": 2}})
			}
		}
		f.executing(e)
		var got []string
		run, err := s.Run(t.Context(), event.Run{StartSeq: 1, EndSeq: 41}, func(p Progress) {
			if line := fmt.Sprint(p.Shards); len(got) == 0 || got[len(got)-1] != line {
				got = append(got, line)
			}
		})
		want := Run{
			Name: "run-0", Arn: "arn:execution:0", Status: "FAILED", Generated: 40, Claimed: 5, Inserted: 42, Failed: 3, Dead: 1, Shards: &Shards{Total: 4, Done: 4},
			Error: eventsFailed, Cause: "3 of 45 events failed and are in the retry queue", Seconds: 2.5,
		}
		if err != nil || !reflect.DeepEqual(run, want) {
			t.Errorf("Run() = %+v, %v, want %+v", run, err, want)
		}
		if want := []string{"<nil>", "0 of 4 shards done", "3 of 4 shards done", "4 of 4 shards done"}; !slices.Equal(got, want) {
			t.Errorf("shards = %v, want %v", got, want)
		}
		calls := 0
		for _, call := range f.calls {
			if call == "DescribeMapRun" {
				calls++
			}
		}
		// AWS throttles at one call a second.
		if most := 2 * (1 + int(20*pollEvery/countShardsEvery) + 1); calls > most {
			t.Errorf("%d calls of DescribeMapRun, want at most %d", calls, most)
		}
	})
}

// The items of a batch of own events are records, and each batch counts as a shard.
func TestRunCountsTheRecordsOfOwnEvents(t *testing.T) {
	for _, label := range RecordLabels {
		synctest.Test(t, func(t *testing.T) {
			f, s := newFakeAWS(t)
			h := &fakeHistory{}
			h.add("ExecutionStarted")
			h.add("TaskSucceeded", "taskSucceededEventDetails", map[string]any{"output": `{"Payload":{"plan":{"start_seq":0,"end_seq":0,"claimers":1,"shard_size":20},"first":[0],"then":[],"time":1795416822}}`})
			h.add("TaskStateExited", "stateExitedEventDetails", map[string]any{"name": "Plan Shards"})
			h.mapRun("arn:machine/Shard:1", 1)
			h.mapRun("arn:machine/"+label+":2", 0)
			h.outcome(42, 3)
			f.shards(map[string]map[string]int{"arn:machine/Shard:1": {"succeeded": 1, "total": 1}, "arn:machine/" + label + ":2": {"succeeded": 3, "total": 3}})
			describe := f.answer["DescribeMapRun"]
			f.answer["DescribeMapRun"] = func(input map[string]any) (any, error) {
				out, err := describe(input)
				if input["mapRunArn"] == "arn:machine/"+label+":2" {
					items := maps.Clone(out.(map[string]any)["executionCounts"].(map[string]int))
					items["succeeded"], items["total"] = 40, 40
					out.(map[string]any)["itemCounts"] = items
				}
				return out, err
			}
			f.executing(&execution{history: h, status: "FAILED", err: eventsFailed})
			run, err := s.Run(t.Context(), event.Run{}, func(Progress) {})
			want := Run{Name: "run-0", Arn: "arn:execution:0", Status: "FAILED", Generated: 40, Claimed: 5, Inserted: 42, Failed: 3, Dead: 1,
				Shards: &Shards{Total: 4, Done: 4, Records: 40}, Error: eventsFailed, Seconds: 2.5}
			if err != nil || !reflect.DeepEqual(run, want) || run.Shards.String() != "4 of 4 shards done, 40 records read" {
				t.Errorf("Run() with %s = %+v with %s, %v, want %+v with %s", label, run, run.Shards, err, want, want.Shards)
			}
		})
	}
}

func TestRunSaysWhichShardFailed(t *testing.T) {
	for _, listable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newFakeAWS(t)
			h := &fakeHistory{}
			h.plan()
			h.mapRun("arn:claims", 2)
			h.mapRun("arn:range", 2)
			f.shards(map[string]map[string]int{"arn:claims": {"succeeded": 2}, "arn:range": {"failed": 1, "aborted": 1}})
			e := &execution{history: h, status: "FAILED", err: shardFailed, cause: "The specified tolerated failure threshold was exceeded"}
			f.executing(e)
			describe := f.answer["DescribeExecution"]
			f.answer["DescribeExecution"] = func(input map[string]any) (any, error) {
				if input["executionArn"] == "arn:shard" {
					return map[string]any{"executionArn": "arn:shard", "name": "shard-1", "status": "FAILED", "error": "ParkError", "cause": "AccessDenied"}, nil
				}
				return describe(input)
			}
			f.answer["ListExecutions"] = func(input map[string]any) (any, error) {
				switch {
				case !listable:
					return nil, errors.New("ValidationException")
				case input["statusFilter"] != "FAILED" || input["mapRunArn"] == "arn:claims":
					return map[string]any{"executions": []any{}}, nil
				}
				return map[string]any{"executions": []any{map[string]any{"executionArn": "arn:shard", "name": "shard-1", "status": "FAILED", "startDate": 1795416822}}}, nil
			}
			run, err := s.Run(t.Context(), event.Run{StartSeq: 1, EndSeq: 41}, func(Progress) {})
			if err != nil {
				t.Fatal(err)
			}
			if run.Generated != 40 || run.Inserted != 0 || *run.Shards != (Shards{Total: 4, Done: 2, Failed: 2}) || run.EventsFailed() {
				t.Errorf("Run() = %+v with shards %+v, want 40 events and two of four shards done", run, run.Shards)
			}
			want := map[bool]string{true: "exceeded; shard shard-1 failed: ParkError: AccessDenied", false: "; its shards cannot be listed: "}[listable]
			if !strings.Contains(run.Cause, want) || !listable && !strings.Contains(run.Cause, "ValidationException") {
				t.Errorf("cause is %q, want %q in it", run.Cause, want)
			}
		})
	}
}

func TestStatusCountsTheShardsOfARunningExecution(t *testing.T) {
	f, s := newFakeAWS(t)
	s.Distributed = true
	f.holding(Queues{})
	f.subscribed()
	f.answer["Scan"] = func(map[string]any) (any, error) { return map[string]any{"Count": 0, "ScannedCount": 0}, nil }
	h := &fakeHistory{}
	h.plan()
	h.mapRun("arn:claims", 2)
	f.shards(map[string]map[string]int{"arn:claims": {"succeeded": 1, "running": 1}})
	f.answer["GetExecutionHistory"] = func(input map[string]any) (any, error) {
		if input["executionArn"] != "arn:on" {
			return nil, errors.New("the history of a run that has ended is not needed")
		}
		return h.page(input)
	}
	f.answer["ListExecutions"] = func(map[string]any) (any, error) {
		return map[string]any{"executions": []any{
			map[string]any{"executionArn": "arn:on", "name": "on", "status": "RUNNING", "startDate": 1795416822},
			map[string]any{"executionArn": "arn:ended", "name": "ended", "status": "FAILED", "startDate": 1795416822, "stopDate": 1795416900},
		}}, nil
	}
	status, err := s.Status(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := status.Executions; *got[0].Shards != (Shards{Total: 4, Done: 1}) || got[1].Shards != nil {
		t.Errorf("executions = %+v, want the one that goes on with 1 of 4 shards done", got)
	}
}
