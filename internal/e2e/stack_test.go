package e2e

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/localaws"
)

func TestWrongParameterIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, test := range []struct{ parameter, want string }{
		{"VisibilityTimeout=900", "VisibilityTimeout"},
		{"Environment=staging", "Environment"},
		{"KmsMasterKeyId=alias/x", "KmsMasterKeyId"},
		{"ProjectName=Has Spaces", "ProjectName"},
		{"NoSuchParameter=1", "NoSuchParameter"},
		{"MapMaxConcurrency=0", "MapMaxConcurrency"},
		{"MapMaxConcurrency=41", "MapMaxConcurrency"},
		{"MapMaxConcurrency=2.5", "must be an integer from 1 to 40"},
		{"EventsBucket=s3://events", "EventsBucket"},
		{"EventsPrefix=carnation/events", "must be folders that each end with a slash"},
		{"EventsPrefix=/events/", "EventsPrefix"},
		{"EventsPrefix=a/../b/", "EventsPrefix"},
	} {
		_, err := c.createStack("carnation-refused", test.parameter)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("a stack with %s: %v, want an error that names %s", test.parameter, err, test.want)
		}
	}
	c.expectNoStack(t, "carnation-refused")
}

// expectNoStack checks that no stack has this name.
func (c *cloud) expectNoStack(t *testing.T, name string) {
	t.Helper()
	if stack, err := c.settled(t.Context(), name); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("stack %s exists, as %s: %v", name, stack.StackStatus, err)
	}
}

func TestProdRefusesSimulatedFailuresAndKeepsItsEvents(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	prod, err := c.createStack("carnation-prod", append(slices.Clone(code), "Environment=prod")...)
	if err != nil {
		t.Fatal(err)
	}
	out := prod.execute(t, `{"start_seq":1,"end_seq":2,"failure_rate":0.5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if got := *out.Cause; !strings.Contains(got, "failure_rate is 0.5: must be 0, because the stack's parameter FailureInjection is disabled") {
		t.Errorf("cause is %s", got)
	}
	expectStatus(t, prod.execute(t, `{"start_seq":1,"end_seq":3,"failure_rate":0}`), sfntypes.ExecutionStatusSucceeded)
	destroyed := c.command([]string{"STACK_NAME=carnation-prod", "YES=1"}, "make", "--no-print-directory", "destroy")
	for _, want := range []string{"table carnation-events-prod-", "queue carnation-retry-queue-prod-", "queue carnation-dead-letter-queue-prod-"} {
		if destroyed.code != 0 || !strings.Contains(destroyed.stdout, "kept, because this was prod: "+want) {
			t.Errorf("make destroy in prod: %s, want it to leave the %s", destroyed, want)
		}
	}
	c.expectNoStack(t, "carnation-prod")
	if rows := prod.rows(t, 1, 3); len(rows) != 2 {
		t.Errorf("after make destroy in prod the table has the rows %v, want those of 2 events", rows)
	}
	table := aws.String(prod.outputs["TableName"])
	if _, err := prod.table.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: table}); err == nil || !strings.Contains(err.Error(), "DeletionProtection") {
		t.Errorf("the table of prod is not protected: its deletion says %v", err)
	}
	if _, err := prod.table.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: table, DeletionProtectionEnabled: aws.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := prod.table.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: table}); err != nil {
		t.Fatal(err)
	}
	for _, queue := range []string{"RetryQueueUrl", "DeadLetterQueueUrl"} {
		if _, err := prod.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: aws.String(prod.outputs[queue])}); err != nil {
			t.Fatal(err)
		}
	}
}

// The table is protected as soon as it is created, so AWS cannot roll the creation back alone.
func TestMakeDestroyRemovesAProdThatWasNeverCreated(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const name = "failed-prod"
	logs := cloudwatchlogs.NewFromConfig(c.config)
	group := aws.String("/aws/lambda/failed-generate-data-prod-" + localaws.Region)
	if _, err := logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := logs.DeleteLogGroup(context.Background(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: group}); err != nil {
			t.Error(err)
		}
	})
	if _, err := c.createStack(name, append(slices.Clone(code), "Environment=prod", "ProjectName=failed")...); err == nil || !strings.Contains(err.Error(), "ROLLBACK_FAILED") {
		t.Fatalf("a stack whose log group exists: %v, want ROLLBACK_FAILED", err)
	}
	if out := c.command([]string{"STACK_NAME=" + name, "YES=1"}, "make", "--no-print-directory", "destroy"); out.code != 0 {
		t.Fatalf("make destroy: %s", out)
	}
	c.expectNoStack(t, name)
	tables, err := dynamodb.NewFromConfig(c.config).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables.TableNames { // other tests may have left those of their own projects
		if strings.HasPrefix(table, "failed-") {
			t.Errorf("after make destroy there is the table %s", table)
		}
	}
}

func TestUpdateRunsTheNewBinaryAndTheNewStateMachineAndDeleteLeavesNothing(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	before := c.everything(t)
	blue, err := c.createStack("blue-devl", append(slices.Clone(code), "ProjectName=blue")...)
	if err != nil {
		t.Fatal(err)
	}
	out := blue.execute(t, `{"start_seq":1,"end_seq":3}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	blue.expectInserted(t, 1, 3, blue.generated(t, *out.ExecutionArn))
	if created := c.everything(t); len(created) < len(before)+20 {
		t.Errorf("with the stack there are only %v", created)
	}

	c.uploadReplacement(t)
	blue.update(t, "GenerateDataS3Key=other.zip")
	answer, err := blue.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String(blue.outputs["GenerateDataFunctionArn"]), Payload: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(answer.Payload), `"version":2`) {
		t.Errorf("after the update generate-data answers %s, want version 2", answer.Payload)
	}

	machine, err := os.ReadFile(filepath.Join(root, "state-machine/carnation-state-machine.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(machine), `"failed": 0`, `"failed": 0, "new": true`, 1)
	if changed == string(machine) {
		t.Fatal("the state machine was not changed")
	}
	if err := c.put("other.asl.json", []byte(changed)); err != nil {
		t.Fatal(err)
	}
	blue.update(t, "GenerateDataS3Key=generate-data.zip", "StateMachineS3Key=other.asl.json")
	out = blue.execute(t, `{"start_seq":3,"end_seq":5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if !equalJSON(t, *out.Output, `{"inserted":2,"failed":0,"new":true}`) {
		t.Errorf("after both updates, the second back to the old binary, the output is %s", *out.Output)
	}

	blue.deleteStack(t, blue.name)
	if after := c.everything(t); !slices.Equal(after, before) {
		t.Errorf("before the stack there were %v, and after its deletion %v", before, after)
	}
}

// uploadReplacement puts the replacement of a function into the bucket, as other.zip.
func (c *cloud) uploadReplacement(t *testing.T) {
	t.Helper()
	if err := c.put("other.zip", buildZip(t, "replacement")); err != nil {
		t.Fatal(err)
	}
}

// Two runs, of which the first begins before an update and the second before another, and both end after them.
func TestRunsThatOverlapAnUpdateEndWithTheCodeThatTheyBeganWith(t *testing.T) {
	t.Parallel()
	atOnce(t, []string{"INLINE", "DISTRIBUTED"}, func(t *testing.T, mode string) {
		s := newStack(t, "MapMode="+mode, "MapMaxConcurrency=1", "ShardSize=1", "ShardConcurrency=1")
		s.uploadReplacement(t)
		before := s.recorded()
		s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "Invoke", Function: "insert-data", For: localaws.Duration(5 * time.Second)})
		expectRunning := func(run string) {
			t.Helper()
			out, err := s.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(run)})
			if err != nil || out.Status != sfntypes.ExecutionStatusRunning {
				t.Fatalf("the run %s is %s (%s: %s), want it to go on: %v", run, out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), err)
			}
		}
		// start starts a run, and returns it once it has invoked the newest version of insert-data.
		function := aws.String(s.outputs["InsertDataFunctionArn"])
		start := func(input string) (run string, version int) {
			t.Helper()
			versions, err := s.lambda.ListVersionsByFunction(t.Context(), &lambda.ListVersionsByFunctionInput{FunctionName: function})
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range versions.Versions {
				number, _ := strconv.Atoi(*one.Version) // 0 for $LATEST
				version = max(version, number)
			}
			run = s.start(t, input)
			waitFor(t, "version "+strconv.Itoa(version)+" of insert-data to be invoked", func() bool {
				expectRunning(run)
				return s.invocations(before, "insert-data")[version] > 0
			})
			return run, version
		}
		old, first := start(`{"start_seq":1,"end_seq":31}`)
		s.update(t, "InsertDataS3Key=other.zip")
		newer, second := start(`{"start_seq":101,"end_seq":131}`)
		s.update(t, "LambdaMemorySize=512")
		expectRunning(old)
		expectRunning(newer)
		s.setFaults(t)
		for _, run := range []string{old, newer} {
			expectStatus(t, s.wait(t, run), sfntypes.ExecutionStatusSucceeded)
		}
		invoked := s.invocations(before, "insert-data")
		if len(invoked) != 2 || invoked[first] < 30 || invoked[second] < 30 {
			t.Errorf("the runs invoked the versions %v, want %d and %d for 30 events each", invoked, first, second)
		}
		if rows := s.rows(t, 1, 131); len(rows) != 30 || len(rows[30]) != 1 {
			t.Errorf("the table has the events %v, want those of the first run: the code of the second inserts none", slices.Sorted(maps.Keys(rows)))
		}
		expectStatus(t, s.execute(t, `{"start_seq":201,"end_seq":202}`), sfntypes.ExecutionStatusSucceeded)
		if after := s.invocations(before, "insert-data"); len(after) != 3 || after[second] != invoked[second] {
			t.Errorf("a run after the update of a setting invoked the versions %v, want one that is not in %v", after, invoked)
		}
		// The second version is repaired for the runs that began with it.
		if _, err := s.lambda.UpdateAlias(t.Context(), &lambda.UpdateAliasInput{
			FunctionName: function, Name: aws.String("v" + strconv.Itoa(second)), FunctionVersion: aws.String(strconv.Itoa(first)),
		}); err != nil {
			t.Fatal(err)
		}
		if failure, answer := s.invoke(t, *function+":v"+strconv.Itoa(second), `{"operation":"InsertItems","items":[],"run":"arn:aws:states:eu-central-2:123456789012:execution:by-hand:1"}`); failure != "" || strings.Contains(answer, "version") {
			t.Errorf("the repaired version answers %s %s, want the answer of the first code", failure, answer)
		}
	})
}

// invocations are how often each version of a function was invoked since then; 0 is the function without a version.
func (c *cloud) invocations(since map[localaws.Call]int, function string) map[int]int {
	counts := map[int]int{}
	for call, n := range c.recorded() {
		if made := n - since[call]; call.Operation == "Invoke" && strings.Contains(call.Function, function) && made > 0 {
			version := 0
			if end := versionAtTheEnd.FindStringSubmatch(call.Resource); end != nil {
				version, _ = strconv.Atoi(end[1])
			}
			counts[version] += made
		}
	}
	return counts
}

// versionAtTheEnd of the ARN of a function: its alias in the templates is v and the number.
var versionAtTheEnd = regexp.MustCompile(`:v(\d+)$`)

// update updates the stack, keeps its other parameters, and waits until the update is complete.
func (d *deployed) update(t *testing.T, changes ...string) {
	t.Helper()
	stack, err := d.settled(t.Context(), d.name)
	if err != nil {
		t.Fatal(err)
	}
	parameters := stack.Parameters
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		i := slices.IndexFunc(parameters, func(p cfntypes.Parameter) bool { return *p.ParameterKey == name })
		parameters[i].ParameterValue = aws.String(value)
	}
	if _, err := d.cloudformation.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{
		StackName: aws.String(d.name), UsePreviousTemplate: aws.Bool(true), Parameters: parameters,
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}); err != nil {
		t.Fatal(err)
	}
	if stack, err = d.settled(t.Context(), d.name); err != nil || stack.StackStatus != cfntypes.StackStatusUpdateComplete {
		t.Fatalf("stack %s is %s: %v", d.name, stack.StackStatus, err)
	}
}

// everything lists the names of all resources in the local AWS, except buckets and keys.
func (c *cloud) everything(t *testing.T) []string {
	t.Helper()
	ctx := t.Context()
	tables, err1 := dynamodb.NewFromConfig(c.config).ListTables(ctx, &dynamodb.ListTablesInput{})
	queues, err2 := sqs.NewFromConfig(c.config).ListQueues(ctx, &sqs.ListQueuesInput{})
	topics, err3 := sns.NewFromConfig(c.config).ListTopics(ctx, &sns.ListTopicsInput{})
	functions, err4 := lambda.NewFromConfig(c.config).ListFunctions(ctx, &lambda.ListFunctionsInput{})
	machines, err5 := sfn.NewFromConfig(c.config).ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
	groups, err6 := cloudwatchlogs.NewFromConfig(c.config).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{})
	stacks, err7 := c.cloudformation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{})
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		t.Fatal(err)
	}
	alarms := c.run(t, "aws", "cloudwatch", "describe-alarms", "--query", "MetricAlarms[].AlarmName", "--output", "text")
	dashboards := c.run(t, "aws", "cloudwatch", "list-dashboards", "--query", "DashboardEntries[].DashboardName", "--output", "text")
	roles := c.run(t, "aws", "iam", "list-roles", "--query", "Roles[].RoleName", "--output", "text")
	names := slices.Concat(tables.TableNames, queues.QueueUrls, strings.Fields(alarms), strings.Fields(dashboards), strings.Fields(roles),
		namesOf(topics.Topics, func(topic snstypes.Topic) *string { return topic.TopicArn }),
		namesOf(functions.Functions, func(function lambdatypes.FunctionConfiguration) *string { return function.FunctionName }),
		namesOf(machines.StateMachines, func(machine sfntypes.StateMachineListItem) *string { return machine.Name }),
		namesOf(groups.LogGroups, func(group logstypes.LogGroup) *string { return group.LogGroupName }),
		namesOf(stacks.Stacks, func(stack cfntypes.Stack) *string { return stack.StackName }))
	slices.Sort(names)
	return names
}

func namesOf[T any](items []T, name func(T) *string) (names []string) {
	for _, item := range items {
		names = append(names, *name(item))
	}
	return names
}
