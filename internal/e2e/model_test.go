package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
	"carnation/internal/localaws"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
	"carnation/internal/operate/model/recording"
)

var recordInto = flag.String("record", "", "folder for the recordings of TestRecordExecutions; the tests of internal/operate/model read those in its testdata")

// TestRecordExecutions records executions of every kind on local AWS, for the tests of internal/operate/model.
//
//	go test -run TestRecordExecutions -record ../operate/model/testdata ./internal/e2e
func TestRecordExecutions(t *testing.T) {
	if *recordInto == "" {
		t.Skip("records only with -record")
	}
	t.Run("inline", func(t *testing.T) {
		t.Parallel()
		s := recordingStack(t, inlineMode, 20*time.Second, "MapMaxConcurrency=4")
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"sequenceNo":."N":"(4|9|14)"`},
			localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data", Nth: 3})
		s.record(t, "inline-failures", s.start(t, `{"start_seq":1,"end_seq":21,"failure_rate":0.3}`), true)
		s.setFaults(t)
		s.record(t, "inline-claims", s.start(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`), true)
		s.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`)
		s.record(t, "inline-buried", s.start(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`), true)
		s.record(t, "inline-succeeded", s.start(t, `{"start_seq":101,"end_seq":106}`), true)
		s.record(t, "inline-refused", s.start(t, `{"start_seq":21,"end_seq":1}`), true)
		s.record(t, "inline-own-events", s.start(t, `{"events":[{"order":"A-1","amount":1},{"order":"A-2","amount":2.50},{"order":"\u202e<script>alert(1)</script>","amount":3}],"time":1700000000,"failure_rate":0.4}`), true)

		s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "UpdateItem", Body: `"N":"[23]0[2-9]"`, For: localaws.Duration(time.Minute)})
		slow := s.start(t, `{"start_seq":201,"end_seq":211}`)
		time.Sleep(2 * time.Second)
		s.record(t, "inline-running", slow, false)
		if _, err := s.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(slow), Error: aws.String("Stopped"), Cause: aws.String("by hand")}); err != nil {
			t.Fatal(err)
		}
		s.record(t, "inline-stopped", slow, true)
		s.record(t, "inline-timed-out", s.start(t, `{"start_seq":302,"end_seq":312}`), true)
		s.setFaults(t)
		s.redrive(t, slow)
		s.record(t, "inline-redriven", slow, true)
		if os.Getenv("RECORD_LARGE") != "" {
			s.record(t, "inline-541-failures", s.start(t, `{"start_seq":1000,"end_seq":1541,"failure_rate":1}`), true)
		}
	})
	t.Run("distributed", func(t *testing.T) {
		t.Parallel()
		s := recordingStack(t, distributedMode, time.Minute)
		s.record(t, "distributed-failures", s.start(t, `{"start_seq":1,"end_seq":31,"failure_rate":0.3}`), true)
		s.record(t, "distributed-claims", s.start(t, `{"start_seq":101,"end_seq":121,"failure_rate":0.1}`), true)
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultGarbage, Function: "insert-data"})
		failed := s.start(t, `{"start_seq":201,"end_seq":231}`)
		s.record(t, "distributed-shard-failed", failed, true)
		s.setFaults(t)
		s.redrive(t, failed)
		s.record(t, "distributed-redriven", failed, true)
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "UpdateItem", Body: `"N":"3[12]`, For: localaws.Duration(time.Minute)})
		slow := s.start(t, `{"start_seq":301,"end_seq":341}`)
		time.Sleep(3 * time.Second)
		s.record(t, "distributed-running", slow, false)
		if _, err := s.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(slow)}); err != nil {
			t.Fatal(err)
		}
		s.record(t, "distributed-stopped", slow, true)
		s.setFaults(t)
		bucket, key := s.outputs["EventsBucketName"], s.outputs["EventsPrefix"]+"recorded.csv"
		store := s3.NewFromConfig(s.config, func(o *s3.Options) { o.UsePathStyle = true })
		table := "order,amount\n"
		for i := range 20 {
			table += fmt.Sprintf("A-%d,%d\n", i, i)
		}
		if _, err := store.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: strings.NewReader(table)}); err != nil {
			t.Fatal(err)
		}
		s.record(t, "distributed-source", s.start(t, fmt.Sprintf(`{"source":{"bucket":%q,"key":%q,"format":"CSV"},"time":1700000000,"failure_rate":0.2}`, bucket, key)), true)
		s.record(t, "distributed-own-events", s.start(t, `{"events":[{"order":"A-1"},{"order":"A-2"},{"order":"A-3"}]}`), true)
		s.record(t, "distributed-refused", s.start(t, `{"start":1}`), true)
	})
	t.Run("express", func(t *testing.T) {
		t.Parallel()
		s := recordingStack(t, distributedMode, time.Minute, "ShardExecutionType=EXPRESS")
		s.express = true
		s.record(t, "express", s.start(t, `{"start_seq":1,"end_seq":31,"failure_rate":0.3}`), true)
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultGarbage, Function: "insert-data"})
		s.record(t, "express-shard-failed", s.start(t, `{"start_seq":201,"end_seq":231}`), true)
	})
}

// recordedStack is a stack whose runs time out soon.
type recordedStack struct {
	*deployed
	express bool
}

func recordingStack(t *testing.T, m *mode, timeout time.Duration, parameters ...string) *recordedStack {
	machine, err := os.ReadFile(root + "/state-machine/" + m.machine + ".asl.json")
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`"TimeoutSeconds": \d+`).FindString(string(machine))
	c := newCloud(t)
	key := "recorded-" + m.machine + ".asl.json"
	if err := c.put(key, []byte(strings.Replace(string(machine), first, fmt.Sprintf(`"TimeoutSeconds": %d`, timeout/time.Second), 1))); err != nil {
		t.Fatal(err)
	}
	parameters = append(parameters, m.parameter+"="+key)
	return &recordedStack{deployed: c.newStack(t, append(parameters, m.parameters...)...)}
}

// record records an execution, once it has ended or as it is.
func (s *recordedStack) record(t *testing.T, name, arn string, ended bool) {
	t.Helper()
	if ended {
		s.wait(t, arn)
	}
	stacks, err := s.cloudformation.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(s.name)})
	if err != nil {
		t.Fatal(err)
	}
	parameters := map[string]string{}
	for _, p := range stacks.Stacks[0].Parameters {
		parameters[*p.ParameterKey] = *p.ParameterValue
	}
	project, environment, _ := strings.Cut(s.name, "-")
	var groups []string
	for _, f := range []string{"generate-data", "insert-data", "plan-shards"} {
		if f != "plan-shards" || s.outputs["MapMode"] == "DISTRIBUTED" {
			groups = append(groups, fmt.Sprintf("/aws/lambda/%s-%s-%s-%s", project, f, environment, localaws.Region))
		}
	}
	groups = append(groups, fmt.Sprintf("/aws/vendedlogs/states/%s-state-machine-%s-%s", project, environment, localaws.Region))
	r, err := recording.Record(t.Context(), s.config, recording.Recording{
		Name: s.name, Region: localaws.Region, StateMachineArn: s.outputs["StateMachineArn"], Outputs: s.outputs, Parameters: parameters, Arn: arn, Express: s.express,
	}, groups)
	if err != nil {
		t.Fatalf("record %s: %v", name, err)
	}
	if err := r.Write(filepath.Join(*recordInto, name+".json.gz")); err != nil {
		t.Fatal(err)
	}
}

// documents checks the documents of the runs of a scenario against the account of its events.
type documents struct {
	stack    *operate.Stack
	inserted map[event.Identity]bool // by the documents of inline runs
	unknown  map[event.Identity]bool // of runs that could not know what became of it
	inline   bool
}

func (p *player) newDocuments(ctx context.Context) (*documents, error) {
	stack, err := operate.OpenWith(ctx, p.config, p.name)
	return &documents{stack, map[event.Identity]bool{}, map[event.Identity]bool{}, p.mode == inlineMode}, err
}

// outcome is what became of the events of a run.
type outcome struct{ generated, claimed, inserted, returned, dead int }

// accounted tells whether a run has come to say what became of its events.
func (e execution) accounted() bool {
	return e.out.Status == sfntypes.ExecutionStatusSucceeded || aws.ToString(e.out.Error) == model.EventsFailed
}

// outcome is the account of a run that has come to one.
func (e execution) outcome(inline bool) (o outcome) {
	for _, item := range e.items {
		if item.ReceiptHandle == "" {
			o.generated++
		}
	}
	o.claimed, o.dead, o.returned = len(e.items)-o.generated, e.buried+len(e.dead), e.returned
	if inline {
		o.returned = len(e.failed) - e.buried
	}
	o.inserted = len(e.items) - o.returned - o.dead
	return o
}

// judge compares the document of a run with what its history, the table and the queues say.
func (d *documents) judge(ctx context.Context, e execution, rows map[event.Identity]row, dead deadLetters) (wrong []string) {
	name := *e.out.Name
	document, err := model.Read(ctx, d.stack, *e.out.ExecutionArn, model.Options{NoLogs: true})
	if err != nil {
		return []string{fmt.Sprintf("the document of run %s: %v", name, err)}
	}
	differ := func(what string, got *int, want int) {
		if got == nil || *got != want {
			text := "none"
			if got != nil {
				text = strconv.Itoa(*got)
			}
			wrong = append(wrong, fmt.Sprintf("the document of run %s, which is %s (%s), has %s %s, want %d", name, e.out.Status, aws.ToString(e.out.Cause), text, what, want))
		}
	}
	o := document.Outcome
	if e.accounted() {
		want := e.outcome(d.inline)
		differ("generated events", o.Generated, want.generated)
		differ("claimed events", o.Claimed, want.claimed)
		differ("dead events", o.Dead, want.dead)
		differ("returned events", o.Returned, want.returned)
		differ("failed events", o.Failed, want.returned+want.dead)
		differ("inserted events", o.Inserted, want.inserted)
		sum := 0
		for _, g := range document.Items.Groups {
			sum += g.Count
			if g.Status == model.ItemUnknown || g.Status == model.ItemRunning {
				wrong = append(wrong, fmt.Sprintf("the document of run %s has %d items that are %s", name, g.Count, g.Status))
			}
		}
		differ("items in groups", &sum, len(e.items))
	}
	for _, s := range document.States {
		if s.Entered != s.Succeeded+s.Failed+s.Running+s.Aborted || s.Running > 0 {
			wrong = append(wrong, fmt.Sprintf("the document of run %s, which has ended, has the state %+v", name, s))
		}
	}
	for _, gap := range document.Partial {
		if gap.What != "log lines" {
			wrong = append(wrong, fmt.Sprintf("the document of run %s has no %s: %s", name, gap.What, gap.Why))
		}
	}
	for _, item := range document.Items.Rows {
		id := event.Identity{SequenceNo: item.SequenceNo, RandomValue: item.RandomValue}
		_, isRow := rows[id]
		if item.Status == model.ItemInserted {
			d.inserted[id] = true
			if !isRow {
				wrong = append(wrong, fmt.Sprintf("the document of run %s says that event %d is in the table, and it is not", name, item.SequenceNo))
			}
		}
		// If the answer to a successful insert is lost, nobody knows of it. The message of a claimed event is gone then, and does not come back; a
		// run that was stopped is not redriven for an event that is in the table.
		if item.Status == model.ItemReturning || item.Status != model.ItemInserted && !e.accounted() {
			d.unknown[id] = true
		}
		if item.Status == model.ItemBuried && len(dead[id]) == 0 {
			wrong = append(wrong, fmt.Sprintf("the document of run %s says that event %d is in the dead-letter queue, and it is not", name, item.SequenceNo))
		}
	}
	return wrong
}

// judgeRows checks that a document says of each row that its event was inserted, unless the event is in the dead-letter queue, too, or no run could
// know.
func (d *documents) judgeRows(rows map[event.Identity]row, dead deadLetters) (wrong []string) {
	for id := range rows {
		if d.inline && !d.inserted[id] && !d.unknown[id] && len(dead[id]) == 0 {
			wrong = append(wrong, fmt.Sprintf("event %d is in the table, and no document says so", id.SequenceNo))
		}
	}
	return wrong
}
