package shard

import (
	"encoding/json"
	"fmt"
	"testing"

	"carnation/internal/event"
)

// BenchmarkGenerate is the making of events, in shards of 1,000.
func BenchmarkGenerate(b *testing.B) {
	for _, n := range []int64{1000, 100_000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			plan, err := event.NewPlan(event.Run{StartSeq: 1, EndSeq: 1 + n}, event.MaxShardSize)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				for shard := range plan.Shards() {
					plan.Items(shard)
				}
			}
			b.ReportMetric(float64(n*int64(b.N))/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkPlan is plan-shards at the beginning of a run, as Lambda has its answer: JSON.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int64{1, 1000, event.MaxEvents} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			h := &Handler{Queue: waiting(0), Logger: silent, Size: event.MaxShardSize, Concurrency: 10}
			payload := runOf(fmt.Sprintf(`{"start_seq":1,"end_seq":%d}`, 1+n))
			b.ReportAllocs()
			for b.Loop() {
				answer, err := h.Handle(b.Context(), payload)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
