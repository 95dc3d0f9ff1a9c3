package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"carnation/internal/event"
)

// read is what a file gives: its records with copies of their JSON, and the error that ended it, if it was not its end.
func read(file io.Reader, format string) (records []Record, warnings []Warning, err error) {
	r := NewReader(file, format)
	for {
		record, err := r.Next()
		if err != nil {
			if again, next := r.Next(); again.Position != 0 || next != err {
				return nil, nil, fmt.Errorf("after %v, Next() = %+v, %v", err, again, next)
			}
			if err == io.EOF {
				err = nil
			}
			return records, r.Warnings(), err
		}
		record.JSON = bytes.Clone(record.JSON)
		records = append(records, record)
	}
}

// Local AWS is tested with the same files, in test_item_reader.py, so that a file gives the same records by whatever way it gets into a run.
// Two files are not among them, because they differ. An empty CSV file has no records here, and fails a run on local AWS. A lone carriage
// return at the end of a CSV file makes the last row bad here, and ends it on local AWS.
func TestFilesGiveTheRecordsThatStepFunctionsReads(t *testing.T) {
	data, err := os.ReadFile("testdata/files.json")
	if err != nil {
		t.Fatal(err)
	}
	var files []struct {
		Name, Format, File string
		Records            []map[string]any
	}
	if err := json.Unmarshal(data, &files); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, reader := range []io.Reader{strings.NewReader(file.File), iotest.OneByteReader(strings.NewReader(file.File))} {
			records, _, err := read(reader, file.Format)
			got := []map[string]any{}
			for i, record := range records {
				var value map[string]any
				if err := json.Unmarshal(record.JSON, &value); err != nil || record.Problem != "" || record.Position != int64(i+1) {
					t.Errorf("%s: record %+v: %v, want a good one at position %d", file.Name, record, err, i+1)
				}
				if bytes.ContainsAny(record.JSON, "\r\n") {
					t.Errorf("%s: %s is more than one line", file.Name, record.JSON)
				}
				got = append(got, value)
			}
			if err != nil || !reflect.DeepEqual(got, file.Records) {
				t.Errorf("%s: records = %v, %v, want %v", file.Name, got, err, file.Records)
			}
		}
	}
}

func TestEachRecordHasItsPositionAndItsLine(t *testing.T) {
	for _, tc := range []struct{ format, file, want string }{
		{event.JSONL, "\n{}\n\r\n{}\n{}", "1:2 2:4 3:5"},
		{event.JSON, "[\n{},\n\n{\n\"a\":[\n1]\n},{}\n]", "1:2 2:4 3:7"},
		{event.CSV, "\na,\"b\n\"\n\n1,2\n\"x\ny\n\",3\n4,5", "1:5 2:6 3:9"},
	} {
		records, _, err := read(strings.NewReader(tc.file), tc.format)
		var got []string
		for _, r := range records {
			got = append(got, fmt.Sprintf("%d:%d", r.Position, r.Line))
		}
		if strings.Join(got, " ") != tc.want || err != nil {
			t.Errorf("positions and lines of %q = %s, %v, want %s", tc.file, got, err, tc.want)
		}
	}
}

// A bad record does not end the file.
func TestBadRecordsHaveAReason(t *testing.T) {
	long := strings.Repeat(" ", maxText)
	for _, tc := range []struct{ format, file, want string }{
		{event.JSONL, "{}\n[1]\n{}", "2: is a list: must be a JSON object"},
		{event.JSONL, "{}\n{\"a\":tru}\n{}", "2: is not JSON from its byte 9 on: must be a JSON object"},
		{event.JSONL, "{}\n{} {}\n{}", "2: is not JSON from its byte 4 on: must be a JSON object"},
		{event.JSONL, "{}\n{\"a\":\"\xff\"}\n{}", "2: is not valid UTF-8"},
		{event.JSONL, "{}\n{\"a\":123456789012345678901234567890123456789}\n{}", "2: has a number of 39 digits: must have numbers of at most 38, or strings"},
		{event.JSONL, "{}\n{\"a\":\"" + long + "\"}\n{}", "2: has more than 1048576 bytes of text"},
		{event.JSONL, "{}\n{\"a\":\"" + strings.Repeat("x", event.MaxRecord-7) + "\"}\n{}", "2: has 20,481 bytes: must have at most 20,480"},
		{event.JSON, "[{},7,{}]", "2: is a number: must be a JSON object"},
		{event.JSON, "[{},{\"a\":tru},{}]", "2: is not JSON from its byte 9 on: must be a JSON object"},
		{event.JSON, "[{},{\"a\" \"\\\",\"},{}]", "2: is not JSON from its byte 6 on: must be a JSON object"},
		{event.JSON, "[{},{\"a\":\"" + long + "\"},{}]", "2: has more than 1048576 bytes of text"},
		{event.CSV, "a,b\n1,2\n1,\xff\n1,2\n", "2: is not UTF-8"},
		{event.CSV, "a,b\n1,2\n5\" pipe,2\n1,2\n", "2: has a quotation mark inside a field: must be repeated, or enclose the field"},
		{event.CSV, "a,b\n1,2\n\"x\"y,2\n1,2\n", "2: has 'y' after a closing quotation mark: must be a comma or the end of the line"},
		{event.CSV, "a,b\n1,2\n1\r2,2\n1,2\n", "2: has a carriage return that is neither quoted nor at the end of a line"},
		{event.CSV, "a,b\n1,2\n\"" + strings.Repeat("x", event.MaxRecord) + "\",2\n1,2\n", "2: has 20,496 bytes: must have at most 20,480"},
	} {
		records, _, err := read(strings.NewReader(tc.file), tc.format)
		var bad []string
		for _, r := range records {
			if r.Problem != "" {
				bad = append(bad, fmt.Sprintf("%d: %s", r.Position, r.Problem))
			}
		}
		if got := strings.Join(bad, "; "); got != tc.want || len(records) != 3 || err != nil {
			t.Errorf("bad records of %.40q = %s of %d, %v, want %s", tc.file, got, len(records), err, tc.want)
		}
	}
}

func TestAFileThatCannotBeReadSaysWhere(t *testing.T) {
	for _, tc := range []struct{ format, file, want string }{
		{event.JSONL, "\xff\xfe{\x00}\x00", "line 1: is UTF-16: must be UTF-8"},
		{event.JSON, "", "line 1: must be a JSON array: [{...}, {...}]"},
		{event.JSON, "\n{}", "line 2: must be a JSON array: [{...}, {...}]"},
		{event.JSON, "[", "line 1: the JSON array does not end"},
		{event.JSON, "[\n{}\n", "line 3: the JSON array does not end"},
		{event.JSON, "[\n{},\n", "line 3: the JSON array does not end"},
		{event.JSON, "[\n{\"a", "line 2: the JSON array does not end"},
		{event.JSON, "[{},\n,{}]", "line 2: has ',' where a record must be"},
		{event.JSON, "[{},\n]", "line 2: has ']' where a record must be"},
		{event.JSON, "[{}\n{}]", "line 2: has '{' after a record: must be a comma or the end of the array"},
		{event.JSON, "[{\n]]", "line 2: has ']' where '}' must be"},
		{event.JSON, "[{}]\n\n[{}]", "line 3: has '[' after the JSON array"},
		{event.JSON, strings.Repeat("[", maxDepth+2), "line 1: has more than 10000 brackets in each other"},
		{event.CSV, "\na,b,a\n", "line 2: the header has the column \"a\" twice: each name must be different"},
		{event.CSV, "a,b\"c\n", "line 1: the header has a quotation mark inside a field: must be repeated, or enclose the field"},
		{event.CSV, "a,\xff\n", "line 1: the header is not UTF-8"},
		{event.CSV, strings.Repeat("a", maxHeader) + "\n", "line 1: the header has 10241 bytes: must have at most 10240"},
		{event.CSV, "a\n1\n2\n\"x\n3\n", "line 4: begins a row with a quotation mark that is never closed"},
		{event.CSV, "a\n\"" + strings.Repeat("x\n", maxText), "line 2: has a row of more than 1048576 bytes: is a quotation mark missing?"},
		{event.CSV, "a\n" + strings.Repeat("x", maxText+1), "line 2: has a row of more than 1048576 bytes"},
	} {
		_, _, err := read(strings.NewReader(tc.file), tc.format)
		var whole *Error
		if !errors.As(err, &whole) || err.Error() != tc.want {
			t.Errorf("error of %.40q = %v, want %s", tc.file, err, tc.want)
		}
	}
}

func TestAFileThatFailsEndsWithItsError(t *testing.T) {
	broken := errors.New("broken")
	for format, file := range map[string]string{event.JSONL: "{}\n{", event.JSON: "[{},{", event.CSV: "a\n1\n\"2"} {
		records, _, err := read(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)), format)
		if err != broken || len(records) != 1 {
			t.Errorf("%s: %v, %v, want one record and then %v", format, records, err, broken)
		}
	}
}

func TestWhatStepFunctionsDropsIsAWarning(t *testing.T) {
	_, got, err := read(strings.NewReader("a;b\n1\nC:\\x\\y\n1,2\n1,2\n"), event.CSV)
	want := []Warning{{warnSemicolon, 1, 1}, {warnBackslash, 3, 2}, {warnFields, 4, 2}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("warnings = %+v, %v, want %+v", got, err, want)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	const number = "-0.00012345678901234567890123456789012345678E+7"
	for format, file := range map[string]string{event.JSONL: "{\"a\": %s}", event.JSON: "[ {\"a\" : %s} ]"} {
		records, _, err := read(strings.NewReader(fmt.Sprintf(file, number)), format)
		if want := `{"a":` + number + `}`; err != nil || len(records) != 1 || string(records[0].JSON) != want || records[0].Problem != "" {
			t.Errorf("%s: %+v, %v, want %s", format, records, err, want)
		}
	}
}

func TestFormatOfAFile(t *testing.T) {
	for name, want := range map[string]string{
		"a.jsonl": event.JSONL, "a.ndjson": event.JSONL, "/x.csv/a.JSON": event.JSON, "s3://b/a.b.csv": event.CSV, "a.txt": "", "a": "", "-": "", "a.csv.gz": "",
	} {
		if got := FormatOf(name); got != want {
			t.Errorf("FormatOf(%q) = %q, want %q", name, got, want)
		}
	}
}

// endless repeats a text.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.text[e.at:])
	e.at = (e.at + n) % len(e.text)
	return n, nil
}

// However large a file is, and whatever it has, reading it takes a few megabytes.
func TestTheMemoryDoesNotGrowWithTheFile(t *testing.T) {
	const size = 16 << 20
	note := strings.Repeat("x", 5000)
	for _, tc := range []struct{ name, format, begin, text string }{
		{"lines", event.JSONL, "", `{"amount": 12.5, "note": "` + note + `"}` + "\n"},
		{"one line", event.JSONL, "", "{}"},
		{"blank lines", event.JSONL, "", "\r\n"},
		{"elements", event.JSON, "[{}", `, {"note": "` + note + `"}`},
		{"one element", event.JSON, "[", `{"order": "A-17", "more": `},
		{"one string", event.JSON, `["`, "x"},
		{"rows", event.CSV, "a,b\n", note + ",\"x, \\\\ \"\"y\"\"\"\n"},
		{"empty fields", event.CSV, "a,b\n", ","},
	} {
		r := NewReader(io.MultiReader(strings.NewReader(tc.begin), io.LimitReader(&endless{text: tc.text}, size)), tc.format)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		most := uint64(0)
		for i := 0; ; i++ {
			_, err := r.Next()
			if i%1000 == 0 || err != nil {
				runtime.GC()
				runtime.ReadMemStats(&after)
				most = max(most, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
			}
			if err != nil {
				break
			}
		}
		if most > 6<<20 {
			t.Errorf("%s: %d MiB are in use, want at most 6", tc.name, most>>20)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	for format, text := range map[string]string{
		event.JSONL: `{"order":"A-17","amount":12.5,"customer":"Zoë","items":["a","b"],"note":"` + strings.Repeat("x", 100) + `"}` + "\n",
		event.CSV:   `A-17,12.5,Zoë,"a, b",` + strings.Repeat("x", 100) + "\n",
	} {
		b.Run(format, func(b *testing.B) {
			r := NewReader(io.MultiReader(strings.NewReader(map[string]string{event.CSV: "order,amount,customer,items,note\n"}[format]), &endless{text: text}), format)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if record, err := r.Next(); err != nil || record.Problem != "" {
					b.Fatal(record, err)
				}
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add("\ufeff{\"a\": 1}\r\n\n[", byte(0))
	f.Add("[{\"a\": \"\\\"]\"}, {\"b\": [{}]}]", byte(1))
	f.Add("a,b\n\"1\n\",\"\"\"\"\\,\r\n\r\n", byte(2))
	f.Fuzz(func(t *testing.T, file string, format byte) {
		records, _, err := read(strings.NewReader(file), Formats[int(format)%len(Formats)])
		again, _, errAgain := read(iotest.OneByteReader(strings.NewReader(file)), Formats[int(format)%len(Formats)])
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || !reflect.DeepEqual(records, again) {
			t.Errorf("read byte for byte: %v, %v, want %v, %v", again, errAgain, records, err)
		}
		for _, record := range records {
			if record.Problem == "" && (event.CheckRecord(record.JSON) != nil || bytes.ContainsAny(record.JSON, "\r\n")) {
				t.Errorf("record %q is not one line that is a record", record.JSON)
			}
			if line := int64(strings.Count(file, "\n")) + 1; record.Line < 1 || record.Line > line {
				t.Errorf("record %q is in line %d of %d", record.JSON, record.Line, line)
			}
		}
		// What is read as JSON is an array of JSON exactly if encoding/json says so.
		if Formats[int(format)%len(Formats)] == event.JSON && err == nil {
			whole := json.Valid([]byte(strings.TrimPrefix(file, "\ufeff")))
			for _, record := range records {
				whole = whole || !json.Valid(record.JSON)
			}
			if !whole {
				t.Errorf("%q is read as %v, but is not JSON", file, records)
			}
		}
	})
}
