// Package generate is the logic of the function generate-data: it checks the input of a run, generates the run's new events,
// and claims failed events of earlier runs.
package generate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

// The operations of generate-data, which its requests name.
const (
	GenerateRun   = "GenerateRun"
	GenerateShard = "GenerateShard"
)

const (
	// MaxItems is the most new events of a run in the inline mode. Step Functions ends an execution after 25,000 history events. A
	// new event takes 44 if every attempt of every retry of its states fails, and a claimed one 63. A test counts them in the state
	// machine's file.
	MaxItems = (maxHistory - runHistory) / itemHistory

	// MaxConcurrency is the most iterations that an inline Map runs at once.
	MaxConcurrency = 40

	maxHistory   = 25_000
	runHistory   = 100 // the run's own events, and some for a redrive
	itemHistory  = 46  // of a new event, two of them for a redrive
	claimHistory = 63

	// The data of a state is limited to 256 KiB. It is largest after the Map if every event failed: each item is then in the
	// list of failed ones, wrapped in {"failed":{"item":...,"error":"..."}}.
	maxState     = 256 << 10
	runState     = 4 << 10 // the envelope of Lambda's answer
	itemOverhead = 130     // the wrapping, with an error name of 90 bytes
	// maxItemsState is the most bytes of all items, each with its overhead.
	maxItemsState = maxState - runState

	// releaseTime is reserved for releasing what was claimed, if claiming fails.
	releaseTime = 5 * time.Second
)

// MaxClaims is the most failed events that a run in the inline mode claims beside its new events.
func MaxClaims(newEvents int) int {
	return (maxHistory - runHistory - newEvents*itemHistory) / claimHistory
}

// ClaimError says why the retry queue could not be read. Everything claimed before was released. The state machine sees its
// type name as the error name.
type ClaimError struct {
	Err error
}

func (e *ClaimError) Error() string { return "claim failed events: " + e.Err.Error() }

func (e *ClaimError) Unwrap() error { return e.Err }

// Queue is the part of the retry queue that a Handler uses.
type Queue interface {
	Claim(ctx context.Context, room retryqueue.Room) ([]event.Item, error)
	Release(ctx context.Context, receiptHandles []string, at time.Time) error
}

// Handler serves the invocations of generate-data.
type Handler struct {
	Queue            Queue
	Metrics          environment.Metrics
	Logger           *slog.Logger
	Concurrency      environment.Concurrency // of a run in the inline mode, 1 to MaxConcurrency
	FailureInjection bool                    // whether failure_rate may be above 0
}

// Answer has the items of a run or of a shard, how many of them are new, and how many were claimed.
type Answer struct {
	Items          []event.Item `json:"items"`
	Generated      int          `json:"generated"`
	Claimed        int          `json:"claimed"`
	MaxConcurrency int64        `json:"max_concurrency,omitempty"` // GenerateRun only
}

// Handle generates the items of a run in the inline mode, or of a shard in the distributed mode.
//
//	{"operation": "GenerateRun", "input": <the input of the run>, "started": "<start of the execution, RFC 3339>"}
//	{"operation": "GenerateShard", "plan": {...}, "shard": n}
//
// A run has the new events of its range or of its records, and as many failed events as fit beside them. A shard has either its new
// events, or failed ones. Errors are *event.InvalidInputError, *event.RangeTooLargeError, *event.EventsTooLargeError,
// *event.RecordError and *ClaimError, and an error of the system's random numbers. After an error nothing stays claimed.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	operation, request, err := event.ReadRequest(payload, event.Operations{GenerateRun: {"input", "started"}, GenerateShard: {"plan", "shard"}})
	if err != nil {
		return nil, err
	}
	var answer *Answer
	var room retryqueue.Room // for claimed items
	switch operation {
	case GenerateRun:
		answer, room, err = h.generateRun(ctx, request)
	case GenerateShard:
		answer, room, err = generateShard(request)
	}
	if err != nil {
		return nil, err
	}
	if room.Items > 0 {
		claimed, err := h.claim(ctx, room)
		if err != nil {
			return nil, err
		}
		answer.Items, answer.Claimed = append(answer.Items, claimed...), len(claimed)
	}
	h.Metrics.Count(ctx, "events generated", map[string]int{"EventsGenerated": answer.Generated, "EventsClaimed": answer.Claimed})
	return answer, nil
}

// generateRun generates the new events of a run in the inline mode, and says how much room they leave.
func (h *Handler) generateRun(ctx context.Context, request event.Object) (*Answer, retryqueue.Room, error) {
	var room retryqueue.Room
	input, created, err := event.ReadRun(request, h.FailureInjection)
	if err != nil {
		return nil, room, err
	}
	items, err := newItems(input, created)
	if err != nil {
		return nil, room, err
	}
	if room, err = roomBeside(items, input.Events != nil); err != nil {
		return nil, room, err
	}
	return &Answer{Items: items, Generated: len(items), MaxConcurrency: h.Concurrency.OfRun(ctx, h.Logger)}, room, nil
}

// roomBeside is the room that the new events of a run leave. If they are own events that do not fit, the error is an
// *event.EventsTooLargeError.
func roomBeside(items []event.Item, own bool) (retryqueue.Room, error) {
	room := retryqueue.Room{Only: len(items) == 0, Items: MaxClaims(len(items)), Bytes: maxItemsState, Overhead: itemOverhead}
	for _, item := range items {
		size, err := item.Size()
		if err != nil {
			return room, err
		}
		room.Bytes -= size + itemOverhead
	}
	if own && (room.Bytes < 0 || len(items) > MaxItems) {
		return room, &event.EventsTooLargeError{
			Records: int64(len(items)), Bytes: int64(maxItemsState - room.Bytes), MostRecords: MaxItems, MostBytes: maxItemsState, Instead: splitEvents,
		}
	}
	return room, nil
}

// CheckEvents tells whether records fit one run of the inline mode that is started at this time. The error is an
// *event.EventsTooLargeError, or the *event.RecordError of a bad record.
func CheckEvents(records []json.RawMessage, started int64) error {
	items, err := newItems(event.Input{Events: records}, started)
	if err == nil {
		_, err = roomBeside(items, true)
	}
	return err
}

// splitEvents is what to do with records that do not fit one run.
const splitEvents = "split them into several runs, or deploy the stack with MapMode=DISTRIBUTED and read them from S3 with source"

// newItems are the new events of a run.
func newItems(input event.Input, created int64) ([]event.Item, error) {
	switch {
	case input.Source != nil:
		return nil, &event.InvalidInputError{Field: "source", Value: input.Source.URI(),
			MustBe: "left out, because only a stack with MapMode=DISTRIBUTED reads records from S3"}
	case input.Events != nil:
		items := make([]event.Item, len(input.Events))
		for i, record := range input.Events {
			var err error
			items[i].Event, err = event.FromRecord(event.InputSource, created, int64(i)+1, record)
			if bad, ok := errors.AsType[*event.RecordError](err); ok {
				return nil, bad.ForLog()
			}
		}
		return items, nil
	}
	if input.EndSeq-input.StartSeq > MaxItems {
		return nil, &event.RangeTooLargeError{
			StartSeq: input.StartSeq, EndSeq: input.EndSeq, Most: MaxItems, Instead: "split it into several runs, or use the distributed mode",
		}
	}
	plan, err := event.NewPlan(input.Run, MaxItems, created)
	if err != nil {
		return nil, fmt.Errorf("generate events: %w", err)
	}
	return plan.Items(0), nil
}

// generateShard generates the new events of a shard. Only a shard without new events has room for claimed ones. The answer is
// the largest state of the shard, because insert-data itself returns the events that fail.
func generateShard(request event.Object) (*Answer, retryqueue.Room, error) {
	var room retryqueue.Room
	plan, err := event.ParsePlan(request, "plan")
	if err != nil {
		return nil, room, err
	}
	shard, err := request.Int("shard", 0, int64(plan.Shards()-1))
	if err != nil {
		return nil, room, err
	}
	if int(shard) < plan.Claimers {
		room = retryqueue.Room{Only: true, Items: event.MaxShardClaims, Bytes: maxItemsState, Overhead: 1}
		if plan.ClaimUntil > 0 {
			room.Until = time.Unix(plan.ClaimUntil, 0)
		}
	}
	items := plan.Items(int(shard))
	return &Answer{Items: items, Generated: len(items)}, room, nil
}

// claim claims failed events. If that fails, it releases what it has claimed.
func (h *Handler) claim(ctx context.Context, room retryqueue.Room) ([]event.Item, error) {
	claimCtx, cancel := environment.Reserve(ctx, releaseTime)
	defer cancel()
	items, err := h.Queue.Claim(claimCtx, room)
	if err == nil {
		return items, nil
	}
	handles := make([]string, len(items))
	for i, item := range items {
		handles[i] = item.ReceiptHandle
	}
	return nil, &ClaimError{errors.Join(err, h.Queue.Release(ctx, handles, time.Time{}))}
}
