package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"carnation/internal/localaws/moto"
)

var namedIAM = []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}

// laptop is a local AWS with clients.
type laptop struct {
	*Endpoint
	lambda *lambda.Client
	cfn    *cloudformation.Client
}

// laptops load moto once.
var laptops struct {
	sync.Mutex
	preloaded *Preloaded // nil before the first
}

func TestMain(m *testing.M) {
	code := m.Run()
	if laptops.preloaded != nil {
		if err := laptops.preloaded.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "localaws:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func startLaptop(t *testing.T) *laptop {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts moto")
	}
	laptops.Lock()
	defer laptops.Unlock()
	if laptops.preloaded == nil {
		var err error
		if laptops.preloaded, err = Preload(moto.Python("../..")); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Start(t.Context(), Options{Preloaded: laptops.preloaded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	keys := credentials.NewStaticCredentialsProvider("test", "local", "")
	return &laptop{
		Endpoint: e,
		lambda:   lambda.New(lambda.Options{BaseEndpoint: aws.String(e.URL), Region: Region, Credentials: keys, RetryMaxAttempts: 1}),
		cfn:      cloudformation.New(cloudformation.Options{BaseEndpoint: aws.String(e.URL), Region: Region, Credentials: keys}),
	}
}

// stack creates or updates a stack, and returns its status and its outputs.
func (l *laptop) stack(t *testing.T, name, template string) (string, map[string]string) {
	t.Helper()
	if _, err := l.cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &name, TemplateBody: &template, Capabilities: namedIAM}); err != nil {
		if _, err = l.cfn.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: &name, TemplateBody: &template, Capabilities: namedIAM}); err != nil {
			t.Fatal(err)
		}
	}
	for ; ; time.Sleep(50 * time.Millisecond) {
		out, err := l.cfn.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})
		if err != nil {
			t.Fatal(err)
		}
		stack := out.Stacks[0]
		if strings.HasSuffix(string(stack.StackStatus), "_IN_PROGRESS") {
			continue
		}
		outputs := map[string]string{}
		for _, one := range stack.Outputs {
			outputs[*one.OutputKey] = *one.OutputValue
		}
		return string(stack.StackStatus), outputs
	}
}

// invoke invokes a version and returns what it found, and which version answered.
func (l *laptop) invoke(t *testing.T, name, qualifier, payload string) (answer, string) {
	t.Helper()
	in := &lambda.InvokeInput{FunctionName: &name, Payload: []byte(payload)}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	out, err := l.lambda.Invoke(t.Context(), in)
	if err != nil {
		t.Fatalf("invoke %s %s: %v", name, qualifier, err)
	}
	a := answer{errorHeader: aws.ToString(out.FunctionError)}
	if err := json.Unmarshal(out.Payload, &a.payload); err != nil {
		t.Fatalf("%s: %v", out.Payload, err)
	}
	return a, aws.ToString(out.ExecutedVersion)
}

func expectCode(t *testing.T, what string, err error, want string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestVersionsHaveCodeConfigurationAndCopiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	l := startLaptop(t)
	ctx := t.Context()
	binary, err := buildFunction()
	if err != nil {
		t.Fatalf("build the function: %v\n%s", err, binary)
	}
	_, outputs := l.stack(t, "role", `
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: { Version: '2012-10-17', Statement: [] }
Outputs:
  RoleArn:
    Value: !GetAtt Role.Arn
`)
	name := aws.String("teller")
	greet := func(greeting string) {
		t.Helper()
		if _, err := l.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
			FunctionName: name, Environment: &types.Environment{Variables: map[string]string{"GREETING": greeting}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	publish := func() string {
		t.Helper()
		out, err := l.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name})
		if err != nil {
			t.Fatal(err)
		}
		return *out.Version
	}
	created, err := l.lambda.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: name, Role: aws.String(outputs["RoleArn"]), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		MemorySize: aws.Int32(256), Timeout: aws.Int32(3), Code: &types.FunctionCode{ZipFile: zipped(t, "bootstrap", binary)},
		Environment: &types.Environment{Variables: map[string]string{"GREETING": "one"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if first, again := publish(), publish(); first != "1" || again != "1" {
		t.Errorf("published %s, and without a change %s, want 1 twice", first, again)
	}
	greet("two")
	if second := publish(); second != "2" {
		t.Errorf("after a change, version %s was published, want 2", second)
	}
	greet("three")
	// New code, which cannot run, for $LATEST alone.
	if _, err := l.lambda.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: name, ZipFile: zipped(t, "main.py", nil)}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: name, Name: aws.String("live"), FunctionVersion: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	arn := *created.FunctionArn
	pids := map[string]any{}
	for _, test := range []struct{ name, qualifier, greeting, version, arn string }{
		{"teller", "1", "one", "1", arn + ":1"},
		{"teller", "2", "two", "2", arn + ":2"},
		{"teller:2", "", "two", "2", arn + ":2"},
		{"teller:2", "2", "two", "2", arn + ":2"},
		{arn + ":1", "", "one", "1", arn + ":1"},
		{accountID + ":function:teller:1", "", "one", "1", arn + ":1"},
		{"teller", "live", "one", "1", arn + ":live"},
		{arn + ":live", "", "one", "1", arn + ":live"},
	} {
		a, executed := l.invoke(t, test.name, test.qualifier, `{}`)
		env := a.seen(t)
		if a.payload["greeting"] != test.greeting || executed != test.version || a.payload["arn"] != test.arn || env["AWS_LAMBDA_FUNCTION_VERSION"] != test.version {
			t.Errorf("%s %s: greeting %v, executed version %s, ARN %v, AWS_LAMBDA_FUNCTION_VERSION %s, want %+v", test.name, test.qualifier,
				a.payload["greeting"], executed, a.payload["arn"], env["AWS_LAMBDA_FUNCTION_VERSION"], test)
		}
		if !strings.Contains(env["AWS_LAMBDA_LOG_STREAM_NAME"], "/["+test.version+"]") {
			t.Errorf("%s %s: log stream %s", test.name, test.qualifier, env["AWS_LAMBDA_LOG_STREAM_NAME"])
		}
		if pid := pids[test.version]; pid != nil && pid != a.payload["pid"] {
			t.Errorf("%s %s: the warm copy of version %s was not used", test.name, test.qualifier, test.version)
		}
		pids[test.version] = a.payload["pid"]
	}
	if pids["1"] == pids["2"] {
		t.Error("two versions share a copy")
	}
	for _, qualifier := range []string{"", "$LATEST"} {
		if a, executed := l.invoke(t, "teller", qualifier, `{}`); executed != "$LATEST" || a.payload["errorType"] != "Runtime.InvalidEntrypoint" {
			t.Errorf("$LATEST as %q: version %s answered %v, want the new code, which cannot start", qualifier, executed, a.payload)
		}
	}

	// An alias moves, and then the version can be deleted. Its warm copy ends.
	if _, err := l.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name, Qualifier: aws.String("1")}); err == nil {
		t.Error("a version that an alias names was deleted")
	} else {
		expectCode(t, "delete a version that an alias names", err, "ResourceConflictException")
	}
	moved, err := l.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: name, Name: aws.String("live"), FunctionVersion: aws.String("2")})
	if err != nil || *moved.FunctionVersion != "2" || *moved.AliasArn != arn+":live" {
		t.Errorf("the alias after its update is %+v, %v", moved, err)
	}
	if _, executed := l.invoke(t, "teller", "live", `{}`); executed != "2" {
		t.Errorf("the moved alias runs version %s, want 2", executed)
	}
	if _, err := l.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name, Qualifier: aws.String("1")}); err != nil {
		t.Fatal(err)
	}
	expectEnded(t, pids["1"])
	_, err = l.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: name, Qualifier: aws.String("1")})
	expectCode(t, "invoke a deleted version", err, "ResourceNotFoundException")

	// What does not make sense.
	_, err = l.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("teller:2"), Qualifier: aws.String("live")})
	expectCode(t, "two qualifiers", err, "InvalidParameterValueException")
	_, err = l.lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name, CodeSha256: aws.String("other")})
	expectCode(t, "publish other code", err, "InvalidParameterValueException")
	_, err = l.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("teller:2"), Timeout: aws.Int32(3)})
	expectCode(t, "update a version", err, "InvalidParameterValueException")
	_, err = l.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: name, Name: aws.String("7"), FunctionVersion: aws.String("2")})
	expectCode(t, "an alias with a number for a name", err, "ValidationException")
	_, err = l.lambda.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: name, Name: aws.String("next"), FunctionVersion: aws.String("9")})
	expectCode(t, "an alias of a version that does not exist", err, "InvalidParameterValueException")
	_, err = l.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: name, Name: aws.String("live"), RevisionId: aws.String("old")})
	expectCode(t, "an update of an older alias", err, "PreconditionFailedException")
	_, err = l.lambda.UpdateAlias(ctx, &lambda.UpdateAliasInput{FunctionName: name, Name: aws.String("live"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"2": 0.5}}})
	expectCode(t, "weights", err, "InvalidParameterValueException")
	_, err = l.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name,
		Environment: &types.Environment{Variables: map[string]string{"AWS_REGION": "nowhere"}}})
	expectCode(t, "a reserved variable", err, "InvalidParameterValueException")
	_, err = l.lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: name, Layers: []string{"arn:aws:lambda:eu-central-2:123456789012:layer:l:1"}})
	expectCode(t, "layers", err, "InvalidParameterValueException")

	_, err = l.lambda.CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{FunctionName: name, EventSourceArn: aws.String("arn:aws:sqs:eu-central-2:123456789012:q")})
	expectCode(t, "an event source", err, "UnsupportedOperation")
	_, err = l.lambda.PutFunctionEventInvokeConfig(ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: name, MaximumRetryAttempts: aws.Int32(1)})
	expectCode(t, "retries of asynchronous invocations", err, "UnsupportedOperation")
	_, err = l.lambda.CreateFunctionUrlConfig(ctx, &lambda.CreateFunctionUrlConfigInput{FunctionName: name, AuthType: types.FunctionUrlAuthTypeNone})
	expectCode(t, "a function's URL", err, "UnsupportedOperation")
	_, err = l.lambda.InvokeWithResponseStream(ctx, &lambda.InvokeWithResponseStreamInput{FunctionName: name})
	expectCode(t, "a stream", err, "UnsupportedOperation")
	_, err = l.lambda.PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{FunctionName: name, Qualifier: aws.String("2"), ProvisionedConcurrentExecutions: aws.Int32(1)})
	expectCode(t, "provisioned concurrency", err, "UnsupportedOperation")

	// Numbers are not given twice, and lists are paged.
	greet("four")
	if version := publish(); version != "3" {
		t.Errorf("after a deletion, version %s was published, want 3", version)
	}
	var listed []string
	pages := lambda.NewListVersionsByFunctionPaginator(l.lambda, &lambda.ListVersionsByFunctionInput{FunctionName: created.FunctionArn, MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.Versions {
			listed = append(listed, strings.TrimPrefix(*one.FunctionArn, arn))
		}
	}
	if want := []string{":$LATEST", ":2", ":3"}; !slices.Equal(listed, want) {
		t.Errorf("versions are %v, want %v", listed, want)
	}
	aliases, err := l.lambda.ListAliases(ctx, &lambda.ListAliasesInput{FunctionName: name, FunctionVersion: aws.String("3")})
	if err != nil || len(aliases.Aliases) != 0 {
		t.Errorf("aliases of version 3 are %v, %v, want none", aliases, err)
	}

	// Concurrency is of all versions together.
	if _, err := l.lambda.PutFunctionConcurrency(ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: name, ReservedConcurrentExecutions: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	slow := make(chan error)
	go func() {
		_, err := l.lambda.Invoke(context.WithoutCancel(ctx), &lambda.InvokeInput{FunctionName: name, Qualifier: aws.String("2"), Payload: []byte(`{"do":"sleep"}`)})
		slow <- err
	}()
	for running := 0; running == 0; time.Sleep(time.Millisecond) {
		l.Endpoint.lambda.mu.Lock()
		running = l.Endpoint.lambda.invoking[arn]
		l.Endpoint.lambda.mu.Unlock()
	}
	_, err = l.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: name, Qualifier: aws.String("live")})
	expectCode(t, "one more than is reserved", err, "TooManyRequestsException")

	// With the function, all of its versions go, and their copies.
	if _, err := l.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: name}); err != nil {
		t.Fatal(err)
	}
	if err := <-slow; err != nil {
		t.Errorf("an invocation of a function that is deleted meanwhile: %v", err)
	}
	expectEnded(t, pids["2"])
	for _, qualifier := range []string{"2", "3", "live", "$LATEST"} {
		_, err = l.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: name, Qualifier: &qualifier})
		expectCode(t, "invoke "+qualifier+" of a deleted function", err, "ResourceNotFoundException")
	}
}

// expectEnded waits until a process has ended.
func expectEnded(t *testing.T, pid any) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := syscall.Kill(int(pid.(float64)), 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %v still runs", pid)
		}
	}
}

// published is a stack of a function with a version and an alias: the key of its code, its greeting, and what else the version has.
func published(code, greeting, version string) string {
	return strings.NewReplacer("CODE", code, "GREETS", greeting, "MORE", version).Replace(`
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: caller
      AssumeRolePolicyDocument: { Version: '2012-10-17', Statement: [] }
  Function:
    Type: AWS::Lambda::Function
    Properties:
      FunctionName: caller
      Runtime: provided.al2023
      Handler: bootstrap
      Role: !GetAtt Role.Arn
      MemorySize: 256
      Timeout: 10
      Code: { S3Bucket: code, S3Key: CODE }
      Environment: { Variables: { GREETING: GREETS } }
  Version:
    Type: AWS::Lambda::Version
    DeletionPolicy: RetainExceptOnCreate
    UpdateReplacePolicy: Retain
    Properties: { FunctionName: !Ref Function, MORE }
  Alias:
    Type: AWS::Lambda::Alias
    Properties: { FunctionName: !Ref Function, Name: live, FunctionVersion: !GetAtt Version.Version }
Outputs:
  Ref: { Value: !Ref Version }
  Arn: { Value: !GetAtt Version.FunctionArn }
  Number: { Value: !GetAtt Version.Version }
  Alias: { Value: !Ref Alias }
`)
}

// startLaptopWithCode starts a local AWS with the bucket code, which has the function in two zips whose bytes are not the same.
func startLaptopWithCode(t *testing.T) *laptop {
	t.Helper()
	l := startLaptop(t)
	binary, err := buildFunction()
	if err != nil {
		t.Fatalf("build the function: %v\n%s", err, binary)
	}
	l.stack(t, "bucket", "{Resources: {Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: code}}}}")
	l.put(t, "/code/one.zip", zipped(t, "bootstrap", binary))
	l.put(t, "/code/two.zip", zipped(t, "bootstrap", append(slices.Clone(binary), ' ')))
	return l
}

func TestStackPublishesVersions(t *testing.T) {
	t.Parallel()
	l := startLaptopWithCode(t)
	const arn = "arn:aws:lambda:" + Region + ":" + accountID + ":function:caller"
	deploy := func(code, greeting, more, wantStatus, wantVersion string) {
		t.Helper()
		status, outputs := l.stack(t, "caller", published(code, greeting, more))
		if status != wantStatus || outputs["Number"] != wantVersion || outputs["Ref"] != arn+":"+wantVersion || outputs["Arn"] != outputs["Ref"] || outputs["Alias"] != arn+":live" {
			t.Fatalf("with %s: %s %v, want %s and version %s", more, status, outputs, wantStatus, wantVersion)
		}
	}
	expect := func(qualifier, greeting, version string) any {
		t.Helper()
		a, executed := l.invoke(t, "caller", qualifier, `{}`)
		if a.payload["greeting"] != greeting || executed != version {
			t.Errorf("%s says %v as version %s, want %s as version %s", qualifier, a.payload["greeting"], executed, greeting, version)
		}
		return a.payload["pid"]
	}
	deploy("one.zip", "hello", "Description: first", "CREATE_COMPLETE", "1")
	expect("live", "hello", "1")
	replaced := expect("$LATEST", "hello", "$LATEST")
	deploy("two.zip", "hallo", "Description: second", "UPDATE_COMPLETE", "2")
	expectEnded(t, replaced)
	expect("live", "hallo", "2")
	expect("1", "hello", "1") // retained
	// A version of nothing new: as on AWS, the update fails and is rolled back.
	deploy("two.zip", "hallo", "Description: third", "UPDATE_ROLLBACK_COMPLETE", "2")
	// An update that fails after it has published: the new version goes, and its number is not given again.
	status, _ := l.stack(t, "caller", strings.Replace(published("two.zip", "salut", "Description: fourth"), "Name: live", "Name: '7'", 1))
	if status != "UPDATE_ROLLBACK_COMPLETE" {
		t.Fatalf("with an alias whose name is a number: %s", status)
	}
	expect("live", "hallo", "2")
	_, err := l.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("caller"), Qualifier: aws.String("3")})
	expectCode(t, "invoke a version that was rolled back", err, "ResourceNotFoundException")
	deploy("two.zip", "salut", "Description: fifth", "UPDATE_COMPLETE", "4")
	expect("live", "salut", "4")
	if status, _ := l.stack(t, "caller", published("two.zip", "ciao", "ProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 1 }")); status != "UPDATE_ROLLBACK_COMPLETE" {
		t.Errorf("with provisioned concurrency: %s, want it refused", status)
	}
	if _, err := l.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String("caller")}); err != nil {
		t.Fatal(err)
	}
	for _, qualifier := range []string{"1", "4", "live"} {
		_, err = l.lambda.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("caller"), Qualifier: &qualifier})
		expectCode(t, "invoke "+qualifier+" after the stack", err, "ResourceNotFoundException")
	}
}

// What a function printed goes with the log group of its stack. The next stack of the same names has none of it.
func TestLogLinesGoWithTheirStack(t *testing.T) {
	t.Parallel()
	l := startLaptopWithCode(t)
	template := strings.Replace(published("one.zip", "hello", "Description: first"), "Resources:\n", `Resources:
  LogGroup:
    Type: AWS::Logs::LogGroup
    Properties: { LogGroupName: /aws/lambda/caller }
`, 1)
	for _, what := range []string{"first", "second"} {
		if status, _ := l.stack(t, "caller", template); status != "CREATE_COMPLETE" {
			t.Fatalf("the stack is %s", status)
		}
		l.invoke(t, "caller", "live", `{"do":"`+what+`"}`)
		if what == "first" {
			if _, err := l.cfn.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: aws.String("caller")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	logs := cloudwatchlogs.New(cloudwatchlogs.Options{BaseEndpoint: aws.String(l.URL), Region: Region, Credentials: credentials.NewStaticCredentialsProvider("test", "local", "")})
	found, err := logs.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/aws/lambda/caller"), FilterPattern: aws.String("doing")})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Events) != 1 || !strings.Contains(*found.Events[0].Message, "doing second") {
		t.Errorf("the logs of the second stack have %d such lines: %+v, want only its own", len(found.Events), found.Events)
	}
}

// put puts an object.
func (l *laptop) put(t *testing.T, path string, content []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, l.URL+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", strings.Replace(signedBy, "SERVICE", "s3", 1))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: %s", path, response.Status)
	}
}
