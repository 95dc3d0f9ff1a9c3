// Package e2e tests Carnation as its users meet it: the real templates, state machine file and binaries, created with
// the aws command on a local AWS, and the carnation command and the make targets beside it.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
	"carnation/internal/localaws"
)

const (
	root   = "../.."
	bucket = "carnation-e2e"
	// stackName is of the stack that most tests share. Each leaves its queues empty.
	stackName = "carnation-devl"
)

var (
	endpoint  *localaws.Endpoint
	keyID     string
	carnation string // path of the built command
	shared    *deployed

	callsMu sync.Mutex
	calls   = map[localaws.Call]int{} // without status and duration
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	ctx := context.Background()
	endpoint, err = localaws.Start(ctx, localaws.Options{Python: os.Getenv("CARNATION_PYTHON"), OnCall: func(c localaws.Call) {
		c.Status, c.Duration = 0, 0
		callsMu.Lock()
		defer callsMu.Unlock()
		calls[c]++
	}})
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := endpoint.Close(); err == nil {
			err = closeErr
		}
	}()
	if carnation, err = filepath.Abs(filepath.Join(root, "build/carnation")); err != nil {
		return 1, err
	}
	steps := [][]string{
		{"make", "--no-print-directory", "build", "package"},
		{"aws", "s3", "mb", "s3://" + bucket},
	}
	for _, step := range steps {
		if out := command(nil, step...); out.code != 0 {
			return 1, fmt.Errorf("%v: %s", step, out)
		}
	}
	key := command(nil, "aws", "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
	keyID = strings.TrimSpace(key.stdout)
	if out := command([]string{"BUCKET=" + bucket}, "make", "--no-print-directory", "upload"); out.code != 0 {
		return 1, fmt.Errorf("make upload: %s", out)
	}
	if shared, err = createStack(stackName, uploadedCode()...); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// result of a command.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
}

// environment is this process's with the local AWS in it, without what make set for itself.
func environment(extra ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "STACK_NAME", "PREFIX", "DEPLOY_TIMEOUT", "BUCKET", "KMS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN":
		default:
			env = append(env, entry)
		}
	}
	env = append(env, "AWS_PAGER=")
	if endpoint != nil {
		env = append(env, endpoint.Environment()...)
	}
	return append(env, extra...)
}

// command runs a command in the project's folder, at most three minutes.
func command(extra []string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = root
	cmd.Env = environment(extra...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return result{stderr: err.Error(), code: -1}
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// run is command for what must succeed.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out := command(nil, args...)
	if out.code != 0 {
		t.Fatalf("%v: %s", args, out)
	}
	return strings.TrimSpace(out.stdout)
}

// arch is what LambdaArchitecture has to be for functions to run here.
func arch() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// uploadedCode is the parameters that name what make upload copied.
func uploadedCode() []string {
	out := command(nil, "aws", "s3api", "list-objects-v2", "--bucket", bucket, "--prefix", "carnation/code/", "--query", "Contents[].Key", "--output", "text")
	var parameters []string
	for _, key := range strings.Fields(out.stdout) {
		for part, name := range map[string]string{
			"/generate-data-": "GenerateDataS3Key", "/insert-data-": "InsertDataS3Key", "/carnation-state-machine-": "StateMachineS3Key",
		} {
			if strings.Contains(key, part) {
				parameters = append(parameters, name+"="+key)
			}
		}
	}
	return parameters
}

// deployed is a stack with clients for its parts.
type deployed struct {
	outputs map[string]string
	sfn     *sfn.Client
	sqs     *sqs.Client
	table   *dynamodb.Client
}

func parameterFlags(parameters []string) []string {
	var flags []string
	for _, p := range append([]string{"CodeRepositoryS3Bucket=" + bucket, "KmsMasterKeyId=" + keyID, "LambdaArchitecture=" + arch()}, parameters...) {
		name, value, _ := strings.Cut(p, "=")
		flags = append(flags, "ParameterKey="+name+",ParameterValue="+value)
	}
	return flags
}

// createStack does what the README says to do by hand.
func createStack(name string, parameters ...string) (*deployed, error) {
	create := append([]string{"aws", "cloudformation", "create-stack", "--stack-name", name,
		"--template-url", fmt.Sprintf("https://%s.s3.%s.amazonaws.com/carnation/cft/carnation-root-stack.yaml", bucket, localaws.Region),
		"--capabilities", "CAPABILITY_NAMED_IAM", "--parameters"}, parameterFlags(parameters)...)
	for _, args := range [][]string{create, {"aws", "cloudformation", "wait", "stack-create-complete", "--stack-name", name}} {
		if out := command(nil, args...); out.code != 0 {
			return nil, fmt.Errorf("%v: %s", args, out)
		}
	}
	out := command(nil, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].Outputs", "--output", "json")
	var outputs []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal([]byte(out.stdout), &outputs); err != nil {
		return nil, fmt.Errorf("outputs of %s: %s", name, out)
	}
	d := &deployed{outputs: map[string]string{}}
	for _, o := range outputs {
		d.outputs[o.OutputKey] = o.OutputValue
	}
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(localaws.Region), config.WithBaseEndpoint(endpoint.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "local", "")))
	if err != nil {
		return nil, err
	}
	d.sfn, d.sqs, d.table = sfn.NewFromConfig(cfg), sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	return d, nil
}

// start starts an execution.
func (d *deployed) start(t *testing.T, input string) string {
	t.Helper()
	out, err := d.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(d.outputs["StateMachineArn"]), Input: aws.String(input)})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ExecutionArn
}

// wait waits for an execution to end.
func (d *deployed) wait(t *testing.T, arn string) *sfn.DescribeExecutionOutput {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		out, err := d.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil {
			t.Fatal(err)
		}
		if out.Status != sfntypes.ExecutionStatusRunning {
			return out
		}
	}
	t.Fatalf("execution %s did not end within two minutes", arn)
	return nil
}

// execute runs an execution to its end.
func (d *deployed) execute(t *testing.T, input string) *sfn.DescribeExecutionOutput {
	t.Helper()
	return d.wait(t, d.start(t, input))
}

// generated is the new events that an execution's generate-data answered, from the history.
func (d *deployed) generated(t *testing.T, arn string) []event.Event {
	t.Helper()
	out, err := d.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 25})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events {
		if e.Type == sfntypes.HistoryEventTypeTaskSucceeded {
			var output struct{ Payload struct{ Items []event.Item } }
			if err := json.Unmarshal([]byte(*e.TaskSucceededEventDetails.Output), &output); err != nil {
				t.Fatal(err)
			}
			var events []event.Event
			for _, item := range output.Payload.Items {
				if item.ReceiptHandle == "" {
					events = append(events, item.Event)
				}
			}
			return events
		}
	}
	t.Fatalf("generate-data of %s did not answer", arn)
	return nil
}

// row of the table.
type row struct {
	SequenceNo        int64  `dynamodbav:"sequenceNo"`
	GeneratedUnixTime int64  `dynamodbav:"generatedUnixTime"`
	RandomStringValue string `dynamodbav:"randomStringValue"`
	CreatedUnixTime   int64  `dynamodbav:"createdUnixTime"`
	UpdatedUnixTime   int64  `dynamodbav:"updatedUnixTime"`
	RetryAttempt      int    `dynamodbav:"retryAttempt"`
}

// rows is the rows whose sequence number is in a half-open range, by sequence number.
func (d *deployed) rows(t *testing.T, start, end int64) map[int64][]row {
	t.Helper()
	found := map[int64][]row{}
	pages := dynamodb.NewScanPaginator(d.table, &dynamodb.ScanInput{TableName: aws.String(d.outputs["TableName"]), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var rows []row
		if err := attributevalue.UnmarshalListOfMaps(page.Items, &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if start <= r.SequenceNo && r.SequenceNo < end {
				found[r.SequenceNo] = append(found[r.SequenceNo], r)
			}
		}
	}
	return found
}

// expectInserted checks that each event is exactly one row with its content.
func (d *deployed) expectInserted(t *testing.T, start, end int64, events []event.Event) {
	t.Helper()
	found := d.rows(t, start, end)
	for _, e := range events {
		rows := found[e.SequenceNo]
		if len(rows) != 1 {
			t.Errorf("event %d has %d rows, want 1", e.SequenceNo, len(rows))
			continue
		}
		r := rows[0]
		if r.RandomStringValue != e.RandomValue || r.GeneratedUnixTime != e.CurrentTime || r.CreatedUnixTime < e.CurrentTime || r.UpdatedUnixTime < r.CreatedUnixTime {
			t.Errorf("row of event %+v is %+v", e, r)
		}
	}
	if len(found) != len(events) {
		t.Errorf("the table has %d events of %d to %d, want %d", len(found), start, end, len(events))
	}
}

// queue is the messages waiting and in flight.
func (d *deployed) queue(t *testing.T, output string) (waiting, inFlight int) {
	t.Helper()
	out, err := d.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(d.outputs[output]), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]*int{"ApproximateNumberOfMessages": &waiting, "ApproximateNumberOfMessagesNotVisible": &inFlight} {
		if *n, err = strconv.Atoi(out.Attributes[name]); err != nil {
			t.Fatal(err)
		}
	}
	return waiting, inFlight
}

func (d *deployed) expectQueue(t *testing.T, output string, wantWaiting, wantInFlight int) {
	t.Helper()
	if waiting, inFlight := d.queue(t, output); waiting != wantWaiting || inFlight != wantInFlight {
		t.Errorf("%s has %d messages waiting and %d in flight, want %d and %d", output, waiting, inFlight, wantWaiting, wantInFlight)
	}
}

// takeAll receives and deletes all messages that are waiting.
func (d *deployed) takeAll(t *testing.T, output string) []sqstypes.Message {
	t.Helper()
	var all []sqstypes.Message
	for {
		out, err := d.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(d.outputs[output]), MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		for _, m := range out.Messages {
			if _, err := d.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: aws.String(d.outputs[output]), ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, out.Messages...)
	}
}

func expectStatus(t *testing.T, out *sfn.DescribeExecutionOutput, want sfntypes.ExecutionStatus) {
	t.Helper()
	if out.Status != want {
		t.Fatalf("execution is %s (%s: %s), want %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), want)
	}
}
