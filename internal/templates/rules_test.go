package templates

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A rule reports what breaks it in these texts.
type rule struct {
	name  string
	check func(texts map[string]string, report func(format string, args ...any))
}

var rules = []rule{
	{"templates fit together", fitTogether},
	{"what can be encrypted is, with the one key", encrypted},
	{"log groups are kept for a time, and everything that logs has one", logged},
	{"data outlives its stack in prod, and nothing else does", outlives},
	{"alarms and dashboards watch resources of the stack, alarms tell the topic", watched},
	{"nested parameters are passed, outputs used", passed},
	{"names fit AWS's limits and say whose they are", fit},
	{"what waits outlasts what it waits for", timed},
	{"the Map's concurrency is at most the reserved one", concurrent},
	{"substitutions are those that the state machine's file has", substituted},
	{"errors are those that there are", named},
	{"templates work in every region and partition", portable},
}

// complaints is what breaks a rule in any mode.
func (r rule) complaints(texts map[string]string) []string {
	var all []string
	defer func(before place) { devl = before }(devl)
	for _, mode := range modes {
		devl = devl.with("MapMode", mode)
		r.check(texts, func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) })
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestTemplatesHoldTheRules(t *testing.T) {
	texts := files(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, complaint := range r.complaints(texts) {
				t.Error(complaint)
			}
		})
	}
}

var modes = []string{"INLINE", "DISTRIBUTED"}

var environments = []string{"devl", "test", "prod"}

func fitTogether(texts map[string]string, report func(string, ...any)) {
	for _, environment := range environments {
		for _, problem := range newWorld(texts, devl.with("Environment", environment)).problems {
			report("%s", problem)
		}
	}
	w := newWorld(texts, devl)
	for file := range w.templates {
		if !slices.ContainsFunc(w.stacks, func(s *stack) bool { return s.file == file }) {
			report("%s: no stack uses it", file)
		}
	}
}

// Where a resource names its key, at one place or more. Types without an entry hold nothing: see plainTypes.
var keyOf = map[string][][]string{
	"AWS::DynamoDB::Table":             {{"SSESpecification", "KMSMasterKeyId"}},
	"AWS::SQS::Queue":                  {{"KmsMasterKeyId"}},
	"AWS::SNS::Topic":                  {{"KmsMasterKeyId"}},
	"AWS::Logs::LogGroup":              {{"KmsKeyId"}},
	"AWS::Lambda::Function":            {{"KmsKeyArn"}, {"Code", "SourceKMSKeyArn"}},
	"AWS::StepFunctions::StateMachine": {{"EncryptionConfiguration", "KmsKeyId"}},
	"AWS::S3::Bucket":                  {{"BucketEncryption", "ServerSideEncryptionConfiguration", "0", "ServerSideEncryptionByDefault", "KMSMasterKeyID"}},
}

// What has to be said beside the key, or the key is not used.
var switchOf = map[string]map[string]string{
	"AWS::DynamoDB::Table":             {"SSESpecification.SSEEnabled": "true", "SSESpecification.SSEType": "KMS"},
	"AWS::StepFunctions::StateMachine": {"EncryptionConfiguration.Type": "CUSTOMER_MANAGED_KMS_KEY"},
	"AWS::S3::Bucket":                  {"BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.SSEAlgorithm": "aws:kms"},
}

var plainTypes = []string{
	"AWS::CloudFormation::Stack", "AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::IAM::Role", "AWS::KMS::Alias", "AWS::KMS::Key",
	"AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy",
}

// usesKey tells whether a value names the one key: the parameter's, or in the prerequisites the one made there.
func (w *world) usesKey(value any) bool {
	if r := w.named(value, "", "Arn"); r != nil {
		return r.kind == "AWS::KMS::Key"
	}
	text, _ := value.(string)
	arn := fmt.Sprintf("arn:%s:kms:%s:%s:key/", w.partition, w.region, account)
	return strings.TrimPrefix(text, arn) == "<KmsMasterKeyId>"
}

func encrypted(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl.with("SNSSubscriptionEmail", "me@example.com"))
	for _, r := range w.of() {
		paths, can := keyOf[r.kind]
		if !can {
			if !slices.Contains(plainTypes, r.kind) {
				report("%s: %s is a %s: say in keyOf how that is encrypted, or in plainTypes that it holds nothing", r.file, r.id, r.kind)
			}
			continue
		}
		for _, path := range paths {
			if value := r.get(path...); !w.usesKey(value) {
				report("%s: %s of %s is %v, want the key", r.file, strings.Join(path, "."), r.id, value)
			}
		}
		for path, want := range switchOf[r.kind] {
			if got := r.text(strings.Split(path, ".")...); got != want {
				report("%s: %s of %s is %q, want %s", r.file, path, r.id, got, want)
			}
		}
	}
}

func logged(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl)
	for _, r := range w.of("AWS::Logs::LogGroup") {
		if days, err := strconv.Atoi(r.text("RetentionInDays")); err != nil || days < 1 {
			report("%s: %s has no RetentionInDays", r.file, r.id)
		}
	}
	for _, r := range w.of("AWS::Lambda::Function") {
		if group := w.named(r.get("LoggingConfig", "LogGroup"), ""); group == nil || group.kind != "AWS::Logs::LogGroup" {
			report("%s: LoggingConfig.LogGroup of %s is %v, want a log group of the stack", r.file, r.id, r.get("LoggingConfig", "LogGroup"))
		}
	}
	for _, r := range w.of("AWS::StepFunctions::StateMachine") {
		arn := r.get("LoggingConfiguration", "Destinations", "0", "CloudWatchLogsLogGroup", "LogGroupArn")
		if group := w.named(arn, "Arn"); group == nil || group.kind != "AWS::Logs::LogGroup" {
			report("%s: %s logs to %v, want a log group of the stack", r.file, r.id, arn)
		}
		if level := r.text("LoggingConfiguration", "Level"); level == "" || level == "OFF" {
			report("%s: %s logs nothing", r.file, r.id)
		}
	}
}

// Types that keep something, and whether it is data. A log group's is not: ids and counts, which expire by themselves.
var stateful = map[string]bool{
	"AWS::DynamoDB::Table": true, "AWS::SQS::Queue": true, "AWS::S3::Bucket": true, "AWS::KMS::Key": true, "AWS::Logs::LogGroup": false,
}

func outlives(texts map[string]string, report func(string, ...any)) {
	for _, environment := range environments {
		w := newWorld(texts, devl.with("Environment", environment))
		for _, r := range w.of() {
			data, keeps := stateful[r.kind]
			if keeps && (r.deletion == "" || r.replacement == "") {
				report("%s: %s sets not both DeletionPolicy and UpdateReplacePolicy", r.file, r.id)
				continue
			}
			// The prerequisites serve all environments, so they are always as in prod. RetainExceptOnCreate rather than
			// Retain, or what a failed creation leaves would be in the way of the next.
			want, replaced := "Delete", "Delete"
			if data {
				replaced = "Retain"
				if environment == "prod" || r.file == prerequisites {
					want = "RetainExceptOnCreate"
				}
			}
			if r.deletion != want && (keeps || r.deletion != "") {
				report("%s: DeletionPolicy of %s in %s is %s, want %s", r.file, r.id, environment, r.deletion, want)
			}
			if r.replacement != replaced && (keeps || r.replacement != "") {
				report("%s: UpdateReplacePolicy of %s in %s is %s, want %s", r.file, r.id, environment, r.replacement, replaced)
			}
			if r.kind == "AWS::DynamoDB::Table" {
				if got, want := r.text("DeletionProtectionEnabled"), fmt.Sprint(environment == "prod"); got != want {
					report("%s: DeletionProtectionEnabled of %s in %s is %s, want %s", r.file, r.id, environment, got, want)
				}
				if r.text("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != "true" {
					report("%s: %s has no point-in-time recovery", r.file, r.id)
				}
			}
		}
	}
}

// The type and the attribute that the value of a dimension has to be.
var dimensions = map[string]struct{ kind, attribute string }{
	"FunctionName":    {"AWS::Lambda::Function", ""},
	"QueueName":       {"AWS::SQS::Queue", "QueueName"},
	"StateMachineArn": {"AWS::StepFunctions::StateMachine", "Arn"},
	"TableName":       {"AWS::DynamoDB::Table", ""},
	"TopicName":       {"AWS::SNS::Topic", "TopicName"},
}

// checkDimension tells what is wrong with one dimension of a metric; "" if nothing is.
func (w *world) checkDimension(name string, value any) string {
	want, known := dimensions[name]
	if own := map[string]string{"ProjectName": "carnation", "Environment": "devl"}[name]; own != "" { // of Carnation's own metrics
		if value == own {
			return ""
		}
		return fmt.Sprintf("dimension %s is %v, want %s", name, value, own)
	}
	if !known {
		return fmt.Sprintf("these tests do not know the dimension %s: teach them", name)
	}
	r := w.named(value, want.attribute)
	if r == nil && want.kind == "AWS::StepFunctions::StateMachine" {
		r = w.named(value, "") // its Ref is its ARN too
	}
	if r == nil || r.kind != want.kind {
		return fmt.Sprintf("dimension %s is %v, which names no %s of the stack", name, value, want.kind)
	}
	return ""
}

// metrics are the metrics of an alarm, whether one or several in an expression.
func metrics(r *resource) []any {
	if several := list(r.get("Metrics")); several != nil {
		var all []any
		for _, one := range several {
			if metric := get(one, "MetricStat", "Metric"); metric != nil {
				all = append(all, metric)
			}
		}
		return all
	}
	return []any{r.properties}
}

func watched(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl)
	for _, r := range w.of("AWS::CloudWatch::Alarm") {
		for _, metric := range metrics(r) {
			if len(list(get(metric, "Dimensions"))) == 0 {
				report("%s: %s has no dimension, so it watches the whole account", r.file, r.id)
			}
			for _, d := range list(get(metric, "Dimensions")) {
				if wrong := w.checkDimension(fmt.Sprint(get(d, "Name")), get(d, "Value")); wrong != "" {
					report("%s: %s: %s", r.file, r.id, wrong)
				}
			}
		}
		if len(list(r.get("AlarmActions"))) != 1 || r.text("ActionsEnabled") == "false" {
			report("%s: %s tells %v, want the topic", r.file, r.id, r.get("AlarmActions"))
		}
		for _, property := range []string{"AlarmActions", "OKActions", "InsufficientDataActions"} {
			for _, action := range list(r.get(property)) {
				if topic := w.named(action, "", "TopicArn"); topic == nil || topic.kind != "AWS::SNS::Topic" {
					report("%s: %s of %s has %v, want the topic", r.file, property, r.id, action)
				}
			}
		}
		arn := fmt.Sprintf("arn:%s:cloudwatch:%s:%s:alarm:%s", w.partition, w.region, account, r.text("AlarmName"))
		if !slices.ContainsFunc(w.of("AWS::SNS::TopicPolicy"), func(p *resource) bool { return letsPublish(p, arn) }) {
			report("%s: no topic policy lets %s publish, which is %s", r.file, r.id, arn)
		}
	}
	for _, r := range w.of("AWS::CloudWatch::Dashboard") {
		var body any
		if err := json.Unmarshal([]byte(r.text("DashboardBody")), &body); err != nil {
			report("%s: DashboardBody of %s: %v", r.file, r.id, err)
			continue
		}
		for _, widget := range list(get(body, "widgets")) {
			for _, wrong := range w.checkWidget(get(widget, "properties")) {
				report("%s: %s: widget %v: %s", r.file, r.id, get(widget, "properties", "title"), wrong)
			}
		}
	}
}

// checkWidget reads the metrics of a widget: namespace, name, dimensions as pairs, and options; "." is what the row before has
// at this place. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
func (w *world) checkWidget(properties any) (wrong []string) {
	var before []any
	for _, row := range list(get(properties, "metrics")) {
		var fields []any
		for i, field := range list(row) {
			if field == "." {
				if i >= len(before) {
					return append(wrong, fmt.Sprintf("row %v repeats what is not there", row))
				}
				field = before[i]
			}
			if _, isText := field.(string); isText {
				fields = append(fields, field)
			}
		}
		if len(fields) == 0 {
			continue // an expression of the others
		}
		if before = fields; len(fields) < 4 || len(fields)%2 != 0 {
			wrong = append(wrong, fmt.Sprintf("row %v has no dimension", row))
			continue
		}
		for i := 2; i < len(fields); i += 2 {
			if one := w.checkDimension(fmt.Sprint(fields[i]), fields[i+1]); one != "" {
				wrong = append(wrong, one)
			}
		}
	}
	for _, alarm := range list(get(properties, "annotations", "alarms")) {
		if w.named(alarm, "Arn") == nil {
			wrong = append(wrong, fmt.Sprintf("%v is no alarm of the stack", alarm))
		}
	}
	return wrong
}

// letsPublish tells whether a topic's policy lets CloudWatch publish for an alarm.
func letsPublish(policy *resource, alarm string) bool {
	return slices.ContainsFunc(list(policy.get("PolicyDocument", "Statement")), func(statement any) bool {
		return get(statement, "Effect") == "Allow" && get(statement, "Principal", "Service") == "cloudwatch.amazonaws.com" &&
			like(fmt.Sprint(get(statement, "Condition", "ArnLike", "aws:SourceArn")), alarm)
	})
}

// like is ArnLike, but for a wildcard that crosses a colon.
func like(pattern, arn string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(arn)
}

func passed(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl)
	for _, s := range w.stacks {
		used := outputsUsed(object{"Resources": s.template["Resources"], "Outputs": s.template["Outputs"]})
		for id, child := range s.children {
			if child == nil {
				continue // fitTogether says it
			}
			declared, _ := child.template["Parameters"].(object)
			for name := range declared {
				if _, given := child.parameters[name]; !given {
					report("%s: %s does not get the parameter %s", s.file, id, name)
				}
			}
			for name := range child.parameters {
				if declared[name] == nil {
					report("%s: %s gets the parameter %s, which %s does not have", s.file, id, name, child.file)
				}
			}
			outputs, _ := child.template["Outputs"].(object)
			for name := range outputs {
				if !used[id+".Outputs."+name] {
					report("%s: nothing uses the output %s of %s", child.file, name, id)
				}
			}
		}
	}
}

// outputsUsed are the outputs of nested stacks that a value refers to, such as SQSStack.Outputs.RetryQueueArn.
func outputsUsed(value any) map[string]bool {
	used := map[string]bool{}
	switch v := value.(type) {
	case object:
		if pair := list(v["Fn::GetAtt"]); len(pair) == 2 {
			used[fmt.Sprint(pair[0], ".", pair[1])] = true
		}
		for _, item := range v {
			maps.Copy(used, outputsUsed(item))
		}
	case []any:
		for _, item := range v {
			maps.Copy(used, outputsUsed(item))
		}
	case string:
		for _, match := range substitution.FindAllStringSubmatch(v, -1) {
			used[match[1]] = true
		}
	}
	return used
}

// The longest that AWS takes, in characters.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
// https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
var longest = map[string]map[string]int{
	"AWS::IAM::Role":                   {"RoleName": 64, "Description": 1000},
	"AWS::Lambda::Function":            {"FunctionName": 64, "Description": 256},
	"AWS::SQS::Queue":                  {"QueueName": 80},
	"AWS::SNS::Topic":                  {"TopicName": 256, "DisplayName": 100},
	"AWS::DynamoDB::Table":             {"TableName": 255},
	"AWS::CloudWatch::Alarm":           {"AlarmName": 255, "AlarmDescription": 1024},
	"AWS::CloudWatch::Dashboard":       {"DashboardName": 255},
	"AWS::StepFunctions::StateMachine": {"StateMachineName": 80},
	"AWS::Logs::LogGroup":              {"LogGroupName": 512},
	"AWS::S3::Bucket":                  {"BucketName": 63},
	"AWS::KMS::Alias":                  {"AliasName": 256},
	"AWS::KMS::Key":                    {"Description": 8192},
}

// The longest name of a region that there is.
const longestRegion = "us-isof-south-1"

func fit(texts map[string]string, report func(string, ...any)) {
	plain := newWorld(texts, devl)
	most, err := strconv.Atoi(fmt.Sprint(get(plain.templates[rootTemplate], "Parameters", "ProjectName", "MaxLength")))
	if err != nil {
		report("%s: ProjectName has no MaxLength", rootTemplate)
		return
	}
	project, environment := strings.Repeat("p", most), ""
	for _, value := range list(get(plain.templates[rootTemplate], "Parameters", "Environment", "AllowedValues")) {
		environment = max(environment, fmt.Sprint(value)) // all of one length
	}
	w := newWorld(texts, place{"aws-iso-f", longestRegion, "csp.hci.ic.gov", nil}.with("ProjectName", project, "Environment", environment))
	for _, r := range w.of() {
		limits, known := longest[r.kind]
		for property := range r.properties {
			if strings.HasSuffix(property, "Name") && !known {
				report("%s: %s of %s: say in longest how long it can be", r.file, property, r.id)
			}
		}
		for property, limit := range limits {
			name := r.text(property)
			if len(name) > limit {
				report("%s: %s of %s has up to %d characters, and can have %d: %s", r.file, property, r.id, len(name), limit, name)
			}
			suffix := "-" + environment + "-" + longestRegion
			if name == "" || !strings.HasSuffix(property, "Name") || r.kind == "AWS::KMS::Alias" || r.kind == "AWS::S3::Bucket" {
				continue // a bucket's is unique in the world, an alias serves all environments
			}
			if last := name[strings.LastIndex(name, "/")+1:]; !strings.HasPrefix(last, project+"-") || !strings.HasSuffix(last, suffix) {
				report("%s: %s of %s is %s, want <project>-<part>-<environment>-<region>", r.file, property, r.id, r.text(property))
			}
		}
	}
}

// limits are the smallest, the largest and the default value of a parameter of the root template; 0 for those that it has not.
func limits(w *world, parameter string) (smallest, largest, byDefault int) {
	declared := get(w.templates[rootTemplate], "Parameters", parameter)
	number := func(key string) int {
		n, _ := strconv.Atoi(fmt.Sprint(get(declared, key)))
		return n
	}
	return number("MinValue"), number("MaxValue"), number("Default")
}

func timed(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl)
	visibility, _, _ := limits(w, "VisibilityTimeout")
	_, function, usual := limits(w, "LambdaTimeout")
	_, kept, waits := limits(w, "MessageRetentionPeriod")
	if function == 0 || kept == 0 {
		report("%s: LambdaTimeout or MessageRetentionPeriod has no MaxValue", rootTemplate)
	}
	for file, machine := range w.machines {
		execution := seconds(machine)
		if held := claimed(machine); execution == 0 || visibility <= held {
			report("%s: VisibilityTimeout can be %d seconds, which is not longer than a claim of %s is held: %d", rootTemplate, visibility, file, held)
		}
		eachState(machine, func(name string, state object) {
			if state["Type"] != "Task" {
				return
			}
			task := seconds(state)
			if task == 0 || task >= execution {
				report("%s: state %q can take %d seconds, and the run %d", file, name, task, execution)
			}
			if resource, _ := state["Resource"].(string); strings.Contains(resource, ":lambda:") && task <= function {
				report("%s: state %q gives up after %d seconds, and LambdaTimeout can be %d", file, name, task, function)
			}
		})
	}
	for _, r := range w.of("AWS::SQS::Queue") {
		dlq := w.named(r.get("RedrivePolicy", "deadLetterTargetArn"), "Arn")
		if dlq == nil {
			continue
		}
		if lasts, err := strconv.Atoi(dlq.text("MessageRetentionPeriod")); err != nil || lasts <= kept {
			report("%s: %s keeps messages for %s seconds, which is not longer than %s can: %d", dlq.file, dlq.id, dlq.text("MessageRetentionPeriod"), r.id, kept)
		}
	}
	if _, _, threshold := limits(w, "DurationThreshold"); threshold >= usual*1000 {
		report("%s: DurationThreshold is %d ms by default, and LambdaTimeout %d s: the alarm comes after the timeout", rootTemplate, threshold, usual)
	}
	if _, _, threshold := limits(w, "OldestMessageAgeThreshold"); threshold >= waits {
		report("%s: OldestMessageAgeThreshold is %d s by default, and messages are gone after %d", rootTemplate, threshold, waits)
	}
}

// claimed is how long a run, or a shard of one, can hold its claims: from the beginning of the invocation that claims to the end
// of the last attempt of whatever comes after it.
func claimed(machine object) int {
	longest := 0
	eachState(machine, func(_ string, state object) {
		if get(state, "ItemProcessor", "ProcessorConfig", "Mode") != "DISTRIBUTED" {
			return
		}
		held := 0
		first := get(state, "ItemProcessor", "StartAt") // an attempt that fails holds no claims that another attempt has
		eachState(state["ItemProcessor"].(object), func(name string, task object) {
			held += seconds(task)
			for _, retry := range list(task["Retry"]) {
				if name == first {
					break
				}
				number := func(field string) float64 { n, _ := get(retry, field).(float64); return n }
				delay := number("IntervalSeconds")
				for range int(number("MaxAttempts")) {
					held += int(math.Ceil(min(delay, number("MaxDelaySeconds"))))
					delay *= number("BackoffRate")
					if slices.Contains(list(get(retry, "ErrorEquals")), any("States.ALL")) { // Lambda's own errors come at once
						held += seconds(task)
					}
				}
			}
		})
		longest = max(longest, held)
	})
	if longest == 0 {
		return seconds(machine)
	}
	return longest
}

func seconds(state object) int {
	n, _ := state["TimeoutSeconds"].(float64)
	return int(n)
}

// eachState visits the states of a machine, and those in its Maps.
func eachState(machine object, visit func(name string, state object)) {
	states, _ := machine["States"].(object)
	for _, name := range slices.Sorted(maps.Keys(states)) {
		state := states[name].(object)
		visit(name, state)
		if inner, ok := state["ItemProcessor"].(object); ok {
			eachState(inner, visit)
		}
	}
}

// Above its reserved concurrency, a function's calls are throttled.
func concurrent(texts map[string]string, report func(string, ...any)) {
	allowed := list(get(newWorld(texts, devl).templates[rootTemplate], "Parameters", "MapMaxConcurrency", "AllowedValues"))
	if len(allowed) == 0 {
		report("%s: MapMaxConcurrency has no AllowedValues", rootTemplate)
	}
	rootStack := newWorld(map[string]string{rootTemplate: texts[rootTemplate]}, devl).stacks[0]
	for _, value := range allowed {
		most, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil || most > 40 {
			report("%s: MapMaxConcurrency can be %v, and an inline Map runs at most 40 at once", rootTemplate, value)
		}
		for reserved := range 101 { // 0 for none
			text := ""
			if reserved > 0 {
				text = strconv.Itoa(reserved)
			}
			rootStack.parameters["MapMode"] = "INLINE"
			rootStack.parameters["MapMaxConcurrency"], rootStack.parameters["LambdaReservedConcurrency"] = value, text
			if got, want := rootStack.obeysRules(), reserved == 0 || most <= reserved; got != want {
				report("%s: Rules accept MapMaxConcurrency %v with LambdaReservedConcurrency %q: %v, want %v", rootTemplate, value, text, got, want)
			}
		}
	}
}

func (s *stack) obeysRules() bool {
	declared, _ := s.template["Rules"].(object)
	for _, rule := range declared {
		if condition := get(rule, "RuleCondition"); condition != nil && !s.truth(condition) {
			continue
		}
		for _, assertion := range list(get(rule, "Assertions")) {
			if !s.truth(get(assertion, "Assert")) {
				return false
			}
		}
	}
	return true
}

func substituted(texts map[string]string, report func(string, ...any)) {
	var w *world
	used := map[string]bool{}
	var machines []*resource
	for _, mode := range modes {
		w = newWorld(texts, devl.with("MapMode", mode))
		machines = append(machines, w.of("AWS::StepFunctions::StateMachine")...)
	}
	for _, r := range machines {
		file := "state-machine/" + filepath.Base(r.text("DefinitionS3Location", "Key"))
		used[file] = true
		text, ok := texts[file]
		if !ok {
			report("%s: %s takes its definition from %s, which is not there", r.file, r.id, file)
			continue
		}
		given, _ := r.get("DefinitionSubstitutions").(object)
		wanted := map[string]bool{}
		for _, match := range substitution.FindAllStringSubmatch(text, -1) {
			wanted[match[1]] = true
			if given[match[1]] == nil {
				report("%s: %s gives no %s, which %s has", r.file, r.id, match[1], file)
			}
		}
		for name := range given {
			if !wanted[name] {
				report("%s: %s gives %s, which %s does not have", r.file, r.id, name, file)
			}
		}
	}
	for file := range w.machines {
		if !used[file] {
			report("%s: no template has a state machine of it", file)
		}
	}
}

// Names of errors that Step Functions itself reports, and those of Lambda's own that a function's task can end with.
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
// https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html (Handle transient Lambda service exceptions)
var documented = []string{
	"States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold", "States.HeartbeatTimeout",
	"States.Http.Socket", "States.IntrinsicFailure", "States.ItemReaderFailed", "States.NoChoiceMatched", "States.ParameterPathFailure",
	"States.Permissions", "States.QueryEvaluationError", "States.ResultPathMatchFailure", "States.ResultWriterFailed", "States.Runtime",
	"States.TaskFailed", "States.Timeout",
	"Lambda.AWSLambdaException", "Lambda.ClientExecutionTimeoutException", "Lambda.SdkClientException", "Lambda.ServiceException",
	"Lambda.TooManyRequestsException", "Lambda.Unknown",
}

// named holds the names of errors in the state machines, in Go and in docs/design.md against each other.
func named(texts map[string]string, report func(string, ...any)) {
	inGo, err := errorTypes()
	if err != nil {
		report("%v", err)
		return
	}
	design := texts["docs/design.md"]
	for _, match := range regexp.MustCompile("`([A-Z][A-Za-z]+Error)`").FindAllStringSubmatch(design, -1) {
		if !slices.Contains(inGo, match[1]) {
			report("docs/design.md: names the error %s, which no function has", match[1])
		}
	}
	for _, name := range inGo {
		if !strings.Contains(design, "`"+name+"`") {
			report("docs/design.md: does not name %s, which a function can end with", name)
		}
	}
	own := map[string]bool{} // the machines' own
	w := newWorld(texts, devl)
	var handled [][3]string
	for file, machine := range w.machines {
		eachState(machine, func(state string, declared object) {
			for _, key := range []string{"Retry", "Catch"} {
				for _, entry := range list(declared[key]) {
					names := list(get(entry, "ErrorEquals"))
					for _, name := range names {
						handled = append(handled, [3]string{file, state, fmt.Sprint(name)})
					}
					if slices.Contains(names, any("States.ALL")) && len(names) > 1 {
						report("%s: state %q names States.ALL beside others", file, state)
					}
				}
			}
			if name, ok := declared["Error"].(string); ok && declared["Type"] == "Fail" {
				own[name] = true
			}
			walk(declared, nil, func(path []string, text string) {
				switch last := path[len(path)-1]; {
				case last == "Error" && declared["Type"] != "Fail":
					own[text] = true // set where no error has been caught
				case last == "StringEquals" && strings.HasSuffix(text, "Error"):
					handled = append(handled, [3]string{file, state, text})
				}
			})
		})
	}
	for name := range own {
		if !strings.HasPrefix(name, "Carnation.") {
			report("state machines end with %s, want Carnation.<name>", name)
		} else if !strings.Contains(design, "`"+name+"`") {
			report("docs/design.md: does not name %s, which a state machine has", name)
		}
	}
	for _, h := range handled {
		if !slices.Contains(documented, h[2]) && !slices.Contains(inGo, h[2]) && !own[h[2]] {
			report("%s: state %q names the error %s, which neither AWS nor a function has", h[0], h[1], h[2])
		}
	}
}

// errorTypes are the exported error types of the packages that the functions are built of. Lambda reports a returned error
// by the name of its type.
func errorTypes() ([]string, error) {
	var names []string
	seen := map[string]bool{}
	queue := []string{"cmd/generate-data", "cmd/insert-data"}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("%s: %d Go files, %v", dir, len(paths), err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return nil, err
			}
			for _, imported := range file.Imports {
				if own, ok := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), "carnation/"); ok {
					queue = append(queue, own)
				}
			}
			for _, declaration := range file.Decls {
				method, ok := declaration.(*ast.FuncDecl)
				if !ok || method.Recv == nil || method.Name.Name != "Error" {
					continue
				}
				receiver := method.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				if name, ok := receiver.(*ast.Ident); ok && name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Service principals are the same in every partition, save that of CloudWatch Logs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services
var principals = []string{
	"cloudwatch.amazonaws.com", "delivery.logs.amazonaws.com", "lambda.amazonaws.com", "sns.amazonaws.com", "sqs.amazonaws.com", "states.amazonaws.com",
}

var (
	partitionName = regexp.MustCompile(`\barn:aws\b`)
	regionName    = regexp.MustCompile(`\b(af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(-gov|-iso[a-z]?|-de)?-(central|north|south|east|west)[a-z]*-[0-9]\b`)
	accountID     = regexp.MustCompile(`\b[0-9]{12}\b`)
)

// portable looks at every text that is no comment, so at every branch of every function too.
func portable(texts map[string]string, report func(string, ...any)) {
	w := newWorld(texts, devl)
	for _, documents := range []map[string]object{w.templates, w.machines} {
		for file, document := range documents {
			walk(document, nil, func(path []string, text string) {
				where := file + ": " + strings.Join(path, ".")
				principal := slices.Contains(path, "Principal") && path[len(path)-1] == "Service"
				if strings.Contains(text, "amazonaws.") && (!principal || !slices.Contains(principals, text)) {
					report("%s has the domain of one partition, want ${AWS::URLSuffix}: %s", where, text)
				}
				for what, pattern := range map[string]*regexp.Regexp{"a partition": partitionName, "a region": regionName, "an account": accountID} {
					if pattern.MatchString(text) {
						report("%s names %s: %s", where, what, text)
					}
				}
			})
		}
	}
	// Where S3 is reached differs too, and an ARN may be put together.
	for _, p := range []place{{"aws-cn", "cn-north-1", "amazonaws.com.cn", nil}, {"aws-us-gov", "us-gov-west-1", "amazonaws.com", nil}} {
		for _, r := range newWorld(texts, p).of() {
			walk(r.properties, nil, func(path []string, text string) {
				if strings.HasPrefix(text, "arn:") && !strings.HasPrefix(text, "arn:"+p.partition+":") {
					report("%s: %s of %s is %s in %s", r.file, strings.Join(path, "."), r.id, text, p.partition)
				}
			})
		}
	}
}

// Each breaks one rule, by a replacement in one file, and has the rule say so.
func TestEachRuleSeesWhatBreaksIt(t *testing.T) {
	const nested = "cft/nested-stacks/"
	const wrongDashboard = `
  Wrong:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardBody: '{"widgets": [{"properties": {"title": "Depth", "metrics": [["AWS/SQS", "NumberOfMessagesSent", "QueueName", "other"]]}}]}'
`
	tests := []struct{ rule, file, old, new, want string }{
		{"fit together", rootTemplate, "/nested-stacks/sns-stack.yaml", "/nested-stacks/topic.yaml", "no such template"},
		{"can be encrypted", nested + "dynamodb-stack.yaml", "KMSMasterKeyId: !Ref KmsMasterKeyId", "KMSMasterKeyId: alias/aws/dynamodb", "DynamoDBStack.Table is alias/aws/dynamodb, want the key"},
		{"can be encrypted", nested + "dynamodb-stack.yaml", "SSEEnabled: true", "SSEEnabled: false", "SSESpecification.SSEEnabled"},
		{"can be encrypted", nested + "lambda-function-stack.yaml", "\n      KmsKeyArn: !Ref KmsKeyArn", "", "GenerateDataFunction is <nil>, want the key"},
		{"can be encrypted", nested + "lambda-function-stack.yaml", "\n        SourceKMSKeyArn: !Ref KmsKeyArn", "", "Code.SourceKMSKeyArn of LambdaFunctionStack.GenerateDataFunction is <nil>"},
		{"can be encrypted", rootTemplate, "KmsKeyId: !Ref KmsMasterKeyId", "KmsKeyId: !Ref AWS::NoValue", "EncryptionConfiguration.KmsKeyId of StateMachine"},
		{"can be encrypted", nested + "sns-stack.yaml", "Type: AWS::SNS::Topic\n", "Type: AWS::Kinesis::Stream\n", "say in keyOf"},
		{"can be encrypted", nested + "dynamodb-stack.yaml", "\nResources:\n", "\nResources:\n  Bucket: { Type: AWS::S3::Bucket }\n", "DynamoDBStack.Bucket is <nil>, want the key"},
		{"log groups", nested + "lambda-function-stack.yaml", "      RetentionInDays: !Ref LogRetentionDays\n", "", "GenerateDataLogGroup has no RetentionInDays"},
		{"log groups", nested + "lambda-function-stack.yaml", "LogGroup: !Ref InsertDataLogGroup", "LogGroup: /aws/lambda/x", "want a log group of the stack"},
		{"data outlives", nested + "sqs-stack.yaml", "!If [IsProd, RetainExceptOnCreate, Delete]", "Delete", "DeletionPolicy of SQSStack.DeadLetterQueue in prod is Delete"},
		{"data outlives", nested + "sqs-stack.yaml", "    UpdateReplacePolicy: Retain\n", "", "sets not both"},
		{"data outlives", nested + "dynamodb-stack.yaml", "\nResources:\n", "\nResources:\n  Bucket: { Type: AWS::S3::Bucket }\n", "Bucket sets not both"},
		{"data outlives", nested + "dynamodb-stack.yaml", "!If [IsProd, true, false]", "false", "DeletionProtectionEnabled"},
		{"alarms", nested + "cloudwatch-stack.yaml", "Value: !Ref DeadLetterQueueName", "Value: dead-letter-queue", "names no AWS::SQS::Queue"},
		{"alarms", rootTemplate, "DeadLetterQueueName: !GetAtt SQSStack.Outputs.DeadLetterQueueName", "DeadLetterQueueName: !GetAtt SQSStack.Outputs.DeadLetterQueueUrl", "names no AWS::SQS::Queue"},
		{"alarms", rootTemplate, "TopicArn: !GetAtt SNSStack.Outputs.TopicArn", "TopicArn: !GetAtt SQSStack.Outputs.RetryQueueArn", "want the topic"},
		{"alarms", nested + "cloudwatch-stack.yaml", "${ProjectName}-executions-failed-${Environment}", "${Environment}-executions-failed-${ProjectName}", "lets CloudWatchStack.ExecutionsFailed publish"},
		{"alarms", nested + "cloudwatch-stack.yaml", "\nResources:\n", "\nResources:\n" + wrongDashboard, "widget Depth: dimension QueueName is other, which names no AWS::SQS::Queue"},
		{"nested parameters", rootTemplate, "        MaxReceiveCount: !Ref MaxReceiveCount\n", "", "SQSStack does not get the parameter MaxReceiveCount"},
		{"nested parameters", nested + "sns-stack.yaml", "\n\nOutputs:\n", "\n\nOutputs:\n  Unused: { Value: !Ref Topic }\n", "nothing uses the output Unused"},
		{"fit AWS", rootTemplate, "MaxLength: 24", "MaxLength: 25", "has up to 65 characters, and can have 64"},
		{"fit AWS", nested + "sqs-stack.yaml", "QueueName: !Sub ${ProjectName}-retry-queue-", "QueueName: !Sub ${ProjectName}-a-queue-of-which-the-name-is-far-too-long-for-it-", "can have 80"},
		{"fit AWS", nested + "sns-stack.yaml", "TopicName: !Sub ${ProjectName}-alarms-${Environment}-${AWS::Region}", "TopicName: alarms", "want <project>-<part>"},
		{"outlasts", rootTemplate, "MinValue: 960", "MinValue: 900", "VisibilityTimeout can be 900"},
		{"outlasts", rootTemplate, "MaxValue: 180", "MaxValue: 190", "LambdaTimeout can be 190"},
		{"outlasts", rootTemplate, "MaxValue: 1123200", "MaxValue: 1209600", "DeadLetterQueue keeps messages"},
		{"outlasts", "state-machine/carnation-distributed.asl.json", `"MaxAttempts": 2,
                "BackoffRate": 2,
                "MaxDelaySeconds": 10,
                "JitterStrategy": "FULL"
              }
            ],
            "End": true`, `"IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 2, "MaxDelaySeconds": 10}], "End": true`, "not longer than a claim of state-machine/carnation-distributed.asl.json is held: 1147"},
		{"outlasts", "state-machine/carnation-state-machine.asl.json", `"TimeoutSeconds": 60,`, "", `"Park New Event" can take 0 seconds`},
		{"concurrency", rootTemplate, "[1, 2, 5, 10, 20, 40]", "[1, 2, 3, 5, 10, 20, 40]", `MapMaxConcurrency 3 with LambdaReservedConcurrency "2": true, want false`},
		{"concurrency", rootTemplate, "'7', '8', '9'], !Ref Lambda", "'7', '9'], !Ref Lambda", `LambdaReservedConcurrency "8": true, want false`},
		{"substitutions", rootTemplate, "        Partition: !Ref AWS::Partition\n", "", "gives no Partition"},
		{"substitutions", "state-machine/carnation-state-machine.asl.json", "${MapMaxConcurrency}", "10", "gives MapMaxConcurrency, which"},
		{"substitutions", rootTemplate, "Key: !If [Distributed, !Ref DistributedStateMachineS3Key, !Ref StateMachineS3Key]", "Key: !Ref StateMachineS3Key", "carnation-distributed.asl.json: no template has a state machine of it"},
		{"errors", "state-machine/carnation-state-machine.asl.json", "Lambda.SdkClientException", "Lambda.SdkClientError", "neither AWS nor a function has"},
		{"errors", "state-machine/carnation-state-machine.asl.json", `"Error": "Carnation.EventsFailed"`, `"Error": "Carnation.Failed"`, "does not name Carnation.Failed"},
		{"errors", "docs/design.md", "`ClaimError`", "`ClaimFailedError`", "does not name ClaimError"},
		{"region", nested + "iam-role-stack.yaml", "arn:${AWS::Partition}:lambda", "arn:aws:lambda", "names a partition"},
		{"region", nested + "iam-role-stack.yaml", "sqs.${AWS::Region}.*", "sqs.${AWS::Region}.amazonaws.com", "domain of one partition"},
		{"region", nested + "sns-stack.yaml", "${Environment}-${AWS::Region}", "${Environment}-eu-central-1", "names a region"},
		{"region", "state-machine/carnation-state-machine.asl.json", "arn:${Partition}:states", "arn:aws:states", "names a partition"},
	}
	texts := files(t)
	seen := map[string]bool{}
	for _, test := range tests {
		i := slices.IndexFunc(rules, func(r rule) bool { return strings.Contains(r.name, test.rule) })
		if i < 0 {
			t.Fatalf("there is no rule %q", test.rule)
		}
		seen[rules[i].name] = true
		broken := maps.Clone(texts)
		broken[test.file] = strings.Replace(texts[test.file], test.old, test.new, 1)
		if broken[test.file] == texts[test.file] {
			t.Errorf("%s has no %q to replace: break something else", test.file, test.old)
			continue
		}
		if complaints := rules[i].complaints(broken); !strings.Contains(strings.Join(complaints, "\n"), test.want) {
			t.Errorf("rule %q, with %q for %q in %s, says %q, want %q", rules[i].name, test.new, test.old, test.file, complaints, test.want)
		}
	}
	for _, r := range rules {
		if !seen[r.name] {
			t.Errorf("nothing here breaks the rule %q", r.name)
		}
	}
}
