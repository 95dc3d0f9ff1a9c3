package event

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzParse feeds message bodies. An accepted body is a valid event that reads back as the same event. A refused body is refused with
// the name of a field.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"sequence_no":7,"random_value":"123e4567-e89b-42d3-a456-426614174000","current_time":1795416822,"start_seq":1,"end_seq":21,"retry_attempt":0}`))
	f.Add([]byte(`{"sequence_no":1e3,"random_value":null}`))
	f.Add([]byte(`[{"event":{}}]`))
	f.Add([]byte(`null`))
	f.Add([]byte{0xff, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data, "")
		var invalid *InvalidInputError
		switch {
		case errors.As(err, &invalid):
			if invalid.Field == "" || invalid.MustBe == "" || len(err.Error()) > 1000 {
				t.Errorf("error %q names no field, or not what is allowed, or is too long", err)
			}
		case err != nil:
			t.Errorf("error is a %T: %v", err, err)
		default:
			if e.SequenceNo < e.StartSeq || e.SequenceNo >= e.EndSeq || e.StartSeq < 0 {
				t.Errorf("took %+v", e)
			}
			again, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := Parse(again, ""); err != nil || !back.Equal(e) {
				t.Errorf("%s reads back as %+v, %v", again, back, err)
			}
		}
	})
}
