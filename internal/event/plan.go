package event

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"

	"github.com/google/uuid"
)

const (
	// MaxEvents is the most events that one run of the distributed mode generates.
	MaxEvents = 10_000_000
	// maxShards is the most shards of a range. With it, the data that Step Functions passes from state to state stays under
	// 256 KiB: a test builds the largest plan and the largest outcome.
	maxShards = 10_000
	// MaxShardSize is the most events of a shard. Their items fit in 256 KiB, the limit of generate-data's answer.
	MaxShardSize = MaxEvents / maxShards
	// MaxShardClaims is the most failed events that one shard claims. It claims fewer if they would not fit in 256 KiB: 10 of the
	// largest.
	MaxShardClaims = 200
	// maxClaimers is the most shards of one run that claim. SQS allows about 120,000 messages in flight, shared by all runs.
	maxClaimers = 100_000 / MaxShardClaims
)

// Plan says how a run is split into shards. A run of the inline mode has one shard.
//
// The plan alone determines the new events of the run. Generating a shard again, after a crash or a redrive, gives the same
// events, and therefore the same rows.
//
// The first shards claim failed events. The other shards generate the range in order, ShardSize events each; the last one may
// have fewer. No shard claims after ClaimUntil. If several shards claim, a claimed event that fails again stays invisible until
// ClaimUntil. Otherwise one shard could claim what another has just released, and use up the event's retries in one run.
type Plan struct {
	Run
	Claimers    int       `json:"claimers"`    // shards that claim
	ClaimUntil  int64     `json:"claim_until"` // Unix seconds; 0 for no limit, if at most one shard claims
	ShardSize   int64     `json:"shard_size"`
	CurrentTime int64     `json:"current_time"` // of all events, Unix seconds
	Seed        uuid.UUID `json:"seed"`         // of the random values of all events
}

// NewPlan splits a run into shards of this size, or of a larger one if ShardSize says so. created is the time of its events, Unix
// seconds.
func NewPlan(run Run, size, created int64) (Plan, error) {
	seed, err := uuid.NewRandom()
	return Plan{Run: run, ShardSize: ShardSize(run.EndSeq-run.StartSeq, size), CurrentTime: created, Seed: seed}, err
}

// ShardSize is the requested size of a shard, or the smallest size that splits this many events into at most 10,000 shards.
func ShardSize(events, size int64) int64 {
	return max(size, ceil(events, maxShards))
}

// Claimers is the number of shards that claim, if this many failed events wait in the retry queue.
func Claimers(waiting int) int {
	return min(int(ceil(int64(waiting), MaxShardClaims)), maxClaimers)
}

// Shards is the number of shards.
func (p Plan) Shards() int {
	return p.Claimers + int(ceil(p.EndSeq-p.StartSeq, p.ShardSize))
}

// Range is the half-open range of a shard's new events. It is empty for a shard that claims.
func (p Plan) Range(shard int) (start, end int64) {
	if shard < p.Claimers {
		return p.StartSeq, p.StartSeq
	}
	start = min(p.StartSeq+int64(shard-p.Claimers)*p.ShardSize, p.EndSeq)
	return start, min(start+p.ShardSize, p.EndSeq)
}

// Items are a shard's new events.
func (p Plan) Items(shard int) []Item {
	start, end := p.Range(shard)
	items := make([]Item, 0, end-start)
	hash := sha256.New()
	for seq := start; seq < end; seq++ {
		random := uuid.NewHash(hash, p.Seed, strconv.AppendInt(nil, seq, 10), 4)
		items = append(items, Item{Event: Event{
			SequenceNo: seq, RandomValue: random.String(), CurrentTime: p.CurrentTime, StartSeq: p.StartSeq, EndSeq: p.EndSeq,
		}})
	}
	return items
}

// ParsePlan reads the field name of an input as a plan. The error is an *InvalidInputError.
func ParsePlan(input Object, name string) (p Plan, err error) {
	o, err := ReadObject(input.Raw(name), name, "start_seq", "end_seq", "failure_rate", "claimers", "claim_until", "shard_size", "current_time", "seed")
	if err != nil {
		return p, err
	}
	if p.StartSeq, err = o.Int("start_seq", 0, MaxSequenceNo); err != nil {
		return p, err
	}
	if p.EndSeq, err = o.Int("end_seq", p.StartSeq, min(p.StartSeq+MaxEvents, MaxSequenceNo)); err != nil {
		return p, err
	}
	if p.FailureRate, err = FailureRate(o, true); err != nil { // insert-data checks whether it is allowed
		return p, err
	}
	claimers, err := o.Int("claimers", 0, maxClaimers)
	if err != nil {
		return p, err
	}
	p.Claimers = int(claimers)
	if p.ClaimUntil, err = o.Int("claim_until", 0, MaxSequenceNo); err != nil {
		return p, err
	}
	if p.ShardSize, err = o.Int("shard_size", 1, MaxShardSize); err != nil {
		return p, err
	}
	if p.CurrentTime, err = o.Int("current_time", 0, MaxSequenceNo); err != nil {
		return p, err
	}
	if json.Unmarshal(o.Raw("seed"), &p.Seed) != nil || p.Seed == uuid.Nil {
		return p, o.Invalid("seed", "a UUID")
	}
	return p, nil
}

// ceil is n / size, rounded up.
func ceil(n, size int64) int64 {
	return (n + size - 1) / size
}
