package cost

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"

	"carnation/internal/function/generate"
)

// Durations, which only AWS can measure, are assumed, rather too long than too short. docs/cost.md gives the reasons.
const (
	longPollSeconds   = 1.0   // of a generate-data that finds the retry queue empty
	smallSeconds      = 0.1   // of any generate-data and plan-shards besides
	insertSeconds     = 0.015 // of an insert-data of one event
	shardEventSeconds = 0.002 // of an insert-data of a shard, for each of its events
	coldStartSeconds  = 0.2   // of each execution environment
	eventSeconds      = 0.1   // of an event in the inline Map, from its start to its end
	betweenSeconds    = 0.5   // of an execution besides its functions and its Map
)

// What AWS's documentation says.
const (
	tableKeySeconds = 300    // DynamoDB asks KMS again for each connection
	itemOverhead    = 100    // bytes of storage that DynamoDB adds to an item
	expressGB       = 0.0625 // memory of an Express child, 50 MB and its data, in steps of 64 MB
	monthHours      = 730
)

// Sizes that tests hold against a real run. An item under 1 KB is one write request unit.
const (
	LogBytes       = 600    // of a function's line of an invocation, which has its counts
	LambdaLogBytes = 750    // of Lambda's own lines of an invocation, which are longer on AWS
	FailedLogBytes = 400    // of a function's line of a failed event
	ItemBytes      = 152    // of an event in the table, with the longest sequence number
	Metrics        = 4      // that the lines with counts publish
	connections    = 2 * 32 // to DynamoDB, that an insert-data of a shard opens at most
)

// What the templates say.
const (
	memoryMB         = 256  // LambdaMemorySize
	mapConcurrency   = 10   // MapMaxConcurrency
	shardConcurrency = 10   // ShardConcurrency
	queueKeySeconds  = 3600 // KmsDataKeyReusePeriodSeconds
	functionAlarms   = 5    // of each function
	otherAlarms      = 5    // of the state machine and the queues
	dashboards       = 1
)

// Prices is the table of prices.
type Prices struct {
	Region string           `json:"region"`
	Date   string           `json:"date"`   // when they were looked up
	Prices map[string]Price `json:"prices"` // by part of a bill
}

// Price is what so many units cost.
type Price struct {
	USD    float64 `json:"usd"`
	Per    float64 `json:"per"`
	Unit   string  `json:"unit"`
	Source string  `json:"source"`            // AWS's page
	ReadAt string  `json:"read_at,omitempty"` // where the figure was read, if not there
	Note   string  `json:"note,omitempty"`
}

//go:embed prices.json
var pricesJSON []byte

// LoadPrices reads the table that is part of the program.
func LoadPrices() (Prices, error) {
	var p Prices
	if err := json.Unmarshal(pricesJSON, &p); err != nil {
		return p, fmt.Errorf("read prices: %w", err)
	}
	return p, nil
}

// Line is one part of a bill.
type Line struct {
	Part     string  `json:"part"` // its name in the table of prices
	Quantity float64 `json:"quantity"`
	USD      float64 `json:"usd"`
}

// Bill is what a Run costs. Nothing of a free tier is subtracted.
type Bill struct {
	Mode    string  `json:"mode"`
	Lines   []Line  `json:"lines"`
	USD     float64 `json:"usd"`       // all lines together
	Floor   float64 `json:"floor_usd"` // what one write an event costs, without anything else
	Ratio   float64 `json:"ratio"`     // USD / Floor
	Monthly []Line  `json:"monthly"`   // what comes each month while the stack stands and keeps the events
}

// Bill prices a Run.
func (p Prices) Bill(r Run) Bill {
	c, u := r.Counts(), r.usage()
	b := Bill{Mode: r.Mode, Floor: p.line("DynamoDB writes", float64(r.Events)).USD}
	for _, l := range []Line{
		p.line("state transitions", float64(c.Transitions)),
		p.line("Express requests", float64(u.expressRequests)),
		p.line("Express time", u.expressGBSeconds),
		p.line("function requests", float64(c.invocations())),
		p.line("function time", u.functionSeconds*memoryMB/1024),
		p.line("DynamoDB writes", float64(c.Writes)),
		p.line("SQS requests", float64(c.QueueCalls)),
		p.line("KMS requests", float64(u.keyRequests)),
		p.line("logs", u.logGB),
		p.line("metrics", float64(Metrics*ceilTo(u.seconds, 3600))/monthHours),
		p.line("X-Ray traces", float64(c.Executions+c.Children)),
	} {
		b.Lines = append(b.Lines, l)
		b.USD += l.USD
	}
	b.Ratio = b.USD / b.Floor
	const giga = 1 << 30
	stored := float64(c.Writes*(ItemBytes+itemOverhead)) / giga
	functions := 2.0
	if r.Mode == Distributed {
		functions = 3
	}
	b.Monthly = []Line{
		p.line("alarms", functions*functionAlarms+otherAlarms),
		p.line("dashboard", dashboards),
		p.line("KMS key", 1),
		p.line("table", stored),
		p.line("backup", stored),
		p.line("kept logs", u.logGB),
	}
	return b
}

func (p Prices) line(part string, quantity float64) Line {
	price := p.Prices[part]
	return Line{part, quantity, quantity * price.USD / price.Per}
}

// usage is what a Run makes of everything that is not billed by the piece, as it is assumed.
type usage struct {
	seconds          float64 // from its start to its end
	functionSeconds  float64
	expressRequests  int
	expressGBSeconds float64
	keyRequests      int
	logGB            float64
}

func (r Run) usage() usage {
	c := r.Counts()
	u := usage{functionSeconds: float64(c.Generates+c.Plans) * smallSeconds}
	var environments, open int // of all functions; connections of insert-data's to DynamoDB
	if r.Mode == Distributed {
		atOnce := min(c.Children, shardConcurrency)
		environments, open = 1+2*atOnce, atOnce*connections
		u.functionSeconds += float64(c.Inserts)*insertSeconds + float64(r.Events)*shardEventSeconds
		child := smallSeconds + insertSeconds + float64(ceil(r.Events, r.shards()))*shardEventSeconds + betweenSeconds
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
	u.functionSeconds += float64(environments) * coldStartSeconds
	u.keyRequests = 2*environments + // a function's environment variables, and its log stream
		open*ceilTo(u.seconds, tableKeySeconds) +
		2*(c.Executions+c.Children) // a data key for what they hold, made and read
	if r.Failed > 0 {
		u.keyRequests += 2 * environments * ceilTo(u.seconds, queueKeySeconds) // the queue's data key, made and read
	}
	u.logGB = float64(c.invocations()*(LambdaLogBytes+LogBytes)+r.Failed*FailedLogBytes) / (1 << 30)
	return u
}

// ceilTo is how many periods a time takes.
func ceilTo(seconds, period float64) int { return int(math.Ceil(seconds / period)) }
