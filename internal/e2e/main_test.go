// Package e2e tests Carnation as its users meet it: the real templates, state machine file and binaries, created with
// the aws command on a local AWS, and the carnation command and the make targets beside it.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
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
	local     *cloud    // the local AWS that most tests share
	shared    *deployed // the stack there that most tests share
	carnation string    // path of the built command

	callsMu sync.Mutex
	calls   = map[localaws.Call]int{} // to the shared local AWS, without status and duration
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if carnation, err = filepath.Abs(filepath.Join(root, "build/carnation")); err != nil {
		return 1, err
	}
	local, err = newCloud(func(c localaws.Call) {
		c.Status, c.Duration = 0, 0
		callsMu.Lock()
		defer callsMu.Unlock()
		calls[c]++
	})
	if err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := local.endpoint.Close(); err == nil {
			err = closeErr
		}
	}()
	if shared, err = local.createStack(stackName, local.code...); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// cloud is a local AWS with a key, and a bucket that has the templates and the code.
type cloud struct {
	endpoint  *localaws.Endpoint
	keyID     string
	templates string   // folder in the bucket
	code      []string // parameters that name what make upload copied
}

// newCloud starts a local AWS and uploads what is built now. The caller closes its endpoint.
func newCloud(onCall func(localaws.Call)) (_ *cloud, err error) {
	c := &cloud{}
	c.endpoint, err = localaws.Start(context.Background(), localaws.Options{Python: os.Getenv("CARNATION_PYTHON"), OnCall: onCall})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.endpoint.Close())
		}
	}()
	return c, c.upload()
}

// One uploads at a time: they share the folder that make builds in.
var uploading sync.Mutex

// upload builds, and makes the key and the bucket with what is built.
func (c *cloud) upload() error {
	uploading.Lock()
	defer uploading.Unlock()
	for _, step := range [][]string{
		{"make", "--no-print-directory", "build"},
		{"aws", "s3", "mb", "s3://" + bucket},
	} {
		if out := c.command(nil, step...); out.code != 0 {
			return fmt.Errorf("%v: %s", step, out)
		}
	}
	key := c.command(nil, "aws", "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
	c.keyID = strings.TrimSpace(key.stdout)
	upload := c.command(nil, "make", "--no-print-directory", "upload", "BUCKET="+bucket, "KMS_KEY_ID="+c.keyID)
	for _, line := range strings.Fields(upload.stdout) {
		if folder, found := strings.CutPrefix(line, "TemplatesFolder="); found {
			c.templates = folder
		}
		if strings.Contains(line, "=carnation/") {
			c.code = append(c.code, line)
		}
	}
	if c.keyID == "" || c.templates == "" || len(c.code) != 6 {
		return fmt.Errorf("create-key: %s; make upload: %s", key, upload)
	}
	return nil
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
func (c *cloud) environment(extra ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "STACK_NAME", "PREFIX", "DEPLOY_TIMEOUT", "YES", "BUCKET", "KMS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN":
		default:
			env = append(env, entry)
		}
	}
	return slices.Concat(env, []string{"AWS_PAGER="}, c.endpoint.Environment(), extra)
}

// command runs a command in the project's folder, at most three minutes.
func (c *cloud) command(extra []string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = root
	cmd.Env = c.environment(extra...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return result{stderr: err.Error(), code: -1}
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// run runs a command that must succeed on the shared local AWS.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out := local.command(nil, args...)
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

// deployed is a stack with clients for its parts.
type deployed struct {
	outputs map[string]string
	sfn     *sfn.Client
	sqs     *sqs.Client
	table   *dynamodb.Client
	keys    aws.CredentialsProvider
}

func (c *cloud) parameterFlags(parameters []string) []string {
	var flags []string
	for _, p := range append([]string{"CodeRepositoryS3Bucket=" + bucket, "KmsMasterKeyId=" + c.keyID, "LambdaArchitecture=" + arch()}, parameters...) {
		name, value, _ := strings.Cut(p, "=")
		flags = append(flags, "ParameterKey="+name+",ParameterValue="+value)
	}
	return flags
}

// createStack does what the README says to do by hand.
func (c *cloud) createStack(name string, parameters ...string) (*deployed, error) {
	create := append([]string{"aws", "cloudformation", "create-stack", "--stack-name", name,
		"--template-url", fmt.Sprintf("https://%s.s3.%s.amazonaws.com/%s/carnation-root-stack.yaml", bucket, localaws.Region, c.templates),
		"--capabilities", "CAPABILITY_NAMED_IAM", "--parameters"}, c.parameterFlags(parameters)...)
	for _, args := range [][]string{create, {"aws", "cloudformation", "wait", "stack-create-complete", "--stack-name", name}} {
		if out := c.command(nil, args...); out.code != 0 {
			return nil, fmt.Errorf("%v: %s", args, out)
		}
	}
	out := c.command(nil, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].Outputs", "--output", "json")
	var outputs []struct{ OutputKey, OutputValue string }
	if err := json.Unmarshal([]byte(out.stdout), &outputs); err != nil {
		return nil, fmt.Errorf("outputs of %s: %s", name, out)
	}
	d := &deployed{outputs: map[string]string{}}
	for _, o := range outputs {
		d.outputs[o.OutputKey] = o.OutputValue
	}
	d.keys = credentials.NewStaticCredentialsProvider("test", "local", "")
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(localaws.Region), config.WithBaseEndpoint(c.endpoint.URL),
		config.WithCredentialsProvider(d.keys), config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { // longer than an outage on purpose
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 20, time.Second, ratelimit.None
			})
		}))
	if err != nil {
		return nil, err
	}
	d.sfn, d.sqs, d.table = sfn.NewFromConfig(cfg), sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg)
	return d, nil
}

// start starts an execution.
func (d *deployed) start(t testing.TB, input string) string {
	t.Helper()
	out, err := d.sfn.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: aws.String(d.outputs["StateMachineArn"]), Input: aws.String(input)})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ExecutionArn
}

// wait waits for an execution to end.
func (d *deployed) wait(t testing.TB, arn string) *sfn.DescribeExecutionOutput {
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

// setFaults has the shared local AWS fail as the rules say, or work again without any: at the latest when the test ends.
func setFaults(t *testing.T, rules ...localaws.Rule) {
	t.Helper()
	if err := local.endpoint.SetFaults(localaws.Faults{Seed: 1, Rules: rules}); err != nil {
		t.Fatal(err)
	}
	if len(rules) > 0 {
		t.Cleanup(func() { setFaults(t) })
	}
}

// execute runs an execution to its end.
func (d *deployed) execute(t testing.TB, input string) *sfn.DescribeExecutionOutput {
	t.Helper()
	return d.wait(t, d.start(t, input))
}

// generated is the new events that an execution's generate-data answered, from the history.
func (d *deployed) generated(t testing.TB, arn string) []event.Event {
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
func (d *deployed) rows(t testing.TB, start, end int64) map[int64][]row {
	t.Helper()
	found, err := d.scan(t.Context(), start, end)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// scan is rows without a test.
func (d *deployed) scan(ctx context.Context, start, end int64) (map[int64][]row, error) {
	found := map[int64][]row{}
	pages := dynamodb.NewScanPaginator(d.table, &dynamodb.ScanInput{TableName: aws.String(d.outputs["TableName"]), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		var rows []row
		if err := attributevalue.UnmarshalListOfMaps(page.Items, &rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if start <= r.SequenceNo && r.SequenceNo < end {
				found[r.SequenceNo] = append(found[r.SequenceNo], r)
			}
		}
	}
	return found, nil
}

// expectInserted checks that each event is exactly one row with its content.
func (d *deployed) expectInserted(t testing.TB, start, end int64, events []event.Event) {
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

// attribute is a number among a queue's attributes.
func (d *deployed) attribute(ctx context.Context, output string, name sqstypes.QueueAttributeName) (int, error) {
	out, err := d.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(d.outputs[output]), AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out.Attributes[string(name)])
}

// queue is the messages waiting and in flight.
func (d *deployed) queue(t testing.TB, output string) (waiting, inFlight int) {
	t.Helper()
	waiting, err := d.attribute(t.Context(), output, sqstypes.QueueAttributeNameApproximateNumberOfMessages)
	if err != nil {
		t.Fatal(err)
	}
	inFlight, err = d.attribute(t.Context(), output, sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	if err != nil {
		t.Fatal(err)
	}
	return waiting, inFlight
}

func (d *deployed) expectQueue(t testing.TB, output string, wantWaiting, wantInFlight int) {
	t.Helper()
	if waiting, inFlight := d.queue(t, output); waiting != wantWaiting || inFlight != wantInFlight {
		t.Errorf("%s has %d messages waiting and %d in flight, want %d and %d", output, waiting, inFlight, wantWaiting, wantInFlight)
	}
}

// takeAll receives and deletes all messages that are waiting.
func (d *deployed) takeAll(t testing.TB, output string) []sqstypes.Message {
	t.Helper()
	messages, err := d.receiveAll(t.Context(), output)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// receiveAll is takeAll without a test.
func (d *deployed) receiveAll(ctx context.Context, output string) ([]sqstypes.Message, error) {
	var all []sqstypes.Message
	for {
		out, err := d.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(d.outputs[output]), MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}})
		if err != nil || len(out.Messages) == 0 {
			return all, err
		}
		for _, m := range out.Messages {
			if _, err := d.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(d.outputs[output]), ReceiptHandle: m.ReceiptHandle}); err != nil {
				return all, err
			}
		}
		all = append(all, out.Messages...)
	}
}

func expectStatus(t testing.TB, out *sfn.DescribeExecutionOutput, want sfntypes.ExecutionStatus) {
	t.Helper()
	if out.Status != want {
		t.Fatalf("execution is %s (%s: %s), want %s", out.Status, aws.ToString(out.Error), aws.ToString(out.Cause), want)
	}
}
