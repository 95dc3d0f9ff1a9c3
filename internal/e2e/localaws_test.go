package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"carnation/internal/localaws"
	"carnation/internal/localaws/moto"
)

// TestLocalAWS checks what local AWS does beyond what runs of Carnation need, with a stack and the SDK's clients.
func TestLocalAWS(t *testing.T) {
	t.Parallel()
	s := newStack(t, "SNSSubscriptionEmail=me@example.com")
	t.Run("an alarm reaches the subscribers of its topic", s.alarmReachesItsSubscribers)
	t.Run("metrics are what was put", s.metricsAreWhatWasPut)
	t.Run("values and messages are checked", s.valuesAndMessagesAreChecked)
	t.Run("log lines are found by their fields", s.logLinesAreFoundByTheirFields)
	t.Run("a change set shows what changes, and tags reach the resources", s.changeSetShowsWhatChanges)
	// Nobody needs the log group of insert-data any more. The stack can be deleted nevertheless.
	if _, err := cloudwatchlogs.NewFromConfig(s.config).DeleteLogGroup(t.Context(), &cloudwatchlogs.DeleteLogGroupInput{
		LogGroupName: aws.String("/aws/lambda/" + functionName("insert-data"))}); err != nil {
		t.Error(err)
	}
}

func (s *deployed) valuesAndMessagesAreChecked(t *testing.T) {
	ctx := t.Context()
	const set = "SET textValue = :random, retryAttempt = :attempt, updatedUnixTime = :now"
	const condition = "attribute_not_exists(sequenceNo) OR textValue = :random"
	key := map[string]dbtypes.AttributeValue{
		"sequenceNo": &dbtypes.AttributeValueMemberN{Value: "9000000"}, "randomStringValue": &dbtypes.AttributeValueMemberS{Value: "a"},
	}
	for name, change := range map[string]func(*dynamodb.UpdateItemInput){
		"a large text": func(in *dynamodb.UpdateItemInput) {
			in.ExpressionAttributeValues[":random"] = &dbtypes.AttributeValueMemberS{Value: strings.Repeat("x", 500_000)}
		},
		"no number": func(in *dynamodb.UpdateItemInput) {
			in.ExpressionAttributeValues[":now"] = &dbtypes.AttributeValueMemberN{Value: "abc"}
		},
		"39 digits": func(in *dynamodb.UpdateItemInput) {
			in.ExpressionAttributeValues[":now"] = &dbtypes.AttributeValueMemberN{Value: strings.Repeat("1", 39)}
		},
		"a bad key":  func(in *dynamodb.UpdateItemInput) { in.Key["sequenceNo"] = &dbtypes.AttributeValueMemberN{Value: "x7"} },
		"a text key": func(in *dynamodb.UpdateItemInput) { in.Key["sequenceNo"] = &dbtypes.AttributeValueMemberS{Value: "7"} },
	} {
		in := update(set, condition, "a", 1)
		in.TableName, in.Key = aws.String(s.outputs["TableName"]), maps.Clone(key)
		change(&in)
		if _, err := s.table.UpdateItem(ctx, &in); apiError(err) != "ValidationException" {
			t.Errorf("UpdateItem with %s: %v, want ValidationException", name, err)
		}
	}
	item := maps.Clone(key)
	item["n"] = &dbtypes.AttributeValueMemberN{Value: "9.0001E5"}
	if _, err := s.table.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(s.outputs["TableName"]), Item: item}); err != nil {
		t.Fatal(err)
	}
	got, err := s.table.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(s.outputs["TableName"]), Key: key})
	if n, ok := got.Item["n"].(*dbtypes.AttributeValueMemberN); err != nil || !ok || n.Value != "900010" {
		t.Errorf("GetItem: %v, %v, want n = 900010", got.Item, err)
	}

	queue := aws.String(s.outputs["RetryQueueUrl"])
	if _, err := s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("a\x01")}); !isA[*sqstypes.InvalidMessageContents](err) {
		t.Errorf("SendMessage with U+0001: %v, want InvalidMessageContents", err)
	}
	attribute := map[string]sqstypes.MessageAttributeValue{"Error": {DataType: aws.String("String"), StringValue: aws.String("E")}}
	if _, err := s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String(strings.Repeat("x", 1<<20)), MessageAttributes: attribute}); err == nil {
		t.Error("SendMessage of 1 MiB with an attribute succeeded, want an error")
	}
	attribute["Error"] = sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("")}
	if _, err := s.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue, MessageBody: aws.String("m"), MessageAttributes: attribute}); apiError(err) != "InvalidParameterValue" {
		t.Errorf("SendMessage with an empty attribute: %v, want InvalidParameterValue", err)
	}
}

func (s *deployed) logLinesAreFoundByTheirFields(t *testing.T) {
	s.execute(t, `{"start_seq":9000001,"end_seq":9000003,"failure_rate":1}`)
	defer s.execute(t, `{"start_seq":0,"end_seq":0}`)
	logs := cloudwatchlogs.NewFromConfig(s.config)
	for pattern, want := range map[string]int{
		`{ $.level = "WARN" }`: 2, `{ $.level = "WARN" && $.sequenceNo = 9000002 }`: 1, `{ $.level = "ERROR" }`: 0, `"event failed"`: 2,
	} {
		found, err := logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/lambda/" + functionName("insert-data")), FilterPattern: aws.String(pattern)})
		if err != nil || len(found.Events) != want {
			t.Errorf("FilterLogEvents %s: %d lines, %v, want %d", pattern, len(found.Events), err, want)
		}
	}
}

func (s *deployed) changeSetShowsWhatChanges(t *testing.T) {
	ctx := t.Context()
	name := aws.String("longer-retention")
	if _, err := s.cloudformation.CreateChangeSet(ctx, &cloudformation.CreateChangeSetInput{
		StackName: &s.name, ChangeSetName: name, TemplateURL: aws.String(rootTemplate), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
		Parameters: stackParameters(slices.Concat(code, []string{"MessageRetentionPeriod=604800"})), IncludeNestedStacks: aws.Bool(true),
		Tags: []cfntypes.Tag{{Key: aws.String("team"), Value: aws.String("a")}},
	}); err != nil {
		t.Fatal(err)
	}
	shown, err := s.cloudformation.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{StackName: &s.name, ChangeSetName: name})
	if err != nil || shown.Status != cfntypes.ChangeSetStatusCreateComplete {
		t.Fatalf("DescribeChangeSet: %+v, %v", shown, err)
	}
	changed := func(changes []cfntypes.Change, logicalID string) *cfntypes.ResourceChange {
		t.Helper()
		for _, change := range changes {
			if *change.ResourceChange.LogicalResourceId == logicalID {
				return change.ResourceChange
			}
		}
		t.Fatalf("the change set does not change %s", logicalID)
		return nil
	}
	child, err := s.cloudformation.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: changed(shown.Changes, "SQSStack").ChangeSetId})
	if err != nil {
		t.Fatal(err)
	}
	queue := changed(child.Changes, "RetryQueue")
	if queue.Action != cfntypes.ChangeActionModify || queue.Replacement != cfntypes.ReplacementFalse {
		t.Errorf("change of the retry queue: %s, replacement %s, want Modify, False", queue.Action, queue.Replacement)
	}
	if _, err := s.cloudformation.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{StackName: &s.name, ChangeSetName: name}); err != nil {
		t.Fatal(err)
	}
	if stack, err := s.settled(ctx, s.name); err != nil || stack.StackStatus != cfntypes.StackStatusUpdateComplete {
		t.Errorf("the stack is %s (%s), %v, want UPDATE_COMPLETE", stack.StackStatus, aws.ToString(stack.StackStatusReason), err)
	}
	tags, err := s.sqs.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: aws.String(s.outputs["RetryQueueUrl"])})
	if err != nil || tags.Tags["team"] != "a" {
		t.Errorf("tags of the retry queue: %v, %v, want team = a", tags, err)
	}
	if _, err := s.cloudformation.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &s.name, EnableTerminationProtection: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cloudformation.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.name}); apiError(err) != "ValidationError" {
		t.Errorf("DeleteStack of a protected stack: %v, want ValidationError", err)
	}
	if _, err := s.cloudformation.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &s.name, EnableTerminationProtection: aws.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	// What local AWS does not do is refused, once.
	before := s.count("DetectStackDrift", "")
	if _, err := s.cloudformation.DetectStackDrift(ctx, &cloudformation.DetectStackDriftInput{StackName: &s.name}); apiError(err) != "UnsupportedOperation" {
		t.Errorf("DetectStackDrift: %v, want UnsupportedOperation", err)
	}
	if calls := s.count("DetectStackDrift", "") - before; calls != 1 {
		t.Errorf("the SDK called DetectStackDrift %d times, want once", calls)
	}
}

// apiError is the code of the error that AWS answered with.
func apiError(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestNamesOfDeletedQueuesAreRefusedIfAskedFor(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a local AWS, and this is go test -short")
	}
	ctx, python := t.Context(), moto.Python(root)
	// Not with the context of the test, which ends before the cleanup and would kill it: then its files would stay.
	cmd := exec.Command(carnation, "local", "--python", python, "--queue-name-delay", "60s", "--env-file", filepath.Join(t.TempDir(), "env"), "--until-eof")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("carnation local: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	url := strings.Fields(line)[3]
	queues := sqs.New(sqs.Options{Region: localaws.Region, BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("test", "local", "")})
	for i, want := range []string{"", "AWS.SimpleQueueService.QueueDeletedRecently"} {
		queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
		if apiError(err) != want {
			t.Fatalf("CreateQueue number %d: %v, want %q", i, err, want)
		}
		if err == nil {
			if _, err := queues.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (s *deployed) alarmReachesItsSubscribers(t *testing.T) {
	ctx, watch, topics := t.Context(), cloudwatch.NewFromConfig(s.config), sns.NewFromConfig(s.config)
	alarms, err := watch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String("carnation-")})
	if err != nil || len(alarms.MetricAlarms) == 0 {
		t.Fatalf("DescribeAlarms: %v, %v, want the alarms of the stack", alarms, err)
	}
	alarm := alarms.MetricAlarms[slices.IndexFunc(alarms.MetricAlarms, func(a cwtypes.MetricAlarm) bool { return len(a.AlarmActions) > 0 })]
	if alarm.StateValue != cwtypes.StateValueInsufficientData {
		t.Errorf("a new alarm is %s, want INSUFFICIENT_DATA", alarm.StateValue)
	}
	topic := alarm.AlarmActions[0]

	// Its e-mail subscription waits for its owner.
	before, err := topics.ListSubscriptionsByTopic(ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
	if err != nil || len(before.Subscriptions) != 1 || aws.ToString(before.Subscriptions[0].SubscriptionArn) != "PendingConfirmation" {
		t.Errorf("subscriptions: %v, %v, want one that is pending", before, err)
	}

	queue, err := s.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("alarms")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := s.sqs.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl}); err != nil {
			t.Error(err)
		}
	}()
	if _, err := topics.Subscribe(ctx, &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"),
		Endpoint: aws.String("arn:aws:sqs:" + localaws.Region + ":123456789012:alarms")}); err != nil {
		t.Fatal(err)
	}
	start := time.Now().Add(-time.Minute)
	if _, err := watch.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: alarm.AlarmName, StateValue: cwtypes.StateValueAlarm,
		StateReason: aws.String("a test")}); err != nil {
		t.Fatal(err)
	}
	received, err := s.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"}})
	if err != nil || len(received.Messages) != 1 {
		t.Fatalf("received %v, %v, want one message", received, err)
	}
	var notification struct{ Subject, Message, TopicArn string }
	var said struct{ AlarmName, NewStateValue, OldStateValue string }
	if err := json.Unmarshal([]byte(*received.Messages[0].Body), &notification); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(notification.Message), &said); err != nil {
		t.Fatal(err)
	}
	if said.AlarmName != *alarm.AlarmName || said.NewStateValue != "ALARM" || said.OldStateValue != "INSUFFICIENT_DATA" || notification.TopicArn != topic {
		t.Errorf("the queue got %+v", notification)
	}
	history, err := watch.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{AlarmName: alarm.AlarmName, StartDate: &start,
		ScanBy: cwtypes.ScanByTimestampAscending})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, item := range history.AlarmHistoryItems {
		kinds = append(kinds, string(item.HistoryItemType))
		if item.Timestamp == nil || item.Timestamp.Before(start) {
			t.Errorf("history item %s has the time %v", item.HistoryItemType, item.Timestamp)
		}
	}
	if got := strings.Join(kinds[len(kinds)-2:], " "); got != "StateUpdate Action" {
		t.Errorf("the history ends with %s, want StateUpdate Action", got)
	}
	if _, err := watch.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("none"), StateValue: cwtypes.StateValueOk,
		StateReason: aws.String("a test")}); !isA[*cwtypes.ResourceNotFound](err) {
		t.Errorf("SetAlarmState of an alarm that does not exist: %v, want ResourceNotFound", err)
	}
}

func (s *deployed) metricsAreWhatWasPut(t *testing.T) {
	ctx, watch := t.Context(), cloudwatch.NewFromConfig(s.config)
	at := time.Now().Truncate(time.Minute)
	metric := cwtypes.Metric{Namespace: aws.String("Test"), MetricName: aws.String("M"), Dimensions: []cwtypes.Dimension{{Name: aws.String("d"), Value: aws.String("1")}}}
	var data []cwtypes.MetricDatum
	for range 200 { // so many that the SDK compresses them
		data = append(data, cwtypes.MetricDatum{MetricName: metric.MetricName, Dimensions: metric.Dimensions, Value: aws.Float64(0.5), Timestamp: &at})
	}
	if _, err := watch.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: metric.Namespace, MetricData: data}); err != nil {
		t.Fatal(err)
	}
	end := at.Add(time.Minute)
	got, err := watch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: metric.Namespace, MetricName: metric.MetricName,
		Dimensions: metric.Dimensions, StartTime: &at, EndTime: &end, Period: aws.Int32(60), Statistics: []cwtypes.Statistic{cwtypes.StatisticSum}})
	if err != nil || len(got.Datapoints) != 1 || aws.ToFloat64(got.Datapoints[0].Sum) != 100 || !got.Datapoints[0].Timestamp.Equal(at) {
		t.Errorf("GetMetricStatistics: %+v, %v, want one sum of 100", got, err)
	}
	values, err := watch.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{StartTime: &at, EndTime: &end, MetricDataQueries: []cwtypes.MetricDataQuery{
		{Id: aws.String("m"), MetricStat: &cwtypes.MetricStat{Metric: &metric, Period: aws.Int32(60), Stat: aws.String("SampleCount")}}}})
	if err != nil || len(values.MetricDataResults) != 1 || !slices.Equal(values.MetricDataResults[0].Values, []float64{200}) {
		t.Errorf("GetMetricData: %+v, %v, want a count of 200", values, err)
	}
	dashboards, err := watch.ListDashboards(ctx, &cloudwatch.ListDashboardsInput{})
	if err != nil || len(dashboards.DashboardEntries) != 1 {
		t.Errorf("ListDashboards: %+v, %v, want the one of the stack", dashboards, err)
	}
}

// isA tells whether an error is, or wraps, one of a type.
func isA[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// These services use all protocols. internal/localaws has such a test for the SDK. Only the aws command calls IAM.
func TestAWSCommandUnderstandsFaultsAndTriesAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, test := range []struct{ service, command, fault, code string }{
		{"cloudformation", "cloudformation list-stacks", localaws.FaultThrottle, "Throttling"},
		{"monitoring", "cloudwatch describe-alarms", localaws.FaultThrottle, "Throttling"},
		{"iam", "iam list-roles", localaws.FaultThrottle, "Throttling"},
		{"iam", "iam list-roles", localaws.FaultError, "ServiceFailure"},
		{"iam", "iam list-roles", localaws.FaultUnavailable, "ServiceUnavailable"},
		{"s3", "s3api list-buckets", localaws.FaultThrottle, "SlowDown"},
		{"sqs", "sqs list-queues", localaws.FaultThrottle, "RequestThrottled"},
		{"lambda", "lambda list-functions", localaws.FaultThrottle, "TooManyRequestsException"},
	} {
		command := append([]string{"aws"}, strings.Fields(test.command)...)
		once := localaws.Rule{Fault: test.fault, Service: test.service, Times: 1}
		c.setFaults(t, once)
		if out := c.command([]string{"AWS_MAX_ATTEMPTS=1"}, command...); out.code == 0 || !strings.Contains(out.String(), test.code) {
			t.Errorf("%s of %v: %s\nwant %s", test.fault, command, out, test.code)
		}
		before := c.endpoint.FaultCounts()[test.fault]
		c.setFaults(t, once)
		if out := c.command([]string{"AWS_MAX_ATTEMPTS=3"}, command...); out.code != 0 {
			t.Errorf("%s of %v, with more attempts: %s", test.fault, command, out)
		}
		if c.endpoint.FaultCounts()[test.fault] != before+1 {
			t.Errorf("%s of %v did not happen", test.fault, command)
		}
	}
}
