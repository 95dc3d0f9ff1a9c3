package cost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"carnation/internal/event"
	"carnation/internal/function/generate"
)

// Records are the own events of a run, as far as their sizes decide what the run costs. Add them in their order.
type Records struct {
	Count  int
	Bytes  int64 // of the records, each with a newline: the file in S3
	Units  int   // write request units, if each is written once
	Stored int64 // bytes of the rows, as DynamoDB counts them

	// of the distributed mode
	Batches    int
	most       int // records of a batch
	batch      int // records of the last batch
	batchBytes int

	// of the inline mode
	Runs     int
	run      int // records of the last run
	runBytes int
}

// What Step Functions, the state machines and the functions allow. Tests of whole runs compare the numbers of batches.
const (
	maxBatchBytes = 258_000   // MaxInputBytesPerBatch in the state machine
	batchBytes    = 450       // of a batch without records: source, time, failure rate and the ARN of the run
	maxInlineRun  = 252 << 10 // all items of an inline run, each with inlineItem
	inlineItem    = 285       // an item of an inline run without its payload: its event, and what the state adds if it fails
	maxInput      = 232 << 10 // records in the input of a distributed run. Those of a larger file are read from S3
	messageBytes  = 400       // the message of a failed event without its payload, with its attributes
	writeUnit     = 1024
)

// SourceBytes is the longest source: s3://, the name of a bucket, the default EventsPrefix, and the name that carnation run gives a file.
const SourceBytes = len("s3://") + 63 + len("/carnation/events/") + 64 + len(".jsonl")

// NewRecords counts records that are processed in batches of at most shardSize, from 1 to event.MaxShardSize.
func NewRecords(shardSize int) *Records { return &Records{most: shardSize} }

// Add counts a record. The error is an *event.RecordError, or says that there are too many.
func (r *Records) Add(record []byte) error { return r.AddTimes(record, 1) }

// AddTimes counts a record n times.
func (r *Records) AddTimes(record []byte, n int) error {
	if err := event.CheckRecord(record); err != nil {
		return err
	}
	if n > event.MaxEvents-r.Count {
		return fmt.Errorf("more than %d records: one run processes at most as many", event.MaxEvents)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, record); err != nil {
		return err
	}
	size, payload := compact.Len(), 0
	decoder := json.NewDecoder(&compact)
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	payload = valueBytes(value)
	row := ItemBytes + len("payload") + payload + len("source") + SourceBytes
	r.Bytes += int64(n) * int64(size+1)
	r.Units += n * ceil(row, writeUnit)
	r.Stored += int64(n) * int64(row)
	for range n {
		r.Count++
		r.addToBatch(size)
		r.addToRun(size)
	}
	return nil
}

// addToBatch puts a record into the last batch, or into a new one if that is full.
func (r *Records) addToBatch(size int) {
	size += len(`{"index":,"record":},`) + digits(r.Count-1)
	if r.Batches == 0 || r.batch == r.most || r.batchBytes+size > maxBatchBytes {
		r.Batches, r.batch, r.batchBytes = r.Batches+1, 0, batchBytes
	}
	r.batch++
	r.batchBytes += size
}

// addToRun puts a record into the last inline run, or into a new one if that is full.
func (r *Records) addToRun(size int) {
	size += inlineItem
	if r.Runs == 0 || r.run == generate.MaxItems || r.runBytes+size > maxInlineRun {
		r.Runs, r.run, r.runBytes = r.Runs+1, 0, 0
	}
	r.run++
	r.runBytes += size
}

// fromS3 tells whether a distributed run reads the records from S3, because they do not fit in its input.
func (r *Records) fromS3() bool { return r.Bytes > maxInput }

func digits(n int) int { return len(fmt.Sprint(n)) }

// valueBytes is the size of a value as DynamoDB counts it: text in bytes of UTF-8, a number half a byte a digit and one more, a list
// and a map three and one more for each element.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func valueBytes(value any) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case json.Number:
		text := strings.ToLower(v.String())
		mantissa, _, _ := strings.Cut(text, "e")
		digits := strings.Trim(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0")
		size := (len(digits)+1)/2 + 1
		if strings.HasPrefix(text, "-") {
			size++
		}
		return size
	case []any:
		size := 3
		for _, element := range v {
			size += 1 + valueBytes(element)
		}
		return size
	case map[string]any:
		size := 3
		for name, element := range v {
			size += 1 + len(name) + valueBytes(element)
		}
		return size
	}
	return 1 // true, false, null
}
