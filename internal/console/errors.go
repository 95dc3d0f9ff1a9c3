package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

// handler answers a request of the API. If it returns an error, it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		writeError(w, err)
	}
}

// apiError is an error as the API answers it.
type apiError struct {
	status  int
	kind    string
	message string
}

func (e *apiError) Error() string { return e.message }

func invalid(format string, values ...any) error {
	return &apiError{http.StatusBadRequest, KindInvalid, fmt.Sprintf(format, values...)}
}

func forbidden(format string, values ...any) error {
	return &apiError{http.StatusForbidden, KindForbidden, fmt.Sprintf(format, values...)}
}

// problem is the JSON of an error, and the data of the event problem.
type problem struct {
	Message string `json:"message"`
	Kind    string `json:"kind"`
}

func writeError(w http.ResponseWriter, err error) {
	e := explain(err)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Del("Content-Disposition")
	w.WriteHeader(e.status)
	json.NewEncoder(w).Encode(map[string]problem{"error": {e.message, e.kind}})
}

func writeJSON(w http.ResponseWriter, value any) error {
	data, err := event.Encode(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data)
	return nil
}

// Codes of AWS for credentials that it does not accept (any more).
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sts-error-codes.html and the common errors of each service.
var credentialCodes = []string{
	"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException", "UnrecognizedClient",
	"InvalidAccessKeyId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken",
	"MissingAuthenticationTokenException", "AuthFailure", "InvalidToken", "OptInRequired",
}

// Codes of AWS for an execution that does not exist.
var notFoundCodes = []string{"ExecutionDoesNotExist", "InvalidArn", "ResourceNotFound"}

// explain says what an error is for whoever looks at the page.
func explain(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &apiError{http.StatusRequestEntityTooLarge, KindInvalid, fmt.Sprintf("the request has more than %d bytes", tooLarge.Limit)}
	}
	if missing, ok := errors.AsType[*operate.NoStackError](err); ok {
		return &apiError{http.StatusNotFound, KindNoStack, noStack(missing)}
	}
	if refused, ok := errors.AsType[*operate.RefusedError](err); ok {
		return &apiError{http.StatusConflict, KindInvalid, refused.Reason}
	}
	if errors.Is(err, operate.ErrGone) {
		return &apiError{http.StatusNotFound, KindNotFound, err.Error()}
	}
	if _, ok := errors.AsType[*event.RecordError](err); ok {
		return &apiError{http.StatusBadRequest, KindInvalid, err.Error()}
	}
	if errors.Is(err, model.ErrRate) {
		return &apiError{http.StatusTooManyRequests, KindThrottled, said(err)}
	}
	if isCredentials(err) {
		return &apiError{http.StatusBadGateway, KindCredentials, "AWS does not accept the credentials, or there are none: " + said(err) +
			". Refresh them, such as with aws sso login; if they are in environment variables, start the console again with new ones"}
	}
	if code := codeOf(err); code != "" {
		_, throttled := retry.DefaultThrottleErrorCodes[code]
		switch {
		case throttled:
			return &apiError{http.StatusTooManyRequests, KindThrottled, "AWS throttles calls: " + said(err)}
		case slices.Contains(notFoundCodes, code):
			return &apiError{http.StatusNotFound, KindNotFound, said(err)}
		}
	}
	status := 0
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	if isUnreachable(err) || status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout {
		return &apiError{http.StatusServiceUnavailable, KindUnreachable, "AWS does not answer: " + said(err)}
	}
	return &apiError{http.StatusBadGateway, KindAWS, said(err)}
}

func noStack(missing *operate.NoStackError) string {
	if missing.State == "" {
		return fmt.Sprintf("there is no stack %s yet", missing.Name)
	}
	return fmt.Sprintf("stack %s is %s and does not have its outputs yet, or it is no Carnation stack", missing.Name, missing.State)
}

func codeOf(err error) string {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer.ErrorCode()
	}
	return ""
}

func isCredentials(err error) bool {
	if _, ok := errors.AsType[*v4.SigningError](err); ok {
		return true
	}
	if _, ok := errors.AsType[config.SharedConfigProfileNotExistError](err); ok {
		return true
	}
	// The SDK has no type for credentials that it could not get.
	return slices.Contains(credentialCodes, codeOf(err)) || strings.Contains(err.Error(), "get identity: ") || strings.Contains(err.Error(), "failed to refresh cached credentials")
}

func isUnreachable(err error) bool {
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, context.DeadlineExceeded)
}

// withStatus says the status of an answer, if it is known.
func withStatus(err error) string {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return fmt.Sprintf(" with status %d", response.HTTPStatusCode())
	}
	return ""
}

// said is an error without what only a programmer needs: request ids, and how often the SDK has tried.
func said(err error) string {
	answer, isAnswer := errors.AsType[smithy.APIError](err)
	operation, ok := errors.AsType[*smithy.OperationError](err)
	if !ok {
		return err.Error()
	}
	if isAnswer {
		return fmt.Sprintf("%s %s: %s: %s", operation.ServiceID, operation.OperationName, answer.ErrorCode(), strings.TrimSpace(answer.ErrorMessage()))
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return fmt.Sprintf("%s %s: the endpoint answers%s, and not as AWS does: it may lack this call", operation.ServiceID, operation.OperationName, withStatus(err))
	}
	cause := operation.Err
	for {
		unwrapped := errors.Unwrap(cause)
		switch cause.(type) {
		case *retry.MaxAttemptsError, *awshttp.ResponseError, *smithyhttp.ResponseError, *smithyhttp.RequestSendError, *aws.RequestCanceledError:
			if unwrapped != nil {
				cause = unwrapped
				continue
			}
		}
		return fmt.Sprintf("%s %s: %v", operation.ServiceID, operation.OperationName, cause)
	}
}
