package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainRunsUntilTheQueueIsEmpty(t *testing.T) {
	empty := Queues{}
	for _, tc := range []struct {
		name       string
		queues     []Queues
		failed     bool
		maxRuns    int
		executions []*execution
		want       []string // statuses of the runs
		wantErr    string
	}{
		{"empty", []Queues{empty}, false, 3, nil, nil, ""},
		{"one run", []Queues{{Retry: 3}, empty}, false, 3, []*execution{ended(3, 0)}, []string{"SUCCEEDED"}, ""},
		{"some fail again", []Queues{{Retry: 3}, {Retry: 1}, empty}, false, 3, []*execution{ended(2, 1), ended(1, 0)}, []string{"FAILED", "SUCCEEDED"}, ""},
		{"not counted yet", []Queues{empty}, true, 3, []*execution{ended(1, 1), ended(1, 0)}, []string{"FAILED", "SUCCEEDED"}, ""},
		{"the last ones fail for good", []Queues{{Retry: 2}, {DeadLetter: 2}}, false, 3, []*execution{buried(2)}, []string{"FAILED"}, ""},
		{"claims of a dead run", []Queues{{InFlight: 2}, {InFlight: 2}, {Retry: 2}, empty}, false, 3, []*execution{ended(2, 0)}, []string{"SUCCEEDED"}, ""},
		{"too many runs", []Queues{{Retry: 3}, {Retry: 2}, {Retry: 1, InFlight: 4}}, false, 2, []*execution{ended(1, 2), ended(1, 1)}, []string{"FAILED", "FAILED"},
			"the retry queue is not empty after 2 runs that only retry: 1 events waiting, 4 in flight"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFakeAWS(t)
				f.holding(tc.queues...)
				f.executing(tc.executions...)
				var got []string
				err := s.Drain(t.Context(), 0.5, tc.maxRuns, tc.failed, func(Progress) {}, func(run Run) error {
					got = append(got, run.Status)
					return nil
				})
				if !slices.Equal(got, tc.want) {
					t.Errorf("Drain() ran %v, want %v", got, tc.want)
				}
				if tc.wantErr == "" && err != nil || tc.wantErr != "" && (fmt.Sprint(err) != tc.wantErr || !errors.Is(err, ErrNotEmpty)) {
					t.Errorf("Drain() error = %v, want %s", err, tc.wantErr)
				}
				for _, e := range tc.executions {
					if want := `{"start_seq":0,"end_seq":0,"failure_rate":0.5}`; e.startedWithInput != want {
						t.Errorf("input = %s, want %s", e.startedWithInput, want)
					}
				}
			})
		})
	}
}

func TestDrainStopsAtAnErrorOfFinished(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{Retry: 3})
	f.executing(ended(1, 2), ended(1, 1))
	stop := errors.New("stop")
	err := s.Drain(t.Context(), 0, 5, false, func(Progress) {}, func(Run) error { return stop })
	if !errors.Is(err, stop) || f.count("StartExecution") != 1 {
		t.Errorf("Drain() = %v after %d runs, want stop after 1", err, f.count("StartExecution"))
	}
}

func TestDrainWaitsForClaimsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		f.holding(Queues{InFlight: 2})
		// The context ends between two counts of the queues.
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3*pollEvery+time.Millisecond, errors.New("--timeout is over"))
		defer cancel()
		err := s.Drain(ctx, 0, 5, false, func(Progress) {}, func(Run) error { return nil })
		if want := "the retry queue is not empty: 2 in flight: --timeout is over"; fmt.Sprint(err) != want || !errors.Is(err, ErrNotEmpty) {
			t.Errorf("Drain() error = %v, want %s", err, want)
		}
	})
}
