// Package awsjson calls DynamoDB and SQS in the AWS JSON 1.0 protocol, with the SDK's signer, retries and HTTP client. The
// functions use it in place of the SDK's own clients of the two, which build schemas of all their operations whenever a
// process starts, and take four times the processor time for a call: docs/performance.md has the figures. Tests hold its
// requests and errors against theirs. It leaves out the checksums of answers, which TLS has too, the error codes of SQS's older
// protocol, which its own clients ask for by a header, the quota that all calls' retries share, so that the failures of some
// events do not end the retries of others, and the correction of a clock that is wrong, which Lambda's is not.
// https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
package awsjson

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Service is what the requests of one service have in common.
type Service struct {
	SigningName  string
	TargetPrefix string
}

// The services that the functions call.
var (
	DynamoDB = Service{"dynamodb", "DynamoDB_20120810"}
	SQS      = Service{"sqs", "AmazonSQS"}
)

// Client calls one service. It may be used by many goroutines at once.
type Client struct {
	cfg     aws.Config
	service Service
	url     string
	signer  *v4.Signer
	retryer aws.Retryer
}

// New is a client of the service at an endpoint, a URL like https://sqs.eu-central-2.amazonaws.com, or at that of the
// configuration where it has one. The configuration needs a region, credentials, an HTTP client and a retryer.
func New(cfg aws.Config, service Service, endpoint string) *Client {
	url := strings.TrimSuffix(cmp.Or(aws.ToString(cfg.BaseEndpoint), endpoint), "/") + "/"
	return &Client{cfg, service, url, v4.NewSigner(), cfg.Retryer()}
}

// Call sends an operation's input, and reads its answer into output, which may be nil. Both are JSON with the names of the API
// reference. It tries again as the retryer says; errors are *Error where the service refuses, and else those of the connection,
// of ctx, or of an answer that is no JSON.
func (c *Client) Call(ctx context.Context, operation string, input, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if output == nil {
		output = &struct{}{} // an answer of something else than the service is to be seen all the same
	}
	for attempt := 1; ; attempt++ {
		answer, err := c.attempt(ctx, operation, body)
		if err == nil {
			if err := json.Unmarshal(answer, output); err != nil {
				return fmt.Errorf("%s: answer: %w", operation, err)
			}
			return nil
		}
		if err = c.wait(ctx, attempt, err); err != nil {
			return fmt.Errorf("%s, attempt %d: %w", operation, attempt, err)
		}
	}
}

// wait returns nil once the next attempt is due, and the error where there is none.
func (c *Client) wait(ctx context.Context, attempt int, err error) error {
	if ctx.Err() != nil || attempt == c.retryer.MaxAttempts() || !c.retryer.IsErrorRetryable(err) {
		return err
	}
	delay, delayErr := c.retryer.RetryDelay(attempt, err)
	if delayErr != nil {
		return errors.Join(err, delayErr)
	}
	select {
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	case <-time.After(delay):
		return nil
	}
}

func (c *Client) attempt(ctx context.Context, operation string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", c.service.TargetPrefix+"."+operation)
	keys, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	err = c.signer.SignHTTP(ctx, keys, request, hex.EncodeToString(hash[:]), c.service.SigningName, c.cfg.Region, time.Now())
	if err != nil {
		return nil, err
	}
	response, err := c.cfg.HTTPClient.Do(request)
	if err != nil {
		return nil, &smithyhttp.RequestSendError{Err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, &smithyhttp.RequestSendError{Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, newError(response, answer)
	}
	return answer, nil
}

// Error is a service's refusal. The SDK's retryer knows by its code and status whether to try again.
type Error struct {
	Code      string // like ThrottlingException; UnknownError where the answer has none
	Message   string
	Status    int // of HTTP
	RequestID string
}

func newError(response *http.Response, answer []byte) *Error {
	var said struct {
		Type    string `json:"__type"`
		Code    string
		Message string // or message: encoding/json takes both
	}
	// Something between here and the service may answer without JSON: the status is what is left then.
	_ = json.Unmarshal(answer, &said)
	code := cmp.Or(response.Header.Get("X-Amzn-Errortype"), said.Type, said.Code, "UnknownError")
	code, _, _ = strings.Cut(code, ":")
	if _, name, ok := strings.Cut(code, "#"); ok {
		code = name
	}
	return &Error{code, cmp.Or(said.Message, code), response.StatusCode, response.Header.Get("X-Amzn-Requestid")}
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (HTTP status %d, request id %s)", e.Code, e.Message, e.Status, e.RequestID)
}

// ErrorCode, ErrorMessage and ErrorFault make it a smithy.APIError.
func (e *Error) ErrorCode() string { return e.Code }

// ErrorMessage is what the service says.
func (e *Error) ErrorMessage() string { return e.Message }

// ErrorFault is whose fault it is, by the status.
func (e *Error) ErrorFault() smithy.ErrorFault {
	if e.Status >= http.StatusInternalServerError {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// HTTPStatusCode is what the retryer asks for.
func (e *Error) HTTPStatusCode() int { return e.Status }
