package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const machine = "arn:aws:states:eu-central-2:123456789012:stateMachine:carnation"

// fakeAWS answers over HTTP, as an endpoint does, and counts the calls.
type fakeAWS struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	stacks string // the members of DescribeStacks
	alone  bool   // DescribeStacks needs the name of a stack
	answer map[string]func(input map[string]any) (any, error)
	broken func(operation string) *failure
	calls  map[string]int
}

// failure is an answer that is none.
type failure struct {
	status  int
	code    string
	message string
	hangUp  bool
	page    bool // the answer is HTML, as of an endpoint that does not know the call
}

func (f *failure) Error() string { return f.code }

const completeStack = `<member><StackName>carnation-devl</StackName><StackStatus>UPDATE_COMPLETE</StackStatus><CreationTime>2026-11-26T12:00:00Z</CreationTime>
<Description>Carnation: a state machine that inserts events</Description><Outputs>
<member><OutputKey>StateMachineArn</OutputKey><OutputValue>` + machine + `</OutputValue></member>
<member><OutputKey>TableName</OutputKey><OutputValue>events</OutputValue></member>
<member><OutputKey>RetryQueueUrl</OutputKey><OutputValue>https://sqs/retry</OutputValue></member>
<member><OutputKey>DeadLetterQueueUrl</OutputKey><OutputValue>https://sqs/dead</OutputValue></member>
<member><OutputKey>MapMode</OutputKey><OutputValue>INLINE</OutputValue></member></Outputs></member>`

// newFakeAWS is an AWS with one stack, whose table has no rows, whose queues are empty, and which has had no run.
func newFakeAWS(t *testing.T) *fakeAWS {
	f := &fakeAWS{t: t, stacks: completeStack, answer: map[string]func(map[string]any) (any, error){}, calls: map[string]int{}}
	f.answer["ListExecutions"] = func(map[string]any) (any, error) { return map[string]any{"executions": []any{}}, nil }
	f.answer["Scan"] = func(map[string]any) (any, error) { return map[string]any{"Count": 0}, nil }
	f.answer["GetQueueAttributes"] = func(map[string]any) (any, error) { return counts(0, 0), nil }
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// counts is what SQS says about a queue.
func counts(waiting, inFlight int) any {
	return map[string]any{"Attributes": map[string]string{
		"ApproximateNumberOfMessages": fmt.Sprint(waiting), "ApproximateNumberOfMessagesNotVisible": fmt.Sprint(inFlight), "MessageRetentionPeriod": "1209600", "VisibilityTimeout": "900",
	}}
}

func (f *fakeAWS) config(context.Context) (aws.Config, error) {
	return aws.Config{
		Region: "eu-central-2", BaseEndpoint: aws.String(f.url), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}, nil
}

// set changes how an operation is answered.
func (f *fakeAWS) set(operation string, answer func(map[string]any) (any, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[operation] = answer
}

// fail has operations fail for which it returns a failure.
func (f *fakeAWS) fail(broken func(operation string) *failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

func (f *fakeAWS) setStacks(members string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stacks = members
}

func (f *fakeAWS) count(operation string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[operation]
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has given up
	}
	target := r.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndex(target, ".")+1:]
	form := target == ""
	var input map[string]any
	if form {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ParseForm()
		operation, input = r.Form.Get("Action"), map[string]any{"StackName": r.Form.Get("StackName")}
	} else if err := json.Unmarshal(body, &input); err != nil {
		f.t.Errorf("%s: body: %v", operation, err)
	}
	f.mu.Lock()
	f.calls[operation]++
	broken, answer, members := f.broken, f.answer[operation], f.stacks
	f.mu.Unlock()
	if broken != nil {
		if failed := broken(operation); failed != nil {
			f.refuse(w, form, failed)
			return
		}
	}
	if form {
		if input["StackName"] == "" && f.alone {
			f.refuse(w, true, &failure{status: 403, code: "AccessDenied", message: "not authorized to perform cloudformation:DescribeStacks"})
			return
		}
		if name := input["StackName"]; name != "" && !strings.Contains(members, fmt.Sprintf("<StackName>%s<", name)) {
			f.refuse(w, true, &failure{status: 400, code: "ValidationError", message: fmt.Sprintf("Stack with id %s does not exist", name)})
			return
		}
		fmt.Fprintf(w, `<%[1]sResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><%[1]sResult><Stacks>%s</Stacks></%[1]sResult></%[1]sResponse>`, operation, members)
		return
	}
	if answer == nil {
		f.t.Errorf("unexpected call %s(%v)", operation, input)
		f.refuse(w, false, &failure{status: 400, code: "Unexpected"})
		return
	}
	output, err := answer(input)
	if failed, ok := err.(*failure); ok {
		f.refuse(w, false, failed)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	json.NewEncoder(w).Encode(output)
}

func (f *fakeAWS) refuse(w http.ResponseWriter, form bool, failed *failure) {
	if failed.hangUp {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(failed.status)
	if failed.page {
		fmt.Fprint(w, "<!doctype html><title>Not Implemented</title>")
		return
	}
	if form {
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, failed.code, failed.message)
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"__type": failed.code, "message": failed.message})
}

// startConsole starts a console for this AWS, with a folder for dropped dead letters.
func startConsole(t *testing.T, f *fakeAWS, change ...func(*Options)) *Console {
	t.Helper()
	options := Options{Configuration: f.config, Folder: t.TempDir()}
	for _, one := range change {
		one(&options)
	}
	c, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return c
}

// get asks the console, as its page does, and reads the JSON of the answer.
func get[T any](t *testing.T, c *Console, path string) T {
	t.Helper()
	status, body := send(t, c, http.MethodGet, path, "")
	return decode[T](t, status, body)
}

// post asks for a change, as the page does.
func post[T any](t *testing.T, c *Console, path, body string) T {
	t.Helper()
	status, answer := send(t, c, http.MethodPost, path, body)
	return decode[T](t, status, answer)
}

func decode[T any](t *testing.T, status int, body []byte) (value T) {
	t.Helper()
	if status != http.StatusOK {
		t.Fatalf("status %d, %s, want 200", status, body)
	}
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	return value
}

// refused asks for something that is refused, and returns how.
func refused(t *testing.T, c *Console, method, path, body string) (status int, p problem) {
	t.Helper()
	status, answer := send(t, c, method, path, body)
	var out map[string]problem
	if err := json.Unmarshal(answer, &out); err != nil || status < 400 {
		t.Fatalf("status %d, %s, want an error", status, answer)
	}
	return status, out["error"]
}

func send(t *testing.T, c *Console, method, path, body string, change ...func(*http.Request)) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Origin", c.URL)
		request.Header.Set(tokenHeader, c.token)
	}
	for _, one := range change {
		one(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}
