// Command insert-data is the Lambda function that inserts events into the table.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"carnation/internal/awsjson"
	"carnation/internal/insert"
	"carnation/internal/settings"
)

func main() {
	logger := settings.NewLogger()
	s, err := settings.Load(logger)
	table, tableErr := settings.Require("TABLE_NAME")
	endpoint, endpointErr := settings.RequireURL("DYNAMODB_ENDPOINT")
	if err := errors.Join(err, tableErr, endpointErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &insert.Handler{
		API: awsjson.New(s.AWS, awsjson.DynamoDB, endpoint.String()), TableName: table, Queue: s.Queue,
		Metrics: s.Metrics, Logger: logger, FailureInjection: s.FailureInjection,
	}
	lambda.Start(handler.Handle)
}
