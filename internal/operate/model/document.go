// Package model builds one document of a run, from AWS's own APIs alone: carnation runs, carnation report and the console read it.
package model

import (
	"encoding/json"
	"time"
)

// Document is everything that is known about one execution: a run, or a shard or batch of one. Its JSON is a contract. Every list is
// bounded, and says how many elements it leaves out.
type Document struct {
	ReadAt     time.Time       `json:"read_at"`
	Stack      Stack           `json:"stack"`
	Run        Run             `json:"run"`
	Outcome    Outcome         `json:"outcome"`
	Definition json.RawMessage `json:"definition"` // Amazon States Language, as of this execution; of a shard, the ItemProcessor of its Map state
	States     []State         `json:"states"`     // in the order of their first entry; states that were never entered are not in it
	Timeline   Timeline        `json:"timeline"`
	Items      Items           `json:"items"`
	Shards     *Shards         `json:"shards,omitempty"` // of a distributed run
	Logs       Logs            `json:"logs"`
	Cost       Cost            `json:"cost"`
	Partial    []Gap           `json:"partial"` // what could not be read; empty if nothing is missing
}

// Stack is the stack that the run belongs to.
type Stack struct {
	Name            string `json:"name"`
	Region          string `json:"region"`
	MapMode         string `json:"map_mode"` // INLINE or DISTRIBUTED
	StateMachineArn string `json:"state_machine_arn"`
}

// Run is the execution itself.
type Run struct {
	Arn          string          `json:"arn"`
	Name         string          `json:"name"`
	Status       string          `json:"status"` // RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED or PENDING_REDRIVE, as Step Functions says it
	Started      time.Time       `json:"started"`
	Stopped      *time.Time      `json:"stopped,omitempty"`
	Milliseconds int64           `json:"milliseconds"` // from its start to its end, or to now
	Redrives     int             `json:"redrives"`
	Redriven     *time.Time      `json:"redriven,omitempty"` // last
	CanRedrive   bool            `json:"can_redrive"`
	WhyNot       string          `json:"why_no_redrive,omitempty"` // as Step Functions says it
	Error        string          `json:"error,omitempty"`
	Cause        string          `json:"cause,omitempty"`
	Input        Input           `json:"input"`
	Of           string          `json:"of,omitempty"`         // ARN of the run that a shard or batch belongs to
	MapRun       string          `json:"map_run,omitempty"`    // ARN of its Map Run
	RawInput     json.RawMessage `json:"raw_input,omitempty"`  // only with Options.Payloads
	RawOutput    json.RawMessage `json:"raw_output,omitempty"` // only with Options.Payloads
}

// Input is the input of a run without payloads.
type Input struct {
	Kind        string  `json:"kind"` // range, retry (an empty range), events, source, shard, batch, or invalid
	StartSeq    int64   `json:"start_seq,omitempty"`
	EndSeq      int64   `json:"end_seq,omitempty"`
	Events      int     `json:"events,omitempty"` // number of records, if they are known before the run
	Source      string  `json:"source,omitempty"` // s3://bucket/key
	Format      string  `json:"format,omitempty"`
	Time        int64   `json:"time,omitempty"` // Unix seconds
	FailureRate float64 `json:"failure_rate,omitempty"`
	Text        string  `json:"text"` // for people: "events 1 to 60", "retries only", "orders.csv, 500 records"
}

// Outcome is what became of the events. A count that is not known yet, or never, is null.
type Outcome struct {
	Generated *int   `json:"generated"` // new events
	Claimed   *int   `json:"claimed"`   // from the retry queue
	Inserted  *int   `json:"inserted"`
	Failed    *int   `json:"failed"`   // returned and dead
	Returned  *int   `json:"returned"` // in the retry queue
	Dead      *int   `json:"dead"`     // in the dead-letter queue
	Sentence  string `json:"sentence"` // for people: "53 of 60 events were inserted; 7 were returned to the retry queue"
}

// State is what one state of the definition did. Path is its name, after the names of the Map states that hold it, from the outside in.
type State struct {
	Path      []string `json:"path"`
	Type      string   `json:"type"` // Task, Map, Pass, Choice, Fail, ...
	Entered   int      `json:"entered"`
	Succeeded int      `json:"succeeded"` // exited, and no error was caught
	Failed    int      `json:"failed"`    // failed after all retries, caught or not; also visits of Fail states. Entered is Succeeded + Failed + Running + Aborted
	Caught    int      `json:"caught"`    // of Failed
	Retried   int      `json:"retried"`   // attempts after the first
	Running   int      `json:"running"`
	Aborted   int      `json:"aborted"` // neither exited nor failed when the execution ended
	// Milliseconds of the visits that ended.
	TotalMS int64 `json:"total_ms"`
	LeastMS int64 `json:"least_ms"`
	MostMS  int64 `json:"most_ms"`
	// Estimated says that the counts are extrapolated from a sample of the shards. Sampled is its size.
	Estimated bool `json:"estimated,omitempty"`
	Sampled   int  `json:"sampled,omitempty"`
}

// Statuses of spans, and of shards.
const (
	Running   = "running"
	Succeeded = "succeeded"
	Failed    = "failed"
	Aborted   = "aborted"
	TimedOut  = "timed_out"
)

// Timeline is when the states ran. All times are milliseconds since the start of the execution.
type Timeline struct {
	Spans   []Span      `json:"spans"` // visits of states outside of Maps, and iterations and shards
	Omitted int         `json:"omitted"`
	Maps    []MapSeries `json:"maps"` // one for each visit of a Map state, aggregated over all iterations
}

// Span is one visit of a state, one iteration of a Map state, or one shard.
type Span struct {
	Path    []string `json:"path"`            // of the state; of the Map state, if Index is set
	Index   *int     `json:"index,omitempty"` // number of the iteration, from 0
	Shard   string   `json:"shard,omitempty"` // ARN of the child execution
	Start   int64    `json:"start"`
	End     int64    `json:"end"` // -1 while it runs
	Status  string   `json:"status"`
	Retries int      `json:"retries,omitempty"`
	Error   string   `json:"error,omitempty"`
	EventID int64    `json:"event_id,omitempty"` // history event in which it began
	// Steps are the states of an iteration: [index in States, start, end], in their order.
	Steps [][3]int64 `json:"steps,omitempty"`
}

// MapSeries is how the iterations or shards of a Map state went on.
type MapSeries struct {
	Path      []string `json:"path"`
	Start     int64    `json:"start"`
	End       int64    `json:"end"`
	Total     int      `json:"total"`
	Succeeded int      `json:"succeeded"`
	Failed    int      `json:"failed"`
	Aborted   int      `json:"aborted"`
	Running   int      `json:"running"`
	StepMS    int64    `json:"step_ms"` // width of a bucket of Series
	// Series has at most 200 buckets of time: [running at its end, ended, failed] in each.
	Series    [][3]int `json:"series"`
	Durations []Bucket `json:"durations"` // histogram of the durations
}

// Bucket counts the durations from the end of the bucket before to UpToMS.
type Bucket struct {
	UpToMS int64 `json:"up_to_ms"`
	Count  int   `json:"count"`
}

// Statuses of items.
const (
	ItemInserted  = "inserted"  // in the table
	ItemParked    = "parked"    // new, failed, and in the retry queue
	ItemReleased  = "released"  // claimed, failed, and back in the retry queue
	ItemReturning = "returning" // claimed, failed; its message becomes visible, or SQS moves it, by itself; it is gone if the insert succeeded and only its answer was lost
	ItemBuried    = "buried"    // failed, and in the dead-letter queue
	ItemRunning   = "running"
	ItemUnknown   = "unknown" // the run ended before it
)

// Items are the events of the run. Those of a distributed run are only in Groups.
type Items struct {
	Total   int         `json:"total"`
	Groups  []ItemGroup `json:"groups"`
	Rows    []Item      `json:"rows"` // the failed ones first, then by index
	Omitted int         `json:"omitted"`
}

// ItemGroup counts items with the same status and error.
type ItemGroup struct {
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	Count  int    `json:"count"`
}

// Item is one event.
type Item struct {
	Index        int             `json:"index"` // of its iteration
	SequenceNo   int64           `json:"sequence_no"`
	RandomValue  string          `json:"random_value"`
	Claimed      bool            `json:"claimed,omitempty"`
	RetryAttempt int             `json:"retry_attempt,omitempty"`
	Status       string          `json:"status"`
	Error        string          `json:"error,omitempty"`
	EventIDs     []int64         `json:"event_ids,omitempty"` // history events of its iteration, at most 20
	Payload      json.RawMessage `json:"payload,omitempty"`   // only with Options.Payloads
	units        int             // write request units of its row
}

// Shards are the child executions of a distributed run: shards of generated and claimed events, and batches of records.
type Shards struct {
	Total     int     `json:"total"`
	Succeeded int     `json:"succeeded"`
	Failed    int     `json:"failed"`
	Aborted   int     `json:"aborted"`
	TimedOut  int     `json:"timed_out"`
	Running   int     `json:"running"`
	Pending   int     `json:"pending"`
	Records   int     `json:"records,omitempty"` // read by the Map states of your own events
	Type      string  `json:"type"`              // STANDARD or EXPRESS
	Rows      []Shard `json:"rows"`              // the failed ones first, then by start
	Omitted   int     `json:"omitted"`
}

// Shard is one child execution.
type Shard struct {
	Arn    string   `json:"arn"`
	Name   string   `json:"name"`
	Path   []string `json:"path"` // of its Map state
	Status string   `json:"status"`
	Start  int64    `json:"start"` // milliseconds since the start of the run
	End    int64    `json:"end"`   // -1 while it runs
	Items  int      `json:"items,omitempty"`
	Error  string   `json:"error,omitempty"`
	Cause  string   `json:"cause,omitempty"`
}

// Logs are log lines of the functions and the state machine that belong to the execution, newest last. They have no payloads.
type Logs struct {
	Lines   []LogLine `json:"lines"`
	Omitted bool      `json:"omitted"` // there are more
}

// LogLine is one line of a log group.
type LogLine struct {
	Time     time.Time `json:"time"`
	Function string    `json:"function"` // generate-data, insert-data, plan-shards or state-machine
	Level    string    `json:"level,omitempty"`
	Message  string    `json:"message"` // the line as it is, or the msg of a JSON line
	Fields   string    `json:"fields,omitempty"`
	Sequence *int64    `json:"sequence_no,omitempty"` // of the event that the line is about
	Request  string    `json:"request_id,omitempty"`  // of the function's invocation, as in Visit
}

// Cost is what the execution cost at list prices, without any free tier, in USD.
type Cost struct {
	Lines []CostLine `json:"lines"`
	USD   float64    `json:"usd"`
	Date  string     `json:"price_date"`
	// Region is the region of the prices.
	Region string `json:"price_region"`
}

// CostLine is one part of the cost.
type CostLine struct {
	Part     string  `json:"part"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	USD      float64 `json:"usd"`
	Basis    string  `json:"basis"` // counted, or estimated
	Note     string  `json:"note,omitempty"`
}

// Gap is something that could not be read.
type Gap struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Visit is one visit of a state with what went in and out, as the history has it.
type Visit struct {
	Path    []string        `json:"path"`
	Index   *int            `json:"index,omitempty"` // iteration
	EventID int64           `json:"event_id"`
	Start   int64           `json:"start"`
	End     int64           `json:"end"`
	Status  string          `json:"status"`
	Retries int             `json:"retries,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	Output  json.RawMessage `json:"output,omitempty"`
	Error   string          `json:"error,omitempty"`
	Cause   string          `json:"cause,omitempty"`
	Request string          `json:"request_id,omitempty"` // of the function's invocation
}

// Options say how much of a run a document has.
type Options struct {
	Payloads bool // payloads of items, input and output of the run
	NoLogs   bool // leaves out the log lines, whose calls are the slowest
	// Rows is how many items, spans and shards a document has at most, each; 0 for 2,000.
	Rows int
}
