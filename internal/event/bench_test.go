package event

import (
	"fmt"
	"testing"
)

// BenchmarkItems generates the events of a run, in shards of 1,000.
func BenchmarkItems(b *testing.B) {
	for _, n := range []int64{1000, 100_000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			plan, err := NewPlan(Run{StartSeq: 1, EndSeq: 1 + n}, MaxShardSize, 1795416822)
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
