package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/localaws"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
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
	expectInOrder(t, s.runsCommand(t, 0, nil, "list", "--max", "1"), "STARTED ", "RUNNING ", "half-way ", "events 100 to 109 ", "there are older runs")
	expectInOrder(t, s.runsCommand(t, 0, nil, "list"), "half-way ", "FAILED ", "failed ", "events 1 to 10 ", "0 of 10 events were inserted; 10 were returned to the retry queue")

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
	expectInOrder(t, s.runsCommand(t, 0, nil, "show", "half-way"), "run ", "half-way\n", "stack ", "carnation-devl, inline, eu-central-2\n", "status ", "ABORTED\n",
		"outcome ", "The run was stopped with 13 of 20 events inserted\n", "input ", "events 100 to 109\n", "cost ", "$0.0",
		"\nSTATE ", "\nGenerate Data ", "\nProcess Events ", "\n  Insert Data ", "\nEVENTS ", "13 ", "inserted ", "7 ", "unknown ", "\nSEQUENCE ", "claimed ", "\nCOST ", "state transitions ", "total ")

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

	// The document, without and with payloads.
	var doc model.Document
	s.runsCommand(t, 0, &doc, "show", arn, "--output", "json")
	if doc.Run.Arn != arn || doc.Run.Redrives != 1 || *doc.Outcome.Inserted != 20 || len(doc.Items.Rows) != 20 || doc.Run.RawInput != nil || len(doc.Partial) != 0 {
		t.Errorf("the document says %+v, %+v, %d events, %v", doc.Run, doc.Outcome, len(doc.Items.Rows), doc.Partial)
	}
	s.runsCommand(t, 0, &doc, "show", arn, "--output", "json", "--payloads")
	if got := string(doc.Run.RawInput); !equalJSON(t, got, `{"start_seq":100,"end_seq":110}`) {
		t.Errorf("the document with payloads has the input %s", got)
	}
	expectInOrder(t, s.runsCommand(t, 2, nil, "show", "arn:aws:states:eu-central-2:123456789012:execution:other:run"), "is not one of stack carnation-devl")

	// The report has the same document, and what went in and out only if asked.
	dir := t.TempDir()
	for _, payloads := range []bool{false, true} {
		file := filepath.Join(dir, "run.html")
		args := []string{carnation, "report", "half-way", "-o", file}
		if payloads {
			args = append(args, "--payloads")
		}
		expectInOrder(t, s.run(t, args...), file+": 0.", " MB; open file://"+file+" in a browser")
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, visits := between(string(page), `id="carnation-document">`, "</script>"), between(string(page), `id="carnation-visits">`, "</script>")
		if err := json.Unmarshal([]byte(document), &doc); err != nil || doc.Run.Arn != arn || *doc.Outcome.Inserted != 20 {
			t.Errorf("the report has the document %.200s, %v", document, err)
		}
		if got := strings.Contains(visits, `"receipt_handle"`); got != payloads || strings.Contains(document, `"raw_input"`) != payloads {
			t.Errorf("with --payloads=%t the report has what went in and out: %t", payloads, got)
		}
	}
}

// between is the text between two others.
func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}
