package shard

import (
	"fmt"
	"testing"

	"carnation/internal/event"
)

// BenchmarkGenerate is the making of events, in shards of 1,000.
func BenchmarkGenerate(b *testing.B) {
	for _, n := range []int64{1000, 100_000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			plan, err := New(event.Run{StartSeq: 1, EndSeq: 1 + n}, MaxSize)
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
