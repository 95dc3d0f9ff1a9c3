// Package shard splits a run of the distributed mode into shards, makes the events of each, and adds up what became of
// them. It is the logic of the function plan-shards.
package shard

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"

	"carnation/internal/event"
)

const (
	// MaxEvents is how many events one run may generate.
	MaxEvents = 10_000_000
	// maxShards is how many shards a range is split into. With it, what Step Functions hands from state to state stays
	// under 256 KiB: a test builds the largest plan and outcome.
	maxShards = 10_000
	// MaxSize is the most events of a shard: their items fit 256 KiB, the limit of what generate-data may answer.
	MaxSize = MaxEvents / maxShards
	// MaxClaims is the most failed events that one shard claims: their items fit the same, with the longest receipt handles.
	MaxClaims = 200
	// MaxConcurrency is how many children a Distributed Map runs at once, at most.
	MaxConcurrency = 10_000
	// maxClaimers is how many shards claim in one run. SQS allows about 120,000 messages in flight, which all runs share.
	maxClaimers = 100_000 / MaxClaims
	// claimSeconds is how long a round of shards that claim has for it, as many as run at once, and how long the first one has
	// to start. What no shard gets to claim in time stays in the queue.
	claimSeconds = 5
)

// Plan is how a run is split. Everything about the run's new events follows from it: whoever makes a shard's events
// again, after a crash or a redrive, makes the same ones, which are the same rows.
//
// The first shards claim failed events. The further ones have the range, in order, each ShardSize events but for the last.
// ClaimUntil parts claiming from releasing: no shard claims after it, and where several claim, what fails again is not visible
// before it. Else one shard could claim again what another has just released, and use up its retries in one run.
type Plan struct {
	event.Run
	Claimers    int       `json:"claimers"`    // shards that claim
	ClaimUntil  int64     `json:"claim_until"` // Unix seconds; 0 for no limit, where one shard claims or none
	ShardSize   int64     `json:"shard_size"`
	CurrentTime int64     `json:"current_time"` // of all events, Unix seconds
	Seed        uuid.UUID `json:"seed"`         // of their random values
}

// New plans a run whose shards have the given size, or a larger one where SizeFor says so.
func New(run event.Run, size int64) (Plan, error) {
	seed, err := uuid.NewRandom()
	return Plan{Run: run, ShardSize: SizeFor(run.EndSeq-run.StartSeq, size), CurrentTime: time.Now().Unix(), Seed: seed}, err
}

// SizeFor is the size of the shards of so many events that is asked for, or the least that makes no more than 10,000 of them.
func SizeFor(events, size int64) int64 {
	return max(size, ceil(events, maxShards))
}

// Shards is how many shards there are.
func (p Plan) Shards() int {
	return p.Claimers + int(ceil(p.EndSeq-p.StartSeq, p.ShardSize))
}

// Range is the half-open range of a shard's new events, which is empty for one that claims.
func (p Plan) Range(shard int) (start, end int64) {
	if shard < p.Claimers {
		return p.StartSeq, p.StartSeq
	}
	start = min(p.StartSeq+int64(shard-p.Claimers)*p.ShardSize, p.EndSeq)
	return start, min(start+p.ShardSize, p.EndSeq)
}

// Items is a shard's new events.
func (p Plan) Items(shard int) []event.Item {
	start, end := p.Range(shard)
	items := make([]event.Item, 0, end-start)
	hash := sha256.New()
	for seq := start; seq < end; seq++ {
		random := uuid.NewHash(hash, p.Seed, strconv.AppendInt(nil, seq, 10), 4)
		items = append(items, event.Item{Event: event.Event{
			SequenceNo: seq, RandomValue: random.String(), CurrentTime: p.CurrentTime, StartSeq: p.StartSeq, EndSeq: p.EndSeq,
		}})
	}
	return items
}

// Parse reads a plan, the field name of an input. The error is an *event.InvalidInputError.
func Parse(input event.Object, name string) (p Plan, err error) {
	o, err := event.ReadObject(input.Raw(name), name, "start_seq", "end_seq", "failure_rate", "claimers", "claim_until", "shard_size", "current_time", "seed")
	if err != nil {
		return p, err
	}
	if p.StartSeq, err = o.Int("start_seq", 0, event.MaxSequenceNo); err != nil {
		return p, err
	}
	if p.EndSeq, err = o.Int("end_seq", p.StartSeq, min(p.StartSeq+MaxEvents, event.MaxSequenceNo)); err != nil {
		return p, err
	}
	if p.FailureRate, err = event.FailureRate(o, true); err != nil { // insert-data says whether it is allowed
		return p, err
	}
	claimers, err := o.Int("claimers", 0, maxClaimers)
	if err != nil {
		return p, err
	}
	p.Claimers = int(claimers)
	if p.ClaimUntil, err = o.Int("claim_until", 0, event.MaxSequenceNo); err != nil {
		return p, err
	}
	if p.ShardSize, err = o.Int("shard_size", 1, MaxSize); err != nil {
		return p, err
	}
	if p.CurrentTime, err = o.Int("current_time", 0, event.MaxSequenceNo); err != nil {
		return p, err
	}
	if json.Unmarshal(o.Raw("seed"), &p.Seed) != nil || p.Seed == uuid.Nil {
		return p, o.Invalid("seed", "a UUID")
	}
	return p, nil
}

func ceil(n, size int64) int64 {
	return (n + size - 1) / size
}
