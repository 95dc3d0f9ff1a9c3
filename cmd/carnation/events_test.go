package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"carnation/internal/event"
	"carnation/internal/operate"
)

// ownEventsTest reads events for a stack that keeps its objects in a fake S3.
type ownEventsTest struct {
	eventsReader
	dir     string
	stderr  bytes.Buffer
	mu      sync.Mutex
	objects map[string]string
}

func newOwnEventsTest(t *testing.T, distributed bool) *ownEventsTest {
	o := &ownEventsTest{dir: t.TempDir(), objects: map[string]string{}}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.flags = &eventsFlags{}
	o.stack = &operate.Stack{
		Name: "carnation-devl", Distributed: distributed, Outputs: map[string]string{"EventsBucketName": "bucket", "EventsPrefix": "carnation/events/"},
		Config: aws.Config{Region: "eu-central-2", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")},
	}
	o.progress = &progress{w: &o.stderr}
	return o
}

func (o *ownEventsTest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPut {
		o.objects[r.URL.Path] = string(body)
	} else if object, ok := o.objects[r.URL.Path]; ok {
		w.Header().Set("Content-Length", fmt.Sprint(len(object)))
	} else {
		w.WriteHeader(http.StatusNotFound)
	}
}

// write writes the file of events, and makes it the one to read.
func (o *ownEventsTest) write(t *testing.T, name, content string) {
	t.Helper()
	o.flags.file, o.flags.format = filepath.Join(o.dir, name), ""
	if err := os.WriteFile(o.flags.file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.flags.check(); err != nil {
		t.Fatal(err)
	}
}

// orders are lines of JSON, of which the given ones are bad.
func orders(lines int, bad ...int) string {
	var b strings.Builder
	for n := 1; n <= lines; n++ {
		if len(bad) > 0 && bad[0] == n {
			bad = bad[1:]
			fmt.Fprintln(&b, n)
		} else {
			fmt.Fprintf(&b, "{\"order\": %d}\n", n)
		}
	}
	return b.String()
}

func TestBadRecordsAreRefusedWithTheirLinesAndReasons(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.write(t, "orders.jsonl", "\n"+orders(1000, 3, 500, 1000))
	_, _, err := o.input(t.Context())
	if want := fmt.Sprintf("3 of 1000 records of %s are bad, so no run was started: correct them, or give --skip-bad a file for them", o.flags.file); err == nil || err.Error() != want {
		t.Errorf("input() = %v, want %s", err, want)
	}
	var want strings.Builder
	for _, n := range []int{3, 500, 1000} {
		fmt.Fprintf(&want, "carnation: run: %s: line %d, record %d: is a number: must be a JSON object\n", o.flags.file, n+1, n)
	}
	if got := o.stderr.String(); got != want.String() {
		t.Errorf("stderr = %s, want %s", got, want.String())
	}
	if len(o.objects) > 0 {
		t.Errorf("objects = %v, want nothing sent", o.objects)
	}
}

func TestOnlyTheFirstBadRecordsAreReported(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.write(t, "orders.jsonl", strings.Repeat("7\n", maxBadShown+5))
	_, _, err := o.input(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "25 of 25 records of ") {
		t.Errorf("input() = %v, want 25 bad records", err)
	}
	if got := o.stderr.String(); strings.Count(got, "\n") != maxBadShown+1 || !strings.HasSuffix(got, ": and 5 more bad records\n") {
		t.Errorf("stderr = %s, want %d records and a count", got, maxBadShown)
	}
}

func TestSkipBadWritesTheBadRecordsToAFile(t *testing.T) {
	for _, tc := range []struct{ name, content, want string }{
		{"a.jsonl", "{\"a\":1}\n\n[\"ü<\"]\n{\"a\": tru}\n{\"a\":2}",
			`{"line":3,"position":2,"reason":"is a list: must be a JSON object","record":["ü<"]}` + "\n" +
				`{"line":4,"position":3,"reason":"is not JSON from its byte 10 on: must be a JSON object","text":"{\"a\": tru}"}` + "\n"},
		{"a.csv", "a\n1\n\"x\"y\n2\n",
			`{"line":3,"position":2,"reason":"has 'y' after a closing quotation mark: must be a comma or the end of the line","record":{"a":"xy"}}` + "\n"},
		{"a.json", "[{\"a\":1},\n{\"a\":2}]", ""},
	} {
		o := newOwnEventsTest(t, true)
		o.flags.skipBad = filepath.Join(o.dir, "rejected.jsonl")
		if err := os.WriteFile(o.flags.skipBad, []byte("of an earlier run\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o.write(t, tc.name, tc.content)
		input, result, err := o.input(t.Context())
		if err != nil || len(input.Events) != 2 || result.Records != 2 || result.Skipped != int64(strings.Count(tc.want, "\n")) || result.Source != event.InputSource {
			t.Errorf("%s: input() = %+v, %+v, %v, want the two good records", tc.name, input, result, err)
		}
		if got, err := os.ReadFile(o.flags.skipBad); string(got) != tc.want || err != nil {
			t.Errorf("%s: rejected %s, %v, want %s", tc.name, got, err, tc.want)
		}
	}
}

func TestOnlyTheOwnerMayReadTheBadRecords(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.flags.skipBad = filepath.Join(o.dir, "rejected.jsonl")
	o.write(t, "a.jsonl", "{\"a\":1}\n7\n")
	if _, _, err := o.input(t.Context()); err != nil {
		t.Fatal(err)
	}
	if file, err := os.Stat(o.flags.skipBad); err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the file of the bad records is %v, %v, want mode 0600", file, err)
	}
}

func TestSkipBadMustNotOverwriteTheEvents(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.write(t, "a.jsonl", "{}\n")
	o.flags.skipBad = filepath.Join(o.dir, "link.jsonl")
	if err := os.Symlink("a.jsonl", o.flags.skipBad); err != nil {
		t.Fatal(err)
	}
	_, _, err := o.input(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "the file of --events: must be another file, because it is overwritten") {
		t.Errorf("input() = %v, want an error", err)
	}
	if got, err := os.ReadFile(o.flags.file); string(got) != "{}\n" || err != nil {
		t.Errorf("the file of events is %q, %v", got, err)
	}
}

func TestFewRecordsAreInTheInputAndMoreGoToS3Once(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.write(t, "orders.csv", "order,note\n1,\"a, b\"\n")
	input, result, err := o.input(t.Context())
	if err != nil || len(input.Events) != 1 || string(input.Events[0]) != `{"order":"1","note":"a, b"}` || result.String() != o.flags.file+": 1 records; in the input of the run" {
		t.Errorf("input() = %s, %s, %v, want the record", input.Events, result, err)
	}
	for _, name := range []string{"orders.jsonl", "the same in another file.jsonl"} {
		o.write(t, name, orders(20_000))
		input, result, err = o.input(t.Context())
		if err != nil || input.Events != nil || input.Source == nil || input.Source.Format != event.JSONL || result.Records != 20_000 || result.Sent != (name == "orders.jsonl") {
			t.Errorf("%s: input() = %+v, %+v, %v, want a source", name, input.Source, result, err)
		}
	}
	if want := o.flags.file + ": 20000 records; already at " + input.Source.URI(); result.String() != want {
		t.Errorf("result = %s, want %s", result, want)
	}
	want := strings.ReplaceAll(orders(20_000), ": ", ":")
	if got := o.objects["/bucket/"+input.Source.Key]; len(o.objects) != 1 || got != want {
		t.Errorf("%d objects, %d bytes, want one with the %d bytes of the records", len(o.objects), len(got), len(want))
	}
	if !strings.Contains(o.stderr.String(), "20000 records of ") && !strings.Contains(o.stderr.String(), "10000 records of ") {
		t.Errorf("stderr = %s, want progress", o.stderr.String())
	}
}

func TestAnInlineStackSaysWhichParameterToChange(t *testing.T) {
	o := newOwnEventsTest(t, false)
	o.write(t, "orders.jsonl", orders(500))
	if input, _, err := o.input(t.Context()); err != nil || len(input.Events) != 500 {
		t.Errorf("input() = %d events, %v, want 500", len(input.Events), err)
	}
	for _, content := range []string{orders(542), orders(20_000), "{\"a\":\"" + strings.Repeat("x", 20_000) + "\"}\n" + strings.Repeat("{\"a\":\""+strings.Repeat("x", 20_000)+"\"}\n", 12)} {
		o.write(t, "orders.jsonl", content)
		_, _, err := o.input(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), "split the file, or deploy the stack with MapMode=DISTRIBUTED") {
			t.Errorf("input() = %v for %d bytes, want the parameter to change", err, len(content))
		}
	}
	o.flags.file = "s3://bucket/carnation/events/a.csv"
	if _, _, err := o.input(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "deploy it with MapMode=DISTRIBUTED") {
		t.Errorf("input() = %v for an object, want the parameter to change", err)
	}
}

func TestAnObjectThatIsAlreadyThereIsTheSource(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.flags.file = "s3://bucket/carnation/events/a b.ndjson"
	if err := o.flags.check(); err != nil {
		t.Fatal(err)
	}
	input, result, err := o.input(t.Context())
	if want := (event.Source{Bucket: "bucket", Key: "carnation/events/a b.ndjson", Format: event.JSONL}); err != nil || *input.Source != want || result.Source != o.flags.file {
		t.Errorf("input() = %+v, %+v, %v, want %+v", input.Source, result, err, want)
	}
	if want := "s3://bucket/carnation/events/a b.ndjson: read by the run"; result.String() != want {
		t.Errorf("result = %s, want %s", result, want)
	}
}

func TestStandardInput(t *testing.T) {
	o := newOwnEventsTest(t, false)
	o.flags.file, o.stdin = "-", strings.NewReader("{\"a\":1}\n{\"a\":2}")
	if err := o.flags.check(); err != nil {
		t.Fatal(err)
	}
	if input, _, err := o.input(t.Context()); err != nil || len(input.Events) != 2 {
		t.Errorf("input() = %s, %v, want two records", input.Events, err)
	}
	// Nobody ever types anything.
	waiting, writer := io.Pipe()
	defer writer.Close()
	o.stdin = waiting
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, _, err := o.input(ctx); !errors.Is(err, stopped) {
		t.Errorf("input() = %v, want %v", err, stopped)
	}
}

func TestAFileWithoutRecordsStartsNothing(t *testing.T) {
	o := newOwnEventsTest(t, true)
	for name, content := range map[string]string{"a.jsonl": "\n", "a.json": "[]", "a.csv": "a,b\n", "b.csv": ""} {
		o.write(t, name, content)
		_, result, err := o.input(t.Context())
		if want := o.flags.file + ": 0 records; no run was started for it"; err != nil || result.String() != want {
			t.Errorf("%s: input() = %s, %v, want %s", name, result, err, want)
		}
	}
}

func TestAFileThatCannotBeReadIsRefused(t *testing.T) {
	o := newOwnEventsTest(t, true)
	o.write(t, "a.json", "[{}")
	if _, _, err := o.input(t.Context()); err == nil || err.Error() != o.flags.file+": line 1: the JSON array does not end" {
		t.Errorf("input() = %v, want why", err)
	}
	o.write(t, "a.csv", "a\nC:\\x\n")
	if _, _, err := o.input(t.Context()); err != nil || !strings.Contains(o.stderr.String(), "a.csv: line 2: a backslash is removed, as Step Functions does: write \\\\ to keep it (1 times)\n") {
		t.Errorf("input() = %v, stderr %s, want a warning", err, o.stderr.String())
	}
	o.flags.file = filepath.Join(o.dir, "missing.csv")
	if _, _, err := o.input(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("input() = %v for a missing file", err)
	}
}

func TestProgressOfBytesIsABarOnATerminal(t *testing.T) {
	var out bytes.Buffer
	(&progress{w: &out, terminal: true}).showBytes("records sent", 5_000_000, 20_000_000)
	(&progress{w: &out}).showBytes("records sent", 0, 0)
	if got, want := out.String(), "\r[#######.......................] 25 % of 20.0 MB records sent100 % of 0.0 MB records sent\n"; got != want {
		t.Errorf("progress = %q, want %q", got, want)
	}
}
