package event

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	// MaxRecord is the most bytes of a record, as compact JSON. Ten events of that size, with their receipt handles, fit in the 256
	// KiB of a state, so that a receive of ten messages can always be claimed whole.
	MaxRecord = 20 << 10
	// MaxNesting is the most objects and lists inside each other, the record included. DynamoDB stores 32 levels, and the value in
	// the innermost list is one.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-attributes
	MaxNesting = 31
	// MaxDigits is the most digits of a number, without zeros at its ends. minExponent and maxExponent are those of its first digit.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.Number
	MaxDigits   = 38
	minExponent = -130
	maxExponent = 125
	// InputSource is the source of events that the input of their run contains.
	InputSource = "input"
	// invalidRecord is the only field of a payload that stands for a bad record.
	invalidRecord = "invalid_record"
)

// RecordError says why a record cannot become an event.
type RecordError struct {
	Position int64  // of the record in its file or list, from 1; 0 if it is not known
	Reason   string // a phrase such as "has 20,481 bytes: must have at most 20,480"

	plain string // Reason without what it quotes of the record; empty if it quotes nothing
}

func (e *RecordError) Error() string {
	if e.Position == 0 {
		return "the record " + e.Reason
	}
	return fmt.Sprintf("record %d %s", e.Position, e.Reason)
}

// ForLog is the error without what it quotes of the record. A function must return this one, because Lambda's runtime logs the errors
// of functions.
func (e *RecordError) ForLog() *RecordError {
	return &RecordError{Position: e.Position, Reason: cmp.Or(e.plain, e.Reason)}
}

// CheckRecord tells whether a record can become an event: a JSON object that fits in a message, in a state and in a row. The error
// is a *RecordError.
func CheckRecord(record []byte) error {
	_, err := compactRecord(record)
	return err
}

// RecordSize checks a record, as CheckRecord does, and says how many bytes its compact JSON has.
func RecordSize(record []byte) (int, error) {
	compact, err := compactRecord(record)
	return len(compact), err
}

// FromRecord makes the event of a record. The source is "input" or "s3://bucket/key", and the position is from 1. The same record at
// the same position of the same source at the same time is the same event, whatever its white space and the order of its fields. The
// error is a *RecordError.
func FromRecord(source string, time, position int64, record json.RawMessage) (Event, error) {
	payload, err := compactRecord(record)
	if err != nil {
		err.(*RecordError).Position = position
		return Event{}, err
	}
	return fromPayload(source, time, position, payload), nil
}

// FromBadRecord makes the event of a record that FromRecord refuses, for the dead-letter queue. Its payload is the record, if a message
// can carry that, or else {"invalid_record": "<its first 1,000 bytes>"}.
func FromBadRecord(source string, time, position int64, record json.RawMessage) Event {
	if payload, err := compactObject(record); err == nil {
		return fromPayload(source, time, position, payload)
	}
	const most = 1000
	text := strings.ToValidUTF8(string(record[:min(len(record), most)]), "\uFFFD")
	text = strings.NewReplacer("\uFFFE", "\uFFFD", "\uFFFF", "\uFFFD").Replace(text)
	payload, _ := Encode(map[string]string{invalidRecord: text}) // a string can always be encoded
	return fromPayload(source, time, position, payload)
}

// StandsForRecord tells whether the payload is {"invalid_record": "..."}, which FromBadRecord makes of a record that a message cannot
// carry.
func (e Event) StandsForRecord() bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(e.Payload, &fields) != nil || len(fields) != 1 {
		return false
	}
	return bytes.HasPrefix(fields[invalidRecord], []byte(`"`))
}

func fromPayload(source string, time, position int64, payload json.RawMessage) Event {
	identity := fmt.Appendf(nil, "%s\n%d\n%d\n%s", source, time, position, canonicalJSON(payload))
	return Event{
		SequenceNo: position, RandomValue: uuid.NewHash(sha256.New(), uuid.Nil, identity, 4).String(), CurrentTime: time,
		Source: source, Payload: payload,
	}
}

// Largest is an event whose JSON is as large as that of an event can be.
func Largest() Event {
	return Event{
		SequenceNo: MaxSequenceNo, RandomValue: "ffffffff-ffff-4fff-bfff-ffffffffffff", CurrentTime: MaxSequenceNo, RetryAttempt: math.MaxInt32,
		Source:  "s3://" + strings.Repeat("b", maxBucket) + "/" + strings.Repeat(`"`, maxKey), // a quote is written as two bytes
		Payload: json.RawMessage(`{"x":"` + strings.Repeat("x", MaxRecord-len(`{"x":""}`)) + `"}`),
	}
}

// Encode is the JSON of v. Unlike json.Marshal, it does not write <, > and & as six bytes each.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// canonicalJSON is the JSON of an object with its fields in order. Numbers stay as they are written.
func canonicalJSON(object []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var value map[string]any
	if decoder.Decode(&value) != nil {
		return object // a bad record, nested deeper than a decoder goes
	}
	canonical, err := Encode(value)
	if err != nil {
		return object
	}
	return canonical
}

// compactRecord is the record without white space. The error is a *RecordError.
func compactRecord(record []byte) (json.RawMessage, error) {
	compact, err := compactObject(record)
	if err != nil {
		return nil, err
	}
	if err := checkValues(compact); err != nil {
		return nil, err
	}
	return compact, nil
}

// compactObject is the record without white space. The error is a *RecordError, if the record is no JSON object that fits in a message.
func compactObject(record []byte) (json.RawMessage, error) {
	if !utf8.Valid(record) {
		return nil, &RecordError{Reason: "is not valid UTF-8"}
	}
	var b bytes.Buffer
	if json.Compact(&b, record) != nil {
		reason := "is not JSON: must be a JSON object"
		var value json.RawMessage // json.Unmarshal says where; json.Compact does not
		if invalid, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(record, &value)); ok {
			reason = fmt.Sprintf("is not JSON from its byte %s on: must be a JSON object", grouped(invalid.Offset))
		}
		return nil, &RecordError{Reason: reason}
	}
	compact := b.Bytes()
	if compact[0] != '{' {
		return nil, &RecordError{Reason: "is " + kind(compact[0]) + ": must be a JSON object"}
	}
	if len(compact) > MaxRecord {
		return nil, &RecordError{Reason: fmt.Sprintf("has %s bytes: must have at most %s", grouped(int64(len(compact))), grouped(MaxRecord))}
	}
	if reason := checkCharacters(compact); reason != "" {
		return nil, &RecordError{Reason: reason}
	}
	return compact, nil
}

// kind is what a JSON value is that begins with this byte.
func kind(first byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// checkCharacters says which character of a JSON value cannot be kept, or "". An escaped half of a surrogate pair is no character. And
// SQS refuses a message with U+FFFE or U+FFFF:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func checkCharacters(value []byte) string {
	const halfOfPair = "has half of a surrogate pair: must have valid Unicode characters only"
	noMessage := func(r rune) string {
		return fmt.Sprintf("has the character %U: must have characters that SQS accepts", r)
	}
	for i := 0; i < len(value); i++ {
		if value[i] == 0xEF && (bytes.HasPrefix(value[i:], []byte("\uFFFE")) || bytes.HasPrefix(value[i:], []byte("\uFFFF"))) {
			r, _ := utf8.DecodeRune(value[i:])
			return noMessage(r)
		}
		if value[i] != '\\' {
			continue
		}
		i++ // the escaped character; json.Compact has checked that the escape is whole
		if value[i] != 'u' {
			continue
		}
		r := escaped(value[i:])
		switch {
		case r == 0xFFFE || r == 0xFFFF:
			return noMessage(r)
		case r >= 0xDC00 && r <= 0xDFFF:
			return halfOfPair
		case r >= 0xD800 && r <= 0xDBFF:
			if !bytes.HasPrefix(value[i+5:], []byte(`\u`)) {
				return halfOfPair
			}
			if low := escaped(value[i+6:]); low < 0xDC00 || low > 0xDFFF {
				return halfOfPair
			}
			i += 6
		}
		i += 4
	}
	return ""
}

// escaped is the code of an escape such as u00e4.
func escaped(escape []byte) rune {
	code, _ := strconv.ParseUint(string(escape[1:5]), 16, 16) // json.Compact has checked the digits
	return rune(code)
}

// checkValues says what is wrong with the names, the numbers or the nesting of a JSON object, or nil.
func checkValues(object []byte) *RecordError {
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	type level struct {
		names map[string]bool // nil for a list
		value bool            // a value comes next, rather than a name
	}
	var levels []level
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &RecordError{Reason: "is not JSON: must be a JSON object"}
		}
		if name, ok := token.(string); ok && len(levels) > 0 {
			if top := &levels[len(levels)-1]; top.names != nil && !top.value {
				switch {
				case name == "":
					return &RecordError{Reason: "has a field without a name: must have a name for each field"}
				case top.names[name]:
					return &RecordError{
						Reason: fmt.Sprintf("has the field %s twice in one object: must have it once", shorten([]byte(strconv.Quote(name)))),
						plain:  "has a field twice in one object: must have it once",
					}
				}
				top.names[name], top.value = true, true
				continue
			}
		}
		switch value := token.(type) {
		case json.Delim:
			if value == '}' || value == ']' {
				levels = levels[:len(levels)-1]
				break
			}
			if len(levels) == MaxNesting {
				return &RecordError{Reason: fmt.Sprintf("has more than %d levels of nesting: must have at most %[1]d", MaxNesting)}
			}
			if value == '{' {
				levels = append(levels, level{names: map[string]bool{}})
			} else {
				levels = append(levels, level{})
			}
			continue
		case json.Number:
			if err := checkNumber(value.String()); err != nil {
				return err
			}
		}
		if len(levels) > 0 {
			levels[len(levels)-1].value = false
		}
	}
}

// checkNumber says why DynamoDB could not store a number as it is, or nil.
func checkNumber(number string) *RecordError {
	digits, exponent, ok := Number(number)
	switch {
	case len(digits) > MaxDigits:
		return &RecordError{Reason: fmt.Sprintf("has a number of %s digits: must have numbers of at most %d, or strings", grouped(int64(len(digits))), MaxDigits)}
	case !ok || digits != "" && (exponent < minExponent || exponent > maxExponent):
		mustHave := fmt.Sprintf("must have numbers from 1E%d to 9.99E%d, or strings", minExponent, maxExponent)
		return &RecordError{
			Reason: fmt.Sprintf("has the number %s: %s", shorten([]byte(number)), mustHave),
			plain:  "has a number out of range: " + mustHave,
		}
	}
	return nil
}

// Number splits a JSON number into its digits without the zeros at both ends, and the exponent of the first of them. Zero has no
// digits. ok is false if the exponent is out of any range.
func Number(number string) (digits string, exponent int, ok bool) {
	mantissa, power, found := strings.Cut(strings.ToLower(strings.TrimPrefix(number, "-")), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent = len(whole) - 1 - (len(whole) + len(fraction) - len(digits))
	digits = strings.TrimRight(digits, "0")
	if !found || digits == "" {
		return digits, exponent, true
	}
	n, err := strconv.Atoi(power)
	if err != nil || n < -1_000_000 || n > 1_000_000 {
		return digits, 0, false
	}
	return digits, exponent + n, true
}

// grouped writes 20480 as 20,480.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
