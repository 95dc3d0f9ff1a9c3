// Package operate works with a deployed Carnation stack: it starts runs and follows them, reports where the events are, and
// moves dead letters back to the retry queue. It uses nothing but AWS's own APIs.
package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
)

// Stack is a deployed Carnation stack, as its outputs and its parameters describe it.
type Stack struct {
	Name               string
	State              string // as CloudFormation says it, such as UPDATE_COMPLETE
	Config             aws.Config
	Outputs            map[string]string
	Parameters         map[string]string
	StateMachineArn    string
	Distributed        bool // whether its runs are
	TableName          string
	RetryQueueURL      string
	DeadLetterQueueURL string
	TopicArn           string // that the alarms notify

	executions *sfn.Client
	table      *dynamodb.Client
	queues     *sqs.Client
	topics     *sns.Client
}

// NoStackError says that there is no such stack, or that it has no outputs (yet).
type NoStackError struct {
	Name  string
	State string // as CloudFormation says it; empty if there is none
	err   error
}

func (e *NoStackError) Error() string { return e.err.Error() }

func (e *NoStackError) Unwrap() error { return e.err }

// Open finds the stack by its name, in the account and the region of the usual AWS configuration. The error says so if there
// is no such stack, or if an output is missing.
func Open(ctx context.Context, name string) (*Stack, error) {
	cfg, err := Configuration(ctx)
	if err != nil {
		return nil, err
	}
	return OpenWith(ctx, cfg, name)
}

// OpenWith is Open with this configuration.
func OpenWith(ctx context.Context, cfg aws.Config, name string) (*Stack, error) {
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: aws.String(name)})
	if err != nil {
		err = fmt.Errorf("find stack %s in %s: %w", name, cfg.Region, err)
		if answer, ok := errors.AsType[smithy.APIError](err); ok && answer.ErrorCode() == "ValidationError" && strings.HasSuffix(answer.ErrorMessage(), " does not exist") {
			err = &NoStackError{Name: name, err: err}
		}
		return nil, err
	}
	if len(out.Stacks) == 0 {
		return nil, &NoStackError{Name: name, err: fmt.Errorf("find stack %s in %s: the answer has no stack", name, cfg.Region)}
	}
	s := &Stack{
		Name:       name,
		Config:     cfg,
		executions: sfn.NewFromConfig(cfg),
		table:      dynamodb.NewFromConfig(cfg),
		queues:     sqs.NewFromConfig(cfg),
		topics:     sns.NewFromConfig(cfg),
	}
	if err := s.read(out.Stacks[0]); err != nil {
		return nil, err
	}
	return s, nil
}

// read takes what the stack says about itself.
func (s *Stack) read(stack types.Stack) error {
	s.State = string(stack.StackStatus)
	s.Outputs, s.Parameters = map[string]string{}, map[string]string{}
	for _, output := range stack.Outputs {
		s.Outputs[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
	}
	for _, parameter := range stack.Parameters {
		s.Parameters[aws.ToString(parameter.ParameterKey)] = aws.ToString(parameter.ParameterValue)
	}
	for key, field := range map[string]*string{
		"StateMachineArn": &s.StateMachineArn, "TableName": &s.TableName,
		"RetryQueueUrl": &s.RetryQueueURL, "DeadLetterQueueUrl": &s.DeadLetterQueueURL,
	} {
		if *field = s.Outputs[key]; *field == "" {
			return &NoStackError{s.Name, s.State, fmt.Errorf("stack %s is %s and has no output %s: is it a complete Carnation stack?", s.Name, s.State, key)}
		}
	}
	s.TopicArn = s.Outputs["TopicArn"]
	s.Distributed = s.Outputs["MapMode"] == "DISTRIBUTED"
	return nil
}
