package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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

// plan-shards writes a line only where it cannot start, so no run shows which logger it has.
func TestEveryFunctionLogsWithTheLoggerThatNamesTheExecution(t *testing.T) {
	paths, err := filepath.Glob("../../cmd/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), "lambda.Start(") {
			continue
		}
		functions++
		if !strings.Contains(string(source), "logger := settings.NewLogger()\n") {
			t.Errorf("%s does not take its logger from settings.NewLogger", path)
		}
	}
	if functions != 3 {
		t.Errorf("%d functions, want 3", functions)
	}
}
