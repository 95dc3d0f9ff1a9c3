package console

import (
	"errors"
	"fmt"
	"net/http"

	"carnation/internal/operate"
)

// mostRetries is how many runs one retry starts at most, as carnation run --until-empty does.
const mostRetries = 100

// retry starts runs that only retry, one after another in the background, until the retry queue is empty. It ends with the console; the run that
// is running then goes on by itself.
func (c *Console) retry(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	if err := readBody(w, r, &struct{}{}); err != nil {
		return err
	}
	queues, err := found.Queues(r.Context())
	if err != nil {
		return err
	}
	poller, err := c.pollers.of(found.Name)
	if err != nil {
		return err
	}
	if !poller.startRetry(found) {
		return &apiError{http.StatusConflict, KindInvalid, "a retry is already running"}
	}
	return writeJSON(w, Done{"Runs retry until the retry queue is empty: " + events(queues.Retry, "waits", "wait"), queues.Retry})
}

// startRetry tells whether it has started a retry: there is one at a time.
func (p *poller) startRetry(found *stack) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retry != nil && !p.retry.Done {
		return false
	}
	p.setRetry(Retry{})
	go func() {
		runs := 0
		err := found.Drain(p.console.pollers.ctx, 0, mostRetries, false, func(operate.Progress) {}, func(run operate.Run) error {
			runs++
			p.mu.Lock()
			p.setRetry(Retry{Runs: runs})
			p.mu.Unlock()
			if !run.Succeeded() && !run.EventsFailed() {
				return fmt.Errorf("run %s is %s: %s %s", run.Name, run.Status, run.Error, run.Cause)
			}
			return nil
		})
		end := Retry{Runs: runs, Done: true}
		if errors.Is(err, operate.ErrNotEmpty) {
			end.Error = err.Error()
		} else if err != nil {
			end.Error = explain(err).message
		}
		p.mu.Lock()
		p.setRetry(end)
		p.mu.Unlock()
		p.lookNow()
	}()
	return true
}

// setRetry notes how far the retry is. The caller holds the lock.
func (p *poller) setRetry(now Retry) {
	p.retry = &now
	if p.overview != nil {
		copied := *p.overview
		copied.Retry = &Retry{now.Runs, now.Done, now.Error}
		p.overview, p.overviewAt = &copied, p.next()
	}
	p.lookNow()
}
