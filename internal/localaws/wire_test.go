package localaws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// faultyServices are the services that the SDK calls, in Carnation and in its tests, each with a call and with the codes that clients know its errors by.
var faultyServices = []struct {
	service                        string
	throttled, failed, unavailable string
	call                           func(context.Context, aws.Config) error
}{
	{"cloudformation", "Throttling", "InternalFailure", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := cloudformation.NewFromConfig(c).ListStacks(ctx, &cloudformation.ListStacksInput{})
		return err
	}},
	{"monitoring", "Throttling", "InternalServiceError", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := cloudwatch.NewFromConfig(c).DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{})
		return err
	}},
	{"dynamodb", "ProvisionedThroughputExceededException", "InternalServerError", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := dynamodb.NewFromConfig(c).ListTables(ctx, &dynamodb.ListTablesInput{})
		return err
	}},
	{"lambda", "TooManyRequestsException", "ServiceException", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := lambda.NewFromConfig(c).ListFunctions(ctx, &lambda.ListFunctionsInput{})
		return err
	}},
	{"logs", "ThrottlingException", "InternalServerException", "ServiceUnavailableException", func(ctx context.Context, c aws.Config) error {
		_, err := cloudwatchlogs.NewFromConfig(c).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
		return err
	}},
	{"sns", "Throttling", "InternalError", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := sns.NewFromConfig(c).ListTopics(ctx, &sns.ListTopicsInput{})
		return err
	}},
	{"sqs", "RequestThrottled", "InternalError", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := sqs.NewFromConfig(c).ListQueues(ctx, &sqs.ListQueuesInput{})
		return err
	}},
	{"states", "ThrottlingException", "InternalFailure", "ServiceUnavailable", func(ctx context.Context, c aws.Config) error {
		_, err := sfn.NewFromConfig(c).ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
		return err
	}},
}

// internal/e2e has such a test for the aws command.
func TestClientsUnderstandFaultsAndTryAgain(t *testing.T) {
	t.Parallel()
	l := startLaptop(t)
	attempts := func(n int) aws.Config {
		return aws.Config{
			BaseEndpoint: aws.String(l.URL), Region: Region, Credentials: credentials.NewStaticCredentialsProvider("test", "local", ""),
			Retryer: func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = n, time.Millisecond })
			},
		}
	}
	faultOnce := func(fault, service string) {
		t.Helper()
		if err := l.SetFaults(Faults{Rules: []Rule{{Fault: fault, Service: service, Times: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range faultyServices {
		for fault, code := range map[string]string{FaultThrottle: s.throttled, FaultError: s.failed, FaultUnavailable: s.unavailable} {
			faultOnce(fault, s.service)
			var api smithy.APIError
			if err := s.call(t.Context(), attempts(1)); !errors.As(err, &api) || api.ErrorCode() != code {
				t.Errorf("%s of %s: %v, want %s", fault, s.service, err, code)
			}
			before := l.FaultCounts()[fault]
			faultOnce(fault, s.service)
			if err := s.call(t.Context(), attempts(2)); err != nil {
				t.Errorf("%s of %s, with a second attempt: %v", fault, s.service, err)
			}
			if l.FaultCounts()[fault] != before+1 {
				t.Errorf("%s of %s did not happen", fault, s.service)
			}
		}
	}

	t.Run("uploads", func(t *testing.T) { uploads(t, l) })
}

func TestErrorsInProtocolsOfNoClientHere(t *testing.T) {
	t.Parallel()
	e := errorsOf("monitoring")
	server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { writeError(w, r, "monitoring", e.throttled) })
	for _, test := range []struct {
		method string
		header map[string]string
		want   string
	}{
		{"POST", map[string]string{"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData", "Content-Type": "application/x-amz-json-1.0"},
			`{"__type":"GraniteServiceVersion20100801#Throttling","message":"Rate exceeded"}`},
		{"HEAD", nil, ""},
	} {
		request, answer := newRequest(t, test.method, "/", test.header), httptest.NewRecorder()
		server(answer, request)
		if got := answer.Body.String(); got != test.want || answer.Code != e.throttled.status {
			t.Errorf("%v: %d %q, want %q", test.header, answer.Code, got, test.want)
		}
	}
}

// uploads puts objects whose bytes or whose type could be taken for something else, to presigned URLs.
func uploads(t *testing.T, l *laptop) {
	if err := l.SetFaults(Faults{}); err != nil {
		t.Fatal(err)
	}
	l.stack(t, "uploads", "{Resources: {Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: uploads}}}}")
	presigned := func(method, path string) string {
		request := newRequest(t, method, l.URL+path+"?X-Amz-Expires=600", nil)
		keys := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "local"}
		url, _, err := v4.NewSigner().PresignHTTP(t.Context(), keys, request, "UNSIGNED-PAYLOAD", "s3", Region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	every := make([]byte, 0, 256*1024)
	for range 1024 {
		for i := range 256 {
			every = append(every, byte(i))
		}
	}
	for i, test := range []struct{ kind, body string }{
		{form, `{"x":1}`},
		{form, string(every)},
		{form, "key=value&file=other"},
		{form, "Action=SendMessage&Version=2012-11-05&MessageBody=m"},
		{form, "100%, and a semicolon; in a PUT"},
		{form, ""},
		{form + "; charset=utf-8", "é"},
		{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nfield\r\n--x--\r\n"},
		{"application/json", `{"x":1}`},
		{"", "no type"},
	} {
		path := "/uploads/object" + string(rune('a'+i))
		for _, how := range []string{"presigned", "signed"} {
			request := newRequest(t, http.MethodPut, presigned(http.MethodPut, path), map[string]string{"Content-Type": test.kind})
			if how == "signed" {
				request = newRequest(t, http.MethodPut, l.URL+path, map[string]string{"Content-Type": test.kind, "Authorization": strings.Replace(signedBy, "SERVICE", "s3", 1)})
			}
			request.Body, request.ContentLength = io.NopCloser(bytes.NewReader([]byte(test.body))), int64(len(test.body))
			put, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			put.Body.Close()
			got, err := http.Get(presigned(http.MethodGet, path))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			got.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if put.StatusCode != http.StatusOK || string(body) != test.body {
				t.Errorf("a %s PUT of %d bytes %.40q as %q: %s, and the object has %d bytes %.40q", how, len(test.body), test.body, test.kind, put.Status, len(body), body)
			}
			if kind := got.Header.Get("Content-Type"); test.kind != "" && kind != test.kind {
				t.Errorf("an object that was put as %q is of the type %q", test.kind, kind)
			}
		}
	}
	if curl, err := exec.LookPath("curl"); err == nil { // macOS and most Linux systems have it
		if out, err := exec.CommandContext(t.Context(), curl, "--silent", "--show-error", "--fail", "-X", "PUT", "--data-binary", `{"x":1}`, presigned("PUT", "/uploads/curl")).CombinedOutput(); err != nil {
			t.Fatalf("curl: %v\n%s", err, out)
		}
		out, err := exec.CommandContext(t.Context(), curl, "--silent", presigned("GET", "/uploads/curl")).Output()
		if err != nil || string(out) != `{"x":1}` {
			t.Errorf("the object that curl put is %q (%v)", out, err)
		}
	}
}

// newRequest makes a request with headers.
func newRequest(t *testing.T, method, url string, header map[string]string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	return request
}
