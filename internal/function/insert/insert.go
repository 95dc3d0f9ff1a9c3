// Package insert is the logic of the function insert-data: it does the work with each event, deletes the messages of claimed
// events that succeeded, and returns events that failed.
package insert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

const (
	// concurrency is how many events are worked on at once.
	concurrency = environment.Connections
	// maxError is the longest name of an error in an answer, in bytes. generate-data relies on it.
	maxError = 90
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
	// context ends.
	Work             func(ctx context.Context, e event.Event) error
	Queue            Queue
	Metrics          environment.Metrics
	Logger           *slog.Logger
	MaxReceiveCount  int64
	FailureInjection bool // whether failure_rate may be above 0
}

// Answer says how many events were inserted, and which items failed. If insert-data itself has given back the failed ones, it says
// instead how many are in the retry queue and how many in the dead-letter queue.
type Answer struct {
	Inserted int `json:"inserted"`
	*GivenBack
	Failed []Failed `json:"failed"`
}

// GivenBack is the numbers of failed events in the retry queue and in the dead-letter queue.
type GivenBack struct {
	Returned int `json:"returned"`
	Buried   int `json:"buried"`
}

// Failed is an item whose event may not be in the table, with the name of the error.
type Failed struct {
	event.Item
	Error string `json:"error"`
}

// Handle inserts events.
//
//	{"items": [...], "failure_rate"?: r, "return_for"?: "<ARN of an execution>", "release_at"?: <Unix seconds>}
//
// The answer has the items that could not be inserted, or not in time. With return_for, Handle gives them back on behalf of that
// execution: it parks new events, buries claimed events without retries left, and releases the other claimed events at release_at.
// Errors are *event.InvalidInputError and *ParkError. After a *ParkError the same input can be tried again.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	input, err := event.ReadObject(payload, "", "items", "failure_rate", "return_for", "release_at")
	if err != nil {
		return nil, err
	}
	items, err := event.ParseItems(input, "items")
	if err != nil {
		return nil, err
	}
	rate, err := event.FailureRate(input, h.FailureInjection)
	if err != nil {
		return nil, err
	}
	var execution string
	if input.Has("return_for") {
		if execution, err = input.String("return_for", "the ARN of an execution"); err != nil {
			return nil, err
		}
	}
	var releaseAt int64
	if input.Has("release_at") {
		if releaseAt, err = input.Int("release_at", 0, event.MaxSequenceNo); err != nil {
			return nil, err
		}
	}

	after := answerTime
	if execution != "" {
		after += returnTime
	}
	errs := h.insertAll(ctx, after, items, rate)
	answer := &Answer{Failed: []Failed{}}
	var done []string
	for i, item := range items {
		if errs[i] != nil {
			h.Logger.WarnContext(ctx, "event failed", "sequenceNo", item.Event.SequenceNo, "retryAttempt", item.Event.RetryAttempt, "error", errs[i].Error())
			answer.Failed = append(answer.Failed, Failed{item, errorName(errs[i])})
			continue
		}
		answer.Inserted++
		if item.ReceiptHandle != "" {
			done = append(done, item.ReceiptHandle)
		}
	}
	failed := len(answer.Failed)
	returnCtx, cancel := environment.Reserve(ctx, answerTime)
	defer cancel()
	if execution != "" {
		buried, err := h.giveBack(returnCtx, execution, time.Unix(releaseAt, 0), answer.Failed)
		if err != nil {
			return nil, &ParkError{err}
		}
		done = append(done, buried...)
		answer.GivenBack, answer.Failed = &GivenBack{Returned: failed - len(buried), Buried: len(buried)}, []Failed{}
	}
	if err := h.Queue.Delete(returnCtx, done); err != nil {
		// The events are in the table or in the dead-letter queue. Their messages come back by themselves. The next run deletes those
		// of the table, and SQS moves the others to the dead-letter queue.
		h.Logger.ErrorContext(ctx, "messages of inserted or buried events not deleted", "error", err.Error())
	}
	h.Metrics.Count(ctx, "events inserted", map[string]int{"EventsInserted": answer.Inserted, "EventsFailed": failed})
	return answer, nil
}

// insertAll inserts the events of all items and returns the error of each. It leaves the given time for what comes after.
func (h *Handler) insertAll(ctx context.Context, after time.Duration, items []event.Item, rate float64) []error {
	ctx, cancel := environment.Reserve(ctx, after)
	defer cancel()
	errs := make([]error, len(items))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, item := range items {
		group.Go(func() error {
			errs[i] = h.insert(ctx, item.Event, rate)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errs
}

// giveBack parks new events that failed, buries claimed ones without retries left, and releases the other claimed ones. It returns
// the receipt handles of those that are buried, for the caller to delete. The error is about events that were not parked. A claimed
// event that was not buried is released, and one that was not released comes back by itself.
func (h *Handler) giveBack(ctx context.Context, execution string, releaseAt time.Time, failed []Failed) (buried []string, err error) {
	var parked, last []retryqueue.Parked
	var released, lastClaims []string
	for _, f := range failed {
		event := retryqueue.Parked{Event: f.Event, Error: f.Error}
		switch {
		case f.ReceiptHandle == "":
			parked = append(parked, event)
		case int64(f.Event.RetryAttempt) >= h.MaxReceiveCount:
			last, lastClaims = append(last, event), append(lastClaims, f.ReceiptHandle)
		default:
			released = append(released, f.ReceiptHandle)
		}
	}
	if err := h.Queue.Park(ctx, execution, parked); err != nil {
		return nil, err
	}
	left, err := h.Queue.Bury(ctx, execution, last)
	if err != nil {
		h.Logger.ErrorContext(ctx, "events without retries left not sent to the dead-letter queue", "error", err.Error())
	}
	for i, claim := range lastClaims {
		if slices.Contains(left, i) {
			released = append(released, claim)
		} else {
			buried = append(buried, claim)
		}
	}
	if err := h.Queue.Release(ctx, released, releaseAt); err != nil {
		h.Logger.ErrorContext(ctx, "claims of failed events not released", "error", err.Error())
	}
	return buried, nil
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

// errorName is a short name for an error: the code of the AWS service, if it has one.
func errorName(err error) string {
	var api smithy.APIError
	switch {
	case errors.Is(err, errSimulated):
		return "SimulatedFailure"
	case errors.As(err, &api):
		return safeName(api.ErrorCode())
	case errors.Is(err, errOutOfTime):
		return "DeadlineExceeded"
	default:
		return "ConnectionError"
	}
}

// safeName keeps what can be the name of an error for the state machine: 1 to maxError characters, A-Z a-z 0-9 . _ -
func safeName(code string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, code)
	return cmp.Or(name[:min(len(name), maxError)], "UnknownError")
}
