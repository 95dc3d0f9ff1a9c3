package operate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// rootDescription begins the description of Carnation's root template. A stack has it from its beginning, and its outputs only at its end.
const rootDescription = "Carnation: a state machine"

// StackState is a Carnation stack of the account and the region.
type StackState struct {
	Name    string
	State   string // as CloudFormation says it, such as CREATE_IN_PROGRESS
	MapMode string // INLINE or DISTRIBUTED; empty while it is made
}

// Stacks lists the Carnation stacks of the account and the region, by their names.
func Stacks(ctx context.Context, cfg aws.Config) ([]StackState, error) {
	var found []StackState
	pages := cloudformation.NewDescribeStacksPaginator(cloudformation.NewFromConfig(cfg), &cloudformation.DescribeStacksInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the stacks in %s: %w", cfg.Region, err)
		}
		for _, stack := range page.Stacks {
			if stack.ParentId != nil || stack.StackStatus == types.StackStatusDeleteComplete || !strings.HasPrefix(aws.ToString(stack.Description), rootDescription) {
				continue
			}
			one := StackState{Name: aws.ToString(stack.StackName), State: string(stack.StackStatus)}
			for _, output := range stack.Outputs {
				if aws.ToString(output.OutputKey) == "MapMode" {
					one.MapMode = aws.ToString(output.OutputValue)
				}
			}
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b StackState) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}
