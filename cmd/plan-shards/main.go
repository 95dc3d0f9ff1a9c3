// Command plan-shards is the Lambda function that splits a run of the distributed mode into shards, and adds up what
// became of their events.
package main

import (
	"errors"
	"math"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"carnation/internal/function/environment"
	"carnation/internal/function/shard"
)

func main() {
	logger := environment.NewLogger()
	s, err := environment.Load(logger)
	size, sizeErr := environment.RequireInt("SHARD_SIZE", shard.MaxSize)
	concurrency, concurrencyErr := shardConcurrency()
	if err := errors.Join(err, sizeErr, concurrencyErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &shard.Handler{Queue: s.Queue, Logger: logger, Size: size, Concurrency: concurrency, FailureInjection: s.FailureInjection}
	lambda.Start(handler.Handle)
}

// shardConcurrency is how many shards a run works on at once. More than the functions have reserved would be throttled.
func shardConcurrency() (int64, error) {
	concurrency, err := environment.RequireInt("SHARD_CONCURRENCY", shard.MaxConcurrency)
	if err != nil || os.Getenv("RESERVED_CONCURRENCY") == "" {
		return concurrency, err
	}
	reserved, err := environment.RequireInt("RESERVED_CONCURRENCY", math.MaxInt32)
	return min(concurrency, reserved), err
}
