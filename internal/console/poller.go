package console

import (
	"context"
	"sync"
	"time"
)

// A poller looks at one stack for all pages together. A look is two calls of SQS and one ListExecutions, of which AWS allows two a second.
// Its calls of Step Functions wait for the limits that the documents of runs keep, too: see model.Limited.
const (
	fastest    = time.Second      // between two looks, while something changes
	slowest    = 10 * time.Second // while nothing changes
	whileRuns  = 2 * time.Second  // while a run is running
	unwatched  = 30 * time.Second // while no page is open
	afterError = time.Minute      // at most, while AWS cannot be read
	whileMade  = 3 * time.Second  // while the stack does not exist
	forgotten  = time.Hour        // after this time without a page, a poller ends
	olderEvery = 5 * time.Second  // between two looks for runs that are running although 25 newer ones were started

	lookTimeout = 20 * time.Second
	scanTimeout = 10 * time.Minute
	scanPause   = 10 // a count of the rows is followed by a pause of so many times its duration
	newestRuns  = 25 // that are looked at
	mostPoints  = 300
)

// pollers are those of a console.
type pollers struct {
	console *Console
	ctx     context.Context
	close   context.CancelFunc

	mu     sync.Mutex
	byName map[string]*poller
}

func newPollers(c *Console) *pollers {
	ctx, cancel := context.WithCancel(context.Background())
	return &pollers{console: c, ctx: ctx, close: cancel, byName: map[string]*poller{}}
}

// of is the poller of a stack, or of the list of stacks, if the name is empty.
func (p *pollers) of(name string) (*poller, error) {
	if name != "" && !stackName.MatchString(name) {
		return nil, invalid("stack is %q: must be the name of a stack", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.byName[name]
	if one == nil {
		if len(p.byName) >= mostStacks {
			return nil, invalid("stack is %q: must be one of at most %d stacks that are looked at in an hour", name, mostStacks)
		}
		one = &poller{
			console: p.console, name: name, wake: make(chan struct{}, 1), looked: make(chan struct{}), watchers: map[*watcher]bool{},
			rows: map[string]*rowState{}, watched: map[string]*runState{}, used: time.Now(),
		}
		p.byName[name] = one
		go one.run(p.ctx, func() bool { return p.forget(one) })
	}
	one.mu.Lock()
	one.used = time.Now() // so that it is not forgotten before it is used
	one.mu.Unlock()
	return one, nil
}

// forget removes a poller that nobody has used for long, and tells whether it did.
func (p *pollers) forget(one *poller) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	if len(one.watchers) > 0 || one.retry != nil && !one.retry.Done || time.Since(one.used) < forgotten {
		return false
	}
	delete(p.byName, one.name)
	return true
}

// poller knows the present state of a stack. What changes gets the next version, so that a page needs to know only the version that it has.
type poller struct {
	console *Console
	name    string
	wake    chan struct{} // look now

	mu       sync.Mutex
	used     time.Time
	version  int
	looked   chan struct{} // closed after the next look
	lookedAt time.Time     // when the last look began
	watchers map[*watcher]bool

	overview   *Overview
	overviewAt int // version
	rows       map[string]*rowState
	order      []string // ARNs of the newest runs, newest first
	stacks     *Stacks
	stacksAt   int
	problem    *problem // nil if the last look succeeded
	problemAt  int
	failure    error // why the last look failed, or that the stack is missing
	watched    map[string]*runState
	history    [][5]int64
	retry      *Retry
	count      rowCount

	// Only the looks use these, so they need no lock.
	running   []RunRow // as the list of running runs had them, if there are more runs than the newest
	runningAt time.Time
}

// rowState is a run of the list, and the version of its last change.
type rowState struct {
	row RunRow
	at  int
}

// watcher is a page that is open. It gets a signal for each change, and after each look.
type watcher struct {
	run     string // that the page shows
	since   time.Time
	changed chan struct{}
}

func (p *poller) watch(run string) *watcher {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &watcher{run: run, since: time.Now(), changed: make(chan struct{}, 1)}
	p.watchers[w], p.used = true, time.Now()
	if run != "" && p.watched[run] == nil {
		p.watched[run] = &runState{}
	}
	p.lookNow()
	return w
}

func (p *poller) unwatch(w *watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, w)
	p.used = time.Now()
	for other := range p.watchers {
		if other.run == w.run {
			return
		}
	}
	delete(p.watched, w.run)
}

// lookNow makes the poller look at once.
func (p *poller) lookNow() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// next gives what has changed the next version. The caller holds the lock.
func (p *poller) next() int {
	p.version++
	p.signal()
	return p.version
}

// signal has each page ask what has changed. The caller holds the lock.
func (p *poller) signal() {
	for w := range p.watchers {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// since is what has changed since a version, and the version that the page has then. A page that has nothing yet gets everything. It waits
// for the first look after it has come, unless what is known is only seconds old.
func (p *poller) since(version int, w *watcher) ([]Change, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if version == 0 && p.lookedAt.Add(2*fastest).Before(w.since) {
		return nil, 0
	}
	var changes []Change
	if p.stacks != nil && p.stacksAt > version {
		changes = append(changes, Change{"stacks", *p.stacks})
	}
	if p.problem != nil {
		if p.problemAt > version {
			changes = append(changes, Change{"problem", *p.problem})
		}
	} else if p.overview != nil && p.overviewAt > version {
		changes = append(changes, Change{"overview", *p.overview})
	}
	rows := []RunRow{}
	for _, arn := range p.order {
		if state := p.rows[arn]; state.at > version {
			rows = append(rows, state.row)
		}
	}
	if len(rows) > 0 {
		changes = append(changes, Change{"runs", Runs{Runs: rows}})
	}
	if state := p.watched[w.run]; state != nil && state.at > version {
		changes = append(changes, Change{"run", map[string]string{"arn": w.run}})
	}
	return changes, p.version
}

// fresh is the overview, which is not older than a moment.
func (p *poller) fresh(ctx context.Context) (Overview, error) {
	p.mu.Lock()
	p.used = time.Now()
	begun := time.Now().Add(-2 * fastest)
	for p.lookedAt.Before(begun) {
		looked := p.looked
		p.lookNow()
		p.mu.Unlock()
		select {
		case <-looked:
		case <-ctx.Done():
			return Overview{}, context.Cause(ctx)
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.failure != nil {
		return Overview{}, p.failure
	}
	return *p.overview, nil
}
