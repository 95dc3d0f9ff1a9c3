package records

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// maxInMemory is the most bytes that a Spool keeps in memory. More than that does not fit in the input of an execution, 256 KiB:
// https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
const maxInMemory = 256 << 10

// Spool keeps records as JSON Lines: in memory as long as they are few, then in a temporary file. Close removes the file.
type Spool struct {
	Records int64
	Size    int64 // of the lines, in bytes

	hash   hash.Hash
	memory []byte
	file   *os.File // nil while the records are in memory
	writer *bufio.Writer
}

// NewSpool returns an empty spool.
func NewSpool() *Spool { return &Spool{hash: sha256.New()} }

// Add adds a record, which is JSON on one line.
func (s *Spool) Add(record []byte) error {
	s.Records++
	s.Size += int64(len(record)) + 1
	if s.file == nil && s.Size <= maxInMemory {
		s.memory = append(append(s.memory, record...), '\n')
		return nil
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return s.failed(err)
		}
	}
	_, err := s.writer.Write(record)
	if err == nil {
		err = s.writer.WriteByte('\n')
	}
	return s.failed(err)
}

func (s *Spool) open() (err error) {
	if s.file, err = os.CreateTemp("", "carnation-*.jsonl"); err != nil {
		return err
	}
	s.writer = bufio.NewWriterSize(io.MultiWriter(s.file, s.hash), 64<<10)
	_, err = s.writer.Write(s.memory)
	s.memory = nil
	return err
}

func (s *Spool) failed(err error) error {
	if err != nil {
		return fmt.Errorf("write the records to a temporary file, whose folder TMPDIR names: %w", err)
	}
	return nil
}

// Small are the records, if they are in memory.
func (s *Spool) Small() ([]json.RawMessage, bool) {
	if s.file != nil {
		return nil, false
	}
	records := make([]json.RawMessage, 0, s.Records)
	for line := range bytes.Lines(s.memory) {
		records = append(records, bytes.TrimSuffix(line, []byte("\n")))
	}
	return records, true
}

// Content returns the lines and the hexadecimal SHA-256 of them, after the last record was added. The lines end with the spool.
func (s *Spool) Content() (lines io.ReadSeeker, sum string, err error) {
	if s.file == nil {
		sum := sha256.Sum256(s.memory)
		return bytes.NewReader(s.memory), hex.EncodeToString(sum[:]), nil
	}
	if err := s.writer.Flush(); err != nil {
		return nil, "", s.failed(err)
	}
	// A reader of its own: whoever reads the lines may not close the file.
	return io.NewSectionReader(s.file, 0, s.Size), hex.EncodeToString(s.hash.Sum(nil)), nil
}

// Close removes the temporary file.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
