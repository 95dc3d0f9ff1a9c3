package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// aFailedRun is a run of an event that failed: the one of the check of retries, or another.
func (v *verifier) aFailedRun(ctx context.Context) (*failedRun, error) {
	if v.failed == nil {
		start := v.take(1)
		arn, err := v.park(ctx, start, 1)
		if err != nil {
			return nil, err
		}
		v.failed = &failedRun{arn, start}
	}
	return v.failed, nil
}

func (v *verifier) functionLogs(ctx context.Context) (string, error) {
	run, err := v.aFailedRun(ctx)
	if err != nil {
		return "", err
	}
	wants := []struct {
		output string
		has    map[string]any
	}{
		{"GenerateData", map[string]any{"message": "events generated"}},
		{"InsertData", map[string]any{"message": "event failed", "sequenceNo": float64(run.sequenceNo)}},
	}
	if v.stack.Distributed {
		wants = append(wants, struct {
			output string
			has    map[string]any
		}{"PlanShards", map[string]any{"message": "shards planned"}})
	}
	for _, want := range wants {
		want.has["executionArn"] = run.arn
		if err := v.waitForLine(ctx, "/aws/lambda/"+v.function(want.output), func(line string) bool { return hasFields(line, want.has) }); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("the log groups of %d functions have the lines of a failed event, with the ARN of its run", len(wants)), nil
}

// hasFields tells whether a line is JSON with these fields.
func hasFields(line string, want map[string]any) bool {
	var got map[string]any
	if json.Unmarshal([]byte(line), &got) != nil {
		return false
	}
	for name, value := range want {
		if got[name] != value {
			return false
		}
	}
	return true
}

// waitForLine waits for a line of this verification in a log group.
func (v *verifier) waitForLine(ctx context.Context, group string, isIt func(string) bool) error {
	return v.until(ctx, logPatience, "lines in the log group "+group, func(ctx context.Context) (bool, string, error) {
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(v.logs, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String(group), StartTime: aws.Int64(v.begun.Add(-time.Minute).UnixMilli()),
		})
		lines := 0
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			var missing *logstypes.ResourceNotFoundException
			if errors.As(err, &missing) {
				return false, "", fmt.Errorf("the log group %s does not exist", group)
			}
			if err != nil {
				return false, "", fmt.Errorf("read the log group %s: %w", group, err)
			}
			for _, e := range page.Events {
				if isIt(aws.ToString(e.Message)) {
					return true, "", nil
				}
			}
			lines += len(page.Events)
		}
		return false, fmt.Sprintf("it has %d new lines, and not the expected one", lines), nil
	})
}

func (v *verifier) machineLog(ctx context.Context) (string, error) {
	run, err := v.aFailedRun(ctx)
	if err != nil {
		return "", err
	}
	group := "/aws/vendedlogs/states/" + v.stack.StateMachineArn[strings.LastIndex(v.stack.StateMachineArn, ":")+1:]
	if err := v.waitForLine(ctx, group, func(line string) bool { return strings.Contains(line, run.arn) }); err != nil {
		return "", err
	}
	return "its log group has a line with the ARN of the run", nil
}

// stackAlarms are the alarms that CloudFormation made for the stack.
func (v *verifier) stackAlarms(ctx context.Context) ([]cloudwatchtypes.MetricAlarm, error) {
	names, err := v.alarmNames(ctx, v.stack.Name)
	if err != nil {
		return nil, err
	}
	var alarms []cloudwatchtypes.MetricAlarm
	const most = 100 // of DescribeAlarms
	for len(names) > 0 {
		n := min(most, len(names))
		out, err := v.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: names[:n], MaxRecords: aws.Int32(most)})
		if err != nil {
			return nil, fmt.Errorf("describe the alarms: %w", err)
		}
		if len(out.MetricAlarms) < n {
			return nil, fmt.Errorf("%d of %d alarms of the stack do not exist", n-len(out.MetricAlarms), n)
		}
		alarms, names = append(alarms, out.MetricAlarms...), names[n:]
	}
	return alarms, nil
}

func (v *verifier) alarmNames(ctx context.Context, stack string) (names []string, err error) {
	pages := cloudformation.NewListStackResourcesPaginator(v.stacks, &cloudformation.ListStackResourcesInput{StackName: aws.String(stack)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the resources of the stack: %w", err)
		}
		for _, resource := range page.StackResourceSummaries {
			switch aws.ToString(resource.ResourceType) {
			case "AWS::CloudWatch::Alarm":
				names = append(names, aws.ToString(resource.PhysicalResourceId))
			case "AWS::CloudFormation::Stack":
				more, err := v.alarmNames(ctx, aws.ToString(resource.PhysicalResourceId))
				if err != nil {
					return nil, err
				}
				names = append(names, more...)
			}
		}
	}
	return names, nil
}

// notifies tells whether an alarm that goes off notifies the topic.
func (v *verifier) notifies(alarm cloudwatchtypes.MetricAlarm) bool {
	if !aws.ToBool(alarm.ActionsEnabled) {
		return false
	}
	for _, action := range alarm.AlarmActions {
		if action == v.stack.TopicArn {
			return true
		}
	}
	return false
}

func (v *verifier) actions(ctx context.Context) (string, error) {
	alarms, err := v.stackAlarms(ctx)
	if err != nil {
		return "", err
	}
	if len(alarms) == 0 {
		return "", errors.New("the stack has no alarms")
	}
	var silent []string
	for _, alarm := range alarms {
		if !v.notifies(alarm) {
			silent = append(silent, aws.ToString(alarm.AlarmName))
		}
	}
	if len(silent) > 0 {
		return "", fmt.Errorf("%d of %d alarms do not notify the topic: %s", len(silent), len(alarms), strings.Join(silent, ", "))
	}
	return fmt.Sprintf("%d alarms, whose actions are enabled and notify it", len(alarms)), nil
}

// alarm lets an alarm go off, and looks for the delivery in its history. The alarm is one that says that a run timed out, because no
// check causes that, or any other that is not in alarm.
func (v *verifier) alarm(ctx context.Context) (string, error) {
	alarms, err := v.stackAlarms(ctx)
	if err != nil {
		return "", err
	}
	var chosen *cloudwatchtypes.MetricAlarm
	for _, alarm := range alarms {
		quiet := alarm.StateValue != cloudwatchtypes.StateValueAlarm
		if quiet && (chosen == nil || strings.Contains(aws.ToString(alarm.AlarmName), "-timed-out-")) {
			chosen = &alarm
		}
	}
	if chosen == nil {
		return "", notChecked("every alarm of the stack is in alarm")
	}
	name := aws.ToString(chosen.AlarmName)
	if !v.notifies(*chosen) {
		return "", fmt.Errorf("alarm %s does not notify the topic", name)
	}
	set := func(ctx context.Context, state cloudwatchtypes.StateValue) error {
		_, err := v.alarms.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{
			AlarmName: chosen.AlarmName, StateValue: state, StateReason: aws.String("carnation verify tries this alarm. Nothing happened."),
		})
		return err
	}
	back := v.later("set alarm "+name+" back", func(ctx context.Context) error { return set(ctx, chosen.StateValue) })
	since := time.Now().Add(-time.Minute) // the clocks may differ
	if err := set(ctx, cloudwatchtypes.StateValueAlarm); err != nil {
		return "", fmt.Errorf("set the state of alarm %s: %w", name, err)
	}
	err = v.until(ctx, alarmPatience, "the delivery of alarm "+name, func(ctx context.Context) (bool, string, error) {
		return v.delivered(ctx, name, since)
	})
	if err = errors.Join(err, back(context.WithoutCancel(ctx))); err != nil {
		return "", err
	}
	return fmt.Sprintf("alarm %s was set by hand; its history says: Successfully executed action", name), nil
}

// delivered looks for the delivery of an alarm in its history.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_AlarmHistoryItem.html
func (v *verifier) delivered(ctx context.Context, name string, since time.Time) (bool, string, error) {
	out, err := v.alarms.DescribeAlarmHistory(ctx, &cloudwatch.DescribeAlarmHistoryInput{
		AlarmName: aws.String(name), HistoryItemType: cloudwatchtypes.HistoryItemTypeAction, StartDate: aws.Time(since), EndDate: aws.Time(time.Now().Add(time.Minute)),
	})
	if err != nil {
		return false, "", fmt.Errorf("read the history of alarm %s: %w", name, err)
	}
	seen := "its history has no action"
	for _, item := range out.AlarmHistoryItems {
		summary := aws.ToString(item.HistorySummary)
		about := summary + aws.ToString(item.HistoryData)
		if strings.HasPrefix(summary, "Successfully executed action") && strings.Contains(about, v.stack.TopicArn) {
			return true, "", nil
		}
		seen = "its history says: " + shorten(about)
	}
	return false, seen, nil
}

func (v *verifier) subscription(ctx context.Context) (string, error) {
	found, err := v.stack.Subscriptions(ctx)
	if err != nil {
		return "", err
	}
	if warning := found.Warning(); warning != "" {
		return "", errors.New(warning)
	}
	if found.Confirmed == 0 {
		return "", notChecked("the topic has no subscription; make deploy EMAIL=you@example.com adds one")
	}
	return fmt.Sprintf("%d confirmed subscriptions", found.Confirmed), nil
}

func (v *verifier) metrics(ctx context.Context) (string, error) {
	if v.isLocal {
		return "", notChecked("local AWS does not turn log lines into metrics")
	}
	if v.inserted == 0 {
		if _, err := v.insert(ctx); err != nil {
			return "", err
		}
	}
	var sum float64
	err := v.until(ctx, metricPatience, "the metric EventsInserted", func(ctx context.Context) (bool, string, error) {
		out, err := v.alarms.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("Carnation"), MetricName: aws.String("EventsInserted"), Period: aws.Int32(60), Statistics: []cloudwatchtypes.Statistic{cloudwatchtypes.StatisticSum},
			StartTime: aws.Time(v.begun.Truncate(time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
			Dimensions: []cloudwatchtypes.Dimension{
				{Name: aws.String("ProjectName"), Value: aws.String(v.stack.Parameters["ProjectName"])},
				{Name: aws.String("Environment"), Value: aws.String(v.stack.Parameters["Environment"])},
			},
		})
		if err != nil {
			return false, "", fmt.Errorf("read the metric EventsInserted: %w", err)
		}
		sum = 0
		for _, point := range out.Datapoints {
			sum += aws.ToFloat64(point.Sum)
		}
		return sum >= float64(v.inserted), fmt.Sprintf("its sum is %.0f, want at least %d", sum, v.inserted), nil
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("EventsInserted is %.0f since the start, at least the %d events of this verification", sum, v.inserted), nil
}
