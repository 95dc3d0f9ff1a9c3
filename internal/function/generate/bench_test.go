package generate

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// BenchmarkHandle measures generate-data with a shard of new events, with its answer as JSON.
func BenchmarkHandle(b *testing.B) {
	h := &Handler{Queue: &fakeQueue{}, Metrics: environment.Metrics{Logger: slog.New(slog.DiscardHandler)}}
	for _, n := range []int64{1, 1000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			plan, err := event.NewPlan(event.Run{StartSeq: 1, EndSeq: 1 + n}, n, 1795416822)
			if err != nil {
				b.Fatal(err)
			}
			payload, err := json.Marshal(map[string]any{"operation": GenerateShard, "plan": plan, "shard": 0})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				answer, err := h.Handle(b.Context(), payload)
				if err != nil || int64(len(answer.Items)) != n {
					b.Fatalf("answer %+v, %v, want %d items", answer, err, n)
				}
				if _, err := json.Marshal(answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
