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
	"time"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/shard"
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

// executionName is a flag for the name of an execution. Other characters are refused by Step Functions, or spoil its log:
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
type executionName string

func (n *executionName) String() string { return string(*n) }

func (n *executionName) Set(text string) error {
	const most = 80
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if text == "" || len(text) > most || strings.Trim(text, allowed) != "" {
		return fmt.Errorf("must be 1 to %d of the characters A-Z a-z 0-9 - _", most)
	}
	*n = executionName(text)
	return nil
}

// ownEvents is what the result says about the user's own events.
type ownEvents struct {
	File    string `json:"file"`
	Records int64  `json:"records"`           // that the run processes; 0 for an S3 object, which only the run reads
	Skipped int64  `json:"skipped"`           // because they are bad
	Source  string `json:"source"`            // of the events: input, or s3://bucket/key
	Sent    bool   `json:"sent"`              // to S3; false if they are in the input, or if S3 has them already
	Ignored string `json:"ignored,omitempty"` // why no run was started
}

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
	spool := records.NewSpool()
	defer func() { err = errors.Join(err, spool.Close()) }()
	if result.Skipped, err = e.read(ctx, spool); err != nil {
		return input, result, err
	}
	result.Records = spool.Records
	if spool.Records == 0 {
		result.Ignored = "no records"
		return input, result, nil
	}
	if small, ok := e.fits(spool); ok {
		input.Events, result.Source = small, event.InputSource
		return input, result, nil
	}
	input.Source, result.Sent, err = e.upload(ctx, spool)
	if err == nil {
		result.Source = input.Source.URI()
	}
	return input, result, err
}

// read reads the records of the file into a spool, and reports the bad ones. It returns how many it has skipped.
func (e *eventsReader) read(ctx context.Context, spool *records.Spool) (skipped int64, err error) {
	var file io.Reader
	if e.flags.file == standardInput {
		file = interruptible(ctx, e.stdin)
	} else {
		opened, err := os.Open(e.flags.file)
		if err != nil {
			return 0, err
		}
		defer opened.Close()
		file = opened
	}
	rejected, err := e.createRejected(file)
	if err != nil {
		return 0, err
	}
	if rejected != nil {
		defer func() { err = errors.Join(err, rejected.Close()) }()
	}
	reader := records.NewReader(file, string(e.flags.format))
	var bad int64
	for {
		record, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", e.name(), err)
		}
		if record.Position%10_000 == 0 {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			e.progress.show(fmt.Sprintf("%d records of %s checked", record.Position, e.name()), true)
		}
		if record.Problem != "" {
			if bad++; bad <= maxBadShown {
				e.warn("line %d, record %d: %s", record.Line, record.Position, record.Problem)
			}
			if rejected != nil {
				if err := writeRejected(rejected, record); err != nil {
					return 0, err
				}
			}
			continue
		}
		if err := spool.Add(record.JSON); err != nil {
			return 0, err
		}
	}
	e.progress.clear()
	if more := bad - maxBadShown; more > 0 {
		e.warn("and %d more bad records", more)
	}
	for _, w := range reader.Warnings() {
		e.warn("line %d: %s (%d times)", w.Line, w.Text, w.Count)
	}
	if bad > 0 && rejected == nil {
		return 0, fmt.Errorf("%d of %d records of %s are bad, so no run was started: correct them, or give --skip-bad a file for them", bad, bad+spool.Records, e.name())
	}
	if spool.Records > event.MaxEvents {
		return 0, fmt.Errorf("%s has %d records: one run reads at most %d; split the file", e.name(), spool.Records, event.MaxEvents)
	}
	return bad, nil
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

// fits are the records, if they fit in the input of a run. In the inline mode, how much fits depends on their number, too.
func (e *eventsReader) fits(spool *records.Spool) ([]json.RawMessage, bool) {
	small, ok := spool.Small()
	if !ok {
		return nil, false
	}
	if e.stack.Distributed {
		return small, spool.Size <= shard.MaxEventBytes
	}
	return small, generate.CheckEvents(small, time.Now().Unix()) == nil
}

// upload sends the records to S3, if they are not there already.
func (e *eventsReader) upload(ctx context.Context, spool *records.Spool) (*event.Source, bool, error) {
	if !e.stack.Distributed {
		return nil, false, fmt.Errorf("%s has %d records, %d bytes in all: a run of stack %s, which has MapMode=INLINE, takes at most %d records, and as many bytes as fit in 256 KiB; "+
			"split the file, or deploy the stack with MapMode=DISTRIBUTED", e.name(), spool.Records, spool.Size, e.stack.Name, generate.MaxItems)
	}
	if spool.Size > shard.MaxSourceBytes {
		return nil, false, fmt.Errorf("%s has %d bytes as JSON Lines: one run reads at most %d; split the file", e.name(), spool.Size, int64(shard.MaxSourceBytes))
	}
	lines, sum, err := spool.Content()
	if err != nil {
		return nil, false, err
	}
	defer e.progress.clear()
	source, sent, err := e.stack.Upload(ctx, lines, spool.Size, sum, func(taken int64) {
		e.progress.showBytes("records sent to S3", taken, spool.Size)
	})
	return &source, sent, err
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
