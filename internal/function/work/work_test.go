package work

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
			Key:       map[string]types.AttributeValue{"sequenceNo": number(7), "generatedUnixTime": number(1795416822)},
			UpdateExpression: aws.String("SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
				"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
			ConditionExpression: aws.String("attribute_not_exists(sequenceNo) OR randomStringValue = :random"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":random": &types.AttributeValueMemberS{Value: e.RandomValue}, ":attempt": number(1), ":now": number(time.Now().Unix()),
			},
		}}
		if !reflect.DeepEqual(fake.inputs, want) {
			t.Errorf("UpdateItem(%+v), want %+v", fake.inputs, want)
		}
	})
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
