package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
)

// Start starts an execution. Without a name, AWS gives it one. With a name, the same name and input start nothing twice: again is true
// if there is such an execution, whether it has ended or not. AWS forgets a name after 90 days.
//
// Step Functions itself does the same for an execution that is running, and refuses the name of one that has ended:
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
func (s *Stack) Start(ctx context.Context, input event.Input, name string) (arn string, again bool, err error) {
	data, err := event.Encode(input)
	if err != nil {
		return "", false, fmt.Errorf("start execution: %w", err)
	}
	request := &sfn.StartExecutionInput{StateMachineArn: aws.String(s.StateMachineArn), Input: aws.String(string(data))}
	if name != "" {
		request.Name = aws.String(name)
		if arn, err := s.started(ctx, name, string(data)); arn != "" || err != nil {
			return arn, true, err
		}
	}
	out, err := s.executions.StartExecution(ctx, request)
	var exists *types.ExecutionAlreadyExists
	if errors.As(err, &exists) { // since a moment ago
		arn, err := s.started(ctx, name, string(data))
		if arn == "" && err == nil {
			err = fmt.Errorf("start execution: %w", exists)
		}
		return arn, true, err
	}
	if err != nil {
		return "", false, fmt.Errorf("start execution: %w", err)
	}
	return aws.ToString(out.ExecutionArn), false, nil
}

// started is the ARN of the execution with this name, or "" if there is none. The error says that it has another input.
func (s *Stack) started(ctx context.Context, name, input string) (string, error) {
	arn := strings.Replace(s.StateMachineArn, ":stateMachine:", ":execution:", 1) + ":" + name
	out, err := s.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	var missing *types.ExecutionDoesNotExist
	if errors.As(err, &missing) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for execution %s: %w", name, err)
	}
	if aws.ToString(out.Input) != input {
		return "", fmt.Errorf("execution %s was started with another input at %s: choose another name", name, aws.ToTime(out.StartDate).UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return arn, nil
}
