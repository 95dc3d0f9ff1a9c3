package operate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
)

// Error names of the dead letters that carry none.
const (
	NotAnEvent   = "NotAnEvent" // the message is not an event, and Carnation did not send it
	UnknownError = "Unknown"    // an event that somebody sent without the attribute Error
)

// Attributes of a dead letter.
const (
	errorAttribute     = "Error"        // the name of the error
	executionAttribute = "ExecutionArn" // the run in which the event failed
	permanentAttribute = "Permanent"    // "true" if no retry can help
	replaysAttribute   = "Replays"      // how often Redrive or Replace sent the message to the retry queue
)

// DeadLetter is a message of the dead-letter queue. Its JSON is a line of an export.
type DeadLetter struct {
	MessageID    string            `json:"message_id"`
	Error        string            `json:"error"`
	Permanent    bool              `json:"permanent,omitempty"`
	ExecutionArn string            `json:"execution_arn,omitempty"`
	Sent         time.Time         `json:"sent"`     // for the first time; SQS keeps it when it moves a message
	Receives     int               `json:"receives"` // in this queue
	Replays      int               `json:"replays,omitempty"`
	Attributes   map[string]string `json:"attributes,omitempty"` // all others; Base64 if they are binary
	Event        json.RawMessage   `json:"event,omitempty"`      // the body, if it is an event
	Body         string            `json:"body,omitempty"`       // the body otherwise
	// BadPayload says why no run takes the payload of the event, such as "the record has 20,481 bytes: must have at most 20,480".
	BadPayload string `json:"bad_payload,omitempty"`

	event   *event.Event
	message types.Message
}

// IsEvent tells whether the message is an event.
func (d *DeadLetter) IsEvent() bool { return d.event != nil }

// retriable tells whether a run would take the message. If not, a redrive is of no use: SQS moves it back.
func (d *DeadLetter) retriable() bool { return d.event != nil && d.BadPayload == "" }

// SequenceNo is the sequence number of the event.
func (d *DeadLetter) SequenceNo() (n int64, ok bool) {
	if d.event == nil {
		return 0, false
	}
	return d.event.SequenceNo, true
}

// sameEvent tells whether both are the same event, which is one row of the table.
func (d *DeadLetter) sameEvent(other *DeadLetter) bool {
	return d.IsEvent() && other.IsEvent() && d.event.Identity() == other.event.Identity()
}

// Payload is the record that the event was made from, or nil: a generated event has none.
func (d *DeadLetter) Payload() json.RawMessage {
	if d.event == nil {
		return nil
	}
	return d.event.Payload
}

// newDeadLetter reads a received message.
func newDeadLetter(message types.Message) *DeadLetter {
	text := func(name string) string { return aws.ToString(message.MessageAttributes[name].StringValue) }
	// A number that cannot be read is 0: it must not keep anybody from handling the message.
	number := func(text string) int64 { n, _ := strconv.ParseInt(text, 10, 64); return n }
	system := func(name types.MessageSystemAttributeName) int64 { return number(message.Attributes[string(name)]) }
	d := &DeadLetter{
		MessageID:    aws.ToString(message.MessageId),
		Error:        text(errorAttribute),
		Permanent:    text(permanentAttribute) == "true",
		ExecutionArn: text(executionAttribute),
		Sent:         time.UnixMilli(system(types.MessageSystemAttributeNameSentTimestamp)).UTC(),
		Receives:     int(system(types.MessageSystemAttributeNameApproximateReceiveCount)),
		Replays:      int(number(text(replaysAttribute))),
		message:      message,
	}
	for name, value := range message.MessageAttributes {
		switch name {
		case errorAttribute, executionAttribute, permanentAttribute, replaysAttribute:
			continue
		}
		if d.Attributes == nil {
			d.Attributes = map[string]string{}
		}
		d.Attributes[name] = aws.ToString(value.StringValue)
		if value.StringValue == nil {
			d.Attributes[name] = base64.StdEncoding.EncodeToString(value.BinaryValue)
		}
	}
	body := aws.ToString(message.Body)
	if e, bad, err := readEvent([]byte(body)); err != nil {
		d.Error, d.Body = NotAnEvent, body
	} else {
		d.event, d.Event, d.BadPayload = &e, json.RawMessage(body), bad
	}
	if d.Error == "" {
		d.Error = UnknownError
	}
	return d
}

// readEvent reads an event. An event that was buried because of its payload is one, too: its payload can be edited. bad says what is wrong
// with the payload.
func readEvent(body []byte) (e event.Event, bad string, err error) {
	e, err = event.Parse(body, "")
	if err == nil {
		return e, "", nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || !bytes.HasPrefix(fields["payload"], []byte("{")) {
		return e, "", err
	}
	invalid := event.CheckRecord(fields["payload"])
	if invalid == nil {
		return e, "", err
	}
	payload := fields["payload"]
	fields["payload"] = json.RawMessage("{}")
	without, err := event.Encode(fields)
	if err != nil {
		return e, "", err
	}
	if e, err = event.Parse(without, ""); err != nil {
		return e, "", err
	}
	e.Payload = payload
	return e, invalid.Error(), nil
}

// SequenceRange is a range of sequence numbers, both ends included.
type SequenceRange struct{ First, Last int64 }

// ParseSequences reads a list such as 7,9-12.
func ParseSequences(text string) ([]SequenceRange, error) {
	var ranges []SequenceRange
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 63)
		to, errTo := strconv.ParseUint(last, 10, 63)
		if err != nil || errTo != nil || from > to || to > event.MaxSequenceNo {
			return nil, fmt.Errorf("must be sequence numbers and ranges of them, such as 7,9-12, from 0 to %d", int64(event.MaxSequenceNo))
		}
		ranges = append(ranges, SequenceRange{int64(from), int64(to)})
	}
	return ranges, nil
}

// formatSequences is the list that ParseSequences reads. It sorts the numbers.
func formatSequences(numbers []int64) string {
	slices.Sort(numbers)
	var list strings.Builder
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] <= numbers[last]+1 {
			last++
		}
		if i > 0 {
			list.WriteByte(',')
		}
		list.WriteString(strconv.FormatInt(numbers[i], 10))
		if numbers[last] > numbers[i] {
			fmt.Fprintf(&list, "-%d", numbers[last])
		}
		i = last + 1
	}
	return list.String()
}

// Selection says which dead letters are meant: those that every field that is set matches. The zero value selects all.
type Selection struct {
	Errors     []string        // names of errors, one of which it must have
	Sequences  []SequenceRange // one of which must contain its sequence number
	Execution  string          // ARN or name of the run in which it failed
	MessageIDs []string        // one of which it must have
	EventsOnly bool            // leave out messages that no run would take: those that are not events, and events with a bad payload
	Max        int             // number of messages at most; 0 for no limit
}

// matches leaves MessageIDs, EventsOnly and Max to the caller.
func (s *Selection) matches(d *DeadLetter) bool {
	if len(s.Errors) > 0 && !slices.Contains(s.Errors, d.Error) {
		return false
	}
	if s.Execution != "" && d.ExecutionArn != s.Execution && !strings.HasSuffix(d.ExecutionArn, ":"+s.Execution) {
		return false
	}
	if len(s.Sequences) > 0 {
		n, ok := d.SequenceNo()
		return ok && slices.ContainsFunc(s.Sequences, func(r SequenceRange) bool { return r.First <= n && n <= r.Last })
	}
	return true
}
