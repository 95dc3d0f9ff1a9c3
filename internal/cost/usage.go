package cost

import (
	"math"

	"carnation/internal/function/generate"
)

// Assumed durations, because only AWS can measure them. They are rather too long than too short. docs/cost.md gives the reasons.
const (
	longPollSeconds   = 1.0     // generate-data, when it finds the retry queue empty
	smallSeconds      = 0.1     // generate-data and plan-shards, other work
	insertSeconds     = 0.015   // insert-data of one event
	shardEventSeconds = 0.002   // insert-data of a shard, for each event
	coldStartSeconds  = 0.2     // cold start of an execution environment
	eventSeconds      = 0.1     // an event in the inline Map, from start to end
	betweenSeconds    = 0.5     // an execution, other than its functions and its Map
	readBytes         = 1 << 20 // that one request of Step Functions reads of an object
)

// From the documentation of AWS.
const (
	tableKeySeconds = 300    // how long DynamoDB caches the key, for each connection
	itemOverhead    = 100    // bytes that DynamoDB adds to a stored item
	expressGB       = 0.0625 // memory of an Express child: 50 MB and its data, in steps of 64 MB
	monthHours      = 730
	queueChunk      = 64 << 10 // bytes of a call of SQS that are billed as one request
)

// Measured sizes. Tests compare them with a real run. An item of up to 1 KB is one write request unit.
const (
	LogBytes       = 600     // the function's line with the counts of an invocation
	LambdaLogBytes = 750     // Lambda's own lines of an invocation, which are longer on AWS
	FailedLogBytes = 420     // the function's line of a failed event
	ItemBytes      = 152     // a row, with the longest sequence number
	Metrics        = 4       // that the lines with counts publish
	partBytes      = 8 << 20 // of a part that carnation run uploads
	connections    = 2 * 32  // at most, from insert-data of a shard to DynamoDB
)

// Defaults and numbers of the templates.
const (
	memoryMB         = 256  // LambdaMemorySize
	mapConcurrency   = 10   // MapMaxConcurrency
	shardConcurrency = 10   // ShardConcurrency
	queueKeySeconds  = 3600 // KmsDataKeyReusePeriodSeconds
	functionAlarms   = 5    // of each function
	otherAlarms      = 9    // of the state machine, the table and the queues
	shardAlarms      = 2    // of shards and Map Runs, distributed only
	shardMetrics     = 6    // that these watch: an alarm on several metrics costs as much as an alarm on each
	dashboards       = 1
)

// usage is the estimated use of what is not billed per piece.
type usage struct {
	seconds          float64 // duration of the run
	functionSeconds  float64
	expressRequests  int
	expressGBSeconds float64
	keyRequests      int
	logGB            float64
	uploads          int // requests of carnation run that write the object with own events
}

func (r Run) usage() usage {
	c := r.Counts()
	u := usage{functionSeconds: float64(c.Generates+c.Plans) * smallSeconds}
	var environments, open int // of all functions; connections of insert-data to DynamoDB
	if r.Mode == Distributed {
		atOnce := min(c.Children, shardConcurrency)
		environments, open = 1+2*atOnce, atOnce*connections
		generateSeconds := smallSeconds
		if r.Records != nil { // no generate-data
			environments, generateSeconds = 1+atOnce, 0
		}
		u.functionSeconds += float64(c.Inserts)*insertSeconds + float64(r.Events)*shardEventSeconds
		child := generateSeconds + insertSeconds + float64(ceil(r.Events, r.shards()))*shardEventSeconds + betweenSeconds
		u.seconds = math.Ceil(float64(c.Children)/shardConcurrency)*child + float64(c.Plans)*smallSeconds
		if r.ChildType == Express {
			u.expressRequests = c.Children
			u.expressGBSeconds = float64(c.Children) * math.Ceil(child*10) / 10 * expressGB
		}
	} else {
		atOnce := min(r.Events, mapConcurrency)
		environments, open = 1+atOnce, atOnce
		u.functionSeconds += float64(c.Inserts) * insertSeconds
		if r.Events%generate.MaxItems > 0 {
			u.functionSeconds += longPollSeconds
		}
		u.seconds = float64(c.Executions)*(smallSeconds+betweenSeconds) + float64(r.Events)*eventSeconds/mapConcurrency
	}
	if r.Records != nil && r.Mode == Distributed && r.Records.fromS3() {
		u.uploads = 1
		if parts := ceil(int(r.Records.Bytes), partBytes); parts > 1 {
			u.uploads = parts + 2 // to begin and to end
		}
		u.keyRequests = 2 // of the bucket, whose key S3 keeps for a time
	}
	u.functionSeconds += float64(environments) * coldStartSeconds
	u.keyRequests += 2*environments + // for the environment variables and the log stream of a function
		open*ceilTo(u.seconds, tableKeySeconds) +
		2*(c.Executions+c.Children) // to generate and decrypt a data key
	if r.Failed > 0 {
		u.keyRequests += 2 * environments * ceilTo(u.seconds, queueKeySeconds) // to generate and decrypt the data key of the queue
	}
	u.logGB = float64(c.invocations()*(LambdaLogBytes+LogBytes)+r.Failed*FailedLogBytes) / (1 << 30)
	return u
}

// ceilTo is the number of periods in a time, rounded up.
func ceilTo(seconds, period float64) int { return int(math.Ceil(seconds / period)) }
