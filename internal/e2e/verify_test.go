package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/localaws"
	"carnation/internal/operate/model"
	"carnation/internal/verify"
)

// TestVerify runs carnation verify on a healthy stack of each mode, stops it halfway, and then breaks the stack in several ways, which it
// must name. What the commands call there must be what the policies of their users allow.
func TestVerify(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	reading, operating, verifying := map[use]bool{}, map[use]bool{}, map[use]bool{}
	liar := buildZip(t, "liar") // insert-data that says that it inserts, and does not
	atOnce(t, []string{"inline", "distributed"}, func(t *testing.T, mode string) {
		v := verified{newStack(t, "MapMode="+strings.ToUpper(mode)), mode}
		expectStatus(t, v.execute(t, `{"start_seq":1,"end_seq":3}`), sfntypes.ExecutionStatusSucceeded) // rows of somebody else
		users := v.users()
		v.expectAllHeld(t)
		verify := users.next()
		if t.Failed() {
			return // every check of a broken stack would fail too
		}
		read := v.readRuns(t)
		v.run(t, carnation, "run", "--start-seq", "0", "--end-seq", "0")
		v.handleDeadLetters(t)
		operate := users.next()
		mu.Lock()
		maps.Copy(reading, read)
		maps.Copy(operating, operate)
		maps.Copy(verifying, verify)
		mu.Unlock()
		if mode == "inline" {
			v.expectNothingLeftByInterrupt(t)
		}
		v.expectSabotageNamed(t, liar)
		v.expectNothingLeft(t)
	})
	if t.Failed() {
		return
	}
	c := newCloud(t)
	p, held := places{"carnation", "devl", bucket, keyID}, c.accessPolicies(t, "BucketName="+bucket, "KmsKeyId="+keyID)
	p.expectReaderAccess(t, held, reading)
	maps.Copy(operating, reading)
	p.expectOperatorAccess(t, held, operating)
	maps.Copy(verifying, operating)
	p.expectVerifierAccess(t, held, verifying)
}

// verified is a stack that carnation verify verifies.
type verified struct {
	*deployed
	mode string
}

// verify runs carnation verify with the checks of these names, or with all.
func (v verified) verify(t *testing.T, code int, checks ...string) verify.Report {
	t.Helper()
	args := []string{carnation, "verify", "--output", "json"}
	if len(checks) > 0 {
		args = append(args, "--checks", strings.Join(checks, ","))
	}
	out := v.command(nil, args...)
	var report verify.Report
	if err := json.Unmarshal([]byte(out.stdout), &report); err != nil || out.code != code {
		t.Fatalf("carnation verify: %v: %s, want exit code %d", err, out, code)
	}
	return report
}

func (v verified) expectAllHeld(t *testing.T) {
	begun := time.Now()
	report := v.verify(t, 0)
	t.Logf("%s: %.0f s", v.mode, time.Since(begun).Seconds())
	if report.Mode != v.mode || report.Region != localaws.Region || report.Endpoint != "local AWS" || report.Stack != v.name {
		t.Errorf("the report is of stack %s, %s, %s in %s", report.Stack, report.Mode, report.Endpoint, report.Region)
	}
	names := append(verify.Names(), "clean-up")
	notOnLocalAWS := []string{"metrics", "subscription"} // which has no subscription here
	for i, c := range report.Checks {
		want := verify.Yes
		if slices.Contains(notOnLocalAWS, c.Check) {
			want = verify.NotChecked
		}
		if i >= len(names) || c.Check != names[i] || c.Held != want || c.Seen == "" || strings.Contains(c.Seen, "123456789012") {
			t.Errorf("check %+v, want %s", c, want)
		}
	}
	if len(report.Checks) != len(names) {
		t.Errorf("%d checks, want %d", len(report.Checks), len(names))
	}
	v.expectNothingLeft(t)
}

// readRuns is what carnation status calls while a run waits for generate-data, and runs list, runs show and report afterwards.
func (v verified) readRuns(t *testing.T) map[use]bool {
	t.Helper()
	v.setFaults(t, localaws.Rule{Fault: localaws.FaultThrottle, Operation: "Invoke", Function: "generate-data"})
	arn := v.start(t, `{"start_seq":0,"end_seq":0}`)
	users := v.users()
	waitFor(t, "carnation status to show the run", func() bool {
		want := map[string]string{"inline": "running", "distributed": "0 of 1 shards done"}[v.mode]
		return strings.Contains(v.run(t, carnation, "status"), want)
	})
	v.setFaults(t)
	expectStatus(t, v.wait(t, arn), sfntypes.ExecutionStatusSucceeded)
	v.run(t, carnation, "runs", "list")
	var run model.Document
	if err := json.Unmarshal([]byte(v.run(t, carnation, "runs", "show", arn, "--output", "json")), &run); err != nil {
		t.Fatal(err)
	}
	if run.Shards != nil {
		v.run(t, carnation, "runs", "show", run.Shards.Rows[0].Arn)
	}
	v.run(t, carnation, "report", arn, "-o", os.DevNull, "--payloads")
	return users.next()
}

// expectNothingLeft checks that only the two rows of somebody else are left, and all else is as it was.
func (v verified) expectNothingLeft(t *testing.T) {
	t.Helper()
	if rows := v.rows(t, 0, 1<<53); len(rows) != 2 {
		t.Errorf("the table has %d events, want the 2 of somebody else", len(rows))
	}
	v.expectQueue(t, "RetryQueueUrl", 0, 0)
	v.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
	concurrency, err := v.lambda.GetFunctionConcurrency(t.Context(), &lambda.GetFunctionConcurrencyInput{FunctionName: aws.String(v.outputs["InsertDataFunctionArn"])})
	if err != nil || concurrency.ReservedConcurrentExecutions != nil {
		t.Errorf("insert-data has a reserved concurrency: %v, %v", concurrency, err)
	}
	alarms, err := cloudwatch.NewFromConfig(v.config).DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{StateValue: cloudwatchtypes.StateValueAlarm})
	if err != nil || len(alarms.MetricAlarms) != 0 {
		t.Errorf("%d alarms are in alarm: %v", len(alarms.MetricAlarms), err)
	}
}

// expectNothingLeftByInterrupt stops verify at the worst moment: while insert-data is kept from running and an execution waits for it.
func (v verified) expectNothingLeftByInterrupt(t *testing.T) {
	p := launch(t, v.environment(), carnation, "verify", "--checks", "retry,redrive")
	waitFor(t, "a throttled insert-data", func() bool {
		out, err := v.lambda.GetFunctionConcurrency(t.Context(), &lambda.GetFunctionConcurrencyInput{FunctionName: aws.String(v.outputs["InsertDataFunctionArn"])})
		return err == nil && out.ReservedConcurrentExecutions != nil
	})
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err == nil || p.cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("interrupted, verify ended with %v: %s", err, p.output.String())
	}
	for _, want := range []string{"| not checked | ", "stopped before the end", "| clean-up ", "carnation: verify: stopped before the end"} {
		if !strings.Contains(p.output.String(), want) {
			t.Errorf("interrupted, verify printed %s, want %q", p.output.String(), want)
		}
	}
	v.expectNothingLeft(t)
}

// expectNamed breaks the stack, and expects one check to say what is broken.
func (v verified) expectNamed(t *testing.T, check, want string, breakIt, mendIt func()) {
	t.Helper()
	breakIt()
	report := v.verify(t, 1, check)
	mendIt()
	if c := report.Checks[0]; c.Held != verify.No || !strings.Contains(c.Seen, want) {
		t.Errorf("check %s of a broken stack is %s: %s, want %q", check, c.Held, c.Seen, want)
	}
	if c := report.Checks[1]; c.Check != "clean-up" || c.Held != verify.Yes {
		t.Errorf("after %s, check %s is %s: %s", check, c.Check, c.Held, c.Seen)
	}
}

func (v verified) expectSabotageNamed(t *testing.T, liar []byte) {
	ctx, nothing := t.Context(), func() {}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	// Somebody's message in a queue is in danger, so verify refuses.
	sent, err := v.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(v.outputs["DeadLetterQueueUrl"]), MessageBody: aws.String(`{}`)})
	must(err)
	if out := v.command(nil, carnation, "verify"); out.code != 2 || !strings.Contains(out.stderr, "the queues hold events (retry queue: 0 waiting, 0 in flight; dead-letter queue: 1)") {
		t.Errorf("with a message %s in a queue, carnation verify: %s, want it to refuse", *sent.MessageId, out)
	}
	v.takeAll(t, "DeadLetterQueueUrl")

	queue := aws.String(v.outputs["RetryQueueUrl"])
	attributes, err := v.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameRedrivePolicy}})
	must(err)
	setPolicy := func(policy string) func() {
		return func() {
			_, err := v.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: queue, Attributes: map[string]string{"RedrivePolicy": policy}})
			must(err)
		}
	}
	v.expectNamed(t, "receives", "the retry queue has no redrive policy", setPolicy(""), setPolicy(attributes.Attributes["RedrivePolicy"]))

	alarms, name := cloudwatch.NewFromConfig(v.config), []string{"carnation-executions-timed-out-devl-" + localaws.Region}
	disable := func() {
		_, err := alarms.DisableAlarmActions(ctx, &cloudwatch.DisableAlarmActionsInput{AlarmNames: name})
		must(err)
	}
	enable := func() {
		_, err := alarms.EnableAlarmActions(ctx, &cloudwatch.EnableAlarmActionsInput{AlarmNames: name})
		must(err)
	}
	v.expectNamed(t, "actions", "alarms do not notify the topic: "+name[0], disable, nothing)
	v.expectNamed(t, "alarm", "alarm "+name[0]+" does not notify the topic", nothing, enable)

	v.expectNamed(t, "insert", "5 of 5 events have no row, although their run says that they were inserted", func() {
		must(v.put("liar.zip", liar))
		v.update(t, "InsertDataS3Key=liar.zip")
	}, func() { v.update(t, "InsertDataS3Key=insert-data.zip") })

	const silent = "nobody gets them: the e-mail subscription is not confirmed"
	v.expectNamed(t, "subscription", silent, func() {
		_, err := sns.NewFromConfig(v.config).Subscribe(ctx, &sns.SubscribeInput{
			TopicArn: aws.String(v.outputs["TopicArn"]), Protocol: aws.String("email"), Endpoint: aws.String("ops@example.com"),
		})
		must(err)
	}, nothing) // it is deleted with the topic
	if got := v.run(t, carnation, "status"); !strings.Contains(got, "alarms             "+silent) {
		t.Errorf("carnation status printed %s, want %q", got, silent)
	}

	group := aws.String("/aws/lambda/" + functionName("insert-data"))
	v.expectNamed(t, "logs", fmt.Sprintf("the log group %s does not exist", *group), func() {
		_, err := cloudwatchlogs.NewFromConfig(v.config).DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: group})
		must(err)
	}, nothing) // CloudFormation deletes a stack without it
}
