package console

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"carnation/internal/event"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

const (
	// cachedBytes is the most that documents may take together.
	cachedBytes = 64 << 20
	// settled is how long after its end a run does not change any more: its log lines have arrived.
	settled = time.Minute
	// summariesAtOnce keeps the list of runs from taking all calls that AWS allows.
	summariesAtOnce = 5
	// documentTimeout is for a distributed run with very many shards, whose calls AWS throttles.
	documentTimeout = 3 * time.Minute
	summaryTimeout  = time.Minute
	// mostKnown is how many summaries are kept, each with a cause of up to 32 KB; mostListed is of how many runs it is known what the list said.
	mostKnown  = 2_000
	mostListed = 20_000
)

// runCache keeps what it has read of runs that have ended. Pages that ask for the same at the same time get one answer.
type runCache struct {
	// What reads runs. Tests replace it.
	read    func(context.Context, *operate.Stack, string, model.Options) (*model.Document, error)
	summary func(context.Context, *operate.Stack, string) (model.RunSummary, error)
	visits  func(context.Context, *operate.Stack, string, []string, *int, int) ([]model.Visit, error)

	flight singleflight.Group

	mu        sync.Mutex
	listed    bounded[runVersion]   // as the list of runs had them last, by ARN
	known     bounded[knownSummary] // by ARN
	documents []cachedDocument      // used last: last
}

type knownSummary struct {
	summary RunSummary
	state   runVersion
}

// runVersion is another one when a run that has ended was redriven, and when its stack was deleted and another run has its name and so its ARN.
type runVersion struct {
	redrives int
	stopped  int64 // Unix milliseconds, 0 for a run that is running
}

func stateOf(row RunRow) runVersion {
	state := runVersion{redrives: row.Redrives}
	if row.Stopped != nil {
		state.stopped = row.Stopped.UnixMilli()
	}
	return state
}

// bounded keeps what was set last, by ARN.
type bounded[T any] struct {
	most   int
	values map[string]T
	order  []string // the oldest first
}

func newBounded[T any](most int) bounded[T] { return bounded[T]{most: most, values: map[string]T{}} }

func (b *bounded[T]) set(arn string, value T) {
	if _, ok := b.values[arn]; !ok {
		if len(b.order) == b.most {
			delete(b.values, b.order[0])
			b.order = b.order[1:]
		}
		b.order = append(b.order, arn)
	}
	b.values[arn] = value
}

type cachedDocument struct {
	arn  string
	of   runVersion
	data []byte
}

func newRunCache() *runCache {
	return &runCache{read: model.Read, summary: model.Summary, visits: model.Visits, listed: newBounded[runVersion](mostListed), known: newBounded[knownSummary](mostKnown)}
}

// guarded makes a panic an error. It is in no goroutine of a request, so it would end the console, with all its pages.
func guarded(read func() (any, error)) func() (any, error) {
	return func() (value any, err error) {
		defer func() {
			if fault := recover(); fault != nil {
				fmt.Fprintf(os.Stderr, "carnation console: %v\n%s", fault, debug.Stack())
				err = &apiError{http.StatusBadGateway, KindAWS, "the console cannot read this run, because of a fault in it; its terminal says more"}
			}
		}()
		return read()
	}
}

// summaryOf is what is known of a run of the list, or nil. A run that was redriven since is another one.
func (c *runCache) summaryOf(row RunRow) *RunSummary {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := stateOf(row)
	c.listed.set(row.Arn, state)
	known, ok := c.known.values[row.Arn]
	if !ok || row.Stopped == nil || known.state != state {
		return nil
	}
	return &known.summary
}

// summaries reads what is not known yet. It leaves out runs that do not exist.
func (c *runCache) summaries(ctx context.Context, found *stack, arns []string) ([]RunSummary, error) {
	list := make([]RunSummary, len(arns))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(summariesAtOnce)
	for i, arn := range arns {
		group.Go(func() error {
			one, err, _ := c.flight.Do("summary "+arn, guarded(func() (any, error) { return c.readSummary(ctx, found, arn) }))
			switch {
			case err == nil:
				list[i] = one.(RunSummary)
			case explain(err).kind == KindNotFound: // AWS has forgotten it since it was listed
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(list, func(one RunSummary) bool { return one.Arn == "" }), err
}

func (c *runCache) readSummary(ctx context.Context, found *stack, arn string) (RunSummary, error) {
	// Others may wait for the answer, after whoever has asked first has gone away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), summaryTimeout)
	defer cancel()
	c.mu.Lock()
	state := c.listed.values[arn]
	known, ok := c.known.values[arn]
	c.mu.Unlock()
	if ok && known.state == state {
		return known.summary, nil
	}
	read, err := c.summary(ctx, found.Stack, arn)
	if err != nil {
		return RunSummary{}, err
	}
	one := RunSummary{arn, read.Input, read.Outcome, read.USD, read.Error, read.Cause}
	if state.stopped != 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.known.set(arn, knownSummary{one, state})
	}
	return one, nil
}

// document is the JSON of a run. It is read again unless the run has ended, and was not redriven since.
func (c *runCache) document(ctx context.Context, found *stack, arn string) ([]byte, error) {
	// Whoever asks first may go away before the others have their answer.
	shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), documentTimeout)
	answer := c.flight.DoChan("document "+arn, guarded(func() (any, error) {
		defer cancel()
		if data, ok := c.cached(shared, found, arn); ok {
			return data, nil
		}
		document, err := c.read(shared, found.Stack, arn, model.Options{})
		if err != nil {
			return nil, err
		}
		data, err := event.Encode(document)
		if err == nil && document.Run.Stopped != nil && document.ReadAt.Sub(*document.Run.Stopped) > settled && len(document.Partial) == 0 {
			c.keep(cachedDocument{arn, runVersion{document.Run.Redrives, document.Run.Stopped.UnixMilli()}, data})
		}
		return []byte(data), err
	}))
	select {
	case result := <-answer:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.([]byte), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// cached is the document of a run that has not changed since, if there is one.
func (c *runCache) cached(ctx context.Context, found *stack, arn string) ([]byte, bool) {
	c.mu.Lock()
	var known cachedDocument
	for i, one := range c.documents {
		if one.arn == arn {
			known = one
			c.documents = append(append(c.documents[:i:i], c.documents[i+1:]...), one)
			break
		}
	}
	c.mu.Unlock()
	if known.data == nil {
		return nil, false
	}
	now, err := readFingerprint(ctx, found, arn, fingerprint{}, false)
	return known.data, err == nil && runVersion{int(now.redrive), now.stopped} == known.of
}

func (c *runCache) keep(one cachedDocument) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.documents = slices.DeleteFunc(c.documents, func(old cachedDocument) bool { return old.arn == one.arn })
	c.documents = append(c.documents, one)
	size := 0
	for i := len(c.documents) - 1; i >= 0; i-- {
		if size += len(c.documents[i].data); size > cachedBytes {
			c.documents = slices.Clone(c.documents[i+1:])
			return
		}
	}
}
