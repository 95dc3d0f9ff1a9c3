package insert

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

// succeed is work that always succeeds.
func succeed(context.Context, event.Event) error { return nil }

// takesAll is a queue whose calls all succeed.
type takesAll struct{}

func (takesAll) Delete(context.Context, []string) error { return nil }

func (takesAll) Release(context.Context, []string, time.Time) error { return nil }

func (takesAll) Park(context.Context, string, []retryqueue.Parked) error { return nil }

func (takesAll) Bury(context.Context, string, []retryqueue.Parked) ([]int, error) { return nil, nil }

// FuzzHandle feeds requests: each is answered, or refused with the name of a field.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"operation":"InsertItems","run":"a","items":[{"event":{"sequence_no":7,"random_value":"123e4567-e89b-42d3-a456-426614174000","current_time":1795416822,"start_seq":1,"end_seq":21,"retry_attempt":0},"receipt_handle":"r"}],"failure_rate":0.5}`))
	f.Add([]byte(`{"operation":"InsertItems","items":[],"failure_rate":2}`))
	f.Add([]byte(`{"operation":"InsertShard","items":[{"event":null}],"release_at":7}`))
	f.Add([]byte(`{"operation":"InsertRecords","records":[{"index":0,"record":{"n":1e126}},{"index":1,"record":7}],"source":"input","time":1,"run":"a"}`))
	f.Add([]byte(`{"items":{}}`))
	logger := slog.New(slog.DiscardHandler)
	h := &Handler{Work: succeed, Queue: takesAll{}, Logger: logger, Metrics: environment.Metrics{Logger: logger}, FailureInjection: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := h.Handle(t.Context(), data)
		var invalid *event.InvalidInputError
		switch {
		case err == nil:
			if (answer.Failed == nil) == (answer.Returned == nil) || answer.Inserted < 0 || answer.Dead < 0 {
				t.Errorf("answer is %+v", answer)
			}
		case !errors.As(err, &invalid) || invalid.Field == "" || invalid.MustBe == "" || len(err.Error()) > 1000:
			t.Errorf("error is a %T: %v", err, err)
		}
	})
}
