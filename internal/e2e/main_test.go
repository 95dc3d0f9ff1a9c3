// Package e2e tests Carnation the way its users meet it: the real templates, state machines and binaries on a local AWS,
// with the carnation command and the make targets.
//
// A test has a local AWS to itself. newStack(t) takes one, creates a stack there, and deletes it when the test ends:
//
//	func TestRetryInsertsTheFailedEvents(t *testing.T) {
//		t.Parallel()
//		s := newStack(t)
//		s.execute(t, `{"start_seq":1,"end_seq":5,"failure_rate":1}`)
//		...
//
// A test that makes its own stacks takes the local AWS alone: newCloud(t). The tests build nothing that is in build/, except in build/e2e
// and an empty folder, and none of them changes a file there; a test that runs make does so in a copy of the project: cloud.newProject(t).
package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/localaws"
	"carnation/internal/localaws/moto"
)

const (
	root = "../.."
	// patience is how long anything may take that a test waits for. A busy machine is slow, so a test fails by what it sees,
	// and by time only where something hangs.
	patience = 10 * time.Minute
	// buildTime is how long the build before all tests may take, with empty caches on a busy machine.
	buildTime = 20 * time.Minute
)

// awsCommands runs the aws commands.
var awsCommands awsServer

// preloaded starts the local AWSs of the tests. Each of them has what makeKeyAndBucket and upload made in it.
var preloaded *localaws.Preloaded

// keyID is the id of the KMS key.
var keyID string

// carnation is the path of the built command.
var carnation = absolute("build/carnation")

func absolute(path string) string {
	absolute, err := filepath.Abs(filepath.Join(root, path))
	if err != nil {
		panic(err) // there is no working directory
	}
	return absolute
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	closeBrowser()
	err := errors.Join(clouds.close(), awsCommands.stop())
	if preloaded != nil {
		err = errors.Join(err, preloaded.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// Other programs do most of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestRunsEachTime(t *testing.T) { t.Log(os.Getenv("CARNATION_TEST_RUN")) }

// prepare builds what the tests use, and starts the first local AWS, so that what is missing is said once and not by every test.
func prepare() error {
	if testing.Short() {
		return nil // without a local AWS
	}
	// Tests wait most of their time, so many of them run at once. Each has a local AWS, so that memory sets a limit, too. On two
	// processors, with 8 at once some wait for each other at the end, while the processors are idle.
	parallel := strconv.Itoa(min(6*runtime.GOMAXPROCS(0), 16))
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "test.parallel" {
			parallel = f.Value.String()
		}
	})
	if err := flag.Set("test.parallel", parallel); err != nil {
		return err
	}
	installed, err := exec.LookPath("aws")
	if err != nil {
		return errors.New("there is no aws on PATH; run: scripts/python-tools go test ./..., or without a local AWS: go test -short ./...")
	}
	for name, value := range hostEnvironment {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if preloaded, err = localaws.Preload(moto.Python(root)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := makeKeyAndBucket(); err != nil {
			return fmt.Errorf("%w; then: scripts/python-tools go test ./..., or without a local AWS: go test -short ./...", err)
		}
		return nil
	})
	group.Go(func() (err error) {
		awsCommands, err = startAWSServer(installed)
		return err
	})
	group.Go(func() error {
		build := exec.CommandContext(ctx, "make", "--no-print-directory", "build", "package", "ARCH="+arch())
		build.Dir, build.Env = root, environment("AWS_ENDPOINT_URL=http://127.0.0.1") // for a local AWS, wherever it will be
		build.Cancel = func() error { return build.Process.Signal(syscall.SIGTERM) }  // make passes it on
		build.WaitDelay = 5 * time.Second
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("make build package: %w\n%s", err, out)
		}
		return nil
	})
	if err = group.Wait(); err == nil {
		err = os.MkdirAll(absolute("build/"+arch()+"/s3-left/cft"), 0o755) // a demo that is killed leaves one; no test may fail because of it
	}
	if err == nil {
		err = upload()
	}
	if err == nil {
		err = useEverythingOnce()
	}
	if err != nil {
		err = errors.Join(err, awsCommands.stop())
	}
	return err
}

// makeKeyAndBucket makes the key and the bucket that a deployment needs.
func makeKeyAndBucket() error {
	var made struct{ KeyMetadata struct{ KeyId string } }
	policy := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}]}`
	if err := preloaded.Call("kms", "create_key", map[string]any{"Policy": policy}, &made); err != nil {
		return err
	}
	keyID = made.KeyMetadata.KeyId
	place := map[string]any{"LocationConstraint": localaws.Region}
	return preloaded.Call("s3", "create_bucket", map[string]any{"Bucket": bucket, "CreateBucketConfiguration": place}, nil)
}

// upload puts the templates and what make package built into the bucket.
func upload() error {
	for _, from := range []string{"cft/*.yaml", "cft/nested-stacks/*.yaml", "state-machine/*.asl.json", "build/" + arch() + "/*.zip"} {
		files, err := filepath.Glob(absolute(from))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("upload %s: %d files: %w", from, len(files), err)
		}
		for _, file := range files {
			key := filepath.Base(file)
			if strings.HasPrefix(from, "cft/") {
				key = strings.TrimPrefix(filepath.ToSlash(file), absolute("")+"/")
			}
			if err := preloaded.Call("s3", "upload_file", map[string]any{"Filename": file, "Bucket": bucket, "Key": key}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// useEverythingOnce creates and deletes a stack in each mode. Much of moto is slow the first time only: this way, in one process and not in
// each of its copies. What is wrong with the templates is for the tests to say.
func useEverythingOnce() error {
	const stack = "used-once"
	for _, mode := range []string{"INLINE", "DISTRIBUTED"} {
		if err := preloaded.Call("cloudformation", "create_stack", map[string]any{
			"StackName":    stack,
			"TemplateURL":  rootTemplate,
			"Capabilities": []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
			"Parameters":   stackParameters(slices.Concat(code, []string{"ProjectName=used", "MapMode=" + mode})),
		}, nil); err != nil {
			return err
		}
		if err := preloaded.Call("cloudformation", "delete_stack", map[string]any{"StackName": stack}, nil); err != nil {
			return err
		}
	}
	return nil
}

var building sync.Mutex

// buildProgram builds a program of testdata, and returns its path. Go does not link it again if nothing has changed since the last time.
func buildProgram(name string) (string, error) {
	building.Lock()
	defer building.Unlock()
	path := absolute("build/e2e/" + name)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, "./testdata/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	return path, nil
}

// buildZip is the zip of a function of testdata.
func buildZip(t testing.TB, name string) []byte {
	t.Helper()
	path, err := buildProgram(name)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	writer := zip.NewWriter(&content)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	header.SetMode(0o755)
	file, err := writer.CreateHeader(header)
	if err == nil {
		_, err = file.Write(program)
	}
	if err := errors.Join(err, writer.Close()); err != nil {
		t.Fatal(err)
	}
	return content.Bytes()
}

// hostEnvironment is in the environment of this process, in which the local AWS runs, as if a shell had set it. Functions must see
// nothing of it: their own variables have other values.
var hostEnvironment = map[string]string{
	"TABLE_NAME": "users", "ENVIRONMENT": "test", "PROJECT_NAME": "host", "RETRY_QUEUE_URL": "http://127.0.0.1:1/queue",
	"FAILURE_INJECTION": "disabled", "MAP_MAX_CONCURRENCY": "none", "SHARD_SIZE": "1", "TZ": "Asia/Tokyo",
}

// arch is the LambdaArchitecture of functions that run on this machine.
func arch() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x86_64"
}

// bucket has the templates and the code, in each local AWS.
const bucket = "carnation-e2e"

// rootTemplate is the URL of the root template in the bucket.
var rootTemplate = fmt.Sprintf("https://%s.s3.%s.amazonaws.com/cft/carnation-root-stack.yaml", bucket, localaws.Region)

// code is the parameters that name what upload puts into the bucket.
var code = []string{
	"TemplatesFolder=cft",
	"GenerateDataS3Key=generate-data.zip",
	"InsertDataS3Key=insert-data.zip",
	"PlanShardsS3Key=plan-shards.zip",
	"StateMachineS3Key=carnation-state-machine.asl.json",
	"DistributedStateMachineS3Key=carnation-distributed.asl.json",
}

// cloud is a local AWS.
type cloud struct {
	endpoint       *localaws.Endpoint
	config         aws.Config
	cloudformation *cloudformation.Client

	mu     sync.Mutex
	calls  map[localaws.Call]int // how often each was made, without its status and duration
	failed []failedCall
}

// newCloud is a local AWS that this test has to itself until it ends.
func newCloud(t testing.TB) *cloud {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a local AWS, and this is go test -short")
	}
	c, err := clouds.take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clouds.giveBack(c, !t.Failed()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// startCloud starts a local AWS.
func startCloud() (_ *cloud, err error) {
	c := &cloud{calls: map[localaws.Call]int{}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.endpoint, err = localaws.Start(ctx, localaws.Options{Preloaded: preloaded, OnCall: func(call localaws.Call) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call.Fault == "" && (call.Status < 200 || call.Status >= 400) {
			c.failed = append(c.failed, failedCall{time.Now(), call})
		}
		call.Status, call.Duration = 0, 0
		c.calls[call]++
	}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.endpoint.Close())
		}
	}()
	c.config, err = config.LoadDefaultConfig(ctx, config.WithRegion(localaws.Region), config.WithBaseEndpoint(c.endpoint.URL),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "local", "")),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { // longer than an outage on purpose
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 20, time.Second, ratelimit.None
			})
		}))
	if err != nil {
		return nil, err
	}
	c.cloudformation = cloudformation.NewFromConfig(c.config)
	return c, nil
}

// put puts an object into the bucket.
func (c *cloud) put(key string, content []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, c.endpoint.URL+"/"+bucket+"/"+key, bytes.NewReader(content))
	if err != nil {
		return err
	}
	keys, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	request.Header.Set("X-Amz-Content-Sha256", unsigned)
	if err := v4.NewSigner().SignHTTP(ctx, keys, request, unsigned, "s3", localaws.Region, time.Now()); err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("put %s: %s", key, response.Status)
	}
	return nil
}

// clouds is the local AWSs that no test has at the moment. There are about as many as tests that run at once.
var clouds pool

type pool struct {
	mu       sync.Mutex
	free     []*cloud
	starting sync.Mutex // one starts at a time, or each would take the time of all
}

func (p *pool) take() (*cloud, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	p.starting.Lock()
	defer p.starting.Unlock()
	return startCloud()
}

// giveBack keeps a local AWS for the next test, unless it is not as that test expects it: after a test that failed or left a stack.
func (p *pool) giveBack(c *cloud, reuse bool) error {
	if reuse {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stacks, err := c.cloudformation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{})
		reuse = err == nil && len(stacks.Stacks) == 0
	}
	if !reuse {
		return c.endpoint.Close()
	}
	if err := c.endpoint.SetFaults(localaws.Faults{}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
	return nil
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, c := range p.free {
		errs = append(errs, c.endpoint.Close())
	}
	return errors.Join(errs...)
}

// setFaults has the local AWS fail as the rules say, or work again without any.
func (c *cloud) setFaults(t testing.TB, rules ...localaws.Rule) {
	t.Helper()
	if err := c.endpoint.SetFaults(localaws.Faults{Seed: 1, Rules: rules}); err != nil {
		t.Fatal(err)
	}
}

// recorded is the calls so far, and how often each was made.
func (c *cloud) recorded() map[localaws.Call]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.calls)
}

// count is how many of the calls so far are of an operation, and, of invocations, of a function whose name contains a part.
func (c *cloud) count(operation, function string) (n int) {
	for call, times := range c.recorded() {
		if call.Operation == operation && strings.Contains(call.Function, function) {
			n += times
		}
	}
	return n
}

// atOnce runs subtests at the same time, in the turn of their test. With t.Parallel they would wait until every other test has begun, and
// those that take long would end last, alone.
func atOnce(t *testing.T, names []string, test func(t *testing.T, name string)) {
	t.Helper()
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() { t.Run(name, func(t *testing.T) { test(t, name) }) })
	}
	group.Wait()
}

// result of a command.
type result struct {
	stdout, stderr string
	code           int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
}

// environment is this process's, without what make set for itself, and with more.
func environment(more ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, ok := hostEnvironment[name]; ok || localaws.Misleads(name) {
			continue
		}
		switch name {
		case "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "STACK_NAME", "PREFIX", "DEPLOY_TIMEOUT", "YES", "BUCKET", "KMS_KEY_ID",
			"KEY_ADMINISTRATOR_ROLE_ARN", "SERVICE_ROLE_ARN", "TAGS":
		default:
			env = append(env, entry)
		}
	}
	return append(env, more...)
}

// environment is this process's with the local AWS in it.
func (c *cloud) environment(more ...string) []string {
	return environment(slices.Concat([]string{"AWS_PAGER="}, awsCommands.environment(), c.endpoint.Environment(), more)...)
}

// command runs a command in the project's folder.
func (c *cloud) command(extra []string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if args[0] == "aws" && awsCommands.process != nil { // exec looks on the PATH of this process, not on that of the command
		cmd = exec.CommandContext(ctx, filepath.Join(awsCommands.dir, "aws"), args[1:]...)
	}
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

// run runs a command that must succeed, in the project's folder, and returns what it prints.
func (c *cloud) run(t testing.TB, args ...string) string {
	t.Helper()
	out := c.command(nil, args...)
	if out.code != 0 {
		t.Fatalf("%v: %s", args, out)
	}
	return strings.TrimSpace(out.stdout)
}

// waitFor returns once done says so. It asks often at first, and then twice a second.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	wait := 25 * time.Millisecond
	for deadline := time.Now().Add(patience); !done(); wait = min(2*wait, 500*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		time.Sleep(wait)
	}
}

// deployed is a stack with clients for its parts.
type deployed struct {
	*cloud
	name    string
	outputs map[string]string
	sfn     *sfn.Client
	sqs     *sqs.Client
	table   *dynamodb.Client
	lambda  *lambda.Client
}

// newStack creates a stack in a local AWS, which no other test has, until the test ends.
func newStack(t testing.TB, parameters ...string) *deployed {
	t.Helper()
	return newCloud(t).newStack(t, parameters...)
}

// newStack creates a stack until the test ends. Its name is what its ProjectName and Environment make it.
func (c *cloud) newStack(t testing.TB, parameters ...string) *deployed {
	t.Helper()
	parameters = slices.Concat(code, parameters)
	project, environment := "carnation", "devl"
	for _, p := range parameters {
		if value, ok := strings.CutPrefix(p, "ProjectName="); ok {
			project = value
		}
		if value, ok := strings.CutPrefix(p, "Environment="); ok {
			environment = value
		}
	}
	begun := time.Now()
	d, err := c.createStack(project+"-"+environment, parameters...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			d.explain(t, begun)
		}
		d.deleteStack(t, d.name)
	})
	return d
}

// deleteStack deletes a stack, if there is one of this name, and waits until it is gone.
func (c *cloud) deleteStack(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.cloudformation.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: aws.String(name)}); err != nil {
		t.Fatal(err)
	}
	if left, err := c.settled(ctx, name); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("stack %s is %s (%s), want it deleted: %v", name, left.StackStatus, aws.ToString(left.StackStatusReason), err)
	}
}

// createStack creates a stack of the root template, and waits until it is complete.
func (c *cloud) createStack(name string, parameters ...string) (*deployed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	made, err := c.create(ctx, &cloudformation.CreateStackInput{
		StackName:    aws.String(name),
		TemplateURL:  aws.String(rootTemplate),
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
		Parameters:   stackParameters(parameters),
	})
	if err != nil {
		return nil, err
	}
	return &deployed{
		cloud: c, name: name, outputs: outputs(made),
		sfn: sfn.NewFromConfig(c.config), sqs: sqs.NewFromConfig(c.config), table: dynamodb.NewFromConfig(c.config), lambda: lambda.NewFromConfig(c.config),
	}, nil
}

// stackParameters is those of a stack, with those that are given as Name=Value.
func stackParameters(given []string) (list []cfntypes.Parameter) {
	for _, p := range slices.Concat([]string{"CodeRepositoryS3Bucket=" + bucket, "KmsMasterKeyId=" + keyID, "LambdaArchitecture=" + arch()}, given) {
		name, value, _ := strings.Cut(p, "=")
		list = append(list, cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	return list
}

func (c *cloud) create(ctx context.Context, in *cloudformation.CreateStackInput) (cfntypes.Stack, error) {
	if _, err := c.cloudformation.CreateStack(ctx, in); err != nil {
		return cfntypes.Stack{}, err
	}
	made, err := c.settled(ctx, *in.StackName)
	if err == nil && made.StackStatus != cfntypes.StackStatusCreateComplete {
		err = fmt.Errorf("stack %s is %s: %s", *in.StackName, made.StackStatus, aws.ToString(made.StackStatusReason))
	}
	return made, err
}

// settled is a stack once nothing is under way.
func (c *cloud) settled(ctx context.Context, name string) (cfntypes.Stack, error) {
	for {
		out, err := c.cloudformation.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
		if err != nil {
			return cfntypes.Stack{}, err
		}
		if stack := out.Stacks[0]; !strings.HasSuffix(string(stack.StackStatus), "_IN_PROGRESS") {
			return stack, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func outputs(stack cfntypes.Stack) map[string]string {
	values := map[string]string{}
	for _, o := range stack.Outputs {
		values[*o.OutputKey] = *o.OutputValue
	}
	return values
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
	var out *sfn.DescribeExecutionOutput
	waitFor(t, "execution "+arn+" to end", func() bool {
		var err error
		if out, err = d.sfn.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			t.Fatal(err)
		}
		return out.Status != sfntypes.ExecutionStatusRunning
	})
	return out
}

// execute runs an execution to its end.
func (d *deployed) execute(t testing.TB, input string) *sfn.DescribeExecutionOutput {
	t.Helper()
	return d.wait(t, d.start(t, input))
}

// redrive redrives an execution and waits for it to end again.
func (d *deployed) redrive(t testing.TB, arn string) *sfn.DescribeExecutionOutput {
	t.Helper()
	if _, err := d.sfn.RedriveExecution(t.Context(), &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		t.Fatal(err)
	}
	return d.wait(t, arn)
}

// logs is all that a function has logged.
func (d *deployed) logs(t testing.TB, function string) string {
	t.Helper()
	var lines []string
	for _, e := range d.logEvents(t, function, time.Unix(0, 0)) {
		lines = append(lines, *e.Message)
	}
	return strings.Join(lines, "\n")
}

// logEvents is the lines that a function has logged since a time.
func (d *deployed) logEvents(t testing.TB, function string, since time.Time) []logtypes.FilteredLogEvent {
	t.Helper()
	events, err := d.readLog(t.Context(), function, since)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// readLog returns the lines that a function has logged since a time. With an error, it returns those that it has read before.
func (d *deployed) readLog(ctx context.Context, function string, since time.Time) (events []logtypes.FilteredLogEvent, err error) {
	project, environment, _ := strings.Cut(d.name, "-")
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(cloudwatchlogs.NewFromConfig(d.config), &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(fmt.Sprintf("/aws/lambda/%s-%s-%s-%s", project, function, environment, localaws.Region)),
		StartTime:    aws.Int64(since.UnixMilli()),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return events, err
		}
		events = append(events, page.Events...)
	}
	return events, nil
}

// answered is what an execution's generate-data answered, from the history.
func (d *deployed) answered(t testing.TB, arn string) generate.Answer {
	t.Helper()
	out, err := d.sfn.GetExecutionHistory(t.Context(), &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 25})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Events {
		if e.Type == sfntypes.HistoryEventTypeTaskSucceeded {
			var output struct{ Payload generate.Answer }
			if err := json.Unmarshal([]byte(*e.TaskSucceededEventDetails.Output), &output); err != nil {
				t.Fatal(err)
			}
			return output.Payload
		}
	}
	t.Fatalf("generate-data of %s did not answer", arn)
	return generate.Answer{}
}

// generated is the new events of an execution.
func (d *deployed) generated(t testing.TB, arn string) (events []event.Event) {
	t.Helper()
	for _, item := range d.answered(t, arn).Items {
		if item.ReceiptHandle == "" {
			events = append(events, item.Event)
		}
	}
	return events
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

// expectEventsFailed checks that a run failed because of its events, and for no other reason.
func expectEventsFailed(t testing.TB, out *sfn.DescribeExecutionOutput) {
	t.Helper()
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if got, want := aws.ToString(out.Error), "Carnation.EventsFailed"; got != want {
		t.Fatalf("execution failed with %s (%s), want %s", got, aws.ToString(out.Cause), want)
	}
}
