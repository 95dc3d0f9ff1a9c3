package localaws

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Call is one AWS call that was made through the endpoint.
type Call struct {
	Caller    string // access key id: a function's role name, EngineKeyID for Step Functions, or the user's
	Region    string
	Service   string // as in the request's signature: sqs, dynamodb, lambda, ...
	Operation string // SendMessage, UpdateItem, Invoke, ...; method and path where the protocol names none
	Function  string // name, for a Lambda invocation
	Fault     string // what went wrong on purpose, one of FaultKinds
	Status    int    // HTTP status of the answer, 0 when none was given
	Duration  time.Duration
}

var (
	credential = regexp.MustCompile(`Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request`)
	invocation = regexp.MustCompile(`^/2015-03-31/functions/([^/]+)/invocations$`)
)

// identify reads from a request who calls what. The body is left to be read again.
func identify(r *http.Request) (Call, error) {
	var call Call
	signature := r.Header.Get("Authorization")
	if signature == "" { // a presigned URL
		signature = "Credential=" + r.URL.Query().Get("X-Amz-Credential")
	}
	if m := credential.FindStringSubmatch(signature); m != nil {
		call.Caller, call.Region, call.Service = m[1], m[2], m[3]
	}
	call.Operation = r.Method + " " + r.URL.Path
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		call.Operation = target[strings.LastIndex(target, ".")+1:]
	} else if m := invocation.FindStringSubmatch(r.URL.EscapedPath()); m != nil && r.Method == http.MethodPost {
		name, err := url.PathUnescape(m[1])
		if err != nil {
			return call, err
		}
		call.Service, call.Operation, call.Function = "lambda", "Invoke", functionName(name)
	} else if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return call, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		// An upload may say that it is a form and be none: curl does by default.
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
			call.Operation = form.Get("Action")
		}
	}
	return call, nil
}

// functionName is the name in a function's name, ARN or partial ARN, without a qualifier.
func functionName(s string) string {
	if _, after, ok := strings.Cut(s, ":function:"); ok {
		s = after
	}
	name, _, _ := strings.Cut(s, ":")
	return name
}
