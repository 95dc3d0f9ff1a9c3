package shard

import (
	"encoding/json"
	"fmt"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// BenchmarkPlan measures plan-shards at the start of a run, with its answer as JSON.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int64{1, 1000, event.MaxEvents} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			h := &Handler{Queue: waiting(0), Logger: silent, Size: event.MaxShardSize, Concurrency: environment.Concurrency{Value: 10}}
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
