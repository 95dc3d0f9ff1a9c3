// Package insert is the logic of the function insert-data: it inserts events into the table and deletes the messages
// of the claimed ones that went in.
package insert

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/deadline"
	"carnation/internal/function/metrics"
	"carnation/internal/function/retryqueue"
)

const (
	// concurrency is how many inserts run at once.
	concurrency = 32
	// maxError is the longest error name in an answer, in bytes: generate-data counts with it.
	maxError = 90
	// answerTime is what inserting, and then returning, leave for what comes after them; returnTime is what a whole shard of
	// failed events takes to be parked, even if calls of SQS hang or are throttled.
	answerTime = 5 * time.Second
	returnTime = 10 * time.Second
)

// API calls an operation of DynamoDB: *awsjson.Client, or what stands for it in a test.
type API interface {
	Call(ctx context.Context, operation string, input, output any) error
}

// Queue is the retry queue as a Handler uses it.
type Queue interface {
	Delete(ctx context.Context, receiptHandles []string) error
	Release(ctx context.Context, receiptHandles []string, at time.Time) error
	Park(ctx context.Context, execution string, events []retryqueue.Parked) error
}

// ParkError says why new events that failed could not be parked. They are nowhere but in the input of the invocation,
// which has to be tried again. The state machine sees its type name as the error name.
type ParkError struct {
	Err error
}

func (e *ParkError) Error() string { return "return failed events: " + e.Err.Error() }

func (e *ParkError) Unwrap() error { return e.Err }

// Handler serves invocations of insert-data.
type Handler struct {
	API              API
	TableName        string
	Queue            Queue
	Metrics          metrics.Counter
	Logger           *slog.Logger
	FailureInjection bool // whether failure_rate may be above 0
}

// Answer is what the function answers: how many events are in the table, and the items of those that are not. Where it
// returns those to the retry queue itself, it answers how many.
type Answer struct {
	Inserted int      `json:"inserted"`
	Returned *int     `json:"returned,omitempty"`
	Failed   []Failed `json:"failed"`
}

// Failed is an item whose event is not known to be in the table, with the type of the error.
type Failed struct {
	event.Item
	Error string `json:"error"`
}

// Handle takes {"items": [...], "failure_rate"?: r, "return_for"?: "<execution>", "release_at"?: s} and inserts the events.
// One that cannot be inserted, or that the time does not suffice for, is in the answer; with return_for it is returned to
// the retry queue, a new one in the name of that execution, a claimed one invisible until s, Unix seconds. Errors are
// *event.InvalidInputError and *ParkError, after which the same input can be tried again.
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
			answer.Failed = append(answer.Failed, Failed{item, errorType(errs[i])})
			continue
		}
		answer.Inserted++
		if item.ReceiptHandle != "" {
			done = append(done, item.ReceiptHandle)
		}
	}
	failed := len(answer.Failed)
	returnCtx, cancel := deadline.Reserve(ctx, answerTime)
	defer cancel()
	if execution != "" {
		if err := h.giveBack(returnCtx, execution, time.Unix(releaseAt, 0), answer.Failed); err != nil {
			return nil, &ParkError{err}
		}
		answer.Returned, answer.Failed = &failed, []Failed{}
	}
	if err := h.Queue.Delete(returnCtx, done); err != nil {
		// These events are in the table. Their messages come back by themselves, and are deleted then.
		h.Logger.ErrorContext(ctx, "messages of inserted events not deleted", "error", err.Error())
	}
	h.Metrics.Count(ctx, "events inserted", map[string]int{"EventsInserted": answer.Inserted, "EventsFailed": failed})
	return answer, nil
}

// insertAll inserts the events of all items, and says of each what went wrong. It leaves time for what comes after.
func (h *Handler) insertAll(ctx context.Context, after time.Duration, items []event.Item, rate float64) []error {
	ctx, cancel := deadline.Reserve(ctx, after)
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
	_ = group.Wait() // the errors are in errs, each with its item
	return errs
}

// giveBack returns failed items to the retry queue: it parks new events and releases claimed ones. The error is for
// events that are not parked. A claim that is not released comes back by itself.
func (h *Handler) giveBack(ctx context.Context, execution string, releaseAt time.Time, failed []Failed) error {
	var parked []retryqueue.Parked
	var claimed []string
	for _, f := range failed {
		if f.ReceiptHandle == "" {
			parked = append(parked, retryqueue.Parked{Event: f.Event, Error: f.Error})
		} else {
			claimed = append(claimed, f.ReceiptHandle)
		}
	}
	if err := h.Queue.Park(ctx, execution, parked); err != nil {
		return err
	}
	if err := h.Queue.Release(ctx, claimed, releaseAt); err != nil {
		h.Logger.ErrorContext(ctx, "claims of failed events not released", "error", err.Error())
	}
	return nil
}

var (
	errSimulated = errors.New("failure simulated by failure_rate")
	errOutOfTime = errors.New("the function's time is up")
)

// insert writes one row, the same whether once or again: it keeps the first createdUnixTime. The condition keeps
// another event of the same sequence number and second from being overwritten.
func (h *Handler) insert(ctx context.Context, e event.Event, rate float64) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("insert event %d: %w", e.SequenceNo, errOutOfTime)
	}
	if Simulated(e.SequenceNo, e.RetryAttempt, rate) {
		return fmt.Errorf("insert event %d: %w", e.SequenceNo, errSimulated)
	}
	err := h.API.Call(ctx, "UpdateItem", updateOf(h.TableName, e, time.Now()), nil)
	if err != nil && ctx.Err() != nil { // not the client's own limit for one call
		err = errors.Join(errOutOfTime, err)
	}
	if err != nil {
		return fmt.Errorf("insert event %d: %w", e.SequenceNo, err)
	}
	return nil
}

// update is the input of UpdateItem. Structs in place of maps are what encoding/json writes fastest.
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html
type update struct {
	TableName           string
	Key                 updateKey
	UpdateExpression    string
	ConditionExpression string
	Values              updateValues `json:"ExpressionAttributeValues"`
}

type updateKey struct {
	SequenceNo        number `json:"sequenceNo"`
	GeneratedUnixTime number `json:"generatedUnixTime"`
}

type updateValues struct {
	Random  text   `json:":random"`
	Attempt number `json:":attempt"`
	Now     number `json:":now"`
}

// number and text are attribute values of the types N and S. DynamoDB wants numbers as strings.
type number struct {
	N int64 `json:",string"`
}

type text struct{ S string }

func updateOf(table string, e event.Event, now time.Time) update {
	return update{
		TableName: table,
		Key:       updateKey{number{e.SequenceNo}, number{e.CurrentTime}},
		UpdateExpression: "SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
			"createdUnixTime = if_not_exists(createdUnixTime, :now)",
		ConditionExpression: "attribute_not_exists(sequenceNo) OR randomStringValue = :random",
		Values:              updateValues{text{e.RandomValue}, number{int64(e.RetryAttempt)}, number{now.Unix()}},
	}
}

// Simulated tells whether an insert fails on purpose at this rate, 0 to 1. It depends on the sequence number and the
// attempt alone, so that a run can be told beforehand and a retry can succeed.
func Simulated(sequenceNo int64, attempt int, rate float64) bool {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", sequenceNo, attempt))
	share := float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53) // 0 to 1, 1 excluded
	return share < rate
}

// errorType is a short name for an error: the service's own code where it has one.
func errorType(err error) string {
	var api smithy.APIError
	switch {
	case errors.Is(err, errSimulated):
		return "SimulatedFailure"
	case errors.As(err, &api):
		code := api.ErrorCode()
		return code[:min(len(code), maxError)]
	case errors.Is(err, errOutOfTime):
		return "DeadlineExceeded"
	default:
		return "ConnectionError"
	}
}
