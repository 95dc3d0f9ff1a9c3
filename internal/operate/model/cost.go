package model

import (
	"math"
	"strconv"
	"strings"

	"carnation/internal/cost"
)

// Whether a quantity was counted, or estimated.
const (
	Counted   = "counted"
	Estimated = "estimated"
)

// used is what an execution and its children used.
type used struct {
	transitions, invocations, queueCalls, functionMS float64
}

func (u *used) add(j *journey, weight float64) {
	j.root.eachVisit(func(v *visit) {
		u.transitions += weight * float64(1+v.retries()) // a retry is a transition, too
		switch {
		case v.service == "lambda":
			u.invocations += weight * float64(v.attempts-v.throttled)
			u.functionMS += weight * float64(v.functionMS)
		case strings.Contains(v.service, "sqs"):
			u.queueCalls += weight * float64(v.attempts)
		}
	})
}

// unitsOf are the write request units of the row of a record, or of a generated event.
func unitsOf(record []byte) int {
	sizes := cost.NewRecords(1)
	if len(record) == 0 || sizes.Add(record) != nil {
		return 1
	}
	return sizes.Units
}

// cost prices what the execution used.
func (r *reader) cost() {
	prices, err := cost.LoadPrices()
	if err != nil {
		r.gap("cost", err.Error())
		return
	}
	c := &r.doc.Cost
	c.Date, c.Region = prices.Date, prices.Region
	add := func(part string, quantity float64, basis, note string) {
		price, ok := prices.Prices[part]
		if quantity <= 0 || !ok {
			return
		}
		l := CostLine{Part: part, Quantity: quantity, Unit: price.Unit, USD: quantity * price.USD / price.Per, Basis: basis, Note: note}
		c.Lines = append(c.Lines, l)
		c.USD += l.USD
	}
	basis, note := Counted, "states entered, and retries"
	if r.estimated {
		basis, note = Estimated, note+"; those of the shards from a sample"
	}
	started := 0.0 // children
	if s := r.doc.Shards; s != nil {
		started = float64(s.Total - s.Pending)
	}
	express := r.doc.Shards != nil && r.doc.Shards.Type == "EXPRESS"
	add("state transitions", r.used.transitions+started, basis, note+map[bool]string{true: "; one for each shard", false: ""}[started > 0])
	invocations, seconds := r.used.invocations, r.used.functionMS/1000
	same := r.comparable(prices)
	invocationBasis := basis
	if express {
		add("Express requests", started, Counted, "one for each shard")
		add("Express time", same["Express time"], Estimated, "as carnation cost estimates it")
		invocations, invocationBasis = invocations+2*started, Estimated
		seconds += same["function time"] * 1024 / r.memory()
	}
	add("function requests", invocations, invocationBasis, "")
	add("function time", seconds*r.memory()/1024, Estimated, "from the start to the end of each task, which is more than Lambda bills")
	r.costOfEvents(add)
	add("SQS requests", math.Round(r.used.queueCalls), basis, "calls of states")
	for _, part := range []string{"S3 reads", "KMS requests", "logs", "metrics", "X-Ray traces"} {
		add(part, same[part], Estimated, "as carnation cost estimates it")
	}
}

func (r *reader) memory() float64 {
	if mb, err := strconv.ParseFloat(r.stack.Parameters["LambdaMemorySize"], 64); err == nil && mb > 0 {
		return mb
	}
	return 256 // the default of the template
}

// costOfEvents prices the rows, and what the functions send to the queues.
func (r *reader) costOfEvents(add func(part string, quantity float64, basis, note string)) {
	o := r.doc.Outcome
	number := func(n *int) float64 {
		if n == nil {
			return 0
		}
		return float64(*n)
	}
	units, rows := 0.0, 0
	for _, item := range r.answers.items {
		if item.Status == ItemInserted {
			rows++
			units += float64(item.units)
		}
	}
	inserted, basis, note := number(o.Inserted), Counted, "events inserted"
	switch {
	case rows > 0 && rows == int(inserted):
		inserted = units
	case r.doc.Run.Input.Kind == KindSource || r.doc.Run.Input.Kind == KindEvents:
		basis, note = Estimated, "one unit for each event inserted; a row of more than 1 KB takes more"
	case o.Inserted == nil && r.doc.Shards != nil && r.answers.plan != nil:
		inserted, basis, note = float64(int64(r.doc.Shards.Succeeded)*r.answers.plan.ShardSize), Estimated, "all events of the shards that succeeded"
	}
	add("DynamoDB writes", inserted, basis, note)
	claimed := number(o.Claimed)
	tens := func(n float64) float64 { return math.Ceil(n / 10) }
	calls := 1 + tens(claimed) // receives
	switch {
	case r.doc.Run.Input.Kind == KindInvalid:
		return
	case r.doc.Run.Input.Kind == KindBatch:
		calls = tens(number(o.Returned)) + tens(number(o.Dead))
	case r.stack.Distributed:
		calls = 1 + 2*tens(claimed) + tens(number(o.Returned)) + tens(number(o.Dead)) // also deletes and sends
	default:
		for _, item := range r.answers.items {
			if item.Claimed && item.Status == ItemInserted {
				calls++ // a delete
			}
		}
	}
	add("SQS requests", calls, Estimated, "calls of functions, ten messages in each if there are so many")
}

// estimate is what carnation cost says about as many events, or nil if their number is not known.
func (r *reader) estimate() *float64 {
	prices, err := cost.LoadPrices()
	run, ok := r.alike()
	if err != nil || !ok {
		return nil
	}
	usd := prices.Bill(run).USD
	return &usd
}

// comparable is what carnation cost estimates for as many events, by the parts of the bill.
func (r *reader) comparable(prices cost.Prices) map[string]float64 {
	parts := map[string]float64{}
	if run, ok := r.alike(); ok {
		for _, l := range prices.Bill(run).Lines {
			parts[l.Part] = l.Quantity
		}
	}
	return parts
}

// alike is a run of as many generated events for carnation cost.
func (r *reader) alike() (run cost.Run, ok bool) {
	total := r.doc.Outcome.total()
	if total <= 0 || r.doc.Run.MapRun != "" {
		return run, false
	}
	run = cost.Run{Mode: cost.Inline, Events: total, ChildType: cost.Standard}
	if r.doc.Outcome.Failed != nil {
		run.Failed = min(*r.doc.Outcome.Failed, total)
	}
	if r.stack.Distributed {
		run.Mode, run.ShardSize = cost.Distributed, 1000
		if size, err := strconv.Atoi(r.stack.Parameters["ShardSize"]); err == nil && size > 0 {
			run.ShardSize = size
		}
		if r.stack.Parameters["ShardExecutionType"] == cost.Express {
			run.ChildType = cost.Express
		}
	}
	return run, true
}
