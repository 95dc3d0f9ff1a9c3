package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/localaws"
)

// machine is a small state machine and what its execution must give: an output, or an error.
type machine struct {
	name       string
	definition string
	input      string // {} if it is empty
	output     string // as JSON
	error      string
	cause      string // a part of it
}

// each is a Distributed Map as the only state.
func each(fields string) string {
	return single(eachItem(fields))
}

// eachItem is the fields of a Distributed Map. Its children fail with Bad if their input has "bad": true.
func eachItem(fields string) string {
	return `"Type": "Map", ` + fields + `, "ItemProcessor": {
		"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}, "StartAt": "Good?", "States": {
			"Good?": {"Type": "Choice", "Choices": [{"And": [{"Variable": "$.bad", "IsPresent": true}, {"Variable": "$.bad", "BooleanEquals": true}],
				"Next": "Fail"}], "Default": "Give"},
			"Give": {"Type": "Pass", "End": true},
			"Fail": {"Type": "Fail", "Error": "Bad", "Cause": "it is bad"}}}`
}

// single is a state machine of one state, which is its last.
func single(fields string) string {
	return `{"StartAt": "Only", "States": {"Only": {"End": true, ` + fields + `}}}`
}

// caught is a state machine whose first state fails, and whose Catch of an error gives the error's name.
func caught(by, fields string) string {
	return `{"StartAt": "First", "States": {
		"First": {` + fields + `, "Catch": [{"ErrorEquals": ["` + by + `"], "Next": "Caught"}], "End": true},
		"Caught": {"Type": "Pass", "Parameters": {"caught.$": "$.Error"}, "End": true}}}`
}

// inside is the fields of a Parallel with one state inside. Its Catch is for what no state can catch by itself.
func inside(fields string) string {
	return `"Type": "Parallel", "Branches": [` + strings.ReplaceAll(single(fields), "Only", "Inside") + `]`
}

// written is a Distributed Map that writes its results to S3, and then reads its manifest and the file of the successful children.
func written(fields string) string {
	return `{"StartAt": "Each", "States": {
		"Each": {` + eachItem(fields) + `, "Next": "Read Manifest"},
		"Read Manifest": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject",
			"Parameters": {"Bucket.$": "$.ResultWriterDetails.Bucket", "Key.$": "$.ResultWriterDetails.Key"},
			"ResultSelector": {"files.$": "States.StringToJson($.Body)"}, "Next": "Read Results"},
		"Read Results": {"Type": "Parallel", "End": true, "Branches": [
			{"StartAt": "Succeeded", "States": {"Succeeded": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "End": true,
				"Parameters": {"Bucket": "${Bucket}", "Key.$": "$.files.ResultFiles.SUCCEEDED[0].Key"}, "ResultSelector": {"results.$": "States.StringToJson($.Body)"},
				"OutputPath": "$.results[*]['Status','Input','Output']"}}},
			{"StartAt": "Failed", "States": {"Failed": {"Type": "Task", "Resource": "arn:aws:states:::aws-sdk:s3:getObject", "End": true,
				"Parameters": {"Bucket": "${Bucket}", "Key.$": "$.files.ResultFiles.FAILED[0].Key"}, "ResultSelector": {"results.$": "States.StringToJson($.Body)"},
				"OutputPath": "$.results[*]['Status','Input','Error']"}}}]}}}`
}

const (
	token = `"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "HeartbeatSeconds": 1, "TimeoutSeconds": 60,
		"Parameters": {"QueueUrl": "${Queue}", "MessageBody": {"token.$": "$$.Task.Token"}}`
	nested = `"Type": "Task", "Resource": "arn:aws:states:::states:startExecution%s", "Parameters": {"StateMachineArn": "${%s}", "Input": {"n": 7,
		"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.$": "$$.Execution.Id"}}, "ResultSelector": {"status.$": "$.Status", "n.$": "$.Output%s"}`
	nobody   = `"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync", "Parameters": {"StateMachineArn": "${Echo}-of-nobody"}`
	function = `"Type": "Task", "Resource": "%s"`
	items    = `[{"i": 0, "bad": false}, {"i": 1, "bad": true}, {"i": 2, "bad": false}, {"i": 3, "bad": true}, {"i": 4, "bad": false}]`
	good     = `[{"i":0,"bad":false},{"i":2,"bad":false},{"i":4,"bad":false}]`
	// keep selects the good results: a failed child gives its metadata.
	keep    = `"ResultSelector": {"good.$": "$[?(@.bad == false)]", "lost.$": "$[?(@.Status == 'FAILED')]['Error']"}`
	kept    = `{"good": ` + good + `, "lost": ["Bad", "Bad"]}`
	reader  = `"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "${Bucket}", "Key": "states/%s"}, "ReaderConfig": {%s}}`
	writer  = `"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "${Bucket}", "Prefix": "results"}}`
	tooMany = "States.ExceedToleratedFailureThreshold"
)

// startable are state machines that others start.
var startable = map[string]string{
	"Echo":   single(`"Type": "Pass"`),
	"Broken": `{"StartAt": "Only", "States": {"Only": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}}}`,
	"Sleep":  single(`"Type": "Wait", "Seconds": 600`),
}

// refused are state machines that cannot be created.
var refused = []struct{ definition, why string }{
	{single(`"Type": "Pass", "Retry": []`), "SCHEMA_VALIDATION_FAILED: Field is not supported at /States/Only/Retry"},
	{single(`"Type": "Wait", "Seconds": 1, "QueryLanguage": "JSONata"`), "local AWS does not run JSONata"},
	{single(`"Type": "Pass", "Assign": {"a": 1}`), "local AWS does not run variables"},
	{single(fmt.Sprintf(function, "arn:aws:states:::athena:startQueryExecution.sync")), "local AWS does not run arn:aws:states:::athena"},
	{single(`"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Paylod": {}}`), "'Paylod' is not supported"},
	{strings.Replace(each(fmt.Sprintf(reader, "x", `"InputType": "JSON"`)), "getObject", "listObjectsV2", 1), "local AWS does not run an ItemReader of"},
	{each(`"ItemBatcher": {"BatchInput": {}}`), "ItemBatcher must have"},
}

var machines = []machine{
	// One state machine starts another.
	{name: "startExecution.sync:2 gives the output as JSON", definition: single(fmt.Sprintf(nested, ".sync:2", "Echo", ".n")), output: `{"status": "SUCCEEDED", "n": 7}`},
	{name: "startExecution.sync gives the output as a string", definition: `{"StartAt": "Run", "States": {"Run": {` +
		fmt.Sprintf(nested, ".sync", "Echo", "") + `, "Next": "Parse"}, "Parse": {"Type": "Pass", "Parameters": {"child.$": "States.StringToJson($.n)"}, "OutputPath": "$.child.n", "End": true}}}`, output: "7"},
	{name: "startExecution does not wait", definition: single(`"Type": "Task", "Resource": "arn:aws:states:::states:startExecution",
		"Parameters": {"StateMachineArn": "${Sleep}"}, "ResultSelector": {"http.$": "$.SdkHttpMetadata.HttpStatusCode"}`), output: `{"http": 200}`},
	{name: "a child that fails", definition: single(fmt.Sprintf(nested, ".sync:2", "Broken", "")), error: "States.TaskFailed", cause: `"Error":"Broken"`},
	{name: "a child that fails is caught", definition: caught("States.TaskFailed", fmt.Sprintf(nested, ".sync", "Broken", "")), output: `{"caught": "States.TaskFailed"}`},
	{name: "a state machine that does not exist", definition: single(nobody), error: "StepFunctions.StateMachineDoesNotExistException"},
	{name: "a run of Carnation", definition: single(`"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2",
		"Parameters": {"StateMachineArn": "${Carnation}", "Input": {"start_seq": 5, "end_seq": 5,
		"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID.$": "$$.Execution.Id"}}, "OutputPath": "$.Output"`), output: `{"inserted": 0, "failed": 0}`},

	// A function's ARN is the resource.
	{name: "a function's ARN", definition: single(fmt.Sprintf(function, "${Function}") + `, "ResultPath": "$.answer", "OutputPath": "$.answer.items"`),
		input: `{"operation": "GenerateRun", "started": "2026-11-26T12:00:00Z", "input": {"start_seq": 5, "end_seq": 5}}`, output: `[]`},
	{name: "a version of a function", definition: single(fmt.Sprintf(function, "${Version}") + `, "OutputPath": "$.generated"`),
		input: `{"operation": "GenerateRun", "started": "2026-11-26T12:00:00Z", "input": {"start_seq": 5, "end_seq": 5}}`, output: `0`},
	{name: "an alias of a function", definition: single(`"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "${Function}:small",
		"Payload.$": "$"}, "ResultSelector": {"version.$": "$.ExecutedVersion", "generated.$": "$.Payload.generated"}`),
		input: `{"operation": "GenerateRun", "started": "2026-11-26T12:00:00Z", "input": {"start_seq": 5, "end_seq": 5}}`, output: `{"version": "${Number}", "generated": 0}`},
	{name: "a function's own error", definition: single(fmt.Sprintf(function, "${Function}")), input: `{"operation": "GenerateRun", "started": "2026-11-26T12:00:00Z", "input": {}}`,
		error: "InvalidInputError", cause: `"errorMessage":"`},
	{name: "a throttled function", definition: single(fmt.Sprintf(function, "${Throttled}")), error: "Lambda.TooManyRequestsException", cause: "Status Code: 429"},
	{name: "a throttled function is caught", definition: caught("Lambda.TooManyRequestsException", fmt.Sprintf(function, "${Throttled}")), output: `{"caught": "Lambda.TooManyRequestsException"}`},
	{name: "a function that does not exist", definition: caught("States.TaskFailed", fmt.Sprintf(function, "${Function}-of-nobody")), output: `{"caught": "Lambda.ResourceNotFoundException"}`},

	// The names of errors, and what catches them.
	{name: "a Choice in which nothing matches", definition: `{"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": true, "Next": "A"}]}}}`,
		error: "States.NoChoiceMatched"},
	{name: "a missed heartbeat", definition: single(token), error: "States.HeartbeatTimeout"},
	{name: "States.Timeout catches a missed heartbeat", definition: caught("States.Timeout", token), output: `{"caught": "States.HeartbeatTimeout"}`},
	{name: "States.HeartbeatTimeout catches a missed heartbeat", definition: caught("States.HeartbeatTimeout", token), output: `{"caught": "States.HeartbeatTimeout"}`},
	{name: "States.TaskFailed does not catch a timeout", definition: caught("States.TaskFailed", strings.Replace(token, `"HeartbeatSeconds": 1, "TimeoutSeconds": 60`, `"TimeoutSeconds": 1`, 1)),
		error: "States.Timeout"},
	{name: "States.TaskFailed catches other errors", definition: caught("States.TaskFailed", fmt.Sprintf(function, "${Throttled}")), output: `{"caught": "Lambda.TooManyRequestsException"}`},
	{name: "an intrinsic function that fails", definition: caught("States.IntrinsicFailure", inside(`"Type": "Pass", "Parameters": {"x.$": "States.StringToJson($.text)"}`)),
		input: `{"text": "{"}`, output: `{"caught": "States.IntrinsicFailure"}`},
	{name: "a ResultPath that cannot be applied", definition: single(`"Type": "Pass", "Result": 1, "ResultPath": "$.text.x"`), input: `{"text": "x"}`, error: "States.ResultPathMatchFailure"},
	{name: "States.ALL does not catch States.Runtime", definition: caught("States.ALL", inside(`"Type": "Pass", "Parameters": {"x.$": "$.missing"}`)),
		error: "States.Runtime", cause: "The JSONPath '$.missing' specified for the field 'x.$' could not be found in the input '{}'"},
	{name: "States.ALL does not catch too much data", definition: caught("States.ALL", inside(`"Type": "Pass", "Parameters": {"a.$": "$.text", "b.$": "$.text"}`)),
		input: `{"text": "` + strings.Repeat("x", 200_000) + `"}`, error: "States.DataLimitExceeded"},

	// Distributed Map: tolerated failures.
	{name: "a failure that is not tolerated", definition: each(`"MaxConcurrency": 1`), input: items, error: tooMany},
	{name: "ToleratedFailurePercentage", definition: each(`"ToleratedFailurePercentage": 60, ` + keep), input: items, output: kept},
	{name: "ToleratedFailurePercentage that is too small", definition: each(`"ToleratedFailurePercentage": 39.9`), input: items, error: tooMany},
	{name: "ToleratedFailureCount", definition: each(`"ToleratedFailureCount": 2, ` + keep), input: items, output: kept},
	{name: "ToleratedFailureCount that is too small", definition: each(`"ToleratedFailureCount": 1`), input: items, error: tooMany},
	{name: "ToleratedFailureCountPath", definition: each(`"ItemsPath": "$.items", "ToleratedFailureCountPath": "$.count", ` + keep), input: `{"count": 2, "items": ` + items + `}`, output: kept},
	{name: "ToleratedFailurePercentagePath", definition: each(`"ItemsPath": "$.items", "ToleratedFailurePercentagePath": "$.share"`), input: `{"share": 20, "items": ` + items + `}`, error: tooMany},

	// Distributed Map: items from S3.
	{name: "ItemReader JSON", definition: each(fmt.Sprintf(reader, "a.json", `"InputType": "JSON"`)), output: `[{"n": 1}, {"n": "é"}, 3]`},
	{name: "ItemReader JSONL", definition: each(fmt.Sprintf(reader, "a.jsonl", `"InputType": "JSONL", "MaxItems": 2`)), output: `[{"n": 1}, {"n": "é"}]`},
	{name: "ItemReader CSV", definition: each(fmt.Sprintf(reader, "a.csv", `"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"`)), output: `[{"a": "1", "b": "x, y"}, {"a": "2", "b": ""}]`},
	{name: "ItemReader CSV with a given header", definition: each(fmt.Sprintf(reader, "b.csv", `"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["p", "q"], "CSVDelimiter": "SEMICOLON"`)),
		output: `[{"p": "1", "q": "2"}]`},
	{name: "ItemReader of nothing", definition: caught("States.ItemReaderFailed", eachItem(fmt.Sprintf(reader, "none", `"InputType": "JSON"`))), output: `{"caught": "States.ItemReaderFailed"}`},
	{name: "ItemReader of what is not JSON", definition: each(fmt.Sprintf(reader, "a.csv", `"InputType": "JSONL"`)), error: "States.ItemReaderFailed", cause: "line 1 is not JSON"},
	{name: "ItemSelector, ItemBatcher", definition: each(fmt.Sprintf(reader, "a.jsonl", `"InputType": "JSONL"`) + `,
		"ItemSelector": {"at.$": "$$.Map.Item.Index", "is.$": "$$.Map.Item.Value", "x.$": "$.x"},
		"ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"x.$": "$.x"}}`), input: `{"x": "y"}`,
		output: `[{"BatchInput": {"x": "y"}, "Items": [{"at": 0, "is": {"n": 1}, "x": "y"}, {"at": 1, "is": {"n": "é"}, "x": "y"}]},
			{"BatchInput": {"x": "y"}, "Items": [{"at": 2, "is": 3, "x": "y"}]}]`},
	{name: "ItemBatcher by bytes", definition: each(`"ItemBatcher": {"MaxInputBytesPerBatch": 19}`), input: `["a", "b", "c"]`, output: `[{"Items": ["a", "b"]}, {"Items": ["c"]}]`},
	{name: "ItemBatcher with an item that is too large", definition: each(`"ItemBatcher": {"MaxInputBytesPerBatch": 19}`), input: `["abcdefghij"]`, error: "States.DataLimitExceeded"},

	// Distributed Map: results in S3.
	{name: "ResultWriter", definition: written(`"ToleratedFailureCount": 2, ` + writer), input: items, output: `[
		["SUCCEEDED", "{\"i\":0,\"bad\":false}", "{\"i\":0,\"bad\":false}", "SUCCEEDED", "{\"i\":2,\"bad\":false}", "{\"i\":2,\"bad\":false}", "SUCCEEDED", "{\"i\":4,\"bad\":false}", "{\"i\":4,\"bad\":false}"],
		["FAILED", "{\"i\":1,\"bad\":true}", "Bad", "FAILED", "{\"i\":3,\"bad\":true}", "Bad"]]`},
	{name: "ResultWriter into no bucket", definition: each(strings.Replace(writer, "${Bucket}", "no-such-bucket", 1)), input: items, error: "States.ResultWriterFailed", cause: "no-such-bucket"},
	{name: "WriterConfig", definition: each(`"ResultWriter": {"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSON"}}`), input: `[[1, 2], 3, []]`, output: `[1, 2, 3]`},
}

// TestStateMachinesDoWhatAWSDocuments runs all machines at once. docs/local-aws.md says what local AWS runs.
func TestStateMachinesDoWhatAWSDocuments(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for key, content := range map[string]string{
		"a.json": `[{"n": 1}, {"n": "é"}, 3]`, "a.jsonl": "{\"n\": 1}\n{\"n\": \"é\"}\n\n3", "a.csv": "a,b\n1,\"x, y\"\n2\n", "b.csv": "1;2\n",
	} {
		if err := s.put("states/"+key, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	queue, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("tokens")})
	if err != nil {
		t.Fatal(err)
	}
	version, err := s.lambda.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: aws.String(s.outputs["GenerateDataFunctionArn"])})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.lambda.CreateAlias(t.Context(), &lambda.CreateAliasInput{
		FunctionName: aws.String(s.outputs["GenerateDataFunctionArn"]), FunctionVersion: version.Version, Name: aws.String("small"),
	}); err != nil {
		t.Fatal(err)
	}
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultThrottle, Operation: "Invoke", Function: "insert-data"})

	var arns []string // of the state machines
	create := func(definition string) (string, error) {
		made, err := s.sfn.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
			Name: aws.String(fmt.Sprintf("small-%d", len(arns))), Definition: aws.String(definition), RoleArn: aws.String("arn:aws:iam::123456789012:role/small"),
		})
		if err != nil {
			return "", err
		}
		arns = append(arns, *made.StateMachineArn)
		return *made.StateMachineArn, nil
	}
	t.Cleanup(func() {
		// The stack has published this version, and cannot delete it while an alias refers to it.
		if _, err := s.lambda.DeleteAlias(context.Background(), &lambda.DeleteAliasInput{
			FunctionName: aws.String(s.outputs["GenerateDataFunctionArn"]), Name: aws.String("small"),
		}); err != nil {
			t.Error(err)
		}
		for _, arn := range arns {
			if _, err := s.sfn.DeleteStateMachine(context.Background(), &sfn.DeleteStateMachineInput{StateMachineArn: aws.String(arn)}); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.sqs.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl}); err != nil {
			t.Error(err)
		}
	})
	names := []string{"${Bucket}", bucket, "${Queue}", *queue.QueueUrl, "${Carnation}", s.outputs["StateMachineArn"],
		"${Function}", s.outputs["GenerateDataFunctionArn"], "${Version}", *version.FunctionArn, "${Number}", *version.Version, "${Throttled}", s.outputs["InsertDataFunctionArn"]}
	for name, definition := range startable {
		arn, err := create(definition)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, "${"+name+"}", arn)
	}
	replace := strings.NewReplacer(names...)

	for _, test := range refused {
		if arn, err := create(replace.Replace(test.definition)); err == nil || !strings.Contains(err.Error(), "InvalidDefinition") || !strings.Contains(err.Error(), test.why) {
			t.Errorf("state machine %s was created: error %v, want InvalidDefinition with %s", arn, err, test.why)
		}
	}
	start := func(definition, input string) string {
		arn, err := create(replace.Replace(definition))
		if err != nil {
			t.Fatal(err)
		}
		started, err := s.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(arn), Input: aws.String(cmp.Or(input, "{}"))})
		if err != nil {
			t.Fatal(err)
		}
		return *started.ExecutionArn
	}
	var started []string
	for _, m := range machines {
		started = append(started, start(m.definition, m.input))
	}
	for i, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			m.output = replace.Replace(m.output)
			m.expect(t, s.wait(t, started[i]))
		})
	}
	t.Run("the calls are the state machine's", func(t *testing.T) {
		for _, operation := range []string{"GetObject", "PutObject", "StartExecution", "DescribeExecution"} {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(s.recorded())), func(call localaws.Call) bool {
				return call.Operation == operation && call.Caller == localaws.EngineKeyID
			}) {
				t.Errorf("no call of %s by a state machine was recorded", operation)
			}
		}
	})
	t.Run("the log has the error of a run that failed", func(t *testing.T) {
		failed := s.execute(t, `{"start_seq": 0}`)
		expectStatus(t, failed, sfntypes.ExecutionStatusFailed)
		lines, err := cloudwatchlogs.NewFromConfig(s.config).FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/aws/vendedlogs/states/" + s.outputs["StateMachineArn"][strings.LastIndex(s.outputs["StateMachineArn"], ":")+1:]),
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, event := range lines.Events {
			var line struct {
				Type         string
				ExecutionArn string `json:"execution_arn"`
				Details      struct{ Error, Input string }
			}
			if err := json.Unmarshal([]byte(*event.Message), &line); err != nil {
				t.Fatal(err)
			}
			if line.ExecutionArn == *failed.ExecutionArn {
				got = append(got, line.Type+" "+line.Details.Error+line.Details.Input)
			}
		}
		if want := []string{"TaskFailed InvalidInputError", "ExecutionFailed InvalidInputError"}; !slices.Equal(got, want) {
			t.Errorf("the log has %q, want %q", got, want)
		}
	})
	t.Run("a child ends with its parent", func(t *testing.T) {
		parent := start(single(strings.ReplaceAll(fmt.Sprintf(nested, ".sync", "Sleep", ""), `"Input"`, `"Name": "asleep", "Input"`)), "")
		sleeper := strings.NewReplacer(":stateMachine:", ":execution:").Replace(replace.Replace("${Sleep}")) + ":asleep"
		waitFor(t, "the child to start", func() bool {
			_, err := s.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(sleeper)})
			return err == nil
		})
		if _, err := s.sfn.StopExecution(t.Context(), &sfn.StopExecutionInput{ExecutionArn: aws.String(parent)}); err != nil {
			t.Fatal(err)
		}
		expectStatus(t, s.wait(t, sleeper), sfntypes.ExecutionStatusAborted)
	})
	t.Run("a redrive of a Map Run reads the rest of its file", func(t *testing.T) {
		if err := s.put("states/late.jsonl", []byte("1\n2\n3\nnope\n")); err != nil {
			t.Fatal(err)
		}
		arn := start(each(fmt.Sprintf(reader, "late.jsonl", `"InputType": "JSONL"`)+`, "ItemBatcher": {"MaxItemsPerBatch": 2}`), "")
		(&machine{error: "States.ItemReaderFailed", cause: "line 4 is not JSON"}).expect(t, s.wait(t, arn))
		if err := s.put("states/late.jsonl", []byte("1\n2\n3\n4\n")); err != nil {
			t.Fatal(err)
		}
		(&machine{output: `[{"Items": [1, 2]}, {"Items": [3, 4]}]`}).expect(t, s.redrive(t, arn))
		runs, err := s.sfn.ListMapRuns(t.Context(), &sfn.ListMapRunsInput{ExecutionArn: aws.String(arn)})
		if err != nil || len(runs.MapRuns) != 1 {
			t.Fatalf("%d Map Runs, %v; want 1", len(runs.MapRuns), err)
		}
		run, err := s.sfn.DescribeMapRun(t.Context(), &sfn.DescribeMapRunInput{MapRunArn: runs.MapRuns[0].MapRunArn})
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s %d %d %d %d %d", run.Status, run.ItemCounts.Total, run.ItemCounts.Succeeded, run.ExecutionCounts.Total, run.ExecutionCounts.Succeeded, *run.RedriveCount)
		if want := "SUCCEEDED 4 4 2 2 1"; got != want {
			t.Errorf("the Map Run has status, items, successful ones, children, successful ones and redrives %s, want %s", got, want)
		}
	})
}

// expect checks how an execution ended.
func (m *machine) expect(t *testing.T, out *sfn.DescribeExecutionOutput) {
	t.Helper()
	got, want := aws.ToString(out.Output), m.output
	if m.error != "" {
		if aws.ToString(out.Error) != m.error || !strings.Contains(aws.ToString(out.Cause), m.cause) {
			t.Errorf("execution is %s (%s: %s), output %s; want error %s, cause %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), got, m.error, m.cause)
		}
		return
	}
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	var gotValue, wantValue any
	if err := errors.Join(json.Unmarshal([]byte(got), &gotValue), json.Unmarshal([]byte(want), &wantValue)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotValue, wantValue) {
		t.Errorf("output is %s, want %s", got, want)
	}
}
