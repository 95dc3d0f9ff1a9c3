package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The event and the claimed item of testdata. The tests of the functions use the same files.
var (
	newEvent = Event{
		SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822,
		StartSeq: 1, EndSeq: 21, RetryAttempt: 0,
	}
	claimedItem = Item{
		Event: Event{
			SequenceNo: 3, RandomValue: "6e1c2d74-93a0-4b1f-8c55-2f0a7d9be310", CurrentTime: 1795410000,
			StartSeq: 1, EndSeq: 11, RetryAttempt: 2,
		},
		ReceiptHandle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a+/=",
	}
	recordEvent = Event{
		SequenceNo: 7, RandomValue: "3c1f0a52-7d4e-4b6a-8f21-9e5d7c3b1a60", CurrentTime: 1795416822,
		Source: "s3://my-bucket/carnation/events/orders.csv", Payload: json.RawMessage(`{"order":"A-17","amount":12.50,"note":"<Zoë> & \"söhne\""}`),
	}
)

const eventFields = "a JSON object with the fields sequence_no, random_value, current_time, start_seq, end_seq, retry_attempt, source, payload"

// eventWith is the event of testdata as JSON, with one field changed, or left out if raw is "".
func eventWith(t *testing.T, field, raw string) []byte {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(contract(t, "event"), &fields); err != nil {
		t.Fatal(err)
	}
	if raw == "" {
		delete(fields, field)
	} else {
		fields[field] = json.RawMessage(raw)
	}
	// json.Marshal would refuse or reformat some of the raw values.
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, fmt.Sprintf("%q:%s", name, fields[name]))
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

func contract(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantInvalid checks that err is an *InvalidInputError with this text.
func wantInvalid(t *testing.T, call string, err error, want string) {
	t.Helper()
	var invalid *InvalidInputError
	if !errors.As(err, &invalid) {
		t.Fatalf("%s error = %T %v, want *InvalidInputError", call, err, err)
	}
	if err.Error() != want {
		t.Errorf("%s error =\n  %s, want\n  %s", call, err, want)
	}
}

func TestParseReadsAnEvent(t *testing.T) {
	got, err := Parse(contract(t, "event"), "")
	if err != nil || !got.Equal(newEvent) {
		t.Errorf("Parse(event.json) = %+v, %v, want %+v", got, err, newEvent)
	}
}

func TestParseTakesTheEndsOfEveryRange(t *testing.T) {
	for _, tc := range []struct{ field, raw string }{
		{"sequence_no", "1"},
		{"sequence_no", "20"},
		{"start_seq", "0"},
		{"start_seq", "7"},
		{"end_seq", "8"},
		{"end_seq", "9007199254740991"},
		{"current_time", "0"},
		{"current_time", "9007199254740991"},
		{"retry_attempt", "0"},
		{"retry_attempt", "2147483647"},
		{"random_value", `"00000000-0000-4000-8000-000000000000"`},
		{"random_value", `"ffffffff-ffff-4fff-bfff-ffffffffffff"`},
	} {
		if _, err := Parse(eventWith(t, tc.field, tc.raw), ""); err != nil {
			t.Errorf("Parse() with %s %s: error = %v, want nil", tc.field, tc.raw, err)
		}
	}
}

func TestParseNamesTheFieldTheValueAndWhatIsAllowed(t *testing.T) {
	const most = "9007199254740991"
	for field, allowed := range map[string]string{
		"sequence_no":   "an integer from 1 to 20",
		"start_seq":     "an integer from 0 to 20",
		"end_seq":       "an integer from 1 to " + most,
		"current_time":  "an integer from 0 to " + most,
		"retry_attempt": "an integer from 0 to 2147483647",
		"random_value":  "a UUID version 4 in lower case",
	} {
		if _, err := Parse(eventWith(t, field, ""), ""); true {
			wantInvalid(t, "Parse() without "+field, err, field+" is missing: must be "+allowed)
		}
		wrong := []string{
			"null", "true", "[]", "[7]", "{}", `""`, `"7"`, "7.0", "1.0", "1e3", "7.5", "-1",
			"9007199254740992", "9223372036854775808", "1e400",
		}
		switch field {
		case "sequence_no", "end_seq":
			wrong = append(wrong, "0")
		case "start_seq":
			wrong = append(wrong, "21")
		case "retry_attempt":
			wrong = append(wrong, "2147483648")
		case "random_value":
			wrong = append(wrong, "0", `"0F6F3B5E-5D0C-4C6B-9A4E-6A9D6F1F2B7A"`, `"0f6f3b5e-5d0c-1c6b-9a4e-6a9d6f1f2b7a"`,
				`"0f6f3b5e-5d0c-4c6b-7a4e-6a9d6f1f2b7a"`, `"0f6f3b5e5d0c4c6b9a4e6a9d6f1f2b7a"`, `"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a\n"`,
				`" 0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a"`)
		}
		for _, raw := range wrong {
			_, err := Parse(eventWith(t, field, raw), "")
			wantInvalid(t, fmt.Sprintf("Parse() with %s %s", field, raw), err, field+" is "+raw+": must be "+allowed)
		}
	}
}

func TestParseHoldsTheSequenceNumberInsideItsRange(t *testing.T) {
	for _, tc := range []struct{ field, raw, want string }{
		{"start_seq", "8", "sequence_no is 7: must be an integer from 8 to 20"},
		{"end_seq", "7", "sequence_no is 7: must be an integer from 1 to 6"},
		{"end_seq", "1", "start_seq is 1: must be an integer from 0 to 0"},
	} {
		_, err := Parse(eventWith(t, tc.field, tc.raw), "")
		wantInvalid(t, fmt.Sprintf("Parse() with %s %s", tc.field, tc.raw), err, tc.want)
	}
}

func TestParsePutsThePathBeforeTheField(t *testing.T) {
	_, err := Parse(eventWith(t, "sequence_no", `"x"`), "items[3].event")
	wantInvalid(t, "Parse()", err, `items[3].event.sequence_no is "x": must be an integer from 1 to 20`)
	_, err = Parse([]byte("7"), "items[3].event")
	wantInvalid(t, "Parse()", err, "items[3].event is 7: must be "+eventFields)
}

func TestReadObjectRefusesOtherValuesAndUnknownFields(t *testing.T) {
	const object, names = ": must be a JSON object with the fields a, b", ": must be one of a, b"
	for _, tc := range []struct{ data, path, want string }{
		{"", "", "the input is missing" + object},
		{"", "x.y", "x.y is missing" + object},
		{"null", "", "the input is null" + object},
		{"[]", "", "the input is []" + object},
		{`"a"`, "x.y", `x.y is "a"` + object},
		{"7", "", "the input is 7" + object},
		{`{"a":NaN}`, "", `the input is {"a":NaN}` + object},
		{`{"a":1} {"b":2}`, "", `the input is {"a":1} {"b":2}` + object},
		{`{"a":1,"c":2}`, "", "c is unknown" + names},
		{`{"a":1,"c":2}`, "x.y", "x.y.c is unknown" + names},
		{`{"d":1,"c":2}`, "", "c is unknown" + names}, // the same one every time
		{`{"A":1}`, "", "A is unknown" + names},
	} {
		_, err := ReadObject([]byte(tc.data), tc.path, "a", "b")
		wantInvalid(t, fmt.Sprintf("ReadObject(%s, %q)", tc.data, tc.path), err, tc.want)
	}
}

func TestAnUnknownFieldWithoutANameIsNamedReadably(t *testing.T) {
	_, err := ReadObject([]byte(`{"":1}`), "", "a")
	wantInvalid(t, `ReadObject({"":1})`, err, `"" is unknown: must be one of a`)
}

func TestTheLastOfDuplicateFieldsCounts(t *testing.T) {
	o, err := ReadObject([]byte(`{"a":1,"a":2}`), "", "a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := o.Int("a", 0, 9); got != 2 || err != nil {
		t.Errorf("Int() = %d, %v, want 2, as in every JSON reader", got, err)
	}
}

func TestErrorsStayShortAndValidText(t *testing.T) {
	for name, data := range map[string]string{
		"long value":         `{"a":"` + strings.Repeat("x", 100_000) + `"}`,
		"value not UTF-8":    `{"a":"` + strings.Repeat("\xff", 200) + `"}`,
		"rune cut in half":   `{"a":"` + strings.Repeat("€", 200) + `"}`,
		"long input":         strings.Repeat("x", 100_000),
		"input not UTF-8":    strings.Repeat("\xfe\x00", 200),
		"long unknown field": `{"` + strings.Repeat("x", 100_000) + `":1}`,
		"field not UTF-8":    `{"` + strings.Repeat("\xff", 200) + `":1}`,
	} {
		o, err := ReadObject([]byte(data), "", "a")
		if err == nil {
			_, err = o.Int("a", 0, 9)
		}
		if err == nil {
			t.Errorf("%s: error = nil", name)
			continue
		}
		if got := err.Error(); !utf8.ValidString(got) || len(got) > 250 {
			t.Errorf("%s: error has %d bytes, valid UTF-8 %t, want at most 250 and valid", name, len(got), utf8.ValidString(got))
		}
	}
	_, err := ReadObject([]byte(strings.Repeat("x", 101)), "", "a")
	wantInvalid(t, "ReadObject()", err, "the input is "+strings.Repeat("x", 100)+"...: must be a JSON object with the fields a")
	_, err = ReadObject([]byte(strings.Repeat("x", 100)), "", "a")
	wantInvalid(t, "ReadObject()", err, "the input is "+strings.Repeat("x", 100)+": must be a JSON object with the fields a")
}

func TestARequestNamesItsOperation(t *testing.T) {
	operations := Operations{"Plan": {"input"}, "AddUp": {"plan", "results"}}
	for _, tc := range []struct{ payload, want string }{
		{`{}`, "operation is missing: must be AddUp or Plan"},
		{`{"input":{}}`, "operation is missing: must be AddUp or Plan"},
		{`{"Operation":"Plan","input":{}}`, "operation is missing: must be AddUp or Plan"},
		{`{"operation":""}`, `operation is "": must be AddUp or Plan`},
		{`{"operation":null}`, "operation is null: must be AddUp or Plan"},
		{`{"operation":7}`, "operation is 7: must be AddUp or Plan"},
		{`{"operation":"plan"}`, `operation is "plan": must be AddUp or Plan`},
		{`{"operation":"Plan","plan":{}}`, "plan is unknown: must be one of operation, input"},
		{`{"operation":"AddUp","plan":{},"input":{}}`, "input is unknown: must be one of operation, plan, results"},
		{`[]`, "the request is []: must be a JSON object with the field operation"},
		{`null`, "the request is null: must be a JSON object with the field operation"},
		{``, "the request is missing: must be a JSON object with the field operation"},
	} {
		_, _, err := ReadRequest([]byte(tc.payload), operations)
		wantInvalid(t, fmt.Sprintf("ReadRequest(%s)", tc.payload), err, tc.want)
	}
	operation, request, err := ReadRequest([]byte(`{"operation":"AddUp","plan":7}`), operations)
	if operation != "AddUp" || err != nil || string(request.Raw("plan")) != "7" || request.Has("results") {
		t.Errorf("ReadRequest() = %s, %v, %v, want AddUp with the plan", operation, request, err)
	}
}

func TestParseItems(t *testing.T) {
	items := func(list ...string) string { return `{"items":[` + strings.Join(list, ",") + `]}` }
	good := string(contract(t, "item"))
	event := string(contract(t, "event"))
	for _, tc := range []struct{ input, want string }{
		{`{}`, "items is missing: must be a list of items"},
		{`{"items":null}`, "items is null: must be a list of items"},
		{`{"items":{}}`, "items is {}: must be a list of items"},
		{`{"items":"[]"}`, `items is "[]": must be a list of items`},
		{items("null"), "items[0] is null: must be a JSON object with the fields event, receipt_handle"},
		{items(good, "7"), "items[1] is 7: must be a JSON object with the fields event, receipt_handle"},
		{items(good, `{"evnt":1}`), "items[1].evnt is unknown: must be one of event, receipt_handle"},
		{items(`{}`), "items[0].event is missing: must be an event"},
		{items(`{"event":null}`), "items[0].event is null: must be " + eventFields},
		{items(`{"event":{}}`), "items[0].event.end_seq is missing: must be an integer from 1 to 9007199254740991"},
		{items(good, `{"event":`+string(eventWith(t, "retry_attempt", "1.0"))+`}`),
			"items[1].event.retry_attempt is 1.0: must be an integer from 0 to 2147483647"},
		{items(`{"event":` + event + `,"receipt_handle":""}`), `items[0].receipt_handle is "": must be a non-empty receipt handle`},
		{items(`{"event":` + event + `,"receipt_handle":null}`), "items[0].receipt_handle is null: must be a non-empty receipt handle"},
		{items(`{"event":` + event + `,"receipt_handle":7}`), "items[0].receipt_handle is 7: must be a non-empty receipt handle"},
	} {
		o, err := ReadObject([]byte(tc.input), "", "items")
		if err != nil {
			t.Fatal(err)
		}
		_, err = ParseItems(o, "items")
		wantInvalid(t, fmt.Sprintf("ParseItems(%s)", tc.input), err, tc.want)
	}
}

func TestParseItemsReadsNewAndClaimedOnes(t *testing.T) {
	for _, tc := range []struct {
		input string
		want  []Item
	}{
		{`[]`, nil},
		{`[` + string(contract(t, "item")) + `,` + string(contract(t, "item-claimed")) + `]`, []Item{{Event: newEvent}, claimedItem}},
	} {
		o, err := ReadObject([]byte(`{"items":`+tc.input+`}`), "", "items")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseItems(o, "items"); !slices.EqualFunc(got, tc.want, Item.Equal) || err != nil {
			t.Errorf("ParseItems(%s) = %v, %v, want %v", tc.input, got, err, tc.want)
		}
	}
}

// A new field, or one with a new name, fails here too, until it is in the files of testdata.
func TestEventsAndItemsAreWrittenAsTheContractSays(t *testing.T) {
	for name, value := range map[string]any{
		"event": newEvent, "event-record": recordEvent, "item": Item{Event: newEvent}, "item-claimed": claimedItem,
	} {
		got, err := Encode(value)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, contract(t, name)); err != nil {
			t.Fatal(err)
		}
		if string(got) != want.String() {
			t.Errorf("json.Marshal() = %s, want %s.json: %s", got, name, want.String())
		}
	}
}

func TestSizeIsTheBytesOfTheItemsJSON(t *testing.T) {
	for _, item := range []Item{{}, {Event: newEvent}, claimedItem, {Event: recordEvent}, {ReceiptHandle: "<&>\"é"}} {
		data, err := Encode(item)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := item.Size(); got != len(data) || err != nil {
			t.Errorf("Size() of %s = %d, %v, want %d", data, got, err, len(data))
		}
	}
}

func TestFailureRate(t *testing.T) {
	const number = "a number from 0 to 1"
	const disabled = "0, because the stack's parameter FailureInjection is disabled"
	for _, tc := range []struct {
		input     string
		injection bool
		want      float64
		wantErr   string
	}{
		{`{}`, true, 0, ""},
		{`{}`, false, 0, ""},
		{`{"failure_rate":0}`, false, 0, ""},
		{`{"failure_rate":0.0}`, false, 0, ""},
		{`{"failure_rate":0}`, true, 0, ""},
		{`{"failure_rate":0.25}`, true, 0.25, ""},
		{`{"failure_rate":1}`, true, 1, ""},
		{`{"failure_rate":1.0}`, true, 1, ""},
		{`{"failure_rate":1e-3}`, true, 0.001, ""},
		{`{"failure_rate":0.1}`, false, 0, "failure_rate is 0.1: must be " + disabled},
		{`{"failure_rate":1}`, false, 0, "failure_rate is 1: must be " + disabled},
		{`{"failure_rate":1.1}`, false, 0, "failure_rate is 1.1: must be " + number},
		{`{"failure_rate":1.0000001}`, true, 0, "failure_rate is 1.0000001: must be " + number},
		{`{"failure_rate":-0.1}`, true, 0, "failure_rate is -0.1: must be " + number},
		{`{"failure_rate":1e400}`, true, 0, "failure_rate is 1e400: must be " + number},
		{`{"failure_rate":null}`, true, 0, "failure_rate is null: must be " + number},
		{`{"failure_rate":"0.5"}`, true, 0, `failure_rate is "0.5": must be ` + number},
		{`{"failure_rate":"NaN"}`, true, 0, `failure_rate is "NaN": must be ` + number},
		{`{"failure_rate":[0.5]}`, true, 0, "failure_rate is [0.5]: must be " + number},
	} {
		o, err := ReadObject([]byte(tc.input), "", "failure_rate")
		if err != nil {
			t.Fatal(err)
		}
		call := fmt.Sprintf("FailureRate(%s, %t)", tc.input, tc.injection)
		got, err := FailureRate(o, tc.injection)
		if tc.wantErr != "" {
			wantInvalid(t, call, err, tc.wantErr)
		} else if got != tc.want || err != nil {
			t.Errorf("%s = %v, %v, want %v", call, got, err, tc.want)
		}
	}
}

// The console and the CDK add a field to the input of an execution that another one starts.
func TestParseInputIgnoresWhichExecutionStartedIt(t *testing.T) {
	const startedByAnother = `"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID":"arn:aws:states:eu-central-1:123456789012:execution:m:e"`
	r, err := ParseInput([]byte(`{"start_seq":1,"end_seq":21,"failure_rate":0.5,`+startedByAnother+`}`), true)
	if want := (Run{StartSeq: 1, EndSeq: 21, FailureRate: 0.5}); r.Run != want || err != nil {
		t.Errorf("ParseInput() = %+v, %v, want %+v", r, err, want)
	}
	_, err = ParseInput([]byte(`{"start_seq":1,"end_seq":21,"other":1,`+startedByAnother+`}`), true)
	wantInvalid(t, "ParseInput()", err, "other is unknown: must be one of start_seq, end_seq, events, source, failure_rate, time")
	_, err = Parse([]byte(`{`+startedByAnother+`}`), "")
	wantInvalid(t, "Parse()", err, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID is unknown: must be one of sequence_no, random_value, current_time, start_seq, end_seq, retry_attempt, source, payload")
}
