package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"carnation/internal/event"
	"carnation/internal/operate"
	"carnation/internal/records"
)

const (
	// maxBadShown is the most bad records that are reported one by one.
	maxBadShown = 20
	// standardInput is the name of a file that means the standard input.
	standardInput = "-"
	s3Scheme      = "s3://"
)

// eventsFlags are the flags of carnation run that say which of the user's own events a run processes.
type eventsFlags struct {
	file    string
	format  recordFormat
	skipBad string
}

func (f *eventsFlags) define(flags *flag.FlagSet) {
	flags.StringVar(&f.file, "events", "", "`file` with your own events: .jsonl, .json or .csv; - for standard input; or s3://bucket/key")
	flags.Var(&f.format, "format", "`format` of the events: jsonl, json or csv; by default from the name of the file, and jsonl for standard input")
	flags.StringVar(&f.skipBad, "skip-bad", "", "`file` for the bad records, which are skipped; without it, no run is started if a record is bad")
}

func (f *eventsFlags) inS3() bool { return strings.HasPrefix(f.file, s3Scheme) }

// check completes the flags.
func (f *eventsFlags) check() error {
	if f.file == "" {
		switch {
		case f.format != "":
			return errors.New("--format is the format of --events, which is missing")
		case f.skipBad != "":
			return errors.New("--skip-bad is for bad records of --events, which is missing")
		}
		return nil
	}
	if f.format == "" && f.file == standardInput {
		f.format = event.JSONL
	}
	if f.format == "" {
		if f.format = recordFormat(records.FormatOf(f.file)); f.format == "" {
			return fmt.Errorf("--format is missing: must be jsonl, json or csv, because the name %s does not say it", f.file)
		}
	}
	if f.inS3() {
		if bucket, key, _ := strings.Cut(strings.TrimPrefix(f.file, s3Scheme), "/"); bucket == "" || key == "" {
			return fmt.Errorf("--events is %s: must be s3://bucket/key", f.file)
		}
		if f.skipBad != "" {
			return errors.New("--skip-bad is for a file on this machine: the run itself sends the bad records of an S3 object to the dead-letter queue")
		}
	}
	return nil
}

// recordFormat is a flag for the format of records.
type recordFormat string

func (f *recordFormat) String() string { return strings.ToLower(string(*f)) }

func (f *recordFormat) Set(text string) error {
	for _, format := range records.Formats {
		if strings.EqualFold(text, format) {
			*f = recordFormat(format)
			return nil
		}
	}
	return errors.New("must be jsonl, json or csv")
}

// unixTime is a flag for a time in Unix seconds.
type unixTime struct{ seconds *int64 }

func (u *unixTime) String() string { return "" }

func (u *unixTime) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > event.MaxSequenceNo {
		return fmt.Errorf("must be Unix seconds, an integer from 0 to %d", int64(event.MaxSequenceNo))
	}
	u.seconds = &n
	return nil
}

// executionName is a flag for the name of an execution.
type executionName string

func (n *executionName) String() string { return string(*n) }

func (n *executionName) Set(text string) error {
	if err := operate.CheckName(text); err != nil {
		return err
	}
	*n = executionName(text)
	return nil
}

// ownEvents is what the result says about the user's own events.
type ownEvents operate.OwnEvents

// eventsReader reads the user's own events, and puts them where a run can read them.
type eventsReader struct {
	flags    *eventsFlags
	stack    *operate.Stack
	progress *progress
	stdin    io.Reader
}

// input is the input of a run with the user's own events. If there are none, result.Ignored says so.
func (e *eventsReader) input(ctx context.Context) (input event.Input, result ownEvents, err error) {
	result.File = e.flags.file
	if e.flags.inS3() {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(e.flags.file, s3Scheme), "/")
		input.Source = &event.Source{Bucket: bucket, Key: key, Format: string(e.flags.format)}
		result.Source = e.flags.file
		return input, result, e.stack.CheckSource(bucket, key)
	}
	var content io.Reader
	if e.flags.file == standardInput {
		content = interruptible(ctx, e.stdin)
	} else {
		opened, err := os.Open(e.flags.file)
		if err != nil {
			return input, result, err
		}
		defer opened.Close()
		content = opened
	}
	rejected, err := e.createRejected(content)
	if err != nil {
		return input, result, err
	}
	if rejected != nil {
		defer func() { err = errors.Join(err, rejected.Close()) }()
	}
	defer e.progress.clear()
	var bad int64
	input, read, err := e.stack.EventsInput(ctx, operate.EventsFile{
		Name: e.name(), Format: string(e.flags.format), Content: content, SkipBad: rejected != nil,
		Bad: func(record records.Record) error {
			if bad++; bad <= maxBadShown {
				e.warn("line %d, record %d: %s", record.Line, record.Position, record.Problem)
			}
			if rejected != nil {
				return writeRejected(rejected, record)
			}
			return nil
		},
		Read: func(warnings []records.Warning) {
			if more := bad - maxBadShown; more > 0 {
				e.warn("and %d more bad records", more)
			}
			for _, w := range warnings {
				e.warn("line %d: %s (%d times)", w.Line, w.Text, w.Count)
			}
		},
		Checked: func(read int64) { e.progress.show(fmt.Sprintf("%d records of %s checked", read, e.name()), true) },
		Taken:   func(taken, size int64) { e.progress.showBytes("records sent to S3", taken, size) },
	})
	if _, ok := errors.AsType[*operate.BadRecordsError](err); ok {
		err = fmt.Errorf("%w, or give --skip-bad a file for them", err)
	}
	read.File = e.flags.file
	return input, ownEvents(read), err
}

// interruptible is a reader that fails when ctx ends, even while it waits for somebody to type or to send something.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}

// createRejected creates the file for the bad records. It is nil if none is asked for. Only its owner can read a new one, because payloads
// are nobody else's business.
func (e *eventsReader) createRejected(file io.Reader) (*os.File, error) {
	if e.flags.skipBad == "" {
		return nil, nil
	}
	if opened, ok := file.(*os.File); ok {
		in, err := opened.Stat()
		if err != nil {
			return nil, err
		}
		if out, err := os.Stat(e.flags.skipBad); err == nil && os.SameFile(in, out) {
			return nil, fmt.Errorf("--skip-bad is %s, the file of --events: must be another file, because it is overwritten", e.flags.skipBad)
		}
	}
	return os.OpenFile(e.flags.skipBad, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// writeRejected writes a bad record as a line of JSON: the record itself, or its text if it is not JSON.
func writeRejected(w io.Writer, record records.Record) error {
	rejected := struct {
		Line     int64           `json:"line"`
		Position int64           `json:"position"`
		Reason   string          `json:"reason"`
		Record   json.RawMessage `json:"record,omitzero"`
		Text     *string         `json:"text,omitzero"`
	}{Line: record.Line, Position: record.Position, Reason: record.Problem}
	if json.Valid(record.JSON) {
		rejected.Record = record.JSON
	} else {
		text := string(record.JSON)
		rejected.Text = &text
	}
	line, err := event.Encode(rejected)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

func (e *eventsReader) name() string {
	if e.flags.file == standardInput {
		return "standard input"
	}
	return e.flags.file
}

func (e *eventsReader) warn(format string, values ...any) {
	e.progress.clear()
	fmt.Fprintf(e.progress.w, "carnation: run: %s: %s\n", e.name(), fmt.Sprintf(format, values...))
}

// String says where the events are.
func (o ownEvents) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", o.File)
	if !strings.HasPrefix(o.File, s3Scheme) {
		fmt.Fprintf(&b, "%d records", o.Records)
		if o.Skipped > 0 {
			fmt.Fprintf(&b, ", %d bad ones skipped", o.Skipped)
		}
		b.WriteString("; ")
	}
	switch {
	case o.Ignored != "":
		b.WriteString("no run was started for it")
	case o.Source == event.InputSource:
		b.WriteString("in the input of the run")
	case o.Sent:
		b.WriteString("sent to " + o.Source)
	case o.Source != o.File:
		b.WriteString("already at " + o.Source)
	default:
		b.WriteString("read by the run")
	}
	return b.String()
}
