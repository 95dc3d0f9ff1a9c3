package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseInputReadsEachKind(t *testing.T) {
	noon := int64(1795416822)
	records := func(records ...string) []json.RawMessage {
		list := []json.RawMessage{}
		for _, record := range records {
			list = append(list, json.RawMessage(record))
		}
		return list
	}
	for _, tc := range []struct {
		input string
		want  Input
	}{
		{`{"start_seq":1,"end_seq":21}`, Input{Run: Run{StartSeq: 1, EndSeq: 21}}},
		{`{"start_seq":0,"end_seq":0,"failure_rate":0.5,"time":1795416822}`, Input{Run: Run{FailureRate: 0.5}, Time: &noon}},
		{`{"events":[]}`, Input{Events: records()}},
		{`{"events":[{"n":1.50},7],"failure_rate":0.5,"time":1795416822}`, Input{Run: Run{FailureRate: 0.5}, Events: records(`{"n":1.50}`, `7`), Time: &noon}},
		{`{"source":{"bucket":"b-1","key":"a b/ü"}}`, Input{Source: &Source{"b-1", "a b/ü", JSONL, ""}}},
		{`{"source":{"bucket":"b.1","key":"k","format":"CSV","version_id":"v"},"time":1795416822}`, Input{Source: &Source{"b.1", "k", CSV, "v"}, Time: &noon}},
		{`{"source":{"bucket":"b.1","key":"k","format":"JSON"}}`, Input{Source: &Source{"b.1", "k", JSON, ""}}},
		{`{"events":[{}],"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn"}`, Input{Events: records(`{}`)}},
	} {
		got, err := ParseInput([]byte(tc.input), true)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("ParseInput(%s) = %+v, %v, want %+v", tc.input, got, err, tc.want)
			continue
		}
		written, err := Encode(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseInput(written, true); err != nil || !reflect.DeepEqual(again, tc.want) {
			t.Errorf("%s reads back as %+v, %v, want %+v", written, again, err, tc.want)
		}
	}
}

func TestParseInputRefusesAnythingElse(t *testing.T) {
	const kinds = "an object with start_seq and end_seq, or with events, or with source"
	const fields = "start_seq, end_seq, events, source, failure_rate, time"
	const most = "9007199254740991"
	const bucket = "the name of a bucket"
	const key = "the key of an object, 1 to 1024 bytes without control characters"
	source := func(fields string) string { return `{"source":{` + fields + `}}` }
	for _, tc := range []struct{ input, want string }{
		{`{}`, "the input is an object without fields: must be " + kinds},
		{`{"time":1}`, "the input is an object with time: must be " + kinds},
		{`{"events":[],"start_seq":0}`, "the input is an object with events, start_seq: must be " + kinds},
		{`{"events":[],"source":{}}`, "the input is an object with events, source: must be " + kinds},
		{`{"end_seq":1,"source":null}`, "the input is an object with end_seq, source: must be " + kinds},
		{`{"start_seq":1}`, "end_seq is missing: must be an integer from 1 to " + most},
		{`{"end_seq":1}`, "start_seq is missing: must be an integer from 0 to " + most},
		{`{"start_seq":2,"end_seq":1}`, "end_seq is 1: must be an integer from 2 to " + most},
		{`{"event":[]}`, "event is unknown: must be one of start_seq, end_seq, events, source, failure_rate, time"},
		{`{"events":null}`, "events is null: must be a list of JSON objects"},
		{`{"events":{}}`, "events is {}: must be a list of JSON objects"},
		{`{"events":7}`, "events is 7: must be a list of JSON objects"},
		// Records do not get into errors, which Lambda's runtime logs.
		{`{"events":{"secret":1}}`, "events is an object: must be a list of JSON objects"},
		{`{"events":"secret"}`, "events is a string: must be a list of JSON objects"},
		{`{"events":[{"secret":1}],"source":{}}`, "the input is an object with events, source: must be " + kinds},
		{` [{"secret":1}]`, "the input is a list: must be a JSON object with the fields " + fields},
		{`"{\"events\":[]}"`, "the input is a string: must be a JSON object with the fields " + fields},
		{`{"events":[],"time":null}`, "time is null: must be an integer from 0 to " + most},
		{`{"events":[],"time":-1}`, "time is -1: must be an integer from 0 to " + most},
		{`{"events":[],"time":"2026-11-26T12:00:00Z"}`, `time is "2026-11-26T12:00:00Z": must be an integer from 0 to ` + most},
		{`{"events":[],"failure_rate":2}`, "failure_rate is 2: must be a number from 0 to 1"},
		{`{"source":"s3://b/k"}`, `source is "s3://b/k": must be a JSON object with the fields bucket, key, format, version_id`},
		{source(`"bucket":"b-1","key":"k","region":"r"`), "source.region is unknown: must be one of bucket, key, format, version_id"},
		{source(`"key":"k"`), "source.bucket is missing: must be " + bucket},
		{source(`"bucket":"B_1","key":"k"`), `source.bucket is "B_1": must be ` + bucket},
		{source(`"bucket":"b-1"`), "source.key is missing: must be " + key},
		{source(`"bucket":"b-1","key":"a\tb"`), `source.key is "a\tb": must be ` + key},
		{source(`"bucket":"b-1","key":"` + strings.Repeat("k", 1025) + `"`), `source.key is "` + strings.Repeat("k", 99) + `...: must be ` + key},
		{source(`"bucket":"b-1","key":"k","format":"jsonl"`), `source.format is "jsonl": must be JSONL, JSON or CSV`},
		{source(`"bucket":"b-1","key":"k","format":null`), `source.format is null: must be JSONL, JSON or CSV`},
		{source(`"bucket":"b-1","key":"k","version_id":""`), `source.version_id is "": must be the id of a version, 1 to 1024 bytes`},
	} {
		_, err := ParseInput([]byte(tc.input), true)
		wantInvalid(t, fmt.Sprintf("ParseInput(%.100s)", tc.input), err, tc.want)
	}
}

func TestTheTimeOfARunIsThatOfItsInputOrItsStart(t *testing.T) {
	const mustBe = "must be the start of the execution, such as 2026-11-26T12:00:00.123Z"
	for _, tc := range []struct {
		request string
		want    int64
		wantErr string
	}{
		{`{"input":{"events":[]},"started":"2026-11-26T12:00:00.999Z"}`, 1795694400, ""},
		{`{"input":{"events":[]},"started":"2026-11-26T13:00:00+01:00"}`, 1795694400, ""},
		{`{"input":{"start_seq":0,"end_seq":1,"time":0},"started":"2026-11-26T12:00:00Z"}`, 0, ""},
		{`{"input":{"events":[]}}`, 0, "started is missing: " + mustBe},
		{`{"input":{"events":[],"time":7},"started":"now"}`, 0, `started is "now": ` + mustBe},
		{`{"input":{"events":[]},"started":1795694400}`, 0, "started is 1795694400: " + mustBe},
		{`{"input":{},"started":"2026-11-26T12:00:00Z"}`, 0, "the input is an object without fields: must be an object with start_seq and end_seq, or with events, or with source"},
	} {
		request, err := ReadObject([]byte(tc.request), "", "input", "started")
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := ReadRun(request, true)
		if tc.wantErr != "" {
			wantInvalid(t, tc.request, err, tc.wantErr)
		} else if err != nil || got != tc.want {
			t.Errorf("ReadRun(%s) = %d, %v, want %d", tc.request, got, err, tc.want)
		}
	}
}
