// Package cost says what a run costs on AWS: by the counts that its state machine and functions make, which a test holds
// against real runs, by what only AWS can measure, which is assumed, and by the one table of prices.
package cost

import (
	"carnation/internal/event"
	"carnation/internal/function/generate"
)

// The modes of a run.
const (
	Inline      = "inline"
	Distributed = "distributed"
)

// The types of the distributed mode's child executions, as the state machine's file names them.
const (
	Standard = "STANDARD"
	Express  = "EXPRESS"
)

// Run is what is to be priced: a range of events, each tried once, where the retry queue was empty.
type Run struct {
	Mode      string
	Events    int    // 1 to event.MaxEvents
	Failed    int    // how many of them fail on purpose, 0 to Events
	ShardSize int    // events of a shard, 1 to event.MaxShardSize; distributed mode only
	ChildType string // Standard or Express; distributed mode only
}

// Counts is what a Run makes of everything that is billed by the piece and that can be counted anywhere.
type Counts struct {
	Executions  int // of the state machine, without the children
	Children    int // executions that a Distributed Map starts, one a shard
	Transitions int // Standard only: states entered, and one more for each child that is started
	Generates   int // invocations of generate-data
	Inserts     int // invocations of insert-data
	Plans       int // invocations of plan-shards
	Writes      int // of items, all under 1 KB; an event that fails on purpose makes none
	QueueCalls  int // to the retry queue
}

func (c Counts) invocations() int { return c.Generates + c.Inserts + c.Plans }

// Counts counts. The numbers of states are the ones that an event, a run, or a shard passes in the state machine's file.
func (r Run) Counts() Counts {
	if r.Mode == Distributed {
		return r.distributed()
	}
	return r.inline()
}

// inline is as many runs of the inline Map as the range takes, one after the other.
func (r Run) inline() Counts {
	const (
		ofRun          = 4 // Generate Data, Process Events, Any Failures?, All Inserted or Return Failed Events
		ofEvent        = 3 // Insert Data, Was It Inserted?, Event Inserted or Event Failed
		ofFailedEvent  = 2 // Was It Claimed?, Park New Event
		ofRunThatFails = 1 // Events Failed
	)
	runs, rest := ceil(r.Events, generate.MaxItems), r.Events%generate.MaxItems
	c := Counts{
		Executions: runs, Generates: runs, Inserts: r.Events, Writes: r.Events - r.Failed, QueueCalls: r.Failed,
		Transitions: ofRun*runs + ofEvent*r.Events + ofFailedEvent*r.Failed + ofRunThatFails*min(runs, r.Failed),
	}
	if rest > 0 { // a full run has no room to claim; others ask the queue once, where it is empty
		c.QueueCalls++
	}
	return c
}

// distributed is one run of the Distributed Map. Where the queue is empty, no shard claims.
func (r Run) distributed() Counts {
	const (
		ofRun   = 6 // Plan Shards, Process Shards, Range Left?, Add Up Shards, Any Failures?, All Inserted or Events Failed
		ofShard = 2 // Generate Data, Insert Data
	)
	shards := r.shards()
	c := Counts{
		Executions: 1, Children: shards, Generates: shards, Inserts: shards, Plans: 2, Writes: r.Events - r.Failed,
		Transitions: ofRun + shards,
		QueueCalls:  1, // how many events wait
	}
	if r.ChildType == Standard {
		c.Transitions += ofShard * shards
	}
	// Each shard parks its own failed events, ten in a call. They are taken as spread evenly.
	each, more := r.Failed/shards, r.Failed%shards
	c.QueueCalls += (shards-more)*ceil(each, 10) + more*ceil(each+1, 10)
	return c
}

// shards is into how many the range is split, at most 10,000.
func (r Run) shards() int {
	return ceil(r.Events, int(event.ShardSize(int64(r.Events), int64(r.ShardSize))))
}

func ceil(n, size int) int { return (n + size - 1) / size }
