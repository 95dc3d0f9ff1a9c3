package localaws

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/google/uuid"
)

// awsError is an error of an AWS service.
type awsError struct {
	status        int
	code, message string
}

// serviceErrors are codes of errors that each service has a name of its own for.
type serviceErrors struct{ throttled, invalid, failed, unavailable awsError }

// errorsOf returns how a service says that there are too many calls, that a call is invalid, that it has failed, and that it is not available. The codes of
// throttling are those that the service documents; clients know them and try again.
func errorsOf(service string) serviceErrors {
	e := serviceErrors{
		throttled:   awsError{http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
		invalid:     awsError{http.StatusBadRequest, "ValidationException", "invalid on purpose"},
		failed:      awsError{http.StatusInternalServerError, "InternalFailure", "failed on purpose"},
		unavailable: awsError{http.StatusServiceUnavailable, "ServiceUnavailable", "unavailable on purpose"},
	}
	switch service {
	case "cloudformation", "cloudwatch", "monitoring", "iam", "sns", "sts":
		e.throttled.code = "Throttling"
	case "dynamodb":
		e.throttled.code, e.throttled.message = "ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded."
	case "lambda":
		e.throttled.status, e.throttled.code, e.throttled.message = http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded."
	case "s3":
		e.throttled = awsError{http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."}
	case "sqs":
		e.throttled.status, e.throttled.code = http.StatusForbidden, "RequestThrottled"
	}
	if code := map[string]string{
		"dynamodb": "InternalServerError", "iam": "ServiceFailure", "kms": "KMSInternalException", "lambda": "ServiceException",
		"logs": "InternalServerException", "monitoring": "InternalServiceError", "s3": "InternalError", "sns": "InternalError", "sqs": "InternalError",
	}[service]; code != "" {
		e.failed.code = code
	}
	if code := map[string]string{
		"cloudformation": "ValidationError", "cloudwatch": "InvalidParameterValue", "iam": "ValidationError", "lambda": "InvalidParameterValueException",
		"logs": "InvalidParameterException", "monitoring": "InvalidParameterValue", "s3": "InvalidRequest", "sns": "InvalidParameter",
		"sqs": "InvalidParameterValue", "sts": "ValidationError",
	}[service]; code != "" {
		e.invalid.code = code
	}
	if service == "logs" {
		e.unavailable.code = "ServiceUnavailableException"
	}
	return e
}

// writeError answers a call with an error in the protocol of the request.
// https://smithy.io/2.0/aws/protocols/index.html
func writeError(w http.ResponseWriter, r *http.Request, service string, e awsError) {
	id := uuid.NewString()
	header := w.Header()
	header.Set("X-Amzn-Requestid", id)
	fault := "Sender"
	if e.status >= 500 {
		fault = "Receiver"
	}
	var body []byte
	target, kind := r.Header.Get("X-Amz-Target"), r.Header.Get("Content-Type")
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		header.Set("Smithy-Protocol", "rpc-v2-cbor")
		header.Set("Content-Type", "application/cbor")
		header.Set("X-Amzn-Query-Error", e.code+";"+fault) // for clients that know the codes of the query protocol
		body = cbor.Encode(cbor.Map{"__type": cbor.String("aws#" + e.code), "message": cbor.String(e.message)})
	case target != "":
		header.Set("Content-Type", kind)
		header.Set("X-Amzn-Errortype", e.code)
		if service == "sqs" || service == "monitoring" {
			header.Set("X-Amzn-Query-Error", e.code+";"+fault)
		}
		namespace, _, _ := strings.Cut(target, ".")
		body = jsonError(namespace+"#"+e.code, e.message)
	case service == "s3":
		header.Set("Content-Type", "application/xml")
		header.Set("X-Amz-Request-Id", id)
		body = fmt.Appendf(nil, "%s<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId></Error>", xml.Header, escape(e.code), escape(e.message), id)
	case strings.HasPrefix(kind, form) || r.URL.Query().Has("Action"):
		header.Set("Content-Type", "text/xml")
		body = fmt.Appendf(nil, "<ErrorResponse><Error><Type>%s</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>",
			fault, escape(e.code), escape(e.message), id)
	default:
		header.Set("Content-Type", "application/json")
		header.Set("X-Amzn-Errortype", e.code)
		body = jsonError(e.code, e.message)
	}
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone misses it
	}
}

func jsonError(kind, message string) []byte {
	body, err := json.Marshal(map[string]string{"__type": kind, "message": message})
	if err != nil { // strings always marshal
		return []byte("{}")
	}
	return body
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes all of it
	return b.String()
}
