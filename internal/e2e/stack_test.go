package e2e

import (
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
	want := []string{"DashboardName", "DeadLetterQueueUrl", "GenerateDataFunctionArn", "InsertDataFunctionArn", "MapMode", "RetryQueueUrl", "StateMachineArn", "TableName", "TopicArn"}
	if got := slices.Sorted(maps.Keys(shared.outputs)); !slices.Equal(got, want) {
		t.Errorf("outputs are %v, want %v", got, want)
	}
}

func TestWrongParameterIsRefusedByItsName(t *testing.T) {
	for _, test := range []struct{ parameter, want string }{
		{"VisibilityTimeout=900", "VisibilityTimeout"},
		{"Environment=staging", "Environment"},
		{"KmsMasterKeyId=alias/x", "KmsMasterKeyId"},
		{"ProjectName=Has Spaces", "ProjectName"},
		{"NoSuchParameter=1", "NoSuchParameter"},
		{"MapMaxConcurrency=0", "MapMaxConcurrency"},
		{"MapMaxConcurrency=41", "MapMaxConcurrency"},
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

func TestProdRefusesSimulatedFailuresAndKeepsItsEvents(t *testing.T) {
	prod, err := local.createStack("carnation-prod", append(slices.Clone(code), "Environment=prod")...)
	if err != nil {
		t.Fatal(err)
	}
	out := prod.execute(t, `{"start_seq":1,"end_seq":2,"failure_rate":0.5}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if got := *out.Cause; !strings.Contains(got, "failure_rate is 0.5: must be 0, because the stack's parameter FailureInjection is disabled") {
		t.Errorf("cause is %s", got)
	}
	expectStatus(t, prod.execute(t, `{"start_seq":1,"end_seq":3,"failure_rate":0}`), sfntypes.ExecutionStatusSucceeded)
	destroyed := local.command([]string{"STACK_NAME=carnation-prod", "YES=1"}, "make", "--no-print-directory", "destroy")
	for _, want := range []string{"table carnation-events-prod-", "queue carnation-retry-queue-prod-", "queue carnation-dead-letter-queue-prod-"} {
		if destroyed.code != 0 || !strings.Contains(destroyed.stdout, "kept, because this was prod: "+want) {
			t.Errorf("make destroy in prod: %s, want it to leave the %s", destroyed, want)
		}
	}
	if out := local.command(nil, "aws", "cloudformation", "describe-stacks", "--stack-name", "carnation-prod"); out.code == 0 {
		t.Errorf("after make destroy the stack is still there: %s", out)
	}
	table := prod.outputs["TableName"]
	if rows := strings.TrimSpace(run(t, "aws", "dynamodb", "scan", "--table-name", table, "--select", "COUNT", "--query", "Count")); rows != "2" {
		t.Errorf("after make destroy in prod the table has %s rows, want 2", rows)
	}
	if out := local.command(nil, "aws", "dynamodb", "delete-table", "--table-name", table); out.code == 0 {
		t.Error("the table of prod is not protected")
	}
	run(t, "aws", "dynamodb", "update-table", "--table-name", table, "--no-deletion-protection-enabled")
	run(t, "aws", "dynamodb", "delete-table", "--table-name", table)
	for _, queue := range []string{"RetryQueueUrl", "DeadLetterQueueUrl"} {
		run(t, "aws", "sqs", "delete-queue", "--queue-url", prod.outputs[queue])
	}
}

// The table is protected from the moment it is made, so AWS cannot roll the creation back by itself.
func TestMakeDestroyRemovesAProdThatWasNeverCreated(t *testing.T) {
	const name = "failed-prod"
	group := "/aws/lambda/failed-generate-data-prod-" + localaws.Region
	run(t, "aws", "logs", "create-log-group", "--log-group-name", group)
	defer run(t, "aws", "logs", "delete-log-group", "--log-group-name", group)
	if _, err := local.createStack(name, append(slices.Clone(code), "Environment=prod", "ProjectName=failed")...); err == nil {
		t.Fatal("a stack was created though its log group exists")
	}
	if status := run(t, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].StackStatus", "--output", "text"); strings.TrimSpace(status) != "ROLLBACK_FAILED" {
		t.Errorf("stack %s is %s", name, status)
	}
	if out := local.command([]string{"STACK_NAME=" + name, "YES=1"}, "make", "--no-print-directory", "destroy"); out.code != 0 {
		t.Fatalf("make destroy: %s", out)
	}
	if out := local.command(nil, "aws", "cloudformation", "describe-stacks", "--stack-name", name); out.code == 0 {
		t.Errorf("after make destroy the stack is still there: %s", out)
	}
	if tables := run(t, "aws", "dynamodb", "list-tables", "--query", "TableNames", "--output", "text"); strings.Contains(tables, "failed-") {
		t.Errorf("after make destroy there are the tables %s", tables)
	}
}

func TestUpdateRunsTheNewBinaryAndTheNewStateMachineAndDeleteLeavesNothing(t *testing.T) {
	const name, project = "blue-devl", "blue"
	code := append(slices.Clone(code), "ProjectName="+project)
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

	local.deleteStack(t, name)
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
