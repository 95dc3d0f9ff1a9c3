package operate

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestStatusCountsEveryRowOnce(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{Retry: 3, InFlight: 2, DeadLetter: 1})
	// Each segment has three pages with 10, 20 and 30 rows, plus the number of the segment.
	f.answer["Scan"] = func(input map[string]any) (any, error) {
		if input["TableName"] != "events" || input["Select"] != "COUNT" || input["TotalSegments"] != float64(scanSegments) || input["ConsistentRead"] != true {
			return nil, fmt.Errorf("ValidationException: %v", input)
		}
		page := 0
		if key, ok := input["ExclusiveStartKey"].(map[string]any); ok {
			if _, err := fmt.Sscan(key["sequenceNo"].(map[string]any)["N"].(string), &page); err != nil {
				return nil, err
			}
		}
		out := map[string]any{"Count": (page+1)*10 + int(input["Segment"].(float64))}
		if page < 2 {
			out["LastEvaluatedKey"] = map[string]any{"sequenceNo": map[string]any{"N": fmt.Sprint(page + 1)}}
		}
		return out, nil
	}
	f.subscribed("arn:aws:sns:eu-central-2:123456789012:alarms:1", "PendingConfirmation")
	f.answer["ListExecutions"] = func(input map[string]any) (any, error) {
		if input["stateMachineArn"] != "arn:machine" || input["maxResults"] != 2.0 {
			return nil, fmt.Errorf("ValidationException: %v", input)
		}
		return map[string]any{"executions": []map[string]any{
			{"name": "b", "status": "RUNNING", "startDate": 1795416900},
			{"name": "a", "status": "FAILED", "startDate": 1795416800, "stopDate": 1795416810.5},
		}}, nil
	}
	got, err := s.Status(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if want := 4*(10+20+30) + 3*(0+1+2+3); got.Table != want {
		t.Errorf("Status() table = %d, want %d", got.Table, want)
	}
	if want := (Subscriptions{Confirmed: 1, Pending: 1}); got.Subscriptions != want {
		t.Errorf("Status() subscriptions = %+v, want %+v", got.Subscriptions, want)
	}
	stopped := time.UnixMilli(1795416810500).UTC()
	want := []Execution{{"b", "RUNNING", time.Unix(1795416900, 0).UTC(), nil, nil}, {"a", "FAILED", time.Unix(1795416800, 0).UTC(), &stopped, nil}}
	if !reflect.DeepEqual(got.Executions, want) {
		t.Errorf("Status() executions = %+v, want %+v", got.Executions, want)
	}
}

func TestStatusNamesTheTableThatCannotBeRead(t *testing.T) {
	f, s := newFakeAWS(t)
	f.holding(Queues{})
	f.answer["Scan"] = func(map[string]any) (any, error) { return nil, fmt.Errorf("AccessDeniedException") }
	_, err := s.Status(t.Context(), 2)
	if got := fmt.Sprint(err); !strings.HasPrefix(got, "count rows of events: ") || !strings.Contains(got, "AccessDeniedException") {
		t.Errorf("Status() error = %v, want count rows of events: ... AccessDeniedException", err)
	}
}
