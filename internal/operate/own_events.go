package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/shard"
	"carnation/internal/records"
)

// checkedEvery is how many records are read between two reports.
const checkedEvery = 10_000

// EventsFile is a file with the user's own events. The functions may be nil.
type EventsFile struct {
	Name    string // for messages
	Format  string // event.JSONL, event.JSON or event.CSV
	Content io.Reader
	SkipBad bool // bad records are left out, and do not keep the others from being processed

	Bad     func(records.Record) error // gets each bad record
	Read    func([]records.Warning)    // gets what Step Functions would drop, when all records have been read
	Checked func(read int64)           // gets how many records have been read so far
	Taken   func(taken, bytes int64)   // gets how much of the records S3 has
}

// OwnEvents says where the user's own events are.
type OwnEvents struct {
	File    string `json:"file"`
	Records int64  `json:"records"`           // that the run processes; 0 for an S3 object, which only the run reads
	Skipped int64  `json:"skipped"`           // because they are bad
	Source  string `json:"source"`            // of the events: input, or s3://bucket/key
	Sent    bool   `json:"sent"`              // to S3; false if they are in the input, or if S3 has them already
	Ignored string `json:"ignored,omitempty"` // why no run was started
}

// BadRecordsError says that a file has bad records.
type BadRecordsError struct {
	Name         string
	Bad, Records int64
}

func (e *BadRecordsError) Error() string {
	return fmt.Sprintf("%d of %d records of %s are bad, so no run was started: correct them", e.Bad, e.Records, e.Name)
}

// EventsInput checks every record of a file and makes the input of a run of them. If they are too many for the input, it sends them to S3,
// where a distributed run reads them. If there are none, OwnEvents.Ignored says so.
func (s *Stack) EventsInput(ctx context.Context, file EventsFile) (input event.Input, result OwnEvents, err error) {
	result.File = file.Name
	spool := records.NewSpool()
	defer func() { err = errors.Join(err, spool.Close()) }()
	if result.Skipped, err = file.read(ctx, spool); err != nil {
		return input, result, err
	}
	result.Records = spool.Records
	if spool.Records == 0 {
		result.Ignored = "no records"
		return input, result, nil
	}
	if small, ok := s.fits(spool); ok {
		input.Events, result.Source = small, event.InputSource
		return input, result, nil
	}
	input.Source, result.Sent, err = s.send(ctx, file, spool)
	if err == nil {
		result.Source = input.Source.URI()
	}
	return input, result, err
}

// read reads the records into a spool, and returns how many it has skipped.
func (f *EventsFile) read(ctx context.Context, spool *records.Spool) (skipped int64, err error) {
	reader := records.NewReader(f.Content, f.Format)
	var bad int64
	for {
		record, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
		if record.Position%checkedEvery == 0 {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			if f.Checked != nil {
				f.Checked(record.Position)
			}
		}
		if record.Problem != "" {
			bad++
			if f.Bad != nil {
				if err := f.Bad(record); err != nil {
					return 0, err
				}
			}
			continue
		}
		if err := spool.Add(record.JSON); err != nil {
			return 0, err
		}
	}
	if f.Read != nil {
		f.Read(reader.Warnings())
	}
	if bad > 0 && !f.SkipBad {
		return 0, &BadRecordsError{f.Name, bad, bad + spool.Records}
	}
	if spool.Records > event.MaxEvents {
		return 0, fmt.Errorf("%s has %d records: one run reads at most %d; split the file", f.Name, spool.Records, event.MaxEvents)
	}
	return bad, nil
}

// fits are the records, if they fit in the input of a run. In the inline mode, how much fits depends on their number, too.
func (s *Stack) fits(spool *records.Spool) ([]json.RawMessage, bool) {
	small, ok := spool.Small()
	if !ok {
		return nil, false
	}
	if s.Distributed {
		return small, spool.Size <= shard.MaxEventBytes
	}
	return small, generate.CheckEvents(small, time.Now().Unix()) == nil
}

// send sends the records to S3, if they are not there already.
func (s *Stack) send(ctx context.Context, file EventsFile, spool *records.Spool) (*event.Source, bool, error) {
	if !s.Distributed {
		return nil, false, fmt.Errorf("%s has %d records, %d bytes in all: a run of stack %s, which has MapMode=INLINE, takes at most %d records, and as many bytes as fit in 256 KiB; "+
			"split the file, or deploy the stack with MapMode=DISTRIBUTED", file.Name, spool.Records, spool.Size, s.Name, generate.MaxItems)
	}
	if spool.Size > shard.MaxSourceBytes {
		return nil, false, fmt.Errorf("%s has %d bytes as JSON Lines: one run reads at most %d; split the file", file.Name, spool.Size, int64(shard.MaxSourceBytes))
	}
	lines, sum, err := spool.Content()
	if err != nil {
		return nil, false, err
	}
	source, sent, err := s.Upload(ctx, lines, spool.Size, sum, func(taken int64) {
		if file.Taken != nil {
			file.Taken(taken, spool.Size)
		}
	})
	return &source, sent, err
}

// CheckName checks the name of an execution. Step Functions refuses other characters, or they spoil its log:
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
func CheckName(name string) error {
	const most = 80
	const characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if name == "" || len(name) > most || strings.Trim(name, characters) != "" {
		return fmt.Errorf("must be 1 to %d of the characters A-Z a-z 0-9 - _", most)
	}
	return nil
}
