package model

import (
	"context"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
)

const defaultVisits = 50

// Visits are the visits of one state of an execution with what went in and out, in their order: at most limit of them, or 50. index is
// the iteration of the innermost Map state around it, nil for all. With an index, the path of a Map state means the states inside that
// iteration.
func Visits(ctx context.Context, stack *operate.Stack, executionArn string, path []string, index *int, limit int) ([]Visit, error) {
	if limit <= 0 {
		limit = defaultVisits
	}
	return visits(ctx, stack, executionArn, limit, func(v *visit) bool { return wanted(v, path, index) })
}

// AllVisits are the visits of all states of an execution, as Visits has them. A history has 25,000 events at most, so they are bounded.
func AllVisits(ctx context.Context, stack *operate.Stack, executionArn string) ([]Visit, error) {
	return visits(ctx, stack, executionArn, math.MaxInt, func(*visit) bool { return true })
}

func visits(ctx context.Context, stack *operate.Stack, executionArn string, limit int, wanted func(*visit) bool) ([]Visit, error) {
	r := newReader(stack, Options{})
	if err := r.describe(ctx, executionArn); err != nil {
		return nil, err
	}
	list, of := []Visit{}, map[*visit]int{}
	see := func(e types.HistoryEvent, v *visit) {
		if v == nil {
			return
		}
		if entered := e.StateEnteredEventDetails; entered != nil && len(list) < limit && wanted(v) {
			of[v] = len(list)
			one := Visit{Path: v.path(), EventID: v.event, Input: raw(aws.ToString(entered.Input))}
			if v.frame.of != nil {
				one.Index = ptr(v.frame.index)
			}
			list = append(list, one)
		}
		if at, ok := of[v]; ok && e.StateExitedEventDetails != nil {
			list[at].Output = raw(aws.ToString(e.StateExitedEventDetails.Output))
		}
	}
	j := newJourney(r.doc.Run.Started, see)
	if err := r.readHistory(ctx, executionArn, j, true); err != nil {
		return nil, err
	}
	for v, at := range of {
		one := &list[at]
		one.Start, one.End, one.Status, one.Retries = v.start, v.end, v.status, v.retries()
		one.Error, one.Cause, one.Request = v.error, v.cause, v.request
	}
	return list, nil
}

func wanted(v *visit, path []string, index *int) bool {
	if index == nil {
		return slices.Equal(v.path(), path)
	}
	f := v.frame
	return f.of != nil && f.index == *index && (slices.Equal(v.path(), path) || slices.Equal(f.path(), path))
}
