package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

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

// runOfRequest is the run that a request of the page names.
func runOfRequest(ctx context.Context, found *stack, execution string) (string, error) {
	arn, err := found.FindRun(ctx, execution)
	if refused, ok := errors.AsType[*operate.RefusedError](err); ok {
		err = &apiError{http.StatusNotFound, KindNotFound, refused.Reason}
	}
	return arn, err
}

// getPlan says what a stop or a redrive would do, in numbers, for the question before it. It changes nothing.
func (c *Console) getPlan(w http.ResponseWriter, r *http.Request) error {
	plans := map[string]func(*operate.Stack, context.Context, string) (operate.RunChange, error){
		"stop": (*operate.Stack).PlanStop, "redrive": (*operate.Stack).PlanRedrive,
	}
	plan := plans[r.URL.Query().Get("do")]
	if plan == nil {
		return invalid("do is %q: must be stop or redrive", r.URL.Query().Get("do"))
	}
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	arn, err := runOfRequest(r.Context(), found, r.URL.Query().Get("arn"))
	if err != nil {
		return err
	}
	change, err := plan(found.Stack, r.Context(), arn)
	if err != nil {
		return err
	}
	return writeJSON(w, change)
}

func (c *Console) stop(w http.ResponseWriter, r *http.Request) error {
	return c.changeRun(w, r, (*operate.Stack).StopRun)
}

func (c *Console) redrive(w http.ResponseWriter, r *http.Request) error {
	return c.changeRun(w, r, (*operate.Stack).RedriveRun)
}

// changeRun stops or redrives a run, and says what that does to its events.
func (c *Console) changeRun(w http.ResponseWriter, r *http.Request, change func(*operate.Stack, context.Context, string) (operate.RunChange, error)) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	var request struct {
		Arn string `json:"arn"`
	}
	if err := readBody(w, r, &request); err != nil {
		return err
	}
	arn, err := runOfRequest(r.Context(), found, request.Arn)
	if err != nil {
		return err
	}
	defer c.lookNow(found.Name)
	ctx, cancel := c.changeContext(r)
	defer cancel()
	changed, err := change(found.Stack, ctx, arn)
	if err != nil {
		return err
	}
	return writeJSON(w, Done{strings.Join(changed.What, "; "), changed.New + changed.Claimed})
}
