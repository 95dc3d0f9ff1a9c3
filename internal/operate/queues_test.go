package operate

import (
	"fmt"
	"strings"
	"testing"
)

// holding answers with these numbers of messages, one after another. The last one is repeated.
func (f *fakeAWS) holding(list ...Queues) {
	f.answer["GetQueueAttributes"] = func(input map[string]any) (any, error) {
		now := list[0]
		attributes := map[string]string{}
		for _, name := range input["AttributeNames"].([]any) {
			switch {
			case input["QueueUrl"] == "https://sqs/dead" && name == "ApproximateNumberOfMessages":
				attributes[name.(string)] = fmt.Sprint(now.DeadLetter / 2)
			case input["QueueUrl"] == "https://sqs/dead": // somebody looks at the others
				attributes[name.(string)] = fmt.Sprint(now.DeadLetter - now.DeadLetter/2)
			case name == "ApproximateNumberOfMessages":
				attributes[name.(string)] = fmt.Sprint(now.Retry)
			default:
				attributes[name.(string)] = fmt.Sprint(now.InFlight)
			}
		}
		if input["QueueUrl"] == "https://sqs/dead" && len(list) > 1 { // asked last
			list = list[1:]
		}
		return map[string]any{"Attributes": attributes}, nil
	}
}

func TestQueuesCountsBothQueues(t *testing.T) {
	f, s := newFakeAWS(t)
	want := Queues{Retry: 3, InFlight: 2, DeadLetter: 1}
	f.holding(want)
	if got, err := s.Queues(t.Context()); got != want || err != nil {
		t.Errorf("Queues() = %+v, %v, want %+v", got, err, want)
	}
}

func TestQueuesSaysWhichQueueCannotBeCounted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(map[string]any) (any, error)
		want   []string
	}{
		{"refused", func(map[string]any) (any, error) { return nil, fmt.Errorf("AccessDenied") }, []string{"count messages of https://sqs/retry: ", "AccessDenied"}},
		{"no figure", func(map[string]any) (any, error) {
			return map[string]any{"Attributes": map[string]string{"ApproximateNumberOfMessages": "many"}}, nil
		}, []string{`count messages of https://sqs/retry: ApproximateNumberOfMessages is "many"`}},
	} {
		f, s := newFakeAWS(t)
		f.answer["GetQueueAttributes"] = tc.answer
		_, err := s.Queues(t.Context())
		for _, want := range tc.want {
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("%s: Queues() error = %v, want %s", tc.name, err, want)
			}
		}
	}
}
