package e2e

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/localaws"
	"carnation/internal/operate"
)

// runsCommand runs carnation runs, which must end with this code, and reads its JSON.
func (d *deployed) runsCommand(t testing.TB, code int, result any, args ...string) string {
	t.Helper()
	out := d.command(nil, append([]string{carnation, "runs"}, args...)...)
	if out.code != code {
		t.Fatalf("carnation runs %v: %s, want exit code %d", args, out, code)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(out.stdout), result); err != nil {
			t.Fatalf("carnation runs %v: %v: %s", args, err, out)
		}
	}
	return out.stdout + out.stderr
}

// ended counts the iterations of a run's Map that have ended.
func (d *deployed) ended(t testing.TB, arn string) (n int) {
	t.Helper()
	pages := sfn.NewGetExecutionHistoryPaginator(d.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), IncludeExecutionData: aws.Bool(false)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if e.Type == sfntypes.HistoryEventTypeMapIterationSucceeded {
				n++
			}
		}
	}
	return n
}

// TestRunsCommand follows a run that is stopped half way and redriven, with the built command, as docs/operations.md says.
func TestRunsCommand(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	// Ten events fail, and wait in the retry queue. Such a run has nothing to redrive.
	out := s.command(nil, carnation, "run", "--start-seq", "1", "--end-seq", "11", "--failure-rate", "1", "--name", "failed")
	if out.code != 1 {
		t.Fatalf("carnation run: %s, want exit code 1", out)
	}
	expectInOrder(t, s.runsCommand(t, 1, nil, "redrive", "failed", "--yes"), "carnation: runs: run failed has nothing to redrive: its events are in the table or in a queue")
	expectInOrder(t, s.runsCommand(t, 1, nil, "stop", "failed", "--yes"), "carnation: runs: run failed is FAILED: must be RUNNING to be stopped")
	expectInOrder(t, s.runsCommand(t, 2, nil, "stop", "nobody", "--yes"), "stack carnation-devl has no run nobody")

	// A run of them and of ten new events waits for the answers about three of the old ones and four of the new ones.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "Invoke", Function: "insert-data", Body: `"sequence_no":([123]|10[0-3]),`, For: localaws.Duration(time.Minute)})
	started := time.Now()
	begun, err := s.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{
		StateMachineArn: aws.String(s.outputs["StateMachineArn"]), Name: aws.String("half-way"), Input: aws.String(`{"start_seq":100,"end_seq":110}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := *begun.ExecutionArn
	waitFor(t, "13 events", func() bool { return s.ended(t, arn) == 13 })
	var list struct {
		Runs []operate.ListedRun
		More bool
	}
	s.runsCommand(t, 0, &list, "list", "--status", "running", "--output", "json")
	if len(list.Runs) != 1 || list.Runs[0].Arn != arn || list.Runs[0].Name != "half-way" || list.Runs[0].Stopped != nil {
		t.Errorf("the running runs are %+v, want half-way", list.Runs)
	}
	expectInOrder(t, s.runsCommand(t, 0, nil, "list", "--max", "1"), "STARTED ", "RUNNING ", "half-way\n", "there are older runs")
	expectInOrder(t, s.runsCommand(t, 0, nil, "list"), "half-way\n", "FAILED ", "failed\n")

	expectInOrder(t, s.onTerminal(t, nil, "n\n", carnation, "runs", "stop", "half-way"),
		"- 13 of 20 events are done: in the table or in a queue", "- 4 new events are then only in the history of the run; within 14 days, carnation runs redrive half-way continues with them",
		"- 3 claimed events come back to the retry queue without help, by ", "Do you want to stop run half-way of stack carnation-devl? [y/N]", "nothing was stopped")
	var change operate.RunChange
	s.runsCommand(t, 0, &change, "stop", arn, "--yes", "--output", "json")
	if change.Status != "ABORTED" || change.Events != 20 || change.Done != 13 || change.New != 4 || change.Claimed != 3 {
		t.Errorf("the stop leaves %+v, want 4 new and 3 claimed events of 20", change)
	}
	// The visibility timeout of the stack is 960 seconds.
	if at := aws.ToTime(change.Returns); at.Before(started.Add(959*time.Second)) || at.After(time.Now().Add(961*time.Second)) {
		t.Errorf("the claimed events are said to be back at %s, want 960 s after %s", at, started)
	}
	s.setFaults(t)

	expectInOrder(t, s.onTerminal(t, nil, "y\n", carnation, "runs", "redrive", "half-way"),
		"- 7 of 20 events have no result, and the run tries them again", "- 13 events keep their results", "- 3 claimed events come back",
		"Do you want to redrive run half-way of stack carnation-devl? [y/N]", "half-way RUNNING", "half-way SUCCEEDED in ", "10 new and 10 claimed events, 20 inserted, 0 failed",
		"retry queue: 0 waiting, 0 in flight; dead-letter queue: 0")
	s.expectInserted(t, 100, 110, s.generated(t, arn))
	if rows := s.rows(t, 1, 11); len(rows) != 10 {
		t.Errorf("the table has %d of the claimed events, want 10", len(rows))
	}
	expectInOrder(t, s.runsCommand(t, 1, nil, "redrive", "half-way", "--yes"), "carnation: runs: run half-way cannot be redriven: Execution is SUCCEEDED and cannot be redriven")
	s.runsCommand(t, 0, &list, "list", "--status", "succeeded", "--since", "1h", "--output", "json")
	if len(list.Runs) != 1 || list.Runs[0].Redrives != 1 {
		t.Errorf("the successful runs are %+v, want half-way, redriven once", list.Runs)
	}
}
