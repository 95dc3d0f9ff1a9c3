package environment

import (
	"context"
	"time"
)

// Reserve returns ctx with an earlier deadline, so that time is left for what the function does afterwards, before Lambda kills
// it: the given time, or a third of the time left if that is less. If ctx has no deadline, there is none.
func Reserve(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(most, time.Until(deadline)/3)))
}
