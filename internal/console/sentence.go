package console

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate/model"
)

// Tones of the sentence.
const (
	toneGood    = "good"
	toneWaiting = "waiting"
	toneBad     = "bad"
	toneBusy    = "busy"
)

// sentence says what matters most about where the events are, in words. counted says that the number of rows is not older than the rest.
func sentence(o *Overview, newest []RunRow, counted bool) (text, tone string) {
	var parts []string
	tone = toneGood
	if n := o.Queues.DeadLetter; n > 0 {
		parts, tone = append(parts, events(n, "failed for good", "failed for good")), toneBad
	}
	stopped := 0
	for _, run := range newest {
		if run.Status == string(types.ExecutionStatusAborted) || run.Status == string(types.ExecutionStatusTimedOut) {
			stopped++
		}
	}
	if n := o.Queues.Retry; n > 0 {
		parts = append(parts, events(n, "is waiting for the next run", "are waiting for the next run"))
	}
	if n := o.Queues.InFlight; n > 0 && len(o.Running) == 0 {
		parts = append(parts, events(n, "was claimed by a run that has ended, and comes back by itself", "were claimed by a run that has ended, and come back by themselves"))
	}
	if stopped > 0 {
		parts = append(parts, count(stopped, "run was stopped: a redrive continues it", "runs were stopped: a redrive continues them"))
	}
	if len(parts) > 0 && tone == toneGood {
		tone = toneWaiting
	}
	if n := len(o.Running); n > 0 {
		parts, tone = append([]string{count(n, "run is working", "runs are working")}, parts...), toneBusy
	}
	if len(parts) > 0 {
		return strings.Join(parts, "; "), tone
	}
	// The events of a run that failed in another way than as designed may be nowhere but in its history.
	failed := len(newest) > 0 && newest[0].Status == string(types.ExecutionStatusFailed) && (newest[0].Summary == nil || newest[0].Summary.Error != model.EventsFailed)
	switch {
	case failed && (!counted || o.Rows > 0):
		return "The last run failed, and no event waits", toneBad
	case !counted:
		return "No event waits", tone
	case len(newest) == 0 && o.Rows == 0:
		return "There are no events yet", tone
	case failed:
		return "The last run failed, and there are no events", toneBad
	case o.Rows == 1:
		return "The only event is in the table", tone
	}
	return fmt.Sprintf("All %s events are in the table", thousands(o.Rows)), tone
}

func events(n int, one, many string) string {
	return count(n, "event "+one, "events "+many)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands is a number as people write it: 12,345.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
