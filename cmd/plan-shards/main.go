// Command plan-shards is the Lambda function that splits a run of the distributed mode into shards, and adds up what
// became of their events.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/aws/aws-lambda-go/lambda"

	"carnation/internal/settings"
	"carnation/internal/shard"
)

func main() {
	logger := settings.NewLogger()
	s, err := settings.Load(logger)
	size, sizeErr := shardSize()
	if err := errors.Join(err, sizeErr); err != nil {
		logger.Error("function cannot start", "error", err.Error())
		os.Exit(1)
	}
	handler := &shard.Handler{Queue: s.Queue, Logger: logger, Size: size, FailureInjection: s.FailureInjection}
	lambda.Start(handler.Handle)
}

func shardSize() (int64, error) {
	size, err := strconv.ParseInt(os.Getenv("SHARD_SIZE"), 10, 64)
	if err != nil || size < 1 || size > shard.MaxSize {
		return 0, fmt.Errorf("environment variable SHARD_SIZE is %q: allowed is an integer from 1 to %d", os.Getenv("SHARD_SIZE"), shard.MaxSize)
	}
	return size, nil
}
