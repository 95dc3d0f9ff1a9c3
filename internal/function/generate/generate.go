// Package generate is the logic of the function generate-data: it checks the input of a run, claims the failed events of
// earlier runs, and generates the run's new ones.
package generate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/deadline"
	"carnation/internal/function/metrics"
	"carnation/internal/function/retryqueue"
	"carnation/internal/function/shard"
)

const (
	// MaxItems is how many items fit one run of the inline Map. Step Functions ends an execution at 25,000 history
	// events; an item takes 46 when every attempt of every retry of its states fails. A test counts this in the state
	// machine's file.
	MaxItems = (maxHistory - runHistory) / itemHistory

	maxHistory  = 25_000
	runHistory  = 100 // the run's own events, and some of a redrive's
	itemHistory = 46

	// A state's data is limited to 256 KiB. It is largest after the Map, when every item stands in the list of failed
	// ones, wrapped in {"failed":{"item":...,"error":"..."}}.
	maxState     = 256 << 10
	runState     = 4 << 10 // the envelope of Lambda's answer
	itemOverhead = 130     // the wrapping, with an error name of 90 bytes

	// releaseTime is what claiming leaves for giving everything back.
	releaseTime = 5 * time.Second
)

// ClaimError says why the retry queue could not be read. What had been claimed is released. The state machine sees its
// type name as the error name.
type ClaimError struct {
	Err error
}

func (e *ClaimError) Error() string { return "claim failed events: " + e.Err.Error() }

func (e *ClaimError) Unwrap() error { return e.Err }

// Queue is the retry queue as a Handler uses it.
type Queue interface {
	Claim(ctx context.Context, room retryqueue.Room) ([]event.Item, error)
	Release(ctx context.Context, receiptHandles []string, at time.Time) error
}

// Handler serves invocations of generate-data.
type Handler struct {
	Queue            Queue
	Metrics          metrics.Counter
	FailureInjection bool // whether failure_rate may be above 0
}

// Answer is what the function answers: the run's items, how many of them are new and how many were claimed.
type Answer struct {
	Items     []event.Item `json:"items"`
	Generated int          `json:"generated"`
	Claimed   int          `json:"claimed"`
}

// Handle takes the input of a run, {"start_seq": n, "end_seq": n, "failure_rate"?: r}, and answers its items: the new
// events of the range, and as many failed ones as fit beside them. In the distributed mode it takes {"plan": {...},
// "shard": n}, and answers that shard's new events, or its share of the failed ones. Errors are *event.InvalidInputError,
// *event.RangeTooLargeError, *ClaimError, and what the system's random numbers give; after any of them nothing stays claimed.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	items, room, err := h.generate(payload)
	if err != nil {
		return nil, err
	}
	var claimed []event.Item
	if room.Items > 0 {
		claimCtx, cancel := deadline.Reserve(ctx, releaseTime)
		defer cancel()
		if claimed, err = h.Queue.Claim(claimCtx, room); err != nil {
			return nil, &ClaimError{errors.Join(err, h.release(ctx, claimed))}
		}
	}
	h.Metrics.Count(ctx, "events generated", map[string]int{"EventsGenerated": len(items), "EventsClaimed": len(claimed)})
	return &Answer{Items: append(items, claimed...), Generated: len(items), Claimed: len(claimed)}, nil
}

// generate makes the new events of a run or of a shard, and says what room they leave.
func (h *Handler) generate(payload []byte) ([]event.Item, retryqueue.Room, error) {
	var of struct{ Plan json.RawMessage }
	if json.Unmarshal(payload, &of) == nil && of.Plan != nil {
		return generateShard(payload)
	}
	run, err := event.ParseRun(payload, h.FailureInjection)
	if err != nil {
		return nil, retryqueue.Room{}, err
	}
	if run.EndSeq-run.StartSeq > MaxItems {
		return nil, retryqueue.Room{}, &event.RangeTooLargeError{
			StartSeq: run.StartSeq, EndSeq: run.EndSeq, Most: MaxItems, Instead: "split it into several runs, or use the distributed mode",
		}
	}
	plan, err := shard.New(run, MaxItems)
	if err != nil {
		return nil, retryqueue.Room{}, fmt.Errorf("generate events: %w", err)
	}
	items := plan.Items(0)
	room := retryqueue.Room{Only: len(items) == 0, Items: MaxItems - len(items), Bytes: maxState - runState, Overhead: itemOverhead}
	for _, item := range items {
		size, err := item.Size()
		if err != nil {
			return nil, room, err
		}
		room.Bytes -= size + itemOverhead
	}
	return items, room, nil
}

// generateShard makes the new events of a shard. One that has none claims instead. What it answers is the largest state
// of its run, since insert-data itself returns the events that fail.
func generateShard(payload []byte) ([]event.Item, retryqueue.Room, error) {
	var room retryqueue.Room
	input, err := event.ReadObject(payload, "", "plan", "shard")
	if err != nil {
		return nil, room, err
	}
	plan, err := shard.Parse(input, "plan")
	if err != nil {
		return nil, room, err
	}
	number, err := input.Int("shard", 0, int64(plan.Shards()-1))
	if err != nil {
		return nil, room, err
	}
	if int(number) < plan.Claimers {
		room = retryqueue.Room{Only: true, Items: shard.MaxClaims, Bytes: maxState - runState, Overhead: 1}
		if plan.ClaimUntil > 0 {
			room.Until = time.Unix(plan.ClaimUntil, 0)
		}
	}
	return plan.Items(int(number)), room, nil
}

// release gives claimed events back, in the time that claiming left.
func (h *Handler) release(ctx context.Context, items []event.Item) error {
	handles := make([]string, len(items))
	for i, item := range items {
		handles[i] = item.ReceiptHandle
	}
	return h.Queue.Release(ctx, handles, time.Time{})
}
