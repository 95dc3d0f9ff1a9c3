package e2e

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/localaws"
)

// runs are the executions of the state machine, the newest first.
func (d *deployed) runs(t testing.TB) (arns []string) {
	t.Helper()
	out, err := d.sfn.ListExecutions(t.Context(), &sfn.ListExecutionsInput{StateMachineArn: aws.String(d.outputs["StateMachineArn"])})
	if err != nil {
		t.Fatal(err)
	}
	return namesOf(out.Executions, func(run sfntypes.ExecutionListItem) *string { return run.ExecutionArn })
}

// scheduled changes RetrySchedule, and waits for the run that the new schedule starts. A schedule with a rate starts one at once.
func (d *deployed) scheduled(t *testing.T, expression string) *sfn.DescribeExecutionOutput {
	t.Helper()
	before := d.runs(t)
	d.update(t, "RetrySchedule="+expression)
	var started []string
	waitFor(t, "the schedule to start a run", func() bool {
		started = slices.DeleteFunc(d.runs(t), func(run string) bool { return slices.Contains(before, run) })
		return len(started) > 0
	})
	if len(started) > 1 {
		t.Errorf("the schedule started %d runs, want 1: %v", len(started), started)
	}
	out := d.wait(t, started[0])
	if got := aws.ToString(out.Input); !equalJSON(t, got, `{"start_seq":0,"end_seq":0}`) {
		t.Errorf("the schedule started a run with the input %s, want one that only retries", got)
	}
	return out
}

// scheduleResources are the resources of the stack's schedule, as Type=ID.
func (d *deployed) scheduleResources(t *testing.T) (found []string) {
	t.Helper()
	resources := func(stack string) []cfntypes.StackResourceSummary {
		out, err := d.cloudformation.ListStackResources(t.Context(), &cloudformation.ListStackResourcesInput{StackName: aws.String(stack)})
		if err != nil {
			t.Fatal(err)
		}
		return out.StackResourceSummaries
	}
	for _, nested := range resources(d.name) {
		if *nested.LogicalResourceId == "ScheduleStack" && nested.ResourceStatus != cfntypes.ResourceStatusDeleteComplete {
			for _, r := range resources(*nested.PhysicalResourceId) {
				found = append(found, *r.ResourceType+"="+*r.PhysicalResourceId)
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestRetryScheduleStartsRunsThatRetryTheFailedEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.execute(t, `{"start_seq":1,"end_seq":6,"failure_rate":1}`)
	s.expectQueue(t, "RetryQueueUrl", 5, 0)

	out := s.scheduled(t, "rate(1 hour)")
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if !equalJSON(t, *out.Output, `{"inserted":5,"failed":0}`) {
		t.Errorf("the output of the scheduled run is %s, want that of 5 retries", *out.Output)
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
	if rows := s.rows(t, 1, 6); len(rows) != 5 {
		t.Errorf("the table has %d of the failed events, want all 5", len(rows))
	}
	want := []string{"AWS::IAM::Role=carnation-schedule-role-devl-" + localaws.Region, "AWS::Scheduler::Schedule=carnation-retries-devl-" + localaws.Region,
		"AWS::Scheduler::ScheduleGroup=carnation-schedules-devl-" + localaws.Region}
	if got := s.scheduleResources(t); !slices.Equal(got, want) {
		t.Errorf("the schedule has the resources %v, want %v", got, want)
	}

	s.update(t, "RetrySchedule=")
	if got := s.scheduleResources(t); len(got) > 0 {
		t.Errorf("with an empty RetrySchedule, the stack has the resources %v", got)
	}
	roles := s.run(t, "aws", "iam", "list-roles", "--query", "Roles[].RoleName", "--output", "text")
	groups := s.run(t, "aws", "scheduler", "list-schedule-groups", "--query", "ScheduleGroups[].Name", "--output", "text")
	if strings.Contains(roles, "schedule") || strings.TrimSpace(groups) != "default" {
		t.Errorf("with an empty RetrySchedule, there are the roles %s and the schedule groups %s", roles, groups)
	}

	// A run is in progress and has claimed the failed events: the scheduled run has nothing to do, and neither disturbs the other.
	s.execute(t, `{"start_seq":6,"end_seq":9,"failure_rate":1}`)
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "Invoke", Function: "insert-data", For: localaws.Duration(10 * time.Second)})
	running := s.start(t, `{"start_seq":0,"end_seq":0}`)
	waitFor(t, "the run to claim the failed events", func() bool {
		_, claimed := s.queue(t, "RetryQueueUrl")
		return claimed == 3
	})
	out = s.scheduled(t, "rate(1 minute)")
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if !equalJSON(t, *out.Output, `{"inserted":0,"failed":0}`) {
		t.Errorf("beside a run that has claimed all failed events, the output of the scheduled one is %s", *out.Output)
	}
	s.setFaults(t)
	out = s.wait(t, running)
	expectStatus(t, out, sfntypes.ExecutionStatusSucceeded)
	if !equalJSON(t, *out.Output, `{"inserted":3,"failed":0}`) {
		t.Errorf("the output of the run that the scheduled one overlapped is %s", *out.Output)
	}
	s.expectQueue(t, "RetryQueueUrl", 0, 0)
}

func TestWrongRetryScheduleIsRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, expression := range []string{"1 hour", "rate(1 second)", "rate(0 hours)", "rate(1.5 hours)", "rate( 1 hour )", "cron(0 8 * *)", "at(2030-01-01T00:00:00)", "rate(1 hour) "} {
		_, err := c.createStack("carnation-refused", "RetrySchedule="+expression)
		if err == nil {
			err = errors.New("none")
		}
		if !strings.Contains(err.Error(), "RetrySchedule") || !strings.Contains(err.Error(), "such as rate(1 hour)") {
			t.Errorf("RetrySchedule=%s: the error is %v, want one that names the parameter and an example", expression, err)
		}
	}
	c.expectNoStack(t, "carnation-refused")
}
