// Package work is what is done with one event. To do something else with your events, replace this package.
package work

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// New returns the work of insert-data, with the clients and the settings that it needs: here the table that TABLE_NAME names. It runs
// once, when the function starts, and calls nothing. An error names the setting.
func New(cfg aws.Config) (func(ctx context.Context, e event.Event) error, error) {
	name, err := environment.Require("TABLE_NAME")
	if err != nil {
		return nil, err
	}
	return Table{API: dynamodb.NewFromConfig(cfg), Name: name}.Insert, nil
}

// API is the operation of DynamoDB that a Table uses. *dynamodb.Client has it.
type API interface {
	UpdateItem(ctx context.Context, input *dynamodb.UpdateItemInput, options ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Table is the table of events.
type Table struct {
	API  API
	Name string
}

// Insert puts one event into the table. It returns an error if the event may not be in the table. It must be safe to call
// again with the same event: that gives the same row, with the time of the first insert. The condition protects the row of
// another event with the same sequence number and second.
func (t Table) Insert(ctx context.Context, e event.Event) error {
	_, err := t.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(t.Name),
		Key: map[string]types.AttributeValue{
			"sequenceNo":        number(e.SequenceNo),
			"generatedUnixTime": number(e.CurrentTime),
		},
		UpdateExpression: aws.String("SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
			"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
		ConditionExpression: aws.String("attribute_not_exists(sequenceNo) OR randomStringValue = :random"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":random":  &types.AttributeValueMemberS{Value: e.RandomValue},
			":attempt": number(int64(e.RetryAttempt)),
			":now":     number(time.Now().Unix()),
		},
	})
	return err
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
