package event

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Input is the input of a run. It has exactly one of a range, Events and Source. Without Time, the time of its new events is the
// start of the execution.
type Input struct {
	Run                      // FailureRate; and the range, which is empty for Events and Source
	Events []json.RawMessage // records; nil unless the input has them
	Source *Source           // nil unless the input has one
	Time   *int64            // Unix seconds; nil for the start of the execution
}

// Formats of a source.
const (
	JSONL = "JSONL" // JSON Lines: an object in each line
	JSON  = "JSON"  // a list of objects
	CSV   = "CSV"   // the first row has the names of the fields; each record is an object of strings
)

// Source is an S3 object with records.
type Source struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Format    string `json:"format"`
	VersionID string `json:"version_id,omitempty"`
}

// URI is the source of its events: s3://bucket/key.
func (s Source) URI() string {
	return "s3://" + s.Bucket + "/" + s.Key
}

// MarshalJSON writes the fields that the kind of the input has.
func (i Input) MarshalJSON() ([]byte, error) {
	own := struct {
		Events      []json.RawMessage `json:"events,omitzero"`
		Source      *Source           `json:"source,omitzero"`
		FailureRate float64           `json:"failure_rate"`
		Time        *int64            `json:"time,omitzero"`
	}{i.Events, i.Source, i.FailureRate, i.Time}
	if i.Events != nil || i.Source != nil {
		return Encode(own)
	}
	return Encode(struct {
		Run
		Time *int64 `json:"time,omitzero"`
	}{i.Run, i.Time})
}

// startedBy is a field of the input that says which execution has started this one. The console and the CDK add it:
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html#nested-execution-startid
const startedBy = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"

// ParseInput reads the input of a run. It does not check the records. A failure_rate above 0 is an error unless injection is true. The
// error is an *InvalidInputError.
func ParseInput(data []byte, injection bool) (i Input, err error) {
	o, err := readObject(data, "", []string{startedBy}, "start_seq", "end_seq", "events", "source", "failure_rate", "time")
	if err != nil {
		return i, err
	}
	kinds := 0
	for _, has := range []bool{o.Has("start_seq") || o.Has("end_seq"), o.Has("events"), o.Has("source")} {
		if has {
			kinds++
		}
	}
	if kinds != 1 {
		has := "an object without fields"
		if names := slices.Sorted(maps.Keys(o.fields)); len(names) > 0 {
			has = "an object with " + strings.Join(names, ", ") // without the values, which can be records
		}
		return i, &InvalidInputError{"the input", has, "an object with start_seq and end_seq, or with events, or with source"}
	}
	switch {
	case o.Has("events"):
		if json.Unmarshal(o.Raw("events"), &i.Events) != nil || i.Events == nil {
			return i, &InvalidInputError{"events", describe(o.Raw("events")), "a list of JSON objects"}
		}
	case o.Has("source"):
		if i.Source, err = parseSource(o.Raw("source")); err != nil {
			return i, err
		}
	default:
		if i.StartSeq, err = o.Int("start_seq", 0, MaxSequenceNo); err != nil {
			return i, err
		}
		if i.EndSeq, err = o.Int("end_seq", i.StartSeq, MaxSequenceNo); err != nil {
			return i, err
		}
	}
	if o.Has("time") {
		created, err := o.Int("time", 0, MaxSequenceNo)
		if err != nil {
			return i, err
		}
		i.Time = &created
	}
	i.FailureRate, err = FailureRate(o, injection)
	return i, err
}

func parseSource(data []byte) (*Source, error) {
	o, err := ReadObject(data, "source", "bucket", "key", "format", "version_id")
	if err != nil {
		return nil, err
	}
	s := &Source{Format: JSONL}
	const bucket = "the name of a bucket"
	if s.Bucket, err = o.String("bucket", bucket); err != nil {
		return nil, err
	}
	if !isBucket(s.Bucket) {
		return nil, o.Invalid("bucket", bucket)
	}
	key := fmt.Sprintf("the key of an object, 1 to %d bytes without control characters", maxKey)
	if s.Key, err = o.String("key", key); err != nil {
		return nil, err
	}
	if !isKey(s.Key) {
		return nil, o.Invalid("key", key)
	}
	if o.Has("format") {
		const formats = JSONL + ", " + JSON + " or " + CSV
		if s.Format, err = o.String("format", formats); err != nil {
			return nil, err
		}
		if s.Format != JSONL && s.Format != JSON && s.Format != CSV {
			return nil, o.Invalid("format", formats)
		}
	}
	if o.Has("version_id") {
		const version = "the id of a version, 1 to 1024 bytes"
		if s.VersionID, err = o.String("version_id", version); err != nil {
			return nil, err
		}
		if len(s.VersionID) > 1024 || hasControl(s.VersionID) {
			return nil, o.Invalid("version_id", version)
		}
	}
	return s, nil
}

// The longest name of a bucket, and the longest key of an object, in bytes.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const (
	maxBucket = 63
	maxKey    = 1024
)

// isS3 tells whether s is s3://bucket/key.
func isS3(s string) bool {
	rest, ok := strings.CutPrefix(s, "s3://")
	bucket, key, _ := strings.Cut(rest, "/")
	return ok && isBucket(bucket) && isKey(key)
}

// isBucket does not check every rule of S3, only that the name cannot be confused with anything else.
func isBucket(name string) bool {
	return len(name) >= 3 && len(name) <= maxBucket && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// isKey refuses control characters, which S3 advises against. The state machine writes each of them as six bytes.
func isKey(key string) bool {
	return key != "" && len(key) <= maxKey && utf8.ValidString(key) && !hasControl(key)
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7F || r == 0xFFFE || r == 0xFFFF })
}

// ReadRun reads the fields input and started of a request: the input of a run, and when its execution has started. created is the time
// of the run's new events, Unix seconds: that of the input, or else the start of the execution. The error is an *InvalidInputError.
func ReadRun(request Object, injection bool) (input Input, created int64, err error) {
	if input, err = ParseInput(request.Raw("input"), injection); err != nil {
		return input, 0, err
	}
	const mustBe = "the start of the execution, such as 2026-11-26T12:00:00.123Z"
	text, err := request.String("started", mustBe)
	if err != nil {
		return input, 0, err
	}
	started, err := time.Parse(time.RFC3339, text)
	if err != nil || started.Unix() < 0 {
		return input, 0, request.Invalid("started", mustBe)
	}
	if input.Time != nil {
		return input, *input.Time, nil
	}
	return input, started.Unix(), nil
}
