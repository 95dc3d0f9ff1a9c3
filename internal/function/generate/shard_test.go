package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"carnation/internal/event"
	"carnation/internal/function/retryqueue"
)

// planOf is a plan of 25 events in shards of 10, after two shards that claim.
func planOf(start int64) string {
	return fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.5,"claimers":2,"claim_until":9000000000,"shard_size":10,"current_time":1795416822,"seed":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"}`, start, start+25)
}

func TestAShardHasItsPartOfTheRangeAndClaimsNothing(t *testing.T) {
	var all []int64
	for number, want := range map[int]int{2: 10, 3: 10, 4: 5} {
		queue := &fakeQueue{claimed: []event.Item{claimedItem}}
		h, log := handlerOf(queue)
		answer, err := h.Handle(t.Context(), json.RawMessage(fmt.Sprintf(`{"operation":"GenerateShard","plan":%s,"shard":%d}`, planOf(100), number)))
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Items) != want || answer.Generated != want || answer.Claimed != 0 || len(queue.rooms) > 0 {
			t.Errorf("shard %d: %d items, %d generated, %d claimed, %d receives, want %d new ones", number, len(answer.Items), answer.Generated, answer.Claimed, len(queue.rooms), want)
		}
		if !strings.Contains(log.String(), fmt.Sprintf(`"EventsGenerated":%d`, want)) {
			t.Errorf("shard %d: the log does not count %d events:\n%s", number, want, log)
		}
		for _, item := range answer.Items {
			all = append(all, item.Event.SequenceNo)
		}
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 25 || all[0] != 100 || all[24] != 124 {
		t.Errorf("the shards have %v, want 100 to 124", all)
	}
}

func TestAShardThatClaimsTakesItsShareAndGeneratesNothing(t *testing.T) {
	for number := range 2 {
		queue := &fakeQueue{claimed: []event.Item{claimedItem}}
		h, _ := handlerOf(queue)
		answer, err := h.Handle(t.Context(), json.RawMessage(fmt.Sprintf(`{"operation":"GenerateShard","plan":%s,"shard":%d}`, planOf(100), number)))
		if err != nil || !slices.EqualFunc(answer.Items, queue.claimed, event.Item.Equal) || answer.Generated != 0 || answer.Claimed != 1 {
			t.Errorf("shard %d: %+v, %v, want the claimed item", number, answer, err)
		}
		if len(queue.rooms) != 1 || queue.rooms[0].Items != event.MaxShardClaims || queue.rooms[0].Until.Unix() != 9000000000 {
			t.Errorf("shard %d claims into %+v, want room for %d items until 9000000000", number, queue.rooms, event.MaxShardClaims)
		}
	}
}

func TestBadShardsAreRefusedBeforeAnythingIsClaimed(t *testing.T) {
	for _, tc := range []struct{ input, want string }{
		{`{"operation":"GenerateShard","plan":` + planOf(1) + `}`, "shard is missing: must be an integer from 0 to 4"},
		{`{"operation":"GenerateShard","plan":` + planOf(1) + `,"shard":5}`, "shard is 5: must be an integer from 0 to 4"},
		{`{"operation":"GenerateShard","plan":` + planOf(1) + `,"shard":1,"start_seq":1}`, "start_seq is unknown: must be one of operation, plan, shard"},
		{`{"operation":"GenerateShard","plan":7,"shard":1}`, "plan is 7: must be a JSON object with the fields start_seq, end_seq, failure_rate, claimers, claim_until, shard_size, current_time, seed"},
		{`{"operation":"GenerateShard","plan":` + strings.Replace(planOf(1), `"claimers":2`, `"claimers":null`, 1) + `,"shard":1}`, "plan.claimers is null: must be an integer from 0 to 500"},
	} {
		queue := &fakeQueue{}
		h, _ := handlerOf(queue)
		_, err := h.Handle(t.Context(), json.RawMessage(tc.input))
		var invalid *event.InvalidInputError
		if !errors.As(err, &invalid) || err.Error() != tc.want || len(queue.rooms) > 0 {
			t.Errorf("Handle(%s) error = %v, want %s", tc.input, err, tc.want)
		}
	}
}

// The largest states of a shard: only new events, or only claims, with the longest numbers and receipt handles.
func TestItemsOfAShardFitTheState(t *testing.T) {
	const limit, envelope = 262_144, 2048
	start := int64(event.MaxSequenceNo - event.MaxEvents)
	plan := fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.12345678901234567,"claimers":500,"claim_until":9007199254740991,"shard_size":1000,"current_time":%d,"seed":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"}`,
		start, int64(event.MaxSequenceNo), int64(event.MaxSequenceNo))
	for _, tc := range []struct {
		kind                     string
		number, handleSize, want int
	}{
		{"generated", 10_499, 1, event.MaxShardSize},
		{"generated", 0, 1, event.MaxShardClaims},
		{"generated", 0, 400, event.MaxShardClaims},
		{"generated", 0, retryqueue.MaxReceiptHandle, 187}, // the room for the largest event is reserved
		{"record", 0, 400, 11},
		{"record", 0, retryqueue.MaxReceiptHandle, 10},
	} {
		h, _ := handlerOf(retryqueue.Queue{API: &endlessSQS{body: largestMessages(t)[tc.kind], handleSize: tc.handleSize}, Logger: slog.New(slog.DiscardHandler)})
		answer, err := h.Handle(t.Context(), json.RawMessage(fmt.Sprintf(`{"operation":"GenerateShard","plan":%s,"shard":%d}`, plan, tc.number)))
		if err != nil {
			t.Fatal(err)
		}
		run := "arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:" + strings.Repeat("m", 80) + ":" + strings.Repeat("e", 80)
		state := marshal(t, map[string]any{"plan": json.RawMessage(plan), "shard": tc.number, "run": run, "generated": map[string]any{"items": answer.Items}})
		if size := max(len(state), len(marshal(t, answer))); len(answer.Items) != tc.want || size > limit-envelope {
			t.Errorf("shard %d with handles of %d: %d items, %d bytes, want %d items and at most %d bytes", tc.number, tc.handleSize, len(answer.Items), size, tc.want, limit-envelope)
		}
	}
}
