// Command generate-data is the Lambda function that checks the input of a run, generates new events and claims failed ones.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/function/environment"
	"carnation/internal/function/generate"
	"carnation/internal/function/retryqueue"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load()
	concurrency, concurrencyErr := environment.RequireConcurrency("MAP_MAX_CONCURRENCY", generate.MaxConcurrency)
	if err := errors.Join(err, concurrencyErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &generate.Handler{
		Queue:            retryqueue.Queue{API: sqs.NewFromConfig(s.AWS), URL: s.RetryQueueURL, Logger: logger},
		Metrics:          environment.Metrics{Logger: logger, ProjectName: s.ProjectName, Environment: s.Environment},
		Logger:           logger,
		Concurrency:      concurrency,
		FailureInjection: s.FailureInjection,
	}
	lambda.Start(handler.Handle)
}
