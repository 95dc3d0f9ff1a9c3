package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// fakeAWS answers the calls of the SDK's clients and records their operations. It replaces their HTTP client, because a
// network connection would stop the clock of a synctest bubble.
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
		Name: "carnation-devl", StateMachineArn: "arn:machine", TableName: "events", RetryQueueURL: "https://sqs/retry", DeadLetterQueueURL: "https://sqs/dead", TopicArn: "arn:topic",
		executions: sfn.New(sfn.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
		table:      dynamodb.New(dynamodb.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
		queues:     sqs.New(sqs.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
		topics:     sns.New(sns.Options{Region: region, Credentials: keys, HTTPClient: f, RetryMaxAttempts: 1}),
	}
}

func (f *fakeAWS) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	target := r.Header.Get("X-Amz-Target")
	if target == "" {
		return f.form(r)
	}
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

// form answers a call of SNS, which is a form. Its answer is the XML in the result.
func (f *fakeAWS) form(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	operation, input := r.Form.Get("Action"), map[string]any{}
	for name := range r.Form {
		input[name] = r.Form.Get(name)
	}
	f.calls = append(f.calls, operation)
	call := f.answer[operation]
	if call == nil {
		f.t.Errorf("unexpected call %s(%v)", operation, input)
		return nil, io.ErrUnexpectedEOF
	}
	output, err := call(input)
	if err != nil {
		return nil, err
	}
	body := fmt.Sprintf("<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", operation, output)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// count is the number of calls of an operation.
func (f *fakeAWS) count(operation string) int {
	n := 0
	for _, call := range f.calls {
		if call == operation {
			n++
		}
	}
	return n
}
