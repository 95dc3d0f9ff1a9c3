package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// load is the configuration of the AWS clients, with changes of the environment.
func load(t *testing.T, changes map[string]string) aws.Config {
	t.Helper()
	setEnvironment(t, changes)
	settings, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return settings.AWS
}

// update and receive are calls of the two services.
func update(ctx context.Context, cfg aws.Config) error {
	_, err := dynamodb.NewFromConfig(cfg).UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String("events"), Key: map[string]dynamodbtypes.AttributeValue{"sequenceNo": &dynamodbtypes.AttributeValueMemberN{Value: "7"}},
	})
	return err
}

func receive(ctx context.Context, cfg aws.Config) error {
	_, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String("https://sqs/retry")})
	return err
}

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// count answers every request, and counts them.
func count(requests *int, answer func() (*http.Response, error)) smithyhttp.ClientDoFunc {
	return func(r *http.Request) (*http.Response, error) {
		*requests++
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		return answer()
	}
}

func TestCallsAreSignedWithTheCredentialsOfTheFunctionsRole(t *testing.T) {
	cfg := load(t, nil)
	var scopes []string
	cfg.HTTPClient = smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		scope, _, _ = strings.Cut(scope, ",")
		parts := strings.Split(scope, "/")
		scopes = append(scopes, fmt.Sprint(parts[0], " ", parts[2:], " ", r.Header.Get("X-Amz-Security-Token")))
		return answer(200, "{}"), nil
	})
	if err := errors.Join(update(t.Context(), cfg), receive(t.Context(), cfg)); err != nil {
		t.Fatal(err)
	}
	want := "key [eu-central-2 dynamodb aws4_request] token, key [eu-central-2 sqs aws4_request] token"
	if got := strings.Join(scopes, ", "); got != want {
		t.Errorf("credentials, scopes and tokens are %s, want %s", got, want)
	}
}

func TestServicesAreCalledInTheFunctionsRegionOrOnLocalAWS(t *testing.T) {
	for _, tc := range []struct{ region, endpoint, want string }{
		{"eu-central-2", "", "https://dynamodb.eu-central-2.amazonaws.com/ https://sqs.eu-central-2.amazonaws.com/"},
		{"cn-north-1", "", "https://dynamodb.cn-north-1.amazonaws.com.cn/ https://sqs.cn-north-1.amazonaws.com.cn/"},
		{"us-gov-west-1", "", "https://dynamodb.us-gov-west-1.amazonaws.com/ https://sqs.us-gov-west-1.amazonaws.com/"},
		{"eu-central-2", "http://127.0.0.1:4566", "http://127.0.0.1:4566/ http://127.0.0.1:4566/"},
	} {
		cfg := load(t, map[string]string{"AWS_REGION": tc.region, "AWS_ENDPOINT_URL": tc.endpoint})
		var urls []string
		cfg.HTTPClient = smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
			urls = append(urls, r.URL.String())
			return answer(200, "{}"), nil
		})
		if err := errors.Join(update(t.Context(), cfg), receive(t.Context(), cfg)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(urls, " "); got != tc.want {
			t.Errorf("in %s, with AWS_ENDPOINT_URL %q: requests to %s, want %s", tc.region, tc.endpoint, got, tc.want)
		}
	}
}

func TestOneAttemptOfACallMayTakeFiveSeconds(t *testing.T) {
	if client := load(t, nil).HTTPClient.(*awshttp.BuildableClient); client.GetTimeout() != 5*time.Second {
		t.Errorf("an attempt may take %s, want 5s", client.GetTimeout())
	}
}

// By default, the clients of the SDK share a quota of retries: after about a hundred retries, the other calls would get none.
func TestEveryCallIsTriedFiveTimesHoweverManyFail(t *testing.T) {
	for name, call := range map[string]func(context.Context, aws.Config) error{"UpdateItem": update, "ReceiveMessage": receive} {
		synctest.Test(t, func(t *testing.T) {
			cfg := load(t, nil)
			requests := 0
			cfg.HTTPClient = count(&requests, func() (*http.Response, error) { return answer(500, `{"__type":"InternalServerError"}`), nil })
			retryer := cfg.Retryer()
			cfg.Retryer = func() aws.Retryer { return retryer } // one for all calls, as in a client
			for n := 1; n <= 150; n++ {
				start := time.Now()
				err := call(t.Context(), cfg)
				if err == nil || requests != 5*n {
					t.Fatalf("%s: %d calls that fail make %d requests, %v, want 5 for each, and the error", name, n, requests, err)
				}
				if took := time.Since(start); took < 6*time.Second || took > 8*time.Second {
					t.Fatalf("%s: the delays of a call are %s in total, want 6 to 8 s", name, took)
				}
			}
		})
	}
}

func TestACallThatSucceedsInTheEndSucceeds(t *testing.T) {
	reset := func() (*http.Response, error) { return nil, errors.New("connection reset by peer") }
	refuse := func(status int, body string, header ...string) func() (*http.Response, error) {
		return func() (*http.Response, error) { return answer(status, body, header...), nil }
	}
	cutOff := func() (*http.Response, error) {
		response := answer(500, "")
		response.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"half":`), iotest.ErrReader(io.ErrUnexpectedEOF)))
		return response, nil
	}
	for _, tc := range []struct {
		name  string
		call  func(context.Context, aws.Config) error
		fails func() (*http.Response, error)
		again bool
	}{
		{"throttled", update, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}`), true},
		{"over capacity", update, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}`), true},
		{"over the request limit", update, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#RequestLimitExceeded"}`), true},
		{"internal error", update, refuse(500, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}`), true},
		{"not available", update, refuse(503, ``), true},
		{"connection reset", update, reset, true},
		{"cut off", update, cutOff, true},
		{"condition failed", update, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}`), false},
		{"denied", update, refuse(400, `{"__type":"com.amazon.coral.service#AccessDeniedException"}`), false},
		{"no table", update, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`), false},
		{"SQS throttled", receive, refuse(400, `{"__type":"com.amazonaws.sqs#RequestThrottled"}`, "X-Amzn-Query-Error", "RequestThrottled;Sender"), true},
		{"KMS throttled", receive, refuse(400, `{"__type":"com.amazonaws.sqs#KmsThrottled"}`, "X-Amzn-Query-Error", "KMS.ThrottlingException;Sender"), true},
		{"KMS throttled, without the older code", receive, refuse(400, `{"__type":"com.amazonaws.sqs#KmsThrottled"}`), true},
		{"KMS denied", receive, refuse(400, `{"__type":"com.amazonaws.sqs#KmsAccessDenied"}`, "X-Amzn-Query-Error", "KMS.AccessDeniedException;Sender"), false},
		{"no queue", receive, refuse(400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}`, "X-Amzn-Query-Error", "AWS.SimpleQueueService.NonExistentQueue;Sender"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := load(t, nil)
				requests := 0
				cfg.HTTPClient = count(&requests, func() (*http.Response, error) {
					if requests == 5 {
						return answer(200, "{}"), nil
					}
					return tc.fails()
				})
				err := tc.call(t.Context(), cfg)
				if want := map[bool]int{true: 5, false: 1}[tc.again]; requests != want || (err == nil) != tc.again {
					t.Errorf("%d requests, %v, want %d", requests, err, want)
				}
			})
		})
	}
}

func TestTheEndOfTheContextEndsACall(t *testing.T) {
	for name, do := range map[string]smithyhttp.ClientDoFunc{
		"while it waits for an answer": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"while it waits for the next attempt": func(*http.Request) (*http.Response, error) { return answer(500, ""), nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := load(t, nil)
			cfg.HTTPClient = do
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			if err := update(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
				t.Errorf("%s: error = %v after %s, want the context's after 3s", name, err, time.Since(start))
			}
		})
	}
}

func TestACallSurvivesConnectionsThatBreakOrHang(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices a closed connection only after that
		switch requests++; requests {
		case 1: // closed without an answer
			panic(http.ErrAbortHandler)
		case 2: // closed in the middle of an answer
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"Messages":`)
		case 3: // slower than the client's timeout
			<-r.Context().Done()
		case 4: // the same, in the middle of an answer
			_, _ = io.WriteString(w, `{"Messages":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer server.Close()
	cfg := load(t, map[string]string{"AWS_ENDPOINT_URL": server.URL})
	cfg.HTTPClient = cfg.HTTPClient.(*awshttp.BuildableClient).WithTimeout(100 * time.Millisecond)
	standard := cfg.Retryer().(*retry.Standard)
	cfg.Retryer = func() aws.Retryer { return withoutDelay{standard} }
	if err := receive(t.Context(), cfg); err != nil || requests != 5 {
		t.Errorf("error = %v after %d requests, want the answer of the fifth", err, requests)
	}
}

// withoutDelay retries immediately.
type withoutDelay struct{ *retry.Standard }

func (withoutDelay) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
