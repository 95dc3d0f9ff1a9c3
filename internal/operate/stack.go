// Package operate works with a deployed Carnation stack: it starts runs and follows them, reports where the events are, and
// moves dead letters back to the retry queue. It uses nothing but AWS's own APIs.
package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Stack is a deployed Carnation stack, as its outputs describe it.
type Stack struct {
	Name               string
	StateMachineArn    string
	Distributed        bool // whether its runs are
	TableName          string
	RetryQueueURL      string
	DeadLetterQueueURL string

	executions *sfn.Client
	table      *dynamodb.Client
	queues     *sqs.Client
}

// Open finds the stack by its name, in the account and the region of the usual AWS configuration. The error says so if there
// is no such stack, or if an output is missing.
func Open(ctx context.Context, name string) (*Stack, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("AWS region is missing: set AWS_REGION, or a region in your profile")
	}
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		return nil, fmt.Errorf("find stack %s in %s: %w", name, cfg.Region, err)
	}
	s := &Stack{
		Name:       name,
		executions: sfn.NewFromConfig(cfg),
		table:      dynamodb.NewFromConfig(cfg),
		queues:     sqs.NewFromConfig(cfg),
	}
	if err := s.readOutputs(out.Stacks[0]); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Stack) readOutputs(stack types.Stack) error {
	outputs := map[string]string{}
	for _, output := range stack.Outputs {
		outputs[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
	}
	for key, field := range map[string]*string{
		"StateMachineArn": &s.StateMachineArn, "TableName": &s.TableName,
		"RetryQueueUrl": &s.RetryQueueURL, "DeadLetterQueueUrl": &s.DeadLetterQueueURL,
	} {
		if *field = outputs[key]; *field == "" {
			return fmt.Errorf("stack %s is %s and has no output %s: is it a complete Carnation stack?", s.Name, stack.StackStatus, key)
		}
	}
	s.Distributed = outputs["MapMode"] == "DISTRIBUTED"
	return nil
}
