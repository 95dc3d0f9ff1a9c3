package operate

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Queues is the number of messages in the retry queue and in its dead-letter queue. SQS counts approximately: on AWS a number
// can be up to a minute old.
type Queues struct {
	Retry      int `json:"retry_queue"` // waiting
	InFlight   int `json:"in_flight"`   // claimed by a run, which may have died since
	DeadLetter int `json:"dead_letter_queue"`
}

// Queues counts the messages of both queues.
func (s *Stack) Queues(ctx context.Context) (Queues, error) {
	const (
		waiting  = types.QueueAttributeNameApproximateNumberOfMessages
		inFlight = types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	)
	retry, err := s.countMessages(ctx, s.RetryQueueURL, waiting, inFlight)
	if err != nil {
		return Queues{}, err
	}
	// Nobody but people takes dead letters. Those that somebody looks at are not visible for a moment, and are dead letters all the same.
	deadLetter, err := s.countMessages(ctx, s.DeadLetterQueueURL, waiting, inFlight)
	if err != nil {
		return Queues{}, err
	}
	return Queues{Retry: retry[0], InFlight: retry[1], DeadLetter: deadLetter[0] + deadLetter[1]}, nil
}

// countMessages reads these attributes of a queue, in this order.
func (s *Stack) countMessages(ctx context.Context, url string, names ...types.QueueAttributeName) ([]int, error) {
	out, err := s.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url), AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("count messages of %s: %w", url, err)
	}
	counts := make([]int, len(names))
	for i, name := range names {
		if counts[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return nil, fmt.Errorf("count messages of %s: %s is %q: must be an integer", url, name, out.Attributes[string(name)])
		}
	}
	return counts, nil
}
