// Package cft holds the CloudFormation templates. Its tests read them as YAML, without evaluating their functions. They hold what
// AWS would refuse, or do in a way that nobody wants, and what cfn-lint does not check.
package cft

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	root          = "carnation-root-stack.yaml"
	prerequisites = "carnation-prerequisites-stack.yaml"
	roles         = "nested-stacks/iam-role-stack.yaml"
	function      = "nested-stacks/lambda-function-stack.yaml"
	dashboard     = "nested-stacks/cloudwatch-stack.yaml"
	table         = "nested-stacks/dynamodb-stack.yaml"
	queues        = "nested-stacks/sqs-stack.yaml"
	topic         = "nested-stacks/sns-stack.yaml"
	schedule      = "nested-stacks/schedule-stack.yaml"
	access        = "carnation-access-stack.yaml"
)

// texts are the templates by their path in this folder.
func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.yaml", "nested-stacks/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, name := range paths {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found[filepath.ToSlash(name)] = string(data)
		}
	}
	return found
}

// object is a mapping of a template. Its values are objects, []any and strings. A function keeps its short form: the scalar
// "!Ref Table" is that string, and "!If [A, B, C]" is an object with the key "!If".
type object = map[string]any

func parse(text string) (object, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	template, ok := plain(document.Content[0]).(object)
	if !ok {
		return nil, fmt.Errorf("not a mapping")
	}
	return template, nil
}

func plain(node *yaml.Node) any {
	function := ""
	if strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!") {
		function = node.Tag
	}
	var value any
	switch node.Kind {
	case yaml.SequenceNode:
		items := make([]any, len(node.Content))
		for i, item := range node.Content {
			items[i] = plain(item)
		}
		value = items
	case yaml.MappingNode:
		mapping := object{}
		for i := 0; i < len(node.Content); i += 2 {
			mapping[node.Content[i].Value] = plain(node.Content[i+1])
		}
		value = mapping
	default:
		return strings.TrimSpace(function + " " + node.Value)
	}
	if function != "" {
		return object{function: value}
	}
	return value
}

// get follows a path of keys and indexes; nil if something is missing.
func get(value any, path ...string) any {
	for _, step := range path {
		switch v := value.(type) {
		case object:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// text is the string at a path; "" if there is none.
func text(value any, path ...string) string {
	found, _ := get(value, path...).(string)
	return found
}

func list(value any) []any {
	items, isList := value.([]any)
	if value != nil && !isList {
		return []any{value}
	}
	return items
}

// each visits every string in a value, with the path to it.
func each(value any, path string, visit func(path, text string)) {
	switch v := value.(type) {
	case string:
		visit(path, v)
	case []any:
		for i, item := range v {
			each(item, fmt.Sprintf("%s.%d", path, i), visit)
		}
	case object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			each(v[key], path+"."+key, visit)
		}
	}
}

type resource struct {
	file, id, kind string
	declared       any // with DeletionPolicy and the like
}

func (r resource) String() string { return r.file + ": " + r.id }

func (r resource) get(path ...string) any {
	return get(r.declared, append([]string{"Properties"}, path...)...)
}

func (r resource) text(path ...string) string {
	found, _ := r.get(path...).(string)
	return found
}

// templates are parsed, by their path.
type templates map[string]object

// resources are those of some types, or of all.
func (ts templates) resources(kinds ...string) []resource {
	var found []resource
	for _, file := range slices.Sorted(maps.Keys(ts)) {
		declared, _ := ts[file]["Resources"].(object)
		for _, id := range slices.Sorted(maps.Keys(declared)) {
			kind := text(declared[id], "Type")
			if len(kinds) == 0 || slices.Contains(kinds, kind) {
				found = append(found, resource{file, id, kind, declared[id]})
			}
		}
	}
	return found
}

// number is a constraint or the default of a parameter of the root template.
func (ts templates) number(t report, parameter, key string) int {
	n, err := strconv.Atoi(text(ts[root], "Parameters", parameter, key))
	if err != nil {
		t("%s: parameter %s has no %s", root, parameter, key)
	}
	return n
}

type report func(format string, args ...any)

type rule struct {
	name  string
	check func(templates, report)
}

var rules = []rule{
	{"everything is encrypted with the one key", encrypted},
	{"log groups have a retention, and everything that logs has a log group", logged},
	{"data outlives its stack in prod, and nothing else does", outlives},
	{"alarms notify the topic, which lets them", alarmsNotify},
	{"nested stacks get their parameters, and their outputs are used", nested},
	{"parameters and outputs have descriptions", described},
	{"names fit AWS's limits and begin with the project", named},
	{"alarms and queues are given time enough", timed},
	{"a change of a function publishes a version", versioned},
	{"a statement of a role names its actions and resources", plainStatements},
	{"no policies but those that the tests of permissions read", noOtherPolicies},
	{"templates work in every region and partition", portable},
}

func (r rule) complaints(texts map[string]string) []string {
	var all []string
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	parsed := templates{}
	for file, content := range texts {
		template, err := parse(content)
		if err != nil {
			complain("%s: %v", file, err)
			continue
		}
		parsed[file] = template
	}
	r.check(parsed, complain)
	return all
}

func TestTemplatesFollowTheRules(t *testing.T) {
	all := texts(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, complaint := range r.complaints(all) {
				t.Error(complaint)
			}
		})
	}
}

// Where a resource of each type names its key, and what else its encryption needs. A type without a path holds nothing.
var encryption = map[string]struct {
	keys [][]string
	more map[string]string
}{
	"AWS::DynamoDB::Table": {[][]string{{"SSESpecification", "KMSMasterKeyId"}},
		map[string]string{"SSESpecification.SSEEnabled": "true", "SSESpecification.SSEType": "KMS"}},
	"AWS::SQS::Queue":       {keys: [][]string{{"KmsMasterKeyId"}}},
	"AWS::SNS::Topic":       {keys: [][]string{{"KmsMasterKeyId"}}},
	"AWS::Logs::LogGroup":   {keys: [][]string{{"KmsKeyId"}}},
	"AWS::Lambda::Function": {keys: [][]string{{"KmsKeyArn"}, {"Code", "SourceKMSKeyArn"}}},
	"AWS::StepFunctions::StateMachine": {[][]string{{"EncryptionConfiguration", "KmsKeyId"}},
		map[string]string{"EncryptionConfiguration.Type": "CUSTOMER_MANAGED_KMS_KEY"}},
	"AWS::S3::Bucket": {[][]string{{"BucketEncryption", "ServerSideEncryptionConfiguration", "0", "ServerSideEncryptionByDefault", "KMSMasterKeyID"}},
		map[string]string{"BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.SSEAlgorithm": "aws:kms"}},
	"AWS::Scheduler::Schedule": {keys: [][]string{{"KmsKeyArn"}}}, "AWS::Scheduler::ScheduleGroup": {},
	"AWS::CloudFormation::Stack": {}, "AWS::CloudWatch::Alarm": {}, "AWS::CloudWatch::Dashboard": {}, "AWS::IAM::ManagedPolicy": {}, "AWS::IAM::Role": {}, "AWS::KMS::Alias": {},
	"AWS::KMS::Key": {}, "AWS::Lambda::Alias": {}, "AWS::Lambda::Version": {}, "AWS::S3::BucketPolicy": {}, "AWS::SNS::Subscription": {}, "AWS::SNS::TopicPolicy": {}, "AWS::SQS::QueuePolicy": {},
}

const keyARN = "!Sub arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/${KmsMasterKeyId}"

func encrypted(ts templates, complain report) {
	theKey := []string{"!Ref KmsMasterKeyId", "!Ref KmsKeyArn", keyARN, "!GetAtt Key.Arn"}
	for _, r := range ts.resources() {
		how, known := encryption[r.kind]
		if !known {
			complain("%s is a %s: add how it is encrypted", r, r.kind)
		}
		for _, path := range how.keys {
			if key := r.text(path...); !slices.Contains(theKey, key) {
				complain("%s: %s is %q, want the key", r, strings.Join(path, "."), key)
			}
		}
		for path, want := range how.more {
			if got := r.text(strings.Split(path, ".")...); got != want {
				complain("%s: %s is %q, want %q", r, path, got, want)
			}
		}
		for parameter, want := range map[string]string{"KmsMasterKeyId": "!Ref KmsMasterKeyId", "KmsKeyArn": keyARN} {
			if given := r.text("Parameters", parameter); given != "" && given != want {
				complain("%s: %s is %q, want the key", r, parameter, given)
			}
		}
	}
}

func logged(ts templates, complain report) {
	for _, r := range ts.resources("AWS::Logs::LogGroup") {
		if got := r.text("RetentionInDays"); got != "!Ref LogRetentionDays" {
			complain("%s: RetentionInDays is %q, want !Ref LogRetentionDays", r, got)
		}
	}
	for _, r := range ts.resources("AWS::Lambda::Function") {
		if got := r.text("LoggingConfig", "LogGroup"); got != "!Ref LogGroup" {
			complain("%s: LogGroup is %q, want !Ref LogGroup", r, got)
		}
	}
	for _, r := range ts.resources("AWS::StepFunctions::StateMachine") {
		if got := r.text("LoggingConfiguration", "Destinations", "0", "CloudWatchLogsLogGroup", "LogGroupArn"); got != "!GetAtt StateMachineLogGroup.Arn" {
			complain("%s: LogGroupArn is %q, want !GetAtt StateMachineLogGroup.Arn", r, got)
		}
		if level := r.text("LoggingConfiguration", "Level"); level == "" || level == "OFF" {
			complain("%s logs nothing", r)
		}
	}
}

// Log groups hold ids and counts and expire on their own, so they are not data.
func outlives(ts templates, complain report) {
	inProd := func(yes, no string) any { return object{"!If": []any{"IsProd", yes, no}} }
	for _, r := range ts.resources() {
		var deletion, replacement any // nil is CloudFormation's default, Delete
		switch r.kind {
		case "AWS::Logs::LogGroup":
			deletion, replacement = "Delete", "Delete"
		case "AWS::KMS::Key", "AWS::S3::Bucket": // they serve all environments
			deletion, replacement = "RetainExceptOnCreate", "Retain"
		case "AWS::Lambda::Version", "AWS::Lambda::Alias": // runs that began before an update still invoke the old ones
			deletion, replacement = "RetainExceptOnCreate", "Retain"
		case "AWS::DynamoDB::Table", "AWS::SQS::Queue":
			deletion, replacement = inProd("RetainExceptOnCreate", "Delete"), "Retain"
			if got := get(ts[r.file], "Conditions", "IsProd"); !reflect.DeepEqual(got, object{"!Equals": []any{"!Ref Environment", "prod"}}) {
				complain("%s: condition IsProd is %v", r.file, got)
			}
		}
		for attribute, want := range map[string]any{"DeletionPolicy": deletion, "UpdateReplacePolicy": replacement} {
			if got := get(r.declared, attribute); !reflect.DeepEqual(got, want) {
				complain("%s: %s is %v, want %v", r, attribute, got, want)
			}
		}
		if r.kind != "AWS::DynamoDB::Table" {
			continue
		}
		if got := r.get("DeletionProtectionEnabled"); !reflect.DeepEqual(got, inProd("true", "false")) {
			complain("%s: DeletionProtectionEnabled is %v, want true in prod", r, got)
		}
		if r.text("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != "true" {
			complain("%s has no point-in-time recovery", r)
		}
	}
}

// The deployed alarms and the dashboard, with what they watch, are tested on local AWS.
func alarmsNotify(ts templates, complain report) {
	for _, r := range ts.resources("AWS::CloudWatch::Alarm") {
		if got := r.get("AlarmActions"); !reflect.DeepEqual(got, []any{"!Ref TopicArn"}) || r.get("ActionsEnabled") != nil {
			complain("%s: AlarmActions are %v, want the topic", r, got)
		}
		if got := r.get("OKActions"); got != nil {
			complain("%s notifies %v when it returns to OK, which can mean that SQS has deleted the events", r, got)
		}
		if got := r.text("TreatMissingData"); got != "notBreaching" {
			complain("%s: TreatMissingData is %q, want notBreaching", r, got)
		}
		name := r.text("AlarmName")
		if !strings.HasPrefix(name, "!Sub ${ProjectName}-") || !strings.HasSuffix(name, "-${Environment}-${AWS::Region}") {
			complain("%s: the topic does not let an alarm with the name %s publish", r, name)
		}
	}
	const allowed = "!Sub arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${ProjectName}-*-${Environment}-${AWS::Region}"
	for _, r := range ts.resources("AWS::SNS::TopicPolicy") {
		if got := r.text("PolicyDocument", "Statement", "0", "Condition", "ArnLike", "aws:SourceArn"); got != allowed {
			complain("%s lets the alarms %q publish, want %q", r, got, allowed)
		}
	}
	for _, r := range ts.resources("AWS::CloudFormation::Stack") {
		if got := r.text("Parameters", "TopicArn"); got != "" && got != "!GetAtt SNSStack.Outputs.TopicArn" {
			complain("%s: TopicArn is %q, want that of SNSStack", r, got)
		}
	}
}

const templateURL = "!Sub https://${CodeRepositoryS3Bucket}.s3.${AWS::Region}.${AWS::URLSuffix}/${TemplatesFolder}/"

func nested(ts templates, complain report) {
	used := map[string]bool{}
	each(ts[root], "", func(_, text string) { used[strings.TrimPrefix(text, "!GetAtt ")] = true })
	stacks := map[string]bool{}
	for _, r := range ts.resources("AWS::CloudFormation::Stack") {
		file, ok := strings.CutPrefix(r.text("TemplateURL"), templateURL)
		template, exists := ts[file]
		if !ok || !exists {
			complain("%s: TemplateURL is %q, want %s and a template", r, r.text("TemplateURL"), templateURL)
			continue
		}
		stacks[file] = true
		given, _ := r.get("Parameters").(object)
		declared, _ := template["Parameters"].(object)
		for name := range declared {
			if given[name] == nil && get(declared[name], "Default") == nil {
				complain("%s does not get the parameter %s", r, name)
			}
		}
		for name := range given {
			if declared[name] == nil {
				complain("%s gets the parameter %s, which %s does not have", r, name, file)
			}
		}
		outputs, _ := template["Outputs"].(object)
		for name := range outputs {
			if !used[r.id+".Outputs."+name] {
				complain("%s: nothing uses the output %s of %s", root, name, r.id)
			}
		}
	}
	for file := range ts {
		if strings.HasPrefix(file, "nested-stacks/") && !stacks[file] {
			complain("%s: no stack uses it", file)
		}
	}
}

func described(ts templates, complain report) {
	for file, template := range ts {
		for _, section := range []string{"Parameters", "Outputs"} {
			declared, _ := template[section].(object)
			for name := range declared {
				if text(declared[name], "Description") == "" {
					complain("%s: %s has no description", file, name)
				}
			}
		}
	}
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
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
var longest = map[string]int{"RoleName": 64, "ManagedPolicyName": 128, "FunctionName": 64, "QueueName": 80, "TopicName": 256, "TableName": 255, "AlarmName": 255,
	"AlarmDescription": 1024, "DashboardName": 255, "StateMachineName": 80, "LogGroupName": 512, "Name": 64}

func named(ts templates, complain report) {
	longestOf := func(values []any) (longest string) {
		for _, value := range values {
			if text := fmt.Sprint(value); len(text) > len(longest) {
				longest = text
			}
		}
		return longest
	}
	var names, effects []any
	for _, r := range ts.resources("AWS::CloudFormation::Stack") {
		if name := r.text("Parameters", "Name"); name != "" {
			names, effects = append(names, name), append(effects, r.text("Parameters", "FailureEffect"))
		}
	}
	longestValues := strings.NewReplacer(
		"${ProjectName}", strings.Repeat("p", ts.number(complain, "ProjectName", "MaxLength")),
		"${Environment}", longestOf(list(get(ts[root], "Parameters", "Environment", "AllowedValues"))),
		"${AWS::Region}", "us-isof-south-1", // the longest name of a region
		"${Name}", longestOf(names),
		"${FailureEffect}", longestOf(effects))
	for _, r := range ts.resources() {
		if r.kind == "AWS::Lambda::Version" || r.kind == "AWS::Lambda::Alias" {
			continue // they belong to a function
		}
		properties, _ := r.get().(object)
		for property, value := range properties {
			name, isText := value.(string)
			limit, limited := longest[property]
			if !limited || !isText || r.kind == "AWS::CloudFormation::Stack" {
				if strings.HasSuffix(property, "Name") && isText && r.kind != "AWS::KMS::Alias" && property != "MetricName" && property != "GroupName" {
					complain("%s: add how long the %s can be", r, property)
				}
				continue
			}
			name, isSub := strings.CutPrefix(name, "!Sub ")
			if actual := longestValues.Replace(name); len(actual) > limit || strings.Contains(actual, "${") {
				complain("%s: %s has up to %d characters, and can have %d: %s", r, property, len(actual), limit, actual)
			}
			if last := path.Base(name); strings.HasSuffix(property, "Name") &&
				(!isSub || !strings.HasPrefix(last, "${ProjectName}-") || !strings.HasSuffix(last, "-${Environment}-${AWS::Region}")) {
				complain("%s: %s is %s, want <project>-<part>-<environment>-<region>", r, property, name)
			}
		}
	}
}

// The times of the state machines are compared with the parameters in state-machine/.
func timed(ts templates, complain report) {
	for _, r := range ts.resources("AWS::SQS::Queue") {
		if r.get("RedrivePolicy") != nil {
			continue
		}
		kept, err := strconv.Atoi(r.text("MessageRetentionPeriod"))
		if most := ts.number(complain, "MessageRetentionPeriod", "MaxValue"); err != nil || kept <= most {
			complain("%s keeps messages for %d seconds, and the retry queue for up to %d", r, kept, most)
		}
	}
	for _, r := range ts.resources("AWS::CloudWatch::Alarm") {
		expression := r.text("Metrics", "0", "Expression")
		if kept := retentionInExpression.FindStringSubmatch(expression); kept != nil && kept[1] != deadLettersKept(ts) {
			complain("%s: %q, but the dead-letter queue keeps messages for %s seconds", r, expression, deadLettersKept(ts))
		}
	}
}

var retentionInExpression = regexp.MustCompile(`\((\d+) - \$\{MessageRetentionPeriod\}\)`)

// deadLettersKept is how many seconds the dead-letter queue keeps messages.
func deadLettersKept(ts templates) string {
	return text(ts[queues], "Resources", "DeadLetterQueue", "Properties", "MessageRetentionPeriod")
}

// sameForever are the parameters of a function that cannot change without another name of the function, or that are not part of a
// version.
var sameForever = []string{"ProjectName", "Environment", "Name", "RoleArn", "RetryQueueUrl", "DeadLetterQueueUrl", "TableName", "CodeS3Bucket", "ReservedConcurrency"}

var parameterOf = regexp.MustCompile(`^!Ref (\w+)$|\$\{(\w+)\}`)

// Lambda publishes a version if the function differs from its newest one, and CloudFormation asks it to if the description of the
// version changes. So they must change together.
func versioned(ts templates, complain report) {
	parametersIn := func(value any) map[string]bool {
		found := map[string]bool{}
		each(value, "", func(_, text string) {
			for _, match := range parameterOf.FindAllStringSubmatch(text, -1) {
				name := match[1] + match[2]
				if get(ts[function], "Parameters", name) != nil && name != "Description" && !slices.Contains(sameForever, name) {
					found[name] = true
				}
			}
		})
		return found
	}
	for _, r := range ts.resources("AWS::Lambda::Function") {
		inFunction, inVersion := parametersIn(r.get()), parametersIn(get(ts[r.file], "Resources", "Version", "Properties", "Description"))
		for name := range inFunction {
			if !inVersion[name] {
				complain("%s uses %s, which is not in the description of Version: a change would publish no version", r, name)
			}
		}
		for name := range inVersion {
			if !inFunction[name] {
				complain("%s does not use %s, which is in the description of Version: publishing would fail", r, name)
			}
		}
	}
	// Of parameters whose length is in their pattern or their values. Those of the others are in the root template.
	longest := map[string]int{"KmsMasterKeyId": 36, "Architecture": 6, "FailureInjection": 8, "MapMaxConcurrency": 2, "ShardSize": 4, "ShardConcurrency": 5,
		"ConcurrencyLimit": 5, "MemorySize": 5, "Timeout": 3, "MaxReceiveCount": 4,
		"CodeS3Key": ts.number(complain, "InsertDataS3Key", "MaxLength"), "TemplatesFolder": ts.number(complain, "TemplatesFolder", "MaxLength")}
	for _, stack := range ts.resources("AWS::CloudFormation::Stack") {
		longest["Description"] = max(longest["Description"], len(stack.text("Parameters", "Description")))
	}
	for _, id := range []string{"Function", "Version"} {
		description := strings.TrimPrefix(text(ts[function], "Resources", id, "Properties", "Description"), "!Sub ")
		length := len(parameterOf.ReplaceAllStringFunc(description, func(found string) string {
			name := found[2 : len(found)-1]
			if longest[name] == 0 {
				complain("%s: add how long %s can be", function, name)
			}
			return strings.Repeat("x", longest[name])
		}))
		if length > 256 {
			complain("%s: the description of %s has up to %d characters, and can have 256", function, id, length)
		}
	}
}

// plainStatements is about form: one !If for one statement. Which actions and resources a role needs is tested on local AWS.
func plainStatements(ts templates, complain report) {
	for _, r := range ts.resources("AWS::IAM::Role") {
		for _, statement := range list(r.get("Policies", "0", "PolicyDocument", "Statement")) {
			if branches := list(get(statement, "!If")); branches != nil {
				statement = branches[1]
				if branches[2] != "!Ref AWS::NoValue" {
					complain("%s: an !If has two statements: %s and %s", r, text(statement, "Sid"), text(branches[2], "Sid"))
				}
			}
			sid, actions := text(statement, "Sid"), list(get(statement, "Action"))
			if sid == "" || len(actions) == 0 || get(statement, "Resource") == nil {
				complain("%s: statement %q lacks a Sid, an Action or a Resource", r, sid)
			}
			for _, action := range actions {
				if strings.ContainsAny(fmt.Sprint(action), "*?") {
					complain("%s: statement %s allows %s", r, sid, action)
				}
			}
		}
	}
}

func noOtherPolicies(ts templates, complain report) {
	want := []string{roles + ": GenerateDataRole", roles + ": InsertDataRole", roles + ": PlanShardsRole", roles + ": StateMachineRole",
		schedule + ": Role", topic + ": TopicPolicy", queues + ": DeadLetterQueuePolicy", queues + ": RetryQueuePolicy", prerequisites + ": BucketPolicy"}
	for _, policy := range []string{"Prerequisites", "Deploy", "DeployResources", "DeploySchedule", "Reader", "Operator", "Verifier"} {
		want = append(want, access+": "+policy+"Policy")
	}
	var got []string
	for _, r := range ts.resources() {
		if strings.HasPrefix(r.kind, "AWS::IAM::") || strings.HasSuffix(r.kind, "Policy") || strings.HasSuffix(r.kind, "Permission") || r.get("ResourcePolicy") != nil {
			got = append(got, r.String())
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		complain("the policies are %q, want %q", got, want)
	}
}

// Service principals are the same in every partition, except that of CloudWatch Logs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-services
var principals = []string{"cloudformation.amazonaws.com", "cloudwatch.amazonaws.com", "delivery.logs.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com",
	"states.amazonaws.com"}

var (
	partitionName = regexp.MustCompile(`\barn:aws\b`)
	regionName    = regexp.MustCompile(`\b(af|ap|ca|cn|eu|eusc|il|me|mx|sa|us)(-gov|-iso[a-z]?|-de)?-(central|north|south|east|west)[a-z]*-[0-9]\b`)
	accountID     = regexp.MustCompile(`\b[0-9]{12}\b`)
)

func portable(ts templates, complain report) {
	for file, template := range ts {
		each(template, file+": ", func(path, text string) {
			isPrincipal := slices.Contains(principals, text) && (strings.HasSuffix(path, "Principal.Service") || strings.Contains(path, ".iam:PassedToService"))
			if strings.Contains(text, "amazonaws.") && !isPrincipal {
				complain("%s has the domain of one partition, want ${AWS::URLSuffix}: %s", path, text)
			}
			for what, pattern := range map[string]*regexp.Regexp{"a partition": partitionName, "a region": regionName, "an account": accountID} {
				if pattern.MatchString(text) {
					complain("%s names %s: %s", path, what, text)
				}
			}
		})
	}
}

func TestEachRuleNoticesWhatBreaksIt(t *testing.T) {
	tests := []struct{ rule, file, old, new, want string }{
		{"encrypted", table, "KMSMasterKeyId: !Ref KmsMasterKeyId", "KMSMasterKeyId: alias/aws/dynamodb", `KMSMasterKeyId is "alias/aws/dynamodb", want the key`},
		{"encrypted", table, "SSEEnabled: true", "SSEEnabled: false", "SSESpecification.SSEEnabled"},
		{"encrypted", function, "\n      KmsKeyArn: " + keyARN, "", `KmsKeyArn is "", want the key`},
		{"encrypted", function, "\n        SourceKMSKeyArn: " + keyARN, "", "Code.SourceKMSKeyArn"},
		{"encrypted", root, "KmsKeyId: !Ref KmsMasterKeyId", "KmsKeyId: !Ref AWS::NoValue", "EncryptionConfiguration.KmsKeyId"},
		{"encrypted", root, "KmsMasterKeyId: !Ref KmsMasterKeyId", "KmsMasterKeyId: alias/aws/sqs", "DynamoDBStack: KmsMasterKeyId"},
		{"encrypted", topic, "Type: AWS::SNS::Topic\n", "Type: AWS::Kinesis::Stream\n", "add how it is encrypted"},
		{"encrypted", schedule, "      KmsKeyArn: !Ref KmsKeyArn\n", "", `Schedule: KmsKeyArn is "", want the key`},
		{"encrypted", prerequisites, "SSEAlgorithm: aws:kms", "SSEAlgorithm: AES256", "SSEAlgorithm"},
		{"log groups", function, "      RetentionInDays: !Ref LogRetentionDays\n", "", "RetentionInDays"},
		{"log groups", function, "LogGroup: !Ref LogGroup", "LogGroup: /aws/lambda/x", "want !Ref LogGroup"},
		{"log groups", root, "Level: ERROR", "Level: 'OFF'", "logs nothing"},
		{"data outlives", queues, "!If [IsProd, RetainExceptOnCreate, Delete]", "Delete", "DeadLetterQueue: DeletionPolicy is Delete"},
		{"data outlives", queues, "    UpdateReplacePolicy: Retain\n", "", "UpdateReplacePolicy is <nil>"},
		{"data outlives", queues, "IsProd: !Equals [!Ref Environment, prod]", "IsProd: !Equals [!Ref Environment, test]", "condition IsProd"},
		{"data outlives", prerequisites, "DeletionPolicy: RetainExceptOnCreate", "DeletionPolicy: Delete", "want RetainExceptOnCreate"},
		{"data outlives", function, "DeletionPolicy: Delete", "DeletionPolicy: Retain", "DeletionPolicy is Retain"},
		{"data outlives", function, "UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Delete", "Version: UpdateReplacePolicy is Delete"},
		{"data outlives", table, "!If [IsProd, true, false]", "false", "DeletionProtectionEnabled"},
		{"data outlives", table, "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false", "no point-in-time recovery"},
		{"alarms notify", function, "AlarmActions: [!Ref TopicArn]", "AlarmActions: []", "want the topic"},
		{"alarms notify", dashboard, "AlarmActions: [!Ref TopicArn]", "AlarmActions: [!Ref TopicArn]\n      OKActions: [!Ref TopicArn]", "when it returns to OK"},
		{"alarms notify", dashboard, "TreatMissingData: notBreaching", "TreatMissingData: missing", "want notBreaching"},
		{"alarms notify", dashboard, "${ProjectName}-executions-failed-${Environment}", "${Environment}-executions-failed-${ProjectName}", "does not let an alarm"},
		{"alarms notify", topic, "alarm:${ProjectName}-*", "alarm:*", "want"},
		{"alarms notify", root, "TopicArn: !GetAtt SNSStack.Outputs.TopicArn", "TopicArn: !GetAtt SQSStack.Outputs.RetryQueueArn", "want that of SNSStack"},
		{"nested stacks", root, "/nested-stacks/sns-stack.yaml", "/nested-stacks/topic.yaml", "SNSStack: TemplateURL"},
		{"nested stacks", root, "        MaxReceiveCount: !Ref MaxReceiveCount\n", "", "SQSStack does not get the parameter MaxReceiveCount"},
		{"nested stacks", root, "        Name: generate-data\n", "        Name: generate-data\n        Other: x\n", "gets the parameter Other"},
		{"nested stacks", topic, "\nOutputs:\n", "\nOutputs:\n  Unused:\n    Value: !Ref Topic\n", "nothing uses the output Unused"},
		{"descriptions", topic, "Description: First part of the topic's name", "MinLength: 1", "ProjectName has no description"},
		{"descriptions", root, "    Description: ARN of the state machine\n", "", "StateMachineArn has no description"},
		{"names fit", root, "MaxLength: 24", "MaxLength: 25", "has up to 65 characters, and can have 64"},
		{"names fit", queues, "QueueName: !Sub ${ProjectName}-retry-queue-", "QueueName: !Sub ${ProjectName}-a-queue-with-a-name-that-is-far-too-long-for-it-", "can have 80"},
		{"names fit", topic, "TopicName: !Sub ${ProjectName}-alarms-${Environment}-${AWS::Region}", "TopicName: alarms", "want <project>-<part>"},
		{"names fit", root, "Name: insert-data", "Name: insert-all-of-the-data-that-there-is", "FunctionName has up to"},
		{"names fit", schedule, "Name: !Sub ${ProjectName}-retries-", "Name: !Sub ${ProjectName}-retries-of-failed-events-", "can have 64"},
		{"time enough", root, "MaxValue: 1123200", "MaxValue: 1209600", "DeadLetterQueue keeps messages"},
		{"time enough", dashboard, "(1209600 - ", "(1036800 - ", "but the dead-letter queue keeps messages for 1209600 seconds"},
		{"publishes", function, "${Timeout} ${FailureInjection}", "${FailureInjection}", "Function uses Timeout, which is not in the description"},
		{"publishes", function, "      Timeout: !Ref Timeout\n", "", "Function does not use Timeout"},
		{"publishes", root, "MaxLength: 70", "MaxLength: 120", "can have 256"},
		{"statement", roles, "Action: sqs:GetQueueAttributes", "Action: sqs:*", "statement CountFailedEvents allows sqs:*"},
		{"statement", roles, "                - !Ref AWS::NoValue\n", "                - Sid: Other\n                  Effect: Allow\n", "an !If has two statements: ParkAndRelease and Other"},
		{"no policies", table, "\nOutputs:\n", "\n  User:\n    Type: AWS::IAM::User\n\nOutputs:\n", "dynamodb-stack.yaml: User"},
		{"region", roles, "arn:${AWS::Partition}:lambda", "arn:aws:lambda", "names a partition"},
		{"region", roles, "sqs.${AWS::Region}.*", "sqs.${AWS::Region}.amazonaws.com", "domain of one partition"},
		{"region", topic, "${Environment}-${AWS::Region}", "${Environment}-eu-central-1", "names a region"},
	}
	all := texts(t)
	broken := map[string]bool{}
	for _, test := range tests {
		i := slices.IndexFunc(rules, func(r rule) bool { return strings.Contains(r.name, test.rule) })
		if i < 0 {
			t.Fatalf("there is no rule %q", test.rule)
		}
		broken[rules[i].name] = true
		changed := maps.Clone(all)
		changed[test.file] = strings.Replace(all[test.file], test.old, test.new, 1)
		if changed[test.file] == all[test.file] {
			t.Errorf("%s has no %q to replace", test.file, test.old)
			continue
		}
		if complaints := rules[i].complaints(changed); !strings.Contains(strings.Join(complaints, "\n"), test.want) {
			t.Errorf("rule %q, with %q for %q in %s, says %q, want %q", rules[i].name, test.new, test.old, test.file, complaints, test.want)
		}
	}
	for _, r := range rules {
		if !broken[r.name] {
			t.Errorf("nothing here breaks the rule %q", r.name)
		}
	}
}

func TestWildcardResourceHasALinkThatSaysWhy(t *testing.T) {
	template := texts(t)[roles]
	statements := regexp.MustCompile(`((?: *#.*\n)*) *- Sid: (\w+)\n((?: {16}.*\n)*)`).FindAllStringSubmatch(template, -1)
	wildcards := 0
	for _, s := range statements {
		comment, sid, body := s[1], s[2], s[3]
		if regexp.MustCompile(`(Resource:|-) *'?\*'?\n`).MatchString(body) {
			wildcards++
			if !strings.Contains(comment, "https://docs.aws.amazon.com/service-authorization/latest/reference/") {
				t.Errorf("statement %s has the resource *, and no comment above it with a link to AWS's list of resource types", sid)
			}
		}
	}
	if all := strings.Count(template, "'*'"); wildcards != all || all == 0 {
		t.Errorf("%d of %d wildcards are resources of a statement", wildcards, all)
	}
}

func TestEventsAreInTheCodeBucketUnlessAnotherOneIsGiven(t *testing.T) {
	all := templates{}
	for file, content := range texts(t) {
		template, err := parse(content)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = template
	}
	for _, test := range []struct {
		given          map[string]string
		bucket, prefix string
	}{
		{nil, "bucket", "carnation/events/"},
		{map[string]string{"EventsBucket": "other", "EventsPrefix": "in/"}, "other", "in/"},
	} {
		s := rootStack(all, test.given)
		output := func(name string) any { return s.value(get(all[root], "Outputs", name, "Value")) }
		if bucket, prefix := output("EventsBucketName"), output("EventsPrefix"); bucket != test.bucket || prefix != test.prefix {
			t.Errorf("with %v, the events are in %v below %v, want %s and %s", test.given, bucket, prefix, test.bucket, test.prefix)
		}
		if s.exists("ScheduleStack") {
			t.Error("without RetrySchedule, there is a schedule")
		}
	}
}
