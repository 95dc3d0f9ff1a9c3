package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
)

// stack is a stack that somebody else has deployed.
func (c *cloud) stack(t testing.TB, name string) *deployed {
	t.Helper()
	out, err := c.cloudformation.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	return &deployed{
		cloud: c, name: name, outputs: outputs(out.Stacks[0]),
		sfn: sfn.NewFromConfig(c.config), sqs: sqs.NewFromConfig(c.config), table: dynamodb.NewFromConfig(c.config), lambda: lambda.NewFromConfig(c.config),
	}
}

// countRows is how many rows the table has.
func (d *deployed) countRows(t testing.TB) (n int) {
	t.Helper()
	pages := dynamodb.NewScanPaginator(d.table, &dynamodb.ScanInput{
		TableName: aws.String(d.outputs["TableName"]), Select: ddbtypes.SelectCount, ConsistentRead: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n += int(page.Count)
	}
	return n
}

// executions is how many runs there were.
func (d *deployed) executions(t testing.TB) int {
	t.Helper()
	out, err := d.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: aws.String(d.outputs["StateMachineArn"]), MaxResults: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(out.Executions)
}

// runEvents runs carnation run --events, which must end with a code.
func (d *deployed) runEvents(t testing.TB, code int, args ...string) result {
	t.Helper()
	out := d.command(nil, append([]string{carnation, "run", "--stack-name", d.name, "--events"}, args...)...)
	if out.code != code {
		t.Fatalf("run --events %v: %s, want code %d", args, out, code)
	}
	return out
}

// writeOrders writes a CSV file of orders, and returns them as JSON. A thousand of them are too large for the input of a run.
func writeOrders(t testing.TB, path string, n int) (want []string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := csv.NewWriter(file)
	header := []string{"order", "customer", "straße", "note"}
	rows := [][]string{header}
	for i := range n {
		row := []string{
			fmt.Sprintf("A-%d", i), []string{"Groß, Jürgen", "Zoë", "東京 🌸"}[i%3], []string{"Bahnhofstrasse 1\nZürich", "", `"Am Markt", 2`}[(i/3)%3],
			[]string{strings.Repeat("a, b; ", 100), "He said \"no\",\nthen left" + strings.Repeat(" again", 100), "<&>", "007"}[i%4],
		}
		rows = append(rows, row)
		record := map[string]string{}
		for column, value := range row {
			record[header[column]] = value
		}
		want = append(want, inJSON(record))
	}
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return want
}

var sentTo = regexp.MustCompile(`(?:sent to|already at) (s3://\S+)`)

// The commands of the README deploy a distributed stack and run the user's own events.
func TestReadmeRunsYourOwnEvents(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	readme := commands(section(t, document(t, "README.md"), "Run your own events"))
	if n := strings.Count(readme, "\n"); n != 3 {
		t.Errorf("the README has %d commands for the user's own events, want three: %s", n, readme)
	}
	output := c.newProject(t).bash(t, readme)
	expectInOrder(t, output, "CREATE_COMPLETE", "docs/examples/orders.csv: 12 records; in the input of the run\n", "12 new and 0 claimed events, 12 inserted, 0 failed\n")
	if n := c.stack(t, "carnation-devl").countRows(t); n != 12 {
		t.Errorf("the table has %d rows, want one for each of the 12 orders", n)
	}
}

// ownRuns are the records of several runs that must be rows. A scan takes long if the table is large, so one compares them all.
type ownRuns map[origin][]string

func (runs ownRuns) add(t testing.TB, source string, time int64, records []string) {
	t.Helper()
	from := origin{source, time}
	if runs[from] != nil {
		t.Fatalf("%v was run before: the test could not tell the rows apart", from)
	}
	runs[from] = records
}

// expectOwnRuns checks that the table has one row for each record, and no others.
func (d *deployed) expectOwnRuns(t testing.TB, runs ownRuns) {
	t.Helper()
	rows := d.rowsByOrigin(t)
	for from, records := range runs {
		expectRecords(t, rows, from, records)
	}
	for from, others := range rows {
		if runs[from] == nil {
			t.Errorf("the table has %d records of %v, want none", len(others), from)
		}
	}
}

func TestYourOwnEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t, "MapMode=DISTRIBUTED")
	c := s.cloud
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) string {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	want := ownRuns{}
	s.runOddFiles(t, write, want)

	// Three bad records in a thousand.
	var lines []string
	for n := 1; n <= 1000; n++ {
		lines = append(lines, fmt.Sprintf(`{"order":%d}`, n))
	}
	lines[99], lines[499], lines[999] = `{"order":`, `["a list"]`, `{"digits":123456789012345678901234567890123456789}`
	bad := write("bad.jsonl", strings.Join(lines, "\n"))
	runs := s.executions(t)
	refused := s.runEvents(t, 2, bad)
	expectInOrder(t, refused.stderr, "bad.jsonl: line 100, record 100: is not JSON", "line 500, record 500: is a list: must be a JSON object",
		"line 1000, record 1000: has a number of 39 digits", "3 of 1000 records of "+bad+" are bad, so no run was started")
	if n := s.executions(t); n != runs {
		t.Errorf("%d runs were started with bad records, want none", n-runs)
	}
	skipping := s.runEvents(t, 0, bad, "--skip-bad", in("rejected.jsonl"), "--time", "1795417000")
	expectInOrder(t, skipping.stdout, "bad.jsonl: 997 records, 3 bad ones skipped; in the input of the run", "997 inserted, 0 failed")
	want.add(t, event.InputSource, 1795417000, slices.Concat(lines[:99], lines[100:499], lines[500:999]))
	rejected, err := os.ReadFile(in("rejected.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(rejected), "\n"); n != 3 {
		t.Errorf("%d records were rejected, want 3: %s", n, rejected)
	}
	expectInOrder(t, string(rejected), `{"line":100,"position":100,"reason":"is not JSON`, `"text":"{\"order\":"}`, `{"line":500,`, `"record":["a list"]}`, `{"line":1000,`)

	// With simulated failures, it ends complete.
	some := writeOrders(t, in("some.csv"), 1100)
	failing := s.runEvents(t, 0, in("some.csv"), "--time", "1795416900", "--failure-rate", "0.05", "--until-empty")
	expectInOrder(t, failing.stdout, "FAILED in", "1100 new and 0 claimed events", "SUCCEEDED in", "retry queue: 0 waiting, 0 in flight; dead-letter queue: 0")
	want.add(t, sentTo.FindStringSubmatch(failing.stdout)[1], 1795416900, some)

	// Orders of two shards: every row is the parsed record.
	n := 1200
	if *load {
		n = 10_000
	}
	all := fmt.Sprintf("%d new and 0 claimed events, %d inserted, 0 failed", n, n)
	orders := writeOrders(t, in("orders.csv"), n)
	first := s.runEvents(t, 0, in("orders.csv"), "--time", "1795416800", "--name", "all-orders")
	expectInOrder(t, first.stdout, fmt.Sprintf("%s: %d records; sent to s3://", in("orders.csv"), n), "all-orders SUCCEEDED in", all)
	uri := sentTo.FindStringSubmatch(first.stdout)[1]
	want.add(t, uri, 1795416800, orders)

	// The same file and time are the same rows, as the comparison at the end shows, and the object is not sent again.
	puts := c.count("PutObject", "") + c.count("CreateMultipartUpload", "")
	again := s.runEvents(t, 0, in("orders.csv"), "--time", "1795416800")
	expectInOrder(t, again.stdout, fmt.Sprintf("%d records; already at %s", n, uri), all)
	if n := c.count("PutObject", "") + c.count("CreateMultipartUpload", ""); n != puts || n == 0 {
		t.Errorf("the file was sent %d times, and then %d times in all, want no more", puts, n)
	}

	// The same name and input start nothing. The same name and another input are refused.
	runs = s.executions(t)
	repeated := s.runEvents(t, 0, in("orders.csv"), "--time", "1795416800", "--name", "all-orders")
	expectInOrder(t, repeated.stderr, "execution all-orders with this input was started before, so nothing was started")
	expectInOrder(t, repeated.stdout, "all-orders SUCCEEDED in", all)
	refused = s.runEvents(t, 2, in("orders.csv"), "--time", "1795416801", "--name", "all-orders")
	expectInOrder(t, refused.stderr, "execution all-orders was started with another input at ", ": choose another name")
	if n := s.executions(t); n != runs {
		t.Errorf("%d runs were started, want none", n-runs)
	}
	s.expectOwnRuns(t, want)
}

// runOddFiles runs what files have at their ends, and between their records. A file gives the same rows by whatever way it gets into
// a run: in the input, or from S3 as it is.
func (d *deployed) runOddFiles(t testing.TB, write func(name, content string) string, want ownRuns) {
	t.Helper()
	runs := d.executions(t)
	for _, name := range []string{"empty.csv", "empty.jsonl"} {
		out := d.runEvents(t, 0, write(name, ""))
		expectInOrder(t, out.stdout, name+": 0 records; no run was started for it")
	}
	digits := d.runEvents(t, 2, write("39.json", `[{"n":123456789012345678901234567890123456789}]`))
	expectInOrder(t, digits.stderr, "39.json: line 1, record 1: has a number of 39 digits: must have numbers of at most 38, or strings")
	if n := d.executions(t); n != runs {
		t.Errorf("%d runs were started without events, want none", n-runs)
	}
	for i, file := range []struct{ name, content, records string }{
		{"one.jsonl", `{"only":"one"}`, `[{"only":"one"}]`},
		{"lines.jsonl", "\ufeff\r\n{\"n\": 12345678901234567890123456789012345678}\r\n \r\n{\"a\": {\"b\": [\"ü\", \"\"]}}\r\n\r\n{\"last\": true}",
			`[{"n":12345678901234567890123456789012345678},{"a":{"b":["ü",""]}},{"last":true}]`},
		{"array.json", "\ufeff\r\n[\r\n  {\"n\": 0.10},\r\n  {\"text\": \"],}\"}\r\n]\r\n", `[{"n":0.1},{"text":"],}"}]`},
		{"rows.csv", "\ufeffa,\"b, c\"\r\n\r\n1,\"x\r\ny\"\r\n2\r\n3,4,5\r\n\"\"\"q\"\"\",\\\\", `[{"a":"1","b, c":"x\r\ny"},{"a":"2","b, c":""},{"a":"3","b, c":"4"},{"a":"\"q\"","b, c":"\\"}]`},
	} {
		var parsed []json.RawMessage
		if err := json.Unmarshal([]byte(file.records), &parsed); err != nil {
			t.Fatal(err)
		}
		var records []string
		for _, record := range parsed {
			records = append(records, string(record))
		}
		time := int64(1795418000 + i)
		out := d.runEvents(t, 0, write(file.name, file.content), "--time", fmt.Sprint(time))
		expectInOrder(t, out.stdout, fmt.Sprintf("%d records; in the input of the run", len(records)), fmt.Sprintf("%d inserted, 0 failed", len(records)))
		want.add(t, event.InputSource, time, records)

		key := d.outputs["EventsPrefix"] + file.name
		d.putObject(t, key, file.content)
		uri := "s3://" + d.outputs["EventsBucketName"] + "/" + key
		out = d.runEvents(t, 0, uri, "--time", fmt.Sprint(time))
		expectInOrder(t, out.stdout, uri+": read by the run", fmt.Sprintf("%d inserted, 0 failed", len(records)))
		want.add(t, uri, time, records)
	}
}

// expectFilesInline runs a file on a stack with MapMode=INLINE: one that fits in the input of a run, and two that do not, because of
// their bytes and of their records.
func (d *deployed) expectFilesInline(t testing.TB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orders.csv")
	orders := writeOrders(t, path, 40)
	out := d.runEvents(t, 0, path, "--time", "1795419000")
	expectInOrder(t, out.stdout, "orders.csv: 40 records; in the input of the run", "40 new and 0 claimed events, 40 inserted, 0 failed")
	d.expectOwnRows(t, event.InputSource, 1795419000, orders)

	runs := d.executions(t)
	large := filepath.Join(t.TempDir(), "large.jsonl")
	for content, records := range map[string]int{
		strings.Repeat(`{"text":"`+strings.Repeat("x", 20_000)+`"}`+"\n", 14): 14,
		strings.Repeat("{}\n", 600): 600,
	} {
		if err := os.WriteFile(large, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused := d.runEvents(t, 2, large)
		expectInOrder(t, refused.stderr, fmt.Sprintf("large.jsonl has %d records", records), "which has MapMode=INLINE", "deploy the stack with MapMode=DISTRIBUTED")
	}
	if n := d.executions(t); n != runs {
		t.Errorf("%d runs were started with files that do not fit, want none", n-runs)
	}
}

// putObject puts an object where runs may read it.
func (d *deployed) putObject(t testing.TB, key, content string) {
	t.Helper()
	store := s3.NewFromConfig(d.config, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(d.outputs["EventsBucketName"]), Key: aws.String(key), Body: strings.NewReader(content),
	}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkYourOwnEvents runs files of JSON Lines. x-linear is the time for one event, divided by that in a run of 10,000: at 1 time
// grows linearly. MB is the most memory that carnation run has used. CARNATION_MILLION=1 adds a file of a million records.
func BenchmarkYourOwnEvents(b *testing.B) {
	d := newStack(b, "MapMode=DISTRIBUTED")
	sizes := []int{10_000, 50_000}
	if os.Getenv("CARNATION_MILLION") != "" {
		sizes = append(sizes, 1_000_000)
	}
	const mostMemory = 100 << 20
	var least float64
	rows := 0
	for _, n := range sizes {
		b.Run("events="+strconv.Itoa(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "orders.jsonl")
			var took time.Duration
			var memory int64
			for i := 0; b.Loop(); i++ {
				writeLines(b, path, n, i)
				began := time.Now()
				memory = max(memory, d.measure(b, path))
				took += time.Since(began)
				rows += n
				if got := d.itemCount(b); got != rows {
					b.Errorf("the table has %d rows, want %d", got, rows)
				}
			}
			perEvent := took.Seconds() / float64(b.N*n)
			if least == 0 {
				least = perEvent
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took.Seconds()/float64(b.N), "s/run")
			b.ReportMetric(1/perEvent, "events/s")
			b.ReportMetric(perEvent/least, "x-linear")
			b.ReportMetric(float64(memory)/1e6, "MB")
			if memory > mostMemory {
				b.Errorf("carnation run used %d bytes of memory, want at most %d", memory, mostMemory)
			}
		})
	}
}

// writeLines writes a file of JSON Lines of about 200 bytes. Another salt makes other records.
func writeLines(t testing.TB, path string, n, salt int) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	for i := range n {
		fmt.Fprintf(w, `{"order":"%d-%d","amount":12.5,"customer":"Zoë Müller","city":"Zürich","note":%q}`+"\n", salt, i, strings.Repeat("x", 100))
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// measure runs a file of events and returns the most memory that the command used.
func (d *deployed) measure(t testing.TB, path string) (most int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), carnation, "run", "--stack-name", d.name, "--events", path, "--timeout", "12h")
	cmd.Dir, cmd.Env = root, d.environment()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("run --events %s: %v\n%s", path, err, out.String())
			}
			if runtime.GOOS != "linux" {
				most = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
			}
			return most
		case <-time.After(20 * time.Millisecond):
			most = max(most, peakMemory(cmd.Process.Pid))
		}
	}
}

// itemCount is the number of rows, as DescribeTable has it: local AWS counts them at once, and a scan of a million rows would take it hours.
func (d *deployed) itemCount(t testing.TB) int {
	t.Helper()
	out, err := d.table.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(d.outputs["TableName"])})
	if err != nil {
		t.Fatal(err)
	}
	return int(aws.ToInt64(out.Table.ItemCount))
}

// peakMemory is the largest resident set of a running process so far, in bytes, as Linux has it. What Linux tells at the end of a process counts
// the memory of its parent, too.
func peakMemory(process int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", process)) // it may have ended
	_, text, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	_, _ = fmt.Sscan(text, &kilobytes)
	return kilobytes * 1024
}
