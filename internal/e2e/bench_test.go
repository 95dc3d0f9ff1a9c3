package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
	"carnation/internal/function/insert"
)

// newModes creates a stack in each mode, with the default parameters, on one local AWS.
func newModes(b *testing.B) (inline, distributed *deployed) {
	b.Helper()
	c := newCloud(b)
	return c.newStack(b), c.newStack(b, "ProjectName=whole", "MapMode=DISTRIBUTED")
}

var nextSeq = int64(10_000_000) // no range is run twice

// timed inserts events, in one run, or on an inline stack in successive runs of 500. It returns how long that took, by the dates of
// the executions.
func timed(b *testing.B, d *deployed, events int, rate float64) (last *string, took time.Duration) {
	b.Helper()
	most := events
	if d.outputs["MapMode"] == "INLINE" {
		most = min(events, 500)
	}
	for done := 0; done < events; done += most {
		out := d.execute(b, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":%g}`, nextSeq, nextSeq+int64(most), rate))
		took += out.StopDate.Sub(*out.StartDate)
		nextSeq += int64(most)
		if rate == 0 {
			expectStatus(b, out, sfntypes.ExecutionStatusSucceeded)
		}
		last = out.ExecutionArn
	}
	return last, took
}

// noise is what other work on the machine may add to a ratio.
const noise = 0.1

// BenchmarkRuns measures whole runs on local AWS, and short runs several times. x-linear is the time for one event, divided by that in
// runs of 500 of the same mode before and after: at 1 time grows linearly, and less is better. The inline mode comes last, because
// its histories fill the memory of local AWS.
func BenchmarkRuns(b *testing.B) {
	inline, d := newModes(b)
	timed(b, inline, 100, 0) // cold starts are measured elsewhere
	timed(b, d, 5000, 0)
	for _, mode := range []struct {
		name   string
		stack  *deployed
		least  int // events of all runs of one size, but no more than ten runs
		around int // runs of 500 before and after each
	}{{"distributed", d, 50_000, 5}, {"inline", inline, 5000, 1}} {
		for _, n := range []int{100, 500, 5000, 50_000} {
			b.Run(fmt.Sprintf("mode=%s/events=%d", mode.name, n), func(b *testing.B) {
				runs, around := min(10, max(1, mode.least/n)), mode.around
				if n <= 500 {
					around = 0
				}
				var took, of500 time.Duration
				compare := func() {
					for range around {
						_, one := timed(b, mode.stack, 500, 0)
						of500 += one
					}
				}
				for b.Loop() {
					for range runs {
						compare()
						_, one := timed(b, mode.stack, n, 0)
						took += one
						compare()
					}
				}
				runs *= b.N
				perEvent := took.Seconds() / float64(runs*n)
				b.ReportMetric(0, "ns/op") // of several runs
				b.ReportMetric(took.Seconds()/float64(runs), "s/run")
				b.ReportMetric(1/perEvent, "events/s")
				if around > 0 {
					ratio := perEvent / (of500.Seconds() / float64(runs*2*around*500))
					b.ReportMetric(ratio, "x-linear")
					if mode.stack == d && n == 50_000 && ratio > 1+noise {
						b.Errorf("an event takes %.2f times as long as in runs of 500, want at most 1", ratio)
					}
				}
			})
		}
	}
}

// BenchmarkTenThousandEvents measures a distributed run with one failure in twenty, between two inline runs of 500 events. x-inline
// compares events a second. Every event must be a row or a message.
func BenchmarkTenThousandEvents(b *testing.B) {
	const events, rate = 10_000, 0.05
	stack, d := newModes(b)
	timed(b, stack, 100, 0)
	timed(b, d, 5000, 0)
	var inline, sharded time.Duration
	for b.Loop() {
		_, before := timed(b, stack, 500, rate)
		stack.takeAll(b, "RetryQueueUrl")
		start := nextSeq
		arn, took := timed(b, d, events, rate)
		d.expectAccounted(b, start, start+events, *arn, rate)
		_, after := timed(b, stack, 500, rate)
		stack.takeAll(b, "RetryQueueUrl")
		inline, sharded = inline+before+after, sharded+took
	}
	perSecond := float64(events*b.N) / sharded.Seconds()
	b.ReportMetric(perSecond, "events/s")
	ratio := perSecond / (float64(1000*b.N) / inline.Seconds())
	b.ReportMetric(ratio, "x-inline")
	if ratio < 10 {
		b.Errorf("%.1f times as many events a second as inline, want 10", ratio)
	}
}

// expectAccounted checks that each event of a distributed run is one row, or one message if it was to fail, and empties the queue.
func (d *deployed) expectAccounted(t testing.TB, start, end int64, arn string, rate float64) {
	t.Helper()
	var inserted []event.Event
	failed := map[event.Identity]int{}
	for _, e := range d.sharded(t, arn) {
		if insert.Simulated(e.SequenceNo, 0, rate) {
			failed[e.Identity()]--
		} else {
			inserted = append(inserted, e)
		}
	}
	if int64(len(inserted)+len(failed)) != end-start || len(failed) == 0 {
		t.Fatalf("%d events to be inserted and %d to fail, want %d together", len(inserted), len(failed), end-start)
	}
	d.expectInserted(t, start, end, inserted)
	for _, m := range d.takeAll(t, "RetryQueueUrl") {
		e, err := event.Parse([]byte(aws.ToString(m.Body)), "")
		if err != nil {
			t.Error(err)
		}
		failed[e.Identity()]++
	}
	for e, n := range failed {
		if n != 0 {
			t.Errorf("failed event %d is in %d messages, want 1", e.SequenceNo, n+1)
		}
	}
}

// A larger zip makes every cold start longer.
func TestZipsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("needs what make builds, and this is go test -short")
	}
	zips, err := filepath.Glob(filepath.Join(root, "build", arch(), "*.zip"))
	if err != nil || len(zips) < 3 {
		t.Fatalf("zips: %v, %v, want those of three functions", zips, err)
	}
	for _, path := range zips {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if t.Logf("%s: %.2f MiB", filepath.Base(path), float64(info.Size())/(1<<20)); info.Size() > 4<<20 {
			t.Errorf("%s has %d bytes, want at most 4 MiB", path, info.Size())
		}
	}
}
