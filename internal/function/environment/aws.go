package environment

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Connections is the number of connections that a function keeps open to one service: as many as insert-data has inserts at once.
// The SDK's HTTP client keeps ten by default. It would open the others again and again, each with a TLS handshake and a request
// from DynamoDB to KMS for the table's key, which costs more than the write.
const Connections = 32

// loadAWS makes the configuration of the AWS clients from the variables that Lambda sets. config.LoadDefaultConfig would do so
// too, but it brings clients for every other source of credentials, and they would take most of a cold start.
func loadAWS() (cfg aws.Config, err error) {
	if cfg.Region, err = Require("AWS_REGION"); err != nil {
		return cfg, err
	}
	keys := aws.Credentials{SessionToken: os.Getenv("AWS_SESSION_TOKEN")}
	if keys.AccessKeyID, err = Require("AWS_ACCESS_KEY_ID"); err != nil {
		return cfg, err
	}
	if keys.SecretAccessKey, err = Require("AWS_SECRET_ACCESS_KEY"); err != nil {
		return cfg, err
	}
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys, nil })
	cfg.HTTPClient = awshttp.NewBuildableClient().WithTimeout(5 * time.Second).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = Connections
	})
	cfg.Retryer = newRetryer
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" { // local AWS
		cfg.BaseEndpoint = aws.String(endpoint)
	}
	return cfg, nil
}

// newRetryer makes five attempts, with six to eight seconds of delay between them in total. A retry here costs nothing. An event
// that fails costs the next run.
//
// There is no rate limiter: by default all calls of a client share a quota of retries, so that the failures of some events would
// end the retries of others. Two kinds of error are retried that the SDK does not retry. KMS throttles a whole account, and SQS
// passes that on, with one of two codes: the SDK asks for those of SQS's older protocol. And a connection may end in the middle of
// an answer; every call of the functions is safe to repeat.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 5
		o.MaxBackoff = 2 * time.Second
		o.RateLimiter = ratelimit.None
		o.Retryables = append(o.Retryables,
			retry.RetryableErrorCode{Codes: map[string]struct{}{"KMS.ThrottlingException": {}, "KmsThrottled": {}}},
			retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
				if errors.Is(err, io.ErrUnexpectedEOF) {
					return aws.TrueTernary
				}
				return aws.UnknownTernary
			}))
	})
}
