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
	table := fmt.Sprintf("%d of %s in the table", inserted, areEvents(total))
	if total < 0 {
		table = fmt.Sprintf("%s in the table", areEvents(inserted))
	}
	if o.Inserted == nil && shards != nil {
		table = fmt.Sprintf("%d of %s done", shards.Succeeded, strings.Replace(areEvents(shards.Total), "event", "shard", 1))
		total = shards.Total
	}
	switch {
	case status == string(types.ExecutionStatusRunning), status == string(types.ExecutionStatusPendingRedrive):
		o.Sentence = "Running"
		if total > 0 {
			o.Sentence = "Running: " + table + " so far"
		}
	case status == string(types.ExecutionStatusSucceeded) && total == 0:
		o.Sentence = "There was nothing to do: no new events, and none to retry"
	case status == string(types.ExecutionStatusSucceeded) && inserted == total:
		o.Sentence = fmt.Sprintf("All %s in the table", areEvents(total))
		if total == 1 {
			o.Sentence = "The event is in the table"
		}
	case o.complete() && total >= 0 && inserted+*o.Failed == total:
		o.Sentence = table + "; " + o.rest()
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
			o.Sentence = ended + " with " + strings.NewReplacer(" are ", " ", " is ", " ").Replace(table)
		}
	}
}

// rest is where the failed events are.
func (o *Outcome) rest() string {
	var parts []string
	if n := *o.Returned; n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s for the next run", n, map[bool]string{true: "waits", false: "wait"}[n == 1]))
	}
	if n := *o.Dead; n > 0 {
		parts = append(parts, fmt.Sprintf("%d %s in the dead-letter queue", n, map[bool]string{true: "is", false: "are"}[n == 1]))
	}
	return strings.Join(parts, ", ")
}

func areEvents(n int) string {
	if n == 1 {
		return "1 event is"
	}
	return fmt.Sprintf("%d events are", n)
}
