package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/localaws"
)

func TestOutputsOfTheRootStack(t *testing.T) {
	want := []string{"DashboardName", "DeadLetterQueueUrl", "GenerateDataFunctionArn", "InsertDataFunctionArn", "RetryQueueUrl", "StateMachineArn", "TableName", "TopicArn"}
	if got := slices.Sorted(maps.Keys(shared.outputs)); !slices.Equal(got, want) {
		t.Errorf("outputs are %v, want %v", got, want)
	}
}

func TestResourceNamesHaveProjectEnvironmentAndRegion(t *testing.T) {
	suffix := "-devl-" + localaws.Region
	for key, value := range shared.outputs {
		name := value[strings.LastIndexAny(value, ":/")+1:]
		if !strings.HasPrefix(name, "carnation-") || !strings.HasSuffix(name, suffix) {
			t.Errorf("%s is named %s, want carnation-...%s", key, name, suffix)
		}
	}
}

func TestAlarmsTellTheTopic(t *testing.T) {
	var alarms []struct {
		AlarmName    string
		MetricName   string
		AlarmActions []string
	}
	out := run(t, "aws", "cloudwatch", "describe-alarms", "--query", "MetricAlarms[?starts_with(AlarmName,'carnation-')]", "--output", "json")
	if err := json.Unmarshal([]byte(out), &alarms); err != nil {
		t.Fatal(err)
	}
	watched := map[string]int{}
	for _, alarm := range alarms {
		watched[alarm.MetricName]++
		if !slices.Equal(alarm.AlarmActions, []string{shared.outputs["TopicArn"]}) {
			t.Errorf("alarm %s tells %v, want the topic %s", alarm.AlarmName, alarm.AlarmActions, shared.outputs["TopicArn"])
		}
		// The topic's policy lets only alarms of such names publish.
		if !strings.HasSuffix(alarm.AlarmName, "-devl-"+localaws.Region) {
			t.Errorf("alarm %s has not the name that the topic's policy allows", alarm.AlarmName)
		}
	}
	want := map[string]int{
		"Invocations": 2, "Errors": 2, "Throttles": 2, "Duration": 2, "ConcurrentExecutions": 2,
		"ExecutionsFailed": 1, "ExecutionsTimedOut": 1, "ExecutionsAborted": 1,
		"ApproximateNumberOfMessagesVisible": 1, "ApproximateAgeOfOldestMessage": 1,
	}
	if !maps.Equal(watched, want) {
		t.Errorf("alarms watch %v, want %v", watched, want)
	}
}

func TestWrongParameterIsRefusedByItsName(t *testing.T) {
	for _, test := range []struct{ parameter, want string }{
		{"VisibilityTimeout=900", "VisibilityTimeout"},
		{"Environment=staging", "Environment"},
		{"KmsMasterKeyId=alias/x", "KmsMasterKeyId"},
		{"ProjectName=Has Spaces", "ProjectName"},
		{"NoSuchParameter=1", "NoSuchParameter"},
	} {
		_, err := local.createStack("carnation-refused", test.parameter)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("create-stack with %s: %v, want an error that names %s", test.parameter, err, test.want)
		}
	}
	if out := local.command(nil, "aws", "cloudformation", "describe-stacks", "--stack-name", "carnation-refused"); out.code == 0 {
		t.Errorf("a refused stack exists: %s", out)
	}
}

func TestSimulatedFailuresAreRefusedInProd(t *testing.T) {
	prod, err := local.createStack("carnation-prod", append(slices.Clone(local.code), "Environment=prod")...)
	if err != nil {
		t.Fatal(err)
	}
	out := prod.execute(t, `{"start_seq":1,"end_seq":2,"failure_rate":0.5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if got := *out.Cause; !strings.Contains(got, "failure_rate is 0.5: allowed is 0, because the stack's parameter FailureInjection is disabled") {
		t.Errorf("cause is %s", got)
	}
	expectStatus(t, prod.execute(t, `{"start_seq":1,"end_seq":3,"failure_rate":0}`), sfntypes.ExecutionStatusSucceeded)
	refused := local.command([]string{"STACK_NAME=carnation-prod"}, "make", "--no-print-directory", "destroy")
	if refused.code == 0 || !strings.Contains(refused.stderr, "is protected, and nothing was deleted") {
		t.Errorf("make destroy in prod: %s", refused)
	}
	expectStatus(t, prod.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	run(t, "aws", "dynamodb", "update-table", "--table-name", prod.outputs["TableName"], "--no-deletion-protection-enabled")
	deleteStack(t, "carnation-prod")
}

func deleteStack(t *testing.T, name string) {
	t.Helper()
	run(t, "aws", "cloudformation", "delete-stack", "--stack-name", name)
	run(t, "aws", "cloudformation", "wait", "stack-delete-complete", "--stack-name", name)
}

func TestUpdateRunsTheNewBinaryAndTheNewStateMachineAndDeleteLeavesNothing(t *testing.T) {
	const name, project = "blue-devl", "blue"
	code := append(slices.Clone(local.code), "ProjectName="+project)
	blue, err := local.createStack(name, code...)
	if err != nil {
		t.Fatal(err)
	}
	out := blue.execute(t, `{"start_seq":1,"end_seq":3}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	blue.expectInserted(t, 1, 3, blue.generated(t, *out.ExecutionArn))

	update := func(parameters []string) {
		t.Helper()
		args := []string{"aws", "cloudformation", "update-stack", "--stack-name", name, "--use-previous-template", "--capabilities", "CAPABILITY_NAMED_IAM", "--parameters"}
		run(t, append(args, local.parameterFlags(parameters)...)...)
		run(t, "aws", "cloudformation", "wait", "stack-update-complete", "--stack-name", name)
	}

	dir := t.TempDir()
	run(t, "env", "CGO_ENABLED=0", "go", "build", "-o", dir+"/bootstrap", "./internal/e2e/testdata/replacement")
	run(t, "go", "tool", "build-lambda-zip", "-o", dir+"/new.zip", dir+"/bootstrap")
	run(t, "aws", "s3", "cp", dir+"/new.zip", "s3://"+bucket+"/carnation/code/go/other.zip")
	update(with(code, "GenerateDataS3Key=carnation/code/go/other.zip"))
	response := filepath.Join(dir, "response.json")
	run(t, "aws", "lambda", "invoke", "--function-name", blue.outputs["GenerateDataFunctionArn"], "--payload", `{}`, response)
	if answer, err := os.ReadFile(response); err != nil || !strings.Contains(string(answer), `"version":2`) {
		t.Errorf("after the update generate-data answers %s (%v), want version 2", answer, err)
	}

	machine, err := os.ReadFile(filepath.Join(root, "state-machine/carnation-state-machine.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(machine), `"failed": 0`, `"failed": 0, "new": true`, 1)
	if changed == string(machine) {
		t.Fatal("the state machine was not changed")
	}
	if err := os.WriteFile(dir+"/new.asl.json", []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "aws", "s3", "cp", dir+"/new.asl.json", "s3://"+bucket+"/carnation/code/state-machine/other.asl.json")
	update(with(code, "StateMachineS3Key=carnation/code/state-machine/other.asl.json"))
	out = blue.execute(t, `{"start_seq":3,"end_seq":5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if !equalJSON(t, *out.Output, `{"inserted":2,"failed":0,"new":true}`) {
		t.Errorf("after both updates, the second back to the old binary, the output is %s", *out.Output)
	}

	deleteStack(t, name)
	for _, query := range [][]string{
		{"dynamodb", "list-tables", "--query", "TableNames"},
		{"sqs", "list-queues", "--query", "QueueUrls"},
		{"sns", "list-topics", "--query", "Topics[].TopicArn"},
		{"lambda", "list-functions", "--query", "Functions[].FunctionName"},
		{"stepfunctions", "list-state-machines", "--query", "stateMachines[].name"},
		{"iam", "list-roles", "--query", "Roles[].RoleName"},
		{"logs", "describe-log-groups", "--query", "logGroups[].logGroupName"},
		{"cloudwatch", "describe-alarms", "--query", "MetricAlarms[].AlarmName"},
		{"cloudwatch", "list-dashboards", "--query", "DashboardEntries[].DashboardName"},
		{"cloudformation", "describe-stacks", "--query", "Stacks[].StackName"},
	} {
		left := run(t, append([]string{"aws", "--output", "text"}, query...)...)
		for _, resource := range strings.Fields(left) {
			if strings.Contains(resource, project+"-") {
				t.Errorf("delete-stack left %s (aws %s)", resource, query[0])
			}
		}
	}
}

// with is parameters with one of them replaced.
func with(parameters []string, replacement string) []string {
	name, _, _ := strings.Cut(replacement, "=")
	result := []string{replacement}
	for _, p := range parameters {
		if !strings.HasPrefix(p, name+"=") {
			result = append(result, p)
		}
	}
	return result
}

// TestRolesAllowExactlyWhatIsCalled compares the calls of runs that fail, retry and succeed with the roles' policies.
func TestRolesAllowExactlyWhatIsCalled(t *testing.T) {
	suffix := "-devl-" + localaws.Region
	out := shared.execute(t, `{"start_seq":800,"end_seq":840,"failure_rate":0.5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	for range 4 {
		shared.execute(t, `{"start_seq":0,"end_seq":0,"failure_rate":0.5}`)
	}
	shared.takeAll(t, "DeadLetterQueueUrl")

	for _, test := range []struct {
		role, caller string
		rare         []string // allowed, but only called after an error
	}{
		{"carnation-generate-data-role" + suffix, "carnation-generate-data-role" + suffix, []string{"sqs:ChangeMessageVisibility"}},
		{"carnation-insert-data-role" + suffix, "carnation-insert-data-role" + suffix, nil},
		{"carnation-state-machine-role" + suffix, localaws.EngineKeyID, nil},
	} {
		allowed := policyActions(t, test.role)
		called := map[string]bool{}
		callsMu.Lock()
		for call := range calls {
			if call.Caller == test.caller && !strings.HasPrefix(call.Operation, "GET ") {
				action := strings.TrimSuffix(call.Operation, "Batch") // a batch needs the permission of the single call
				if action == "Invoke" {
					action = "InvokeFunction"
				}
				called[call.Service+":"+action] = true
			}
		}
		callsMu.Unlock()
		for action := range called {
			if !allowed[action] {
				t.Errorf("%s calls %s, which its policy does not allow", test.role, action)
			}
		}
		for action := range allowed {
			service, _, _ := strings.Cut(action, ":")
			if service != "logs" && service != "xray" && service != "kms" && !called[action] && !slices.Contains(test.rare, action) {
				t.Errorf("%s allows %s, which it never calls", test.role, action)
			}
		}
	}
}

// policyActions is the actions that a role's inline policies allow.
func policyActions(t *testing.T, role string) map[string]bool {
	t.Helper()
	actions := map[string]bool{}
	for _, policy := range strings.Fields(run(t, "aws", "iam", "list-role-policies", "--role-name", role, "--query", "PolicyNames", "--output", "text")) {
		var document struct {
			Statement []struct {
				Action   any
				Resource any
			}
		}
		out := run(t, "aws", "iam", "get-role-policy", "--role-name", role, "--policy-name", policy, "--query", "PolicyDocument", "--output", "json")
		if err := json.Unmarshal([]byte(out), &document); err != nil {
			t.Fatal(err)
		}
		for _, statement := range document.Statement {
			for _, action := range flatten(statement.Action) {
				if strings.Contains(action, "*") {
					t.Errorf("policy %s of %s allows %s: a wildcard", policy, role, action)
				}
				actions[action] = true
				for _, resource := range flatten(statement.Resource) {
					if service, _, _ := strings.Cut(action, ":"); strings.HasPrefix(resource, "*") && service != "xray" && service != "logs" {
						t.Errorf("policy %s of %s allows %s on %s", policy, role, action, resource)
					}
				}
			}
		}
	}
	return actions
}

func flatten(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, x := range v {
			all = append(all, fmt.Sprint(x))
		}
		return all
	}
	return nil
}

func TestSizeLimits(t *testing.T) {
	count := func(pattern string) (lines int) {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v files, %v", pattern, files, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(data), "\n")
		}
		return lines
	}
	if n := count("cft/*.yaml") + count("cft/nested-stacks/*.yaml"); n >= 1300 {
		t.Errorf("the templates have %d lines, want under 1,300", n)
	}
	for _, function := range []string{"generate-data", "insert-data"} {
		if n := count("cmd/" + function + "/main.go"); n > 40 {
			t.Errorf("main.go of %s has %d lines, want at most 40", function, n)
		}
	}
}
