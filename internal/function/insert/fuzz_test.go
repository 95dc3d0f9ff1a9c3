package insert

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/metrics"
	"carnation/internal/function/retryqueue"
)

// takesAll is a table and a queue that take everything.
type takesAll struct{}

func (takesAll) Call(context.Context, string, any, any) error { return nil }

func (takesAll) Delete(context.Context, []string) error { return nil }

func (takesAll) Release(context.Context, []string, time.Time) error { return nil }

func (takesAll) Park(context.Context, string, []retryqueue.Parked) error { return nil }

// FuzzHandle feeds invocations: every item is inserted or answered as failed, or the input is refused by a field.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"items":[{"event":{"sequence_no":7,"random_value":"123e4567-e89b-42d3-a456-426614174000","current_time":1795416822,"start_seq":1,"end_seq":21,"retry_attempt":0},"receipt_handle":"r"}],"failure_rate":0.5}`))
	f.Add([]byte(`{"items":[],"failure_rate":2}`))
	f.Add([]byte(`{"items":[{"event":null}]}`))
	f.Add([]byte(`{"items":{}}`))
	logger := slog.New(slog.DiscardHandler)
	h := &Handler{API: takesAll{}, TableName: "t", Queue: takesAll{}, Logger: logger, Metrics: metrics.Counter{Logger: logger}, FailureInjection: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := h.Handle(t.Context(), data)
		var invalid *event.InvalidInputError
		switch {
		case err == nil:
			if answer.Failed == nil || answer.Inserted < 0 {
				t.Errorf("answer is %+v", answer)
			}
		case !errors.As(err, &invalid) || invalid.Field == "" || invalid.MustBe == "" || len(err.Error()) > 1000:
			t.Errorf("error is a %T: %v", err, err)
		}
	})
}
