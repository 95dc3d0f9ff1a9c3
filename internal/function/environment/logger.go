package environment

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// NewLogger is Lambda's own logger, which adds the request id to each line, and here also the ARN of the execution. The state
// machine passes the ARN in the client context. The lines of a function that is invoked by hand have none.
func NewLogger() *slog.Logger {
	return slog.New(executionHandler{lambdacontext.NewLogHandler()})
}

type executionHandler struct{ slog.Handler }

func (h executionHandler) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		if arn := lc.ClientContext.Custom["executionArn"]; arn != "" {
			r.AddAttrs(slog.String("executionArn", arn))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h executionHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return executionHandler{h.Handler.WithAttrs(attrs)}
}

func (h executionHandler) WithGroup(name string) slog.Handler {
	return executionHandler{h.Handler.WithGroup(name)}
}
