package model

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"
)

// The API actions that a document needs.
const (
	describeExecution    = "DescribeExecution"
	describeStateMachine = "DescribeStateMachineForExecution"
	getExecutionHistory  = "GetExecutionHistory"
	listExecutions       = "ListExecutions"
	describeMapRun       = "DescribeMapRun"
	listMapRuns          = "ListMapRuns"
	filterLogEvents      = "FilterLogEvents"
)

// quotas are the calls in a second that AWS allows an account, in the regions with the lowest quotas, and how many may come at once.
// docs/scale.md has them, too.
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
var quotas = map[string]struct {
	second rate.Limit
	burst  int
}{
	describeExecution:    {10, 100},
	describeStateMachine: {1, 100},
	getExecutionHistory:  {20, 100},
	listExecutions:       {2, 100},
	describeMapRun:       {1, 100},
	listMapRuns:          {1, 100},
	filterLogEvents:      {5, 5},
}

// limits are the limiters of one account and region, one for each API action.
type limits map[string]*rate.Limiter

func newLimits() limits {
	l := limits{}
	for action, quota := range quotas {
		l[action] = rate.NewLimiter(quota.second, quota.burst)
	}
	return l
}

func (l limits) wait(ctx context.Context, action string) error { return l[action].Wait(ctx) }

// limitsOf are the limits of this process, by endpoint and region.
var limitsOf sync.Map

func limitsFor(endpoint, region string) limits {
	found, _ := limitsOf.LoadOrStore(endpoint+" "+region, newLimits())
	return found.(limits)
}

// ErrRate says that AWS would allow a call only after the caller's time has ended.
var ErrRate = errors.New("so many calls are waiting that AWS allows no more of them in time")

// Limited makes a client wait before its calls, so that together with those of Read they are no more than AWS allows in a second.
func Limited(cfg aws.Config) func(*sfn.Options) {
	l := limitsFor(aws.ToString(cfg.BaseEndpoint), cfg.Region)
	wait := middleware.InitializeMiddlewareFunc("Limited", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		if action := middleware.GetOperationName(ctx); l[action] != nil {
			if err := l.wait(ctx, action); err != nil {
				if ctx.Err() == nil {
					err = fmt.Errorf("%s: %w", action, ErrRate)
				}
				return middleware.InitializeOutput{}, middleware.Metadata{}, err
			}
		}
		return next.HandleInitialize(ctx, in)
	})
	return func(o *sfn.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(wait, middleware.After) })
	}
}
