// Package shard is the logic of the function plan-shards: it splits a run of the distributed mode into shards, and adds up
// their results when they have ended.
package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
)

// The operations of plan-shards, which its requests name.
const (
	PlanRun     = "PlanRun"
	AddUpShards = "AddUpShards"
)

const (
	// MaxConcurrency is the most child executions that a Distributed Map runs at once.
	MaxConcurrency = 10_000
	// claimSeconds is the time that a round of shards gets to claim, where a round is as many shards as run at once. It is also
	// the time that the first round gets to start. Messages that no shard has claimed by then stay in the queue.
	claimSeconds = 5
)

// CountError says why the failed events in the retry queue could not be counted. The state machine sees its type name as
// the error name.
type CountError struct {
	Err error
}

func (e *CountError) Error() string { return "count failed events: " + e.Err.Error() }

func (e *CountError) Unwrap() error { return e.Err }

// UnaccountedError says that all shards succeeded, but their results do not add up to the run's events. The state machine
// sees its type name as the error name.
type UnaccountedError struct {
	Accounted, Want int64
}

func (e *UnaccountedError) Error() string {
	return fmt.Sprintf("the shards account for %d of %d events", e.Accounted, e.Want)
}

// Queue is the part of the retry queue that a Handler uses.
type Queue interface {
	Waiting(ctx context.Context) (int, error)
}

// Handler serves the invocations of plan-shards.
type Handler struct {
	Queue            Queue
	Logger           *slog.Logger
	Size             int64                   // events of a shard
	Concurrency      environment.Concurrency // of the shards of a run, 1 to MaxConcurrency
	FailureInjection bool                    // whether failure_rate may be above 0
}

// Answer has the fields of one of the two, depending on the operation.
type Answer struct {
	*Planned
	*Outcome
}

// Planned answers PlanRun: the plan, and the numbers of the shards to process first and then. The first ones are those that
// claim: they must have ended before another shard parks an event that they could claim. Plain numbers keep the answer small
// even for 10,000 shards.
type Planned struct {
	Plan           event.Plan `json:"plan"`
	First          []int      `json:"first"`
	Then           []int      `json:"then"`
	MaxConcurrency int64      `json:"max_concurrency"`
}

// Outcome answers AddUpShards: how many of the run's events are in the table, and how many failed. Those are in the retry queue or
// in the dead-letter queue.
type Outcome struct {
	Inserted int64 `json:"inserted"`
	Failed   int64 `json:"failed"`
	Returned int64 `json:"returned"`
	Buried   int64 `json:"buried"`
}

// Handle serves both ends of a run.
//
//	{"operation": "PlanRun", "input": <the input of the run>}
//	{"operation": "AddUpShards", "plan": {...}, "results": {"first": [[inserted, returned, buried], ...], "last": [...]}}
//
// The results are those of the shards in First and in Then. "last" are those of Then, or of First if Then is empty. Errors are *event.InvalidInputError for both
// operations, *event.RangeTooLargeError and *CountError for PlanRun, and *UnaccountedError for AddUpShards.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	operation, request, err := event.ReadRequest(payload, event.Operations{PlanRun: {"input"}, AddUpShards: {"plan", "results"}})
	if err != nil {
		return nil, err
	}
	var answer Answer
	switch operation {
	case PlanRun:
		answer.Planned, err = h.plan(ctx, request)
	case AddUpShards:
		answer.Outcome, err = h.addUp(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	return &answer, nil
}

func (h *Handler) plan(ctx context.Context, request event.Object) (*Planned, error) {
	run, err := event.ParseRun(request.Raw("input"), h.FailureInjection)
	if err != nil {
		return nil, err
	}
	if run.EndSeq-run.StartSeq > event.MaxEvents {
		return nil, &event.RangeTooLargeError{StartSeq: run.StartSeq, EndSeq: run.EndSeq, Most: event.MaxEvents, Instead: "split it into several runs"}
	}
	plan, err := event.NewPlan(run, h.Size)
	if err != nil {
		return nil, fmt.Errorf("plan shards: %w", err)
	}
	waiting, err := h.Queue.Waiting(ctx)
	if err != nil {
		return nil, &CountError{err}
	}
	concurrency := h.Concurrency.OfRun(ctx, h.Logger)
	plan.Claimers = event.Claimers(waiting)
	if run.StartSeq == run.EndSeq {
		plan.Claimers = max(1, plan.Claimers) // the count may lag behind: only a receive shows whether the queue is empty
	}
	if plan.Claimers > 1 {
		rounds := (int64(plan.Claimers) + concurrency - 1) / concurrency
		plan.ClaimUntil = plan.CurrentTime + min(claimSeconds*(1+rounds), int64(retryqueue.MaxReleaseAfter.Seconds()))
	}
	h.Logger.InfoContext(ctx, "shards planned", "shards", plan.Shards(), "claimers", plan.Claimers, "waiting", waiting)
	numbers := make([]int, plan.Shards())
	for i := range numbers {
		numbers[i] = i
	}
	if plan.Claimers == 0 {
		return &Planned{plan, numbers, []int{}, concurrency}, nil
	}
	return &Planned{plan, numbers[:plan.Claimers], numbers[plan.Claimers:], concurrency}, nil
}

func (h *Handler) addUp(ctx context.Context, request event.Object) (*Outcome, error) {
	plan, err := event.ParsePlan(request, "plan")
	if err != nil {
		return nil, err
	}
	var rounds struct{ First, Last [][]int64 }
	err = json.Unmarshal(request.Raw("results"), &rounds)
	results := slices.Concat(rounds.First, rounds.Last)
	if err != nil || len(results) != plan.Shards() {
		return nil, request.Invalid("results", fmt.Sprintf("lists of [inserted, returned, buried] for %d shards in total", plan.Shards()))
	}
	var outcome Outcome
	var accounted int64 // events of the range; the results of a Distributed Map may come in any order
	for i, result := range results {
		if len(result) != 3 || slices.Min(result) < 0 || slices.Max(result) > event.MaxEvents {
			return nil, &event.InvalidInputError{Field: fmt.Sprintf("results[%d]", i), Value: fmt.Sprint(result[:min(len(result), 4)]),
				MustBe: fmt.Sprintf("[inserted, returned, buried], three integers from 0 to %d", event.MaxEvents)}
		}
		outcome.Inserted += result[0]
		outcome.Returned += result[1]
		outcome.Buried += result[2]
		if i >= plan.Claimers {
			accounted += result[0] + result[1] + result[2]
		}
	}
	if want := plan.EndSeq - plan.StartSeq; accounted != want {
		return nil, &UnaccountedError{accounted, want}
	}
	outcome.Failed = outcome.Returned + outcome.Buried
	h.Logger.InfoContext(ctx, "shards added up", "inserted", outcome.Inserted, "failed", outcome.Failed, "buried", outcome.Buried)
	return &outcome, nil
}
