package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

func TestLinesNameTheExecutionThatInvokedTheFunction(t *testing.T) {
	inExecution := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{
		ClientContext: lambdacontext.ClientContext{Custom: map[string]string{"executionArn": "arn:x", "other": "y"}},
	})
	for _, tc := range []struct {
		name string
		ctx  context.Context
		log  func(*slog.Logger) *slog.Logger
		want any
	}{
		{"in an execution", inExecution, func(l *slog.Logger) *slog.Logger { return l }, "arn:x"},
		{"with attributes", inExecution, func(l *slog.Logger) *slog.Logger { return l.With("a", 1) }, "arn:x"},
		{"by hand", lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{}), func(l *slog.Logger) *slog.Logger { return l }, nil},
		{"at cold start", t.Context(), func(l *slog.Logger) *slog.Logger { return l }, nil},
	} {
		var out bytes.Buffer
		logger := tc.log(slog.New(executionHandler{slog.NewJSONHandler(&out, nil)}))
		logger.InfoContext(tc.ctx, "event failed")
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["executionArn"] != tc.want {
			t.Errorf("%s: line is %s, want executionArn %v", tc.name, out.String(), tc.want)
		}
	}
}
