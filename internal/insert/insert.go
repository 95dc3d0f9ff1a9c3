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
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"carnation/internal/deadline"
	"carnation/internal/event"
	"carnation/internal/metrics"
)

const (
	// concurrency is how many inserts run at once.
	concurrency = 32
	// maxError is the longest error name in an answer, in bytes: generate-data counts with it.
	maxError = 90
)

// API is what a Handler asks of DynamoDB.
type API interface {
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Queue is the retry queue as a Handler uses it.
type Queue interface {
	Delete(ctx context.Context, receiptHandles []string) error
}

// Handler serves invocations of insert-data.
type Handler struct {
	API              API
	TableName        string
	Queue            Queue
	Metrics          metrics.Counter
	Logger           *slog.Logger
	FailureInjection bool // whether failure_rate may be above 0
}

// Answer is what the function answers: how many events are in the table, and the items of those that are not.
type Answer struct {
	Inserted int      `json:"inserted"`
	Failed   []Failed `json:"failed"`
}

// Failed is an item whose event is not known to be in the table, with the type of the error.
type Failed struct {
	event.Item
	Error string `json:"error"`
}

// Handle takes {"items": [...], "failure_rate"?: r} and inserts the events. One that cannot be inserted, or that the
// time does not suffice for, is in the answer. The only error is *event.InvalidInputError.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	input, err := event.ReadObject(payload, "", "items", "failure_rate")
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

	insertCtx, cancel := deadline.Reserve(ctx)
	defer cancel()
	errs := make([]error, len(items))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, item := range items {
		group.Go(func() error {
			errs[i] = h.insert(insertCtx, item.Event, rate)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs, each with its item

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
	deleteCtx, cancel := deadline.Reserve(ctx)
	defer cancel()
	if err := h.Queue.Delete(deleteCtx, done); err != nil {
		// These events are in the table. Their messages come back by themselves, and are deleted then.
		h.Logger.ErrorContext(ctx, "messages of inserted events not deleted", "error", err.Error())
	}
	h.Metrics.Count(ctx, "events inserted", map[string]int{"EventsInserted": answer.Inserted, "EventsFailed": len(answer.Failed)})
	return answer, nil
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
	_, err := h.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(h.TableName),
		Key:       map[string]types.AttributeValue{"sequenceNo": number(e.SequenceNo), "generatedUnixTime": number(e.CurrentTime)},
		UpdateExpression: aws.String("SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
			"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
		ConditionExpression: aws.String("attribute_not_exists(sequenceNo) OR randomStringValue = :random"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":random":  &types.AttributeValueMemberS{Value: e.RandomValue},
			":attempt": number(int64(e.RetryAttempt)),
			":now":     number(time.Now().Unix()),
		},
	})
	if err != nil && ctx.Err() != nil { // not the client's own limit for one call
		err = errors.Join(errOutOfTime, err)
	}
	if err != nil {
		return fmt.Errorf("insert event %d: %w", e.SequenceNo, err)
	}
	return nil
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
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
