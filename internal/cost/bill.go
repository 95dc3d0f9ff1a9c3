package cost

import (
	"math"
	"time"
)

// Line is one part of a bill.
type Line struct {
	Part     string  `json:"part"` // key of Prices.Prices
	Quantity float64 `json:"quantity"`
	USD      float64 `json:"usd"`
}

// Bill is the price of a Run, without any free tier. All amounts are in USD.
type Bill struct {
	Mode    string  `json:"mode"`
	Lines   []Line  `json:"lines"`
	USD     float64 `json:"usd"`       // sum of Lines
	Floor   float64 `json:"floor_usd"` // one write for each event, and nothing else
	Ratio   float64 `json:"ratio"`     // USD / Floor
	Monthly []Line  `json:"monthly"`   // for each month that the stack exists and keeps the events
}

// Bill is the bill of a Run.
func (p Prices) Bill(r Run) Bill {
	c, u := r.Counts(), r.usage()
	units, floor, rows, object := c.Writes, r.Events, int64(c.Writes*ItemBytes), int64(0)
	if r.Records != nil {
		units, floor, rows = r.written(int64(r.Records.Units)), r.Records.Units, int64(r.written(r.Records.Stored))
		if r.Mode == Distributed && r.Records.fromS3() {
			object = r.Records.Bytes
		}
	}
	b := Bill{Mode: r.Mode, Floor: p.line("DynamoDB writes", float64(floor)).USD}
	for _, l := range []Line{
		p.line("state transitions", float64(c.Transitions)),
		p.line("Express requests", float64(u.expressRequests)),
		p.line("Express time", u.expressGBSeconds),
		p.line("function requests", float64(c.invocations())),
		p.line("function time", u.functionSeconds*memoryMB/1024),
		p.line("DynamoDB writes", float64(units)),
		p.line("SQS requests", float64(r.queueRequests())),
		p.line("S3 writes", float64(u.uploads)),
		p.line("S3 reads", float64(c.ObjectCalls)),
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
	stored := float64(rows+int64(c.Writes*itemOverhead)) / giga
	alarms := 2.0*functionAlarms + otherAlarms
	if r.Mode == Distributed {
		alarms += functionAlarms + shardMetrics
	}
	b.Monthly = []Line{
		p.line("alarms", alarms),
		p.line("dashboard", dashboards),
		p.line("KMS key", 1),
		p.line("table", stored),
		p.line("backup", stored),
		p.line("kept logs", u.logGB),
		p.line("S3 storage", float64(object)/giga),
	}
	b.Monthly = append(b.Monthly, p.retries(r)...)
	return b
}

// retries is what a schedule costs in a month whose runs find nothing to retry.
func (p Prices) retries(r Run) []Line {
	runs := 0.0
	if r.RetryEvery > 0 {
		runs = math.Floor(monthHours * float64(time.Hour) / float64(r.RetryEvery))
	}
	c := r.Idle()
	seconds := float64(c.invocations())*smallSeconds + idlePolls*longPollSeconds
	var lines []Line
	for _, l := range []Line{
		{Part: "schedule", Quantity: 1},
		{Part: "state transitions", Quantity: float64(c.Transitions)},
		{Part: "function requests", Quantity: float64(c.invocations())},
		{Part: "function time", Quantity: seconds * memoryMB / 1024},
		{Part: "SQS requests", Quantity: float64(c.QueueCalls)},
		{Part: "X-Ray traces", Quantity: float64(c.Executions + c.Children)},
	} {
		lines = append(lines, p.line(l.Part, runs*l.Quantity))
	}
	return lines
}

func (p Prices) line(part string, quantity float64) Line {
	price := p.Prices[part]
	return Line{part, quantity, quantity * price.USD / price.Per}
}
