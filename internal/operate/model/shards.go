package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
)

// How much of a distributed run is read. The largest one has 17,500 children.
const (
	maxListed    = 20_000 // children of a Map Run
	maxExplained = 25     // failed children, with error and cause
	maxSampled   = 40     // children of a Map Run whose history is read
	maxOutputs   = 60     // children of a Map Run whose result is read, if the run does not have their sum
	atOnce       = 4      // calls about children
)

// mapRun is a Map Run and its children.
type mapRun struct {
	arn      string
	first    *visit // of its state
	visit    *visit // the last one: a redrive continues a Map Run in a new visit
	label    string
	express  bool
	claims   bool // its children claim failed events
	records  bool // its children are batches of your own events
	out      *sfn.DescribeMapRunOutput
	children []child
	sum      *[3]int // inserted, returned, dead, of the children that succeeded
	whole    bool    // sum has all of them, and all children succeeded
}

// child is a shard or a batch, as the list of executions has it.
type child struct {
	name       string
	status     types.ExecutionStatus
	start, end int64
	items      int
	error      string
	cause      string
}

// arnOf is the ARN of a child, from that of its run: arn:...:execution:machine:run and arn:...:execution:machine/label:child.
func (m *mapRun) arnOf(run, name string) string {
	return run[:strings.LastIndex(run, ":")] + "/" + m.label + ":" + name
}

// readShards reads the Map Runs of a distributed run.
func (r *reader) readShards(ctx context.Context) error {
	runs := r.mapRuns()
	if len(runs) == 0 && r.answers.plan == nil {
		return nil
	}
	for _, m := range runs {
		if err := r.readMapRun(ctx, m); err != nil {
			return err
		}
	}
	r.sumShards(runs)
	r.childTimes(runs)
	if err := r.childStates(ctx, runs); err != nil {
		return err
	}
	return r.shardEvents(ctx, runs)
}

// mapRuns are the Map Runs of the history.
func (r *reader) mapRuns() (runs []*mapRun) {
	types := executionTypes(r.doc.Definition)
	for _, v := range r.journey.maps {
		if v.mapRun == "" {
			continue
		}
		if i := slices.IndexFunc(runs, func(m *mapRun) bool { return m.arn == v.mapRun }); i >= 0 {
			runs[i].visit = v
			continue
		}
		m := &mapRun{arn: v.mapRun, first: v, visit: v, express: types[v.name] == "EXPRESS"}
		_, label, _ := strings.Cut(v.mapRun, "/")
		m.label, _, _ = strings.Cut(label, ":")
		m.records = slices.Contains(operate.RecordLabels, m.label)
		m.claims = !m.records && r.answers.plan != nil && r.answers.plan.Claimers > 0 && len(runs) == 0
		runs = append(runs, m)
	}
	return runs
}

// executionTypes are those of the children of each Map state, by the name of the state.
func executionTypes(definition json.RawMessage) map[string]string {
	var machine struct {
		States map[string]struct {
			ItemProcessor struct {
				ProcessorConfig struct{ ExecutionType string }
			}
		}
	}
	found := map[string]string{}
	if json.Unmarshal(definition, &machine) == nil {
		for name, state := range machine.States {
			found[name] = state.ItemProcessor.ProcessorConfig.ExecutionType
		}
	}
	return found
}

func (r *reader) readMapRun(ctx context.Context, m *mapRun) (err error) {
	if err := r.limits.wait(ctx, describeMapRun); err != nil {
		return err
	}
	if m.out, err = r.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: aws.String(m.arn)}); err != nil {
		return fmt.Errorf("describe Map Run: %w", err)
	}
	m.out.ExecutionCounts, m.out.ItemCounts = given(m.out.ExecutionCounts), given(m.out.ItemCounts)
	if m.express {
		return nil
	}
	pages := sfn.NewListExecutionsPaginator(r.executions, &sfn.ListExecutionsInput{MapRunArn: aws.String(m.arn), MaxResults: 1000})
	for pages.HasMorePages() && len(m.children) < maxListed {
		if err := r.limits.wait(ctx, listExecutions); err != nil {
			return err
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the children of a Map Run: %w", err)
		}
		for _, e := range page.Executions {
			m.children = append(m.children, r.childOf(e))
		}
	}
	slices.SortStableFunc(m.children, func(a, b child) int {
		return cmp.Or(cmp.Compare(failedFirst(a.status), failedFirst(b.status)), cmp.Compare(a.start, b.start))
	})
	return r.explain(ctx, m)
}

func (r *reader) childOf(e types.ExecutionListItem) child {
	c := child{name: aws.ToString(e.Name), status: e.Status, start: r.journey.ms(e.StartDate), end: -1, items: int(aws.ToInt32(e.ItemCount))}
	if shardStatus(e.Status) != Running && e.StopDate != nil {
		c.end = r.journey.ms(e.StopDate)
	}
	return c
}

func failedFirst(s types.ExecutionStatus) int {
	switch s {
	case types.ExecutionStatusFailed, types.ExecutionStatusTimedOut:
		return 0
	case types.ExecutionStatusAborted:
		return 1
	}
	return 2
}

// explain reads why children failed.
func (r *reader) explain(ctx context.Context, m *mapRun) error {
	failed := 0
	for failed < len(m.children) && failedFirst(m.children[failed].status) == 0 {
		failed++
	}
	return each(min(failed, maxExplained), func(i int) error {
		out, err := r.describeChild(ctx, m, m.children[i].name)
		if err == nil {
			m.children[i].error, m.children[i].cause = aws.ToString(out.Error), aws.ToString(out.Cause)
		}
		return err
	})
}

func (r *reader) describeChild(ctx context.Context, m *mapRun, name string) (*sfn.DescribeExecutionOutput, error) {
	if err := r.limits.wait(ctx, describeExecution); err != nil {
		return nil, err
	}
	out, err := r.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(m.arnOf(r.doc.Run.Arn, name))})
	if err != nil {
		return nil, fmt.Errorf("describe shard %s: %w", name, err)
	}
	return out, nil
}

// each calls do for 0 to n-1, several at once, and returns the first error.
func each(n int, do func(int) error) error {
	var group sync.WaitGroup
	errs, faults := make([]error, n), make([]any, n)
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { faults[i] = recover(); <-slots }()
			errs[i] = do(i)
		})
	}
	group.Wait()
	for _, fault := range faults {
		if fault != nil {
			panic(fault) // where the caller can recover
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sumShards sets the counts and the rows of the shards.
func (r *reader) sumShards(runs []*mapRun) {
	s := &Shards{Type: "STANDARD", Rows: []Shard{}}
	planned := 0 // of the plan, without batches
	for _, m := range runs {
		counts := m.out.ExecutionCounts
		s.Total += int(counts.Total)
		s.Succeeded += int(counts.Succeeded)
		s.Failed += int(counts.Failed)
		s.Aborted += int(counts.Aborted)
		s.TimedOut += int(counts.TimedOut)
		s.Running += int(counts.Running)
		if m.records {
			s.Records += int(m.out.ItemCounts.Total)
		} else {
			planned += int(counts.Total)
		}
		if m.express {
			s.Type = "EXPRESS"
		}
		for _, c := range m.children {
			row := Shard{
				Arn: m.arnOf(r.doc.Run.Arn, c.name), Name: c.name, Path: m.visit.path(), Status: shardStatus(c.status),
				Start: c.start, End: c.end, Error: c.error, Cause: c.cause,
			}
			if m.records {
				row.Items = c.items
			}
			s.Rows = append(s.Rows, row)
		}
	}
	if plan := r.answers.plan; plan != nil && plan.Shards() > planned { // Map states that have not begun
		s.Total += plan.Shards() - planned
	}
	s.Pending = max(0, s.Total-s.Succeeded-s.Failed-s.Aborted-s.TimedOut-s.Running)
	slices.SortStableFunc(s.Rows, func(a, b Shard) int {
		return cmp.Or(cmp.Compare(shardRank(a.Status), shardRank(b.Status)), cmp.Compare(a.Start, b.Start))
	})
	if s.Type == "EXPRESS" {
		r.gap("shards", "Step Functions does not list Express children and keeps no history of them; only their counts and the results of whole Map states are known")
	}
	s.Rows = s.Rows[:min(len(s.Rows), r.options.Rows)]
	s.Omitted = max(0, s.Total-s.Pending-len(s.Rows))
	r.doc.Shards = s
}

func shardRank(status string) int {
	switch status {
	case Failed, TimedOut:
		return 0
	case Aborted:
		return 1
	}
	return 2
}

// shardStatus is a status of Step Functions as a document has it. A child that waits for its redrive runs soon.
func shardStatus(s types.ExecutionStatus) string {
	if s == types.ExecutionStatusPendingRedrive {
		return Running
	}
	return strings.ToLower(string(s))
}

// childTimes adds the children to the timeline.
func (r *reader) childTimes(runs []*mapRun) {
	for _, m := range runs {
		s := series{}
		for _, c := range m.children {
			status := shardStatus(c.status)
			s.add(c.start, c.end, status)
			r.spans = append(r.spans, Span{Path: m.visit.path(), Shard: m.arnOf(r.doc.Run.Arn, c.name), Start: c.start, End: c.end, Status: status, Error: c.error})
		}
		one := s.of(m.visit, m.first.start, r.doc.Run.Milliseconds)
		counts := m.out.ExecutionCounts
		one.Total, one.Succeeded, one.Failed = int(counts.Total), int(counts.Succeeded), int(counts.Failed+counts.TimedOut)
		one.Aborted, one.Running = int(counts.Aborted), int(counts.Running)
		r.series = append(r.series, one)
	}
}

// childStates adds the states of the children: from all of their histories, or from a sample of those of each status.
func (r *reader) childStates(ctx context.Context, runs []*mapRun) error {
	sums := map[string]*estimate{}
	var order []string
	for _, m := range runs {
		sample, weights := m.sample()
		journeys := make([]*journey, len(sample))
		err := each(len(sample), func(i int) error {
			journeys[i] = newJourney(r.doc.Run.Started, nil)
			return r.readHistory(ctx, m.arnOf(r.doc.Run.Arn, m.children[sample[i]].name), journeys[i], false)
		})
		if err != nil {
			return err
		}
		for i, j := range journeys {
			for _, s := range j.states() {
				s.Path = append(m.visit.path(), s.Path...)
				key := keyOf(s.Path)
				if sums[key] == nil {
					sums[key] = &estimate{State: State{Path: s.Path, Type: s.Type, LeastMS: math.MaxInt64}}
					order = append(order, key)
				}
				sums[key].add(s, weights[i])
			}
			r.used.add(j, weights[i])
		}
		if !m.express && (len(sample) < len(m.children) || len(m.children) < int(m.out.ExecutionCounts.Total-m.out.ExecutionCounts.Pending)) {
			r.estimated = true // also what the run used
			for _, s := range sums {
				if len(s.Path) > 0 && s.Path[0] == m.visit.name {
					s.Estimated = true
					s.Sampled += len(sample)
				}
			}
		}
	}
	at := r.after(runs)
	for _, key := range order {
		s := sums[key].state()
		i := at[s.Path[0]]
		r.doc.States = slices.Insert(r.doc.States, i, s)
		for name, place := range at {
			if place >= i {
				at[name] = place + 1
			}
		}
	}
	return nil
}

// after is where the states of the children go, by the name of their Map state: after that state.
func (r *reader) after(runs []*mapRun) map[string]int {
	at := map[string]int{}
	for _, m := range runs {
		for i, s := range r.doc.States {
			if len(s.Path) == 1 && s.Path[0] == m.visit.name {
				at[m.visit.name] = i + 1
			}
		}
	}
	return at
}

// sample chooses children whose history is read, and says for how many each stands.
func (m *mapRun) sample() (chosen []int, weights []float64) {
	by := map[types.ExecutionStatus][]int{}
	for i, c := range m.children {
		by[c.status] = append(by[c.status], i)
	}
	statuses := slices.SortedFunc(maps.Keys(by), func(a, b types.ExecutionStatus) int { return cmp.Compare(len(by[a]), len(by[b])) })
	room := maxSampled
	for n, status := range statuses {
		list := by[status]
		size := min(len(list), max(1, room/(len(statuses)-n)))
		room -= size
		for i := range size {
			chosen = append(chosen, list[i*len(list)/size]) // spread over the time of the run
			weights = append(weights, float64(len(list))/float64(size))
		}
	}
	return chosen, weights
}

// estimate is a state's counts over weighted children.
type estimate struct {
	State
	counts [7]float64
	total  float64
}

func (e *estimate) add(s State, weight float64) {
	for i, n := range []int{s.Entered, s.Succeeded, s.Failed, s.Caught, s.Retried, s.Running, s.Aborted} {
		e.counts[i] += float64(n) * weight
	}
	e.total += float64(s.TotalMS) * weight
	if s.ended() > 0 {
		e.LeastMS, e.MostMS = min(e.LeastMS, s.LeastMS), max(e.MostMS, s.MostMS)
	}
}

func (e *estimate) state() State {
	s := e.State
	for i, n := range []*int{&s.Entered, &s.Succeeded, &s.Failed, &s.Caught, &s.Retried, &s.Running, &s.Aborted} {
		*n = int(math.Round(e.counts[i]))
	}
	s.Entered = s.Succeeded + s.Failed + s.Running + s.Aborted // each was rounded
	s.TotalMS = int64(math.Round(e.total))
	if s.ended() == 0 {
		s.LeastMS = 0
	}
	return s
}

// shardEvents sets the outcome and the groups of the events of a distributed run.
func (r *reader) shardEvents(ctx context.Context, runs []*mapRun) error {
	for _, m := range runs {
		if err := r.results(ctx, m); err != nil {
			return err
		}
	}
	o, counts := &r.doc.Outcome, r.answers.counts
	if counts == nil && r.doc.Run.Input.Kind == KindInvalid {
		return nil
	}
	generated, claimed, whole := r.generated(runs), 0, true
	sum, groups := [3]int{}, map[string]int{}
	claimsKnown := r.answers.plan != nil && r.answers.plan.Claimers == 0
	for _, m := range runs {
		whole = whole && m.whole
		if m.sum == nil {
			continue
		}
		for i, n := range m.sum {
			sum[i] += n
		}
		returned := ItemParked
		if m.claims {
			returned = ItemReleased
			claimed += m.sum[0] + m.sum[1] + m.sum[2]
			claimsKnown = m.whole
		}
		groups[ItemInserted] += m.sum[0]
		groups[returned] += m.sum[1]
		groups[ItemBuried] += m.sum[2]
	}
	if counts != nil {
		sum = *counts
	}
	o.Generated = generated
	if claimsKnown {
		o.Claimed = ptr(claimed)
	}
	if !o.complete() && (counts != nil || r.haveSums(runs)) {
		o.Inserted, o.Returned, o.Dead, o.Failed = ptr(sum[0]), ptr(sum[1]), ptr(sum[2]), ptr(sum[1]+sum[2])
	}
	items := &r.doc.Items
	items.Total = max(o.total(), sum[0]+sum[1]+sum[2])
	unknown := slices.ContainsFunc(runs, func(m *mapRun) bool { return m.sum == nil })
	if rest := items.Total - groups[ItemInserted] - groups[ItemParked] - groups[ItemReleased] - groups[ItemBuried]; rest > 0 && !unknown {
		if r.journey.root.status == Running {
			groups[ItemRunning] = rest
		} else {
			groups[ItemUnknown] = rest
		}
	}
	for status, n := range groups {
		if n > 0 {
			items.Groups = append(items.Groups, ItemGroup{Status: status, Count: n})
		}
	}
	items.sort()
	items.Omitted = items.Total
	return nil
}

// haveSums tells whether the results of each Map Run that has begun are known, as far as it has any.
func (r *reader) haveSums(runs []*mapRun) bool {
	return len(runs) > 0 && !slices.ContainsFunc(runs, func(m *mapRun) bool { return m.sum == nil })
}

// generated is the number of new events of a distributed run, nil if it is not known.
func (r *reader) generated(runs []*mapRun) *int {
	switch in := r.doc.Run.Input; in.Kind {
	case KindRange, KindRetry, KindEvents:
		return ptr(in.Events)
	case KindSource:
		for _, m := range runs {
			if m.records && m.out.Status != types.MapRunStatusRunning && m.out.ItemCounts.Pending == 0 {
				return ptr(int(m.out.ItemCounts.Total))
			}
		}
	}
	return nil
}

// results reads what the children of a Map Run have answered: from the end of its state, or from the children.
func (r *reader) results(ctx context.Context, m *mapRun) error {
	for v, sum := range r.answers.results {
		if v.mapRun == m.arn {
			m.sum, m.whole = &sum, true
			return nil
		}
	}
	var succeeded []string
	for _, c := range m.children {
		if c.status == types.ExecutionStatusSucceeded {
			succeeded = append(succeeded, c.name)
		}
	}
	if n := int(m.out.ExecutionCounts.Succeeded); n > len(succeeded) || n > maxOutputs {
		r.gap("results of shards", fmt.Sprintf("%d shards of %s have succeeded; their results are added up when all have ended", n, m.visit.name))
		return nil
	}
	var mu sync.Mutex
	m.sum = &[3]int{}
	return each(len(succeeded), func(i int) error {
		out, err := r.describeChild(ctx, m, succeeded[i])
		if err != nil {
			return err
		}
		var counts [3]int
		if json.Unmarshal([]byte(aws.ToString(out.Output)), &counts) != nil {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for k, n := range counts {
			m.sum[k] += n
		}
		return nil
	})
}
