package shard

import (
	"errors"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// FuzzHandle feeds requests: each is answered, or refused with the name of a field.
func FuzzHandle(f *testing.F) {
	const plan = `{"start_seq":1,"end_seq":21,"failure_rate":0.5,"claimers":1,"claim_until":0,"shard_size":10,"current_time":1795416822,"seed":"123e4567-e89b-42d3-a456-426614174000"}`
	f.Add([]byte(runOf(`{"start_seq":1,"end_seq":21,"failure_rate":0.5}`)))
	f.Add([]byte(runOf(`{"start_seq":0,"end_seq":10000001}`)))
	f.Add([]byte(`{"operation":"AddUpShards","plan":` + plan + `,"results":[[[0,0]],[[10,0],[8,2]]]}`))
	f.Add([]byte(`{"operation":"AddUpShards","plan":` + plan + `,"results":[[],[[-1,1e9],[9]]]}`))
	f.Add([]byte(runOf(`{"events":[{"n":1},7]}`)))
	f.Add([]byte(sourceRun(`{"source":{"bucket":"my-bucket","key":"events/a","format":"CSV"},"time":7}`)))
	f.Add([]byte(`{"operation":"AddUpShards","plan":` + plan + `,"results":{"first":[[1,1,1]],"last":[[2,0,1]]},"records":3}`))
	f.Add([]byte(`{"operation":"AddUpShards","plan":null,"results":[[null]]}`))
	h := &Handler{Objects: &fakeObjects{}, Queue: waiting(300), Logger: silent, Size: 1000, Concurrency: environment.Concurrency{Value: 10}, FailureInjection: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		answer, err := h.Handle(t.Context(), data)
		var invalid *event.InvalidInputError
		var tooLarge *event.RangeTooLargeError
		var unaccounted *UnaccountedError
		var record *event.RecordError
		var changed *SourceChangedError
		switch {
		case err == nil:
			if planned := answer.Planned; planned != nil && len(planned.First)+len(planned.Then) != planned.Plan.Shards() {
				t.Errorf("%d and %d numbers of %d shards", len(planned.First), len(planned.Then), planned.Plan.Shards())
			}
			if outcome := answer.Outcome; outcome != nil && (outcome.Inserted < 0 || outcome.Failed < 0) {
				t.Errorf("outcome is %+v", outcome)
			}
		case errors.As(err, &invalid):
			if invalid.Field == "" || invalid.MustBe == "" || len(err.Error()) > 1000 {
				t.Errorf("error %q names no field, or not what is allowed, or is too long", err)
			}
		case !errors.As(err, &tooLarge) && !errors.As(err, &unaccounted) && !errors.As(err, &record) && !errors.As(err, &changed):
			t.Errorf("error is a %T: %v", err, err)
		}
	})
}
