package cost

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
	alarms := 2.0*functionAlarms + otherAlarms
	if r.Mode == Distributed {
		alarms += functionAlarms + shardAlarms
	}
	b.Monthly = []Line{
		p.line("alarms", alarms),
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
