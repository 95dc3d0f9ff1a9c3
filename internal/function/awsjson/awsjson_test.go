package awsjson_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
	"carnation/internal/function/awsjson"
	"carnation/internal/function/insert"
	"carnation/internal/function/metrics"
	"carnation/internal/function/retryqueue"
)

func configOf(client aws.HTTPClient, retryer aws.Retryer) aws.Config {
	return aws.Config{
		Region: "eu-central-2", HTTPClient: client, Retryer: func() aws.Retryer { return retryer },
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "token"),
	}
}

// request is what a service sees of one.
type request struct {
	Method, URL, Target, ContentType, Token string
	Scope                                   string // that the signature is for
	Body                                    any
}

// recorder notes every request, and answers as a batch of one that was served.
func recorder(t *testing.T, requests *[]request) smithyhttp.ClientDoFunc {
	return func(r *http.Request) (*http.Response, error) {
		got := request{Method: r.Method, URL: r.URL.String(), Target: r.Header.Get("X-Amz-Target"), ContentType: r.Header.Get("Content-Type"), Token: r.Header.Get("X-Amz-Security-Token")}
		if r.ContentLength <= 0 || r.Header.Get("X-Amz-Date") == "" {
			t.Errorf("%s has the length %d and the date %q", got.Target, r.ContentLength, r.Header.Get("X-Amz-Date"))
		}
		authorization := r.Header.Get("Authorization")
		_, scope, _ := strings.Cut(authorization, "Credential=key/")
		got.Scope, _, _ = strings.Cut(scope, ",")
		for _, header := range []string{"host", "content-length", "x-amz-date", "x-amz-security-token", "x-amz-target"} {
			if !strings.Contains(authorization, header) {
				t.Errorf("the signature of %s leaves out %s: %s", got.Target, header, authorization)
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&got.Body); err != nil {
			t.Errorf("body of %s: %v", got.Target, err)
		}
		*requests = append(*requests, got)
		return answered(http.StatusOK, `{"Successful":[{"Id":"0"}]}`, nil), nil
	}
}

func answered(status int, body string, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/x-amz-json-1.0")
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// What the functions call is, request by request, what the SDK's own clients send for the same.
func TestRequestsAreThoseOfTheSDK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the signatures have the same time
		const queueURL = "https://sqs.eu-central-2.amazonaws.com/111122223333/carnation-retry"
		ctx := t.Context()
		var got, want []request

		cfg, logger := configOf(recorder(t, &got), aws.NopRetryer{}), slog.New(slog.DiscardHandler)
		queue := retryqueue.Queue{API: awsjson.New(cfg, awsjson.SQS, "https://sqs.eu-central-2.amazonaws.com"), URL: queueURL, Logger: logger}
		table := &insert.Handler{
			API: awsjson.New(cfg, awsjson.DynamoDB, "https://dynamodb.eu-central-2.amazonaws.com"), TableName: "events",
			Queue: queue, Logger: logger, Metrics: metrics.Counter{Logger: logger},
		}
		e := event.Event{SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, StartSeq: 1, EndSeq: 21}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = table.Handle(ctx, json.RawMessage(`{"items":[{"event":`+string(text)+`}]}`))
		_, claimErr := queue.Claim(ctx, retryqueue.Room{Items: 10, Bytes: 1 << 20})
		_, _ = queue.Waiting(ctx) // the empty answer is none
		err = errors.Join(err, claimErr, queue.Release(ctx, []string{"a"}, time.Now().Add(7*time.Second)), queue.Delete(ctx, []string{"a"}),
			queue.Park(ctx, "arn:run", []retryqueue.Parked{{Event: e, Error: "Throttled"}}))
		if err != nil {
			t.Fatal(err)
		}

		cfg.HTTPClient = recorder(t, &want)
		db, q := dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
		number := func(n int64) types.AttributeValue { return &types.AttributeValueMemberN{Value: fmt.Sprint(n)} }
		_, err = db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String("events"),
			Key:       map[string]types.AttributeValue{"sequenceNo": number(7), "generatedUnixTime": number(1795416822)},
			UpdateExpression: aws.String("SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
				"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
			ConditionExpression: aws.String("attribute_not_exists(sequenceNo) OR randomStringValue = :random"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":random": &types.AttributeValueMemberS{Value: e.RandomValue}, ":attempt": number(0), ":now": number(time.Now().Unix()),
			},
		})
		_, receiveErr := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameApproximateReceiveCount},
		})
		_, countErr := q.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(queueURL), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
		})
		_, releaseErr := q.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: aws.String(queueURL),
			Entries:  []sqstypes.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("a"), VisibilityTimeout: 7}},
		})
		_, deleteErr := q.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
			QueueUrl: aws.String(queueURL), Entries: []sqstypes.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: aws.String("a")}},
		})
		attribute := func(value string) sqstypes.MessageAttributeValue {
			return sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
		}
		_, sendErr := q.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
			QueueUrl: aws.String(queueURL),
			Entries: []sqstypes.SendMessageBatchRequestEntry{{
				Id: aws.String("0"), MessageBody: aws.String(string(text)),
				MessageAttributes: map[string]sqstypes.MessageAttributeValue{"Error": attribute("Throttled"), "ExecutionArn": attribute("arn:run")},
			}},
		})
		if err := errors.Join(err, receiveErr, countErr, releaseErr, deleteErr, sendErr); err != nil {
			t.Fatal(err)
		}
		if len(got) != 6 || len(want) != 6 {
			t.Fatalf("%d requests, %d of the SDK, want 6", len(got), len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("request:\n%+v\nwant as the SDK's:\n%+v", got[i], want[i])
			}
		}
	})
}

// The service's own words and what the retryer makes of them are as with the SDK's own clients.
func TestErrorsAreThoseOfTheSDK(t *testing.T) {
	retryer := retry.NewStandard()
	for name, answer := range map[string]smithyhttp.ClientDoFunc{
		"throttled":      fails(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow down"}`, nil),
		"capacity":       fails(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`, nil),
		"request limit":  fails(400, `{"__type":"com.amazonaws.dynamodb.v20120810#RequestLimitExceeded","message":"slow down"}`, nil),
		"condition":      fails(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"it failed"}`, nil),
		"no table":       fails(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}`, nil),
		"denied":         fails(400, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"not you"}`, nil),
		"header":         fails(400, `{"message":"slow down"}`, http.Header{"X-Amzn-Errortype": {"ThrottlingException:http://internal.amazon.com/"}}),
		"code":           fails(400, `{"code":"ThrottlingException","message":"slow down"}`, nil),
		"internal":       fails(500, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"try again"}`, nil),
		"not available":  fails(503, `{"__type":"ServiceUnavailable","message":"try again"}`, nil),
		"no code":        fails(502, `{}`, nil),
		"not found":      fails(404, `{}`, nil),
		"connection":     func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") },
		"cut off":        cutOff,
		"too large":      fails(413, `{"__type":"RequestEntityTooLargeException","message":"too large"}`, nil),
		"no JSON":        fails(200, `<html>`, nil),
		"half an answer": fails(200, `{"half":`, nil),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(answer, aws.NopRetryer{})
			_, want := dynamodb.NewFromConfig(cfg).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
				TableName: aws.String("t"), Key: map[string]types.AttributeValue{"k": &types.AttributeValueMemberS{Value: "v"}},
			})
			got := awsjson.New(cfg, awsjson.DynamoDB, "https://dynamodb.eu-central-2.amazonaws.com").Call(t.Context(), "UpdateItem", map[string]any{}, nil)
			if got == nil || want == nil {
				t.Fatalf("Call() error = %v, the SDK's is %v", got, want)
			}
			var gotAPI, wantAPI smithy.APIError
			if errors.As(got, &gotAPI) != errors.As(want, &wantAPI) {
				t.Fatalf("Call() error = %v, the SDK's is %v", got, want)
			}
			if wantAPI != nil && (gotAPI.ErrorCode() != wantAPI.ErrorCode() || gotAPI.ErrorMessage() != wantAPI.ErrorMessage()) {
				t.Errorf("Call() error = %s, %q, the SDK's is %s, %q", gotAPI.ErrorCode(), gotAPI.ErrorMessage(), wantAPI.ErrorCode(), wantAPI.ErrorMessage())
			}
			if got, want := retryer.IsErrorRetryable(got), retryer.IsErrorRetryable(want); got != want {
				t.Errorf("to be tried again is %t, with the SDK %t", got, want)
			}
		})
	}
}

func fails(status int, body string, header http.Header) smithyhttp.ClientDoFunc {
	return func(*http.Request) (*http.Response, error) { return answered(status, body, maps.Clone(header)), nil }
}

// The SDK asks SQS for the codes of its older protocol. Ours are others, and yet tried again in the same cases.
func TestErrorsOfSQSAreTriedAgainAsWithTheSDK(t *testing.T) {
	retryer := retry.NewStandard()
	for code, old := range map[string]string{
		"QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue", "ReceiptHandleIsInvalid": "ReceiptHandleIsInvalid",
		"RequestThrottled": "RequestThrottled", "ThrottlingException": "Throttling", "OverLimit": "OverLimit",
		"KmsThrottled": "KMS.ThrottlingException", "KmsAccessDenied": "KMS.AccessDeniedException", "UnrecognizedClientException": "InvalidClientTokenId",
	} {
		cfg := configOf(fails(400, `{"__type":"com.amazonaws.sqs#`+code+`","message":"m"}`, http.Header{"X-Amzn-Query-Error": {old + ";Sender"}}), aws.NopRetryer{})
		_, want := sqs.NewFromConfig(cfg).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("https://sqs.eu-central-2.amazonaws.com/1/q")})
		got := awsjson.New(cfg, awsjson.SQS, "https://sqs.eu-central-2.amazonaws.com").Call(t.Context(), "ReceiveMessage", map[string]any{}, nil)
		var gotAPI, wantAPI smithy.APIError
		if !errors.As(got, &gotAPI) || !errors.As(want, &wantAPI) || gotAPI.ErrorCode() != code || wantAPI.ErrorCode() != old {
			t.Errorf("Call() error = %v, the SDK's is %v, want the codes %s and %s", got, want, code, old)
		}
		if got, want := retryer.IsErrorRetryable(got), retryer.IsErrorRetryable(want); got != want {
			t.Errorf("to be tried again after %s is %t, with the SDK %t", code, got, want)
		}
	}
}

// What the functions are given as endpoints on AWS is, in each partition, where the SDK's clients send their requests.
func TestEndpointsAreThoseOfTheSDK(t *testing.T) {
	template, err := os.ReadFile("../../../cft/nested-stacks/lambda-function-stack.yaml")
	if err != nil {
		t.Fatal(err)
	}
	given := regexp.MustCompile(`\n          DYNAMODB_ENDPOINT: !Sub (\S+)\n`).FindSubmatch(template)
	if given == nil {
		t.Fatal("the template has no DYNAMODB_ENDPOINT")
	}
	for region, suffix := range map[string]string{
		"us-east-1": "amazonaws.com", "eu-central-2": "amazonaws.com", "cn-north-1": "amazonaws.com.cn", "us-gov-west-1": "amazonaws.com", "eusc-de-east-1": "amazonaws.eu",
	} {
		var got, want []request
		cfg := configOf(recorder(t, &got), aws.NopRetryer{})
		cfg.Region = region
		table := strings.NewReplacer("${AWS::Region}", region, "${AWS::URLSuffix}", suffix).Replace(string(given[1]))
		queue := "https://sqs." + region + "." + suffix // as its URL begins, says the SQS Developer Guide
		err := errors.Join(
			awsjson.New(cfg, awsjson.DynamoDB, table).Call(t.Context(), "UpdateItem", map[string]any{}, nil),
			awsjson.New(cfg, awsjson.SQS, queue).Call(t.Context(), "ReceiveMessage", map[string]any{}, nil),
		)
		cfg.HTTPClient = recorder(t, &want)
		_, tableErr := dynamodb.NewFromConfig(cfg).UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: aws.String("t"), Key: map[string]types.AttributeValue{"k": &types.AttributeValueMemberS{Value: "v"}},
		})
		_, queueErr := sqs.NewFromConfig(cfg).ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(queue + "/1/q")})
		if err := errors.Join(err, tableErr, queueErr); err != nil || len(got) != 2 || len(want) != 2 {
			t.Fatalf("%d requests, %d of the SDK, %v, want 2", len(got), len(want), err)
		}
		for i := range want {
			if got[i].URL != want[i].URL || !strings.HasPrefix(got[i].Scope[len("20261124"):], "/"+region+"/") {
				t.Errorf("%s: a request to %s with the scope %s, the SDK's to %s with %s", region, got[i].URL, got[i].Scope, want[i].URL, want[i].Scope)
			}
		}
	}
}

// cutOff is a refusal whose connection ends before its body.
func cutOff(*http.Request) (*http.Response, error) {
	response := answered(500, "", nil)
	response.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"half":`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	return response, nil
}

func TestACallIsTriedAgainUntilItIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		client := awsjson.New(configOf(smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			if len(bodies) < 5 {
				return answered(500, `{"__type":"InternalServerError"}`, nil), err
			}
			return answered(200, `{"Answer":7}`, nil), err
		}), retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 5 })), awsjson.SQS, "https://sqs")
		var output struct{ Answer int }
		if err := client.Call(t.Context(), "ReceiveMessage", map[string]int{"n": 1}, &output); err != nil || output.Answer != 7 {
			t.Errorf("Call() = %+v, %v, want the answer of the fifth attempt", output, err)
		}
		if want := slices.Repeat([]string{`{"n":1}`}, 5); !slices.Equal(bodies, want) {
			t.Errorf("sent %v, want %v", bodies, want)
		}
	})
}

func TestTheLastErrorSaysHowOftenACallWasTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			answer smithyhttp.ClientDoFunc
			want   string
		}{
			{fails(500, `{"__type":"a#InternalServerError","message":"try again"}`, http.Header{"X-Amzn-Requestid": {"id"}}),
				"UpdateItem, attempt 3: InternalServerError: try again (HTTP status 500, request id id)"},
			{fails(400, `{"__type":"a#ValidationException","message":"no such name"}`, http.Header{"X-Amzn-Requestid": {"id"}}),
				"UpdateItem, attempt 1: ValidationException: no such name (HTTP status 400, request id id)"},
			{fails(400, `<html>`, nil), "UpdateItem, attempt 1: UnknownError: UnknownError (HTTP status 400, request id )"},
			{fails(200, `<html>`, nil), "UpdateItem: answer: invalid character '<' looking for beginning of value"},
		} {
			client := awsjson.New(configOf(tc.answer, retry.NewStandard()), awsjson.DynamoDB, "https://dynamodb")
			var output map[string]any
			if err := client.Call(t.Context(), "UpdateItem", map[string]any{}, &output); fmt.Sprint(err) != tc.want {
				t.Errorf("Call() error = %v, want %s", err, tc.want)
			}
		}
	})
}

func TestTheEndOfTheContextEndsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, answer := range map[string]smithyhttp.ClientDoFunc{
			"while it waits for an answer": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			},
			"while it waits for the next attempt": fails(500, `{}`, nil),
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			client := awsjson.New(configOf(answer, patient{retry.NewStandard()}), awsjson.SQS, "https://sqs")
			err := client.Call(ctx, "ReceiveMessage", map[string]any{}, nil)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
				t.Errorf("%s: Call() error = %v after %s, want the context's after 1s", name, err, time.Since(begun))
			}
		}
	})
}

// patient waits a minute for the next attempt.
type patient struct{ aws.Retryer }

func (patient) RetryDelay(int, error) (time.Duration, error) { return time.Minute, nil }

// As the functions have it: connections that break or hang are no end of a call.
func TestACallSurvivesItsConnections(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices a closed connection only after that
		switch requests++; requests {
		case 1: // closed without an answer
			panic(http.ErrAbortHandler)
		case 2: // closed in the midst of one
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"Answer":`)
		case 3: // slower than the client's patience
			<-r.Context().Done()
		default:
			_, _ = io.WriteString(w, `{"Answer":7}`)
		}
	}))
	defer server.Close()
	cfg := configOf(awshttp.NewBuildableClient().WithTimeout(100*time.Millisecond), retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = 5, time.Millisecond
	}))
	cfg.BaseEndpoint = aws.String(server.URL)
	var output struct{ Answer int }
	if err := awsjson.New(cfg, awsjson.SQS, "https://elsewhere").Call(t.Context(), "ReceiveMessage", map[string]any{}, &output); err != nil || output.Answer != 7 {
		t.Errorf("Call() = %+v, %v after %d requests, want the answer", output, err, requests)
	}
}
