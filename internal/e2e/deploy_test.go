package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carnation/internal/localaws"
)

// project is a copy of what make needs of this one, where a test can change files, with settings for make.
type project struct {
	dir      string
	settings []string
}

func newProject(t *testing.T, settings ...string) project {
	t.Helper()
	p := project{t.TempDir(), settings}
	run(t, "sh", "-c", "tar -cf - go.mod go.sum requirements.txt Makefile cft cmd internal scripts state-machine | tar -xf - -C '"+p.dir+"'")
	return p
}

// make runs a target that must end with a code, and print all of wants in this order.
func (p project) make(t *testing.T, target string, code int, wants ...string) result {
	t.Helper()
	words := strings.Fields(target)
	out := local.command(p.settings, append([]string{"make", "--no-print-directory", "-C", p.dir}, words...)...)
	if out.code != code {
		t.Fatalf("make %s: %s, want exit code %d", target, out, code)
	}
	expectInOrder(t, out.stdout+out.stderr, wants...)
	return out
}

// replace changes a file of the copy, and returns what changes it back.
func (p project) replace(t *testing.T, name, old, new string) (restore func()) {
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

func stackStatus(t *testing.T, name string) string {
	t.Helper()
	return run(t, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--query", "Stacks[0].StackStatus", "--output", "text")
}

func stackOutput(t *testing.T, name, key string) string {
	t.Helper()
	return run(t, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--output", "text",
		"--query", "Stacks[0].Outputs[?OutputKey=='"+key+"'].OutputValue")
}

func TestMakeDeployNeedsPrerequisitesOrNames(t *testing.T) {
	p := newProject(t, "PROJECT=pink")
	for _, test := range []struct{ target, want string }{
		{"deploy", "BUCKET is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"upload", "BUCKET is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"deploy BUCKET=x", "KMS_KEY_ID is missing, and so is stack pink-prerequisites: run make prerequisites first"},
		{"deploy BUCKET=no-such-bucket-here KMS_KEY_ID=" + local.keyID, "there is no bucket no-such-bucket-here"},
		{"deploy BUCKET=" + bucket + " KMS_KEY_ID=alias/x", "KMS_KEY_ID is alias/x: must be a key ID"},
	} {
		p.make(t, test.target, 2, test.want)
	}
}

func TestMakePrerequisites(t *testing.T) {
	t.Parallel()
	p := newProject(t, "PROJECT=rose")
	run(t, "aws", "kms", "create-alias", "--alias-name", "alias/rose", "--target-key-id", local.keyID)
	out := p.make(t, "prerequisites", 2, "create-stack rose-prerequisites")
	expectCauses(t, out, "make: stack rose-prerequisites is ROLLBACK_COMPLETE: Alias CREATE_FAILED: ")
	run(t, "aws", "kms", "delete-alias", "--alias-name", "alias/rose")
	p.make(t, "prerequisites", 0, "it was never complete", "create-stack rose-prerequisites", "CREATE_COMPLETE", "BucketName", "KmsKeyId")
	p.make(t, "prerequisites", 0, "stack rose-prerequisites is up to date", "BucketName", "KmsKeyId")
	key, name := stackOutput(t, "rose-prerequisites", "KmsKeyId"), stackOutput(t, "rose-prerequisites", "BucketName")

	if got := run(t, "aws", "kms", "get-key-rotation-status", "--key-id", key, "--query", "KeyRotationEnabled", "--output", "text"); got != "True" {
		t.Errorf("rotation is %s", got)
	}
	if got := run(t, "aws", "kms", "describe-key", "--key-id", "alias/rose", "--query", "KeyMetadata.KeyId", "--output", "text"); got != key {
		t.Errorf("alias/rose is key %s, want %s", got, key)
	}
	policy := run(t, "aws", "kms", "get-key-policy", "--key-id", key, "--policy-name", "default", "--query", "Policy", "--output", "text")
	printed := local.command(p.settings, "scripts/key-policy")
	if printed.code != 0 || !equalJSON(t, policy, printed.stdout) {
		t.Errorf("scripts/key-policy prints %s\nand the key has %s", printed, policy)
	}
	arn := "arn:aws:s3:::" + name
	overTLSOnly := `{"Version":"2012-10-17","Statement":[{"Sid":"TlsOnly","Effect":"Deny","Principal":"*","Action":"s3:*",` +
		`"Resource":["` + arn + `","` + arn + `/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	if got := run(t, "aws", "s3api", "get-bucket-policy", "--bucket", name, "--query", "Policy", "--output", "text"); !equalJSON(t, got, overTLSOnly) {
		t.Errorf("the bucket's policy is %s, want %s", got, overTLSOnly)
	}
	run(t, "aws", "s3", "cp", "go.mod", "s3://"+name+"/mine")

	p.replace(t, "cft/carnation-prerequisites-stack.yaml", "NoncurrentDays: 90", "NoncurrentDays: 91")
	p.make(t, "prerequisites", 0, "update-stack rose-prerequisites", "UPDATE_COMPLETE")
	lifecycle := run(t, "aws", "s3api", "get-bucket-lifecycle-configuration", "--bucket", name)
	if !strings.Contains(lifecycle, `"NoncurrentDays": 91`) {
		t.Errorf("after the update the lifecycle is %s", lifecycle)
	}

	deleteStack(t, "rose-prerequisites")
	run(t, "aws", "kms", "describe-key", "--key-id", key)
	run(t, "aws", "s3", "ls", "s3://"+name+"/mine")
	p.make(t, "prerequisites", 0, "create-stack rose-prerequisites", "CREATE_COMPLETE")
}

// The key's policy, to the letter: for everybody who may use the key, which actions, under which condition.
func TestKeyPolicyNamesEachServiceWithItsActionsAndCondition(t *testing.T) {
	out := local.command(nil, "scripts/key-policy")
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
		"AccountAdministersTheKey": account + "kms:CancelKeyDeletion kms:CreateAlias kms:DeleteAlias kms:DescribeKey kms:DisableKey " +
			"kms:DisableKeyRotation kms:EnableKey kms:EnableKeyRotation kms:GetKeyPolicy kms:GetKeyRotationStatus kms:ListGrants " +
			"kms:ListKeyPolicies kms:ListKeyRotations kms:ListResourceTags kms:PutKeyPolicy kms:RevokeGrant kms:RotateKeyOnDemand " +
			"kms:ScheduleKeyDeletion kms:TagResource kms:UntagResource kms:UpdateAlias kms:UpdateKeyDescription null",
		"QueuesAndBucketUseIt": account + `kms:Decrypt kms:GenerateDataKey ` +
			`{"StringLike":{"kms:ViaService":["s3.` + region + `.*","sqs.` + region + `.*"]}}`,
		"TableAndFunctionsUseIt": account + "kms:CreateGrant " + uses +
			`{"StringLike":{"kms:ViaService":["dynamodb.` + region + `.*","lambda.` + region + `.*"]}}`,
		"StateMachinesUseIt": account + `kms:Decrypt kms:GenerateDataKey ` +
			`{"ArnLike":{"kms:EncryptionContext:aws:states:stateMachineArn":["arn:aws:states:` + region + `:123456789012:stateMachine:carnation-*"]}}`,
		"StateMachinesEncryptTheirLogs": account + `kms:GenerateDataKey {"StringEquals":{"kms:EncryptionContext:SourceArn":[` + logs + `*"]}}`,
		"StateMachineLogsAreDelivered": service("delivery.logs.amazonaws.com") +
			`kms:Decrypt {"StringEquals":{"kms:EncryptionContext:SourceArn":[` + logs + `*"]}}`,
		"FunctionsCodeIsEncrypted": service("lambda.amazonaws.com") + `kms:Decrypt kms:GenerateDataKey ` +
			`{"ArnLike":{"kms:EncryptionContext:aws:lambda:FunctionArn":["arn:aws:lambda:` + region + `:123456789012:function:carnation-*"]}}`,
		"LogGroupsAreEncrypted": service("logs."+region+".amazonaws.com") + uses +
			`{"ArnLike":{"kms:EncryptionContext:aws:logs:arn":[` + logs + `log-group:/aws/lambda/carnation-*",` + logs + `log-group:/aws/vendedlogs/states/carnation-*"]}}`,
		"AlarmsPublishToTheTopic": service("cloudwatch.amazonaws.com") + `kms:Decrypt kms:GenerateDataKey kms:GenerateDataKeyWithoutPlaintext ` +
			`{"ArnLike":{"aws:SourceArn":["arn:aws:cloudwatch:` + region + `:123456789012:alarm:carnation-*"]},"StringEquals":{"aws:SourceAccount":["123456789012"]}}`,
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

func TestMakeDeployCreatesUpdatesAndDestroys(t *testing.T) {
	p := newProject(t, "PROJECT=green", "ENVIRONMENT=test")
	p.make(t, "prerequisites", 0, "CREATE_COMPLETE")
	p.make(t, "deploy", 0, "create-stack green-test", "CREATE_COMPLETE", "StateMachineArn")
	if got, want := stackParameter(t, "green-test", "KmsMasterKeyId"), stackOutput(t, "green-prerequisites", "KmsKeyId"); got != want {
		t.Errorf("the stack's key is %s, want the one of make prerequisites, %s", got, want)
	}
	updates := countUpdates()
	p.make(t, "deploy", 0, "stack green-test is up to date", "StateMachineArn")
	if got := countUpdates(); got != updates {
		t.Error("a deployment of nothing new asked CloudFormation for an update, which may find nested stacks to update")
	}
	p.make(t, "deploy PARAMETERS=LambdaMemorySize=512", 0, "update-stack green-test", "UPDATE_COMPLETE")
	if got := countUpdates(); got != updates+1 {
		t.Errorf("%d updates are counted, want 1", got-updates)
	}
	memory := run(t, "aws", "lambda", "list-functions", "--query", "Functions[?starts_with(FunctionName,'green-')].MemorySize", "--output", "text")
	if memory != "512\t512" {
		t.Errorf("memory of the functions is %s, want 512 both", memory)
	}
	p.make(t, "deploy", 0, "stack green-test is up to date") // keeps the 512
	p.make(t, "deploy PARAMETERS=LambdaMemorySize=9", 2, "LambdaMemorySize")
	p.make(t, "run START=1 END=4", 0, "3 inserted, 0 failed")
	p.make(t, "status", 0, "3 rows")

	// A changed nested template, function and state machine each are an update, though nothing else has changed.
	p.replace(t, "cft/nested-stacks/sqs-stack.yaml", "KmsDataKeyReusePeriodSeconds: 3600", "KmsDataKeyReusePeriodSeconds: 600")
	p.make(t, "deploy", 0, "update-stack green-test", "SQSStack", "UPDATE_COMPLETE")
	reuse := run(t, "aws", "sqs", "get-queue-attributes", "--queue-url", stackOutput(t, "green-test", "DeadLetterQueueUrl"), "--attribute-names",
		"KmsDataKeyReusePeriodSeconds", "--query", "Attributes.KmsDataKeyReusePeriodSeconds", "--output", "text")
	if reuse != "600" {
		t.Errorf("after the update the queue's data keys are reused for %s s, want 600", reuse)
	}
	p.replace(t, "cmd/insert-data/main.go", "package main", "// Changed.\n\npackage main")
	p.make(t, "deploy", 0, "update-stack green-test", "GenerateDataStack", "UPDATE_COMPLETE")
	p.replace(t, "state-machine/carnation-state-machine.asl.json", `"failed": 0`, `"failed": 0, "new": true`)
	p.make(t, "deploy", 0, "update-stack green-test", "StateMachine", "UPDATE_COMPLETE")
	p.make(t, "deploy", 0, "stack green-test is up to date")
	p.make(t, "run START=4 END=6", 0, "2 inserted, 0 failed")

	name := stackOutput(t, "green-prerequisites", "BucketName")
	run(t, "aws", "s3", "cp", "go.mod", "s3://"+name+"/mine")
	p.make(t, "destroy", 2, "there is no terminal to ask whether to delete stack green-test: set YES=1")
	if got := stackStatus(t, "green-test"); got != "UPDATE_COMPLETE" {
		t.Errorf("after a refused destroy the stack is %s", got)
	}
	p.make(t, "destroy YES=1", 0, "DELETE_COMPLETE", "kept: the templates and the code", name+"/carnation", "KMS key")
	p.make(t, "destroy", 0, "there is no stack green-test")
	run(t, "aws", "s3", "ls", "s3://"+name+"/mine")
	p.make(t, "prerequisites", 0, "stack green-prerequisites is up to date")
}

func stackParameter(t *testing.T, name, key string) string {
	t.Helper()
	return run(t, "aws", "cloudformation", "describe-stacks", "--stack-name", name, "--output", "text",
		"--query", "Stacks[0].Parameters[?ParameterKey=='"+key+"'].ParameterValue")
}

// countUpdates is the updates of stacks that the shared local AWS was asked for so far.
func countUpdates() (n int) {
	return local.count("UpdateStack", "")
}

// causes is the lines in which make says why a stack's operation failed.
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

// In prod, where the protected table is in the way of a rollback.
func TestFailedCreationIsMendedByTheNextDeploy(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{"devl", "prod"} {
		t.Run(environment, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, "PROJECT=red", "ENVIRONMENT="+environment, "BUCKET="+bucket, "KMS_KEY_ID="+local.keyID)
			stack := "red-" + environment
			queue := fmt.Sprintf("red-retry-queue-%s-%s", environment, localaws.Region)
			url := run(t, "aws", "sqs", "create-queue", "--queue-name", queue, "--query", "QueueUrl", "--output", "text")
			out := p.make(t, "deploy", 2, "create-stack "+stack)
			wants := []string{"make: stack " + stack + " is ROLLBACK_COMPLETE: SQSStack/RetryQueue CREATE_FAILED: " + queue + " already exists"}
			if environment == "prod" {
				wants = []string{
					"make: stack " + stack + " is ROLLBACK_FAILED: SQSStack/RetryQueue CREATE_FAILED: " + queue + " already exists",
					"make: stack " + stack + " is ROLLBACK_FAILED: DynamoDBStack/Table DELETE_FAILED: ",
				}
			}
			expectCauses(t, out, wants...)
			run(t, "aws", "sqs", "delete-queue", "--queue-url", url)
			p.make(t, "deploy", 0, "it was never complete", "delete-stack "+stack, "create-stack "+stack, "CREATE_COMPLETE", "StateMachineArn")
			p.make(t, "destroy YES=1", 0, "DELETE_COMPLETE")
			if environment == "prod" { // which leaves them, in the way of the next such stack
				table := fmt.Sprintf("red-events-prod-%s", localaws.Region)
				run(t, "aws", "dynamodb", "update-table", "--table-name", table, "--no-deletion-protection-enabled")
				run(t, "aws", "dynamodb", "delete-table", "--table-name", table)
				run(t, "aws", "sqs", "delete-queue", "--queue-url", url)
				run(t, "aws", "sqs", "delete-queue", "--queue-url", strings.Replace(url, "retry", "dead-letter", 1))
			}
		})
	}
}

func TestFailedUpdateIsMendedByTheNextDeploy(t *testing.T) {
	t.Parallel()
	// A folder of its own, because it takes code away that others have under the same name.
	p := newProject(t, "PROJECT=gold", "PREFIX=gold", "BUCKET="+bucket, "KMS_KEY_ID="+local.keyID)
	p.make(t, "deploy", 0, "CREATE_COMPLETE")
	clash := `Resources:
  Clash:
    Type: AWS::Logs::LogGroup
    Properties: { LogGroupName: !Sub '/aws/vendedlogs/states/${ProjectName}-state-machine-${Environment}-${AWS::Region}' }
`
	restore := p.replace(t, "cft/nested-stacks/cloudwatch-stack.yaml", "Resources:\n", clash)
	out := p.make(t, "deploy", 2, "update-stack gold-devl")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_COMPLETE: CloudWatchStack/Clash CREATE_FAILED: ")

	// The same, and the rollback finds the functions' old code gone.
	p.replace(t, "cmd/generate-data/main.go", "package main", "// Changed.\n\npackage main")
	key := stackParameter(t, "gold-devl", "GenerateDataS3Key")
	saved := filepath.Join(t.TempDir(), "old.zip")
	run(t, "aws", "s3", "cp", "s3://"+bucket+"/"+key, saved)
	run(t, "aws", "s3", "rm", "s3://"+bucket+"/"+key)
	out = p.make(t, "deploy", 2, "update-stack gold-devl")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_FAILED: CloudWatchStack/Clash CREATE_FAILED: ",
		"make: stack gold-devl is UPDATE_ROLLBACK_FAILED: GenerateDataStack/Function UPDATE_FAILED: ")

	restore()
	out = p.make(t, "deploy", 2, "its rollback is continued first")
	expectCauses(t, out, "make: stack gold-devl is UPDATE_ROLLBACK_FAILED: GenerateDataStack/Function UPDATE_FAILED: ")
	run(t, "aws", "s3", "cp", saved, "s3://"+bucket+"/"+key)
	p.make(t, "deploy", 0, "continue-update-rollback gold-devl", "UPDATE_ROLLBACK_COMPLETE", "update-stack gold-devl", "UPDATE_COMPLETE", "StateMachineArn")
	p.make(t, "run START=1 END=3", 0, "2 inserted, 0 failed")
	p.make(t, "destroy YES=1", 0, "DELETE_COMPLETE")
}

func TestDestroyAsksOnATerminal(t *testing.T) {
	t.Parallel()
	p := newProject(t, "PROJECT=grey", "BUCKET="+bucket, "KMS_KEY_ID="+local.keyID)
	p.make(t, "deploy", 0, "CREATE_COMPLETE")
	answer := func(line string) string {
		t.Helper()
		// python3 gives the command a terminal; script(1) takes other flags on macOS.
		terminal := `import os, pty, sys
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
		cmd := exec.Command("python3", "-c", terminal, line, "make", "--no-print-directory", "-C", p.dir, "destroy")
		cmd.Env = local.environment(p.settings...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.WaitDelay = time.Minute
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		return out.String()
	}
	for _, no := range []string{"\n", "n\n", "x\n"} {
		expectInOrder(t, answer(no), "Delete stack grey-devl, with the events in table grey-events-devl-", "nothing was deleted")
	}
	if got := stackStatus(t, "grey-devl"); got != "CREATE_COMPLETE" {
		t.Errorf("after three times no the stack is %s", got)
	}
	expectInOrder(t, answer("y\n"), "[y/N]", "DELETE_COMPLETE", "kept: the templates and the code")
}
