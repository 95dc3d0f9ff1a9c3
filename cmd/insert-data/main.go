// Command insert-data is the Lambda function that inserts events into the table.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"carnation/internal/function/awsjson"
	"carnation/internal/function/environment"
	"carnation/internal/function/insert"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load(logger)
	table, tableErr := environment.Require("TABLE_NAME")
	endpoint, endpointErr := environment.RequireURL("DYNAMODB_ENDPOINT")
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
