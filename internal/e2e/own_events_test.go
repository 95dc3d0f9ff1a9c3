package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"carnation/internal/event"
	"carnation/internal/localaws"
)

const onlyRetry = `{"start_seq":0,"end_seq":0}`

// origin is where own events come from, and the time that they were made at.
type origin struct {
	source string
	time   int64
}

// rowsByOrigin is the payload of each row as JSON, by where it comes from and its sequence number.
func (d *deployed) rowsByOrigin(t testing.TB) map[origin]map[int64][]string {
	t.Helper()
	found := map[origin]map[int64][]string{}
	pages := dynamodb.NewScanPaginator(d.table, &dynamodb.ScanInput{TableName: aws.String(d.outputs["TableName"]), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			var row struct {
				Sequence  int64           `json:"sequenceNo"`
				Generated int64           `json:"generatedUnixTime"`
				Source    string          `json:"source"`
				Payload   json.RawMessage `json:"payload"`
			}
			if err := json.Unmarshal([]byte(inJSON(plainValue(&ddbtypes.AttributeValueMemberM{Value: item}))), &row); err != nil {
				t.Fatal(err)
			}
			from := origin{row.Source, row.Generated}
			if found[from] == nil {
				found[from] = map[int64][]string{}
			}
			found[from][row.Sequence] = append(found[from][row.Sequence], string(row.Payload))
		}
	}
	return found
}

// ownRows is the rows of own events from this source that were made at this time.
func (d *deployed) ownRows(t testing.TB, source string, time int64) map[int64][]string {
	t.Helper()
	return d.rowsByOrigin(t)[origin{source, time}]
}

// plainValue is a value of DynamoDB as one of JSON. A number keeps its digits.
func plainValue(value ddbtypes.AttributeValue) any {
	switch v := value.(type) {
	case *ddbtypes.AttributeValueMemberS:
		return v.Value
	case *ddbtypes.AttributeValueMemberN:
		return json.Number(v.Value)
	case *ddbtypes.AttributeValueMemberBOOL:
		return v.Value
	case *ddbtypes.AttributeValueMemberL:
		list := []any{}
		for _, one := range v.Value {
			list = append(list, plainValue(one))
		}
		return list
	case *ddbtypes.AttributeValueMemberM:
		object := map[string]any{}
		for name, one := range v.Value {
			object[name] = plainValue(one)
		}
		return object
	}
	return nil // null
}

// expectOwnRows checks that each record is one row with exactly its content.
func (d *deployed) expectOwnRows(t testing.TB, source string, time int64, records []string) {
	t.Helper()
	expectRecords(t, d.rowsByOrigin(t), origin{source, time}, records)
}

// expectRecords checks that each record is one of the rows, with exactly its content.
func expectRecords(t testing.TB, rows map[origin]map[int64][]string, from origin, records []string) {
	t.Helper()
	want := map[int64][]string{}
	for i, record := range records {
		want[int64(i+1)] = []string{sorted(t, record)}
	}
	if got := rows[from]; !maps.EqualFunc(got, want, slices.Equal) {
		for _, number := range slices.Sorted(maps.Keys(want)) {
			if !slices.Equal(got[number], want[number]) {
				t.Errorf("record %d of %s is %.300s, want %.300s", number, from.source, got[number], want[number])
				break
			}
		}
		t.Errorf("%d of %d records of %s at %d are rows", len(got), len(want), from.source, from.time)
	}
}

// sorted is a JSON value with the fields of its objects in order, as inJSON writes them.
func sorted(t testing.TB, text string) string {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return inJSON(value)
}

// orders is records of what people have: text in any language, commas, quotes, line breaks, empty strings, long numbers, nested values.
func orders(n int) (records []string) {
	for i := range n {
		records = append(records, []string{
			fmt.Sprintf(`{"order":"A-%d","amount":12.5,"note":"Zürich, \"naïve\"\n 東京 🌸","empty":"","html":"<b>&amp;</b>"}`, i),
			fmt.Sprintf(`{"n":%d,"exact":12345678901234567890123456789012345678,"small":0.015,"list":[1,[true,null],{}],"deep":{"a":{"b":{"c":[]}}}}`, i),
			fmt.Sprintf(`{"n":%d}`, i),
		}[i%3])
	}
	return records
}

// stop stops an execution.
func (d *deployed) stop(t testing.TB, arn string) {
	t.Helper()
	if _, err := d.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatal(err)
	}
	d.wait(t, arn)
}

func listed(records []string) string { return "[" + strings.Join(records, ",") + "]" }

// expectRefused checks that a run fails with this error of a function, whose message has a part.
func (d *deployed) expectRefused(t testing.TB, input, kind, part string) {
	t.Helper()
	out := d.execute(t, input)
	var cause struct{ ErrorMessage string }
	if err := json.Unmarshal([]byte(aws.ToString(out.Cause)), &cause); err != nil || aws.ToString(out.Error) != kind || !strings.Contains(cause.ErrorMessage, part) {
		t.Errorf("%.200s ended with %s %s, want %s with %q", input, aws.ToString(out.Error), aws.ToString(out.Cause), kind, part)
	}
}

// expectEnd checks how a run ended: its output, or its cause.
func (d *deployed) expectEnd(t testing.TB, input, want string) *string {
	t.Helper()
	out := d.execute(t, input)
	if got := aws.ToString(out.Output) + aws.ToString(out.Cause); got != want {
		t.Errorf("%.200s ended with %s %s, want %s", input, aws.ToString(out.Error), got, want)
	}
	return out.ExecutionArn
}

// expectDead checks that these payloads are in the dead-letter queue, as permanent failures of a run, and takes them from there.
func (d *deployed) expectDead(t testing.TB, run *string, name string, payloads []string) {
	t.Helper()
	var got, want []string
	for _, letter := range d.takeAll(t, "DeadLetterQueueUrl") {
		e, err := event.Parse([]byte(*letter.Body), "")
		if err != nil {
			t.Errorf("dead letter %s: %v", *letter.Body, err)
			continue
		}
		got = append(got, sorted(t, string(e.Payload)))
		for attribute, want := range map[string]string{"Error": name, "ExecutionArn": *run, "Permanent": "true"} {
			if got := aws.ToString(letter.MessageAttributes[attribute].StringValue); got != want {
				t.Errorf("attribute %s of a dead letter is %q, want %q", attribute, got, want)
			}
		}
	}
	for _, payload := range payloads {
		want = append(want, sorted(t, payload))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d dead letters are %.1000s, want %.1000s", len(got), inJSON(got), inJSON(want))
	}
}

// twenty is 20 records, and the five of them that a rule refuses.
func twenty() (records, bad []string, rule localaws.Rule) {
	records = orders(20)
	for i := 3; i < 20; i += 4 {
		records[i] = fmt.Sprintf(`{"n":%d,"is":"bad"}`, i)
		bad = append(bad, records[i])
	}
	return records, bad, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"bad"`}
}

// expectFiveOfTwentyDead runs 20 events of which five fail for good, and checks that these are dead after one run, and were tried once.
func (d *deployed) expectFiveOfTwentyDead(t testing.TB) {
	t.Helper()
	records, bad, rule := twenty()
	d.setFaults(t, rule)
	before := d.endpoint.FaultCounts()[localaws.FaultInvalid]
	run := d.expectEnd(t, `{"time":50,"events":`+listed(records)+`}`, "5 of 20 events failed: 0 are in the retry queue, 5 in the dead-letter queue")
	d.expectQueue(t, "RetryQueueUrl", 0, 0)
	d.expectQueue(t, "DeadLetterQueueUrl", 5, 0)
	d.expectEnd(t, onlyRetry, `{"inserted":0,"failed":0}`)
	if tried := d.endpoint.FaultCounts()[localaws.FaultInvalid] - before; tried != 5 {
		t.Errorf("the five bad events were tried %d times, want once each", tried)
	}
	d.setFaults(t)
	d.expectDead(t, run, "ValidationException", bad)
	if rows := d.ownRows(t, "input", 50); len(rows) != 15 {
		t.Errorf("%d of the events are rows, want 15", len(rows))
	}
}

func TestOwnEventsOfAnInlineRun(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	records := orders(30)
	input := `{"time":7,"events":` + listed(records) + `}`
	for range 2 { // the same input with the same time is the same rows
		s.expectEnd(t, input, `{"inserted":30,"failed":0}`)
		s.expectOwnRows(t, "input", 7, records)
	}
	started := s.wait(t, *s.expectEnd(t, `{"events":[{"n":1}]}`, `{"inserted":1,"failed":0}`)).StartDate.Unix()
	s.expectOwnRows(t, "input", started, []string{`{"n":1}`})
	s.expectEnd(t, `{"events":[]}`, `{"inserted":0,"failed":0}`)

	// What fails is parked with its payload, and a later run needs neither the run nor its input.
	s.expectEnd(t, `{"time":8,"failure_rate":1,"events":`+listed(records)+`}`, "30 of 30 events failed and are in the retry queue")
	s.expectQueue(t, "RetryQueueUrl", 30, 0)
	s.expectEnd(t, `{"time":9,"events":`+listed(records[:2])+`}`, `{"inserted":32,"failed":0}`)
	s.expectOwnRows(t, "input", 8, records)
	s.expectOwnRows(t, "input", 9, records[:2])
	s.expectQueue(t, "RetryQueueUrl", 0, 0)

	s.expectFiveOfTwentyDead(t)
	s.expectFilesInline(t)

	s.expectRefused(t, `{"source":{"bucket":"`+bucket+`","key":"carnation/events/a.jsonl"}}`, "InvalidInputError", "MapMode=DISTRIBUTED")
	s.expectRefused(t, `{"start_seq":1,"end_seq":2,"events":[]}`, "InvalidInputError", "start_seq and end_seq, or with events, or with source")
	s.expectRefused(t, `{"events":[{"n":1},7]}`, "RecordError", "record 2 is a number: must be a JSON object")
}

func TestOwnEventsOfADistributedRun(t *testing.T) {
	t.Parallel()
	const events = "carnation-e2e-events"
	c := newCloud(t)
	store := s3.NewFromConfig(c.config, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(events), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{
		LocationConstraint: localaws.Region,
	}}); err != nil {
		t.Fatal(err)
	}
	s := c.newStack(t, "MapMode=DISTRIBUTED", "ShardSize=20", "EventsBucket="+events, "EventsPrefix=mine/")
	put := func(key, content string) {
		t.Helper()
		if _, err := store.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(events), Key: aws.String(key), Body: strings.NewReader(content)}); err != nil {
			t.Fatal(err)
		}
	}
	source := func(key, more string) string {
		return fmt.Sprintf(`{"source":{"bucket":%q,"key":%q%s}`, events, key, more)
	}
	uri := func(key string) string { return "s3://" + events + "/" + key }
	records := orders(45)

	for range 2 {
		run := s.expectEnd(t, `{"time":7,"events":`+listed(records)+`}`, `{"inserted":45,"failed":0}`)
		s.expectOwnRows(t, "input", 7, records)
		if runs := s.mapRuns(t, *run); len(runs) != 1 || runs[0].ItemCounts.Total != 45 || runs[0].ExecutionCounts.Succeeded != 3 {
			t.Errorf("the run had %d Map Runs, want one with 45 records in 3 batches", len(runs))
		}
	}
	s.expectEnd(t, `{"events":[]}`, `{"inserted":0,"failed":0}`)
	s.expectFiveOfTwentyDead(t)

	// Each format, and what a file can have at its ends.
	put("mine/a.jsonl", "\ufeff"+strings.Join(records, "\r\n\r\n"))
	put("mine/a.json", listed(records))
	table, rows := csvOf(t, 45)
	put("mine/ä b.csv", table)
	for _, test := range []struct {
		key, more string
		records   []string
	}{
		{"mine/a.jsonl", ``, records}, {"mine/a.json", `,"format":"JSON"`, records}, {"mine/ä b.csv", `,"format":"CSV"`, rows},
	} {
		for range 2 {
			s.expectEnd(t, source(test.key, test.more)+`,"time":7}`, `{"inserted":45,"failed":0}`)
			s.expectOwnRows(t, uri(test.key), 7, test.records)
		}
	}
	s.expectEnd(t, source("mine/a.jsonl", "")+`,"time":8,"failure_rate":1}`, "45 of 45 events failed and are in the retry queue")
	put("mine/a.jsonl", `{"n":1}`)
	run := s.expectEnd(t, source("mine/a.jsonl", "")+`,"time":9}`, `{"inserted":46,"failed":0}`)
	s.expectOwnRows(t, uri("mine/a.jsonl"), 8, records)
	s.expectOwnRows(t, uri("mine/a.jsonl"), 9, []string{`{"n":1}`})
	if runs := s.mapRuns(t, *run); len(runs) != 2 {
		t.Errorf("the run had %d Map Runs, want one that claims and one of the records", len(runs))
	}

	// Records that are no events are permanent failures, with all that is known of them.
	mixed := orders(20)
	mixed[3], mixed[7], mixed[11], mixed[15], mixed[19] = `7`, `[1]`, `"text"`, `{"long":"`+strings.Repeat("x", event.MaxRecord)+`"}`, `null`
	put("mine/bad.jsonl", strings.Join(mixed, "\n"))
	run = s.expectEnd(t, source("mine/bad.jsonl", "")+`,"time":10}`, "5 of 20 events failed: 0 are in the retry queue, 5 in the dead-letter queue")
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectDead(t, run, "InvalidRecord", []string{`{"invalid_record":"7"}`, `{"invalid_record":"[1]"}`, `{"invalid_record":"\"text\""}`,
		`{"invalid_record":"` + `{\"long\":\"` + strings.Repeat("x", 1000-len(`{"long":"`)) + `"}`, `{"invalid_record":"null"}`})

	s.expectRefused(t, source("other/a.jsonl", "")+`}`, "InvalidInputError", "source.key")
	s.expectRefused(t, `{"source":{"bucket":"`+bucket+`","key":"mine/a.jsonl"}}`, "InvalidInputError", "source.bucket")
	s.expectRefused(t, source("mine/none.jsonl", "")+`}`, "SourceNotFoundError", uri("mine/none.jsonl"))
	s.expectRefused(t, `{"events":[{"n":1},7]}`, "RecordError", "record 2 is a number: must be a JSON object")

	// The run fails, somebody replaces the object, and a redrive goes on.
	failThenReplace := func(key string) string {
		t.Helper()
		put(key, strings.Join(records, "\n"))
		before := s.endpoint.FaultCounts()[localaws.FaultThrottle]
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultThrottle, Operation: "Invoke", Function: "insert-data"})
		arn := s.start(t, source(key, "")+`,"time":11}`)
		waitFor(t, "insert-data to be throttled", func() bool { return s.endpoint.FaultCounts()[localaws.FaultThrottle] > before })
		s.stop(t, arn)
		put(key, strings.Join(slices.Repeat([]string{`{"replaced":true}`}, len(records)), "\n"))
		s.setFaults(t)
		return arn
	}
	out := s.redrive(t, failThenReplace("mine/replaced.jsonl"))
	if aws.ToString(out.Error) != "SourceChangedError" || !strings.Contains(aws.ToString(out.Cause), uri("mine/replaced.jsonl")) {
		t.Errorf("the redrive with another object ended with %s %s, want SourceChangedError", aws.ToString(out.Error), aws.ToString(out.Cause))
	}
	if _, err := store.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String(events),
		VersioningConfiguration: &s3types.VersioningConfiguration{Status: s3types.BucketVersioningStatusEnabled}}); err != nil {
		t.Fatal(err)
	}
	out = s.redrive(t, failThenReplace("mine/versions.jsonl"))
	if got, want := aws.ToString(out.Output), `{"inserted":45,"failed":0}`; got != want {
		t.Errorf("the redrive with a newer version ended with %s %s, want %s", aws.ToString(out.Error), got+aws.ToString(out.Cause), want)
	}
	s.expectOwnRows(t, uri("mine/versions.jsonl"), 11, records)
	s.expectEnd(t, source("mine/versions.jsonl", "")+`,"time":12}`, `{"inserted":45,"failed":0}`)
	s.expectOwnRows(t, uri("mine/versions.jsonl"), 12, slices.Repeat([]string{`{"replaced":true}`}, len(records)))

	s.deleteStack(t, s.name)
	deleteBucket(t, store, events)
}

// csvOf is a table with quoted commas, quotes and line breaks, and its rows as JSON objects.
func csvOf(t testing.TB, n int) (table string, rows []string) {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	header := []string{"order", "straße", "note"}
	lines := [][]string{header}
	for i := range n {
		line := []string{fmt.Sprintf("A-%d", i), []string{"Bahnhofstrasse 1, Zürich", `"quoted"`, ""}[i%3], []string{"two\nlines", "東京", "1.50"}[i%3]}
		lines = append(lines, line)
		ends := strings.NewReplacer("\n", "\r\n") // which the writer makes of each line break, also inside quotes
		rows = append(rows, inJSON(map[string]string{header[0]: line[0], header[1]: line[1], header[2]: ends.Replace(line[2])}))
	}
	if err := w.WriteAll(lines); err != nil {
		t.Fatal(err)
	}
	return b.String(), rows
}

func deleteBucket(t *testing.T, store *s3.Client, name string) {
	t.Helper()
	versions, err := store.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions.Versions {
		if _, err := store.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(name), Key: v.Key, VersionId: v.VersionId}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Error(err)
	}
}
