package records

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestASpoolKeepsRecordsInMemoryAndThenInAFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, tc := range []struct {
		records int
		inFile  bool
	}{{0, false}, {1, false}, {maxInMemory / 8, false}, {maxInMemory/8 + 1, true}, {maxInMemory, true}} {
		s := NewSpool()
		for range tc.records {
			if err := s.Add([]byte(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
		}
		want := strings.Repeat("{\"a\":1}\n", tc.records)
		sum := sha256.Sum256([]byte(want))
		for range 2 { // it can be read again
			content, hash, err := s.Content()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(content)
			if string(got) != want || hash != hex.EncodeToString(sum[:]) || err != nil || s.Size != int64(len(want)) || s.Records != int64(tc.records) {
				t.Errorf("%d records: %d bytes with the hash %s, %v, want %d with %x", tc.records, len(got), hash, err, len(want), sum)
			}
		}
		files, err := os.ReadDir(os.TempDir())
		if (len(files) == 1) != tc.inFile || err != nil {
			t.Errorf("%d records: files %v, %v", tc.records, files, err)
		}
		small, inMemory := s.Small()
		if inMemory == tc.inFile || inMemory && (len(small) != tc.records || small == nil || tc.records > 0 && string(small[tc.records-1]) != `{"a":1}`) {
			t.Errorf("%d records: Small() = %d, %t", tc.records, len(small), inMemory)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if files, err := os.ReadDir(os.TempDir()); len(files) > 0 || err != nil {
			t.Errorf("%d records: %v, %v after Close(), want no file", tc.records, files, err)
		}
	}
}

func TestASpoolSaysWhereItCannotWrite(t *testing.T) {
	t.Setenv("TMPDIR", "/does/not/exist")
	s := NewSpool()
	var err error
	for i := 0; i <= maxInMemory && err == nil; i += 3 {
		err = s.Add([]byte("{}"))
	}
	if err == nil || !strings.HasPrefix(err.Error(), "write the records to a temporary file, whose folder TMPDIR names: open /does/not/exist/") {
		t.Errorf("Add() = %v, want where it cannot write", err)
	}
	if err := s.Close(); err != nil {
		t.Error(fmt.Errorf("Close() after that = %w", err))
	}
}
