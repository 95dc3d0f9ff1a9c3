// Package shard is the logic of the function plan-shards: it splits a run of the distributed mode into shards, or checks the records
// that the run will process in batches, and adds up the results when all of them have ended.
package shard

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

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
	Objects          Objects
	Logger           *slog.Logger
	Size             int64                   // events of a shard, or of a batch
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
// even for 10,000 shards. The plan of a run over records has only shards that claim; Time is the time of its events.
type Planned struct {
	Plan           event.Plan `json:"plan"`
	First          []int      `json:"first"`
	Then           []int      `json:"then"`
	MaxConcurrency int64      `json:"max_concurrency"`
	Time           *int64     `json:"time,omitempty"`
	Events         *Records   `json:"events,omitempty"`
	Source         *Source    `json:"source,omitempty"`
}

// Outcome answers AddUpShards: how many of the run's events are in the table, and how many failed. Those are in the retry queue or
// in the dead-letter queue.
type Outcome struct {
	Inserted int64 `json:"inserted"`
	Failed   int64 `json:"failed"`
	Returned int64 `json:"returned"`
	Dead     int64 `json:"dead"`
}

// Handle serves both ends of a run.
//
//	{"operation": "PlanRun", "input": <the input of the run>, "started": "<start of the execution, RFC 3339>",
//	  "sources"?: {"bucket": "<where a source must be>", "prefix": "<how its key must begin>"}}
//	{"operation": "AddUpShards", "plan": {...}, "results": {"first": [[inserted, returned, dead], ...], "last": [...]},
//	  "source"?: <that of PlanRun>, "records"?: n}
//
// The results of a range are those of the shards in First and in Then; "last" are those of Then, or of First if Then is empty. With a
// source, or with the number of records in the input, "first" are those of First and "last" those of the batches. Errors are
// *event.InvalidInputError, *event.RangeTooLargeError, *event.EventsTooLargeError, *event.RecordError, *SourceNotFoundError,
// *SourceTooLargeError, *SourceError and *CountError for PlanRun; and *event.InvalidInputError, *SourceChangedError,
// *SourceTooLargeError, *SourceError and *UnaccountedError for AddUpShards.
func (h *Handler) Handle(ctx context.Context, payload json.RawMessage) (*Answer, error) {
	operation, request, err := event.ReadRequest(payload, event.Operations{
		PlanRun: {"input", "started", "sources"}, AddUpShards: {"plan", "results", "source", "records"},
	})
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
	input, created, err := event.ReadRun(request, h.FailureInjection)
	if err != nil {
		return nil, err
	}
	if input.EndSeq-input.StartSeq > event.MaxEvents {
		return nil, &event.RangeTooLargeError{StartSeq: input.StartSeq, EndSeq: input.EndSeq, Most: event.MaxEvents, Instead: "split it into several runs"}
	}
	planned := &Planned{MaxConcurrency: h.Concurrency.OfRun(ctx, h.Logger)}
	switch {
	case input.Source != nil:
		planned.Time = &created
		planned.Source, err = h.planSource(ctx, *input.Source, request)
	case input.Events != nil:
		planned.Time = &created
		planned.Events, err = h.planEvents(input.Events)
	}
	if err != nil {
		return nil, err
	}
	plan, err := event.NewPlan(input.Run, h.Size, created)
	if err != nil {
		return nil, fmt.Errorf("plan shards: %w", err)
	}
	waiting, err := h.Queue.Waiting(ctx)
	if err != nil {
		return nil, &CountError{err}
	}
	plan.Claimers = event.Claimers(waiting)
	if input.StartSeq == input.EndSeq && input.Source == nil && len(input.Events) == 0 {
		plan.Claimers = max(1, plan.Claimers) // the count may lag behind: only a receive shows whether the queue is empty
	}
	if plan.Claimers > 1 {
		rounds := ceil(int64(plan.Claimers), planned.MaxConcurrency)
		plan.ClaimUntil = time.Now().Unix() + min(claimSeconds*(1+rounds), int64(retryqueue.MaxReleaseAfter.Seconds()))
	}
	h.Logger.InfoContext(ctx, "shards planned", "shards", plan.Shards(), "claimers", plan.Claimers, "waiting", waiting)
	numbers := make([]int, plan.Shards())
	for i := range numbers {
		numbers[i] = i
	}
	planned.Plan, planned.First, planned.Then = plan, numbers[:plan.Claimers], numbers[plan.Claimers:]
	if plan.Claimers == 0 && planned.Time == nil {
		planned.First, planned.Then = planned.Then, planned.First
	}
	return planned, nil
}

// results are those of the shards that claim, and of the others or of the batches.
type results struct{ First, Last [][]int64 }

func (h *Handler) addUp(ctx context.Context, request event.Object) (*Outcome, error) {
	plan, err := event.ParsePlan(request, "plan")
	if err != nil {
		return nil, err
	}
	var source *Source
	if request.Has("source") {
		if source, err = parseSource(request); err != nil {
			return nil, err
		}
	}
	want := plan.EndSeq - plan.StartSeq
	if request.Has("records") {
		if want, err = request.Int("records", 0, event.MaxEvents); err != nil {
			return nil, err
		}
	}
	claimed, processed, err := readResults(request, plan, source != nil || request.Has("records"))
	if err != nil {
		return nil, err
	}
	var outcome Outcome
	outcome.add(claimed)
	before := outcome.Inserted + outcome.Returned + outcome.Dead
	outcome.add(processed)
	accounted := outcome.Inserted + outcome.Returned + outcome.Dead - before
	switch {
	case source == nil && accounted != want:
		return nil, &UnaccountedError{accounted, want}
	case source != nil && accounted > event.MaxEvents:
		return nil, &SourceTooLargeError{Source: source.URI, What: "records", Size: accounted, Most: event.MaxEvents}
	case source != nil:
		if err := h.checkUnchanged(ctx, source); err != nil {
			return nil, err
		}
	}
	outcome.Failed = outcome.Returned + outcome.Dead
	h.Logger.InfoContext(ctx, "shards added up", "inserted", outcome.Inserted, "failed", outcome.Failed, "dead", outcome.Dead)
	return &outcome, nil
}

// readResults reads the results of the shards that claim, and of the other shards or of batches. The results of a Distributed Map may
// come in any order.
func readResults(request event.Object, plan event.Plan, batches bool) (claimed, processed [][]int64, err error) {
	var r results
	err = json.Unmarshal(request.Raw("results"), &r)
	all := slices.Concat(r.First, r.Last)
	claimers, mustBe := plan.Claimers, fmt.Sprintf("lists of [inserted, returned, dead] for %d shards in total", plan.Shards())
	ok := len(all) == plan.Shards()
	if batches {
		mustBe = fmt.Sprintf("lists of [inserted, returned, dead], the first one for %d shards", claimers)
		ok = len(r.First) == claimers && r.Last != nil // without a list, no Map has read the source, and nothing else would notice
	}
	if err != nil || !ok {
		return nil, nil, request.Invalid("results", mustBe)
	}
	for i, result := range all {
		if len(result) != 3 || slices.Min(result) < 0 || slices.Max(result) > event.MaxEvents {
			return nil, nil, &event.InvalidInputError{Field: fmt.Sprintf("results[%d]", i), Value: fmt.Sprint(result[:min(len(result), 4)]),
				MustBe: fmt.Sprintf("[inserted, returned, dead], three integers from 0 to %d", event.MaxEvents)}
		}
	}
	return all[:claimers], all[claimers:], nil
}

func (o *Outcome) add(results [][]int64) {
	for _, result := range results {
		o.Inserted += result[0]
		o.Returned += result[1]
		o.Dead += result[2]
	}
}
