package e2e

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/localaws"
)

var (
	heading   = regexp.MustCompile(`(?m)^##+ (.+)$`)
	slugDrops = regexp.MustCompile(`[^a-z0-9 -]`)
)

// anchors are the link targets that GitHub makes from the headings of a page.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		found[strings.ReplaceAll(slugDrops.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

// metricsOfAWS are the metrics of AWS that Carnation could watch: the namespace, the dimensions and the names.
// https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
var metricsOfAWS = []struct{ namespace, dimensions, names string }{
	{"AWS/States", "StateMachineArn", "ExecutionTime ExecutionThrottled ExecutionsStarted ExecutionsSucceeded ExecutionsFailed " +
		"ExecutionsTimedOut ExecutionsAborted ExecutionsRedriven"},
	{"AWS/States", "", "OpenExecutionCount OpenExecutionLimit ApproximateOpenMapRunCount OpenMapRunLimit ApproximateMapRunBacklogSize"},
	{"AWS/SQS", "QueueName", "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible " +
		"ApproximateNumberOfMessagesVisible NumberOfEmptyReceives NumberOfMessagesDeleted NumberOfMessagesReceived NumberOfMessagesSent"},
	{"AWS/Lambda", "FunctionName", "Invocations Errors Throttles Duration ConcurrentExecutions"},
	{"AWS/DynamoDB", "TableName Operation", "SuccessfulRequestLatency SystemErrors ThrottledRequests"},
}

// isMetricOfAWS is whether a metric, written as on a dashboard, is one of AWS, and of a resource of the stack.
func (w *watched) isMetricOfAWS(parts []string) bool {
	var names, values []string
	for i := 2; i+1 < len(parts); i += 2 {
		names, values = append(names, parts[i]), append(values, parts[i+1])
	}
	for _, known := range metricsOfAWS {
		if known.namespace == parts[0] && known.dimensions == strings.Join(names, " ") && slices.Contains(strings.Fields(known.names), parts[1]) {
			resources := w.resources()
			return !slices.ContainsFunc(values, func(value string) bool { return !resources[value] })
		}
	}
	return false
}

// emitted are the metrics that the log lines publish in the embedded metric format, written as on a dashboard.
func emitted(t *testing.T, rows []logRow) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, row := range rows {
		var line struct {
			AWS struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		if err := json.Unmarshal([]byte(row["@message"].(string)), &line); err != nil {
			t.Fatal(err)
		}
		for _, set := range line.AWS.CloudWatchMetrics {
			for _, dimensions := range set.Dimensions {
				for _, metric := range set.Metrics {
					parts := []string{set.Namespace, metric.Name}
					for _, name := range dimensions {
						parts = append(parts, name, row[name].(string))
					}
					found[strings.Join(parts, " ")] = true
				}
			}
		}
	}
	return found
}

// A stack of each mode has the outputs, the alarms and the dashboard that its users need.
func TestStackOfEachModeIsWatched(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name, outputs string
		functions     []string
	}{
		{"INLINE", "DashboardName DeadLetterQueueUrl EventsBucketName EventsPrefix GenerateDataFunctionArn InsertDataFunctionArn MapMode RetryQueueUrl StateMachineArn TableName TopicArn",
			[]string{"generate-data", "insert-data"}},
		{"DISTRIBUTED", "DashboardName DeadLetterQueueUrl EventsBucketName EventsPrefix GenerateDataFunctionArn InsertDataFunctionArn MapMode PlanShardsFunctionArn RetryQueueUrl StateMachineArn TableName TopicArn",
			[]string{"generate-data", "insert-data", "plan-shards"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			w := watched{deployed: newStack(t, "MapMode="+mode.name), functions: mode.functions}
			w.read(t)
			t.Run("outputs", func(t *testing.T) {
				if got := strings.Join(slices.Sorted(maps.Keys(w.outputs)), " "); got != mode.outputs {
					t.Errorf("outputs are %s, want %s", got, mode.outputs)
				}
			})
			t.Run("every function has its five alarms", w.expectAlarmsOfEachFunction)
			t.Run("alarms say where they come from and what to do", w.expectAlarmsToSayWhatToDo)
			t.Run("the dashboard shows all alarms and functions", w.expectAllOnDashboard)
			t.Run("the dashboard shows metrics that exist", w.expectMetricsThatExist)
		})
	}
}

// watched is a stack with its alarms and its dashboard.
type watched struct {
	*deployed
	functions []string // of the mode
	alarms    []alarm
	widgets   []widget
}

type alarm struct {
	AlarmArn, AlarmName, AlarmDescription string
	metric
	Metrics                 []struct{ MetricStat struct{ Metric metric } } // of metric math
	AlarmActions, OKActions []string
}

type metric struct {
	Namespace, MetricName string
	Dimensions            []struct{ Name, Value string }
}

// watches are the metrics of an alarm, each written as on a dashboard.
func (a alarm) watches() (metrics [][]string) {
	all := []metric{a.metric}
	if len(a.Metrics) > 0 {
		all = nil
	}
	for _, query := range a.Metrics {
		if query.MetricStat.Metric.MetricName != "" {
			all = append(all, query.MetricStat.Metric)
		}
	}
	for _, m := range all {
		parts := []string{m.Namespace, m.MetricName}
		for _, d := range m.Dimensions {
			parts = append(parts, d.Name, d.Value)
		}
		metrics = append(metrics, parts)
	}
	return metrics
}

type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, Region, Stat string
		Alarms              []string
		Metrics             [][]any
	}
}

// texts are the namespace, the name and the dimensions of a metric on the dashboard.
func texts(metric []any) (parts []string) {
	for _, part := range metric {
		if text, ok := part.(string); ok {
			parts = append(parts, text)
		}
	}
	return parts
}

func (w *watched) read(t *testing.T) {
	t.Helper()
	// With the aws command: moto does not know the protocol that the SDK speaks to CloudWatch.
	out := w.run(t, "aws", "cloudwatch", "describe-alarms", "--query", "MetricAlarms", "--output", "json")
	if err := json.Unmarshal([]byte(out), &w.alarms); err != nil {
		t.Fatal(err)
	}
	out = w.run(t, "aws", "cloudwatch", "get-dashboard", "--dashboard-name", w.outputs["DashboardName"], "--query", "DashboardBody", "--output", "text")
	var body struct{ Widgets []widget }
	if err := json.Unmarshal([]byte(out), &body); err != nil {
		t.Fatalf("the dashboard is not JSON: %v\n%s", err, out)
	}
	w.widgets = body.Widgets
}

func functionName(function string) string {
	return "carnation-" + function + "-devl-" + localaws.Region
}

// resources are the values that dimensions can have: the resources of the stack.
func (w *watched) resources() map[string]bool {
	names := map[string]bool{w.outputs["StateMachineArn"]: true, path.Base(w.outputs["RetryQueueUrl"]): true, path.Base(w.outputs["DeadLetterQueueUrl"]): true,
		w.outputs["TableName"]: true, "UpdateItem": true}
	if w.isDistributed() {
		for _, label := range mapLabels {
			names[w.outputs["StateMachineArn"]+"/"+label] = true
		}
	}
	for _, function := range w.functions {
		names[functionName(function)] = true
	}
	return names
}

func (w *watched) isDistributed() bool { return w.outputs["MapMode"] == "DISTRIBUTED" }

func (w *watched) expectAlarmsOfEachFunction(t *testing.T) {
	var got, want []string
	for _, alarm := range w.alarms {
		if watches := alarm.watches(); watches[0][0] == "AWS/Lambda" {
			got = append(got, alarm.AlarmName+" "+watches[0][1]+" "+watches[0][3])
		}
	}
	for _, function := range w.functions {
		for name, metric := range map[string]string{"invocations": "Invocations", "errors": "Errors", "throttles": "Throttles", "duration": "Duration",
			"concurrent-executions": "ConcurrentExecutions"} {
			want = append(want, functionName(function+"-"+name)+" "+metric+" "+functionName(function))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the alarms on functions are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// documentedAlarms are the alarms of the table in docs/operations.md, with the section that each leads to. The table shows an alarm as
// the part of its name that follows the project and the function, such as `-throttles-`.
func documentedAlarms(page string) map[string]string {
	sections := map[string]string{}
	for _, row := range alarmRow.FindAllStringSubmatch(page, -1) {
		for _, part := range alarmPart.FindAllStringSubmatch(row[1], -1) {
			sections[part[1]] = row[2]
		}
	}
	return sections
}

var (
	alarmRow  = regexp.MustCompile(`(?m)^\| (` + "`-[^|]+-`" + `) \| [^|]+ \| [^|]+ \| \[[^]]+\]\(#([^)]+)\) \|$`)
	alarmPart = regexp.MustCompile("`-([a-z-]+)-`")
)

func (w *watched) expectAlarmsToSayWhatToDo(t *testing.T) {
	want := 5*len(w.functions) + 9
	if w.isDistributed() {
		want += 2 // on shards and Map Runs
	}
	if len(w.alarms) != want {
		t.Errorf("there are %d alarms, want %d", len(w.alarms), want)
	}
	page := document(t, "docs/operations.md")
	known, documented := anchors(page), documentedAlarms(page)
	const where = "carnation devl, " + localaws.Region + ": "
	for _, alarm := range w.alarms {
		name, description := alarm.AlarmName, alarm.AlarmDescription
		text, anchor, _ := strings.Cut(description, " What to do: docs/operations.md#")
		if !strings.HasPrefix(text, where) || len(text) < len(where)+20 || len(description) > 1024 {
			t.Errorf("alarm %s says %q, want %q and what happened", name, description, where)
		}
		if broken := regexp.MustCompile(`\w- `).FindString(text); broken != "" { // a word that YAML joined from two lines
			t.Errorf("alarm %s has %q in %q", name, broken, text)
		}
		if !known[anchor] {
			t.Errorf("alarm %s leads to #%s, which docs/operations.md does not have", name, anchor)
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(name, "carnation-"), "-devl-"+localaws.Region)
		for _, function := range w.functions {
			if strings.Contains(name, function) && !strings.Contains(text, function) {
				t.Errorf("alarm %s does not say that it is about %s: %s", name, function, text)
			}
			kind = strings.TrimPrefix(kind, function+"-")
		}
		if section := documented[kind]; section != anchor {
			t.Errorf("alarm %s leads to #%s, and the table of alarms in docs/operations.md to #%s", name, anchor, section)
		}
		for _, metric := range alarm.watches() {
			if !w.isMetricOfAWS(metric) {
				t.Errorf("alarm %s watches %v, which is not a metric of a resource of this stack", name, metric)
			}
		}
		topic := []string{w.outputs["TopicArn"]}
		if !slices.Equal(alarm.AlarmActions, topic) {
			t.Errorf("alarm %s notifies %v, want the topic", name, alarm.AlarmActions)
		}
		if len(alarm.OKActions) != 0 {
			t.Errorf("alarm %s notifies %v when it returns to OK", name, alarm.OKActions)
		}
	}
}

func (w *watched) expectAllOnDashboard(t *testing.T) {
	var existing, alarms []string
	for _, alarm := range w.alarms {
		existing = append(existing, alarm.AlarmArn)
	}
	shown, watched := map[string]bool{}, map[string]bool{}
	for _, widget := range w.widgets {
		alarms = append(alarms, widget.Properties.Alarms...)
		for _, metric := range widget.Properties.Metrics {
			parts := texts(metric)
			shown[strings.Join(parts, " ")] = true
		}
	}
	for _, alarm := range w.alarms {
		for _, metric := range alarm.watches() {
			watched[strings.Join(metric, " ")] = true
			if ofFunction := metric[0] == "AWS/Lambda"; !ofFunction && !shown[strings.Join(metric, " ")] {
				t.Errorf("the dashboard does not show %v, which the alarm %s watches", metric, alarm.AlarmName)
			}
		}
	}
	if w.isDistributed() {
		for _, label := range mapLabels {
			if throttled := "AWS/States ExecutionThrottled StateMachineArn " + w.outputs["StateMachineArn"] + "/" + label; !watched[throttled] {
				t.Errorf("no alarm watches %s", throttled)
			}
		}
	}
	slices.Sort(existing)
	slices.Sort(alarms)
	if !slices.Equal(alarms, existing) {
		t.Errorf("the dashboard has the alarms\n%s\nof\n%s", strings.Join(alarms, "\n"), strings.Join(existing, "\n"))
	}
	for _, function := range w.functions {
		for _, metric := range []string{"Duration", "Errors", "Throttles"} {
			if !shown["AWS/Lambda "+metric+" FunctionName "+functionName(function)] {
				t.Errorf("the dashboard does not show %s of %s", metric, function)
			}
		}
	}
	for _, metric := range []string{"ExecutionsStarted", "ExecutionsSucceeded"} {
		if !shown["AWS/States "+metric+" StateMachineArn "+w.outputs["StateMachineArn"]] {
			t.Errorf("the dashboard does not show %s", metric)
		}
	}
}

func (w *watched) expectMetricsThatExist(t *testing.T) {
	since := time.Now()
	expectStatus(t, w.execute(t, `{"start_seq":1,"end_seq":2}`), sfntypes.ExecutionStatusSucceeded)
	own := emitted(t, logRows(t, w.deployed, since, w.functions...))
	shown := map[string]bool{}
	for _, widget := range w.widgets {
		p := widget.Properties
		if p.Title == "" || widget.Width == 0 || widget.Height == 0 || widget.X+widget.Width > 24 {
			t.Errorf("widget %q is at %d, %d and %d by %d, want a title and a place within 24 columns", p.Title, widget.X, widget.Y, widget.Width, widget.Height)
		}
		if widget.Type == "alarm" {
			continue
		}
		if widget.Type != "metric" || p.Region != localaws.Region || p.Stat == "" || len(p.Metrics) == 0 {
			t.Errorf("widget %q is a %s in %s with statistic %q and %d metrics", p.Title, widget.Type, p.Region, p.Stat, len(p.Metrics))
		}
		for _, metric := range p.Metrics {
			parts := texts(metric)
			name := strings.Join(parts, " ")
			shown[name] = true
			if strings.HasPrefix(name, "AWS/") {
				if !w.isMetricOfAWS(parts) {
					t.Errorf("widget %q has %s, which is not a metric of a resource of this stack", p.Title, name)
				}
			} else if !own[name] {
				t.Errorf("widget %q has %s, which no function emits", p.Title, name)
			}
		}
	}
	for name := range own {
		if !shown[name] {
			t.Errorf("the functions emit %s, which is not on the dashboard", name)
		}
	}
}

// textBlock is a query in the documentation.
var textBlock = regexp.MustCompile("(?s)```text\n(.*?)```")

// TestOperationsPage tries all queries and all commands of docs/operations.md, on events that failed in every way.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	since := time.Now()
	const retry, failingRetry = `{"start_seq":0,"end_seq":0}`, `{"start_seq":0,"end_seq":0,"failure_rate":1}`
	// Three events that fail every retry.
	first := s.execute(t, `{"start_seq":3000,"end_seq":3003,"failure_rate":1}`)
	expectEventsFailed(t, first)
	var last *sfn.DescribeExecutionOutput
	for range 3 {
		last = s.execute(t, failingRetry)
		expectEventsFailed(t, last)
	}
	// An event whose invocation is killed.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data"})
	expectEventsFailed(t, s.execute(t, `{"start_seq":3010,"end_seq":3011}`))
	s.setFaults(t)
	// A message that is not an event.
	foreign, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.outputs["RetryQueueUrl"]), MessageBody: aws.String(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	expectStatus(t, s.execute(t, retry), sfntypes.ExecutionStatusSucceeded)
	s.expectQueue(t, "DeadLetterQueueUrl", 3, 0)
	s.expectQueue(t, "RetryQueueUrl", 0, 1)
	if _, err := s.sqs.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: aws.String(s.outputs["RetryQueueUrl"])}); err != nil {
		t.Fatal(err)
	}

	rows := logRows(t, s, since, "generate-data", "insert-data")
	page := document(t, "docs/operations.md")
	queries := textBlock.FindAllStringSubmatch(page, -1)
	if len(queries) == 0 {
		t.Error("docs/operations.md has no queries")
	}
	for _, query := range queries {
		tried := strings.ReplaceAll(query[1], "EXECUTION_ARN", *first.ExecutionArn)
		for _, fault := range checkQuery(tried, rows) {
			t.Errorf("%s, which docs/operations.md asks for:\n%s", fault, query[1])
		}
	}
	var attempts []float64 // of event 3001
	foreignSeen := false
	for _, row := range rows {
		if row["message"] == "event failed" && row["sequenceNo"] == 3001.0 {
			attempt, _ := row["retryAttempt"].(float64)
			attempts = append(attempts, attempt)
			if isFirst := row["executionArn"] == *first.ExecutionArn; isFirst != (attempt == 0) {
				t.Errorf("the line of attempt %v names the execution %v", attempt, row["executionArn"])
			}
		}
		foreignSeen = foreignSeen || row["messageId"] == *foreign.MessageId
	}
	slices.Sort(attempts) // the lines of several environments of a function come in any order
	if !slices.Equal(attempts, []float64{0, 1, 2, 3}) || !foreignSeen {
		t.Errorf("event 3001 failed at the attempts %v, want 0 to 3; the message that is not an event is logged: %t", attempts, foreignSeen)
	}

	// An execution that was stopped half way. It is the newest that failed, which the commands find.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultError, Operation: "SendMessage"})
	stopped := s.execute(t, `{"start_seq":3020,"end_seq":3021,"failure_rate":1}`)
	s.setFaults(t)
	expectStatus(t, stopped, sfntypes.ExecutionStatusFailed)
	var script strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(page, -1) {
		script.WriteString(block[1])
	}
	printed := s.run(t, "bash", "-euo", "pipefail", "-c", script.String())
	expectInOrder(t, printed,
		aws.ToString(stopped.Error), aws.ToString(stopped.Error), // of the execution, then in its history
		"SimulatedFailure", " 3 ", "3000-3002", // of dlq list
		`"error":"SimulatedFailure","execution_arn":"`+*last.ExecutionArn+`"`,
		"3 messages moved to the retry queue\nretry queue: 3 waiting, 0 in flight; dead-letter queue: 0\n",
		"3 claimed events, 3 inserted, 0 failed", "retry queue: 0 waiting")
	expectEventsFailed(t, s.wait(t, *stopped.ExecutionArn))
	s.expectQueue(t, "RetryQueueUrl", 1, 0) // now it is parked
	expectStatus(t, s.execute(t, retry), sfntypes.ExecutionStatusSucceeded)
	found := s.rows(t, 3000, 3030)
	for seq, rows := range found {
		if len(rows) != 1 {
			t.Errorf("event %d has %d rows, want 1", seq, len(rows))
		}
	}
	if len(found) != 5 {
		t.Errorf("the table has %d of these events, want 5", len(found))
	}
	// A moved message is new to SQS, so its receive count starts again.
	if got := found[3001]; len(got) != 1 || got[0].RetryAttempt != 1 {
		t.Errorf("event 3001 has the rows %+v, want one that was inserted at retry 1", got)
	}

	const none = "{\n  \"matched\": 0,\n  \"moved\": 0,\n  \"queues\": {\n    \"retry_queue\": 0,\n    \"in_flight\": 0,\n    \"dead_letter_queue\": 0\n  }\n}"
	out := s.command(nil, carnation, "dlq", "redrive", "--all", "--output", "json")
	if strings.TrimSpace(out.stdout) != none || out.code != 0 || out.stderr != "" {
		t.Errorf("dlq redrive --all of an empty queue says %s, want %s and nothing else", out, none)
	}
}
