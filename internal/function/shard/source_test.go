package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// fakeObjects answers each lookup with the same, or fails with a status of HTTP or with another error.
type fakeObjects struct {
	size             int64
	etag, version    string
	status           int
	err              error
	bucket, key, vid string
	calls            int
}

func (f *fakeObjects) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	f.calls++
	f.bucket, f.key, f.vid = aws.ToString(in.Bucket), aws.ToString(in.Key), aws.ToString(in.VersionId)
	if f.status != 0 {
		return nil, &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: f.status}}, Err: errors.New("refused"),
		}}
	}
	if f.err != nil {
		return nil, f.err
	}
	out := &s3.HeadObjectOutput{ContentLength: aws.Int64(f.size), ETag: aws.String(f.etag)}
	if f.version != "" {
		out.VersionId = aws.String(f.version)
	}
	return out, nil
}

func sourceHandler(objects Objects, waits waiting, size int64) *Handler {
	return &Handler{
		Objects: objects, Queue: waits, Logger: silent, Size: size,
		Concurrency: environment.Concurrency{Value: 10}, FailureInjection: true,
	}
}

// sourceRun is the request to plan a run with this input, with where sources may be.
func sourceRun(input string) json.RawMessage {
	return json.RawMessage(strings.TrimSuffix(string(runOf(input)), "}") + `,"sources":{"bucket":"my-bucket","prefix":"events/"}}`)
}

func sourceInput(more string) string {
	return `{"source":{"bucket":"my-bucket","key":"events/a \"b\".csv"` + more + `}}`
}

func TestTheNewestVersionOfASourceIsPinned(t *testing.T) {
	for _, tc := range []struct{ version, input, asked, want string }{
		{"v2", "", "", "v2"},
		{"v1", `,"version_id":"v1"`, "v1", "v1"},
		{"", "", "", ""},
		{"null", "", "", ""}, // of a bucket whose versioning is suspended: the object can be overwritten
	} {
		objects := &fakeObjects{size: 500, etag: `"tag"`, version: tc.version}
		answer, err := sourceHandler(objects, 300, 100).Handle(t.Context(), sourceRun(sourceInput(`,"format":"CSV"`+tc.input)))
		if err != nil {
			t.Fatal(err)
		}
		want := Source{URI: `s3://my-bucket/events/a "b".csv`, Bucket: "my-bucket", Key: `events/a "b".csv`, VersionID: tc.want, ETag: `"tag"`, Format: "CSV", BatchSize: 100}
		if *answer.Source != want || objects.vid != tc.asked || objects.bucket != want.Bucket || objects.key != want.Key {
			t.Errorf("source is %+v after a lookup of version %q, want %+v", *answer.Source, objects.vid, want)
		}
		p := answer.Planned
		if *p.Time != 1795694400 || p.Plan.CurrentTime != 1795694400 || p.Plan.StartSeq != 0 || p.Plan.EndSeq != 0 || len(p.First) != 2 || len(p.Then) != 0 || p.Events != nil {
			t.Errorf("planned %+v, want the start of the execution as its time, and two shards that claim", p)
		}
	}
}

func TestSourcesThatARunMayNotReadAreRefused(t *testing.T) {
	for _, tc := range []struct {
		objects       fakeObjects
		input         string
		kind, wantErr string
	}{
		{fakeObjects{}, `{"source":{"bucket":"other-bucket","key":"events/a"}}`, "*event.InvalidInputError", "source.bucket is other-bucket: must be my-bucket, the stack's EventsBucketName"},
		{fakeObjects{}, `{"source":{"bucket":"my-bucket","key":"event/a"}}`, "*event.InvalidInputError", "source.key is event/a: must be a key that begins with events/, the stack's EventsPrefix"},
		{fakeObjects{status: 404}, sourceInput(""), "*shard.SourceNotFoundError", `source s3://my-bucket/events/a "b".csv does not exist, or plan-shards may not read it: `},
		{fakeObjects{status: 403}, sourceInput(""), "*shard.SourceNotFoundError", `source s3://my-bucket/events/a "b".csv does not exist, or plan-shards may not read it: `},
		{fakeObjects{status: 405}, sourceInput(`,"version_id":"v"`), "*shard.SourceNotFoundError", `source s3://my-bucket/events/a "b".csv does not exist, or plan-shards may not read it: `},
		{fakeObjects{status: 503}, sourceInput(""), "*shard.SourceError", `look up source s3://my-bucket/events/a "b".csv: `},
		{fakeObjects{err: errors.New("connection refused")}, sourceInput(""), "*shard.SourceError", `look up source s3://my-bucket/events/a "b".csv: connection refused`},
		{fakeObjects{size: 1_200_000_001}, sourceInput(""), "*shard.SourceTooLargeError",
			`source s3://my-bucket/events/a "b".csv has 1200000001 bytes: one run reads at most 1200000000 bytes of this format; split it into several objects`},
		{fakeObjects{size: 300_000_001}, sourceInput(`,"format":"CSV"`), "*shard.SourceTooLargeError",
			`source s3://my-bucket/events/a "b".csv has 300000001 bytes: one run reads at most 300000000 bytes of this format; split it into several objects`},
		{fakeObjects{size: 1_200_000_000}, sourceInput(""), "<nil>", "<nil>"},
		{fakeObjects{size: 300_000_000}, sourceInput(`,"format":"CSV"`), "<nil>", "<nil>"},
		{fakeObjects{size: 0}, sourceInput(`,"format":"JSON"`), "<nil>", "<nil>"},
	} {
		_, err := sourceHandler(&tc.objects, 0, 1000).Handle(t.Context(), sourceRun(tc.input))
		if fmt.Sprintf("%T", err) != tc.kind || !strings.HasPrefix(fmt.Sprint(err), tc.wantErr) {
			t.Errorf("Handle(%s) error = %T %v, want %s %s", tc.input, err, err, tc.kind, tc.wantErr)
		}
	}
}

func TestPlanRunMustSayWhereSourcesMayBe(t *testing.T) {
	for _, tc := range []struct{ sources, want string }{
		{``, "sources is missing: must be a JSON object with the fields bucket, prefix"},
		{`,"sources":{}`, "sources.bucket is missing: must be the name of the bucket of all sources"},
		{`,"sources":{"bucket":"b","prefix":""}`, `sources.prefix is "": must be how the keys of all sources begin`},
	} {
		request := strings.TrimSuffix(string(runOf(sourceInput(""))), "}") + tc.sources + "}"
		_, err := sourceHandler(&fakeObjects{}, 0, 1000).Handle(t.Context(), json.RawMessage(request))
		if _, ok := errors.AsType[*event.InvalidInputError](err); !ok || err.Error() != tc.want {
			t.Errorf("Handle(%s) error = %v, want %s", request, err, tc.want)
		}
	}
}

// batchesOf is the number of batches that Step Functions makes of records of these sizes, as JSON.
func batchesOf(size int64, records func(yield func(int64, int64) bool)) (batches int64) {
	const most = 258_000 - 3_000 // what a batch says about its run
	for bytes, n := range records {
		perBatch := min(size, most/(bytes+recordOverhead))
		batches += ceil(n, perBatch)
	}
	return batches
}

// However a source is made up, its batches have a place in the state.
func TestEverySourceHasFewEnoughBatches(t *testing.T) {
	for _, bytes := range []int64{0, 1, 1000, 60_000, 17_000_000, 100_000_000, 400_000_000, MaxSourceBytes} {
		for _, size := range []int64{1, 100, 1000} {
			batch := sourceBatch(size, bytes, 1)
			if batch < size || batch > event.MaxShardSize {
				t.Errorf("a batch of a source of %d bytes has %d records, want %d to %d", bytes, batch, size, event.MaxShardSize)
			}
			for _, large := range []int64{100, 236, 1000, 10_000, event.MaxRecord} { // some records have this size, the others are as small as possible
				for _, share := range []float64{0, 0.5, 0.9, 1} {
					n := int64(float64(bytes)*share) / large
					small := min(event.MaxEvents-min(n, event.MaxEvents), bytes-n*large)
					n = min(n, event.MaxEvents)
					got := batchesOf(batch, func(yield func(int64, int64) bool) {
						_ = yield(large, n) && yield(1, small)
					})
					if got > maxBatches {
						t.Errorf("%d bytes with %d records of %d bytes and %d of one: %d batches of up to %d, want at most %d", bytes, n, large, small, got, batch, maxBatches)
					}
				}
			}
		}
	}
}

func TestTheRecordsOfTheInputAreCheckedAndCounted(t *testing.T) {
	list := func(n int, record string) string {
		return `{"time":7,"events":[` + strings.TrimSuffix(strings.Repeat(record+",", n), ",") + `]}`
	}
	full := `{"a":"` + strings.Repeat("x", MaxEventBytes/16-len(`{"a":""},`)) + `"}`
	for _, tc := range []struct {
		size  int64
		input string
		want  Records
		err   string
	}{
		{1000, list(0, ``), Records{0, 1000}, ""},
		{1000, list(3, `{}`), Records{3, 1000}, ""},
		{1, list(3, `{}`), Records{3, 1}, ""},
		{1, list(501, ` { "a" : 1 } `), Records{501, 2}, ""},
		{1, list(79_189, `{}`), Records{79_189, 159}, ""},
		{1000, list(16, full), Records{16, 1000}, ""},
		{1000, list(16, full[:len(full)-2]+`x"}`), Records{},
			"*event.EventsTooLargeError events has 16 records, which take 237,584 bytes of the run's state: one run takes at most 237,568 bytes; split them into several runs, or read them from S3 with source"},
		{1000, `{"events":[{},{},[]]}`, Records{}, "*event.RecordError record 3 is a list: must be a JSON object"},
		{1000, `{"events":[{"secret":1,"secret":2}]}`, Records{}, "*event.RecordError record 1 has a field twice in one object: must have it once"},
	} {
		answer, err := sourceHandler(nil, 0, tc.size).Handle(t.Context(), runOf(tc.input))
		if tc.err != "" {
			if got := fmt.Sprintf("%T %v", err, err); got != tc.err {
				t.Errorf("Handle(%.60s) error = %s, want %s", tc.input, got, tc.err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("Handle(%.60s): %v", tc.input, err)
		}
		claimers := 0
		if tc.want.Records == 0 {
			claimers = 1 // a run without events only retries
		}
		if p := answer.Planned; *p.Events != tc.want || *p.Time != 7 || p.Source != nil || p.First == nil || len(p.First) != claimers || len(p.Then) != 0 {
			t.Errorf("Handle(%.60s) = %+v, events %+v, want %+v", tc.input, p, *p.Events, tc.want)
		}
	}
}

func TestOutcomeAddsUpBatches(t *testing.T) {
	input, err := json.Marshal(runOf(`{"events":[{},{},{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := sourceHandler(nil, 201, 2).Handle(t.Context(), input) // two shards that claim
	if err != nil {
		t.Fatal(err)
	}
	const pinned = `,"source":{"uri":"s3://my-bucket/events/a","bucket":"my-bucket","key":"events/a","version_id":"v","etag":"e","format":"JSONL","batch_size":2}`
	unpinned := strings.Replace(pinned, `"version_id":"v",`, "", 1)
	suspended := strings.Replace(pinned, `"v"`, `"null"`, 1)
	for _, tc := range []struct {
		results, more, want string
		objects             fakeObjects
		lookups             int
	}{
		{results: `{"first":[[3,1,0],[0,0,1]],"last":[[2,0,0],[0,1,0]]}`, more: `,"records":3`, want: `{"inserted":5,"failed":3,"returned":2,"dead":1} <nil>`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[]}`, more: `,"records":0`, want: `{"inserted":0,"failed":0,"returned":0,"dead":0} <nil>`},
		{results: `{"first":[[3,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: `,"records":3`, want: `null the shards account for 2 of 3 events`},
		{results: `{"first":[[0,0,0]],"last":[[2,0,0],[1,0,0]]}`, more: `,"records":3`,
			want: `null results is {"first":[[0,0,0]],"last":[[2,0,0],[1,0,0]]}: must be lists of [inserted, returned, dead], the first one for 2 shards`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: `,"records":10000001`, want: `null records is 10000001: must be an integer from 0 to 10000000`},
		{results: `{"first":[[0,0,0],[0,0,0]]}`, more: pinned,
			want: `null results is {"first":[[0,0,0],[0,0,0]]}: must be lists of [inserted, returned, dead], the first one for 2 shards`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":null}`, more: pinned,
			want: `null results is {"first":[[0,0,0],[0,0,0]],"last":null}: must be lists of [inserted, returned, dead], the first one for 2 shards`},
		{results: `{"first":[[3,1,0],[0,0,0]],"last":[[2,0,0],[2,0,0],[0,0,1]]}`, more: pinned, want: `{"inserted":7,"failed":2,"returned":1,"dead":1} <nil>`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[]}`, more: pinned, want: `{"inserted":0,"failed":0,"returned":0,"dead":0} <nil>`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[10000000,0,0]]}`, more: pinned, want: `{"inserted":10000000,"failed":0,"returned":0,"dead":0} <nil>`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[10000000,0,0],[0,0,1]]}`, more: pinned,
			want: `null source s3://my-bucket/events/a has more than 10000000 records, the most of one run: the first 10000001 were processed, so start a run with those after them`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: unpinned, objects: fakeObjects{etag: "e"}, lookups: 1, want: `{"inserted":2,"failed":0,"returned":0,"dead":0} <nil>`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: unpinned, objects: fakeObjects{etag: "f"}, lookups: 1, want: `null source s3://my-bucket/events/a has changed during the run`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: suspended, objects: fakeObjects{etag: "f"}, lookups: 1, want: `null source s3://my-bucket/events/a has changed during the run`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: unpinned, objects: fakeObjects{status: 404}, lookups: 1, want: `null source s3://my-bucket/events/a has changed during the run`},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[[2,0,0]]}`, more: unpinned, objects: fakeObjects{status: 503}, lookups: 1, want: `null look up source s3://my-bucket/events/a: `},
		{results: `{"first":[[0,0,0],[0,0,0]],"last":[]}`, more: `,"source":{"bucket":"my-bucket"}`, want: `null source is {"bucket":"my-bucket"}: must be the source that PlanRun has answered`},
	} {
		request := fmt.Sprintf(`{"operation":"AddUpShards","plan":%s,"results":%s%s}`, marshalled(t, answer.Plan), tc.results, tc.more)
		outcome, err := sourceHandler(&tc.objects, 0, 2).Handle(t.Context(), json.RawMessage(request))
		if got := fmt.Sprintf("%s %v", marshalled(t, outcome), err); !strings.HasPrefix(got, tc.want) || tc.objects.calls != tc.lookups {
			t.Errorf("outcome of %s%s = %s after %d lookups, want %s after %d", tc.results, tc.more, got, tc.objects.calls, tc.want, tc.lookups)
		}
	}
}

func marshalled(t *testing.T, value any) []byte {
	t.Helper()
	data, err := event.Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The largest runs over records have as many batches as possible, with results as long as possible, and many failed events.
func TestResultsOfBatchesFitTheState(t *testing.T) {
	results := func(n int, each int) (list [][3]int) {
		for range n {
			list = append(list, [3]int{each, each, each})
		}
		return list
	}
	source := Source{Bucket: strings.Repeat("b", 63), Key: strings.Repeat(`"`, 1024), VersionID: strings.Repeat("v", 1024), ETag: `"` + strings.Repeat("e", 40) + `"`, Format: event.JSONL, BatchSize: 1000}
	source.URI = event.Source{Bucket: source.Bucket, Key: source.Key}.URI()
	for name, tc := range map[string]struct {
		input   string
		batches int
		result  int // each of the three numbers of a batch
		more    map[string]any
	}{
		"source": {sourceInput(""), maxBatches, 333, map[string]any{"source": source}},
		"events": {`{"events":[` + strings.TrimSuffix(strings.Repeat(`{"x":"`+strings.Repeat("x", 991)+`"},`, MaxEventBytes/1000), ",") + `]}`, maxEventBatches + 4, 333, map[string]any{"records": 10_000_000}},
	} {
		answer, err := sourceHandler(&fakeObjects{etag: "e"}, 10_000_000, 1).Handle(t.Context(), sourceRun(tc.input))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		request := map[string]any{"operation": AddUpShards, "plan": answer.Plan, "results": map[string]any{"first": results(500, 66), "last": results(tc.batches, tc.result)}}
		state := map[string]any{"input": json.RawMessage(tc.input), "shards": answer.First, "then": answer.Then, "max_concurrency": 10_000}
		for field, value := range tc.more {
			request[field] = value
		}
		for field, value := range request {
			state[field] = value
		}
		run := "arn:aws-us-gov:states:us-gov-west-1:123456789012:execution:" + strings.Repeat("m", 80) + ":" + strings.Repeat("e", 80)
		call := map[string]any{
			"FunctionName":  "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:" + strings.Repeat("f", 64),
			"ClientContext": []byte(`{"custom":{"executionArn":"` + run + `"}}`),
			"Payload":       request,
		}
		for what, value := range map[string]any{"the state": state, "the call of plan-shards": call} {
			if size := len(marshalled(t, value)); size > stateLimit {
				t.Errorf("%s: %s has %d bytes, want at most %d", name, what, size, stateLimit)
			} else {
				t.Logf("%s: %s has %d bytes", name, what, size)
			}
		}
	}
}
