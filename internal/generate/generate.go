// Package generate is the logic of the function generate-data: it checks the input of a run, claims the failed events of
// earlier runs, and generates the run's new ones.
package generate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"carnation/internal/deadline"
	"carnation/internal/event"
	"carnation/internal/metrics"
	"carnation/internal/retryqueue"
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
)

// RangeTooLargeError says that a range does not fit one run, and which does. The state machine sees its type name as
// the error name.
type RangeTooLargeError struct {
	StartSeq, EndSeq int64
}

func (e *RangeTooLargeError) Error() string {
	return fmt.Sprintf("end_seq is %d: the range of %d events does not fit one run: the largest that fits is %d events (end_seq %d); split it into several runs, or use the distributed mode",
		e.EndSeq, e.EndSeq-e.StartSeq, MaxItems, e.StartSeq+MaxItems)
}

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
	Release(ctx context.Context, receiptHandles []string) error
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
// events of the range, and as many failed ones as fit beside them. Errors are *event.InvalidInputError,
// *RangeTooLargeError, *ClaimError, and what the system's random numbers give; after any of them nothing stays claimed.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	start, end, err := h.readInput(payload)
	if err != nil {
		return nil, err
	}
	items, room, err := generate(start, end)
	if err != nil {
		return nil, err
	}
	claimCtx, cancel := deadline.Reserve(ctx)
	defer cancel()
	claimed, err := h.Queue.Claim(claimCtx, room)
	if err != nil {
		return nil, &ClaimError{errors.Join(err, h.release(ctx, claimed))}
	}
	h.Metrics.Count(ctx, "events generated", map[string]int{"EventsGenerated": len(items), "EventsClaimed": len(claimed)})
	return &Answer{Items: append(items, claimed...), Generated: len(items), Claimed: len(claimed)}, nil
}

func (h *Handler) readInput(payload []byte) (start, end int64, err error) {
	input, err := event.ReadObject(payload, "", "start_seq", "end_seq", "failure_rate")
	if err != nil {
		return 0, 0, err
	}
	if start, err = input.Int("start_seq", 0, event.MaxSequenceNo); err != nil {
		return 0, 0, err
	}
	if end, err = input.Int("end_seq", start, event.MaxSequenceNo); err != nil {
		return 0, 0, err
	}
	if _, err := event.FailureRate(input, h.FailureInjection); err != nil {
		return 0, 0, err
	}
	if end-start > MaxItems {
		return 0, 0, &RangeTooLargeError{start, end}
	}
	return start, end, nil
}

// generate makes the events of the range and says what room they leave.
func generate(start, end int64) ([]event.Item, retryqueue.Room, error) {
	room := retryqueue.Room{Items: MaxItems - int(end-start), Bytes: maxState - runState, Overhead: itemOverhead}
	items := make([]event.Item, 0, end-start)
	now := time.Now().Unix()
	for seq := start; seq < end; seq++ {
		id, err := uuid.NewRandom()
		if err != nil {
			return nil, room, fmt.Errorf("generate event %d: %w", seq, err)
		}
		item := event.Item{Event: event.Event{SequenceNo: seq, RandomValue: id.String(), CurrentTime: now, StartSeq: start, EndSeq: end}}
		size, err := item.Size()
		if err != nil {
			return nil, room, err
		}
		room.Bytes -= size + itemOverhead
		items = append(items, item)
	}
	return items, room, nil
}

// release gives claimed events back, in the time that claiming left.
func (h *Handler) release(ctx context.Context, items []event.Item) error {
	handles := make([]string, len(items))
	for i, item := range items {
		handles[i] = item.ReceiptHandle
	}
	return h.Queue.Release(ctx, handles)
}
