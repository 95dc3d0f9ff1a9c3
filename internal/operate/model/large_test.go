package model

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"carnation/internal/operate/model/recording"
)

// large is a recording of a run with n shards of 1,000 events, made from a small one. failed shards make the run fail, and the last
// ones are stopped or never start.
func large(t testing.TB, n, failed int) *recording.Recording {
	t.Helper()
	const events, shardMS, atOnce = 1000, 2600, 10
	r, err := recording.Open("testdata/distributed-failures.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	run := r.Executions[r.Arn]
	var started struct{ StartDate float64 }
	unmarshal(t, run, &started)
	var mapRunArn string
	for mapRunArn = range r.MapRuns {
	}
	var template struct{ ExecutionArn string }
	unmarshal(t, r.Children[mapRunArn][0], &template)
	began := 1.0 // seconds after the start of the run
	took := float64(n/atOnce*shardMS) / 1000
	succeeded := n
	if failed > 0 {
		succeeded = n / 2
		took /= 2
	}

	// The children: they share one history.
	history, description := r.Histories[template.ExecutionArn], r.Executions[template.ExecutionArn]
	var children []json.RawMessage
	for i := range n {
		status := "SUCCEEDED"
		switch {
		case i >= succeeded+failed+atOnce-1:
			continue
		case i >= succeeded+failed:
			status = "ABORTED"
		case i >= succeeded:
			status = "FAILED"
		}
		name := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
		arn := r.Arn[:strings.LastIndex(r.Arn, ":")] + "/Shard:" + name
		start := started.StartDate + began + float64(i/atOnce*shardMS+i%atOnce)/1000
		one := fmt.Sprintf(`{"executionArn":%q,"stateMachineArn":%q,"name":%q,"status":%q,"startDate":%.3f,"stopDate":%.3f,"mapRunArn":%q,"itemCount":1}`,
			arn, r.StateMachineArn, name, status, start, start+(shardMS+float64(i%97)-48)/1000, mapRunArn)
		children = append(children, json.RawMessage(one))
		r.Histories[arn], r.Executions[arn] = history, description
		if status == "FAILED" {
			r.Executions[arn] = json.RawMessage(`{"executionArn":"","startDate":1,"status":"FAILED","error":"Runtime.ExitError","cause":"the process ended"}`)
		}
	}
	r.Children = map[string][]json.RawMessage{mapRunArn: children}

	counts := fmt.Sprintf(`{"total":%d,"succeeded":%d,"failed":%d,"aborted":%d,"running":0,"pending":%d,"timedOut":0,"resultsWritten":0}`,
		n, succeeded, failed, len(children)-succeeded-failed, n-len(children))
	r.MapRuns[mapRunArn] = with(t, r.MapRuns[mapRunArn], map[string]any{"executionCounts": json.RawMessage(counts), "itemCounts": json.RawMessage(counts)})
	cause := fmt.Sprintf("%d of %d events failed and are in the retry queue", n*100, n*events)
	change := map[string]any{
		"input": fmt.Sprintf(`{"start_seq":1,"end_seq":%d,"failure_rate":0.1}`, n*events+1), "cause": cause,
		"stopDate": started.StartDate + began + took + 1,
	}
	if failed > 0 {
		change["error"], change["cause"] = "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
	}
	r.Executions[r.Arn] = with(t, run, change)

	// The history of the run: its plan, the results of its shards, and their sum.
	results := strings.TrimSuffix(strings.Repeat("[900,100,0],", n), ",")
	later := 0.0
	var own []json.RawMessage
	for _, text := range r.Histories[r.Arn] {
		text = json.RawMessage(strings.NewReplacer(`\"end_seq\":31`, fmt.Sprintf(`\"end_seq\":%d`, n*events+1), `\"shard_size\":8`, `\"shard_size\":1000`).Replace(string(text)))
		var e map[string]any
		unmarshal(t, text, &e)
		e["timestamp"] = e["timestamp"].(float64) + later
		switch e["type"] {
		case "MapRunStarted":
			later = took
		case "MapStateExited":
			e["stateExitedEventDetails"].(map[string]any)["output"] = fmt.Sprintf(`{"results":{"first":[],"last":[%s]}}`, results)
		case "TaskSucceeded":
			details := e["taskSucceededEventDetails"].(map[string]any)
			if strings.Contains(details["output"].(string), `"inserted"`) {
				details["output"] = fmt.Sprintf(`{"Payload":{"inserted":%d,"failed":%d,"returned":%d,"dead":0}}`, n*900, n*100, n*100)
			}
		}
		if failed > 0 && e["type"] == "MapRunSucceeded" {
			for i, kind := range []string{"MapRunFailed", "MapStateFailed", "ExecutionFailed"} {
				e["type"], e["id"], e["previousEventId"] = kind, len(own)+1, len(own)
				delete(e, "executionFailedEventDetails")
				if i != 1 {
					e[strings.ToLower(kind[:1])+kind[1:]+"EventDetails"] = map[string]any{"error": change["error"], "cause": change["cause"]}
				}
				own = append(own, marshal(t, e))
				delete(e, "mapRunFailedEventDetails")
			}
			break
		}
		own = append(own, marshal(t, e))
	}
	r.Histories[r.Arn] = own
	return r
}

func unmarshal(t testing.TB, text json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func marshal(t testing.TB, value any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// with is an object with other values.
func with(t testing.TB, object json.RawMessage, values map[string]any) json.RawMessage {
	t.Helper()
	var fields map[string]any
	unmarshal(t, object, &fields)
	for name, value := range values {
		fields[name] = value
	}
	return marshal(t, fields)
}
