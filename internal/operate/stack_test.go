package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
)

// fakeAWS answers the calls of the SDK's own clients, by operation, and records them. It stands in for the network, so
// that it works in the time of a synctest bubble.
type fakeAWS struct {
	t      *testing.T
	answer map[string]func(input map[string]any) (any, error)

	mu    sync.Mutex
	calls []string
}

func newFakeAWS(t *testing.T) (*fakeAWS, *Stack) {
	f := &fakeAWS{t: t, answer: map[string]func(map[string]any) (any, error){}}
	keys := credentials.NewStaticCredentialsProvider("key", "secret", "")
	const region = "eu-central-2"
	return f, &Stack{
		Name: "carnation-devl", StateMachineArn: "arn:machine", TableName: "events", RetryQueueURL: "https://sqs/retry", DeadLetterQueueURL: "https://sqs/dead",
		executions: sfn.New(sfn.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
		table:      dynamodb.New(dynamodb.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
		queues:     sqs.New(sqs.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
	}
}

func (f *fakeAWS) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	target := r.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndex(target, ".")+1:]
	f.calls = append(f.calls, operation)
	var input map[string]any
	if err := json.NewDecoder(r.Body).Decode(&input); err != nil {
		f.t.Errorf("%s: body: %v", operation, err)
	}
	status, answer := http.StatusOK, any(nil)
	if call := f.answer[operation]; call == nil {
		f.t.Errorf("unexpected call %s(%v)", operation, input)
		status = http.StatusBadRequest
	} else if output, err := call(input); err != nil {
		status, answer = http.StatusBadRequest, map[string]string{"__type": err.Error(), "message": "refused"}
	} else {
		answer = output
	}
	body, err := json.Marshal(answer)
	if err != nil {
		f.t.Errorf("%s: answer: %v", operation, err)
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}

// count is how often an operation was called.
func (f *fakeAWS) count(operation string) int {
	n := 0
	for _, call := range f.calls {
		if call == operation {
			n++
		}
	}
	return n
}

// holding answers for the queues with what they hold, one of the list after the other, the last one again and again.
func (f *fakeAWS) holding(list ...Queues) {
	f.answer["GetQueueAttributes"] = func(input map[string]any) (any, error) {
		now := list[0]
		attributes := map[string]string{}
		for _, name := range input["AttributeNames"].([]any) {
			switch {
			case input["QueueUrl"] == "https://sqs/dead":
				attributes[name.(string)] = fmt.Sprint(now.DeadLetter)
			case name == "ApproximateNumberOfMessages":
				attributes[name.(string)] = fmt.Sprint(now.Retry)
			default:
				attributes[name.(string)] = fmt.Sprint(now.InFlight)
			}
		}
		if input["QueueUrl"] == "https://sqs/dead" && len(list) > 1 { // asked last
			list = list[1:]
		}
		return map[string]any{"Attributes": attributes}, nil
	}
}

func TestQueuesCountsBothQueues(t *testing.T) {
	f, s := newFakeAWS(t)
	want := Queues{Retry: 3, InFlight: 2, DeadLetter: 1}
	f.holding(want)
	if got, err := s.Queues(t.Context()); got != want || err != nil {
		t.Errorf("Queues() = %+v, %v, want %+v", got, err, want)
	}
}

func TestQueuesSaysWhichQueueCannotBeCounted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(map[string]any) (any, error)
		want   []string
	}{
		{"refused", func(map[string]any) (any, error) { return nil, fmt.Errorf("AccessDenied") }, []string{"count messages of https://sqs/retry: ", "AccessDenied"}},
		{"no figure", func(map[string]any) (any, error) {
			return map[string]any{"Attributes": map[string]string{"ApproximateNumberOfMessages": "many"}}, nil
		}, []string{`count messages of https://sqs/retry: ApproximateNumberOfMessages is "many"`}},
	} {
		f, s := newFakeAWS(t)
		f.answer["GetQueueAttributes"] = tc.answer
		_, err := s.Queues(t.Context())
		for _, want := range tc.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: Queues() error = %v, want %s", tc.name, err, want)
			}
		}
	}
}

func TestStatusCountsEveryRowOnce(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{Retry: 3, InFlight: 2, DeadLetter: 1})
	// Each segment has three pages: 10, 20 and 30 rows, and one more for each segment's number.
	f.answer["Scan"] = func(input map[string]any) (any, error) {
		if input["TableName"] != "events" || input["Select"] != "COUNT" || input["TotalSegments"] != float64(scanSegments) || input["ConsistentRead"] != true {
			return nil, fmt.Errorf("ValidationException: %v", input)
		}
		page := 0
		if key, ok := input["ExclusiveStartKey"].(map[string]any); ok {
			if _, err := fmt.Sscan(key["sequenceNo"].(map[string]any)["N"].(string), &page); err != nil {
				return nil, err
			}
		}
		out := map[string]any{"Count": (page+1)*10 + int(input["Segment"].(float64))}
		if page < 2 {
			out["LastEvaluatedKey"] = map[string]any{"sequenceNo": map[string]any{"N": fmt.Sprint(page + 1)}}
		}
		return out, nil
	}
	f.answer["ListExecutions"] = func(input map[string]any) (any, error) {
		if input["stateMachineArn"] != "arn:machine" || input["maxResults"] != 2.0 {
			return nil, fmt.Errorf("ValidationException: %v", input)
		}
		return map[string]any{"executions": []map[string]any{
			{"name": "b", "status": "RUNNING", "startDate": 1795416900},
			{"name": "a", "status": "FAILED", "startDate": 1795416800, "stopDate": 1795416810.5},
		}}, nil
	}
	got, err := s.Status(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := 4*(10+20+30) + 3*(0+1+2+3); got.Table != want {
		t.Errorf("Status() table = %d, want %d", got.Table, want)
	}
	stopped := time.UnixMilli(1795416810500).UTC()
	want := []Execution{{"b", "RUNNING", time.Unix(1795416900, 0).UTC(), nil, nil}, {"a", "FAILED", time.Unix(1795416800, 0).UTC(), &stopped, nil}}
	if !reflect.DeepEqual(got.Executions, want) {
		t.Errorf("Status() executions = %+v, want %+v", got.Executions, want)
	}
}

func TestStatusNamesTheTableThatCannotBeRead(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{})
	f.answer["Scan"] = func(map[string]any) (any, error) { return nil, fmt.Errorf("AccessDeniedException") }
	_, err := s.Status(t.Context(), 2)
	if got := fmt.Sprint(err); !strings.HasPrefix(got, "count rows of events: ") || !strings.Contains(got, "AccessDeniedException") {
		t.Errorf("Status() error = %v, want count rows of events: ... AccessDeniedException", err)
	}
}

// Scripts read these names, so they only ever get more.
func TestJSONShapes(t *testing.T) {
	stopped := time.Unix(1795416810, 0).UTC()
	for _, tc := range []struct {
		value any
		want  string
	}{
		{event.Run{StartSeq: 1, EndSeq: 21}, `{"start_seq":1,"end_seq":21,"failure_rate":0}`},
		{event.Run{StartSeq: 1, EndSeq: 21, FailureRate: 0.5}, `{"start_seq":1,"end_seq":21,"failure_rate":0.5}`},
		{Queues{1, 2, 3}, `{"retry_queue":1,"in_flight":2,"dead_letter_queue":3}`},
		{Status{"carnation-devl", 60, Queues{1, 2, 3}, []Execution{}},
			`{"stack":"carnation-devl","table":60,"retry_queue":1,"in_flight":2,"dead_letter_queue":3,"executions":[]}`},
		{Execution{"a", "RUNNING", time.Unix(1795416800, 0).UTC(), nil, nil}, `{"name":"a","status":"RUNNING","started":"2026-11-23T06:53:20Z"}`},
		{Execution{"a", "RUNNING", time.Unix(1795416800, 0).UTC(), nil, &Shards{5, 3, 1}},
			`{"name":"a","status":"RUNNING","started":"2026-11-23T06:53:20Z","shards":{"total":5,"done":3,"failed":1}}`},
		{Execution{"a", "FAILED", time.Unix(1795416800, 0).UTC(), &stopped, nil},
			`{"name":"a","status":"FAILED","started":"2026-11-23T06:53:20Z","stopped":"2026-11-23T06:53:30Z"}`},
		{Run{Name: "a", Arn: "arn:a", Status: "SUCCEEDED", Generated: 20, Claimed: 3, Inserted: 23, Seconds: 1.5},
			`{"name":"a","arn":"arn:a","status":"SUCCEEDED","generated":20,"claimed":3,"inserted":23,"failed":0,"seconds":1.5}`},
		{Run{Name: "a", Arn: "arn:a", Status: "FAILED", Failed: 1, Error: "Carnation.EventsFailed", Cause: "1 of 1"},
			`{"name":"a","arn":"arn:a","status":"FAILED","generated":0,"claimed":0,"inserted":0,"failed":1,"error":"Carnation.EventsFailed","cause":"1 of 1","seconds":0}`},
	} {
		got, err := json.Marshal(tc.value)
		if string(got) != tc.want || err != nil {
			t.Errorf("json.Marshal(%T) = %s, %v, want %s", tc.value, got, err, tc.want)
		}
	}
}

func TestOpenWithoutARegionSaysWhatToSet(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "/dev/null")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	_, err := Open(t.Context(), "carnation-devl")
	if want := "AWS region is missing: set AWS_REGION, or a region in your profile"; fmt.Sprint(err) != want {
		t.Errorf("Open() error = %v, want %s", err, want)
	}
}
