package console

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sync/errgroup"

	"carnation/internal/operate"
)

// run looks again and again, until ctx ends or forget says so.
func (p *poller) run(ctx context.Context, forget func() bool) {
	pause := fastest
	for !forget() {
		began, before := time.Now(), p.now()
		err := p.look(ctx)
		if ctx.Err() != nil {
			return
		}
		p.end(began, err)
		pause = p.pause(pause, err, p.now() != before)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.wake:
			timer.Stop()
			// However often pages are loaded, AWS is not called more often.
			if !sleep(ctx, time.Until(began.Add(fastest))) {
				return
			}
			pause = fastest
		case <-timer.C:
		}
	}
}

func sleep(ctx context.Context, duration time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(duration):
		return true
	}
}

func (p *poller) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// pause is the time until the next look.
func (p *poller) pause(last time.Duration, err error, changed bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case isMissing(err) || err == nil && p.name == "":
		if len(p.watchers) > 0 {
			return whileMade
		}
	case err != nil:
		// Whoever waits for the endpoint should see soon that it is back. If AWS throttles, that takes longer.
		most := slowest
		if kind := explain(err).kind; kind == KindThrottled || kind == KindCredentials {
			most = afterError
		}
		return min(max(2*last, 2*fastest), most)
	case len(p.watchers) > 0 && (changed || p.retry != nil && !p.retry.Done):
		return fastest
	case len(p.watchers) > 0 && len(p.overview.Running) > 0:
		return min(2*last, whileRuns)
	case len(p.watchers) > 0:
		return min(2*last, slowest)
	case p.retry != nil && !p.retry.Done:
		return whileRuns
	}
	return unwatched
}

// end notes how a look ended.
func (p *poller) end(began time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookedAt, p.failure = began, err
	switch {
	case err == nil:
		if p.problem != nil {
			p.problem, p.overviewAt = nil, p.next()
		}
	case isMissing(err):
		p.problem, p.overview = nil, nil
	default:
		p.console.stacks.failed(err)
		e := explain(err)
		now := problem{e.message, e.kind}
		if p.problem == nil || *p.problem != now {
			p.problem, p.problemAt = &now, p.next()
		}
	}
	close(p.looked)
	p.looked = make(chan struct{})
	p.signal() // a page that has come during this look, or before it, can have an answer now
}

// look reads the present state of the stack.
func (p *poller) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if p.name == "" {
		return p.lookForStacks(ctx)
	}
	found, err := p.console.stacks.open(ctx, p.name)
	if isMissing(err) {
		return errors.Join(err, p.lookForStacks(ctx))
	}
	if err != nil {
		return err
	}
	if p.hasStacks() { // the stack has come
		if err := p.lookForStacks(ctx); err != nil {
			return err
		}
	}
	var queues operate.Queues
	var runs []RunRow
	var next string
	group, together := errgroup.WithContext(ctx)
	group.Go(func() (err error) { queues, err = found.Queues(together); return err })
	group.Go(func() (err error) { runs, next, err = listRuns(together, found, "", newestRuns, ""); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	if err := p.lookForOlder(ctx, found, next != ""); err != nil {
		return err
	}
	p.setRuns(runs)
	p.setOverview(found, queues, runs)
	return p.lookAtWatched(ctx, found)
}

// lookForOlder finds the runs that are running. There may be some before the newest runs.
func (p *poller) lookForOlder(ctx context.Context, found *stack, more bool) error {
	if !more {
		p.running = nil
		return nil
	}
	if time.Since(p.runningAt) < olderEvery {
		return nil
	}
	running, _, err := listRuns(ctx, found, types.ExecutionStatusRunning, mostRuns, "")
	if err == nil {
		p.running, p.runningAt = running, time.Now()
	}
	return err
}

func (p *poller) hasStacks() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stacks != nil
}

func (p *poller) lookForStacks(ctx context.Context) error {
	all, err := p.console.stacks.all(ctx)
	if err != nil {
		return err
	}
	if p.name != "" {
		all.HowToMake = howToMake(p.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stacks == nil || !reflect.DeepEqual(*p.stacks, all) {
		p.stacks, p.stacksAt = &all, p.next()
	}
	return nil
}

// setRuns notes which rows of the newest runs have changed.
func (p *poller) setRuns(runs []RunRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order = p.order[:0]
	rows := map[string]*rowState{}
	for i, row := range runs {
		row.Summary = p.console.runs.summaryOf(row)
		runs[i] = row
		known := p.rows[row.Arn]
		if known == nil || !reflect.DeepEqual(known.row, row) {
			known = &rowState{row, p.next()}
			p.count.dirty = true
		}
		rows[row.Arn] = known
		p.order = append(p.order, row.Arn)
	}
	p.rows = rows
}

// setOverview notes where the events are, and has the rows counted if they may have changed.
func (p *poller) setOverview(found *stack, queues operate.Queues, runs []RunRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := Overview{Stack: found.Name, State: found.State, MapMode: found.Outputs["MapMode"], Queues: queues, Running: []string{}}
	for _, run := range runs {
		if run.Status == string(types.ExecutionStatusRunning) {
			now.Running = append(now.Running, run.Arn)
		}
	}
	for _, run := range p.running {
		if p.rows[run.Arn] == nil { // of the newest ones, the newer list says it
			now.Running = append(now.Running, run.Arn)
		}
	}
	before := p.overview
	if before == nil || before.Queues != queues || len(now.Running) > 0 {
		p.count.dirty = true
	}
	p.countRows(found)
	p.publish(now, runs)
}

// publish makes an overview the present one. The caller holds the lock.
func (p *poller) publish(now Overview, runs []RunRow) {
	before := p.overview
	now.At, now.Rows, now.RowsAt, now.RowsError = time.Now(), p.count.rows, p.count.at, p.count.failure
	now.Sentence, now.Tone = sentence(&now, runs, !p.count.at.IsZero() && !p.count.dirty && !p.count.running)
	if p.retry != nil {
		copied := *p.retry
		now.Retry = &copied
	}
	if !p.count.at.IsZero() {
		p.history = addPoint(p.history, [5]int64{now.At.UnixMilli(), int64(now.Rows), int64(now.Queues.Retry), int64(now.Queues.InFlight), int64(now.Queues.DeadLetter)})
	}
	now.History = append([][5]int64{}, p.history...)
	p.overview = &now
	if before == nil || !sameOverview(*before, now) {
		p.overviewAt = p.next()
	}
}

// sameOverview leaves out when they were read.
func sameOverview(a, b Overview) bool {
	a.At, a.RowsAt, a.History = b.At, b.RowsAt, b.History
	return reflect.DeepEqual(a, b)
}

// addPoint adds a point if something has changed. If there are too many, every second one of the older half goes.
func addPoint(history [][5]int64, point [5]int64) [][5]int64 {
	if n := len(history); n > 0 && [4]int64(history[n-1][1:]) == [4]int64(point[1:]) {
		return history
	}
	history = append(history, point)
	if len(history) <= mostPoints {
		return history
	}
	thinned := make([][5]int64, 0, mostPoints)
	for i, one := range history {
		if i >= mostPoints/2 || i%2 == 0 {
			thinned = append(thinned, one)
		}
	}
	return thinned
}

// rowCount is the last count of the rows. A count scans the table, which takes long and costs money if the table is large.
type rowCount struct {
	rows    int
	at      time.Time // when the scan began
	next    time.Time // not before
	running bool
	dirty   bool   // the rows may have changed since the last scan began
	failure string // why the last scan failed
}

// countRows counts the rows in the background, if they may have changed and the last count is long enough ago. The caller holds the lock.
func (p *poller) countRows(found *stack) {
	if !p.count.dirty || p.count.running || time.Now().Before(p.count.next) {
		return
	}
	p.count.running, p.count.dirty = true, false
	go func() {
		ctx, cancel := context.WithTimeout(p.console.pollers.ctx, scanTimeout)
		defer cancel()
		began := time.Now()
		rows, err := found.Rows(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		took := time.Since(began)
		p.count.running, p.count.next = false, time.Now().Add(scanPause*took)
		first := p.count.at.IsZero()
		if err != nil {
			p.count.dirty, p.count.next = true, time.Now().Add(max(scanPause*took, slowest))
			p.count.failure = "the rows cannot be counted: " + explain(err).message
		} else {
			p.count.rows, p.count.at, p.count.failure = rows, began, ""
		}
		if p.overview != nil {
			runs := make([]RunRow, len(p.order))
			for i, arn := range p.order {
				runs[i] = p.rows[arn].row
			}
			p.publish(*p.overview, runs)
			if first {
				p.overviewAt = p.next()
			}
		}
	}()
}

// runState is what is known of a run that a page shows, to see whether it has changed.
type runState struct {
	at      int // version of its last change
	seen    fingerprint
	logsAt  time.Time // when its last log lines may have come; zero if they have
	counted time.Time // its shards, for the last time
}

// fingerprint changes when a run does.
type fingerprint struct {
	status  types.ExecutionStatus
	redrive int32
	stopped int64 // Unix milliseconds, 0 while it is running
	newest  int64 // id of the newest event of its history
	shards  [5]int64
}

const (
	// logsLate is how long after the end of a run its log lines have arrived.
	logsLate = 15 * time.Second
	// shardsEvery is the time between two counts of shards. AWS allows one ListMapRuns and one DescribeMapRun a second.
	shardsEvery = 3 * time.Second
	// longAgo is more than the time that a page takes to read a run, and more than the clocks of AWS and of this machine differ.
	longAgo = 10 * time.Minute
)

// lookAtWatched finds out which of the runs that pages show have changed.
func (p *poller) lookAtWatched(ctx context.Context, found *stack) error {
	p.mu.Lock()
	type look struct {
		before fingerprint
		shards bool // they are counted, too
	}
	watched := map[string]look{}
	for arn, state := range p.watched {
		row := p.rows[arn]
		// The list says whether a run that has ended was redriven.
		if row == nil || row.row.Status != string(state.seen.status) || int32(row.row.Redrives) != state.seen.redrive || state.seen.status == types.ExecutionStatusRunning {
			due := found.Distributed && time.Since(state.counted) >= shardsEvery
			if due {
				state.counted = time.Now()
			}
			watched[arn] = look{state.seen, due}
		} else if !state.logsAt.IsZero() && time.Now().After(state.logsAt) {
			state.logsAt, state.at = time.Time{}, p.next()
		}
	}
	p.mu.Unlock()
	for arn, look := range watched {
		if _, err := runOf(found, arn); err != nil { // an address that somebody typed must not fail the look for all pages
			continue
		}
		now, err := readFingerprint(ctx, found, arn, look.before, look.shards)
		if err != nil {
			if explain(err).kind == KindNotFound { // the page says so when it reads it
				continue
			}
			return err
		}
		p.mu.Lock()
		if state := p.watched[arn]; state != nil && state.seen != now {
			if state.at > 0 && state.seen.status == types.ExecutionStatusRunning && now.status != types.ExecutionStatusRunning {
				state.logsAt = time.Now().Add(logsLate)
			}
			// The page has read the run by itself. If that ended long ago, nothing can have changed since.
			news := state.seen != fingerprint{} || now.stopped == 0 || time.Since(time.UnixMilli(now.stopped)) < longAgo
			state.seen = now
			if news {
				state.at = p.next()
			}
		}
		p.mu.Unlock()
	}
	return nil
}

func readFingerprint(ctx context.Context, found *stack, arn string, before fingerprint, shards bool) (now fingerprint, err error) {
	execution, err := found.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return now, err
	}
	now.status, now.redrive = execution.Status, aws.ToInt32(execution.RedriveCount)
	if now.status != types.ExecutionStatusRunning {
		now.stopped = aws.ToTime(execution.StopDate).UnixMilli()
		return now, nil
	}
	history, err := found.executions.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), ReverseOrder: true, MaxResults: 1, IncludeExecutionData: aws.Bool(false),
	})
	if err != nil {
		return now, err
	}
	if len(history.Events) > 0 {
		now.newest = history.Events[0].Id
	}
	if now.shards = before.shards; !shards {
		return now, nil
	}
	// While the shards work, the history of the run itself stays as it is.
	maps, err := found.executions.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return now, err
	}
	for _, one := range maps.MapRuns {
		if one.StopDate != nil {
			continue
		}
		out, err := found.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: one.MapRunArn})
		if err != nil {
			return now, err
		}
		counts, items := out.ExecutionCounts, out.ItemCounts
		now.shards = [5]int64{counts.Succeeded, counts.Failed, counts.Running, counts.Total, items.Succeeded + items.Failed}
		break
	}
	return now, nil
}
