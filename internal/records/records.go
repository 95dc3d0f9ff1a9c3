// Package records reads the records of a file one after the other: JSON Lines, a JSON array, or CSV. It reads them as Step
// Functions reads the items of such an object in S3, so that a file leads to the same records by whatever way it gets into a run:
// https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
//
// The memory that it needs does not depend on the size of the file.
package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"carnation/internal/event"
)

// Formats are all formats, by the names that a run's input uses.
var Formats = []string{event.JSONL, event.JSON, event.CSV}

// FormatOf is the format of a file by the ending of its name, or "" if the ending says nothing.
func FormatOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".jsonl", ".ndjson":
		return event.JSONL
	case ".json":
		return event.JSON
	case ".csv":
		return event.CSV
	}
	return ""
}

// maxText is the most text that a record may have in a file, in bytes. It is far more than the record itself may have, because
// the text may have white space. Of a record with more text, only the beginning is kept.
const maxText = 1 << 20

// excerpt is how much is kept of a record that has more than maxText bytes.
const excerpt = 1000

// Record is one record of a file.
type Record struct {
	Position int64  // in the file, from 1
	Line     int64  // on which it begins, from 1
	JSON     []byte // compact, with its numbers as the file has them; valid until the next record is read
	// Problem says why the record is bad, such as "has 20,481 bytes: must have at most 20,480". It is empty for a good record. JSON
	// of a bad one may be any text.
	Problem string
}

// Error says what is wrong with a file as a whole, so that its records cannot be told apart.
type Error struct {
	Line   int64 // 0 if the problem has none
	Reason string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// Warning is what Step Functions drops without a word.
type Warning struct {
	Text  string
	Line  int64 // the first one
	Count int64 // how often
}

// Reader reads the records of a file.
type Reader struct {
	in       *bufio.Reader
	next     func() (Record, error)
	line     int64 // of what is read next
	position int64
	compact  bytes.Buffer
	json     []byte
	warnings []Warning
	ended    error
}

// NewReader reads records in a format, one of Formats.
func NewReader(file io.Reader, format string) *Reader {
	r := &Reader{in: bufio.NewReaderSize(file, maxText), line: 1}
	switch format {
	case event.JSONL:
		r.next = r.jsonLine
	case event.JSON:
		r.next = (&array{Reader: r}).element
	case event.CSV:
		r.next = (&table{Reader: r}).row
	default:
		panic("records: unknown format " + format)
	}
	return r
}

// Next returns the next record. The error is io.EOF after the last one, an *Error if the file cannot be read any further, or that of
// the file.
func (r *Reader) Next() (Record, error) {
	if r.ended == nil && r.position == 0 {
		r.ended = r.skipMark()
	}
	if r.ended != nil {
		return Record{}, r.ended
	}
	record, err := r.next()
	if err != nil {
		r.ended = err
		return Record{}, err
	}
	r.position++
	record.Position = r.position
	if record.Problem == "" {
		record.Problem = problem(record.JSON)
	}
	return record, nil
}

// Warnings are what Step Functions drops without a word, in what has been read so far.
func (r *Reader) Warnings() []Warning { return r.warnings }

func (r *Reader) warn(line int64, text string) {
	for i := range r.warnings {
		if r.warnings[i].Text == text {
			r.warnings[i].Count++
			return
		}
	}
	r.warnings = append(r.warnings, Warning{Text: text, Line: line, Count: 1})
}

// skipMark skips a byte order mark at the beginning.
func (r *Reader) skipMark() error {
	begin, err := r.in.Peek(3)
	if err != nil && err != io.EOF {
		return err
	}
	switch {
	case bytes.HasPrefix(begin, []byte("\xef\xbb\xbf")):
		_, err := r.in.Discard(3)
		return err
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return &Error{1, "is UTF-16: must be UTF-8"}
	}
	return nil
}

// problem is why a record is bad.
func problem(record []byte) string {
	err := event.CheckRecord(record)
	if err == nil {
		return ""
	}
	var bad *event.RecordError
	if errors.As(err, &bad) {
		return bad.Reason
	}
	return err.Error()
}

// compacted is a record as one line. A text that is not JSON stays as it is.
func (r *Reader) compacted(text []byte) []byte {
	r.compact.Reset()
	if json.Compact(&r.compact, text) != nil {
		return text
	}
	return r.compact.Bytes()
}

func tooLong(line int64, begin []byte) Record {
	return Record{Line: line, JSON: begin[:min(len(begin), excerpt)], Problem: fmt.Sprintf("has more than %d bytes of text", maxText)}
}

// jsonLine reads the next line that is not blank.
func (r *Reader) jsonLine() (Record, error) {
	for {
		line := r.line
		text, err := r.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			record := tooLong(line, bytes.Clone(text[:excerpt]))
			for err == bufio.ErrBufferFull {
				_, err = r.in.ReadSlice('\n')
			}
			r.line++
			if err == io.EOF {
				err = nil
			}
			return record, err
		}
		if err != nil && err != io.EOF {
			return Record{}, err
		}
		r.line++
		if text = bytes.Trim(text, " \t\r\n"); len(text) > 0 {
			return Record{Line: line, JSON: r.compacted(text)}, nil
		}
		if err == io.EOF {
			return Record{}, io.EOF
		}
	}
}

// readByte reads a byte and counts the lines.
func (r *Reader) readByte() (byte, error) {
	c, err := r.in.ReadByte()
	if c == '\n' && err == nil {
		r.line++
	}
	return c, err
}
