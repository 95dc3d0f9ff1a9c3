package retryqueue

import (
	"encoding/json"

	"carnation/internal/event"
)

// Inputs and outputs of SQS's operations, as far as a Queue needs them. Names are those of the API reference:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html

const (
	receiveCount  = "ApproximateReceiveCount"
	waitingNumber = "ApproximateNumberOfMessages"
)

type receiveInput struct {
	QueueUrl                    string
	MaxNumberOfMessages         int
	WaitTimeSeconds             int // 0 is a short poll
	MessageSystemAttributeNames []string
}

type receiveOutput struct {
	Messages []message
}

type message struct {
	MessageId, Body, ReceiptHandle string
	Attributes                     map[string]string
}

type attributesInput struct {
	QueueUrl       string
	AttributeNames []string
}

type attributesOutput struct {
	Attributes map[string]string
}

// batchInput is the input of each operation that takes up to ten entries.
type batchInput[E any] struct {
	QueueUrl string
	Entries  []E
}

type releaseEntry struct {
	Id, ReceiptHandle string
	VisibilityTimeout int // seconds
}

type deleteEntry struct {
	Id, ReceiptHandle string
}

type sendEntry struct {
	Id                string
	MessageBody       body
	MessageAttributes map[string]messageAttribute
}

// body is an event as the text of its JSON.
type body event.Event

func (b body) MarshalText() ([]byte, error) { return json.Marshal(event.Event(b)) }

type messageAttribute struct {
	DataType, StringValue string
}

// batchOutput says what became of each entry, though the call was served.
type batchOutput struct {
	Successful []struct{ Id string }
	Failed     []failedEntry
}

type failedEntry struct {
	Id, Code, Message string
	SenderFault       bool
}
