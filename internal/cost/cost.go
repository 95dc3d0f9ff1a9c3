// Package cost estimates what a run costs on AWS, from three sources: the counts of what the state machine and the functions
// do, which a test compares with real runs; assumptions about what only AWS can measure; and a table of prices.
package cost

import (
	"math"
	"time"

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
	Events    int      // 1 to event.MaxEvents
	Records   *Records // the own events, as many as Events; nil for generated ones
	Failed    int      // events that fail, 0 to Events
	ShardSize int      // events of a shard, 1 to event.MaxShardSize; distributed mode only
	ChildType string   // Standard or Express; distributed mode only
	// RetryEvery is the interval of the stack's RetrySchedule; 0 for none. Only what is paid every month depends on it.
	RetryEvery time.Duration
}

// Counts is how often a Run does what is billed per piece.
type Counts struct {
	Executions  int // of the state machine, without the children
	Children    int // executions that a Distributed Map starts, one a shard
	Transitions int // of Standard executions: states entered, and one for each child started
	Generates   int // invocations of generate-data
	Inserts     int // invocations of insert-data
	Plans       int // invocations of plan-shards
	Writes      int // of items; an event that fails on purpose is not written
	QueueCalls  int // to the retry queue
	ObjectCalls int // HeadObject and GetObject, of the object with own events
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
	if r.Records != nil {
		runs, rest = r.Records.Runs, r.Records.run%generate.MaxItems
	}
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
	if r.Records != nil {
		return r.batches()
	}
	const (
		ofRun   = 7 // Plan Shards, Any Shards?, Process Shards, What Is Left?, Add Up Shards, Any Failures?, All Inserted or Events Failed
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
	c.QueueCalls += r.parks(shards)
	return c
}

// batches counts one run of the distributed mode over own events. Its children have no other state than the one that inserts.
func (r Run) batches() Counts {
	const ofRun = 7 // Plan Shards, Any Shards?, What Is Left?, Process ..., Add Up Shards, Any Failures?, All Inserted or Events Failed
	batches := r.Records.Batches
	c := Counts{
		Executions: 1, Children: batches, Inserts: batches, Plans: 2, Writes: r.Events - r.Failed,
		Transitions: ofRun + batches,
		QueueCalls:  1 + r.parks(batches),
	}
	if r.ChildType == Standard {
		c.Transitions += batches
	}
	if r.Records.fromS3() {
		c.ObjectCalls = 1 + ceil(int(r.Records.Bytes), readBytes)
	}
	return c
}

// idlePolls is how often a run that only retries asks the queue before it believes that it is empty.
const idlePolls = 2

// Idle counts a run of the mode that only retries, and finds nothing to retry.
func (r Run) Idle() Counts {
	if r.Mode == Inline {
		return Counts{Executions: 1, Generates: 1, QueueCalls: idlePolls, Transitions: 4} // as in inline
	}
	// Plan Shards, Any Shards?, Process Shards, What Is Left?, Add Up Shards, Any Failures?, All Inserted; and one shard that claims
	c := Counts{Executions: 1, Children: 1, Generates: 1, Inserts: 1, Plans: 2, QueueCalls: 1 + idlePolls, Transitions: 7 + 1}
	if r.ChildType == Standard {
		c.Transitions += 2 // Generate Data, Insert Data
	}
	return c
}

// parks is the calls with which children park failed events, ten per call. They are assumed to be spread evenly.
func (r Run) parks(children int) int {
	each, more := r.Failed/children, r.Failed%children
	return (children-more)*ceil(each, 10) + more*ceil(each+1, 10)
}

// shards is the number of shards of the range, at most 10,000, or of batches of own events.
func (r Run) shards() int {
	if r.Records != nil {
		return r.Records.Batches
	}
	return ceil(r.Events, int(event.ShardSize(int64(r.Events), int64(r.ShardSize))))
}

// written is a share of what all events take, without those that failed.
func (r Run) written(all int64) int {
	return int(math.Round(float64(all) * float64(r.Events-r.Failed) / float64(r.Events)))
}

// queueRequests is the requests to the retry queue that are billed: each 64 KiB of a call is one.
func (r Run) queueRequests() int {
	c := r.Counts()
	if r.Records == nil || r.Failed == 0 {
		return c.QueueCalls
	}
	message := messageBytes + int(r.Records.Bytes)/r.Events
	if r.Mode == Inline {
		return c.QueueCalls // one message in each call, and no message is larger than that
	}
	parks := r.parks(r.Records.Batches)
	return c.QueueCalls - parks + max(parks, ceil(r.Failed*message, queueChunk))
}

func ceil(n, size int) int { return (n + size - 1) / size }
