package cft

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// alarm is an AWS::CloudWatch::Alarm without functions.
type alarm struct {
	AlarmName          string
	Namespace          string
	MetricName         string
	Dimensions         []dimension
	Statistic          string
	Period             int     `json:",string"`
	EvaluationPeriods  int     `json:",string"`
	DatapointsToAlarm  int     `json:",string"`
	Threshold          float64 `json:",string"`
	ComparisonOperator string
	TreatMissingData   string
	Metrics            []query
}

type dimension struct{ Name, Value string }

type query struct {
	ID         string `json:"Id"`
	Expression string
	ReturnData bool `json:",string"`
	MetricStat *metricStat
}

type metricStat struct {
	Metric metric
	Stat   string
	Period int `json:",string"`
}

type metric struct {
	Namespace, MetricName string
	Dimensions            []dimension
}

// String is how the tests name a metric: its namespace, its name and the values of its dimensions.
func (m metric) String() string {
	parts := []string{m.Namespace, m.MetricName}
	for _, d := range m.Dimensions {
		parts = append(parts, d.Value)
	}
	return strings.Join(parts, " ")
}

// alarmsOf are the alarms of the stacks with the given parameters, by the part of the name that follows the project.
func alarmsOf(t *testing.T, parameters map[string]string) map[string]alarm {
	t.Helper()
	all := map[string]alarm{}
	rootStack(parsed(t), parameters).each("AWS::CloudWatch::Alarm", func(s stack, id string) {
		data, err := json.Marshal(s.properties(id))
		if err != nil {
			t.Fatal(err)
		}
		var a alarm
		if err := json.Unmarshal(data, &a); err != nil {
			t.Fatalf("%s: %s: %v\n%s", s.file, id, err, data)
		}
		part := strings.TrimSuffix(strings.TrimPrefix(a.AlarmName, "carnation-"), "-devl-eu-central-2")
		all[part] = a
	})
	return all
}

func parsed(t *testing.T) templates {
	t.Helper()
	all := templates{}
	for file, text := range texts(t) {
		template, err := parse(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[file] = template
	}
	return all
}

// values are what a metric reports in each minute, as minutes before now; false if it reports nothing.
type values func(minutesAgo int) (float64, bool)

func always(value float64) values {
	return func(int) (float64, bool) { return value, true }
}

func never(int) (float64, bool) { return 0, false }

// during reports a value from a minute until another, as minutes before now, and nothing before and after.
func during(from, until int, value float64) values {
	return func(ago int) (float64, bool) { return value, until <= ago && ago < from }
}

// then reports what the first reports, and where that reports nothing what the second does.
func then(first, second values) values {
	return func(ago int) (float64, bool) {
		if value, ok := first(ago); ok {
			return value, true
		}
		return second(ago)
	}
}

// feed is the values of metrics. Those of other metrics are missing.
type feed map[string]values

// series is one value for each period, the newest last. A missing one is NaN.
type series []float64

// statistic is that of each of the last periods.
func (f feed) statistic(m metric, stat string, period, periods int) series {
	report := f[m.String()]
	if report == nil {
		report = never
	}
	result := make(series, periods)
	for i := range result {
		first, value := true, math.NaN()
		for minute := range period / 60 {
			reported, ok := report((periods-1-i)*period/60 + minute)
			switch {
			case !ok:
			case first:
				first, value = false, reported
			case stat == "Sum":
				value += reported
			case stat == "Maximum":
				value = max(value, reported)
			default:
				panic("the tests do not know the statistic " + stat)
			}
		}
		result[i] = value
	}
	return result
}

// beyond is how many periods before the evaluated ones CloudWatch reads, to find values where some are missing. Its documentation
// reads five for an alarm of three.
const beyond = 2

// firesOn is whether the alarm is in the state ALARM after these values:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
func (a alarm) firesOn(f feed) bool {
	if a.TreatMissingData != "notBreaching" || a.ComparisonOperator != "GreaterThanOrEqualToThreshold" {
		panic(a.AlarmName + ": the tests know notBreaching and GreaterThanOrEqualToThreshold")
	}
	var present series
	for _, value := range a.result(f) {
		if !math.IsNaN(value) {
			present = append(present, value)
		}
	}
	// Of the values that exist, the newest count. Missing ones count as not breaching, as many as are needed.
	breaching := 0
	for _, value := range present[max(0, len(present)-a.EvaluationPeriods):] {
		if value >= a.Threshold {
			breaching++
		}
	}
	needed := a.DatapointsToAlarm
	if needed == 0 {
		needed = a.EvaluationPeriods
	}
	return breaching >= needed
}

// result is what the alarm compares with its threshold, in each period that CloudWatch reads.
func (a alarm) result(f feed) series {
	periods := a.EvaluationPeriods + beyond
	if a.Metrics == nil {
		return f.statistic(metric{a.Namespace, a.MetricName, a.Dimensions}, a.Statistic, a.Period, periods)
	}
	known := map[string]series{}
	for _, q := range a.Metrics {
		if s := q.MetricStat; s != nil {
			known[q.ID] = f.statistic(s.Metric, s.Stat, s.Period, periods)
		}
	}
	for _, q := range a.Metrics {
		if q.ReturnData {
			expression, err := parser.ParseExpr(q.Expression)
			if err != nil {
				panic(fmt.Sprintf("%s: %s: %v", a.AlarmName, q.Expression, err))
			}
			return evaluated(expression, known, periods)
		}
	}
	panic(a.AlarmName + " has no expression")
}

// evaluated is the value of an expression of metric math. Its syntax is that of Go, as far as the alarms use it.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
func evaluated(e ast.Expr, known map[string]series, periods int) series {
	switch e := e.(type) {
	case *ast.BasicLit:
		number, err := strconv.ParseFloat(e.Value, 64)
		if err != nil {
			panic(err)
		}
		return slices.Repeat(series{number}, periods)
	case *ast.Ident:
		if known[e.Name] == nil {
			panic("there is no metric with the Id " + e.Name)
		}
		return known[e.Name]
	case *ast.ParenExpr:
		return evaluated(e.X, known, periods)
	case *ast.BinaryExpr:
		left, right := evaluated(e.X, known, periods), evaluated(e.Y, known, periods)
		result := make(series, periods)
		for i := range result {
			switch e.Op {
			case token.ADD:
				result[i] = left[i] + right[i]
			case token.SUB:
				result[i] = left[i] - right[i]
			case token.MUL:
				result[i] = left[i] * right[i]
			case token.QUO:
				result[i] = left[i] / right[i]
			default:
				panic("the tests do not know the operator " + e.Op.String())
			}
		}
		return result
	case *ast.CallExpr:
		function, _ := e.Fun.(*ast.Ident)
		if function.Name == "SUM" && len(e.Args) == 1 {
			return sumOfMetrics(e.Args[0], known, periods)
		}
		if how, _ := e.Args[len(e.Args)-1].(*ast.Ident); function.Name == "FILL" && len(e.Args) == 2 && how != nil && how.Name == "REPEAT" {
			result := slices.Clone(evaluated(e.Args[0], known, periods))
			for i := range result {
				if i > 0 && math.IsNaN(result[i]) {
					result[i] = result[i-1]
				}
			}
			return result
		}
	}
	panic(fmt.Sprintf("the tests do not know %T of metric math", e))
}

// sumOfMetrics is the value of SUM(FILL(METRICS(), 0)).
func sumOfMetrics(argument ast.Expr, known map[string]series, periods int) series {
	fill, err := parser.ParseExpr("FILL(METRICS(), 0)")
	if err != nil || types.ExprString(argument) != types.ExprString(fill) {
		panic("the tests know SUM only of FILL(METRICS(), 0), not of " + types.ExprString(argument))
	}
	result := make(series, periods)
	for _, values := range known {
		for i, value := range values {
			if !math.IsNaN(value) {
				result[i] += value
			}
		}
	}
	return result
}

// The tables in which AWS documents how missing data is treated. X is a breaching value, 0 one that is not, - a missing one.
func TestEvaluatorAgreesWithTheTablesOfAWS(t *testing.T) {
	for _, test := range []struct {
		points     string
		datapoints int
		fires      bool
	}{
		{"0 - X - X", 3, false}, {"0 - - - -", 3, false}, {"- - - - -", 3, false}, {"0 X X - X", 3, true}, {"- - X - -", 3, false},
		{"0 - X - X", 2, true}, {"0 0 X 0 X", 2, true}, {"0 - X - -", 2, false}, {"- - - - 0", 2, false}, {"- - - X -", 2, false},
	} {
		points := strings.Fields(test.points)
		a := alarm{MetricName: "m", Statistic: "Maximum", Period: 60, EvaluationPeriods: 3, DatapointsToAlarm: test.datapoints, Threshold: 1,
			ComparisonOperator: "GreaterThanOrEqualToThreshold", TreatMissingData: "notBreaching"}
		got := a.firesOn(feed{" m": func(ago int) (float64, bool) {
			point := points[len(points)-1-ago]
			return map[string]float64{"X": 1}[point], point != "-"
		}})
		if got != test.fires {
			t.Errorf("%s with %d of 3: fires is %t, want %t", test.points, test.datapoints, got, test.fires)
		}
	}
}

// The metrics that the alarms watch, of the stack carnation-devl.
const (
	waiting     = "AWS/SQS ApproximateNumberOfMessagesVisible carnation-retry-queue-devl-eu-central-2"
	waitingAge  = "AWS/SQS ApproximateAgeOfOldestMessage carnation-retry-queue-devl-eu-central-2"
	dead        = "AWS/SQS ApproximateNumberOfMessagesVisible carnation-dead-letter-queue-devl-eu-central-2"
	deadAge     = "AWS/SQS ApproximateAgeOfOldestMessage carnation-dead-letter-queue-devl-eu-central-2"
	inserts     = "AWS/DynamoDB ThrottledRequests carnation-events-devl-eu-central-2 UpdateItem"
	openMapRuns = "AWS/States ApproximateOpenMapRunCount"
	hour        = 60
	day         = 24 * hour
)

func ofRuns(name string) string   { return "AWS/States " + name + " StateMachine.Arn" }
func ofShards(name string) string { return ofChildren("Shard", name) }

// ofChildren is the metric of the executions of a Distributed Map with this label.
func ofChildren(label, name string) string { return ofRuns(name) + "/" + label }
func ofFunction(function, name string) string {
	return "AWS/Lambda " + name + " carnation-" + function + "-devl-eu-central-2"
}

// modes are the parameters of each mode, and the functions that it has.
var modes = map[string][]string{
	"INLINE":      {"generate-data", "insert-data"},
	"DISTRIBUTED": {"generate-data", "insert-data", "plan-shards"},
}

// situation is what happens, and what the metrics then report.
type situation struct {
	alarm string
	what  string
	feed  feed
	fires bool
}

// situations are those of the alarms of both modes, with the default parameters. An alarm on a function is named with *.
var situations = []situation{
	{"executions-failed", "a run failed", feed{ofRuns("ExecutionsFailed"): during(3, 2, 1)}, true},
	{"executions-failed", "all runs succeeded", feed{ofRuns("ExecutionsFailed"): always(0)}, false},
	{"executions-timed-out", "a run timed out", feed{ofRuns("ExecutionsTimedOut"): during(3, 2, 1)}, true},
	{"executions-aborted", "somebody stopped a run", feed{ofRuns("ExecutionsAborted"): during(3, 2, 1)}, true},

	// This metric exists only while Step Functions throttles.
	{"transitions-throttled", "10 transitions a minute have waited for a quarter of an hour", feed{ofRuns("ExecutionThrottled"): during(15, 0, 20)}, true},
	{"transitions-throttled", "a large run began", feed{ofRuns("ExecutionThrottled"): during(4, 2, 5000)}, false},
	{"shard-transitions-throttled", "a distributed run has been throttled for a quarter of an hour", feed{ofShards("ExecutionThrottled"): during(15, 0, 20)}, true},
	{"shard-transitions-throttled", "a run of a CSV file has been throttled for a quarter of an hour", feed{ofChildren("Csv", "ExecutionThrottled"): during(15, 0, 20)}, true},
	{"shard-transitions-throttled", "shards and batches have been throttled together", feed{
		ofShards("ExecutionThrottled"): during(15, 0, 10), ofChildren("Events", "ExecutionThrottled"): during(15, 0, 4),
		ofChildren("JsonLines", "ExecutionThrottled"): during(15, 0, 4), ofChildren("JsonArray", "ExecutionThrottled"): during(15, 0, 4),
	}, true},
	{"shard-transitions-throttled", "a distributed run began", feed{ofShards("ExecutionThrottled"): during(4, 2, 5000)}, false},
	{"open-map-runs", "the account has 950 open Map Runs", feed{openMapRuns: always(950)}, true},
	{"open-map-runs", "the account has 40 open Map Runs", feed{openMapRuns: always(40)}, false},

	// This metric exists only while DynamoDB throttles.
	{"table-throttles", "an insert in three seconds has been throttled for a quarter of an hour", feed{inserts: during(15, 0, 20)}, true},
	{"table-throttles", "the table has been throttled again and again", feed{inserts: then(during(15, 12, 500), then(during(10, 8, 500), during(5, 3, 500)))}, true},
	{"table-throttles", "a new table got more writes than ever before, and has grown", feed{inserts: during(8, 3, 2000)}, false},

	{"dead-letter-queue-depth", "an event failed its last retry", feed{dead: then(during(2, 0, 1), always(0))}, true},
	{"dead-letter-queue-depth", "there are no dead letters", feed{dead: always(0)}, false},
	{"dead-letter-age", "a dead letter has been there for two days", feed{deadAge: always(2*86400 + 60)}, true},
	{"dead-letter-age", "a dead letter has been there for a day", feed{deadAge: always(86400)}, false},
	{"dead-letter-age", "the queue is empty", feed{}, false},

	// SQS leaves out an event that was received three times, that is, one without retries left. It counts as waiting.
	{"oldest-message-age", "an event has waited for a day", feed{waitingAge: always(86400)}, true},
	{"oldest-message-age", "an event has waited for a night", feed{waitingAge: always(12 * 3600)}, false},
	{"oldest-message-age", "an event without retries left has waited for nine days", feed{waiting: always(1)}, false},
	{"waiting-events", "an event without retries left has waited for nine days", feed{waiting: always(1)}, true},
	{"waiting-events", "it has waited for a day, in a queue that nobody has used for 18 hours", feed{waiting: during(day, 18*hour, 1)}, true},
	{"waiting-events", "every run of an hourly schedule fails and releases it", feed{waiting: func(ago int) (float64, bool) {
		if ago%hour < 10 {
			return 0, true // the run has claimed it
		}
		return 1, true
	}}, true},
	{"waiting-events", "a run of last evening failed, and one of this morning inserted its events", feed{waiting: then(during(22*hour, 8*hour, 20), always(0))}, false},
	{"waiting-events", "the queue has been empty and unused for days", feed{}, false},
	{"waiting-events", "the queue is empty, and was last used six hours ago", feed{waiting: during(3*day, 6*hour, 0)}, false},

	{"*-invocations", "something starts runs without end", nil, true},
	{"*-errors", "an invocation crashed", nil, true},
	{"*-throttles", "the account's concurrency has been used up for a quarter of an hour", nil, true},
	{"*-throttles", "two runs of a new account overlapped, with 10 invocations at once each", nil, false},
	{"*-throttles", "two such runs overlapped again and again, with a pause between", nil, false},
	{"*-duration", "an invocation timed out", nil, true},
	{"*-duration", "the longest invocation took half of the timeout", nil, false},
	{"*-concurrent-executions", "five runs overlap", nil, true},
	{"*-concurrent-executions", "two runs overlap", nil, false},
}

// ofFunctions are the metrics of the situations of functions, by what happens.
var ofFunctions = map[string]struct {
	metric string
	values values
}{
	"something starts runs without end":                                      {"Invocations", always(5000)},
	"an invocation crashed":                                                  {"Errors", during(3, 2, 1)},
	"the account's concurrency has been used up for a quarter of an hour":    {"Throttles", always(120)},
	"two runs of a new account overlapped, with 10 invocations at once each": {"Throttles", then(during(6, 3, 300), always(0))},
	"two such runs overlapped again and again, with a pause between": {"Throttles", func(ago int) (float64, bool) {
		if ago%10 < 3 {
			return 300, true
		}
		return 0, true
	}},
	"an invocation timed out":                         {"Duration", during(3, 2, 60_000)},
	"the longest invocation took half of the timeout": {"Duration", always(30_000)},
	"five runs overlap":                               {"ConcurrentExecutions", during(3, 2, 50)},
	"two runs overlap":                                {"ConcurrentExecutions", during(3, 2, 20)},
}

func TestAlarmsFireWhenTheyShould(t *testing.T) {
	fired := map[string]bool{}
	for mode, functions := range modes {
		alarms := alarmsOf(t, map[string]string{"MapMode": mode})
		check := func(part, what string, f feed, fires bool) {
			a, exists := alarms[part]
			if !exists {
				return
			}
			if got := a.firesOn(f); got != fires {
				t.Errorf("%s: %s: the alarm %s fires is %t, want %t", mode, what, part, got, fires)
			}
			if fires {
				fired[mode+" "+part] = true
			}
		}
		for _, s := range situations {
			kind, isOfFunction := strings.CutPrefix(s.alarm, "*-")
			if !isOfFunction {
				check(s.alarm, s.what, s.feed, s.fires)
				continue
			}
			for _, function := range functions {
				of := ofFunctions[s.what]
				check(function+"-"+kind, s.what, feed{ofFunction(function, of.metric): of.values}, s.fires)
			}
		}
		for part := range alarms {
			if !fired[mode+" "+part] {
				t.Errorf("%s: no situation here makes the alarm %s fire", mode, part)
			}
		}
	}
	if fired["INLINE shard-transitions-throttled"] || fired["INLINE plan-shards-errors"] {
		t.Error("a stack of the inline mode has alarms of the distributed mode")
	}
}

// Runs every ten minutes, each of which inserts its events, and one in an hour of which has failed events that the next retries.
func TestNoAlarmFiresOnAnOrdinaryDay(t *testing.T) {
	for mode, functions := range modes {
		ordinary := feed{
			ofRuns("ExecutionsFailed"): always(0), ofRuns("ExecutionsTimedOut"): always(0), ofRuns("ExecutionsAborted"): always(0),
			waiting: func(ago int) (float64, bool) {
				if ago%hour < 10 {
					return 3, (ago/hour)%2 == 0
				}
				return 0, true
			},
			waitingAge:  during(20, 10, 600),
			dead:        always(0),
			openMapRuns: always(1),
		}
		for _, function := range functions {
			ordinary[ofFunction(function, "Invocations")] = always(10)
			ordinary[ofFunction(function, "Errors")] = always(0)
			ordinary[ofFunction(function, "Throttles")] = always(0)
			ordinary[ofFunction(function, "Duration")] = always(900)
			ordinary[ofFunction(function, "ConcurrentExecutions")] = always(10)
		}
		for part, a := range alarmsOf(t, map[string]string{"MapMode": mode}) {
			if a.firesOn(ordinary) {
				t.Errorf("%s: the alarm %s fires", mode, part)
			}
			watched := []metric{{a.Namespace, a.MetricName, a.Dimensions}}
			if a.Metrics != nil {
				watched = nil
			}
			for _, q := range a.Metrics {
				if q.MetricStat != nil {
					watched = append(watched, q.MetricStat.Metric)
				}
			}
			for _, m := range watched {
				onlyWhenThrottled := m.MetricName == "ExecutionThrottled" || m.String() == inserts
				if ordinary[m.String()] == nil && !onlyWhenThrottled && m.String() != deadAge {
					t.Errorf("%s: an ordinary day has no %s, which the alarm %s watches", mode, m, part)
				}
			}
		}
	}
}

// No allowed value of a parameter makes an alarm come too late or never.
func TestParametersDoNotSwitchAlarmsOff(t *testing.T) {
	limits := func(parameter string) []string {
		declared := get(parsed(t)[root], "Parameters", parameter)
		return []string{text(declared, "MinValue"), text(declared, "Default"), text(declared, "MaxValue")}
	}
	seconds := func(text string) float64 {
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	for _, timeout := range limits("LambdaTimeout") {
		for _, percent := range limits("DurationThresholdPercent") {
			alarms := alarmsOf(t, map[string]string{"LambdaTimeout": timeout, "DurationThresholdPercent": percent})
			for _, function := range modes["INLINE"] {
				longest := feed{ofFunction(function, "Duration"): always(seconds(timeout) * 1000)}
				if !alarms[function+"-duration"].firesOn(longest) {
					t.Errorf("an invocation of %s that ran until its timeout, with LambdaTimeout=%s and DurationThresholdPercent=%s: no alarm", function, timeout, percent)
				}
			}
		}
	}
	for _, kept := range limits("MessageRetentionPeriod") {
		for _, percent := range limits("OldestMessageAgeThresholdPercent") {
			alarms := alarmsOf(t, map[string]string{"MessageRetentionPeriod": kept, "OldestMessageAgeThresholdPercent": percent})
			last := seconds(kept) * 0.9
			if !alarms["oldest-message-age"].firesOn(feed{waitingAge: always(last)}) {
				t.Errorf("an event that SQS deletes in %.0f s, with MessageRetentionPeriod=%s and OldestMessageAgeThresholdPercent=%s: no alarm", seconds(kept)-last, kept, percent)
			}
		}
		alarms := alarmsOf(t, map[string]string{"MessageRetentionPeriod": kept})
		w := alarms["waiting-events"]
		until := float64(w.EvaluationPeriods * w.Metrics[1].MetricStat.Period)
		if left := seconds(kept) - until; left < 86400 {
			t.Errorf("the alarm on waiting events comes %.0f s before SQS deletes the event, with MessageRetentionPeriod=%s, want a day", left, kept)
		}
		// The message came to the dead-letter queue at the last moment. Its age counts from there, and the time that it is kept does not.
		const keptDead = 14 * 86400.0
		left := keptDead - seconds(kept)
		for age := 0.0; ; age += 60 {
			if alarms["dead-letter-age"].firesOn(feed{deadAge: always(age)}) {
				left -= age
				break
			}
			if age > left {
				t.Fatalf("with MessageRetentionPeriod=%s SQS deletes a dead letter before the alarm on its age", kept)
			}
		}
		if want := (keptDead - seconds(kept)) / 2; math.Abs(left-want) > 60 {
			t.Errorf("with MessageRetentionPeriod=%s the alarm comes %.0f s before SQS deletes a dead letter, want %.0f", kept, left, want)
		}
		if kept == limits("MessageRetentionPeriod")[1] && left < 2*86400-60 {
			t.Errorf("by default the alarm on a dead letter comes %.0f s before SQS deletes it, want two days", left)
		}
	}
}

var mathID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// What PutMetricAlarm would refuse: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
func TestAlarmsAreWithinTheLimitsOfCloudWatch(t *testing.T) {
	for _, mode := range slices.Sorted(maps.Keys(modes)) {
		for part, a := range alarmsOf(t, map[string]string{"MapMode": mode}) {
			period, returned := a.Period, 0
			for _, q := range a.Metrics {
				if (q.MetricStat == nil) == (q.Expression == "") || !mathID.MatchString(q.ID) {
					t.Errorf("%s: %q is neither a metric nor an expression, or has a wrong Id", part, q.ID)
				}
				if q.MetricStat != nil {
					period = q.MetricStat.Period
				}
				if q.ReturnData {
					returned++
				}
			}
			if a.Metrics != nil && (returned != 1 || a.MetricName != "" || a.Period != 0) {
				t.Errorf("%s: %d metrics are returned, want 1 and no metric beside Metrics", part, returned)
			}
			longest := 86400
			if period >= 3600 {
				longest = 604800
			}
			if period%60 != 0 || period*a.EvaluationPeriods > longest || a.DatapointsToAlarm > a.EvaluationPeriods {
				t.Errorf("%s evaluates %d of %d periods of %d s, want at most %d s in all", part, a.DatapointsToAlarm, a.EvaluationPeriods, period, longest)
			}
		}
	}
}
