// Command insert-data is the Lambda function that inserts events into the table.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"carnation/internal/insert"
	"carnation/internal/settings"
)

func main() {
	logger := settings.NewLogger()
	s, err := settings.Load(logger)
	table, tableErr := settings.Require("TABLE_NAME")
	if err := errors.Join(err, tableErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &insert.Handler{
		API: dynamodb.NewFromConfig(s.AWS), TableName: table, Queue: s.Queue,
		Metrics: s.Metrics, Logger: logger, FailureInjection: s.FailureInjection,
	}
	lambda.Start(handler.Handle)
}
