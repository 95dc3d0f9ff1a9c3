// Command plan-shards is the Lambda function that splits a run of the distributed mode into shards, and adds up their results.
package main

import (
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
	"carnation/internal/function/environment"
	"carnation/internal/function/retryqueue"
	"carnation/internal/function/shard"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load()
	size, sizeErr := environment.RequireInt("SHARD_SIZE", event.MaxShardSize)
	concurrency, concurrencyErr := environment.RequireConcurrency("SHARD_CONCURRENCY", shard.MaxConcurrency)
	if err := errors.Join(err, sizeErr, concurrencyErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &shard.Handler{
		Queue:            retryqueue.Queue{API: sqs.NewFromConfig(s.AWS), URL: s.RetryQueueURL, Logger: logger},
		Objects:          s3.NewFromConfig(s.AWS, func(o *s3.Options) { o.UsePathStyle = s.AWS.BaseEndpoint != nil }), // local AWS
		Logger:           logger,
		Size:             size,
		Concurrency:      concurrency,
		FailureInjection: s.FailureInjection,
	}
	lambda.Start(handler.Handle)
}
