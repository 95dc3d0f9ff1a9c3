package generate

import (
	"errors"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/shard"
)

// FuzzInput feeds execution inputs.
func FuzzInput(f *testing.F) {
	f.Add([]byte(`{"start_seq":1,"end_seq":21,"failure_rate":0.5}`))
	f.Add([]byte(`{"start_seq":9,"end_seq":5}`))
	f.Add([]byte(`{"start_seq":-1,"end_seq":1e400,"failure_rate":null,"x":{}}`))
	f.Add([]byte(`"{}"`))
	f.Add([]byte(`{"plan":{"start_seq":1,"end_seq":21,"failure_rate":0.5,"claimers":0,"claim_until":0,"shard_size":10,"current_time":1795416822,"seed":"123e4567-e89b-42d3-a456-426614174000"},"shard":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &Handler{FailureInjection: true}
		items, room, err := h.generate(data)
		var invalid *event.InvalidInputError
		var tooLarge *event.RangeTooLargeError
		switch {
		case err == nil:
			if len(items) > shard.MaxSize || room.Items < 0 || room.Bytes < 0 {
				t.Errorf("%d events, room for %+v", len(items), room)
			}
		case errors.As(err, &invalid):
			if invalid.Field == "" || invalid.Allowed == "" || len(err.Error()) > 1000 {
				t.Errorf("error %q names no field, or not what is allowed, or is too long", err)
			}
		case !errors.As(err, &tooLarge):
			t.Errorf("error is a %T: %v", err, err)
		}
	})
}
