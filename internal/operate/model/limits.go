package model

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// The API actions that a document needs.
const (
	describeExecution    = "DescribeExecution"
	describeStateMachine = "DescribeStateMachineForExecution"
	getExecutionHistory  = "GetExecutionHistory"
	listExecutions       = "ListExecutions"
	describeMapRun       = "DescribeMapRun"
	filterLogEvents      = "FilterLogEvents"
)

// quotas are the calls in a second that AWS allows an account, in the regions with the lowest quotas, and how many may come at once.
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
