package model

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogLinesAreThoseOfTheExecutionNewestLast(t *testing.T) {
	d := document(t, "inline-failures", Options{})
	var last time.Time
	failed := map[int64]bool{}
	by := map[string]int{}
	for _, l := range d.Logs.Lines {
		if l.Time.Before(last) {
			t.Errorf("line %+v comes after one of %s", l, last)
		}
		last = l.Time
		by[l.Function]++
		if l.Sequence != nil && l.Message == "event failed" {
			failed[*l.Sequence] = true
			if l.Level != "WARN" || l.Request == "" || !strings.Contains(l.Fields, "retryAttempt=0") {
				t.Errorf("line is %+v", l)
			}
		}
	}
	if by["generate-data"] == 0 || by["insert-data"] == 0 || by["state-machine"] == 0 {
		t.Errorf("lines are of %v", by)
	}
	if len(failed) < 8 { // nine failed, and one of these because its invocation was killed
		t.Errorf("%d events have a line that they failed, want at least 8", len(failed))
	}
}

func TestLinesOfOtherExecutionsAreNotRead(t *testing.T) {
	p, _ := open(t, "inline-failures")
	before := len(documentOf(t, p, Options{}).Logs.Lines)
	for group, lines := range p.Logs {
		for i, line := range lines {
			p.Logs[group][i] = json.RawMessage(strings.ReplaceAll(string(line), p.Arn, p.Arn+"0"))
		}
	}
	if after := len(documentOf(t, p, Options{}).Logs.Lines); before == 0 || after != 0 {
		t.Errorf("%d lines, and %d if they are of another execution: want 0", before, after)
	}
}

// The newest lines are those that matter, and nobody waits for more calls than are needed.
func TestManyLinesAreBounded(t *testing.T) {
	for name, every := range map[string]int64{"spread": 1, "at once": 0} {
		t.Run(name, func(t *testing.T) {
			p, _ := open(t, "inline-succeeded")
			const more = 1000*maxLogPages + 5000
			first := p.At.UnixMilli() - 1 - every*more
			for group := range p.Logs {
				p.Logs[group] = nil
				for i := range int64(more + 1) {
					message := fmt.Sprintf(`{"level":"INFO","message":"%d %s","executionArn":%q,"execution_arn":%q}`, i, strings.Repeat("x", 30), p.Arn, p.Arn)
					p.Logs[group] = append(p.Logs[group], marshal(t, map[string]any{"message": message, "timestamp": first + every*i, "eventId": fmt.Sprint(i)}))
				}
			}
			var started struct{ StartDate float64 }
			unmarshal(t, p.Executions[p.Arn], &started)
			p.Executions[p.Arn] = with(t, p.Executions[p.Arn], map[string]any{"startDate": min(started.StartDate, float64(first)/1000-1)})
			synctest.Test(t, func(t *testing.T) { // the calls wait for each other
				d := documentOf(t, p, Options{})
				if len(d.Logs.Lines) != maxLines || !d.Logs.Omitted {
					t.Errorf("%d lines, and some are left out: %t; want %d", len(d.Logs.Lines), d.Logs.Omitted, maxLines)
				}
				last := d.Logs.Lines[len(d.Logs.Lines)-1]
				if every > 0 && !strings.HasPrefix(last.Message, fmt.Sprint(more, " ")) {
					t.Errorf("the last line is %.10q, want the newest one, %d", last.Message, more)
				}
				if calls, most := p.Calls(filterLogEvents), len(p.Logs)*(maxLogPages+2*maxLogWindows); calls > most {
					t.Errorf("it takes %d calls, want at most %d", calls, most)
				} else {
					t.Logf("%d calls for %d log groups", calls, len(p.Logs))
				}
			})
		})
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	p, _ := open(t, "inline-failures")
	for group := range p.Logs {
		if strings.Contains(group, "generate-data") {
			delete(p.Logs, group)
		}
	}
	d := documentOf(t, p, Options{})
	if len(d.Partial) != 1 || d.Partial[0].What != "log lines of generate-data" || !strings.Contains(d.Partial[0].Why, "does not exist") {
		t.Errorf("missing is %+v", d.Partial)
	}
	p.Refuse[filterLogEvents] = "AccessDeniedException"
	d = documentOf(t, p, Options{})
	if len(d.Partial) != 3 || !strings.Contains(d.Partial[2].Why, "AccessDenied") || d.Outcome.Inserted == nil {
		t.Errorf("missing is %+v", d.Partial)
	}
	p.Refuse[getExecutionHistory] = "ExecutionDoesNotExist"
	d = documentOf(t, p, Options{})
	if d.Partial[0].What != "history" || d.Outcome.counts() != [6]int{20, 0, 11, 9, 7, 2} {
		t.Errorf("without a history, missing is %+v, and the outcome %v", d.Partial, d.Outcome.counts())
	}
	p.Refuse = map[string]string{describeExecution: "ThrottlingException"}
	stack := p.Stack()
	if _, err := Read(t.Context(), stack, p.Arn, Options{}); err == nil || !strings.Contains(err.Error(), "ThrottlingException") {
		t.Errorf("Read() of an execution that cannot be described: error = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, stack, p.Arn, Options{}); err == nil {
		t.Error("Read() with a context that has ended: no error")
	}
}

func TestHostileTextStaysText(t *testing.T) {
	p, _ := open(t, "inline-succeeded")
	long := strings.Repeat("ü", 100_000)
	for group := range p.Logs {
		message := marshal(t, map[string]any{"message": "</script><script>", "executionArn": p.Arn, "execution_arn": p.Arn, "detail": long, "\u202e": nil})
		p.Logs[group] = append(p.Logs[group], marshal(t, map[string]any{"message": string(message), "timestamp": p.At.UnixMilli() - 1}))
	}
	d := documentOf(t, p, Options{})
	last := d.Logs.Lines[len(d.Logs.Lines)-1]
	if last.Message != "</script><script>" || len(last.Fields) > maxFields+3 || !strings.HasSuffix(last.Fields, "ü…") {
		t.Errorf("the line has the message %q and %d bytes of fields", last.Message, len(last.Fields))
	}
}
