package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"carnation/internal/event"
)

// fakeTable records the calls and answers with an error or nil.
type fakeTable struct {
	inputs []*dynamodb.UpdateItemInput
	err    error
}

func (f *fakeTable) UpdateItem(_ context.Context, input *dynamodb.UpdateItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	f.inputs = append(f.inputs, input)
	return &dynamodb.UpdateItemOutput{}, f.err
}

func TestAnInsertIsOneIdempotentUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeTable{}
		e := event.Event{SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, StartSeq: 1, EndSeq: 21, RetryAttempt: 1}
		if err := (Table{API: fake, Name: "carnation-events"}).Insert(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		want := []*dynamodb.UpdateItemInput{{
			TableName: aws.String("carnation-events"),
			Key:       map[string]types.AttributeValue{"sequenceNo": number(7), "randomStringValue": &types.AttributeValueMemberS{Value: e.RandomValue}},
			UpdateExpression: aws.String("SET generatedUnixTime = :generated, retryAttempt = :attempt, updatedUnixTime = :now, " +
				"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":generated": number(1795416822), ":attempt": number(1), ":now": number(time.Now().Unix()),
			},
		}}
		if !reflect.DeepEqual(fake.inputs, want) {
			t.Errorf("UpdateItem(%+v), want %+v", fake.inputs, want)
		}
	})
}

func TestTheRowOfARecordHasTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeTable{}
		e := event.Event{SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, Source: "s3://bucket/key", Payload: json.RawMessage(
			`{"text":"Zoë <&> \ud83d\ude80","empty":"","null":null,"yes":true,"no":false,"list":[1,"a",[],{}],"deep":{"n":-1.50,"big":12345678901234567890123456789012345678}}`)}
		if err := (Table{API: fake, Name: "carnation-events"}).Insert(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
		digits := func(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
		object := func(fields map[string]types.AttributeValue) types.AttributeValue {
			return &types.AttributeValueMemberM{Value: fields}
		}
		list := func(elements ...types.AttributeValue) types.AttributeValue {
			return &types.AttributeValueMemberL{Value: append([]types.AttributeValue{}, elements...)}
		}
		want := &dynamodb.UpdateItemInput{
			TableName: aws.String("carnation-events"),
			Key:       map[string]types.AttributeValue{"sequenceNo": number(7), "randomStringValue": text(e.RandomValue)},
			UpdateExpression: aws.String("SET generatedUnixTime = :generated, retryAttempt = :attempt, updatedUnixTime = :now, " +
				"createdUnixTime = if_not_exists(createdUnixTime, :now), #source = :source, #payload = :payload"),
			ExpressionAttributeNames: map[string]string{"#source": "source", "#payload": "payload"},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":generated": number(1795416822), ":attempt": number(0), ":now": number(time.Now().Unix()), ":source": text("s3://bucket/key"),
				":payload": object(map[string]types.AttributeValue{
					"text": text("Zoë <&> 🚀"), "empty": text(""), "null": &types.AttributeValueMemberNULL{Value: true},
					"yes": &types.AttributeValueMemberBOOL{Value: true}, "no": &types.AttributeValueMemberBOOL{Value: false},
					"list": list(digits("1"), text("a"), list(), object(map[string]types.AttributeValue{})),
					"deep": object(map[string]types.AttributeValue{"n": digits("-1.50"), "big": digits("12345678901234567890123456789012345678")}),
				}),
			},
		}
		if len(fake.inputs) != 1 || !reflect.DeepEqual(fake.inputs[0], want) {
			t.Errorf("UpdateItem(%+v), want %+v", fake.inputs, want)
		}
	})
}

// DynamoDB counts 38 digits. Zeros at the ends are no digits of a number, but could count as such.
func TestNumbersKeepTheirDigits(t *testing.T) {
	zeros := strings.Repeat("0", 60)
	for _, tc := range []struct{ number, want string }{
		{"0", "0"}, {"-0", "-0"}, {"1.50", "1.50"}, {"1e125", "1e125"}, {"-9.99E-130", "-9.99E-130"},
		{"0." + zeros, "0"}, {"12" + zeros, "12E60"}, {"-0." + zeros + "12", "-12E-62"}, {"1.5" + zeros + "e10", "15E9"},
		{"12345678901234567890123456789012345678", "12345678901234567890123456789012345678"},
		{"-0.12345678901234567890123456789012345678", "-12345678901234567890123456789012345678E-38"},
		{"1" + zeros + "e99999999999999999999", "1" + zeros + "e99999999999999999999"},
	} {
		if got := decimal(tc.number); got != tc.want {
			t.Errorf("decimal(%s) = %s, want %s", tc.number, got, tc.want)
		}
	}
}

func TestWhatDynamoDBRefusesForGoodIsPermanent(t *testing.T) {
	for _, tc := range []struct {
		err       error
		permanent bool
	}{
		{&smithy.GenericAPIError{Code: "ValidationException", Message: "Item size to update has exceeded the maximum allowed size"}, true},
		{fmt.Errorf("operation error DynamoDB: %w", &smithy.GenericAPIError{Code: "ValidationException"}), true},
		{&types.ProvisionedThroughputExceededException{}, false},
		{&smithy.GenericAPIError{Code: "AccessDeniedException"}, false},
		{errors.New("connection refused"), false},
	} {
		err := (Table{API: &fakeTable{err: tc.err}, Name: "carnation-events"}).Insert(t.Context(), event.Event{})
		if !errors.Is(err, tc.err) || IsPermanent(err) != tc.permanent {
			t.Errorf("Insert() error = %v, permanent %t, want %t", err, IsPermanent(err), tc.permanent)
		}
	}
}

func TestAFailedUpdateIsTheErrorOfTheInsert(t *testing.T) {
	fake := &fakeTable{err: errors.New("throttled")}
	if err := (Table{API: fake, Name: "carnation-events"}).Insert(t.Context(), event.Event{}); !errors.Is(err, fake.err) {
		t.Errorf("Insert() error = %v, want %v", err, fake.err)
	}
}

func TestTheTableComesFromTheEnvironment(t *testing.T) {
	t.Setenv("TABLE_NAME", "")
	if _, err := New(aws.Config{}); err == nil || err.Error() != "environment variable TABLE_NAME is not set" {
		t.Errorf("New() without TABLE_NAME: error = %v", err)
	}
	t.Setenv("TABLE_NAME", "carnation-events")
	if insert, err := New(aws.Config{}); err != nil || insert == nil {
		t.Errorf("New() with TABLE_NAME: error = %v", err)
	}
}
