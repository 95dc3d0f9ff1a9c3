package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"carnation/internal/event"
	"carnation/internal/function/retryqueue"
)

// CountError says why the failed events in the retry queue could not be counted. The state machine sees its type name as
// the error name.
type CountError struct {
	Err error
}

func (e *CountError) Error() string { return "count failed events: " + e.Err.Error() }

func (e *CountError) Unwrap() error { return e.Err }

// UnaccountedError says that all shards ended well and yet do not say of all events what became of them. The state
// machine sees its type name as the error name.
type UnaccountedError struct {
	Accounted, Want int64
}

func (e *UnaccountedError) Error() string {
	return fmt.Sprintf("the shards account for %d of %d events", e.Accounted, e.Want)
}

// Queue is the retry queue as a Handler uses it.
type Queue interface {
	Waiting(ctx context.Context) (int, error)
}

// Handler serves invocations of plan-shards.
type Handler struct {
	Queue            Queue
	Logger           *slog.Logger
	Size             int64 // events of a shard
	Concurrency      int64 // shards that a run works on at once, 1 to MaxConcurrency
	FailureInjection bool  // whether failure_rate may be above 0
}

// Planned is a plan, and the numbers of the shards to take up first and then: plain numbers, so that 10,000 of them stay
// small. The shards that claim come first, and have ended before any other parks an event that they could claim.
type Planned struct {
	Plan           Plan  `json:"plan"`
	First          []int `json:"first"`
	Then           []int `json:"then"`
	MaxConcurrency int64 `json:"max_concurrency"`
}

// Outcome is what became of a run's events.
type Outcome struct {
	Inserted int64 `json:"inserted"`
	Failed   int64 `json:"failed"`
}

// Handle serves both ends of a run. Its beginning: it takes the input of the run and answers *Planned; errors are
// *event.InvalidInputError, *event.RangeTooLargeError and *CountError. Its end: it takes {"plan": ..., "results": [[[inserted,
// failed], ...], ...]}, the results of the shards of First and of Then, and answers *Outcome; errors are
// *event.InvalidInputError and *UnaccountedError.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	var end struct{ Results json.RawMessage }
	if json.Unmarshal(payload, &end) == nil && end.Results != nil {
		outcome, err := addUp(payload)
		if err != nil {
			return nil, err
		}
		h.Logger.InfoContext(ctx, "shards added up", "inserted", outcome.Inserted, "failed", outcome.Failed)
		return outcome, nil
	}
	run, err := event.ParseRun(payload, h.FailureInjection)
	if err != nil {
		return nil, err
	}
	if run.EndSeq-run.StartSeq > MaxEvents {
		return nil, &event.RangeTooLargeError{StartSeq: run.StartSeq, EndSeq: run.EndSeq, Most: MaxEvents, Instead: "split it into several runs"}
	}
	plan, err := New(run, h.Size)
	if err != nil {
		return nil, fmt.Errorf("plan shards: %w", err)
	}
	waiting, err := h.Queue.Waiting(ctx)
	if err != nil {
		return nil, &CountError{err}
	}
	plan.Claimers = min(int(ceil(int64(waiting), MaxClaims)), maxClaimers)
	if run.StartSeq == run.EndSeq {
		plan.Claimers = max(1, plan.Claimers) // the count may lag behind, and only a receive knows
	}
	if plan.Claimers > 1 {
		rounds := ceil(int64(plan.Claimers), h.Concurrency)
		plan.ClaimUntil = plan.CurrentTime + min(claimSeconds*(1+rounds), int64(retryqueue.MaxReleaseAfter.Seconds()))
	}
	h.Logger.InfoContext(ctx, "shards planned", "shards", plan.Shards(), "claimers", plan.Claimers, "waiting", waiting)
	numbers := make([]int, plan.Shards())
	for i := range numbers {
		numbers[i] = i
	}
	if plan.Claimers == 0 {
		return &Planned{plan, numbers, []int{}, h.Concurrency}, nil
	}
	return &Planned{plan, numbers[:plan.Claimers], numbers[plan.Claimers:], h.Concurrency}, nil
}

func addUp(payload []byte) (*Outcome, error) {
	input, err := event.ReadObject(payload, "", "plan", "results")
	if err != nil {
		return nil, err
	}
	plan, err := Parse(input, "plan")
	if err != nil {
		return nil, err
	}
	var rounds [][][]int64
	err = json.Unmarshal(input.Raw("results"), &rounds)
	results := slices.Concat(rounds...)
	if err != nil || len(results) != plan.Shards() {
		return nil, input.Invalid("results", fmt.Sprintf("lists of [inserted, failed] of %d shards together", plan.Shards()))
	}
	var outcome Outcome
	var accounted int64 // of the range; AWS does not say that results come in the order of the shards
	for i, result := range results {
		if len(result) != 2 || slices.Min(result) < 0 || slices.Max(result) > MaxEvents {
			return nil, &event.InvalidInputError{Field: fmt.Sprintf("results[%d]", i), Value: fmt.Sprint(result[:min(len(result), 3)]),
				Allowed: fmt.Sprintf("[inserted, failed], integers from 0 to %d", MaxEvents)}
		}
		outcome.Inserted += result[0]
		outcome.Failed += result[1]
		if i >= plan.Claimers {
			accounted += result[0] + result[1]
		}
	}
	if want := plan.EndSeq - plan.StartSeq; accounted != want {
		return nil, &UnaccountedError{accounted, want}
	}
	return &outcome, nil
}
