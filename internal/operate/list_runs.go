package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// ListedRun is what the list of executions says about a run.
type ListedRun struct {
	Arn      string     `json:"arn"`
	Name     string     `json:"name"`
	Status   string     `json:"status"` // as Step Functions says it
	Started  time.Time  `json:"started"`
	Stopped  *time.Time `json:"stopped,omitempty"`
	Redrives int        `json:"redrives,omitempty"`
}

// NewListedRun is an element of the list.
func NewListedRun(item types.ExecutionListItem) ListedRun {
	return ListedRun{
		Arn: aws.ToString(item.ExecutionArn), Name: aws.ToString(item.Name), Status: string(item.Status),
		Started: aws.ToTime(item.StartDate), Stopped: item.StopDate, Redrives: int(aws.ToInt32(item.RedriveCount)),
	}
}

// RunsFilter says which runs are listed.
type RunsFilter struct {
	Status string    // as Step Functions says it; empty for all
	Since  time.Time // only runs that were started since then
	Max    int       // at least 1
}

// RunStatuses are the statuses of a run.
func RunStatuses() (names []string) {
	for _, status := range types.ExecutionStatus("").Values() {
		names = append(names, string(status))
	}
	return names
}

// Runs lists the runs of the stack, newest first. more says that there are others, older than the last one.
func (s *Stack) Runs(ctx context.Context, filter RunsFilter) (runs []ListedRun, more bool, err error) {
	const pageSize = 1000 // the most that AWS lists in a call
	pages := sfn.NewListExecutionsPaginator(s.executions, &sfn.ListExecutionsInput{
		StateMachineArn: aws.String(s.StateMachineArn), StatusFilter: types.ExecutionStatus(strings.ToUpper(filter.Status)),
		MaxResults: int32(min(filter.Max+1, pageSize)),
	})
	runs = []ListedRun{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return runs, false, fmt.Errorf("list runs: %w", err)
		}
		for _, item := range page.Executions {
			if aws.ToTime(item.StartDate).Before(filter.Since) {
				return runs, false, nil
			}
			if len(runs) == filter.Max {
				return runs, true, nil
			}
			runs = append(runs, NewListedRun(item))
		}
	}
	return runs, false, nil
}
