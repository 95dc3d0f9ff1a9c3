package environment

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"carnation/internal/function/awsjson"
	"carnation/internal/function/retryqueue"
)

// setEnvironment is what a deployed function has, with the changes.
func setEnvironment(t *testing.T, changes map[string]string) {
	t.Helper()
	for name, value := range map[string]string{
		"RETRY_QUEUE_URL": "https://sqs/retry", "PROJECT_NAME": "carnation", "ENVIRONMENT": "devl", "FAILURE_INJECTION": "enabled",
		"AWS_REGION": "eu-central-2", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
		"AWS_ENDPOINT_URL": "",
	} {
		if change, ok := changes[name]; ok {
			value = change
		}
		t.Setenv(name, value)
	}
}

func TestLoadNamesTheVariableThatIsMissingOrWrong(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"RETRY_QUEUE_URL", "", "environment variable RETRY_QUEUE_URL is not set"},
		{"PROJECT_NAME", "", "environment variable PROJECT_NAME is not set"},
		{"ENVIRONMENT", "", "environment variable ENVIRONMENT is not set"},
		{"FAILURE_INJECTION", "", "environment variable FAILURE_INJECTION is not set"},
		{"AWS_REGION", "", "environment variable AWS_REGION is not set"},
		{"AWS_ACCESS_KEY_ID", "", "environment variable AWS_ACCESS_KEY_ID is not set"},
		{"AWS_SECRET_ACCESS_KEY", "", "environment variable AWS_SECRET_ACCESS_KEY is not set"},
		{"RETRY_QUEUE_URL", "retry", `environment variable RETRY_QUEUE_URL is "retry": must be a URL that begins with https://`},
		{"RETRY_QUEUE_URL", "sqs://host/retry", `environment variable RETRY_QUEUE_URL is "sqs://host/retry": must be a URL that begins with https://`},
		{"RETRY_QUEUE_URL", "://", `environment variable RETRY_QUEUE_URL is "://": must be a URL that begins with https://`},
		{"FAILURE_INJECTION", "yes", `environment variable FAILURE_INJECTION is "yes": must be enabled or disabled`},
		{"FAILURE_INJECTION", "Enabled", `environment variable FAILURE_INJECTION is "Enabled": must be enabled or disabled`},
	} {
		setEnvironment(t, map[string]string{tc.name: tc.value})
		if _, err := Load(slog.Default()); fmt.Sprint(err) != tc.want {
			t.Errorf("Load() with %s %q: error = %v, want %s", tc.name, tc.value, err, tc.want)
		}
	}
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for value, want := range map[string]bool{"enabled": true, "disabled": false} {
		setEnvironment(t, map[string]string{"FAILURE_INJECTION": value})
		got, err := Load(logger)
		if err != nil {
			t.Fatal(err)
		}
		if got.FailureInjection != want || got.Metrics.ProjectName != "carnation" || got.Metrics.Environment != "devl" || got.Metrics.Logger != logger {
			t.Errorf("Load() with FAILURE_INJECTION %s = %+v", value, got)
		}
		if wantQueue := (retryqueue.Queue{API: got.Queue.API, URL: "https://sqs/retry", Logger: logger}); got.Queue != wantQueue || got.Queue.API == nil {
			t.Errorf("Load() queue = %+v, want %+v", got.Queue, wantQueue)
		}
	}
}

func TestCallsAreMadeAsTheFunctionsRole(t *testing.T) {
	var authorization, token string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization, token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	setEnvironment(t, map[string]string{"AWS_ENDPOINT_URL": server.URL})
	settings, err := Load(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := settings.Queue.Waiting(t.Context()); err == nil || authorization == "" {
		t.Fatalf("Waiting() error = %v, with the header %q, want a call whose answer has no number", err, authorization)
	}
	if !strings.Contains(authorization, "Credential=key/") || !strings.Contains(authorization, "/eu-central-2/sqs/") || token != "token" {
		t.Errorf("the call is signed as %s, with the token %q", authorization, token)
	}
}

// On AWS there is no AWS_ENDPOINT_URL: the queue's own URL says where it is.
func TestTheQueueIsCalledWhereItsURLBegins(t *testing.T) {
	path := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.Path
		_, _ = io.WriteString(w, `{"Attributes":{"ApproximateNumberOfMessages":"7"}}`)
	}))
	defer server.Close()
	setEnvironment(t, map[string]string{"RETRY_QUEUE_URL": server.URL + "/123456789012/retry"})
	settings, err := Load(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if waiting, err := settings.Queue.Waiting(t.Context()); waiting != 7 || err != nil || path != "/" {
		t.Errorf("Waiting() = %d, %v, from the path %q, want 7 from /", waiting, err, path)
	}
}

func TestATryOfACallMayTakeFiveSeconds(t *testing.T) {
	setEnvironment(t, nil)
	settings, err := Load(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if client := settings.AWS.HTTPClient.(*awshttp.BuildableClient); client.GetTimeout() != 5*time.Second {
		t.Errorf("a call may take %s, want 5s", client.GetTimeout())
	}
}

func TestKMSThrottlingIsTriedAgain(t *testing.T) {
	setEnvironment(t, nil)
	settings, err := Load(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]bool{"KmsThrottled": true, "RequestThrottled": true, "KmsAccessDenied": false} {
		if got := settings.AWS.Retryer().IsErrorRetryable(&awsjson.Error{Code: code, Status: 400}); got != want {
			t.Errorf("after %s, to be tried again is %t, want %t", code, got, want)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Setenv("TABLE_NAME", "events")
	if got, err := Require("TABLE_NAME"); got != "events" || err != nil {
		t.Errorf("Require() = %q, %v, want events", got, err)
	}
	t.Setenv("TABLE_NAME", "")
	if _, err := Require("TABLE_NAME"); fmt.Sprint(err) != "environment variable TABLE_NAME is not set" {
		t.Errorf("Require() error = %v, want the name of the variable", err)
	}
}

func TestRequireInt(t *testing.T) {
	for value, want := range map[string]string{
		"1": "1 <nil>", "1000": "1000 <nil>",
		"":     "0 environment variable SHARD_SIZE is not set",
		"0":    `0 environment variable SHARD_SIZE is "0": must be an integer from 1 to 1000`,
		"1001": `0 environment variable SHARD_SIZE is "1001": must be an integer from 1 to 1000`,
		"1e2":  `0 environment variable SHARD_SIZE is "1e2": must be an integer from 1 to 1000`,
	} {
		t.Setenv("SHARD_SIZE", value)
		n, err := RequireInt("SHARD_SIZE", 1000)
		if got := fmt.Sprint(n, " ", err); got != want {
			t.Errorf("RequireInt() of %q = %s, want %s", value, got, want)
		}
	}
}

func TestConcurrencyIsLoweredToTheReservedConcurrencyAndLogged(t *testing.T) {
	const lowered = `{"level":"WARN","msg":"concurrency lowered to the functions' reserved concurrency","variable":"MAP_MAX_CONCURRENCY","value":10,"reserved":4}` + "\n"
	for _, tc := range []struct{ value, reserved, want, log string }{
		{"10", "", "10 <nil>", ""},
		{"10", "10", "10 <nil>", ""},
		{"4", "1000", "4 <nil>", ""},
		{"10", "4", "4 <nil>", lowered},
		{"", "4", "0 environment variable MAP_MAX_CONCURRENCY is not set", ""},
		{"41", "4", `0 environment variable MAP_MAX_CONCURRENCY is "41": must be an integer from 1 to 40`, ""},
		{"10", "none", `10 environment variable RESERVED_CONCURRENCY is "none": must be an integer from 1 to 2147483647`, ""},
		{"10", "0", `10 environment variable RESERVED_CONCURRENCY is "0": must be an integer from 1 to 2147483647`, ""},
	} {
		var log bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		t.Setenv("MAP_MAX_CONCURRENCY", tc.value)
		t.Setenv("RESERVED_CONCURRENCY", tc.reserved)
		n, err := RequireConcurrency(logger, "MAP_MAX_CONCURRENCY", 40)
		if got := fmt.Sprint(n, " ", err); got != tc.want || log.String() != tc.log {
			t.Errorf("RequireConcurrency() of %q with %q reserved = %s, logs %s, want %s, %s", tc.value, tc.reserved, got, &log, tc.want, tc.log)
		}
	}
}

// The SDK's own clients have a brake that all calls share: there, the failures of some events would end the retries of
// others after a hundred.
func TestEveryCallIsTriedFiveTimesHoweverManyFail(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"__type":"com.amazonaws.sqs#InternalError","message":"try again"}`)
	}))
	defer server.Close()
	setEnvironment(t, nil)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	settings, err := Load(slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	retryer := settings.AWS.Retryer()
	if got := retryer.MaxAttempts(); got != 5 {
		t.Errorf("attempts = %d, want 5", got)
	}
	for attempt := 1; attempt <= 5; attempt++ {
		if delay, err := retryer.RetryDelay(attempt, nil); err != nil || delay > 2*time.Second {
			t.Errorf("delay after attempt %d = %s, %v, want at most 2s", attempt, delay, err)
		}
	}
	withoutDelays := settings.AWS
	withoutDelays.Retryer = func() aws.Retryer { return noDelay{retryer} }
	client := awsjson.New(withoutDelays, awsjson.SQS, server.URL)
	for call := 1; call <= 50; call++ {
		if err := client.Call(t.Context(), "ReceiveMessage", nil, nil); err == nil || requests != 5*call {
			t.Fatalf("requests of %d calls that fail = %d, %v, want 5 for each, and the error", call, requests, err)
		}
	}
}

// noDelay retries as the retryer says, but at once.
type noDelay struct{ aws.Retryer }

func (noDelay) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
