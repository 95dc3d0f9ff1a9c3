package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/localaws"
)

// operations is docs/operations.md.
func operations(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var (
	heading   = regexp.MustCompile(`(?m)^##+ (.+)$`)
	slugDrops = regexp.MustCompile(`[^a-z0-9 -]`)
	ownLink   = regexp.MustCompile(`\]\(#([^)]+)\)`)
)

// anchors is what the headings of a page are linked by, as GitHub makes it of them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		found[strings.ReplaceAll(slugDrops.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return found
}

func TestLinksWithinTheOperationsPageLeadSomewhere(t *testing.T) {
	page := operations(t)
	known := anchors(page)
	for _, link := range ownLink.FindAllStringSubmatch(page, -1) {
		if !known[link[1]] {
			t.Errorf("docs/operations.md links to #%s, which it does not have", link[1])
		}
	}
}

// metricOfAWS is the metrics that AWS publishes, of those that Carnation could watch, with their one dimension.
// https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
var metricOfAWS = map[string]struct {
	dimension string
	names     []string
}{
	"AWS/States": {"StateMachineArn", []string{"ExecutionTime", "ExecutionThrottled", "ExecutionsStarted", "ExecutionsSucceeded",
		"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionsRedriven"}},
	"AWS/SQS": {"QueueName", []string{"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
		"ApproximateNumberOfMessagesVisible", "NumberOfEmptyReceives", "NumberOfMessagesDeleted", "NumberOfMessagesReceived", "NumberOfMessagesSent"}},
	"AWS/Lambda": {"FunctionName", []string{"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"}},
}

// resourceNames is the values that dimensions can have: the resources of the shared stack.
func resourceNames() map[string]bool {
	names := map[string]bool{shared.outputs["StateMachineArn"]: true}
	for _, output := range []string{"RetryQueueUrl", "DeadLetterQueueUrl", "GenerateDataFunctionArn", "InsertDataFunctionArn"} {
		value := shared.outputs[output]
		names[value[strings.LastIndexAny(value, ":/")+1:]] = true
	}
	return names
}

// emitted is the metrics that the log lines publish through the embedded metric format, written as on a dashboard.
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

func TestDashboardShowsMetricsThatExistOfThisStack(t *testing.T) {
	since := time.Now()
	expectStatus(t, shared.execute(t, `{"start_seq":3100,"end_seq":3101}`), sfntypes.ExecutionStatusSucceeded)
	own := emitted(t, logRows(t, shared, since, "generate-data", "insert-data"))
	resources := resourceNames()

	var dashboard struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title, Region, Stat string
				Alarms              []string
				Metrics             [][]any
			}
		}
	}
	body := run(t, "aws", "cloudwatch", "get-dashboard", "--dashboard-name", shared.outputs["DashboardName"], "--query", "DashboardBody", "--output", "text")
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatalf("the dashboard is no JSON: %v\n%s", err, body)
	}
	shown := map[string]bool{}
	var alarms []string
	for _, w := range dashboard.Widgets {
		p := w.Properties
		if p.Title == "" || w.Width == 0 || w.Height == 0 || w.X+w.Width > 24 {
			t.Errorf("widget %q is at %d, %d and %d by %d, want a title and a place within 24 columns", p.Title, w.X, w.Y, w.Width, w.Height)
		}
		if w.Type == "alarm" {
			alarms = append(alarms, p.Alarms...)
			continue
		}
		if w.Type != "metric" || p.Region != localaws.Region || p.Stat == "" || len(p.Metrics) == 0 {
			t.Errorf("widget %q is a %s in %s with statistic %q and %d metrics", p.Title, w.Type, p.Region, p.Stat, len(p.Metrics))
		}
		for _, metric := range p.Metrics {
			var parts []string
			for _, part := range metric {
				if text, ok := part.(string); ok {
					parts = append(parts, text)
				}
			}
			name := strings.Join(parts, " ")
			shown[name] = true
			if known, ok := metricOfAWS[parts[0]]; ok {
				if len(parts) != 4 || !slices.Contains(known.names, parts[1]) || parts[2] != known.dimension || !resources[parts[3]] {
					t.Errorf("widget %q has %s, which is no metric of a resource of this stack", p.Title, name)
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
	existing := strings.Fields(run(t, "aws", "cloudwatch", "describe-alarms", "--query", "MetricAlarms[?starts_with(AlarmName,'carnation-')&&contains(AlarmName,'-devl-')].AlarmArn", "--output", "text"))
	slices.Sort(alarms)
	slices.Sort(existing)
	if !slices.Equal(alarms, existing) {
		t.Errorf("the dashboard has the alarms\n%s\nof\n%s", strings.Join(alarms, "\n"), strings.Join(existing, "\n"))
	}
	for _, want := range []string{"ExecutionsStarted", "ExecutionsSucceeded", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted",
		"ApproximateAgeOfOldestMessage", "Duration", "Errors"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(shown)), func(name string) bool { return strings.Contains(name, " "+want+" ") }) {
			t.Errorf("the dashboard does not show %s", want)
		}
	}
}

func TestAlarmsSayWhereTheyComeFromAndWhatToDo(t *testing.T) {
	var alarms []struct {
		AlarmName, AlarmDescription, Namespace, MetricName string
		Dimensions                                         []struct{ Name, Value string }
		OKActions                                          []string
	}
	out := run(t, "aws", "cloudwatch", "describe-alarms", "--query", "MetricAlarms[?starts_with(AlarmName,'carnation-')&&contains(AlarmName,'-devl-')]", "--output", "json")
	if err := json.Unmarshal([]byte(out), &alarms); err != nil {
		t.Fatal(err)
	}
	if len(alarms) == 0 {
		t.Fatal("there are no alarms")
	}
	known, resources := anchors(operations(t)), resourceNames()
	const where = "carnation devl, " + localaws.Region + ": "
	for _, alarm := range alarms {
		text, anchor, _ := strings.Cut(alarm.AlarmDescription, " What to do: docs/operations.md#")
		if !strings.HasPrefix(text, where) || len(text) < len(where)+20 || len(alarm.AlarmDescription) > 1024 {
			t.Errorf("alarm %s says %q, want %q and what happened", alarm.AlarmName, alarm.AlarmDescription, where)
		}
		if broken := regexp.MustCompile(`\w- `).FindString(text); broken != "" { // a word that YAML has put together from two lines
			t.Errorf("alarm %s has %q in %q", alarm.AlarmName, broken, text)
		}
		if !known[anchor] {
			t.Errorf("alarm %s leads to #%s, which docs/operations.md does not have", alarm.AlarmName, anchor)
		}
		for _, function := range []string{"generate-data", "insert-data"} {
			if strings.Contains(alarm.AlarmName, function) && !strings.Contains(text, function) {
				t.Errorf("alarm %s does not say that it is about %s: %s", alarm.AlarmName, function, text)
			}
		}
		metric := metricOfAWS[alarm.Namespace]
		if !slices.Contains(metric.names, alarm.MetricName) || len(alarm.Dimensions) != 1 || alarm.Dimensions[0].Name != metric.dimension || !resources[alarm.Dimensions[0].Value] {
			t.Errorf("alarm %s watches %s %s %v, which is no metric of a resource of this stack", alarm.AlarmName, alarm.Namespace, alarm.MetricName, alarm.Dimensions)
		}
		// Only of a queue does it mean something that an alarm is over.
		if over := slices.Equal(alarm.OKActions, []string{shared.outputs["TopicArn"]}); over != (alarm.Namespace == "AWS/SQS") {
			t.Errorf("alarm %s on %s tells %v when it is over", alarm.AlarmName, alarm.Namespace, alarm.OKActions)
		}
	}
}

// textBlock is a query in the documentation.
var textBlock = regexp.MustCompile("(?s)```text\n(.*?)```")

// TestOperationsPage tries all queries and all commands of docs/operations.md, on events that failed in every way.
func TestOperationsPage(t *testing.T) {
	since := time.Now()
	const failing = `{"start_seq":0,"end_seq":0,"failure_rate":1}`
	// Three events that fail for good.
	first := shared.execute(t, `{"start_seq":3000,"end_seq":3003,"failure_rate":1}`)
	expectStatus(t, first, sfntypes.ExecutionStatusFailed)
	var last *string
	for range 3 {
		last = shared.execute(t, failing).ExecutionArn
	}
	// One whose invocation is killed.
	setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data"})
	expectStatus(t, shared.execute(t, `{"start_seq":3010,"end_seq":3011}`), sfntypes.ExecutionStatusFailed)
	setFaults(t)
	// A message that is no event.
	shortenVisibility(t, 3)
	foreign, err := shared.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(shared.outputs["RetryQueueUrl"]), MessageBody: aws.String(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	expectStatus(t, shared.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	shared.expectQueue(t, "DeadLetterQueueUrl", 3, 0)
	time.Sleep(3 * time.Second)
	shared.takeAll(t, "RetryQueueUrl")

	rows := logRows(t, shared, since, "generate-data", "insert-data")
	page := operations(t)
	queries := textBlock.FindAllStringSubmatch(page, -1)
	results := make([][]logRow, len(queries))
	for i, query := range queries {
		tried := strings.NewReplacer("sequenceNo = 7", "sequenceNo = 3001", "EXECUTION_ARN", *first.ExecutionArn).Replace(query[1])
		results[i] = insights(t, tried, rows)
	}
	wants := [][]logRow{
		{{"record.status": "error"}},
		{{"retryAttempt": 0.0, "executionArn": *first.ExecutionArn}, {"retryAttempt": 1.0}, {"retryAttempt": 2.0},
			{"retryAttempt": 3.0, "executionArn": *last, "error": "insert event 3001: failure simulated by failure_rate"}},
		{{"generated": 3.0, "claimed": 0.0, "inserted": 0.0, "failed": 3.0}},
		{{"message": "event failed"}, {"message": "event failed"}, {"message": "event failed"}},
		{{"sequenceNo": 3000.0, "lastExecution": *last}, {"sequenceNo": 3001.0, "lastError": "insert event 3001: failure simulated by failure_rate"}, {"sequenceNo": 3002.0}},
		{{"messageId": *foreign.MessageId, "receives": 1.0}},
	}
	if len(queries) != len(wants) {
		t.Fatalf("docs/operations.md has %d queries, want %d", len(queries), len(wants))
	}
	for i, want := range wants {
		fits := len(results[i]) == len(want)
		for j := range want {
			for field, value := range want[j] {
				fits = fits && results[i][j][field] == value
			}
		}
		if !fits {
			t.Errorf("query\n%s gives %v, want %v", queries[i][1], results[i], want)
		}
	}

	// An execution that was stopped half way: the newest one that failed, which the commands find.
	setFaults(t, localaws.Rule{Fault: localaws.FaultError, Operation: "SendMessage"})
	stopped := shared.execute(t, `{"start_seq":3020,"end_seq":3021,"failure_rate":1}`)
	setFaults(t)
	expectStatus(t, stopped, sfntypes.ExecutionStatusFailed)
	var script strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(page, -1) {
		script.WriteString(block[1])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir = root
	cmd.Env = local.environment()
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expectInOrder(t, string(out),
		aws.ToString(stopped.Error), aws.ToString(stopped.Error), // of the execution, then in its history
		`\"sequence_no\":3000`, `"SimulatedFailure"`, *first.ExecutionArn,
		"3 messages moved to the retry queue\nretry queue: 3 waiting, 0 in flight; dead-letter queue: 0\n",
		"3 claimed events, 3 inserted, 0 failed", "retry queue: 0 waiting")
	expectStatus(t, shared.wait(t, *stopped.ExecutionArn), sfntypes.ExecutionStatusFailed)
	shared.expectQueue(t, "RetryQueueUrl", 1, 0) // now it is parked
	expectStatus(t, shared.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	for seq, rows := range shared.rows(t, 3000, 3030) {
		if want := 1; len(rows) != want {
			t.Errorf("event %d has %d rows, want %d", seq, len(rows), want)
		}
	}
	if n := len(shared.rows(t, 3000, 3030)); n != 5 {
		t.Errorf("the table has %d of these events, want 5", n)
	}
	// The retries of what was moved are counted anew.
	if got := shared.rows(t, 3001, 3002)[3001][0].RetryAttempt; got != 1 {
		t.Errorf("event 3001 was inserted at retry %d, want 1, as a moved message is new to SQS", got)
	}

	const none = "{\n  \"moved\": 0,\n  \"queues\": {\n    \"retry_queue\": 0,\n    \"in_flight\": 0,\n    \"dead_letter_queue\": 0\n  }\n}"
	if got := run(t, carnation, "redrive", "--output", "json"); got != none {
		t.Errorf("redrive of an empty queue says %s, want %s", got, none)
	}
}
