package operate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type moveTask map[string]any

func task(status string, started int64, moved, toMove int) moveTask {
	return moveTask{"Status": status, "StartedTimestamp": started, "ApproximateNumberOfMessagesMoved": moved, "ApproximateNumberOfMessagesToMove": toMove}
}

// moving answers ListMessageMoveTasks with these tasks, one after another; nil is an empty list. The last one is repeated.
func (f *fakeAWS) moving(tasks ...moveTask) {
	f.answer["GetQueueAttributes"] = func(input map[string]any) (any, error) {
		return map[string]any{"Attributes": map[string]string{"QueueArn": "arn of " + input["QueueUrl"].(string)}}, nil
	}
	f.answer["ListMessageMoveTasks"] = func(input map[string]any) (any, error) {
		if input["SourceArn"] != "arn of https://sqs/dead" {
			return nil, fmt.Errorf("ResourceNotFoundException")
		}
		now := tasks[0]
		if len(tasks) > 1 {
			tasks = tasks[1:]
		}
		if now == nil {
			return map[string]any{"Results": []any{}}, nil
		}
		return map[string]any{"Results": []any{now}}, nil
	}
	f.answer["StartMessageMoveTask"] = func(input map[string]any) (any, error) {
		if want := map[string]any{"SourceArn": "arn of https://sqs/dead", "DestinationArn": "arn of https://sqs/retry"}; !reflect.DeepEqual(input, want) {
			return nil, fmt.Errorf("InvalidParameterValue: %v", input)
		}
		return map[string]string{"TaskHandle": "handle"}, nil
	}
}

func TestRedriveAllFollowsAMoveToItsEnd(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tasks  []moveTask
		starts int
		want   []Move // reported
	}{
		{"the first ever", []moveTask{nil, task("RUNNING", 2, 0, 0), task("RUNNING", 2, 10, 30), task("COMPLETED", 2, 30, 30)}, 1, []Move{{0, 0}, {10, 30}, {30, 30}}},
		{"after another", []moveTask{task("COMPLETED", 1, 5, 5), task("COMPLETED", 2, 30, 30)}, 1, []Move{{30, 30}}},
		{"listed late", []moveTask{task("COMPLETED", 1, 5, 5), task("COMPLETED", 1, 5, 5), task("COMPLETED", 2, 30, 30)}, 1, []Move{{30, 30}}},
		{"the first ever, listed late", []moveTask{nil, nil, task("COMPLETED", 2, 30, 30)}, 1, []Move{{30, 30}}},
		{"one under way is followed", []moveTask{task("RUNNING", 2, 10, 30), task("RUNNING", 2, 20, 30), task("COMPLETED", 2, 30, 30)}, 0, []Move{{20, 30}, {30, 30}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFakeAWS(t)
				f.moving(tc.tasks...)
				var got []Move
				moved, err := s.RedriveAll(t.Context(), func(m Move) { got = append(got, m) })
				if moved != 30 || err != nil {
					t.Errorf("RedriveAll() = %d, %v, want 30", moved, err)
				}
				if !reflect.DeepEqual(got, tc.want) {
					t.Errorf("reported %v, want %v", got, tc.want)
				}
				if n := f.count("StartMessageMoveTask"); n != tc.starts {
					t.Errorf("%d tasks started, want %d", n, tc.starts)
				}
			})
		})
	}
}

func TestRedriveAllSaysWhyAMoveFailed(t *testing.T) {
	failed := task("FAILED", 2, 10, 30)
	failed["FailureReason"] = "CouldNotDetermineMessageSource"
	refused := func(f *fakeAWS, operation string) {
		f.moving(nil)
		f.answer[operation] = func(map[string]any) (any, error) { return nil, fmt.Errorf("AccessDenied") }
	}
	for _, tc := range []struct {
		name  string
		setUp func(*fakeAWS)
		moved int
		want  []string
	}{
		{"failed", func(f *fakeAWS) { f.moving(nil, failed) }, 10, []string{"the move is FAILED after 10 messages: CouldNotDetermineMessageSource"}},
		{"cancelled by somebody", func(f *fakeAWS) { f.moving(nil, task("CANCELLING", 2, 10, 30), task("CANCELLED", 2, 11, 30)) }, 11, []string{"the move is CANCELLED after 11 messages"}},
		{"not allowed to start", func(f *fakeAWS) { refused(f, "StartMessageMoveTask") }, 0, []string{"start moving messages: ", "AccessDenied"}},
		{"not allowed to list", func(f *fakeAWS) { refused(f, "ListMessageMoveTasks") }, 0, []string{"list message move tasks: ", "AccessDenied"}},
		{"not allowed to see the queue", func(f *fakeAWS) { refused(f, "GetQueueAttributes") }, 0, []string{"get the ARN of https://sqs/", "AccessDenied"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFakeAWS(t)
				tc.setUp(f)
				moved, err := s.RedriveAll(t.Context(), func(Move) {})
				if moved != tc.moved {
					t.Errorf("RedriveAll() = %d, want %d", moved, tc.moved)
				}
				for _, want := range tc.want {
					if !strings.Contains(fmt.Sprint(err), want) {
						t.Errorf("RedriveAll() error = %v, want %s", err, want)
					}
				}
			})
		})
	}
}

func TestRedriveAllThatIsNotFollowedToTheEndSaysThatItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFakeAWS(t)
		f.moving(nil, task("RUNNING", 2, 10, 30))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("--timeout of 1m0s is over"))
		defer cancel()
		moved, err := s.RedriveAll(ctx, func(Move) {})
		if moved != 10 {
			t.Errorf("RedriveAll() = %d, want the 10 that are moved by now", moved)
		}
		if want := "stopped following the move, which continues: --timeout of 1m0s is over"; fmt.Sprint(err) != want {
			t.Errorf("RedriveAll() error = %v, want %s", err, want)
		}
		if n := f.count("ListMessageMoveTasks"); n < 100 || n > 130 {
			t.Errorf("%d looks at it in a minute, want about two a second", n)
		}
	})
}
