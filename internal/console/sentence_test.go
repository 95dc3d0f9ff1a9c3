package console

import (
	"testing"
	"time"

	"carnation/internal/operate"
)

func TestTheSentenceSaysWhatMattersMost(t *testing.T) {
	run := func(statuses ...string) (rows []RunRow) {
		for _, status := range statuses {
			rows = append(rows, RunRow{ListedRun: operate.ListedRun{Status: status}})
		}
		return rows
	}
	failed := func(failure string) []RunRow {
		return []RunRow{{ListedRun: operate.ListedRun{Status: "FAILED"}, Summary: &RunSummary{Error: failure}}}
	}
	queues := func(waiting, inFlight, dead int) operate.Queues {
		return operate.Queues{Retry: waiting, InFlight: inFlight, DeadLetter: dead}
	}
	now := time.Now()
	for _, tc := range []struct {
		rows     int
		queues   operate.Queues
		running  []string
		runs     []RunRow
		sentence string
		tone     string
	}{
		{0, queues(0, 0, 0), nil, nil, "There are no events yet", toneGood},
		{60, queues(0, 0, 0), nil, run("SUCCEEDED", "FAILED"), "All 60 events are in the table", toneGood},
		{1, queues(0, 0, 0), nil, run("SUCCEEDED"), "The only event is in the table", toneGood},
		{12345678, queues(0, 0, 0), nil, run("SUCCEEDED"), "All 12,345,678 events are in the table", toneGood},
		{48, queues(12, 0, 0), nil, run("FAILED"), "12 events are waiting for the next run", toneWaiting},
		{48, queues(1, 0, 0), nil, run("FAILED"), "1 event is waiting for the next run", toneWaiting},
		{60, queues(0, 0, 3), nil, run("FAILED"), "3 events failed for good", toneBad},
		{60, queues(2, 0, 1), nil, run("FAILED"), "1 event failed for good; 2 events are waiting for the next run", toneBad},
		{60, queues(0, 5, 0), nil, run("FAILED"), "5 events were claimed by a run that has ended, and come back by themselves", toneWaiting},
		{60, queues(0, 5, 0), []string{"a"}, run("RUNNING"), "1 run is working", toneBusy},
		{60, queues(7, 5, 1), []string{"a", "b"}, run("RUNNING", "RUNNING"), "2 runs are working; 1 event failed for good; 7 events are waiting for the next run", toneBusy},
		{60, queues(0, 0, 0), nil, run("SUCCEEDED", "ABORTED"), "1 run was stopped: a redrive continues it", toneWaiting},
		{60, queues(0, 0, 0), nil, run("TIMED_OUT", "ABORTED"), "2 runs were stopped: a redrive continues them", toneWaiting},
		{0, queues(0, 0, 0), nil, run("FAILED"), "The last run failed, and there are no events", toneBad},
		{60, queues(0, 0, 0), nil, run("FAILED"), "The last run failed, and no event waits", toneBad},
		{60, queues(0, 0, 0), nil, failed("States.Runtime"), "The last run failed, and no event waits", toneBad},
		{60, queues(0, 0, 0), nil, failed("Carnation.EventsFailed"), "All 60 events are in the table", toneGood}, // the others were dropped
	} {
		o := &Overview{Rows: tc.rows, RowsAt: now, Queues: tc.queues, Running: tc.running}
		if got, tone := sentence(o, tc.runs, true); got != tc.sentence || tone != tc.tone {
			t.Errorf("sentence of %+v = %q, %s, want %q, %s", tc, got, tone, tc.sentence, tc.tone)
		}
	}
	if got, tone := sentence(&Overview{Rows: 60, RowsAt: now}, run("SUCCEEDED"), false); got != "No event waits" || tone != toneGood {
		t.Errorf("before the rows are counted: %q, %s", got, tone)
	}
}
