// Package environment reads what a function is told by its environment, once, at cold start.
package environment

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"carnation/internal/function/awsjson"
	"carnation/internal/function/metrics"
	"carnation/internal/function/retryqueue"
)

// Settings is what every function is given.
type Settings struct {
	AWS              aws.Config
	Queue            retryqueue.Queue
	Metrics          metrics.Counter
	FailureInjection bool // whether failures may be simulated
}

// Load reads the environment and the AWS configuration. An error names the variable.
func Load(logger *slog.Logger) (Settings, error) {
	var s Settings
	queue, err := RequireURL("RETRY_QUEUE_URL")
	if err != nil {
		return s, err
	}
	project, err := Require("PROJECT_NAME")
	if err != nil {
		return s, err
	}
	environment, err := Require("ENVIRONMENT")
	if err != nil {
		return s, err
	}
	if s.FailureInjection, err = failureInjection(); err != nil {
		return s, err
	}
	if s.AWS, err = loadAWS(); err != nil {
		return s, err
	}
	// A queue's URL begins with the endpoint of SQS in its region and partition.
	client := awsjson.New(s.AWS, awsjson.SQS, queue.Scheme+"://"+queue.Host)
	s.Queue = retryqueue.Queue{API: client, URL: queue.String(), Logger: logger}
	s.Metrics = metrics.Counter{Logger: logger, ProjectName: project, Environment: environment}
	return s, nil
}

// Require is the value of an environment variable that must be set.
func Require(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

// RequireInt is the value of an environment variable that must be an integer from 1 to most.
func RequireInt(name string, most int64) (int64, error) {
	value, err := Require(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("environment variable %s is %q: must be an integer from 1 to %d", name, value, most)
	}
	return n, nil
}

// RequireConcurrency is the value of an environment variable that must be an integer from 1 to most, lowered to the functions'
// reserved concurrency, if there is one: above it Lambda throttles. A lowered value is logged.
func RequireConcurrency(logger *slog.Logger, name string, most int64) (int64, error) {
	concurrency, err := RequireInt(name, most)
	if err != nil || os.Getenv("RESERVED_CONCURRENCY") == "" {
		return concurrency, err
	}
	reserved, err := RequireInt("RESERVED_CONCURRENCY", math.MaxInt32)
	if err == nil && reserved < concurrency {
		logger.Warn("concurrency lowered to the functions' reserved concurrency", "variable", name, "value", concurrency, "reserved", reserved)
		concurrency = reserved
	}
	return concurrency, err
}

// RequireURL is the value of an environment variable that must be a URL.
func RequireURL(name string) (*url.URL, error) {
	value, err := Require(name)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("environment variable %s is %q: must be a URL that begins with https://", name, value)
	}
	return u, nil
}

func failureInjection() (bool, error) {
	value, err := Require("FAILURE_INJECTION")
	if err != nil {
		return false, err
	}
	if value != "enabled" && value != "disabled" {
		return false, fmt.Errorf("environment variable FAILURE_INJECTION is %q: must be enabled or disabled", value)
	}
	return value == "enabled", nil
}

// Connections is how many a function keeps to one service: as many as insert-data inserts at once. The SDK's HTTP client keeps
// ten, and opens the others anew all the time, each with a handshake, and each with a request of DynamoDB to KMS for the
// table's key, which costs more than the write.
const Connections = 32

// loadAWS is the configuration of a function's AWS clients, from the variables that Lambda sets. The SDK's own way to it has
// clients for each place where credentials may be, which no function needs, and which would take most of a cold start.
//
// A call is tried five times, with six to eight seconds between them altogether, and a try that hangs is given up after five:
// an event that is tried again here costs nothing, one that is given up costs a whole run. KMS throttles an account as a
// whole; the SDK does not know that SQS passes that on.
func loadAWS() (aws.Config, error) {
	var cfg aws.Config
	region, err := Require("AWS_REGION")
	if err != nil {
		return cfg, err
	}
	id, err := Require("AWS_ACCESS_KEY_ID")
	if err != nil {
		return cfg, err
	}
	secret, err := Require("AWS_SECRET_ACCESS_KEY")
	if err != nil {
		return cfg, err
	}
	keys := aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: os.Getenv("AWS_SESSION_TOKEN")}
	cfg = aws.Config{
		Region:      region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil }),
		HTTPClient: awshttp.NewBuildableClient().WithTimeout(5 * time.Second).WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = Connections
		}),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = 5
				o.MaxBackoff = 2 * time.Second
				o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{"KmsThrottled": {}}})
			})
		},
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" { // local AWS
		cfg.BaseEndpoint = aws.String(endpoint)
	}
	return cfg, nil
}
