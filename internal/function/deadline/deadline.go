// Package deadline shares out the time of a function, so that an answer is given before Lambda kills it.
package deadline

import (
	"context"
	"time"
)

// Reserve is ctx with an earlier deadline: it leaves that much, or a third of the time left if that is less, for what is
// to be done afterwards. Without a deadline it is ctx.
func Reserve(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(most, time.Until(deadline)/3)))
}
