// Package insert is the logic of the function insert-data: it does the work with each event, deletes the messages of claimed
// events that succeeded, and gives back events that failed. Those that fail for good go to the dead-letter queue.
package insert

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
	"carnation/internal/function/work"
)

const (
	// concurrency is how many events are worked on at once.
	concurrency = environment.Connections
	// answerTime is reserved for what comes after inserting, and after returning. returnTime is reserved for parking a whole shard of
	// failed events, even if SQS is slow or throttles.
	answerTime = 5 * time.Second
	returnTime = 10 * time.Second
)

// Queue is the part of the retry queue that a Handler uses.
type Queue interface {
	Delete(ctx context.Context, receiptHandles []string) error
	Release(ctx context.Context, receiptHandles []string, at time.Time) error
	Park(ctx context.Context, execution string, events []retryqueue.Parked) error
	Bury(ctx context.Context, execution string, events []retryqueue.Parked) (left []int, err error)
}

// ParkError says why new events that failed could not be parked. These events are only in the input of the invocation, which must
// be retried. The state machine sees its type name as the error name.
type ParkError struct {
	Err error
}

func (e *ParkError) Error() string { return "park failed events: " + e.Err.Error() }

func (e *ParkError) Unwrap() error { return e.Err }

// Handler serves the invocations of insert-data.
type Handler struct {
	// Work is done with each event. It must be safe to repeat: a retry gives it the same event again. It must return when its
	// context ends. An error that no retry can cure is marked with work.Permanent.
	Work             func(ctx context.Context, e event.Event) error
	Queue            Queue
	Metrics          environment.Metrics
	Logger           *slog.Logger
	MaxReceiveCount  int64
	FailureInjection bool // whether failure_rate may be above 0
}

// Answer says how many events were inserted, and how many are in the dead-letter queue now. InsertItems also has the other items that
// failed. The other operations have given those back, and say how many are in the retry queue.
type Answer struct {
	Inserted int      `json:"inserted"`
	Returned *int     `json:"returned,omitempty"`
	Dead     int      `json:"dead"`
	Failed   []Failed `json:"failed,omitzero"`
}

// Failed is an item whose event may not be in the table, with the name of the error.
type Failed struct {
	event.Item
	Error string `json:"error"`

	permanent bool
}

// MarshalJSON is needed because Failed would otherwise have that of its event.
func (f Failed) MarshalJSON() ([]byte, error) {
	return event.Encode(struct {
		Event         event.Event `json:"event"`
		ReceiptHandle string      `json:"receipt_handle,omitempty"`
		Error         string      `json:"error"`
	}{f.Event, f.ReceiptHandle, f.Error})
}

// Handle inserts events.
//
//	{"operation": "InsertItems", "items": [...], "failure_rate"?: r, "run": "<ARN>"}
//	{"operation": "InsertShard", "items": [...], "failure_rate"?: r, "run": "<ARN>", "release_at": <Unix seconds>}
//	{"operation": "InsertRecords", "records": [{"index": n, "record": {...}}], "source": "...", "time": <Unix seconds>, "failure_rate"?: r, "run": "<ARN>"}
//
// An event that no retry can cure is sent to the dead-letter queue on behalf of the run. If that fails, it is an event like the others
// that failed or did not fit the time. InsertItems answers those. The other operations give them back: they park new events, bury
// claimed events without retries left, and release the other claimed events at release_at. Errors are *event.InvalidInputError and
// *ParkError. After a *ParkError the same input can be tried again.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	r, err := h.read(payload)
	if err != nil {
		return nil, err
	}
	after := answerTime
	if r.givesBack {
		after += returnTime
	}
	h.insertAll(ctx, after, r)

	answer := &Answer{}
	var done []string
	failed := []Failed{}
	for i, item := range r.items {
		err := r.errs[i]
		if err == nil {
			answer.Inserted++
			if item.ReceiptHandle != "" {
				done = append(done, item.ReceiptHandle)
			}
			continue
		}
		f := Failed{item, errorName(err), work.IsPermanent(err)}
		h.Logger.WarnContext(ctx, "event failed", "sequenceNo", item.Event.SequenceNo, "retryAttempt", item.Event.RetryAttempt,
			"error", errorText(err), "permanent", f.permanent)
		failed = append(failed, f)
	}
	returnCtx, cancel := environment.Reserve(ctx, answerTime)
	defer cancel()
	left, buried, err := h.giveBack(returnCtx, r, failed)
	if err != nil {
		return nil, &ParkError{err}
	}
	answer.Dead = len(failed) - len(left)
	if r.givesBack {
		answer.Returned = new(len(left))
	} else {
		answer.Failed = left
	}
	if err := h.Queue.Delete(returnCtx, append(done, buried...)); err != nil {
		// The events are in the table or in the dead-letter queue. Their messages come back by themselves. The next run retries these
		// events, which leads to the same rows or buries them again; SQS moves those without retries left to the dead-letter queue.
		h.Logger.ErrorContext(ctx, "messages of inserted or buried events not deleted", "error", err.Error())
	}
	h.Metrics.Count(ctx, "events inserted", map[string]int{"EventsInserted": answer.Inserted, "EventsFailed": len(failed)})
	return answer, nil
}

// insertAll inserts the events of all items that have no error yet, and notes the error of each. It leaves the given time for what
// comes after.
func (h *Handler) insertAll(ctx context.Context, after time.Duration, r *request) {
	ctx, cancel := environment.Reserve(ctx, after)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, item := range r.items {
		if r.errs[i] != nil {
			continue
		}
		group.Go(func() error {
			r.errs[i] = h.insert(ctx, item.Event, r.rate)
			return nil
		})
	}
	_ = group.Wait() // the errors are in r.errs
}

// giveBack sends the events that failed for good to the dead-letter queue. If the request says so, it also parks new events that
// failed, buries claimed ones without retries left, and releases the other claimed ones. It returns the events that are not in the
// dead-letter queue, and the receipt handles of those that are, for the caller to delete. The error is about events that were not
// parked. A claimed event that was not buried is released, and one that was not released comes back by itself.
func (h *Handler) giveBack(ctx context.Context, r *request, failed []Failed) (left []Failed, buried []string, err error) {
	left = []Failed{}
	var last []Failed
	for _, f := range failed {
		noRetries := r.givesBack && f.ReceiptHandle != "" && int64(f.Event.RetryAttempt) >= h.MaxReceiveCount
		if f.permanent || noRetries {
			last = append(last, f)
		} else {
			left = append(left, f)
		}
	}
	// Parking comes first: if it fails, the invocation is tried again, and would bury the others twice.
	if r.givesBack {
		if err := h.park(ctx, r.run, left); err != nil {
			return nil, nil, err
		}
	}
	positions, err := h.Queue.Bury(ctx, r.run, parked(last))
	if err != nil {
		h.Logger.ErrorContext(ctx, "events not sent to the dead-letter queue", "error", err.Error())
	}
	var unburied []Failed
	for i, f := range last {
		switch {
		case slices.Contains(positions, i):
			unburied = append(unburied, f)
		case f.ReceiptHandle != "":
			buried = append(buried, f.ReceiptHandle)
		}
	}
	left = append(left, unburied...)
	if !r.givesBack {
		return left, buried, nil
	}
	if err := h.park(ctx, r.run, unburied); err != nil {
		return nil, nil, err
	}
	var released []string
	for _, f := range left {
		if f.ReceiptHandle != "" {
			released = append(released, f.ReceiptHandle)
		}
	}
	if err := h.Queue.Release(ctx, released, r.releaseAt); err != nil {
		h.Logger.ErrorContext(ctx, "claims of failed events not released", "error", err.Error())
	}
	return left, buried, nil
}

// park parks those of the events that are new.
func (h *Handler) park(ctx context.Context, run string, events []Failed) error {
	var created []Failed
	for _, f := range events {
		if f.ReceiptHandle == "" {
			created = append(created, f)
		}
	}
	return h.Queue.Park(ctx, run, parked(created))
}

func parked(events []Failed) []retryqueue.Parked {
	var list []retryqueue.Parked
	for _, f := range events {
		list = append(list, retryqueue.Parked{Event: f.Event, Error: f.Error, Permanent: f.permanent})
	}
	return list
}

var (
	errSimulated = errors.New("failure simulated by failure_rate")
	errOutOfTime = errors.New("the function's time is up")
)

// insert does the work with one event, unless it fails on purpose or the time is up.
func (h *Handler) insert(ctx context.Context, e event.Event, rate float64) error {
	err := errSimulated
	if ctx.Err() != nil {
		err = errOutOfTime
	} else if !Simulated(e.SequenceNo, e.RetryAttempt, rate) {
		err = h.Work(ctx, e)
		if err != nil && ctx.Err() != nil { // rather than the time of a single call
			err = errors.Join(errOutOfTime, err)
		}
	}
	if err != nil {
		return fmt.Errorf("insert event %d: %w", e.SequenceNo, err)
	}
	return nil
}

// Simulated tells whether an insert fails on purpose at this rate, 0 to 1. It depends only on the sequence number and the attempt,
// so that the failures of a run are known in advance, and a retry can succeed.
func Simulated(sequenceNo int64, attempt int, rate float64) bool {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", sequenceNo, attempt))
	share := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53) // from 0 up to, but not including, 1
	return share < rate
}
