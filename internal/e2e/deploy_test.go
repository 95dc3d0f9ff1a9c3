package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/localaws"
)

// project is a copy of this one, where a test can run make and change files, with settings for make.
type project struct {
	*cloud
	dir      string
	settings []string
}

// awsCLI is the aws that the deployment tests use. The tools of requirements.txt have version 1:
//
//	scripts/python-tools go test -run 'Make|Failed(Creation|Deployments)|Destroy' ./internal/e2e -args -aws /usr/local/bin/aws
var awsCLI = flag.String("aws", "", "the aws command that make uses in the deployment tests; the one on PATH if not set")

// oldAWS stands before aws on the PATH of make, and does as a version that does not know AWS_ENDPOINT_URL: the one of Debian 12. Such a
// version calls the real AWS without --endpoint-url; this one says so. There the region comes from no call.
const oldAWS = `#!/bin/sh
case "$1 $2" in
  "--endpoint-url http://"*) ;;
  *) echo "aws $*: would call the real AWS" >&2; exit 99 ;;
esac
unset AWS_ENDPOINT_URL
exec %s "$@"
`

// shortSleep stands before sleep. Local AWS needs no minute until the numbers of messages are right, or the names of deleted queues free.
const shortSleep = `#!/bin/sh
case $1 in 20 | 60) exec %[1]s 0.1 ;; *) exec %[1]s "$1" ;; esac
`

// builtGo stands before go on the PATH of make. go build takes a second of processor time to find that nothing has changed, and it would link
// build/carnation again in each copy of a checkout, because a copy has no commit to put into it. So this one does nothing where a file
// is there and all that it is made of is older than this script: build/carnation of cmd/carnation, build/x86_64/go/ of all of cmd. It
// lets go build all else.
const builtGo = `#!/bin/sh
out= previous=
for argument; do
  [ "$previous" != -o ] || out=$argument
  previous=$argument
done
[ "$1" = build ] && [ -e "$out" ] && newer=$(find go.mod go.sum Makefile "cmd/${out##*/}" internal -newer "$0") && [ -z "$newer" ] ||
  exec %[1]s "$@"
`

// newProject copies what make needs, and what is already built. The programs are 100 MB, so they are links if the file system allows it.
// No build writes into a file of build/: it puts a new one in its place.
func (c *cloud) newProject(t testing.TB, settings ...string) project {
	t.Helper()
	p := project{c, t.TempDir(), settings}
	c.run(t, "sh", "-c", `
		tar -cf - go.mod go.sum requirements.txt Makefile cft cmd docs/examples internal scripts state-machine | tar -xf - -C "$2"
		for file in build/carnation build/"$1"/*.zip build/"$1"/go/* build/"$1"/*/bootstrap; do
			mkdir -p "$2/${file%/*}" && { ln "$file" "$2/$file" 2>/dev/null || cp -p "$file" "$2/$file"; } || exit
		done`, "sh", arch(), p.dir)
	for name, content := range map[string]string{"aws": oldAWS, "sleep": shortSleep, "go": builtGo} {
		real, err := exec.LookPath(name)
		if name == "aws" && *awsCLI != "" {
			real, err = exec.LookPath(*awsCLI)
		} else if name == "aws" && awsCommands.process != nil {
			real = filepath.Join(awsCommands.dir, "aws")
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(p.standIn(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.standIn(name), name), fmt.Appendf(nil, content, real), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.settings = append(p.settings, "PATH="+p.before(os.Getenv("PATH"), "go", "sleep", "aws"))
	return p
}

// standIn is the folder of the program that stands before aws, sleep or go: oldAWS, shortSleep or builtGo.
func (p project) standIn(name string) string { return filepath.Join(p.dir, "path", name) }

// before is a PATH with the programs that stand before those of these names.
func (p project) before(path string, names ...string) string {
	for _, name := range names {
		path = p.standIn(name) + ":" + path
	}
	return path
}

// newDeployment is a project on a local AWS of its own, with the key and the bucket that make deploy needs.
func newDeployment(t testing.TB, settings ...string) project {
	t.Helper()
	c := newCloud(t)
	return c.newProject(t, append(settings, "BUCKET="+bucket, "KMS_KEY_ID="+keyID)...)
}

// make runs a target that must end with a code, and print all of wants in this order.
func (p project) make(t testing.TB, target string, code int, wants ...string) result {
	t.Helper()
	out := p.command(p.settings, append([]string{"make", "--no-print-directory", "-C", p.dir}, strings.Fields(target)...)...)
	if out.code != code {
		t.Fatalf("make %s: %s, want exit code %d", target, out, code)
	}
	expectInOrder(t, out.stdout+out.stderr, wants...)
	return out
}

// replace changes a file of the copy, and returns a function that changes it back.
func (p project) replace(t testing.TB, name, old, new string) (restore func()) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := strings.Replace(string(before), old, new, 1)
	if after == string(before) {
		t.Fatalf("%s has no %q", name, old)
	}
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(after)
	return func() { write(string(before)) }
}

// describe describes a stack by its name.
func (c *cloud) describe(t testing.TB, name string) cfntypes.Stack {
	t.Helper()
	out, err := c.cloudformation.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Stacks[0]
}

func TestMakeDeployNeedsPrerequisitesOrNames(t *testing.T) {
	t.Parallel()
	p := newCloud(t).newProject(t, "PROJECT=pink")
	for _, test := range []struct{ target, want string }{
		{"deploy", "BUCKET is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"upload", "BUCKET is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"deploy BUCKET=x", "KMS_KEY_ID is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"deploy BUCKET=no-such-bucket-here KMS_KEY_ID=" + keyID, "there is no bucket no-such-bucket-here"},
		{"deploy BUCKET=" + bucket + " KMS_KEY_ID=alias/x", "KMS_KEY_ID is alias/x: must be a key ID"},
	} {
		p.make(t, test.target, 2, test.want)
	}
	// This key has AWS's default policy, which gives the services nothing.
	key := p.run(t, "aws", "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
	p.make(t, "deploy BUCKET="+bucket+" KMS_KEY_ID="+key, 2, "does not allow what project pink needs in devl:", "AlarmsPublishToTheTopic: kms:Decrypt",
		"there is no terminal to ask")
}

// TestMakePrerequisites creates the stack where the first attempt failed, updates it, and deletes it, which keeps the key and the bucket.
func TestMakePrerequisites(t *testing.T) {
	t.Parallel()
	p := newCloud(t).newProject(t, "PROJECT=rose")
	p.run(t, "aws", "kms", "create-alias", "--alias-name", "alias/rose", "--target-key-id", keyID)
	out := p.make(t, "prerequisites", 2, "create-stack rose-prerequisites")
	expectCauses(t, out, "make: stack rose-prerequisites is ROLLBACK_COMPLETE: Alias CREATE_FAILED: ")
	p.run(t, "aws", "kms", "delete-alias", "--alias-name", "alias/rose")
	p.make(t, "prerequisites", 0, "it was never complete", "create-stack rose-prerequisites", "CREATE_COMPLETE", "BucketName", "KmsKeyId")
	p.make(t, "prerequisites", 0, "stack rose-prerequisites is up to date", "BucketName", "KmsKeyId")
	made := outputs(p.describe(t, "rose-prerequisites"))
	key, name := made["KmsKeyId"], made["BucketName"]

	if got := p.run(t, "aws", "kms", "get-key-rotation-status", "--key-id", key, "--query", "KeyRotationEnabled", "--output", "text"); got != "True" {
		t.Errorf("rotation is %s", got)
	}
	if got := p.run(t, "aws", "kms", "describe-key", "--key-id", "alias/rose", "--query", "KeyMetadata.KeyId", "--output", "text"); got != key {
		t.Errorf("alias/rose is key %s, want %s", got, key)
	}
	policy := p.run(t, "aws", "kms", "get-key-policy", "--key-id", key, "--policy-name", "default", "--query", "Policy", "--output", "text")
	printed := p.command(p.settings, "scripts/key-policy")
	if printed.code != 0 || !equalJSON(t, policy, printed.stdout) {
		t.Errorf("scripts/key-policy prints %s\nand the key has %s", printed, policy)
	}
	arn := "arn:aws:s3:::" + name
	overTLSOnly := `{"Version":"2012-10-17","Statement":[{"Sid":"TlsOnly","Effect":"Deny","Principal":"*","Action":"s3:*",` +
		`"Resource":["` + arn + `","` + arn + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	if got := p.run(t, "aws", "s3api", "get-bucket-policy", "--bucket", name, "--query", "Policy", "--output", "text"); !equalJSON(t, got, overTLSOnly) {
		t.Errorf("the bucket's policy is %s, want %s", got, overTLSOnly)
	}
	p.run(t, "aws", "s3", "cp", "go.mod", "s3://"+name+"/mine")

	p.replace(t, "cft/carnation-prerequisites-stack.yaml", "NoncurrentDays: 90", "NoncurrentDays: 91")
	p.make(t, "prerequisites", 0, "update-stack rose-prerequisites", "UPDATE_COMPLETE")
	lifecycle := p.run(t, "aws", "s3api", "get-bucket-lifecycle-configuration", "--bucket", name)
	if !strings.Contains(lifecycle, `"NoncurrentDays": 91`) {
		t.Errorf("after the update the lifecycle is %s", lifecycle)
	}

	p.deleteStack(t, "rose-prerequisites")
	p.run(t, "aws", "kms", "describe-key", "--key-id", key)
	p.run(t, "aws", "s3", "ls", "s3://"+name+"/mine")
	p.make(t, "prerequisites", 0, "create-stack rose-prerequisites", "CREATE_COMPLETE")
}

// The whole policy of the key: who may use the key, for which actions, and under which condition.
func TestKeyPolicyNamesEachServiceWithItsActionsAndCondition(t *testing.T) {
	t.Parallel()
	const administrator = "arn:aws:iam::123456789012:role/security/admin"
	out := newCloud(t).command([]string{"ENVIRONMENT=test", "KEY_ADMINISTRATOR_ROLE_ARN=" + administrator}, "scripts/key-policy")
	if out.code != 0 {
		t.Fatal(out)
	}
	const (
		account = `{"AWS":"arn:aws:iam::123456789012:root"} `
		region  = localaws.Region
		logs    = `"arn:aws:logs:` + region + `:123456789012:`
		uses    = "kms:Decrypt kms:DescribeKey kms:Encrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext kms:ReEncryptFrom kms:ReEncryptTo "
	)
	service := func(name string) string { return `{"Service":"` + name + `"} ` }
	want := map[string]string{
		"AccountReadsTheKey": account + "kms:DescribeKey kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListGrants kms:ListKeyPolicies " +
			"kms:ListKeyRotations kms:ListResourceTags null",
		"AccountAdministersTheKey": account + "kms:CancelKeyDeletion kms:CreateAlias kms:DeleteAlias kms:DisableKey " +
			"kms:DisableKeyRotation kms:EnableKey kms:EnableKeyRotation kms:PutKeyPolicy kms:RevokeGrant kms:RotateKeyOnDemand " +
			"kms:ScheduleKeyDeletion kms:TagResource kms:UntagResource kms:UpdateAlias kms:UpdateKeyDescription " +
			`{"ArnEquals":{"aws:PrincipalArn":["` + administrator + `"]}}`,
		"QueuesUseIt": account + `kms:Decrypt kms:GenerateDataKey {"ArnLike":{"kms:EncryptionContext:aws:sqs:arn":["arn:aws:sqs:` + region +
			`:123456789012:carnation-*-test-*"]},"StringLike":{"kms:ViaService":["sqs.` + region + `.*"]}}`,
		"BucketUsesIt": account + `kms:Decrypt kms:GenerateDataKey {"StringLike":{"kms:ViaService":["s3.` + region + `.*"]}}`,
		"TableUsesIt": account + "kms:CreateGrant " + strings.Replace(uses, "kms:DescribeKey ", "", 1) +
			`{"StringEquals":{"kms:EncryptionContext:aws:dynamodb:subscriberId":["123456789012"]},` +
			`"StringLike":{"kms:EncryptionContext:aws:dynamodb:tableName":["carnation-*-test-*"],"kms:ViaService":["dynamodb.` + region + `.*"]}}`,
		"FunctionsUseIt":                   account + "kms:CreateGrant " + uses + `{"StringLike":{"kms:ViaService":["lambda.` + region + `.*"]}}`,
		"FunctionsDecryptTheirEnvironment": account + `kms:Decrypt {"ArnLike":{"kms:EncryptionContext:aws:lambda:FunctionArn":["arn:aws:lambda:` + region + `:123456789012:function:carnation-*-test-*"]}}`,
		"StateMachinesUseIt": account + `kms:Decrypt kms:GenerateDataKey ` +
			`{"ArnLike":{"kms:EncryptionContext:aws:states:stateMachineArn":["arn:aws:states:` + region + `:123456789012:stateMachine:carnation-*-test-*"]}}`,
		"SchedulesUseIt": account + `kms:Decrypt kms:GenerateDataKey ` +
			`{"ArnLike":{"kms:EncryptionContext:aws:scheduler:schedule:arn":["arn:aws:scheduler:` + region + `:123456789012:schedule/carnation-*-test-*"]}}`,
		"StateMachinesEncryptTheirLogs": account + `kms:GenerateDataKey {"StringEquals":{"kms:EncryptionContext:SourceArn":[` + logs + `*"]}}`,
		"StateMachineLogsAreDelivered": service("delivery.logs.amazonaws.com") +
			`kms:Decrypt {"StringEquals":{"kms:EncryptionContext:SourceArn":[` + logs + `*"]}}`,
		"FunctionsCodeIsEncrypted": service("lambda.amazonaws.com") + `kms:Decrypt kms:GenerateDataKey ` +
			`{"ArnLike":{"kms:EncryptionContext:aws:lambda:FunctionArn":["arn:aws:lambda:` + region + `:123456789012:function:carnation-*-test-*"]}}`,
		"LogGroupsAreEncrypted": service("logs."+region+".amazonaws.com") + uses +
			`{"ArnLike":{"kms:EncryptionContext:aws:logs:arn":[` + logs + `log-group:/aws/lambda/carnation-*-test-*",` + logs + `log-group:/aws/vendedlogs/states/carnation-*-test-*"]}}`,
		"AlarmsPublishToTheTopic": service("cloudwatch.amazonaws.com") + `kms:Decrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext ` +
			`{"ArnLike":{"aws:SourceArn":["arn:aws:cloudwatch:` + region + `:123456789012:alarm:carnation-*-test-*"]},"StringEquals":{"aws:SourceAccount":["123456789012"]}}`,
	}
	for _, s := range parsePolicy(t, "the key", out.stdout) {
		got := inJSON(s.Principal) + " " + strings.Join(s.Action, " ") + " " + inJSON(s.Condition)
		if got != want[s.Sid] || s.Effect != "Allow" || !slices.Equal(s.Resource, list{"*"}) {
			t.Errorf("statement %s is %s %v for\n%s\nwant Allow * for\n%s", s.Sid, s.Effect, s.Resource, got, want[s.Sid])
		}
		delete(want, s.Sid)
	}
	if len(want) != 0 {
		t.Errorf("the policy lacks %v", want)
	}
}

func TestMakeDeployCreatesAndUpdatesAStackAndDestroyDeletesIt(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::123456789012:role/cloudformation"
	p := newCloud(t).newProject(t, "PROJECT=green", "ENVIRONMENT=test", "SERVICE_ROLE_ARN="+role, "TAGS=team=blue cost=7")
	p.run(t, "aws", "iam", "create-role", "--role-name", "cloudformation", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudformation.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	users := p.users()
	p.make(t, "prerequisites", 0, "create-stack green-prerequisites-test", "CREATE_COMPLETE")
	preparing := users.next()
	p.make(t, "deploy", 0, "create-stack green-test", "CREATE_COMPLETE", "StateMachineArn")
	made := outputs(p.describe(t, "green-prerequisites-test"))
	stack := p.describe(t, "green-test")
	if got, want := parameter(stack, "KmsMasterKeyId"), made["KmsKeyId"]; got != want {
		t.Errorf("the stack's key is %s, want the one of make prerequisites, %s", got, want)
	}
	if got := aws.ToString(stack.RoleARN); got != role {
		t.Errorf("CloudFormation works as %q, want %s", got, role)
	}
	tags := map[string]string{}
	for _, tag := range stack.Tags {
		tags[*tag.Key] = *tag.Value
	}
	if want := map[string]string{"team": "blue", "cost": "7"}; !maps.Equal(tags, want) {
		t.Errorf("the stack's tags are %v, want %v", tags, want)
	}
	deploying := users.next()
	p.expectOnlyGivenParametersChange(t)
	users.next()
	updates := p.count("UpdateStack", "")
	// It keeps the memory that was given before, and the schedule is the one that the stack has.
	out := p.command(p.settings, "make", "--no-print-directory", "-C", p.dir, "deploy", "PARAMETERS=RetrySchedule=rate(1 hour)")
	if out.code != 0 {
		t.Fatalf("make deploy of nothing new: %s", out)
	}
	expectInOrder(t, out.stdout, "stack green-test is up to date", "StateMachineArn")
	if got := p.count("UpdateStack", ""); got != updates {
		t.Error("a deployment of nothing new asked CloudFormation for an update, which may update nested stacks")
	}
	maps.Copy(deploying, users.next())
	p.expectWhateverChangedIsDeployed(t)
	p.make(t, "run START=1 END=4", 0, "3 inserted, 0 failed")
	p.make(t, "status", 0, "3 rows")

	p.run(t, "aws", "s3", "cp", "go.mod", "s3://"+made["BucketName"]+"/mine")
	users.next()
	p.make(t, "destroy", 2, "there is no terminal to ask whether to delete stack green-test: set YES=1")
	if got := p.describe(t, "green-test").StackStatus; got != cfntypes.StackStatusUpdateComplete {
		t.Errorf("after a refused destroy the stack is %s", got)
	}
	p.make(t, "destroy YES=1", 0, "DELETE_COMPLETE", "kept: the templates and the code", made["BucketName"]+"/carnation", "KMS key")
	p.make(t, "destroy", 0, "there is no stack green-test")
	maps.Copy(deploying, users.next())
	p.run(t, "aws", "s3", "ls", "s3://"+made["BucketName"]+"/mine")
	users.next()
	p.make(t, "prerequisites", 0, "stack green-prerequisites-test is up to date")
	maps.Copy(preparing, users.next())
	at := places{"green", "test", made["BucketName"], made["KmsKeyId"]}
	held := p.accessPolicies(t, "ProjectName=green", "Environment=test", "BucketName="+at.bucket, "KmsKeyId="+at.key)
	at.expectPreparerAccess(t, held, preparing)
	at.expectDeployerAccess(t, held, deploying)
	at.expectOptions(t, p.cloud)
}

// expectOnlyGivenParametersChange deploys the stack green-test with other parameters.
func (p project) expectOnlyGivenParametersChange(t *testing.T) {
	t.Helper()
	updates := p.count("UpdateStack", "")
	out := p.command(p.settings, "make", "--no-print-directory", "-C", p.dir, "deploy", "PARAMETERS=RetrySchedule=rate(1 hour) LambdaMemorySize=512")
	if out.code != 0 {
		t.Fatalf("make deploy with a space in a parameter: %s", out)
	}
	expectInOrder(t, out.stdout+out.stderr, "update-stack green-test", "UPDATE_COMPLETE")
	if got := parameter(p.describe(t, "green-test"), "RetrySchedule"); got != "rate(1 hour)" {
		t.Errorf("RetrySchedule is %q, want rate(1 hour)", got)
	}
	if got := p.count("UpdateStack", "") - updates; got != 1 {
		t.Errorf("%d updates are counted, want 1", got)
	}
	functions, err := lambda.NewFromConfig(p.config).ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
	if err != nil || len(functions.Functions) != 2 {
		t.Fatalf("%d functions, want 2: %v", len(functions.Functions), err)
	}
	for _, f := range functions.Functions {
		if *f.MemorySize != 512 {
			t.Errorf("%s has %d MB of memory, want 512", *f.FunctionName, *f.MemorySize)
		}
	}
	p.make(t, "deploy PARAMETERS=LambdaMemorySize=9", 2, "LambdaMemorySize")
}

// expectWhateverChangedIsDeployed changes only a nested template, only a state machine or only a function of the stack green-test, which is
// enough for an update.
func (p project) expectWhateverChangedIsDeployed(t *testing.T) {
	t.Helper()
	p.replace(t, "cft/nested-stacks/sqs-stack.yaml", "KmsDataKeyReusePeriodSeconds: 3600", "KmsDataKeyReusePeriodSeconds: 600")
	p.make(t, "deploy", 0, "update-stack green-test", "SQSStack", "UPDATE_COMPLETE")
	queue, err := sqs.NewFromConfig(p.config).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(outputs(p.describe(t, "green-test"))["DeadLetterQueueUrl"]),
		AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameKmsDataKeyReusePeriodSeconds},
	})
	if err != nil {
		t.Fatal(err)
	}
	if reuse := queue.Attributes["KmsDataKeyReusePeriodSeconds"]; reuse != "600" {
		t.Errorf("after the update the queue's data keys are reused for %s s, want 600", reuse)
	}
	p.replace(t, "state-machine/carnation-state-machine.asl.json", `"failed": 0`, `"failed": 0, "new": true`)
	p.make(t, "deploy", 0, "update-stack green-test", "StateMachine", "UPDATE_COMPLETE")
	// Somebody else puts a file of the same size under the key of a zip, which is not deployed yet.
	zip := filepath.Join(p.dir, "build", arch(), "generate-data.zip")
	p.replace(t, "cmd/generate-data/main.go", "package main", "// Changed.\n\npackage main")
	_, key, _ := strings.Cut(p.make(t, "upload", 0, "GenerateDataS3Key=").stdout, "GenerateDataS3Key=")
	key, _, _ = strings.Cut(key, "\n")
	content, err := os.ReadFile(zip)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s3.NewFromConfig(p.config, func(o *s3.Options) { o.UsePathStyle = true }).PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(outputs(p.describe(t, "green-prerequisites-test"))["BucketName"]), Key: aws.String(key), Body: bytes.NewReader(make([]byte, len(content))),
	})
	if err != nil {
		t.Fatal(err)
	}
	out := p.make(t, "deploy", 0, "update-stack green-test", "GenerateDataStack", "UPDATE_COMPLETE")
	if want := key + " has other content: it is replaced"; !strings.Contains(out.stderr, want) {
		t.Errorf("stderr is %s, want %s", out.stderr, want)
	}
}

// parameter is the value of one of a stack's parameters.
func parameter(stack cfntypes.Stack, key string) string {
	for _, p := range stack.Parameters {
		if *p.ParameterKey == key {
			return *p.ParameterValue
		}
	}
	return ""
}

// causes are the lines in which make says why a stack's operation failed.
func causes(out result) (lines []string) {
	for _, line := range strings.Split(out.stderr, "\n") {
		if strings.HasPrefix(line, "make: stack ") {
			lines = append(lines, line)
		}
	}
	return lines
}

func expectCauses(t *testing.T, out result, wants ...string) {
	t.Helper()
	got := causes(out)
	if len(got) != len(wants) {
		t.Fatalf("causes are\n%s\nwant %d of them", strings.Join(got, "\n"), len(wants))
	}
	for i, want := range wants {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("cause is %q, want %q", got[i], want)
		}
	}
}

// createQueue makes a queue by hand, so that a stack cannot.
func (c *cloud) createQueue(t testing.TB, name string) *string {
	t.Helper()
	queue, err := sqs.NewFromConfig(c.config).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	return queue.QueueUrl
}

// In prod the table is protected, which stops the rollback, and a queue may be left, too. Nobody has to delete anything by hand, unless
// it holds an event. The stack is protected when it is complete.
func TestFailedCreationOfProdIsFixedByTheNextDeploy(t *testing.T) {
	t.Parallel()
	p := newDeployment(t, "PROJECT=red", "ENVIRONMENT=prod")
	logs, rows, queues := cloudwatchlogs.NewFromConfig(p.config), dynamodb.NewFromConfig(p.config), sqs.NewFromConfig(p.config)
	group := aws.String("/aws/lambda/red-generate-data-prod-" + localaws.Region)
	if _, err := logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}
	out := p.make(t, "deploy", 2, "create-stack red-prod", "SQSStack                  CREATE_COMPLETE")
	expectCauses(t, out, // the protected table is in the way of the rollback
		"make: stack red-prod is ROLLBACK_FAILED: GenerateDataStack/LogGroup CREATE_FAILED: ",
		"make: stack red-prod is ROLLBACK_FAILED: DynamoDBStack/Table DELETE_FAILED: ")
	if _, err := logs.DeleteLogGroup(t.Context(), &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: group}); err != nil {
		t.Fatal(err)
	}

	table, retry := "red-events-prod-"+localaws.Region, "red-retry-queue-prod-"+localaws.Region
	key := map[string]dynamotypes.AttributeValue{"sequenceNo": &dynamotypes.AttributeValueMemberN{Value: "7"}, "randomStringValue": &dynamotypes.AttributeValueMemberS{Value: "a"}}
	if _, err := rows.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: key}); err != nil {
		t.Fatal(err)
	}
	url := p.createQueue(t, retry)
	if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("an event")}); err != nil {
		t.Fatal(err)
	}
	p.make(t, "deploy", 2, "it was never complete", "table "+table+" has rows", "queue "+retry+" has messages (1)", "nothing of them was deleted")
	if _, err := rows.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
		t.Fatalf("the row is gone: %v", err)
	}
	received, err := queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url})
	if err != nil || len(received.Messages) != 1 {
		t.Fatalf("the queue has %v, want the message: %v", received, err)
	}
	if _, err := queues.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: received.Messages[0].ReceiptHandle}); err != nil {
		t.Fatal(err)
	}
	out = p.make(t, "deploy", 0, "it was never complete", "wait 60 seconds", "delete-stack red-prod", "create-stack red-prod", "CREATE_COMPLETE",
		"stack red-prod is protected from deletion", "StateMachineArn")
	for _, want := range []string{"delete-queue " + retry, "delete-table " + table} {
		if !strings.Contains(out.stderr, want) {
			t.Errorf("stderr is %s, want %s", out.stderr, want)
		}
	}
	if !*p.describe(t, "red-prod").EnableTerminationProtection {
		t.Error("the stack is not protected from deletion")
	}

	// Without YES=1 it asks, as TestUpdateOfProdShowsItsChangesAndAsks of internal/scripts shows.
	out = p.make(t, "deploy PARAMETERS=LambdaMemorySize=512 YES=1", 0, "changes of stack red-prod:", "UPDATE_COMPLETE", "StateMachineArn")
	shown, _, _ := strings.Cut(out.stdout, "UPDATE_IN_PROGRESS")
	if !strings.Contains(shown, "Modify    GenerateDataStack/Function ") || strings.Contains(shown, "Table") {
		t.Errorf("the changes are %s, want the functions' and not the table's", shown)
	}
	p.make(t, "destroy YES=1", 0, "DELETE_COMPLETE", "kept, because this was prod: table "+table, "kept, because this was prod: queue "+retry)
}

// clash is a resource of the CloudWatch stack that cannot be created: another one has its name.
const clash = `Resources:
  Clash:
    Type: AWS::Logs::LogGroup
    Properties: { LogGroupName: !Sub '/aws/vendedlogs/states/${ProjectName}-state-machine-${Environment}-${AWS::Region}' }
`

// One stack after the other fails in each way that devl can, and the next deployment fixes it: its creation, an update, and an update whose
// rollback cannot finish, because the functions' old code is gone.
func TestFailedDeploymentsAreFixedByTheNextDeploy(t *testing.T) {
	t.Parallel()
	p := newDeployment(t, "PROJECT=gold")
	name := "gold-retry-queue-devl-" + localaws.Region
	queue := p.createQueue(t, name)
	out := p.make(t, "deploy", 2, "create-stack gold-devl")
	expectCauses(t, out, "make: stack gold-devl is ROLLBACK_COMPLETE: SQSStack/RetryQueue CREATE_FAILED: "+name+" already exists")
	if _, err := sqs.NewFromConfig(p.config).DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: queue}); err != nil {
		t.Fatal(err)
	}
	p.make(t, "deploy", 0, "it was never complete", "delete-stack gold-devl", "create-stack gold-devl", "CREATE_COMPLETE", "StateMachineArn")

	restore := p.replace(t, "cft/nested-stacks/cloudwatch-stack.yaml", "Resources:\n", clash)
	out = p.make(t, "deploy", 2, "update-stack gold-devl")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_COMPLETE: CloudWatchStack/Clash CREATE_FAILED: ")
	restore()
	p.make(t, "deploy PARAMETERS=LambdaMemorySize=512", 0, "update-stack gold-devl", "UPDATE_COMPLETE", "StateMachineArn")

	key := parameter(p.describe(t, "gold-devl"), "GenerateDataS3Key")
	saved, err := os.ReadFile(filepath.Join(p.dir, "build", arch(), "generate-data.zip"))
	if err != nil {
		t.Fatal(err)
	}
	restore = p.replace(t, "cft/nested-stacks/cloudwatch-stack.yaml", "Resources:\n", clash)
	p.replace(t, "cmd/generate-data/main.go", "package main", "// Changed.\n\npackage main")
	p.run(t, "aws", "s3", "rm", "s3://"+bucket+"/"+key)
	out = p.make(t, "deploy", 2, "update-stack gold-devl")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_FAILED: CloudWatchStack/Clash CREATE_FAILED: ",
		"make: stack gold-devl is UPDATE_ROLLBACK_FAILED: GenerateDataStack/Function UPDATE_FAILED: ")
	restore()
	out = p.make(t, "deploy", 2, "its rollback is continued first")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_FAILED: GenerateDataStack/Function UPDATE_FAILED: ")
	if err := p.put(key, saved); err != nil {
		t.Fatal(err)
	}
	p.make(t, "deploy", 0, "continue-update-rollback gold-devl", "UPDATE_ROLLBACK_COMPLETE", "update-stack gold-devl", "UPDATE_COMPLETE", "StateMachineArn")
	p.make(t, "run START=1 END=3", 0, "2 inserted, 0 failed")
}

// onTerminal runs a command on a terminal, answers its question with this line, and returns what it prints. python3 gives it the
// terminal. script(1) could too, but it has different flags on macOS.
func (c *cloud) onTerminal(t testing.TB, env []string, line string, args ...string) string {
	t.Helper()
	const terminal = `import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        part = os.read(fd, 4096)
    except OSError:
        break
    if not part:
        break
    if b"[y/N]" in part and b"[y/N]" not in said:
        os.write(fd, sys.argv[1].encode())
    said += part
os.waitpid(pid, 0)
sys.stdout.write(said.decode())
`
	cmd := exec.Command("python3", append([]string{"-c", terminal, line}, args...)...)
	cmd.Env = c.environment(env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return out.String()
}

func TestDestroyAsksOnATerminal(t *testing.T) {
	t.Parallel()
	s := newStack(t, "ProjectName=grey")
	p := s.newProject(t, "PROJECT=grey")
	answer := func(line string) string {
		t.Helper()
		return s.onTerminal(t, p.settings, line, "make", "--no-print-directory", "-C", p.dir, "destroy")
	}
	for _, no := range []string{"\n", "n\n", "x\n"} {
		expectInOrder(t, answer(no), "Delete stack grey-devl, with the events in table grey-events-devl-", "nothing was deleted")
	}
	if got := s.describe(t, "grey-devl").StackStatus; got != cfntypes.StackStatusCreateComplete {
		t.Errorf("after three times no the stack is %s", got)
	}
	expectInOrder(t, answer("y\n"), "[y/N]", "DELETE_COMPLETE", "kept: the templates and the code")
}
