// Command generate-data is the Lambda function that checks a run's input, claims failed events and generates new ones.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"carnation/internal/function/environment"
	"carnation/internal/function/generate"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load(logger)
	concurrency, concurrencyErr := environment.RequireConcurrency(logger, "MAP_MAX_CONCURRENCY", generate.MaxConcurrency)
	if err := errors.Join(err, concurrencyErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &generate.Handler{Queue: s.Queue, Metrics: s.Metrics, Concurrency: concurrency, FailureInjection: s.FailureInjection}
	lambda.Start(handler.Handle)
}
