package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
)

// Names of states in the state machine's file that the progress of a run is read from.
const (
	ProcessEvents    = "Process Events"
	EventFailed      = "Event Failed"
	EventIsDead      = "Event Is Dead" // in the dead-letter queue, because no retry can help
	InvocationFailed = "Invocation Failed"
	DeleteBuried     = "Delete Claimed Event" // which comes after the event was sent to the dead-letter queue
)

// history is what the history of one execution says so far. Each history event is read once.
type history struct {
	arn                 string
	newest              int64 // id of the newest history event that has been counted
	total, done, failed int
	dead                int         // of the failed ones
	mapRuns             []string    // ARNs, in a distributed run
	plan                *event.Plan // in a distributed run, once it has been read
}

// read counts the history events since the last read. It reads from the newest event back, because a history can be read
// from its two ends only.
func (h *history) read(ctx context.Context, client *sfn.Client) error {
	newest, oldest := h.newest, int64(math.MaxInt64)
	pages := sfn.NewGetExecutionHistoryPaginator(client, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(h.arn), ReverseOrder: true, MaxResults: 1000, IncludeExecutionData: aws.Bool(false),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for _, e := range page.Events {
			if e.Id <= h.newest {
				h.newest = newest
				return nil
			}
			if e.Id < oldest { // events that are new by now may have moved older ones to this page
				newest, oldest = max(newest, e.Id), e.Id
				h.count(e)
			}
		}
	}
	h.newest = newest
	return nil
}

func (h *history) count(e types.HistoryEvent) {
	switch e.Type {
	case types.HistoryEventTypeMapRunStarted:
		h.mapRuns = append(h.mapRuns, aws.ToString(e.MapRunStartedEventDetails.MapRunArn))
	case types.HistoryEventTypeMapStateStarted:
		// The first Map state has all the events of the run, and the second one at most as many.
		h.total = max(h.total, int(e.MapStateStartedEventDetails.Length))
	case types.HistoryEventTypeMapIterationSucceeded:
		if aws.ToString(e.MapIterationSucceededEventDetails.Name) == ProcessEvents {
			h.done++
		}
	case types.HistoryEventTypePassStateEntered:
		switch aws.ToString(e.StateEnteredEventDetails.Name) {
		case EventFailed, InvocationFailed:
			h.failed++
		case EventIsDead:
			h.failed++
			h.dead++
		}
	case types.HistoryEventTypeTaskStateEntered:
		if aws.ToString(e.StateEnteredEventDetails.Name) == DeleteBuried {
			h.dead++
		}
	}
}

// firstAnswer is what the first function of a run answered: generate-data, or plan-shards in the distributed mode.
type firstAnswer struct {
	Generated, Claimed int
	Plan               *event.Plan
}

// readFirstAnswer finds the answer of the run's first function that the state machine accepted, which is the last one before its state
// ended. It is empty if the run ended before that.
func (s *Stack) readFirstAnswer(ctx context.Context, arn string) (answer firstAnswer, err error) {
	pages := sfn.NewGetExecutionHistoryPaginator(s.executions, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: answerWithin})
	var last types.HistoryEvent
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return answer, fmt.Errorf("read history: %w", err)
		}
		for _, e := range page.Events {
			switch e.Type {
			case types.HistoryEventTypeTaskSucceeded:
				last = e
			case types.HistoryEventTypeTaskStateExited:
				err := decodeAnswer(last, &answer)
				return answer, err
			}
		}
	}
	return answer, nil
}

// answerWithin is how many history events are read at once to find the answer of a function. All retries of a state take fewer.
const answerWithin = 200

// decodeAnswer decodes what a function answered to a task that succeeded.
func decodeAnswer(task types.HistoryEvent, answer any) error {
	if task.TaskSucceededEventDetails == nil {
		return errors.New("the history has no answer of a function")
	}
	output := struct{ Payload any }{answer} // as Step Functions wraps it
	if err := json.Unmarshal([]byte(aws.ToString(task.TaskSucceededEventDetails.Output)), &output); err != nil {
		return fmt.Errorf("decode the answer of a function: %w", err)
	}
	return nil
}
