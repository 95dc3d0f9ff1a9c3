package localaws

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const signedBy = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/eu-central-2/SERVICE/aws4_request, SignedHeaders=host;x-amz-date, Signature=0123abcd"

func TestIdentifySaysWhoCallsWhat(t *testing.T) {
	const form = "application/x-www-form-urlencoded; charset=utf-8"
	who := func(service string) Call {
		return Call{Caller: "AKIDEXAMPLE", Region: "eu-central-2", Service: service}
	}
	with := func(call Call, operation, function string) Call {
		call.Operation, call.Function = operation, function
		return call
	}
	on := func(call Call, resource string) Call {
		call.Resource = resource
		return call
	}
	const function = "arn:aws:lambda:eu-central-2:123456789012:function:generate-data"
	for _, tc := range []struct {
		name, method, url, body string
		header                  map[string]string
		want                    Call
	}{
		{"JSON protocol", "POST", "/", `{"QueueUrl":"q"}`,
			map[string]string{"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0", "Authorization": "sqs"},
			on(with(who("sqs"), "SendMessage", ""), "arn:aws:sqs:eu-central-2:123456789012:q")},
		{"JSON protocol with a version", "POST", "/", `{}`,
			map[string]string{"X-Amz-Target": "DynamoDB_20120810.UpdateItem", "Authorization": "dynamodb"}, with(who("dynamodb"), "UpdateItem", "")},
		{"query protocol", "POST", "/", "Action=CreateStack&Version=2010-05-15&StackName=carnation",
			map[string]string{"Content-Type": form, "Authorization": "cloudformation"},
			on(with(who("cloudformation"), "CreateStack", ""), "arn:aws:cloudformation:eu-central-2:123456789012:stack/carnation/*")},
		{"RPC protocol in CBOR", "POST", "/service/GraniteServiceVersion20100801/operation/SetAlarmState", "\xa1\x69AlarmName\x61a",
			map[string]string{"Smithy-Protocol": "rpc-v2-cbor", "Authorization": "monitoring"},
			on(with(who("monitoring"), "SetAlarmState", ""), "arn:aws:cloudwatch:eu-central-2:123456789012:alarm:a")},
		{"RPC protocol without CBOR", "POST", "/service/GraniteServiceVersion20100801/operation/DescribeAlarms", "\xa1",
			map[string]string{"Smithy-Protocol": "rpc-v2-cbor", "Authorization": "monitoring"}, with(who("monitoring"), "DescribeAlarms", "")},
		{"form without an action", "POST", "/path", "a=b",
			map[string]string{"Content-Type": form, "Authorization": "sts"}, with(who("sts"), "POST /path", "")},
		{"an object that looks like a call", "PUT", "/bucket/key?X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-central-2%2Fs3%2Faws4_request", "Action=SendMessage&Version=2012-11-05",
			map[string]string{"Content-Type": form}, on(with(who("s3"), "PutObject", ""), "arn:aws:s3:::bucket/key")},
		{"REST protocol", "PUT", "/bucket/key%20with%20space?x-id=PutObject", "Action=Fake",
			map[string]string{"Authorization": "s3"}, on(with(who("s3"), "PutObject", ""), "arn:aws:s3:::bucket/key with space")},
		{"a version of an object", "GET", "/bucket/folder/key?versionId=7", "",
			map[string]string{"Authorization": "s3"}, on(with(who("s3"), "GetObjectVersion", ""), "arn:aws:s3:::bucket/folder/key")},
		{"about a bucket", "GET", "/bucket/?list-type=2", "", map[string]string{"Authorization": "s3"}, with(who("s3"), "GET /bucket/", "")},
		{"an object's tags", "GET", "/bucket/key?tagging", "", map[string]string{"Authorization": "s3"}, with(who("s3"), "GET /bucket/key", "")},
		{"a schedule", "PUT", "/schedules/retry", `{}`, map[string]string{"Authorization": "scheduler"},
			on(with(who("scheduler"), "UpdateSchedule", ""), "arn:aws:scheduler:eu-central-2:123456789012:schedule/default/retry")},
		{"a schedule of a group", "GET", "/schedules/retry?groupName=g", "", map[string]string{"Authorization": "scheduler"},
			on(with(who("scheduler"), "GetSchedule", ""), "arn:aws:scheduler:eu-central-2:123456789012:schedule/g/retry")},
		{"all schedules", "GET", "/schedules", "", map[string]string{"Authorization": "scheduler"}, with(who("scheduler"), "ListSchedules", "")},
		{"invocation", "POST", "/2015-03-31/functions/generate-data/invocations", `{}`,
			map[string]string{"Authorization": "lambda"}, on(with(who("lambda"), "Invoke", "generate-data"), function)},
		{"invocation of an ARN", "POST", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-central-2%3A123456789012%3Afunction%3Agenerate-data/invocations?Qualifier=1", `{}`,
			map[string]string{"Authorization": "lambda"}, on(with(who("lambda"), "Invoke", "generate-data"), function+":1")},
		{"another Lambda call", "GET", "/2015-03-31/functions/generate-data", "",
			map[string]string{"Authorization": "lambda"}, with(who("lambda"), "GET /2015-03-31/functions/generate-data", "")},
		{"not an invocation", "GET", "/2015-03-31/functions/generate-data/invocations", "",
			map[string]string{"Authorization": "lambda"}, with(who("lambda"), "GET /2015-03-31/functions/generate-data/invocations", "")},
		{"presigned", "GET", "/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-central-2%2Fs3%2Faws4_request", "",
			nil, on(with(who("s3"), "GetObject", ""), "arn:aws:s3:::bucket/key")},
		{"unsigned", "GET", "/moto-api/", "", nil, Call{Operation: "GET /moto-api/"}},
		{"unsigned invocation", "POST", "/2015-03-31/functions/f/invocations", "", nil,
			Call{Service: "lambda", Operation: "Invoke", Function: "f", Resource: "arn:aws:lambda:eu-central-2:123456789012:function:f"}},
		{"signed otherwise", "GET", "/", "", map[string]string{"Authorization": "Bearer token"}, Call{Operation: "GET /"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, tc.url, strings.NewReader(tc.body))
			for name, value := range tc.header {
				if name == "Authorization" && !strings.Contains(value, " ") {
					value = strings.Replace(signedBy, "SERVICE", value, 1)
				}
				r.Header.Set(name, value)
			}
			got, err := identify(r)
			if got != tc.want || err != nil {
				t.Errorf("identify() = %+v, %v, want %+v", got, err, tc.want)
			}
			if body, err := io.ReadAll(r.Body); string(body) != tc.body || err != nil {
				t.Errorf("body afterwards = %q, %v, want %q", body, err, tc.body)
			}
		})
	}
}

// curl and others send this type with every upload.
func TestIdentifyAcceptsUploadsThatAreNotForms(t *testing.T) {
	const data = "100%, and a semicolon; in a PUT"
	r := httptest.NewRequest(http.MethodPut, "/bucket/key", strings.NewReader(data))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	got, err := identify(r)
	if want := (Call{Operation: "PUT /bucket/key"}); got != want || err != nil {
		t.Errorf("identify() = %+v, %v, want %+v", got, err, want)
	}
	if body, err := io.ReadAll(r.Body); string(body) != data || err != nil {
		t.Errorf("body afterwards = %q, %v, want %q", body, err, data)
	}
}

func TestCallNamesItsResourceAsAPolicyDoes(t *testing.T) {
	for _, tc := range []struct{ service, region, target, body, want string }{
		{"sqs", "eu-central-2", "AmazonSQS.SendMessage", `{"MessageBody":"m","QueueUrl":"http://127.0.0.1:4566/123456789012/failed"}`, "arn:aws:sqs:eu-central-2:123456789012:failed"},
		{"sqs", "eu-central-2", "AmazonSQS.GetQueueUrl", `{"QueueName":"failed"}`, "arn:aws:sqs:eu-central-2:123456789012:failed"},
		{"sqs", "eu-central-2", "AmazonSQS.ListQueues", `{}`, ""},
		{"sqs", "eu-central-2", "", "Action=SendMessage&QueueUrl=http%3A%2F%2Flocalhost%2F123456789012%2Ffailed", "arn:aws:sqs:eu-central-2:123456789012:failed"},
		{"dynamodb", "us-gov-west-1", "DynamoDB_20120810.UpdateItem", `{"TableName":"events","Key":{"TableName":{"S":"x"}}}`, "arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/events"},
		{"dynamodb", "eu-central-2", "DynamoDB_20120810.Scan", `{"TableName":"arn:aws:dynamodb:eu-central-2:123456789012:table/events"}`, "arn:aws:dynamodb:eu-central-2:123456789012:table/events"},
		{"dynamodb", "eu-central-2", "DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"events"}}]}`, ""},
		{"logs", "cn-north-1", "Logs_20140328.FilterLogEvents", `{"logGroupName":"/aws/lambda/f"}`, "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/f"},
		{"logs", "eu-central-2", "Logs_20140328.PutLogEvents", `{"logEvents":[],"logGroupName":"g","logStreamName":"s"}`, "arn:aws:logs:eu-central-2:123456789012:log-group:g:log-stream:s"},
		{"states", "eu-central-2", "AWSStepFunctions.StartExecution", `{"stateMachineArn":"arn:aws:states:eu-central-2:123456789012:stateMachine:m"}`, "arn:aws:states:eu-central-2:123456789012:stateMachine:m"},
		{"states", "eu-central-2", "AWSStepFunctions.StopExecution", `{"executionArn":"arn:aws:states:eu-central-2:123456789012:execution:m:e"}`, "arn:aws:states:eu-central-2:123456789012:execution:m:e"},
		{"sns", "eu-central-2", "", "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aeu-central-2%3A123456789012%3At", "arn:aws:sns:eu-central-2:123456789012:t"},
		{"monitoring", "eu-central-2", "GraniteServiceVersion20100801.SetAlarmState", `{"AlarmName":"a"}`, "arn:aws:cloudwatch:eu-central-2:123456789012:alarm:a"},
		{"monitoring", "eu-central-2", "GraniteServiceVersion20100801.DescribeAlarms", `{}`, ""},
		{"kms", "eu-central-2", "TrentService.Decrypt", `{"KeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}`, "arn:aws:kms:eu-central-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},
		{"sqs", "eu-central-2", "AmazonSQS.SendMessage", `{"QueueUrl":7}`, ""},
		{"sqs", "eu-central-2", "AmazonSQS.SendMessage", `no JSON`, ""},
		{"sqs", "eu-central-2", "AmazonSQS.SendMessage", ``, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tc.body))
		r.Header.Set("Authorization", strings.NewReplacer("SERVICE", tc.service, "eu-central-2", tc.region).Replace(signedBy))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if tc.target != "" {
			r.Header.Set("X-Amz-Target", tc.target)
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		}
		got, err := identify(r)
		if got.Resource != tc.want || err != nil {
			t.Errorf("resource of %s %s = %q, %v, want %q", tc.target, tc.body, got.Resource, err, tc.want)
		}
		if body, err := io.ReadAll(r.Body); string(body) != tc.body || err != nil {
			t.Errorf("body afterwards = %q, %v, want %q", body, err, tc.body)
		}
	}
}

func TestActionIsTheOneThatAPolicyAllows(t *testing.T) {
	for _, tc := range []struct{ service, operation, want string }{
		{"sqs", "SendMessage", "sqs:SendMessage"},
		{"sqs", "DeleteMessageBatch", "sqs:DeleteMessage"},
		{"sqs", "ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility"},
		{"dynamodb", "UpdateItem", "dynamodb:UpdateItem"},
		{"lambda", "Invoke", "lambda:InvokeFunction"},
		{"monitoring", "SetAlarmState", "cloudwatch:SetAlarmState"},
		{"s3", "GetObjectVersion", "s3:GetObjectVersion"},
		{"s3", "HeadObject", "s3:GetObject"},
		{"lambda", "GET /2015-03-31/functions/f", "lambda:GET /2015-03-31/functions/f"},
	} {
		if got := (Call{Service: tc.service, Operation: tc.operation}).Action(); got != tc.want {
			t.Errorf("action of %s %s = %s, want %s", tc.service, tc.operation, got, tc.want)
		}
	}
}

func TestFunctionName(t *testing.T) {
	for _, tc := range []struct{ in, name, qualifier string }{
		{"generate-data", "generate-data", ""},
		{"generate-data:7", "generate-data", "7"},
		{"generate-data:$LATEST", "generate-data", "$LATEST"},
		{"123456789012:function:generate-data", "generate-data", ""},
		{"123456789012:function:generate-data:live", "generate-data", "live"},
		{"arn:aws:lambda:eu-central-2:123456789012:function:generate-data", "generate-data", ""},
		{"arn:aws-cn:lambda:cn-north-1:123456789012:function:generate-data:7", "generate-data", "7"},
		{"arn:aws:lambda:eu-central-2:123456789012:function:my-function:7", "my-function", "7"},
		{"my-function", "my-function", ""},
		{"my-function:7", "my-function", "7"},
	} {
		if name, qualifier := functionName(tc.in); name != tc.name || qualifier != tc.qualifier {
			t.Errorf("functionName(%q) = %q, %q, want %q, %q", tc.in, name, qualifier, tc.name, tc.qualifier)
		}
	}
}

func TestChangesFunctions(t *testing.T) {
	for _, tc := range []struct {
		service, method string
		want            bool
	}{
		{"cloudformation", http.MethodPost, true},
		{"lambda", http.MethodPut, true},
		{"lambda", http.MethodDelete, true},
		{"lambda", http.MethodGet, false},
		{"dynamodb", http.MethodPost, false},
		{"", http.MethodPost, false},
	} {
		r := httptest.NewRequest(tc.method, "/", nil)
		if got := changesFunctions(Call{Service: tc.service}, r); got != tc.want {
			t.Errorf("changesFunctions(%s %s) = %t, want %t", tc.service, tc.method, got, tc.want)
		}
	}
}
