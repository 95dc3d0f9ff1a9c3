package insert

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

// BenchmarkHandle measures insert-data without its call of DynamoDB.
func BenchmarkHandle(b *testing.B) {
	for _, n := range []int64{1, 1000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			plan, err := event.NewPlan(event.Run{StartSeq: 1, EndSeq: 1 + n}, n, 1795416822)
			if err != nil {
				b.Fatal(err)
			}
			payload, err := json.Marshal(map[string]any{"operation": InsertShard, "items": plan.Items(0), "run": "arn", "release_at": 0})
			if err != nil {
				b.Fatal(err)
			}
			logger := slog.New(slog.DiscardHandler)
			h := &Handler{Work: succeed, Queue: retryqueue.Queue{Logger: logger}, Metrics: environment.Metrics{Logger: logger}, Logger: logger}
			b.ReportAllocs()
			for b.Loop() {
				if answer, err := h.Handle(b.Context(), payload); err != nil || int64(answer.Inserted) != n {
					b.Fatalf("inserted %+v, %v, want %d", answer, err, n)
				}
			}
		})
	}
}
