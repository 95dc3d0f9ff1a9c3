// Command insert-data is the Lambda function that inserts events into the table.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/function/environment"
	"carnation/internal/function/insert"
	"carnation/internal/function/retryqueue"
	"carnation/internal/function/work"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load()
	insertEvent, workErr := work.New(s.AWS)
	deadLetters, queueErr := environment.RequireURL("DEAD_LETTER_QUEUE_URL")
	receives, receivesErr := environment.RequireInt("MAX_RECEIVE_COUNT", 1000)
	if err := errors.Join(err, workErr, queueErr, receivesErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &insert.Handler{
		Work:             insertEvent,
		Queue:            retryqueue.Queue{API: sqs.NewFromConfig(s.AWS), URL: s.RetryQueueURL, DeadLetterURL: deadLetters, Logger: logger},
		Metrics:          environment.Metrics{Logger: logger, ProjectName: s.ProjectName, Environment: s.Environment},
		Logger:           logger,
		MaxReceiveCount:  receives,
		FailureInjection: s.FailureInjection,
	}
	lambda.Start(handler.Handle)
}
