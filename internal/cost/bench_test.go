package cost

import (
	"testing"

	"carnation/internal/event"
)

// BenchmarkAMillionEvents reports the price of a million events in the distributed mode, and fails above the limit.
func BenchmarkAMillionEvents(b *testing.B) {
	prices, err := LoadPrices()
	if err != nil {
		b.Fatal(err)
	}
	for _, children := range []string{Standard, Express} {
		b.Run("children="+children, func(b *testing.B) {
			var bill Bill
			for b.Loop() {
				bill = prices.Bill(Run{Mode: Distributed, Events: 1_000_000, ShardSize: event.MaxShardSize, ChildType: children})
			}
			b.ReportMetric(0, "ns/op") // how fast it is counted says nothing
			b.ReportMetric(bill.USD, "USD")
			if bill.USD > maxMillion {
				b.Errorf("a million events cost %.4f USD with %s children, want at most %.2f", bill.USD, children, maxMillion)
			}
		})
	}
}
