package generate

import (
	"errors"
	"testing"

	"carnation/internal/event"
)

// FuzzInput feeds execution inputs.
func FuzzInput(f *testing.F) {
	f.Add([]byte(`{"start_seq":1,"end_seq":21,"failure_rate":0.5}`))
	f.Add([]byte(`{"start_seq":9,"end_seq":5}`))
	f.Add([]byte(`{"start_seq":-1,"end_seq":1e400,"failure_rate":null,"x":{}}`))
	f.Add([]byte(`"{}"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &Handler{FailureInjection: true}
		start, end, err := h.readInput(data)
		var invalid *event.InvalidInputError
		var tooLarge *RangeTooLargeError
		switch {
		case err == nil:
			if start < 0 || end < start || end-start > MaxItems {
				t.Errorf("took %d to %d", start, end)
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
