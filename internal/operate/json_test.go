package operate

import (
	"encoding/json"
	"testing"
	"time"

	"carnation/internal/event"
)

// Scripts read these fields: new ones may come, but none may go.
func TestJSONShapes(t *testing.T) {
	stopped := time.Unix(1795416810, 0).UTC()
	for _, tc := range []struct {
		value any
		want  string
	}{
		{event.Run{StartSeq: 1, EndSeq: 21}, `{"start_seq":1,"end_seq":21,"failure_rate":0}`},
		{event.Run{StartSeq: 1, EndSeq: 21, FailureRate: 0.5}, `{"start_seq":1,"end_seq":21,"failure_rate":0.5}`},
		{Queues{1, 2, 3}, `{"retry_queue":1,"in_flight":2,"dead_letter_queue":3}`},
		{Status{"carnation-devl", 60, Queues{1, 2, 3}, Subscriptions{1, 2, false}, []Execution{}},
			`{"stack":"carnation-devl","table":60,"retry_queue":1,"in_flight":2,"dead_letter_queue":3,"subscriptions":{"confirmed":1,"pending":2},"executions":[]}`},
		{Execution{"a", "RUNNING", time.Unix(1795416800, 0).UTC(), nil, nil}, `{"name":"a","status":"RUNNING","started":"2026-11-23T06:53:20Z"}`},
		{Execution{"a", "RUNNING", time.Unix(1795416800, 0).UTC(), nil, &Shards{Total: 5, Done: 3, Failed: 1}},
			`{"name":"a","status":"RUNNING","started":"2026-11-23T06:53:20Z","shards":{"total":5,"done":3,"failed":1}}`},
		{Execution{"a", "FAILED", time.Unix(1795416800, 0).UTC(), &stopped, nil},
			`{"name":"a","status":"FAILED","started":"2026-11-23T06:53:20Z","stopped":"2026-11-23T06:53:30Z"}`},
		{Run{Name: "a", Arn: "arn:a", Status: "SUCCEEDED", Generated: 20, Claimed: 3, Inserted: 23, Seconds: 1.5},
			`{"name":"a","arn":"arn:a","status":"SUCCEEDED","generated":20,"claimed":3,"inserted":23,"failed":0,"dead":0,"seconds":1.5}`},
		{Run{Name: "a", Arn: "arn:a", Status: "FAILED", Failed: 1, Error: "Carnation.EventsFailed", Cause: "1 of 1"},
			`{"name":"a","arn":"arn:a","status":"FAILED","generated":0,"claimed":0,"inserted":0,"failed":1,"dead":0,"error":"Carnation.EventsFailed","cause":"1 of 1","seconds":0}`},
	} {
		got, err := json.Marshal(tc.value)
		if string(got) != tc.want || err != nil {
			t.Errorf("json.Marshal(%T) = %s, %v, want %s", tc.value, got, err, tc.want)
		}
	}
}
