// Package event has the records that travel through a run: the event, the item that carries it through a Map state, the
// input of a run, and the plan of its shards. It reads all of them strictly. docs/design.md shows their JSON.
package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// MaxSequenceNo is the largest sequence number, 2^53-1. Every JSON implementation can represent it exactly.
const MaxSequenceNo = 1<<53 - 1

// Event is one record to insert. It is also the body of its message in the retry queue. A generated event has StartSeq and EndSeq. An
// event made from a record of yours has Source and Payload instead.
type Event struct {
	SequenceNo   int64           `json:"sequence_no"`  // in the range, or the position of the record, from 1
	RandomValue  string          `json:"random_value"` // UUID version 4
	CurrentTime  int64           `json:"current_time"` // when it was generated, Unix seconds
	StartSeq     int64           `json:"start_seq"`    // of the range that the event belongs to
	EndSeq       int64           `json:"end_seq"`      // exclusive; at least 1
	Source       string          `json:"source"`       // "input" or "s3://bucket/key"
	RetryAttempt int             `json:"retry_attempt"`
	Payload      json.RawMessage `json:"payload"` // the record, a JSON object
}

// MarshalJSON writes the fields that the kind of the event has.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Source == "" && e.Payload == nil {
		return json.Marshal(struct {
			SequenceNo   int64  `json:"sequence_no"`
			RandomValue  string `json:"random_value"`
			CurrentTime  int64  `json:"current_time"`
			StartSeq     int64  `json:"start_seq"`
			EndSeq       int64  `json:"end_seq"`
			RetryAttempt int    `json:"retry_attempt"`
		}{e.SequenceNo, e.RandomValue, e.CurrentTime, e.StartSeq, e.EndSeq, e.RetryAttempt})
	}
	return Encode(struct {
		SequenceNo   int64           `json:"sequence_no"`
		RandomValue  string          `json:"random_value"`
		CurrentTime  int64           `json:"current_time"`
		Source       string          `json:"source"`
		RetryAttempt int             `json:"retry_attempt"`
		Payload      json.RawMessage `json:"payload"`
	}{e.SequenceNo, e.RandomValue, e.CurrentTime, e.Source, e.RetryAttempt, e.Payload})
}

// Identity is what makes an event the same event. The messages and the row of an event have the same identity.
type Identity struct {
	SequenceNo  int64
	RandomValue string
}

// Identity is the identity of the event.
func (e Event) Identity() Identity {
	return Identity{e.SequenceNo, e.RandomValue}
}

// Equal tells whether two events are the same in every field. Payloads must be the same bytes.
func (e Event) Equal(other Event) bool {
	same := bytes.Equal(e.Payload, other.Payload)
	e.Payload, other.Payload = nil, nil
	return same && reflect.DeepEqual(e, other)
}

// Item is an event on its way through a Map state. Only a claimed event has a ReceiptHandle.
type Item struct {
	Event         Event  `json:"event"`
	ReceiptHandle string `json:"receipt_handle,omitempty"`
}

// Equal tells whether two items are the same in every field.
func (i Item) Equal(other Item) bool {
	return i.ReceiptHandle == other.ReceiptHandle && i.Event.Equal(other.Event)
}

// Size is the size of the item as JSON, in bytes.
func (i Item) Size() (int, error) {
	data, err := Encode(i)
	if err != nil {
		return 0, fmt.Errorf("measure event %d: %w", i.Event.SequenceNo, err)
	}
	return len(data), nil
}

// InvalidInputError names a field of an input, its value, and what the value must be. The state machine sees its type name as
// the error name.
type InvalidInputError struct {
	Field  string // path in the input, such as items[3].event.sequence_no
	Value  string // as JSON, shortened; empty if the field is missing
	MustBe string
}

func (e *InvalidInputError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s is missing: must be %s", e.Field, e.MustBe)
	}
	return fmt.Sprintf("%s is %s: must be %s", e.Field, e.Value, e.MustBe)
}

// Object is a JSON object that is read field by field, so that every error names its field.
type Object struct {
	path   string
	fields map[string]json.RawMessage
}

// ReadObject reads data as an object that may have the named fields and no others. path is where the object stands in the
// input, "" for the whole input. The error is an *InvalidInputError.
func ReadObject(data []byte, path string, names ...string) (Object, error) {
	return readObject(data, path, nil, names...)
}

// readObject is ReadObject that ignores some fields.
func readObject(data []byte, path string, ignored []string, names ...string) (Object, error) {
	o := Object{path: path}
	what := path
	if what == "" {
		what = "the input"
	}
	if err := json.Unmarshal(data, &o.fields); err != nil || o.fields == nil {
		value := shorten(data)
		if path == "" {
			value = describe(data)
		}
		return o, &InvalidInputError{what, value, "a JSON object with the fields " + strings.Join(names, ", ")}
	}
	for _, name := range ignored {
		delete(o.fields, name)
	}
	return o, o.only(names)
}

// only checks that o has no other fields than the named ones.
func (o Object) only(names []string) error {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !slices.Contains(names, name) {
			name = cmp.Or(shorten([]byte(name)), `""`)
			return &InvalidInputError{o.field(name), "unknown", "one of " + strings.Join(names, ", ")}
		}
	}
	return nil
}

// Operations is what a function can do: the fields of each operation's request, by the name of the operation.
type Operations map[string][]string

// ReadRequest reads the request of a function with several operations, such as {"operation": "GenerateRun", "input": {...}}.
// The error is an *InvalidInputError.
func ReadRequest(payload []byte, operations Operations) (operation string, request Object, err error) {
	if err := json.Unmarshal(payload, &request.fields); err != nil || request.fields == nil {
		return "", request, &InvalidInputError{"the request", shorten(payload), "a JSON object with the field operation"}
	}
	names := slices.Sorted(maps.Keys(operations))
	operation, err = request.String("operation", strings.Join(names, " or "))
	if err != nil {
		return "", request, err
	}
	fields, ok := operations[operation]
	if !ok {
		return "", request, request.Invalid("operation", strings.Join(names, " or "))
	}
	return operation, request, request.only(append([]string{"operation"}, fields...))
}

// Has tells whether the field is there.
func (o Object) Has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// Raw is the field's JSON, nil if the field is missing.
func (o Object) Raw(name string) json.RawMessage {
	return o.fields[name]
}

// Int reads a required integer from least to most.
func (o Object) Int(name string, least, most int64) (int64, error) {
	var n int64
	// json.Unmarshal ignores a null, and fails for 1.0 and 1e3, which are not integers here.
	if raw := o.fields[name]; json.Unmarshal(raw, &n) != nil || string(raw) == "null" || n < least || n > most {
		return 0, o.Invalid(name, fmt.Sprintf("an integer from %d to %d", least, most))
	}
	return n, nil
}

// rate reads an optional number from 0 to 1. The default is 0.
func (o Object) rate(name string) (float64, error) {
	if !o.Has(name) {
		return 0, nil
	}
	var rate float64
	if raw := o.fields[name]; json.Unmarshal(raw, &rate) != nil || string(raw) == "null" || rate < 0 || rate > 1 {
		return 0, o.Invalid(name, "a number from 0 to 1")
	}
	return rate, nil
}

// String reads a required string that is not empty. mustBe describes it in the error.
func (o Object) String(name, mustBe string) (string, error) {
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil || s == "" {
		return "", o.Invalid(name, mustBe)
	}
	return s, nil
}

// Source reads a required source of events.
func (o Object) Source(name string) (string, error) {
	const mustBe = InputSource + ", or s3:// with a bucket and a key"
	source, err := o.String(name, mustBe)
	if err != nil {
		return "", err
	}
	if source != InputSource && !isS3(source) {
		return "", o.Invalid(name, mustBe)
	}
	return source, nil
}

// Invalid is the error for a field with a wrong value.
func (o Object) Invalid(name, mustBe string) error {
	return &InvalidInputError{o.field(name), shorten(o.fields[name]), mustBe}
}

func (o Object) field(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// isUUIDv4 does not use a regular expression: compiling one at cold start takes too long.
func isUUIDv4(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.Version() == 4 && id.Variant() == uuid.RFC4122 && id.String() == s
}

// Parse reads an event and checks every field of it. path is where the event stands in an input. The error is an
// *InvalidInputError.
func Parse(data []byte, path string) (Event, error) {
	e, o, err := parse(data, path)
	if err == nil && e.Payload != nil {
		if reason, ok := errors.AsType[*RecordError](CheckRecord(e.Payload)); ok {
			return e, o.Invalid("payload", "a record, but "+reason.Error())
		}
	}
	return e, err
}

// parse is Parse, without the checks of a payload that is a JSON object.
func parse(data []byte, path string) (e Event, o Object, err error) {
	o, err = ReadObject(data, path, "sequence_no", "random_value", "current_time", "start_seq", "end_seq", "retry_attempt", "source", "payload")
	if err != nil {
		return e, o, err
	}
	if o.Has("source") || o.Has("payload") {
		err = e.readRecord(o)
	} else {
		err = e.readRange(o)
	}
	if err != nil {
		return e, o, err
	}
	if e.CurrentTime, err = o.Int("current_time", 0, MaxSequenceNo); err != nil {
		return e, o, err
	}
	attempt, err := o.Int("retry_attempt", 0, 1<<31-1)
	if err != nil {
		return e, o, err
	}
	e.RetryAttempt = int(attempt)
	if e.RandomValue, err = o.String("random_value", "a UUID version 4 in lower case"); err != nil {
		return e, o, err
	}
	if !isUUIDv4(e.RandomValue) {
		return e, o, o.Invalid("random_value", "a UUID version 4 in lower case")
	}
	return e, o, nil
}

// readRange reads the fields that only a generated event has, and its number.
func (e *Event) readRange(o Object) (err error) {
	if e.EndSeq, err = o.Int("end_seq", 1, MaxSequenceNo); err != nil {
		return err
	}
	if e.StartSeq, err = o.Int("start_seq", 0, e.EndSeq-1); err != nil {
		return err
	}
	e.SequenceNo, err = o.Int("sequence_no", e.StartSeq, e.EndSeq-1)
	return err
}

// readRecord reads the fields that only an event made from a record has, and its number.
func (e *Event) readRecord(o Object) (err error) {
	for _, name := range []string{"start_seq", "end_seq"} {
		if o.Has(name) {
			return o.Invalid(name, "left out of an event with a source and a payload")
		}
	}
	if e.Source, err = o.Source("source"); err != nil {
		return err
	}
	if e.Payload = o.Raw("payload"); len(e.Payload) == 0 || e.Payload[0] != '{' {
		return o.Invalid("payload", "a JSON object")
	}
	e.SequenceNo, err = o.Int("sequence_no", 1, MaxSequenceNo)
	return err
}

// ParseItems reads the field name of o as a list of items. It does not check what is in a payload: a state may have changed its
// numbers, and one bad payload must not make the others fail. The error is an *InvalidInputError.
func ParseItems(o Object, name string) ([]Item, error) {
	var raws []json.RawMessage
	if raw := o.Raw(name); json.Unmarshal(raw, &raws) != nil || raws == nil {
		return nil, o.Invalid(name, "a list of items")
	}
	items := make([]Item, len(raws))
	for i, raw := range raws {
		path := fmt.Sprintf("%s[%d]", o.field(name), i)
		item, err := ReadObject(raw, path, "event", "receipt_handle")
		if err != nil {
			return nil, err
		}
		if !item.Has("event") {
			return nil, item.Invalid("event", "an event")
		}
		if items[i].Event, _, err = parse(item.Raw("event"), path+".event"); err != nil {
			return nil, err
		}
		if item.Has("receipt_handle") {
			if items[i].ReceiptHandle, err = item.String("receipt_handle", "a non-empty receipt handle"); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// describe is shorten, except for a value that may be or contain records, which errors must not quote: Lambda's runtime logs the errors
// of functions.
func describe(data []byte) string {
	data = bytes.TrimSpace(data)
	if json.Valid(data) && len(data) > len("{}") && strings.IndexByte(`{["`, data[0]) >= 0 {
		return kind(data[0])
	}
	return shorten(data)
}

// shorten keeps an error message short and valid, whatever the input was.
func shorten(data []byte) string {
	const most = 100
	s := strings.ToValidUTF8(string(data), "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// FailureRate reads the optional failure_rate of an input, the share of inserts that fail on purpose. A rate above 0 is an
// error unless injection is true.
func FailureRate(input Object, injection bool) (float64, error) {
	rate, err := input.rate("failure_rate")
	if err == nil && rate > 0 && !injection {
		err = input.Invalid("failure_rate", "0, because the stack's parameter FailureInjection is disabled")
	}
	return rate, err
}
