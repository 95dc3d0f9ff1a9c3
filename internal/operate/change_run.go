package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// RunChange is what a stop or a redrive of a run does to its events.
type RunChange struct {
	Arn    string `json:"arn"`
	Name   string `json:"name"`
	Status string `json:"status"`          // as Step Functions says it
	State  string `json:"state,omitempty"` // in which the run is, or ended
	Events int    `json:"events"`          // of the run, as far as they are known
	Done   int    `json:"done"`            // in the table or in a queue
	// New and Claimed events are neither in the table nor in a queue.
	New     int `json:"new"`
	Claimed int `json:"claimed"` // from the retry queue
	// AtMost says that there may be fewer New and Claimed ones: Step Functions counts the shards, not their events. Then Done is 0.
	AtMost bool `json:"at_most,omitempty"`
	// Returns is when the claimed ones are visible in the retry queue again, at the latest.
	Returns *time.Time  `json:"returns,omitempty"`
	Shards  *ShardsLeft `json:"shards,omitempty"` // of a distributed run
	// What says what happens, for people: a sentence for each thing.
	What []string `json:"what"`
}

// ShardsLeft counts the shards of a distributed run. A batch of your own events is a shard, which Total counts once Step Functions has
// read it.
type ShardsLeft struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"` // which keep their results
	Running   int `json:"running"`
	Left      int `json:"left"` // which have not succeeded, with those that have not begun
}

// RefusedError says why a run cannot be stopped or redriven.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// missingRunError says which run does not exist, without the details of the call.
type missingRunError struct {
	message string
	cause   *types.ExecutionDoesNotExist
}

func (e *missingRunError) Error() string { return e.message }

func (e *missingRunError) Unwrap() error { return e.cause }

// FindRun is the ARN of a run, from its name or its ARN. The error is a *RefusedError if that cannot be a run of this stack, and wraps
// types.ExecutionDoesNotExist if there is no such run.
func (s *Stack) FindRun(ctx context.Context, execution string) (string, error) {
	arn, err := s.RunARN(execution)
	if err != nil {
		return "", err
	}
	if strings.Contains(arn[strings.Index(arn, ":execution:"):], "/") {
		return "", &RefusedError{fmt.Sprintf("execution %s is a shard: must be a run, which stops and redrives its shards", execution)}
	}
	_, err = s.describeRun(ctx, arn)
	return arn, err
}

// RunARN is the ARN of a run, from its name or its ARN, or that of a shard, from its ARN. The error is a *RefusedError if that cannot be
// an execution of this stack. It does not ask AWS.
func (s *Stack) RunARN(execution string) (string, error) {
	runs := strings.Replace(s.StateMachineArn, ":stateMachine:", ":execution:", 1)
	express := strings.Replace(s.StateMachineArn, ":stateMachine:", ":express:", 1) // its children, if they are Express ones
	switch {
	case execution == "":
		return "", &RefusedError{"execution is empty: must be the name or the ARN of a run"}
	case !strings.Contains(execution, ":"):
		return runs + ":" + execution, nil
	}
	for _, prefix := range []string{runs + ":", runs + "/", express + ":", express + "/"} {
		if strings.HasPrefix(execution, prefix) && len(execution) > len(prefix) {
			return execution, nil
		}
	}
	return "", &RefusedError{fmt.Sprintf("execution %s is not one of stack %s: must be a name, or an ARN that begins with %s:", execution, s.Name, runs)}
}

func (s *Stack) describeRun(ctx context.Context, arn string) (*sfn.DescribeExecutionOutput, error) {
	out, err := s.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	var missing *types.ExecutionDoesNotExist
	if errors.As(err, &missing) {
		return nil, &missingRunError{fmt.Sprintf("stack %s has no run %s; AWS forgets runs after 90 days", s.Name, arn[strings.LastIndex(arn, ":")+1:]), missing}
	}
	if err != nil {
		return nil, fmt.Errorf("look for run %s: %w", arn, err)
	}
	return out, nil
}

// PlanStop says what StopRun would do, and changes nothing. The error is a *RefusedError if the run has ended.
func (s *Stack) PlanStop(ctx context.Context, arn string) (RunChange, error) {
	execution, err := s.describeRun(ctx, arn)
	if err != nil {
		return RunChange{}, err
	}
	if err := checkStop(execution); err != nil {
		return RunChange{}, err
	}
	change, r, err := s.remaining(ctx, execution)
	if err == nil {
		change.What = change.stopped(r, false)
	}
	return change, err
}

// checkStop refuses a run that has ended: Step Functions would accept the stop, and do nothing.
func checkStop(execution *sfn.DescribeExecutionOutput) error {
	if execution.Status == types.ExecutionStatusRunning || execution.Status == types.ExecutionStatusPendingRedrive {
		return nil
	}
	return &RefusedError{fmt.Sprintf("run %s is %s: must be %s to be stopped", aws.ToString(execution.Name), execution.Status, types.ExecutionStatusRunning)}
}

// StopRun stops a run. Its claimed events come back by themselves, and RedriveRun continues it. The change says what the run has left.
// The error is a *RefusedError if the run has ended.
func (s *Stack) StopRun(ctx context.Context, arn string) (RunChange, error) {
	execution, err := s.describeRun(ctx, arn)
	if err != nil {
		return RunChange{}, err
	}
	if err := checkStop(execution); err != nil {
		return RunChange{}, err
	}
	if _, err := s.executions.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		return RunChange{}, fmt.Errorf("stop run %s: %w", aws.ToString(execution.Name), err)
	}
	if execution, err = s.describeRun(ctx, arn); err != nil {
		return RunChange{}, fmt.Errorf("the run was stopped; what it has left is not known: %w", err)
	}
	change, r, err := s.remaining(ctx, execution)
	if err != nil {
		return change, fmt.Errorf("the run was stopped; what it has left is not known: %w", err)
	}
	if execution.Status == types.ExecutionStatusAborted {
		change.What = change.stopped(r, true)
	} else {
		change.What = []string{fmt.Sprintf("the run ended before it could be stopped: it is %s", execution.Status)}
	}
	return change, nil
}

// PlanRedrive says what RedriveRun would repeat, and changes nothing. The error is a *RefusedError if the run cannot be redriven, with the
// reason of Step Functions, or if a redrive could do nothing.
func (s *Stack) PlanRedrive(ctx context.Context, arn string) (RunChange, error) {
	execution, err := s.describeRun(ctx, arn)
	if err != nil {
		return RunChange{}, err
	}
	name := aws.ToString(execution.Name)
	if execution.RedriveStatus == types.ExecutionRedriveStatusNotRedrivable {
		return RunChange{}, &RefusedError{fmt.Sprintf("run %s cannot be redriven: %s", name, aws.ToString(execution.RedriveStatusReason))}
	}
	if aws.ToString(execution.Error) == eventsFailed {
		return RunChange{}, &RefusedError{fmt.Sprintf("run %s has nothing to redrive: its events are in the table or in a queue; carnation run --until-empty retries those that failed", name)}
	}
	change, r, err := s.remaining(ctx, execution)
	if err == nil {
		change.What = change.redriven(r, aws.ToString(execution.Error))
	}
	return change, err
}

// RedriveRun continues a run that failed, was stopped or timed out. The change says what it repeats. Its errors are those of PlanRedrive.
func (s *Stack) RedriveRun(ctx context.Context, arn string) (RunChange, error) {
	change, err := s.PlanRedrive(ctx, arn)
	if err != nil {
		return change, err
	}
	_, err = s.executions.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn)})
	var refused *types.ExecutionNotRedrivable
	if errors.As(err, &refused) { // since a moment ago
		return change, &RefusedError{fmt.Sprintf("run %s cannot be redriven: %s", change.Name, refused.ErrorMessage())}
	}
	if err != nil {
		return change, fmt.Errorf("redrive run %s: %w", change.Name, err)
	}
	change.Status = string(types.ExecutionStatusRunning)
	return change, nil
}

// stopped says what a stop does, or has done.
func (c RunChange) stopped(r *remains, done bool) (what []string) {
	then, continues := " then", fmt.Sprintf("within 14 days, carnation runs redrive %s continues", c.Name)
	if done {
		then = ""
	}
	switch {
	case !r.known:
		what = append(what, fmt.Sprintf("no event was processed; %s the run from its beginning", continues))
		if !r.distributed {
			what = append(what, fmt.Sprintf("events that %s has just claimed come back to the retry queue by themselves, within %s", GenerateData, r.visibility))
		}
		return what
	case r.distributed:
		what = append(what, fmt.Sprintf("%d of %d shards are done: their events are in the table or in a queue", c.Shards.Succeeded, c.Shards.Total))
		if c.Shards.Left > 0 {
			what = append(what, fmt.Sprintf("%d of them not; %s with these", c.Shards.Left, continues))
		}
		if c.New > 0 {
			what = append(what, fmt.Sprintf("up to %s%s only in the plan or in the source of the run", number(c.New, "new event is", "new events are"), then))
		}
	default:
		what = append(what, fmt.Sprintf("%d of %s done: in the table or in a queue", c.Done, number(c.Events, "event is", "events are")))
		if c.New > 0 {
			what = append(what, fmt.Sprintf("%s%s only in the history of the run; %s with %s", number(c.New, "new event is", "new events are"), then, continues, itOrThem(c.New)))
		}
	}
	if r.unread {
		what = append(what, "records that Step Functions has not read yet are not counted; a redrive reads them")
	}
	if c.Claimed > 0 {
		what = append(what, c.comesBack(time.Now()))
	}
	if c.New+c.Claimed > 0 {
		what = append(what, "functions that are running go on to their end, so some of these events may still be inserted")
	}
	return what
}

// comesBack says when the claimed events are visible again.
func (c RunChange) comesBack(now time.Time) string {
	upTo, at := "", c.Returns.Local().Format(time.DateTime)
	if c.AtMost {
		upTo = "up to "
	}
	if c.Returns.After(now) {
		return fmt.Sprintf("%s%s back to the retry queue without help, by %s", upTo, number(c.Claimed, "claimed event comes", "claimed events come"), at)
	}
	return fmt.Sprintf("%s%s back in the retry queue since %s; another run may have taken %s, which does no harm: an event that is inserted twice is one row",
		upTo, number(c.Claimed, "claimed event is", "claimed events are"), at, itOrThem(c.Claimed))
}

// redriven says what a redrive repeats. failure is the error of the run.
func (c RunChange) redriven(r *remains, failure string) (what []string) {
	ifNotFixed := func(unless string) {
		if failure != "" {
			what = append(what, fmt.Sprintf("its error was %s: unless %s, the run fails again", failure, unless))
		}
	}
	switch {
	case !r.known:
		what = append(what, fmt.Sprintf("no event was processed; the run begins again in the state %s, with the same input", c.State))
		ifNotFixed("the cause is gone")
		return what
	case r.distributed && c.Shards.Left > 0:
		again := fmt.Sprintf("%d of %d shards have not succeeded and run again", c.Shards.Left, c.Shards.Total)
		if c.New > 0 {
			again += fmt.Sprintf(", with up to %s", number(c.New, "new event", "new events"))
		}
		what = append(what, again, fmt.Sprintf("%s; events that another shard has inserted before are inserted into the same rows", number(c.Shards.Succeeded, "shard keeps its result", "shards keep their results")))
		if r.unread {
			what = append(what, "records that Step Functions has not read yet are not counted; the redrive reads them")
		}
	case r.distributed:
		what = append(what, fmt.Sprintf("all shards keep their results; the run continues in the state %s", c.State))
		if failure == unaccounted {
			ifNotFixed("the function was repaired")
		}
	case c.State == ProcessEvents:
		again, failed := r.open()
		what = append(what, fmt.Sprintf("%d of %s no result, and the run tries %s again", again, number(c.Events, "event has", "events have"), itOrThem(again)))
		if keep := c.Events - again; keep > 0 {
			what = append(what, number(keep, "event keeps its result", "events keep their results"))
		}
		if failed > 0 {
			what = append(what, fmt.Sprintf("%s, and the run sends %s to a queue at its end", number(failed, "of these results is a failure", "of these results are failures"), itOrThem(failed)))
		}
	case c.State == ReturnFailed:
		what = append(what, fmt.Sprintf("%s not in a queue yet, and the run sends %s there; no event is tried again", number(c.New+c.Claimed, "failed event is", "failed events are"), itOrThem(c.New+c.Claimed)))
	default:
		what = append(what, fmt.Sprintf("the run continues in the state %s; no event is tried again", c.State))
	}
	if c.Claimed > 0 {
		what = append(what, c.comesBack(time.Now()))
	}
	return what
}

// number is n with the words for one or for another number.
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func itOrThem(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
