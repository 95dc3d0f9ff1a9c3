package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/localaws"
)

// This file goes when no test uses it any more: a local AWS and a stack that tests share which do not run in parallel.

const stackName = "carnation-devl"

var (
	local  *cloud
	shared *deployed
)

// distributedStack is in the distributed mode.
func distributedStack(t *testing.T) *deployed {
	t.Helper()
	d, err := distributed()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var distributed = sync.OnceValues(func() (*deployed, error) {
	return local.createStack("sharded-devl", append([]string{"ProjectName=sharded", "MapMode=DISTRIBUTED", "ShardSize=20", "ShardConcurrency=10", "LambdaReservedConcurrency=4"}, code...)...)
})

func prepareShared() (err error) {
	if local, err = clouds.take(); err != nil {
		return err
	}
	shared, err = local.createStack(stackName, code...)
	return err
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	return local.run(t, args...)
}

func setFaults(t *testing.T, rules ...localaws.Rule) {
	t.Helper()
	local.setFaults(t, rules...)
	if len(rules) > 0 {
		t.Cleanup(func() { local.setFaults(t) })
	}
}

func shortenVisibility(t *testing.T, seconds int) {
	t.Helper()
	shared.setVisibility(t, seconds)
	t.Cleanup(func() {
		_, err := shared.sqs.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{
			QueueUrl: aws.String(shared.outputs["RetryQueueUrl"]), Attributes: map[string]string{"VisibilityTimeout": "960"},
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func logsOf(t *testing.T, function string) string {
	t.Helper()
	return shared.logs(t, function)
}

// parameterFlags is for aws cloudformation update-stack.
func (c *cloud) parameterFlags(parameters []string) (flags []string) {
	for _, p := range c.parameters(parameters) {
		flags = append(flags, "ParameterKey="+*p.ParameterKey+",ParameterValue="+*p.ParameterValue)
	}
	return flags
}

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

func deleteStack(t *testing.T, name string) {
	t.Helper()
	run(t, "aws", "cloudformation", "delete-stack", "--stack-name", name)
	run(t, "aws", "cloudformation", "wait", "stack-delete-complete", "--stack-name", name)
}
