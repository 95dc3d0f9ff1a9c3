package model

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow is a client whose answers take some time, and that measures the memory in use.
type slow struct {
	client interface {
		Do(*http.Request) (*http.Response, error)
	}
	takes time.Duration
	calls atomic.Int64
	mu    sync.Mutex
	most  uint64 // bytes in use
}

func (s *slow) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(s.takes)
	if s.calls.Add(1)%20 == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.most = max(s.most, inUse())
	}
	return s.client.Do(r)
}

func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// The time is that of AWS's rates, and 100 ms for each call: the clock is that of a bubble, and nothing waits.
func TestTenThousandShardsTakeFewCallsLittleTimeAndLittleMemory(t *testing.T) {
	for _, failed := range []int{0, 30} {
		t.Run(fmt.Sprintf("%d failed", failed), func(t *testing.T) {
			player := large(t, 10_000, failed).Player()
			synctest.Test(t, func(t *testing.T) {
				stack := player.Stack()
				client := &slow{client: player, takes: 100 * time.Millisecond}
				stack.Config.HTTPClient = client
				r := newReader(stack, Options{})
				r.limits = newLimits()
				before, started := inUse(), time.Now()
				d, err := r.read(t.Context(), player.Arn)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(started); took > 2*time.Minute {
					t.Errorf("it takes %s, want at most 2 minutes", took)
				} else {
					t.Logf("%d calls in %s", client.calls.Load(), took)
				}
				if calls := client.calls.Load(); calls > 150 {
					t.Errorf("it takes %d calls, want at most 150", calls)
				}
				const most = 64 << 20
				if client.most > before+most {
					t.Errorf("it uses %d MB, want at most %d", (client.most-before)>>20, most>>20)
				}
				if d.Shards.Total != 10_000 || len(d.Shards.Rows) != 2000 || d.Shards.Omitted+len(d.Shards.Rows)+d.Shards.Pending != 10_000 {
					t.Errorf("%d shards, %d rows, %d left out, %d pending", d.Shards.Total, len(d.Shards.Rows), d.Shards.Omitted, d.Shards.Pending)
				}
				if got := d.Shards.Rows[0].Status; failed > 0 && got != Failed {
					t.Errorf("the first shard is %s, want one that failed", got)
				}
				if s := d.state(t, "Process Shards / Insert Data"); !s.Estimated || s.Sampled == 0 || s.Entered != d.Shards.Total-d.Shards.Pending {
					t.Errorf("the state of the shards is %+v", s)
				}
				if size := len(marshal(t, d)); size > 1_500_000 {
					t.Errorf("the document has %d bytes, want at most 1.5 MB", size)
				}
			})
		})
	}
}

// Forty documents one after the other wait for the rates of AWS: of each action, no more calls than its burst and its rate allow.
func TestCallsKeepToTheRatesOfAWS(t *testing.T) {
	p, _ := open(t, "distributed-claims")
	synctest.Test(t, func(t *testing.T) {
		stack := p.Stack()
		l := newLimits()
		started := time.Now()
		for range 40 {
			r := newReader(stack, Options{})
			r.limits = l
			if _, err := r.read(t.Context(), p.Arn); err != nil {
				t.Fatal(err)
			}
		}
		took := time.Since(started).Seconds()
		for action, quota := range quotas {
			if most := float64(quota.burst) + took*float64(quota.second) + 1; float64(p.Calls(action)) > most {
				t.Errorf("%d calls of %s in %.0f s, AWS allows %.0f", p.Calls(action), action, took, most)
			}
		}
		if got := p.Calls(describeStateMachine); got > 1 {
			t.Errorf("%d calls of %s for one execution, want 1: its definition stays the same", got, describeStateMachine)
		}
	})
}

func TestRatesAreThoseOfTheDocs(t *testing.T) {
	docs := read(t, "../../../docs/scale.md")
	if !strings.Contains(docs, "| "+listMapRuns+", "+describeStateMachine+" | 1 a second, after a burst of 100 or more") || quotas[listMapRuns].second != 1 || quotas[describeStateMachine].second != 1 {
		t.Errorf("docs/scale.md does not have the limits of %s and %s", listMapRuns, describeStateMachine)
	}
	if !strings.Contains(docs, "FilterLogEvents, at most five a second") || quotas[filterLogEvents].second != 5 {
		t.Errorf("docs/scale.md does not have the limit of %s", filterLogEvents)
	}
	for action, text := range map[string]string{
		describeExecution: "10 to 15 a second, after a burst of 100 or more", getExecutionHistory: "20 a second, after a burst of 100 or more",
		listExecutions: "2 to 5 a second, after a burst of 100 or more", describeMapRun: "1 a second, after a burst of 100 or more",
	} {
		if !strings.Contains(docs, "| "+action+" | "+text) || !strings.HasPrefix(text, fmt.Sprintf("%g ", float64(quotas[action].second))) || quotas[action].burst != 100 {
			t.Errorf("docs/scale.md does not say %q of %s, or the limit is not that: %+v", text, action, quotas[action])
		}
	}
}
