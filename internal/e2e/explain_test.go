package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carnation/internal/localaws"
)

// mostLines is how many lines of a kind a failed test prints: the last ones.
const mostLines = 40

// failedCall is a call that failed, and not on purpose.
type failedCall struct {
	at time.Time
	localaws.Call
}

// explain prints what failed in the stack of a failed test since a time: calls, invocations, and what the functions said about it. A test
// that waits in vain says nothing about the cause, which may be minutes ago.
func (d *deployed) explain(t testing.TB, since time.Time) {
	d.mu.Lock()
	var calls []string
	for _, call := range d.failed {
		if call.at.After(since) {
			calls = append(calls, fmt.Sprintf("%s %+v", call.at.UTC().Format(time.RFC3339Nano), call.Call))
		}
	}
	d.mu.Unlock()
	logLast(t, "calls that failed, and not on purpose", calls)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, function := range []string{"plan-shards", "generate-data", "insert-data"} {
		var lines []string
		events, err := d.readLog(ctx, function, since)
		for _, event := range events {
			if tellsOfFailure(*event.Message) {
				lines = append(lines, *event.Message)
			}
		}
		if err != nil {
			lines = append(lines, err.Error()) // such as that an inline stack has no plan-shards
		}
		logLast(t, "log lines of "+function+" about failures", lines)
	}
}

// tellsOfFailure tells whether a log line is about a failure other than that of an event, of which tests make many.
func tellsOfFailure(line string) bool {
	var fields struct {
		Level  string
		Record struct{ Status string } // of an invocation
	}
	if json.Unmarshal([]byte(line), &fields) != nil {
		return true // such as the traces of a panic
	}
	if fields.Record.Status != "" {
		return fields.Record.Status != "success"
	}
	return fields.Level != "INFO" && fields.Level != "DEBUG" && !strings.Contains(line, `"event failed"`)
}

func logLast(t testing.TB, what string, lines []string) {
	t.Logf("%d %s:\n%s", len(lines), what, strings.Join(lines[max(0, len(lines)-mostLines):], "\n"))
}
