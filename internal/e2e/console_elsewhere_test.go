package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/e2e/browser"
)

// smallStack has what the console needs of a Carnation stack, and no function: its endpoint runs none.
const smallStack = `
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      AttributeDefinitions: [{AttributeName: sequenceNo, AttributeType: N}]
      KeySchema: [{AttributeName: sequenceNo, KeyType: HASH}]
      BillingMode: PAY_PER_REQUEST
  RetryQueue: {Type: AWS::SQS::Queue}
  DeadLetterQueue: {Type: AWS::SQS::Queue}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: states.amazonaws.com}, Action: sts:AssumeRole}]}
  StateMachine:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: !GetAtt Role.Arn
      DefinitionString: '{"StartAt":"Rest","States":{"Rest":{"Type":"Pass","End":true}}}'
Outputs:
  StateMachineArn: {Value: !Ref StateMachine}
  TableName: {Value: !Ref Table}
  RetryQueueUrl: {Value: !Ref RetryQueue}
  DeadLetterQueueUrl: {Value: !Ref DeadLetterQueue}
  MapMode: {Value: INLINE}
`

var motoAddress = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// otherEndpoint is an AWS-compatible endpoint that is not local AWS: moto's own server, with all that it lacks. end ends it.
func otherEndpoint(t *testing.T) (url string, end func()) {
	t.Helper()
	cmd := exec.Command("python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(end)
	var said []string
	for lines := bufio.NewScanner(log); lines.Scan(); said = append(said, lines.Text()) {
		if found := motoAddress.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return found[1], end
		}
	}
	t.Fatalf("moto's server does not say where it is: %q", said)
	return "", nil
}

// TestConsoleOnAnotherEndpoint shows a stack on an endpoint that is neither AWS nor local AWS, and lacks much. The page shows what the
// endpoint answers, and says what it does not.
func TestConsoleOnAnotherEndpoint(t *testing.T) {
	t.Parallel()
	b := needBrowser(t)
	endpoint, end := otherEndpoint(t)
	const name, region = "elsewhere", "eu-north-1"
	address := startConsole(t, append(environment(), "AWS_ENDPOINT_URL="+endpoint, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=someone", "AWS_SECRET_ACCESS_KEY=secret"), "--stack-name", name)
	p := b.Open(t)
	p.Allow("^the browser complains: network: Failed to load resource: the server responded with a status of (404|502|503)")
	p.Goto(address)
	p.WaitText("make prerequisites && make deploy STACK_NAME=" + name)

	cfg := aws.Config{Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("someone", "secret", "")}
	stacks, ctx := cloudformation.NewFromConfig(cfg), t.Context()
	if _, err := stacks.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: aws.String(name), TemplateBody: aws.String(smallStack)}); err != nil {
		t.Fatal(err)
	}
	found, err := stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{}
	for _, o := range found.Stacks[0].Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	p.WaitText("There are no events yet") // the page has noticed the stack

	for i := range 3 {
		if _, err := dynamodb.NewFromConfig(cfg).PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(outputs["TableName"]), Item: map[string]dbtypes.AttributeValue{
			"sequenceNo": &dbtypes.AttributeValueMemberN{Value: fmt.Sprint(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	queues := sqs.NewFromConfig(cfg)
	for queue, messages := range map[string]int{"RetryQueueUrl": 2, "DeadLetterQueueUrl": 1} {
		for range messages {
			if _, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(outputs[queue]), MessageBody: aws.String("no event")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitTiles(p, 3, 2, 1)

	// Its runs never end, and their histories are made up.
	p.Click("button", "Start a run")
	p.Click("button", "/^Start run with /")
	waitRun(p, "Running")
	p.WaitText("Not everything could be read")
	p.WaitText("does not exist") // the log group
	p.Click("button", "Stop")
	p.Click("button", "Stop run")
	waitRun(p, "Stopped")
	refused := browser.Eval[string](p, `(async () => {
		const answer = await fetch("/api/redrive?stack=`+name+`", { method: "POST", headers: { "Content-Type": "application/json", "X-Carnation-Token": document.querySelector('meta[name="carnation-token"]').content },
			body: JSON.stringify({ arn: decodeURIComponent(location.hash.split("/").at(-1)) }) });
		return answer.status + " " + await answer.text();
	})()`)
	if !strings.Contains(refused, "SFN RedriveExecution: the endpoint answers with status 500, and not as AWS does") {
		t.Errorf("a redrive, which this endpoint does not know: %s", refused)
	}

	p.Click("link", "/^Dead letters/")
	p.Click("checkbox", "Select all")
	p.Click("button", "Drop")
	p.Click("button", "Drop 1 dead letter")
	p.WaitText("No event failed for good.")
	p.Click("link", "Events")
	waitTiles(p, 3, 2, 0)

	const run = "/^[0-9a-f]{8}-/"
	p.WaitFor("link", run)
	end()
	p.WaitText("AWS does not answer.")
	if strings.Contains(p.Text(), "AWS does not answer: ") || !p.Has("link", run) {
		t.Errorf("the page says the same twice, or does not show the run any more: %s", p.Text())
	}
}
