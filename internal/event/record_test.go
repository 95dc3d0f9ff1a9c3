package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// nested is a record with this many objects and lists inside each other, around a number.
func nested(levels int) string {
	return `{"a":` + strings.Repeat("[", levels-1) + "1" + strings.Repeat("]", levels-1) + "}"
}

// sized is a record of this many bytes.
func sized(bytes int) string {
	return `{"a":"` + strings.Repeat("x", bytes-8) + `"}`
}

// goodRecords are what a user's data may be.
var goodRecords = []string{
	`{}`,
	`{"order":"A-17","amount":12.50,"lines":[{"sku":"x","n":2},null,true,false]}`,
	`{"ключ":"Zoë, 東京, 🚀","\u00e4":"\ud83d\ude80 \u0000 \/ \\u \\ud800"}`,
	`{"empty":"","null":null,"list":[],"object":{}}`,
	" \r\n\t{ \"a\" : [ 1 , 2 ] } \n",
	`{"a":{"b":1},"b":{"b":1},"list":[{"a":1},{"a":1}]}`, // a name twice, but not in one object
	`{"n":[0,-0,0.0,0e999999,1,-1,1e2,1E+2,1.5e-3]}`,
	`{"n":[12345678901234567890123456789012345678,-0.12345678901234567890123456789012345678]}`,
	`{"n":[1000000000000000000000000000000000000000000,0.00000000000000000000000000000000000000000001]}`,
	`{"n":[1e125,9.9999999999999999999999999999999999999e125,1e-130,0.1e-129,10e-131,-9.99e125]}`,
	nested(31),
	sized(20480),
}

// badRecords are records that cannot become an event, with the reason.
var badRecords = []struct{ record, reason string }{
	{sized(20481), "has 20,481 bytes: must have at most 20,480"},
	{nested(32), "has more than 31 levels of nesting: must have at most 31"},
	{`{"n":123456789012345678901234567890123456789}`, "has a number of 39 digits: must have numbers of at most 38, or strings"},
	{`{"n":[-1.23456789012345678901234567890123456789e7]}`, "has a number of 39 digits: must have numbers of at most 38, or strings"},
	{`{"n":1e126}`, "has the number 1e126: must have numbers from 1E-130 to 9.99E125, or strings"},
	{`{"n":-10e125}`, "has the number -10e125: must have numbers from 1E-130 to 9.99E125, or strings"},
	{`{"n":9e-131}`, "has the number 9e-131: must have numbers from 1E-130 to 9.99E125, or strings"},
	{`{"n":0.1e-130}`, "has the number 0.1e-130: must have numbers from 1E-130 to 9.99E125, or strings"},
	{`{"n":1e99999999999999999999}`, "has the number 1e99999999999999999999: must have numbers from 1E-130 to 9.99E125, or strings"},
	{`[{}]`, "is a list: must be a JSON object"},
	{`"a"`, "is a string: must be a JSON object"},
	{`true`, "is a boolean: must be a JSON object"},
	{`null`, "is null: must be a JSON object"},
	{`-7`, "is a number: must be a JSON object"},
	{``, "is not JSON from its byte 0 on: must be a JSON object"},
	{`{"a":1`, "is not JSON from its byte 6 on: must be a JSON object"},
	{`{"a":1}{"a":2}`, "is not JSON from its byte 8 on: must be a JSON object"},
	{`{"a":01}`, "is not JSON from its byte 7 on: must be a JSON object"},
	{"{\"a\":\"\xff\"}", "is not valid UTF-8"},
	{`{"a":"\ud800"}`, "has half of a surrogate pair: must have valid Unicode characters only"},
	{`{"a":"\ud800\u0041"}`, "has half of a surrogate pair: must have valid Unicode characters only"},
	{`{"a":"\ud800x"}`, "has half of a surrogate pair: must have valid Unicode characters only"},
	{`{"\udc00":1}`, "has half of a surrogate pair: must have valid Unicode characters only"},
	{"{\"a\":\"\uffff\"}", "has the character U+FFFF: must have characters that SQS accepts"},
	{`{"a":"\uFFFE"}`, "has the character U+FFFE: must have characters that SQS accepts"},
	{`{"":1}`, "has a field without a name: must have a name for each field"},
	{`{"a":[{"b":1,"c":{},"b":2}]}`, `has the field "b" twice in one object: must have it once`},
	{`{"\u0062":1,"b":2}`, `has the field "b" twice in one object: must have it once`},
}

func TestCheckRecordTakesWhatCanBeStored(t *testing.T) {
	for _, record := range goodRecords {
		if err := CheckRecord([]byte(record)); err != nil {
			t.Errorf("CheckRecord(%.80s) = %v, want nil", record, err)
		}
	}
}

func TestCheckRecordSaysWhyARecordIsRefused(t *testing.T) {
	for _, tc := range badRecords {
		err := CheckRecord([]byte(tc.record))
		var bad *RecordError
		if !errors.As(err, &bad) || bad.Position != 0 || bad.Reason != tc.reason {
			t.Errorf("CheckRecord(%.80s) = %v, want %s", tc.record, err, tc.reason)
		}
		_, err = FromRecord("input", 0, 1234, json.RawMessage(tc.record))
		if want := "record 1234 " + tc.reason; err == nil || err.Error() != want {
			t.Errorf("FromRecord(%.80s) error = %v, want %s", tc.record, err, want)
		}
	}
}

// Lambda's runtime logs the errors of functions, and a log must not have what is in a record.
func TestTheErrorForTheLogQuotesNothingOfTheRecord(t *testing.T) {
	for _, tc := range []struct{ record, want string }{
		{`{"n":[1,-7.25e126]}`, "record 3 has a number out of range: must have numbers from 1E-130 to 9.99E125, or strings"},
		{`{"secret":1,"secret":2}`, "record 3 has a field twice in one object: must have it once"},
		{`{"secret"`, "record 3 is not JSON from its byte 9 on: must be a JSON object"},
	} {
		_, err := FromRecord("input", 0, 3, json.RawMessage(tc.record))
		if bad, ok := errors.AsType[*RecordError](err); !ok || bad.ForLog().Error() != tc.want {
			t.Errorf("the error of %s for the log is not %q: %v", tc.record, tc.want, err)
		}
	}
}

// White space does not count: an object may be indented.
func TestTheSizeOfARecordIsThatOfItsCompactJSON(t *testing.T) {
	if err := CheckRecord([]byte("\n  " + sized(20480) + strings.Repeat(" ", 1000))); err != nil {
		t.Error(err)
	}
	if err := CheckRecord([]byte(`{"a":"` + strings.Repeat("<", 20480-8) + `"}`)); err != nil {
		t.Errorf("%v: want < to be one byte", err)
	}
}

func TestAnEventHasItsRecordUnchanged(t *testing.T) {
	record := "{ \"b\": 1.50, \"a\" : \"<é\\u00e9>\",\n\"n\":12345678901234567890123456789012345678 }"
	e, err := FromRecord("s3://bucket/key", 1795416822, 7, json.RawMessage(record))
	if err != nil {
		t.Fatal(err)
	}
	want := Event{SequenceNo: 7, RandomValue: e.RandomValue, CurrentTime: 1795416822, Source: "s3://bucket/key",
		Payload: json.RawMessage(`{"b":1.50,"a":"<é\u00e9>","n":12345678901234567890123456789012345678}`)}
	if !e.Equal(want) {
		t.Errorf("FromRecord() = %+v, want %+v", e, want)
	}
	data, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(data, ""); err != nil || !again.Equal(e) {
		t.Errorf("%s reads back as %+v, %v", data, again, err)
	}
}

// The random value must never change: it is the key of rows that exist.
func TestTheIdentityOfARecordIsItsSourceTimePositionAndContent(t *testing.T) {
	const source, time, position = "s3://bucket/key", 1795416822, 7
	record := `{"b":[1.50,"é",{"y":1,"x":null}],"a":"<"}`
	random := func(source string, time, position int64, record string) string {
		e, err := FromRecord(source, time, position, json.RawMessage(record))
		if err != nil {
			t.Fatal(err)
		}
		if !isUUIDv4(e.RandomValue) {
			t.Errorf("random value is %s, want a UUID version 4", e.RandomValue)
		}
		return e.RandomValue
	}
	first := random(source, time, position, record)
	if want := "447fb3ed-0489-4e88-b266-d6c860aba543"; first != want {
		t.Errorf("random value is %s, want %s", first, want)
	}
	for _, same := range []string{` { "a":"<", "b":[1.50, "\u00e9", {"x":null,"y":1}] }`, record} {
		if got := random(source, time, position, same); got != first {
			t.Errorf("%s has the random value %s, want %s, that of %s", same, got, first, record)
		}
	}
	seen := map[string]string{first: record}
	for what, got := range map[string]string{
		"source":   random("input", time, position, record),
		"time":     random(source, time+1, position, record),
		"position": random(source, time, position+1, record),
		"digits":   random(source, time, position, strings.Replace(record, "1.50", "1.5", 1)),
		"order":    random(source, time, position, `{"b":["é",1.50,{"y":1,"x":null}],"a":"<"}`),
		"empty":    random(source, time, position, `{}`),
	} {
		if other, ok := seen[got]; ok {
			t.Errorf("another %s has the random value of %s", what, other)
		}
		seen[got] = what
	}
}

func TestNumberSplitsEveryNumber(t *testing.T) {
	for _, tc := range []struct {
		number, digits string
		exponent       int
		ok             bool
	}{
		{"0", "", 0, true}, {"-0.00e5", "", 0, true}, {"7", "7", 0, true}, {"-12.50", "125", 1, true}, {"1200", "12", 3, true},
		{"0.0012", "12", -3, true}, {"1.2e10", "12", 10, true}, {"12E-1", "12", 0, true}, {"0.5e+3", "5", 2, true}, {"1e1000001", "1", 0, false},
	} {
		digits, exponent, ok := Number(tc.number)
		if digits != tc.digits || ok != tc.ok || digits != "" && exponent != tc.exponent {
			t.Errorf("Number(%s) = %s, %d, %t, want %s, %d, %t", tc.number, digits, exponent, ok, tc.digits, tc.exponent, tc.ok)
		}
	}
}

// A message of an event made from a record is as strict as one of a generated event.
func TestParseReadsAnEventOfARecord(t *testing.T) {
	for _, source := range []string{"input", "s3://abc/k", "s3://my.bucket-1/" + strings.Repeat("ü", 512)} {
		want := recordEvent
		want.Source = source
		data, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Parse(data, ""); err != nil || !got.Equal(want) {
			t.Errorf("Parse(%s) = %+v, %v", data, got, err)
		}
	}
	const mustBe = "must be input, or s3:// with a bucket and a key"
	for _, tc := range []struct{ change, want string }{
		{`"source":"file"`, `source is "file": ` + mustBe},
		{`"source":"s3://b/k"`, `source is "s3://b/k": ` + mustBe},
		{`"source":"s3://bucket"`, `source is "s3://bucket": ` + mustBe},
		{`"source":"s3://bucket/"`, `source is "s3://bucket/": ` + mustBe},
		{`"source":"s3://Bucket/k"`, `source is "s3://Bucket/k": ` + mustBe},
		{`"source":"s3://bucket/k\n"`, `source is "s3://bucket/k\n": ` + mustBe},
		{`"source":7`, `source is 7: ` + mustBe},
		{`"start_seq":1`, `start_seq is 1: must be left out of an event with a source and a payload`},
		{`"end_seq":null`, `end_seq is null: must be left out of an event with a source and a payload`},
		{`"payload":null`, `payload is null: must be a JSON object`},
		{`"payload":[]`, `payload is []: must be a JSON object`},
		{`"payload":{"n":1e126}`, `payload is {"n":1e126}: must be a record, but the record has the number 1e126: must have numbers from 1E-130 to 9.99E125, or strings`},
		{`"sequence_no":0`, `sequence_no is 0: must be an integer from 1 to 9007199254740991`},
		{`"sequence_no":1.5`, `sequence_no is 1.5: must be an integer from 1 to 9007199254740991`},
	} {
		data, err := Encode(recordEvent)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse([]byte(strings.TrimSuffix(string(data), "}")+","+tc.change+"}"), "") // the last of two fields counts
		wantInvalid(t, fmt.Sprintf("Parse(%s)", tc.change), err, tc.want)
	}
	_, err := Parse([]byte(`{"sequence_no":1,"random_value":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a","current_time":1,"retry_attempt":0,"payload":{}}`), "")
	wantInvalid(t, "Parse()", err, "source is missing: "+mustBe)
	_, err = Parse([]byte(`{"sequence_no":1,"random_value":"0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a","current_time":1,"retry_attempt":0,"source":"input"}`), "")
	wantInvalid(t, "Parse()", err, "payload is missing: must be a JSON object")
}

// A state may change the numbers of a payload. Such an event fails alone, where it is inserted.
func TestParseItemsTakesAnyPayload(t *testing.T) {
	for _, payload := range []string{`{"n":1e126}`, sized(20481)} {
		item := Item{Event: recordEvent}
		item.Event.Payload = json.RawMessage(payload)
		data, err := Encode(map[string]any{"items": []Item{item}})
		if err != nil {
			t.Fatal(err)
		}
		o, err := ReadObject(data, "", "items")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseItems(o, "items"); err != nil || len(got) != 1 || !got[0].Equal(item) {
			t.Errorf("ParseItems(%.80s) = %+v, %v", data, got, err)
		}
	}
}

// FuzzRecord feeds records. A record that is taken becomes an event that is read back from its message, and its identity does not
// depend on how it is written.
func FuzzRecord(f *testing.F) {
	for _, record := range goodRecords {
		f.Add([]byte(record))
	}
	for _, tc := range badRecords {
		f.Add([]byte(tc.record))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		e, err := FromRecord("input", 1795416822, 1, record)
		if err != nil {
			if bad, ok := errors.AsType[*RecordError](err); !ok || bad.Reason == "" || len(err.Error()) > 1000 {
				t.Errorf("error %T %q is no RecordError, or has no reason, or is too long", err, err)
			}
			return
		}
		data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(data, ""); err != nil || !back.Equal(e) {
			t.Errorf("%s reads back as %+v, %v", data, back, err)
		}
		var value map[string]any
		decoder := json.NewDecoder(strings.NewReader(string(record)))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		indented, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromRecord("input", 1795416822, 1, indented)
		if bad, ok := errors.AsType[*RecordError](err); ok && strings.Contains(bad.Reason, "bytes") {
			return // json.MarshalIndent writes < as six bytes
		}
		if err != nil || again.RandomValue != e.RandomValue {
			t.Errorf("indented: %v, random value %s, want %s", err, again.RandomValue, e.RandomValue)
		}
	})
}
