package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
)

// Ages of dead letters, in groups. SQS counts from when a message was first sent, and deletes it after the queue's retention.
var ages = []struct {
	below time.Duration
	name  string
}{{time.Hour, "under 1 hour"}, {24 * time.Hour, "under 1 day"}, {7 * 24 * time.Hour, "under 7 days"}}

const oldestAge = "7 days or more"

func ageOf(sent, now time.Time) string {
	for _, age := range ages {
		if now.Sub(sent) < age.below {
			return age.name
		}
	}
	return oldestAge
}

// Grouping says by what dead letters are grouped.
type Grouping struct{ Error, Run, Age bool }

// DeadLetterGroup is dead letters that have something in common. The fields that they are not grouped by are empty.
type DeadLetterGroup struct {
	Error        string    `json:"error,omitempty"`
	ExecutionArn string    `json:"execution_arn,omitempty"`
	Age          string    `json:"age,omitempty"`
	Messages     int       `json:"messages"`
	Oldest       time.Time `json:"oldest"`
	Newest       time.Time `json:"newest"`
	Sequence     string    `json:"sequence,omitempty"` // of the events, as ParseSequences reads it
}

// DeadLetters is the dead letters of a selection, in groups.
type DeadLetters struct {
	Received
	Groups []DeadLetterGroup
	IDs    []string // of the messages
}

// DeadLetters looks at the dead-letter queue and groups the selected messages. It reports how many messages it has seen.
func (s *Stack) DeadLetters(ctx context.Context, selection Selection, by Grouping, report func(seen int)) (DeadLetters, error) {
	return s.LookAtDeadLetters(ctx, selection, by, report, func(*DeadLetter) {})
}

// LookAtDeadLetters is DeadLetters, and also gives each of the selected messages to look. Calls of look do not overlap.
func (s *Stack) LookAtDeadLetters(ctx context.Context, selection Selection, by Grouping, report func(seen int), look func(*DeadLetter)) (DeadLetters, error) {
	var mu sync.Mutex
	var list DeadLetters
	groups := letterGroups{by: by, now: time.Now(), groups: map[DeadLetterGroup]*DeadLetterGroup{}, sequences: map[DeadLetterGroup][]int64{}}
	received, err := s.eachDeadLetter(ctx, selection, report, func(_ context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, letter := range letters {
			groups.add(letter)
			list.IDs = append(list.IDs, letter.MessageID)
			look(letter)
		}
		return nil, nil
	})
	list.Received, list.Groups = received, groups.sorted()
	return list, err
}

// letterGroups groups dead letters.
type letterGroups struct {
	by        Grouping
	now       time.Time
	groups    map[DeadLetterGroup]*DeadLetterGroup
	sequences map[DeadLetterGroup][]int64
}

func (g *letterGroups) add(letter *DeadLetter) {
	var key DeadLetterGroup
	if g.by.Error {
		key.Error = letter.Error
	}
	if g.by.Run {
		key.ExecutionArn = letter.ExecutionArn
	}
	if g.by.Age {
		key.Age = ageOf(letter.Sent, g.now)
	}
	group := g.groups[key]
	if group == nil {
		group = &DeadLetterGroup{Error: key.Error, ExecutionArn: key.ExecutionArn, Age: key.Age, Oldest: letter.Sent, Newest: letter.Sent}
		g.groups[key] = group
	}
	group.Messages++
	if letter.Sent.Before(group.Oldest) {
		group.Oldest = letter.Sent
	}
	if letter.Sent.After(group.Newest) {
		group.Newest = letter.Sent
	}
	if n, ok := letter.SequenceNo(); ok {
		g.sequences[key] = append(g.sequences[key], n)
	}
}

func (g *letterGroups) sorted() []DeadLetterGroup {
	list := []DeadLetterGroup{}
	for key, group := range g.groups {
		group.Sequence = formatSequences(g.sequences[key])
		list = append(list, *group)
	}
	slices.SortFunc(list, func(a, b DeadLetterGroup) int {
		return cmp.Or(cmp.Compare(a.Error, b.Error), a.Oldest.Compare(b.Oldest), cmp.Compare(a.ExecutionArn, b.ExecutionArn), b.Newest.Compare(a.Newest))
	})
	return list
}

// ExportDeadLetters gives the selected messages to keep, at most ten at a time, and leaves them in the queue. Calls of keep do not overlap.
func (s *Stack) ExportDeadLetters(ctx context.Context, selection Selection, report func(seen int), keep func([]*DeadLetter) error) (Received, error) {
	var mu sync.Mutex
	return s.eachDeadLetter(ctx, selection, report, func(_ context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		mu.Lock()
		defer mu.Unlock()
		return nil, keep(letters)
	})
}

// DropDeadLetters deletes the selected messages, and returns how many. It gives them to keep before, which returns once they are safe. Calls
// of keep do not overlap.
func (s *Stack) DropDeadLetters(ctx context.Context, selection Selection, report func(seen int), keep func([]*DeadLetter) error) (dropped int, _ Received, _ error) {
	var mu sync.Mutex
	received, err := s.eachDeadLetter(ctx, selection, report, func(_ context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		mu.Lock()
		defer mu.Unlock()
		if err := keep(letters); err != nil {
			return nil, err
		}
		return letters, nil
	})
	return received.deleted, received, err
}

// Redrive sends the selected messages to the retry queue and deletes them, in this order: if it is interrupted, an event may be in both
// queues, which leads to one row. It returns how many it moved. A message keeps its body and its attributes, and its attribute Replays is
// counted up. It is new to SQS, so its event has all of its retries.
func (s *Stack) Redrive(ctx context.Context, selection Selection, report func(seen int)) (moved int, _ Received, _ error) {
	received, err := s.eachDeadLetter(ctx, selection, report, func(ctx context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		return s.replay(ctx, letters)
	})
	return received.deleted, received, err
}

// mostBytes is the largest batch that replay sends. Ten events always fit.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const mostBytes = 256 << 10

// replay sends dead letters to the retry queue, and returns those that are there.
func (s *Stack) replay(ctx context.Context, letters []*DeadLetter) (sent []*DeadLetter, err error) {
	for len(letters) > 0 && err == nil {
		n, size := 1, letters[0].size()
		for n < len(letters) && size+letters[n].size() <= mostBytes {
			size += letters[n].size()
			n++
		}
		var done []*DeadLetter
		done, err = s.replayBatch(ctx, letters[:n])
		sent, letters = append(sent, done...), letters[n:]
	}
	return sent, err
}

// size is that of the message, as SQS counts it, or more.
func (d *DeadLetter) size() int {
	size := len(aws.ToString(d.message.Body)) + 100 // for the attribute Replays
	for name, value := range d.message.MessageAttributes {
		size += len(name) + len(aws.ToString(value.DataType)) + len(aws.ToString(value.StringValue)) + len(value.BinaryValue)
	}
	return size
}

// replayBatch sends at most ten dead letters. SQS can fail for one entry of a batch. Such an entry is sent again alone, and the SDK repeats
// that call.
func (s *Stack) replayBatch(ctx context.Context, letters []*DeadLetter) (sent []*DeadLetter, err error) {
	entries := make([]types.SendMessageBatchRequestEntry, len(letters))
	for i, letter := range letters {
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: letter.message.Body, MessageAttributes: letter.replayAttributes(),
		}
	}
	url := aws.String(s.RetryQueueURL)
	out, err := s.queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
	if err != nil {
		return nil, fmt.Errorf("send %d messages to the retry queue: %w", len(letters), err)
	}
	done := map[int]bool{}
	for _, entry := range out.Successful {
		done[position(entry.Id)] = true
	}
	for i, letter := range letters {
		if !done[i] {
			input := &sqs.SendMessageInput{QueueUrl: url, MessageBody: entries[i].MessageBody, MessageAttributes: entries[i].MessageAttributes}
			if _, failed := s.queues.SendMessage(ctx, input); failed != nil {
				err = errors.Join(err, fmt.Errorf("send message %s to the retry queue: %w", letter.MessageID, failed))
				continue
			}
		}
		sent = append(sent, letter)
	}
	return sent, err
}

// replayAttributes are those of the message, with Replays counted up. Permanent goes: the next run may find that a retry helps now, and if SQS
// moves the message back by itself, nobody has said that none does.
func (d *DeadLetter) replayAttributes() map[string]types.MessageAttributeValue {
	attributes := map[string]types.MessageAttributeValue{}
	maps.Copy(attributes, d.message.MessageAttributes)
	delete(attributes, permanentAttribute)
	attributes[replaysAttribute] = types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(d.Replays + 1))}
	return attributes
}

// Found is what FindDeadLetter found: one dead letter of those that are selected.
type Found struct {
	Received
	Letter *DeadLetter // the one with the lowest sequence number; of these, the oldest. nil if there is none
	IDs    []string    // of the selected messages
	Events int         // different events among them, not more than two are counted
}

// FindDeadLetter returns one of the selected dead letters.
func (s *Stack) FindDeadLetter(ctx context.Context, selection Selection, report func(seen int)) (Found, error) {
	var mu sync.Mutex
	var found Found
	received, err := s.eachDeadLetter(ctx, selection, report, func(_ context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, letter := range letters {
			found.IDs = append(found.IDs, letter.MessageID)
			if found.Letter == nil {
				found.Letter, found.Events = letter, 1
				continue
			}
			if !letter.sameEvent(found.Letter) {
				found.Events = 2
			}
			if letter.before(found.Letter) {
				found.Letter = letter
			}
		}
		return nil, nil
	})
	found.Received = received
	return found, err
}

// before tells whether FindDeadLetter prefers d.
func (d *DeadLetter) before(other *DeadLetter) bool {
	n, isEvent := d.SequenceNo()
	m, otherIsEvent := other.SequenceNo()
	if isEvent != otherIsEvent {
		return isEvent
	}
	return cmp.Or(cmp.Compare(n, m), d.Sent.Compare(other.Sent), cmp.Compare(d.MessageID, other.MessageID)) < 0
}

// ErrGone says that a dead letter is not in the queue any more, or that somebody else holds it.
var ErrGone = errors.New("the message is no longer in the dead-letter queue, or another command holds it")

// Replace sends an event with another payload to the retry queue, and then deletes the messages with these ids, which must be the event. The
// event keeps its sequence number, its random value and its time, and thus its row: its payload is what the first one should have been.
// It returns how many of the messages it deleted. The error is ErrGone if none of them is there, and an *event.RecordError if the
// payload cannot be one. In both cases nothing is sent.
func (s *Stack) Replace(ctx context.Context, ids []string, payload json.RawMessage) (deleted int, _ error) {
	if err := event.CheckRecord(payload); err != nil {
		return 0, err
	}
	var mu sync.Mutex
	sent := false
	received, err := s.eachDeadLetter(ctx, Selection{MessageIDs: ids, Max: len(ids)}, nil, func(ctx context.Context, letters []*DeadLetter) ([]*DeadLetter, error) {
		mu.Lock()
		defer mu.Unlock()
		if !sent {
			changed, err := letters[0].withPayload(payload)
			if err != nil {
				return nil, err
			}
			if _, err := s.replay(ctx, []*DeadLetter{changed}); err != nil {
				return nil, err
			}
			sent = true
		}
		return letters, nil
	})
	if err == nil && !sent {
		err = ErrGone
	}
	return received.deleted, err
}

// withPayload is the same event with another payload.
func (d *DeadLetter) withPayload(payload json.RawMessage) (*DeadLetter, error) {
	if d.Payload() == nil {
		return nil, fmt.Errorf("message %s has no payload", d.MessageID)
	}
	e := *d.event
	e.Payload = payload
	body, err := event.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("change message %s: %w", d.MessageID, err)
	}
	changed := *d
	changed.message.Body = aws.String(string(body))
	return &changed, nil
}
