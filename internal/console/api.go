// Package console serves the web page of Carnation stacks, and writes the report of a run. It binds to loopback, and calls only AWS's APIs.
package console

import (
	"encoding/json"
	"time"

	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

// The JSON of the console's API. Every path below has the query parameter stack, except /api/stacks.
//
//	GET  /api/stacks                     Stacks
//	GET  /api/overview                   Overview
//	GET  /api/runs?status=&max=&next=    Runs: newest first, without what needs a call for each run
//	GET  /api/run-summaries?arn=&arn=    []RunSummary: what needs a call for each run, for at most 25 runs
//	GET  /api/run?arn=                   model.Document of a run, a shard or a batch
//	GET  /api/visits?arn=&path=&index=   []model.Visit: of one state, path is its JSON; index is an iteration, or left out
//	GET  /api/plan?arn=&do=              operate.RunChange: what do=stop or do=redrive would do to a run
//	GET  /api/dead-letters?error=&execution=&sequence=   DeadLetters
//	GET  /api/stream?stack=&run=         Server-Sent Events, see Change
//	POST /api/start                      StartRequest -> Started
//	POST /api/start-file?name=&format=&time=&failure_rate=&run_name=   the file -> Started; refuses what carnation run --events refuses
//	POST /api/retry                      {} -> Done: retries until the queue is empty, in the background of the console
//	POST /api/stop                       {"arn"} -> Done
//	POST /api/redrive                    {"arn"} -> Done
//	POST /api/dead-letters/redrive       Choice -> Done
//	POST /api/dead-letters/drop          Choice -> JSON Lines: the letters, which are also in a file at X-Carnation-Kept; X-Carnation-Count of them
//	POST /api/dead-letters/export        Choice -> JSON Lines
//	POST /api/dead-letters/edit          {"message_id", "payload"} -> Done
//
// A request that changes something needs the header X-Carnation-Token: index.html has the token in <meta name="carnation-token">. An error is
// {"error": {"message", "kind"}} with a status of 400, 403, 404, 409, 413, 429, 502 or 503; kind is one of the constants below.

// Kinds of errors.
const (
	KindInvalid     = "invalid"     // the request is wrong; the message names the field, the value and what it must be
	KindForbidden   = "forbidden"   // wrong Host, Origin or token
	KindReadOnly    = "read_only"   // changes need --allow-changes
	KindNoStack     = "no_stack"    // there is no such stack yet
	KindNotFound    = "not_found"   // no such execution, or message
	KindThrottled   = "throttled"   // AWS throttles calls; try again
	KindCredentials = "credentials" // expired or missing
	KindUnreachable = "unreachable" // the endpoint does not answer
	KindAWS         = "aws"         // another error of AWS
)

// Stacks are the Carnation stacks of the account and the region.
type Stacks struct {
	Region    string     `json:"region"`
	Endpoint  string     `json:"endpoint,omitempty"` // AWS_ENDPOINT_URL, if there is one
	Stacks    []StackRef `json:"stacks"`
	Default   string     `json:"default"` // of --stack-name, or the only stack
	ReadOnly  bool       `json:"read_only"`
	HowToMake string     `json:"how_to_make"` // the command that makes a stack
}

// StackRef is one stack.
type StackRef struct {
	Name    string `json:"name"`
	State   string `json:"state"`    // CREATE_IN_PROGRESS, ...
	MapMode string `json:"map_mode"` // empty while it is made
}

// Overview is where the events are.
type Overview struct {
	At      time.Time `json:"at"`
	Stack   string    `json:"stack"`
	State   string    `json:"state"`
	MapMode string    `json:"map_mode"`
	Rows    int       `json:"rows"`
	RowsAt  time.Time `json:"rows_at"` // a scan counts them, so they can be older than the queues; year 1 until the first count has ended
	// RowsError says why the rows cannot be counted. Rows is then the last count, if there is one.
	RowsError string         `json:"rows_error,omitempty"`
	Queues    operate.Queues `json:"queues"`
	Running   []string       `json:"running"` // ARNs of the runs
	Sentence  string         `json:"sentence"`
	Tone      string         `json:"tone"` // good, waiting, bad, or busy
	// History is a point for each change, at most 300: [Unix milliseconds, rows, waiting, in flight, dead].
	History [][5]int64 `json:"history"`
	Retry   *Retry     `json:"retry,omitempty"` // the retry until empty that the console runs
}

// Retry is the progress of POST /api/retry.
type Retry struct {
	Runs  int    `json:"runs"`
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// Runs is a page of the list.
type Runs struct {
	Runs []RunRow `json:"runs"`
	Next string   `json:"next,omitempty"`
}

// RunRow is what the list of executions says about a run.
type RunRow struct {
	operate.ListedRun
	Summary *RunSummary `json:"summary,omitempty"` // if it is known already
}

// RunSummary is what needs more calls.
type RunSummary struct {
	Arn     string        `json:"arn"`
	Input   model.Input   `json:"input"`
	Outcome model.Outcome `json:"outcome"`
	USD     *float64      `json:"usd"`
	Error   string        `json:"error,omitempty"`
	Cause   string        `json:"cause,omitempty"`
}

// DeadLetters are the letters of a selection.
type DeadLetters struct {
	Groups  []operate.DeadLetterGroup `json:"groups"`  // by error and run
	Letters []operate.DeadLetter      `json:"letters"` // at most 1,000
	Omitted int                       `json:"omitted"`
	Hidden  int                       `json:"hidden"` // held by somebody else, so not seen
}

// StartRequest is a range, or events.
type StartRequest struct {
	StartSeq    *int64            `json:"start_seq,omitempty"`
	EndSeq      *int64            `json:"end_seq,omitempty"`
	Events      []json.RawMessage `json:"events,omitempty"`
	FailureRate float64           `json:"failure_rate,omitempty"`
	Time        *int64            `json:"time,omitempty"`
	Name        string            `json:"name,omitempty"`
}

// Started is the run that was started.
type Started struct {
	Arn   string `json:"arn"`
	Again bool   `json:"again"` // the same run was started before
}

// Choice is the dead letters that are meant.
type Choice struct {
	MessageIDs []string `json:"message_ids,omitempty"`
	Error      string   `json:"error,omitempty"`
	Execution  string   `json:"execution,omitempty"`
	All        bool     `json:"all,omitempty"`
}

// Done says what was done.
type Done struct {
	Message string `json:"message"` // for people
	Count   int    `json:"count"`
}

// Change is the data of a Server-Sent Event. Its event name says what has changed; the page then has the new value, or reads it.
//
//	event: overview   data: Overview
//	event: runs       data: {"runs": [RunRow, ...]}: rows that are new or have changed
//	event: run        data: {"arn": "..."}: the run of the stream's parameter run has changed; read it again
//	event: stacks     data: Stacks
//	event: problem    data: {"message", "kind"}: AWS cannot be read; a later overview ends it
type Change struct {
	Event string
	Data  any
}
