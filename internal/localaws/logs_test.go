package localaws

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestOutputFileHandsOnWholeLines(t *testing.T) {
	for _, tc := range []struct {
		name   string
		prints []string   // one before each look
		want   [][]string // lines of each look
	}{
		{"nothing", []string{""}, [][]string{{}}},
		{"one line", []string{"a\n"}, [][]string{{"a"}}},
		{"two lines", []string{"a\nb\n"}, [][]string{{"a", "b"}}},
		{"each line once", []string{"a\n", "b\n", ""}, [][]string{{"a"}, {"b"}, {}}},
		{"a line in pieces", []string{"a", "b", "c\nd\n"}, [][]string{{}, {}, {"abc", "d"}}},
		{"its end alone", []string{"a", "\n"}, [][]string{{}, {"a"}}},
		{"an end and a start", []string{"a\nb", "c\n"}, [][]string{{"a"}, {"bc"}}},
		{"empty lines", []string{"\n\na\n"}, [][]string{{"", "", "a"}}},
		{"a long line", []string{strings.Repeat("x", 300_000), "\n"}, [][]string{{}, {strings.Repeat("x", 300_000)}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "output")
			o, err := newOutputFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i, data := range tc.prints {
				if _, err := o.writer.WriteString(data); err != nil {
					t.Fatal(err)
				}
				if got, err := o.lines(); err != nil || !slices.Equal(got, tc.want[i]) {
					t.Errorf("lines() after %.20q = %.40q, %v, want %.40q", data, got, err, tc.want[i])
				}
			}
			if err := o.close(); err != nil {
				t.Errorf("close() = %v", err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after close() the file is there: %v", err)
			}
		})
	}
}

func TestOutputFileThatCannotBeMadeIsAnError(t *testing.T) {
	if _, err := newOutputFile(filepath.Join(t.TempDir(), "no", "such", "folder")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("newOutputFile() error = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestLogBookKeepsTheNewestLinesOfEachStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &logBook{streams: map[logStream]*logLines{}}
		one, other := logStream{Region, "group", "one"}, logStream{Region, "group", "other"}
		for i := range logKeep + 5 {
			b.add(one, fmt.Sprint("line ", i))
		}
		b.add(other, "alone")
		b.add(other, "")
		if got := b.streams[one].events; len(got) != logKeep || aws.ToString(got[0].Message) != "line 5" ||
			aws.ToString(got[logKeep-1].Message) != fmt.Sprint("line ", logKeep+4) {
			t.Errorf("stream has %d lines, from %q to %q, want the newest %d", len(got),
				aws.ToString(got[0].Message), aws.ToString(got[len(got)-1].Message), logKeep)
		}
		got := b.streams[other].events
		if len(got) != 1 || aws.ToString(got[0].Message) != "alone" || aws.ToInt64(got[0].Timestamp) != time.Now().UnixMilli() {
			t.Errorf("other stream = %+v, want its one line, with the time in Unix milliseconds: CloudWatch refuses empty lines", got)
		}
	})
}
