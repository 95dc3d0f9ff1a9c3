// Package event holds the records that Carnation moves: the event to insert, the item that carries it through a Map
// state, and the strict reading of both. docs/design.md gives the JSON shapes.
package event

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// MaxSequenceNo is the largest sequence number, 2^53-1: every JSON implementation holds it exactly.
const MaxSequenceNo = 1<<53 - 1

// Event is one record to insert. It is also the body of its message in the retry queue.
type Event struct {
	SequenceNo   int64  `json:"sequence_no"`
	RandomValue  string `json:"random_value"` // UUID version 4
	CurrentTime  int64  `json:"current_time"` // when it was generated, Unix seconds
	StartSeq     int64  `json:"start_seq"`    // of the range it was generated in
	EndSeq       int64  `json:"end_seq"`      // exclusive
	RetryAttempt int    `json:"retry_attempt"`
}

// Item is an event on its way through a Map state. ReceiptHandle is set for a claimed event only.
type Item struct {
	Event         Event  `json:"event"`
	ReceiptHandle string `json:"receipt_handle,omitempty"`
}

// Size is the bytes of the item as JSON.
func (i Item) Size() (int, error) {
	data, err := json.Marshal(i)
	if err != nil {
		return 0, fmt.Errorf("measure event %d: %w", i.Event.SequenceNo, err)
	}
	return len(data), nil
}

// InvalidInputError says which field of an input is wrong, its value, and what is allowed. The state machine sees its
// type name as the error name.
type InvalidInputError struct {
	Field   string // path in the input, e.g. items[3].event.sequence_no
	Value   string // as JSON, shortened; empty when the field is missing
	Allowed string
}

func (e *InvalidInputError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s is missing: allowed is %s", e.Field, e.Allowed)
	}
	return fmt.Sprintf("%s is %s: allowed is %s", e.Field, e.Value, e.Allowed)
}

// Object is a JSON object that is read field by field, so that every error can name its field.
type Object struct {
	path   string
	fields map[string]json.RawMessage
}

// ReadObject reads data as an object that has no fields but the ones named. path is "" for a whole input.
// The error is an *InvalidInputError.
func ReadObject(data []byte, path string, names ...string) (Object, error) {
	o := Object{path: path}
	what := path
	if what == "" {
		what = "the input"
	}
	allowed := "a JSON object of " + strings.Join(names, ", ")
	if err := json.Unmarshal(data, &o.fields); err != nil || o.fields == nil {
		return o, &InvalidInputError{what, shorten(data), allowed}
	}
	var unknown []string
	for name := range o.fields {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		name := shorten([]byte(unknown[0]))
		if name == "" {
			name = `""`
		}
		return o, &InvalidInputError{o.field(name), "unknown", allowed}
	}
	return o, nil
}

// Has tells whether the field is there.
func (o Object) Has(name string) bool {
	_, ok := o.fields[name]
	return ok
}

// Raw is the field's JSON, nil when it is missing.
func (o Object) Raw(name string) json.RawMessage {
	return o.fields[name]
}

// Int reads a required integer from least to most.
func (o Object) Int(name string, least, most int64) (int64, error) {
	var n int64
	// A null would leave n at 0, and 1.0 or 1e3 are no integers here.
	if raw := o.fields[name]; json.Unmarshal(raw, &n) != nil || string(raw) == "null" || n < least || n > most {
		return 0, o.Invalid(name, fmt.Sprintf("an integer from %d to %d", least, most))
	}
	return n, nil
}

// rate reads an optional number from 0 to 1, default 0.
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

// String reads a required string that is not empty. allowed describes it in the error.
func (o Object) String(name, allowed string) (string, error) {
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil || s == "" {
		return "", o.Invalid(name, allowed)
	}
	return s, nil
}

// Invalid is the error for a field of o that is not what is allowed.
func (o Object) Invalid(name, allowed string) error {
	return &InvalidInputError{o.field(name), shorten(o.fields[name]), allowed}
}

func (o Object) field(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// isUUIDv4 is no regular expression, since compiling one takes long at cold start.
func isUUIDv4(s string) bool {
	id, err := uuid.Parse(s)
	return err == nil && id.Version() == 4 && id.Variant() == uuid.RFC4122 && id.String() == s
}

// Parse reads an event and checks every field of it. path is where it stands in an input, for the error, which is an
// *InvalidInputError.
func Parse(data []byte, path string) (Event, error) {
	var e Event
	o, err := ReadObject(data, path, "sequence_no", "random_value", "current_time", "start_seq", "end_seq", "retry_attempt")
	if err != nil {
		return e, err
	}
	if e.EndSeq, err = o.Int("end_seq", 1, MaxSequenceNo); err != nil {
		return e, err
	}
	if e.StartSeq, err = o.Int("start_seq", 0, e.EndSeq-1); err != nil {
		return e, err
	}
	if e.SequenceNo, err = o.Int("sequence_no", e.StartSeq, e.EndSeq-1); err != nil {
		return e, err
	}
	if e.CurrentTime, err = o.Int("current_time", 0, MaxSequenceNo); err != nil {
		return e, err
	}
	attempt, err := o.Int("retry_attempt", 0, 1<<31-1)
	if err != nil {
		return e, err
	}
	e.RetryAttempt = int(attempt)
	if e.RandomValue, err = o.String("random_value", "a UUID version 4 in lower case"); err != nil {
		return e, err
	}
	if !isUUIDv4(e.RandomValue) {
		return e, o.Invalid("random_value", "a UUID version 4 in lower case")
	}
	return e, nil
}

// ParseItems reads the field name of o as a list of items. The error is an *InvalidInputError.
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
		if items[i].Event, err = Parse(item.Raw("event"), path+".event"); err != nil {
			return nil, err
		}
		if item.Has("receipt_handle") {
			if items[i].ReceiptHandle, err = item.String("receipt_handle", "a receipt handle that is not empty"); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// shorten keeps an error readable, and inside what Lambda passes on, whatever was sent.
func shorten(data []byte) string {
	const most = 100
	s := strings.ToValidUTF8(string(data), "?")
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// FailureRate reads the optional failure_rate of an input, the share of inserts that fail on purpose. A rate above 0 is
// an error where failures must not be simulated.
func FailureRate(input Object, injection bool) (float64, error) {
	rate, err := input.rate("failure_rate")
	if err == nil && rate > 0 && !injection {
		err = input.Invalid("failure_rate", "0, because the stack's parameter FailureInjection is disabled")
	}
	return rate, err
}
