package model

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// EventsFailed is the error of a run that worked as designed, and some of whose events failed.
const EventsFailed = "Carnation.EventsFailed"

// failedCause is the cause of such a run, as the state Events Failed writes it.
var failedCause = regexp.MustCompile(`^(\d+) of (\d+) events failed(?: and are in the retry queue|: (\d+) are in the retry queue, (\d+) in the dead-letter queue)$`)

func ptr(n int) *int { return &n }

// known tells what the end of a run says about its events. Without a history, that is what its output or its cause says.
func (o *Outcome) known(input Input, status, output, failure, cause string) bool {
	var total int
	switch {
	case status == string(types.ExecutionStatusSucceeded):
		var counts struct{ Inserted, Failed *int }
		var shard []int // [inserted, returned, dead]
		if json.Unmarshal([]byte(output), &counts) == nil && counts.Inserted != nil {
			total = *counts.Inserted
			o.Inserted, o.Failed, o.Returned, o.Dead = counts.Inserted, ptr(0), ptr(0), ptr(0)
		} else if json.Unmarshal([]byte(output), &shard) == nil && len(shard) == 3 {
			total = shard[0] + shard[1] + shard[2]
			o.Inserted, o.Failed, o.Returned, o.Dead = ptr(shard[0]), ptr(shard[1]+shard[2]), ptr(shard[1]), ptr(shard[2])
		} else {
			return false
		}
	case failure == EventsFailed:
		found := failedCause.FindStringSubmatch(cause)
		if found == nil {
			return false
		}
		number := func(i int) int { n, _ := strconv.Atoi(found[i]); return n }
		total = number(2)
		o.Failed, o.Inserted, o.Returned, o.Dead = ptr(number(1)), ptr(total-number(1)), ptr(number(1)), ptr(0)
		if found[3] != "" {
			o.Returned, o.Dead = ptr(number(3)), ptr(number(4))
		}
	default:
		return false
	}
	if input.Kind != KindSource && input.Kind != KindInvalid && total >= input.Events {
		o.Generated, o.Claimed = ptr(input.Events), ptr(total-input.Events)
	}
	return true
}

// total is the number of events of the run, or -1.
func (o *Outcome) total() int {
	switch {
	case o.Generated != nil && o.Claimed != nil:
		return *o.Generated + *o.Claimed
	case o.Inserted != nil && o.Failed != nil && o.complete():
		return *o.Inserted + *o.Failed
	}
	return -1
}

// complete tells whether every event is accounted for.
func (o *Outcome) complete() bool {
	return o.Inserted != nil && o.Returned != nil && o.Dead != nil && o.Failed != nil && *o.Failed == *o.Returned+*o.Dead
}

// say sets the sentence. shards are those of a distributed run.
func (o *Outcome) say(status, failure string, shards *Shards) {
	total := o.total()
	inserted := 0
	if o.Inserted != nil {
		inserted = *o.Inserted
	}
	of, done := ofTotal(inserted, total, "event"), "inserted"
	if o.Inserted == nil && shards != nil {
		of, done, total = ofTotal(shards.Succeeded, shards.Total, "shard"), "done", shards.Total
	}
	switch {
	case status == string(types.ExecutionStatusRunning), status == string(types.ExecutionStatusPendingRedrive):
		o.Sentence = "Running"
		if total > 0 {
			o.Sentence = "Running: " + of + " " + done + " so far"
		}
	case status == string(types.ExecutionStatusSucceeded) && total == 0:
		o.Sentence = "There was nothing to do: no new events, and none to retry"
	case status == string(types.ExecutionStatusSucceeded) && inserted == total:
		o.Sentence = fmt.Sprintf("All %d events were inserted", total)
		if total == 1 {
			o.Sentence = "The event was inserted"
		}
	case o.complete() && total >= 0 && inserted+*o.Failed == total:
		o.Sentence = of + " " + was(inserted) + " inserted; " + o.rest()
		if total == 1 {
			o.Sentence = "The event was not inserted; it " + strings.TrimPrefix(o.rest(), "1 ")
		}
	case failure == "InvalidInputError", failure == "RangeTooLargeError", failure == "RecordError", failure == "EventsTooLargeError",
		failure == "SourceNotFoundError", failure == "SourceTooLargeError":
		o.Sentence = "The input was refused, and nothing happened"
	default:
		ended := map[string]string{"ABORTED": "The run was stopped", "TIMED_OUT": "The run ran out of time"}[status]
		if ended == "" {
			ended = "The run ended early"
			if failure != "" {
				ended += " with " + failure
			}
		}
		o.Sentence = ended + " before its events were known"
		if o.Inserted != nil || shards != nil {
			o.Sentence = ended + " with " + of + " " + done
		}
	}
}

// rest is what the run did with the events that failed.
func (o *Outcome) rest() string {
	var parts []string
	if n := *o.Returned; n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s returned to the retry queue", n, was(n)))
	}
	if n := *o.Dead; n > 0 {
		parts = append(parts, fmt.Sprintf("%d went to the dead-letter queue", n))
	}
	return strings.Join(parts, ", ")
}

func was(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// ofTotal is "34 of 60 events", or "34 events" if the total is not known.
func ofTotal(n, total int, thing string) string {
	if total < 0 {
		return countOf(n, thing)
	}
	return fmt.Sprintf("%d of %s", n, countOf(total, thing))
}
