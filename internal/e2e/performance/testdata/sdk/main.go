// Command sdk is a Lambda function that makes the same call as insert-data, with the SDK's own clients: what those cost.
package main

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

type input struct {
	Items []event.Item `json:"items"`
}

func main() {
	s, err := environment.Load(slog.Default())
	if err != nil {
		slog.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	s.AWS.BaseEndpoint = aws.String(os.Getenv("DYNAMODB_ENDPOINT"))
	table, queue := dynamodb.NewFromConfig(s.AWS), sqs.NewFromConfig(s.AWS)
	lambda.Start(func(ctx context.Context, in input) (any, error) {
		if len(in.Items) == 0 { // insert-data has a client of the queue too
			return queue.ListQueues(ctx, &sqs.ListQueuesInput{})
		}
		e := in.Items[0].Event
		return table.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: aws.String(os.Getenv("TABLE_NAME")),
			Key:       map[string]types.AttributeValue{"sequenceNo": number(e.SequenceNo), "generatedUnixTime": number(e.CurrentTime)},
			UpdateExpression: aws.String("SET randomStringValue = :random, retryAttempt = :attempt, updatedUnixTime = :now, " +
				"createdUnixTime = if_not_exists(createdUnixTime, :now)"),
			ConditionExpression: aws.String("attribute_not_exists(sequenceNo) OR randomStringValue = :random"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":random": &types.AttributeValueMemberS{Value: e.RandomValue}, ":attempt": number(int64(e.RetryAttempt)), ":now": number(time.Now().Unix()),
			},
		})
	})
}

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
