package generate

import (
	"errors"
	"testing"

	"carnation/internal/event"
)

// FuzzHandle feeds requests: each is answered, or refused with the name of a field.
func FuzzHandle(f *testing.F) {
	f.Add([]byte(`{"operation":"GenerateRun","input":{"start_seq":1,"end_seq":21,"failure_rate":0.5},"started":"2026-11-26T12:00:00Z"}`))
	f.Add([]byte(`{"operation":"GenerateRun","input":{"start_seq":9,"end_seq":5},"started":"2026-11-26T12:00:00Z"}`))
	f.Add([]byte(`{"operation":"GenerateRun","input":{"start_seq":-1,"end_seq":1e400,"failure_rate":null,"x":{}},"started":"2026-11-26T12:00:00Z"}`))
	f.Add([]byte(`{"operation":"GenerateRun","input":{"events":[{"n":1},{"n":1e126}],"time":7},"started":"2026-11-26T12:00:00Z"}`))
	f.Add([]byte(`"{}"`))
	f.Add([]byte(`{"operation":"GenerateShard","plan":{"start_seq":1,"end_seq":21,"failure_rate":0.5,"claimers":0,"claim_until":0,"shard_size":10,"current_time":1795416822,"seed":"123e4567-e89b-42d3-a456-426614174000"},"shard":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		queue := &fakeQueue{}
		h, _ := handlerOf(queue)
		answer, err := h.Handle(t.Context(), data)
		var invalid *event.InvalidInputError
		var tooLarge *event.RangeTooLargeError
		var tooMany *event.EventsTooLargeError
		var record *event.RecordError
		switch {
		case err == nil:
			for _, room := range queue.rooms {
				if room.Items < 1 || room.Bytes < 0 {
					t.Errorf("claims into %+v", room)
				}
			}
			if len(answer.Items) > event.MaxShardSize || answer.Generated != len(answer.Items) {
				t.Errorf("%d items, %d generated", len(answer.Items), answer.Generated)
			}
		case errors.As(err, &invalid):
			if invalid.Field == "" || invalid.MustBe == "" || len(err.Error()) > 1000 {
				t.Errorf("error %q names no field, or not what is allowed, or is too long", err)
			}
		case !errors.As(err, &tooLarge) && !errors.As(err, &tooMany) && !errors.As(err, &record):
			t.Errorf("error is a %T: %v", err, err)
		}
	})
}
