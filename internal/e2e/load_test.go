package e2e

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"carnation/internal/event"
	"carnation/internal/function/generate"
)

var load = flag.Bool("load", false, "also run the tests that take minutes")

func needsLoad(t *testing.T) {
	t.Helper()
	if !*load {
		t.Skip("takes minutes: make load")
	}
}

// TestLargestRangeFitsTheLimitsWhenEveryInsertFails measures what a run's limits are about.
func TestLargestRangeFitsTheLimitsWhenEveryInsertFails(t *testing.T) {
	needsLoad(t)
	t.Parallel()
	s := newStack(t)
	start, end := int64(1<<53-1-generate.MaxItems), int64(1<<53-1) // the longest numbers
	out := s.execute(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":1}`, start, end))
	expectEventsFailed(t, out)
	if got, want := aws.ToString(out.Cause), fmt.Sprintf("%d of %d events failed and are in the retry queue", generate.MaxItems, generate.MaxItems); got != want {
		t.Errorf("cause is %q, want %q", got, want)
	}
	s.expectQueue(t, "RetryQueueUrl", generate.MaxItems, 0)

	largest, events := 0, 0
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: out.ExecutionArn, MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		events += len(page.Events)
		for _, h := range page.Events {
			if d := h.StateEnteredEventDetails; d != nil {
				largest = max(largest, len(aws.ToString(d.Input)))
			}
			if d := h.StateExitedEventDetails; d != nil {
				largest = max(largest, len(aws.ToString(d.Output)))
			}
			if d := h.TaskSucceededEventDetails; d != nil {
				largest = max(largest, len(aws.ToString(d.Output)))
			}
		}
	}
	t.Logf("%d events: %d history events of 25000, and at most %d bytes of state of %d", generate.MaxItems, events, largest, 256<<10)
	if events > 25_000 || largest > 256<<10 {
		t.Error("over the limits")
	}

	// Now all of them as claims, with their receipt handles, failing again.
	out = s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`)
	expectEventsFailed(t, out)
	s.expectQueue(t, "RetryQueueUrl", generate.MaxItems, 0)
	if drained := s.command(nil, carnation, "run", "--until-empty"); drained.code != 0 {
		t.Errorf("drain: %s", drained)
	}
	if rows := s.rows(t, start, end); len(rows) != generate.MaxItems {
		t.Errorf("the table has %d of the events, want %d", len(rows), generate.MaxItems)
	}
}

func TestFiftyOverlappingRunsLoseNothing(t *testing.T) {
	needsLoad(t)
	t.Parallel()
	s := newStack(t)
	const runs, size = 50, 20
	began := time.Now()
	arns := make([]string, runs)
	var group sync.WaitGroup
	for i := range arns {
		group.Go(func() {
			out, err := s.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{
				StateMachineArn: aws.String(s.outputs["StateMachineArn"]),
				Input:           aws.String(fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":0.2}`, 100_000+size*i, 100_000+size*(i+1))),
			})
			if err != nil {
				t.Error(err)
				return
			}
			arns[i] = *out.ExecutionArn
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	var events []event.Event
	for _, arn := range arns {
		s.wait(t, arn)
		events = append(events, s.generated(t, arn)...)
	}
	t.Logf("%d overlapping runs of %d events took %s", runs, size, time.Since(began).Round(100*time.Millisecond))
	if drained := s.command(nil, carnation, "run", "--until-empty"); drained.code != 0 {
		t.Errorf("drain: %s", drained)
	}
	s.expectInserted(t, 100_000, 100_000+runs*size, events)
}

func TestTwoThousandFailedEventsAreDrained(t *testing.T) {
	needsLoad(t)
	t.Parallel()
	s := newStack(t)
	var events []event.Event
	const runs, size = 4, generate.MaxItems // full runs, which have no room for claims
	for i := range runs {
		out := s.execute(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d,"failure_rate":1}`, 200_000+size*i, 200_000+size*(i+1)))
		expectEventsFailed(t, out)
		events = append(events, s.generated(t, *out.ExecutionArn)...)
	}
	waiting, _ := s.queue(t, "RetryQueueUrl")
	if waiting != runs*size {
		t.Fatalf("%d events wait, want %d", waiting, runs*size)
	}
	began := time.Now()
	if drained := s.command(nil, carnation, "run", "--until-empty"); drained.code != 0 {
		t.Errorf("drain: %s", drained)
	}
	t.Logf("draining %d events took %s", waiting, time.Since(began).Round(100*time.Millisecond))
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	s.expectInserted(t, 200_000, 200_000+runs*size, events)
}
