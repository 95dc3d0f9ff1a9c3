package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carnation/internal/operate"
)

func TestAskTakesOnlyYesForYes(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " YES \n": true, "yes": true, "\n": false, "": false, "n\n": false, "yes please\n": false} {
		var out bytes.Buffer
		if got, err := ask(t.Context(), strings.NewReader(answer), &out, "Delete?"); got != want || err != nil || out.String() != "Delete? [y/N] " {
			t.Errorf("ask(%q) = %t, %v after %q, want %t", answer, got, err, out.String(), want)
		}
	}
	// An interrupt does not wait for the answer.
	waiting, end := io.Pipe()
	defer end.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	cancel(interrupted)
	if got, err := ask(ctx, waiting, io.Discard, "Delete?"); got || !errors.Is(err, interrupted) {
		t.Errorf("ask() = %t, %v, want it interrupted", got, err)
	}
}

func TestDeadLettersArePrintedInOneLineEach(t *testing.T) {
	oldest := time.Date(2026, 11, 23, 6, 53, 20, 0, time.Local)
	groups := []operate.DeadLetterGroup{
		{Error: "A", ExecutionArn: "arn:aws:states:eu-central-2:1:execution:m:run-1", Age: "under 1 day", Messages: 4, Oldest: oldest, Sequence: "7,9-11"},
		{Error: "bad\n\x1b[31m\u009bname", Messages: 1, Oldest: oldest},
		{Error: "B", Messages: 100, Oldest: oldest, Sequence: strings.Repeat("1000001,", 99) + "1000002"},
	}
	var out bytes.Buffer
	if err := printGroups(&out, groups); err != nil {
		t.Fatal(err)
	}
	const want = "ERROR           RUN    AGE          MESSAGES  OLDEST               SEQUENCE\n" +
		"A               run-1  under 1 day  4         2026-11-23 06:53:20  7,9-11\n" +
		"bad??[31m?name  -      -            1         2026-11-23 06:53:20  -\n" +
		"B               -      -            100       2026-11-23 06:53:20  1000001,1000001,1000001,1000001,1000001,...\n"
	if out.String() != want {
		t.Errorf("printed\n%s, want\n%s", out.String(), want)
	}
}

func TestExitCodeTellsWhetherSomethingIsLeft(t *testing.T) {
	for _, tc := range []struct {
		name     string
		all      bool
		received operate.Received
		done     int
		left     bool
	}{
		{"all that matched is done", false, operate.Received{Matched: 3}, 3, false},
		{"less is done", false, operate.Received{Matched: 3}, 2, true},
		{"messages that are not events stay", false, operate.Received{Matched: 3, NotEvents: 1}, 3, true},
		{"nothing matched", false, operate.Received{}, 0, true},
		{"the queue is empty, and everything was asked for", true, operate.Received{}, 0, false},
	} {
		f := dlqFlags{all: tc.all}
		if err := f.left(tc.received, tc.done); errors.Is(err, errFailed) != tc.left {
			t.Errorf("%s: %v, want code 1: %t", tc.name, err, tc.left)
		}
	}
}

func TestResultsOfDLQ(t *testing.T) {
	n, none := 3, 0
	for _, tc := range []struct {
		result     dlqResult
		text, json string
	}{
		{dlqResult{Matched: 4, Moved: &n, NotEvents: 1, Queues: &operate.Queues{Retry: 3, DeadLetter: 1}}, "3 messages moved to the retry queue\nretry queue: 3 waiting, 0 in flight; dead-letter queue: 1\n",
			`{"matched":4,"moved":3,"not_events":1,"queues":{"retry_queue":3,"in_flight":0,"dead_letter_queue":1}}`},
		{dlqResult{Matched: 3, Dropped: &n, File: "a&b"}, "3 messages dropped; they are in a&b\n", `{"matched":3,"dropped":3,"file":"a&b"}`},
		{dlqResult{Dropped: &none}, "no messages dropped\n", `{"matched":0,"dropped":0}`},
		{dlqResult{Matched: 3, Exported: &n, File: "a"}, "3 messages written to a\n", `{"matched":3,"exported":3,"file":"a"}`},
		{dlqResult{Matched: 3, Exported: &n}, "3 messages written\n", `{"matched":3,"exported":3}`},
	} {
		var text, json bytes.Buffer
		if err := errors.Join(tc.result.print(&text, "text"), tc.result.print(&json, "json")); err != nil {
			t.Fatal(err)
		}
		if text.String() != tc.text {
			t.Errorf("%+v as text: %s, want %s", tc.result, text.String(), tc.text)
		}
		if got := strings.Join(strings.Fields(json.String()), ""); got != tc.json {
			t.Errorf("%+v as JSON: %s, want %s", tc.result, got, tc.json)
		}
	}
}

func TestEditPayload(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("EDITOR", "false")
	for _, tc := range []struct{ editor, want, wantErr string }{
		{`printf '%s' '{ "a" : 1.50, "b": "<&>" }' >`, `{"a":1.50,"b":"<&>"}`, ""},
		{"true", `{"n":12345678901234567890.10}`, ""},
		{"printf '' >", "", "; nothing was sent; the changed payload is in "},
		{"printf '{' >", "", "is not JSON"},
		{"printf '%s' '{\"a\":1e999}' >", "", "; nothing was sent; the changed payload is in "},
		{"false", "", "editor false: exit status 1; nothing was sent; the payload is in "},
	} {
		t.Setenv("VISUAL", tc.editor)
		path, got, err := editPayload([]byte(`{"n":12345678901234567890.10}`), "event-7-*.json")
		if tc.wantErr == "" && (string(got) != tc.want || err != nil) || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
			t.Errorf("%s: editPayload() = %s, %v, want %s%s", tc.editor, got, err, tc.want, tc.wantErr)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(filepath.Base(path), "event-7-") {
			t.Errorf("%s: the file %s is %v, %v, want it readable by its owner only", tc.editor, path, info, err)
		}
	}
}
