// Package cost estimates what a run costs on AWS, from three sources: the counts of what the state machine and the functions
// do, which a test compares with real runs; assumptions about what only AWS can measure; and a table of prices.
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

// The types of the child executions in the distributed mode, as the state machine names them.
const (
	Standard = "STANDARD"
	Express  = "EXPRESS"
)

// Run is a run to price. The retry queue is empty at its start, and each event is tried once.
type Run struct {
	Mode      string
	Events    int    // 1 to event.MaxEvents
	Failed    int    // events that fail, 0 to Events
	ShardSize int    // events of a shard, 1 to event.MaxShardSize; distributed mode only
	ChildType string // Standard or Express; distributed mode only
}

// Counts is how often a Run does what is billed per piece.
type Counts struct {
	Executions  int // of the state machine, without the children
	Children    int // executions that a Distributed Map starts, one a shard
	Transitions int // of Standard executions: states entered, and one for each child started
	Generates   int // invocations of generate-data
	Inserts     int // invocations of insert-data
	Plans       int // invocations of plan-shards
	Writes      int // of items, all under 1 KB; an event that fails on purpose is not written
	QueueCalls  int // to the retry queue
}

func (c Counts) invocations() int { return c.Generates + c.Inserts + c.Plans }

// Counts counts what the Run does. Its constants are the states that a run, an event or a shard enters in the state machine.
func (r Run) Counts() Counts {
	if r.Mode == Distributed {
		return r.distributed()
	}
	return r.inline()
}

// inline counts runs of the inline mode, one after another, as many as the range needs.
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
	if rest > 0 { // a full run has no room to claim events; any other run finds the queue empty with one call
		c.QueueCalls++
	}
	return c
}

// distributed counts one run of the distributed mode. No shard claims, because the queue is empty.
func (r Run) distributed() Counts {
	const (
		ofRun   = 6 // Plan Shards, Process Shards, Range Left?, Add Up Shards, Any Failures?, All Inserted or Events Failed
		ofShard = 2 // Generate Data, Insert Data
	)
	shards := r.shards()
	c := Counts{
		Executions: 1, Children: shards, Generates: shards, Inserts: shards, Plans: 2, Writes: r.Events - r.Failed,
		Transitions: ofRun + shards,
		QueueCalls:  1, // to count the waiting events
	}
	if r.ChildType == Standard {
		c.Transitions += ofShard * shards
	}
	// Each shard parks its failed events, ten per call. They are assumed to be spread evenly.
	each, more := r.Failed/shards, r.Failed%shards
	c.QueueCalls += (shards-more)*ceil(each, 10) + more*ceil(each+1, 10)
	return c
}

// shards is the number of shards of the range, at most 10,000.
func (r Run) shards() int {
	return ceil(r.Events, int(event.ShardSize(int64(r.Events), int64(r.ShardSize))))
}

func ceil(n, size int) int { return (n + size - 1) / size }
