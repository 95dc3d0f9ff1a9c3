package e2e

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/localaws"
)

// TestLocalAWS checks what local AWS does beyond what runs of Carnation need, with a stack and the SDK's clients.
func TestLocalAWS(t *testing.T) {
	t.Parallel()
	s := newStack(t, "SNSSubscriptionEmail=me@example.com")
	t.Run("an alarm reaches the subscribers of its topic", s.alarmReachesItsSubscribers)
	t.Run("metrics are what was put", s.metricsAreWhatWasPut)
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
