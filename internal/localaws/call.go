package localaws

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"carnation/internal/localaws/runtimeapi"
)

// accountID is the one account of the local AWS. moto/clients.py has it too.
const accountID = "123456789012"

// Call is one AWS call that was made through the endpoint.
type Call struct {
	Caller    string // access key ID: the name of a function's role, EngineKeyID for Step Functions, or the user's
	Region    string
	Service   string // as in the request's signature: sqs, dynamodb, lambda, ...
	Operation string // SendMessage, UpdateItem, Invoke, ...; method and path where the protocol names none
	Function  string // name, for a Lambda invocation
	Resource  string // ARN of what the call is about, as in a policy; "" if the request does not name one thing
	Fault     string // what failed on purpose, one of FaultKinds
	Status    int    // HTTP status of the answer, 0 if there was none
	Duration  time.Duration
}

// form is the content type of calls in the query protocol.
const form = "application/x-www-form-urlencoded"

var (
	credential = regexp.MustCompile(`Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request`)
	invocation = regexp.MustCompile(`^/2015-03-31/functions/([^/]+)/invocations$`)
	schedules  = regexp.MustCompile(`^/schedules(?:/([^/]+))?$`)
	rpcV2      = regexp.MustCompile(`^/service/\w+/operation/(\w+)$`)
)

// Action returns the IAM action that the call needs, service:Operation. For four kinds of calls it has another name: a batch
// of SQS needs the permission for the single call, an invocation needs lambda:InvokeFunction, HeadObject needs s3:GetObject, and
// CloudWatch signs as monitoring.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
func (c Call) Action() string {
	switch {
	case c.Service == "sqs":
		return "sqs:" + strings.TrimSuffix(c.Operation, "Batch")
	case isInvoke(c):
		return "lambda:InvokeFunction"
	case c.Service == "monitoring":
		return "cloudwatch:" + c.Operation
	case c.Service == "s3":
		return "s3:" + strings.Replace(c.Operation, "HeadObject", "GetObject", 1)
	}
	return c.Service + ":" + c.Operation
}

// identify reads from a request who calls what. The body can still be read afterwards.
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
		body, err := peek(r)
		if err != nil {
			return call, err
		}
		var named resourceNames
		if err := json.Unmarshal(body, &named); err == nil { // if it is not JSON, the service says so
			call.Resource = named.arn(call)
		}
	} else if m := rpcV2.FindStringSubmatch(r.URL.Path); m != nil && r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" {
		call.Operation = m[1]
		body, err := peek(r)
		if err != nil {
			return call, err
		}
		if value, err := cbor.Decode(body); err == nil { // if it is not CBOR, the service says so
			if members, ok := value.(cbor.Map); ok {
				name, _ := members["AlarmName"].(cbor.String)
				call.Resource = resourceNames{AlarmName: string(name)}.arn(call)
			}
		}
	} else if m := invocation.FindStringSubmatch(r.URL.EscapedPath()); m != nil && r.Method == http.MethodPost {
		name, err := url.PathUnescape(m[1])
		if err != nil {
			return call, err
		}
		var qualifier string // of a version, which is a resource of its own
		call.Service, call.Operation = "lambda", "Invoke"
		call.Function, qualifier = functionName(name)
		call.Resource = arn(call, "lambda", "function:"+call.Function)
		if qualifier = cmp.Or(qualifier, r.URL.Query().Get("Qualifier")); qualifier != "" {
			call.Resource += ":" + qualifier
		}
	} else if operation, object := objectCall(r); call.Service == "s3" && operation != "" {
		call.Operation = operation
		call.Resource = strings.Join([]string{"arn", partition(call.Region), "s3", "", "", object}, ":")
	} else if operation, schedule := scheduleCall(r); call.Service == "scheduler" && operation != "" {
		call.Operation = operation
		if schedule != "" {
			call.Resource = arn(call, "scheduler", "schedule/"+schedule)
		}
	} else if r.Method == http.MethodPost && call.Service != "s3" && strings.HasPrefix(r.Header.Get("Content-Type"), form) {
		body, err := peek(r)
		if err != nil {
			return call, err
		}
		// A body may only claim to be a form: that is curl's default type.
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
			call.Operation = form.Get("Action")
			call.Resource = resourceNames{QueueURL: form.Get("QueueUrl"), TopicARN: form.Get("TopicArn"), StackName: form.Get("StackName")}.arn(call)
		}
	}
	return call, nil
}

// objectCall returns the operation of a plain call about an S3 object, and the object as bucket/key; "" for other calls. A
// call for a version of an object needs a permission of its own, so it has that permission's name.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
func objectCall(r *http.Request) (operation, object string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	version := query.Has("versionId")
	for name := range query {
		if name != "versionId" && name != "x-id" && !strings.HasPrefix(name, "X-Amz-") {
			return "", "" // about something else than the object's content
		}
	}
	if bucket == "" || key == "" {
		return "", ""
	}
	operation = map[string]string{http.MethodGet: "GetObject", http.MethodPut: "PutObject", http.MethodHead: "HeadObject", http.MethodDelete: "DeleteObject"}[r.Method]
	if operation != "" && version {
		operation += "Version"
	}
	return operation, bucket + "/" + key
}

// scheduleCall returns the operation of a call about schedules, "" for other calls, and the schedule as group/name. A group that only the
// body names is left out.
func scheduleCall(r *http.Request) (operation, schedule string) {
	m := schedules.FindStringSubmatch(r.URL.Path)
	switch {
	case m == nil:
		return "", ""
	case m[1] == "" && r.Method == http.MethodGet:
		return "ListSchedules", ""
	case m[1] == "":
		return "", ""
	}
	operation = map[string]string{
		http.MethodGet: "GetSchedule", http.MethodPost: "CreateSchedule", http.MethodPut: "UpdateSchedule", http.MethodDelete: "DeleteSchedule",
	}[r.Method]
	return operation, cmp.Or(r.URL.Query().Get("groupName"), "default") + "/" + m[1]
}

// peek reads a request's body, which can still be read afterwards, from the same bytes.
func peek(r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if 0 < r.ContentLength && r.ContentLength <= runtimeapi.MaxPayload { // the client says so, which is no reason to take more memory
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
	return body.Bytes(), nil
}

// resourceNames is what requests of the services that Carnation uses name their resource by.
type resourceNames struct {
	QueueURL        string `json:"QueueUrl"`
	QueueName       string
	TableName       string // or its ARN
	LogGroupName    string `json:"logGroupName"`
	LogStreamName   string `json:"logStreamName"`
	StateMachineARN string `json:"stateMachineArn"`
	ExecutionARN    string `json:"executionArn"`
	TopicARN        string `json:"TopicArn"`
	AlarmName       string `json:"AlarmName"`
	KeyID           string `json:"KeyId"` // or its ARN
	StackName       string // or its ARN
	SourceARN       string `json:"SourceArn"` // of a message move task
	MapRunARN       string `json:"mapRunArn"`
}

// arn returns the ARN of what a call names, or "".
func (n resourceNames) arn(call Call) string {
	switch call.Service {
	case "sqs":
		if name := cmp.Or(n.QueueURL[strings.LastIndex(n.QueueURL, "/")+1:], n.QueueName); name != "" {
			return arn(call, "sqs", name)
		}
		return n.SourceARN
	case "cloudformation":
		if n.StackName != "" && !strings.HasPrefix(n.StackName, "arn:") {
			return arn(call, "cloudformation", "stack/"+n.StackName+"/*") // the ID of the stack is not in the request
		}
		return n.StackName
	case "dynamodb":
		return orARN(call, n.TableName, "table/")
	case "logs":
		if n.LogGroupName != "" && n.LogStreamName != "" {
			return arn(call, "logs", "log-group:"+n.LogGroupName+":log-stream:"+n.LogStreamName)
		}
		return orARN(call, n.LogGroupName, "log-group:")
	case "states":
		return cmp.Or(n.ExecutionARN, n.StateMachineARN, n.MapRunARN)
	case "sns":
		return n.TopicARN
	case "monitoring":
		if n.AlarmName != "" {
			return arn(call, "cloudwatch", "alarm:"+n.AlarmName)
		}
	case "kms":
		return orARN(call, n.KeyID, "key/")
	}
	return ""
}

// orARN returns the ARN of a resource that is given by its name or its ARN.
func orARN(call Call, name, kind string) string {
	if name == "" || strings.HasPrefix(name, "arn:") {
		return name
	}
	return arn(call, call.Service, kind+name)
}

// arn returns the ARN of a resource in the region of a call.
func arn(call Call, service, resource string) string {
	return strings.Join([]string{"arn", partition(call.Region), service, cmp.Or(call.Region, Region), accountID, resource}, ":")
}

func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// functionName returns the name in a function's name, ARN or partial ARN, and the qualifier after it.
func functionName(s string) (name, qualifier string) {
	if _, after, ok := strings.Cut(s, ":function:"); ok {
		s = after
	}
	name, qualifier, _ = strings.Cut(s, ":")
	return name, qualifier
}
