package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxHeader is the most bytes of a header that Step Functions supports.
const maxHeader = 10 * 1024

const (
	warnBackslash = "a backslash is removed, as Step Functions does: write \\\\ to keep it"
	warnFields    = "there are more fields than columns: the rest is dropped, as Step Functions does"
	warnSemicolon = "the header has no comma, but semicolons: the fields of a row must be separated by commas"
)

// table reads the rows of a CSV file by the rules of Step Functions:
// https://docs.aws.amazon.com/step-functions/latest/dg/example-csv-parse-dist-map.html
//
// What the page leaves open: an empty line is no row, and a quotation mark that is not one of a pair makes the row a bad record.
type table struct {
	*Reader
	header []string // its names as JSON strings
	text   []byte   // of all fields
	ends   []int    // where in text each field ends
}

// row reads the next row that is not empty.
func (t *table) row() (Record, error) {
	if t.header == nil {
		if err := t.readHeader(); err != nil {
			return Record{}, err
		}
	}
	line, bad, err := t.fields()
	if err != nil {
		return Record{}, err
	}
	if len(t.ends) > len(t.header) {
		t.warn(line, warnFields)
	}
	t.json = append(t.json[:0], '{')
	for i, name := range t.header {
		if i > 0 {
			t.json = append(t.json, ',')
		}
		t.json = append(append(t.json, name...), ':')
		t.json = appendString(t.json, t.field(i))
	}
	t.json = append(t.json, '}')
	if bad == "" && !utf8.Valid(t.text) {
		bad = "is not UTF-8"
	}
	return Record{Line: line, JSON: t.json, Problem: bad}, nil
}

// field is a field of the row that was read last. It is empty if the row is too short.
func (t *table) field(i int) []byte {
	if i >= len(t.ends) {
		return nil
	}
	start := 0
	if i > 0 {
		start = t.ends[i-1]
	}
	return t.text[start:t.ends[i]]
}

func (t *table) readHeader() error {
	line, bad, err := t.fields()
	if err != nil {
		return err // io.EOF, if there is not even a header
	}
	if bad != "" {
		return &Error{line, "the header " + bad}
	}
	if !utf8.Valid(t.text) {
		return &Error{line, "the header is not UTF-8"}
	}
	if size := len(t.text) + len(t.ends); size > maxHeader {
		return &Error{line, fmt.Sprintf("the header has %d bytes: must have at most %d", size, maxHeader)}
	}
	seen := map[string]bool{}
	for i := range t.ends {
		name := string(t.field(i))
		if seen[name] {
			return &Error{line, fmt.Sprintf("the header has the column %q twice: each name must be different", name)}
		}
		seen[name] = true
		t.header = append(t.header, string(appendString(nil, t.field(i))))
	}
	if len(t.header) == 1 && strings.Contains(t.header[0], ";") {
		t.warn(line, warnSemicolon)
	}
	return nil
}

// fields reads the fields of the next row. bad says why they are not what the file means.
func (t *table) fields() (line int64, bad string, err error) {
	t.text, t.ends = t.text[:0], t.ends[:0]
	line = t.line
	begun := false // whether the row has anything
	for {
		c, err := t.readByte()
		if err == io.EOF && begun {
			c, err = '\n', nil
		}
		if err != nil {
			return 0, "", err
		}
		switch c {
		case '\n':
			if !begun {
				line = t.line
				continue
			}
			t.ends = append(t.ends, len(t.text))
			return line, bad, nil
		case '\r':
			if next, _ := t.in.Peek(1); len(next) == 0 || next[0] != '\n' {
				bad = "has a carriage return that is neither quoted nor at the end of a line"
			}
			continue
		case ',':
			t.ends = append(t.ends, len(t.text))
		case '"':
			problem, err := t.quote(line)
			if err != nil {
				return 0, "", err
			}
			if problem != "" {
				bad = problem
			}
		case '\\':
			t.escape()
		default:
			t.text = append(t.text, c)
		}
		begun = true
		if len(t.text)+8*len(t.ends) > maxText {
			return 0, "", &Error{line, fmt.Sprintf("has a row of more than %d bytes", maxText)}
		}
	}
}

// escape reads what comes after a backslash. Only another backslash, a quotation mark and a comma can be escaped. Before anything
// else, the backslash is dropped.
func (t *table) escape() {
	if next, _ := t.in.Peek(1); len(next) == 1 && strings.IndexByte("\\\",", next[0]) >= 0 {
		t.text = append(t.text, next[0])
		_, _ = t.in.Discard(1) // the byte is there
	} else {
		t.warn(t.line, warnBackslash)
	}
}

// quote reads on after a quotation mark. At the beginning of a field, it encloses the field, whose end quote reads too. Elsewhere it
// must be repeated, and means itself.
func (t *table) quote(line int64) (bad string, err error) {
	start := 0
	if len(t.ends) > 0 {
		start = t.ends[len(t.ends)-1]
	}
	if next, _ := t.in.Peek(1); len(next) == 1 && next[0] == '"' && len(t.text) > start {
		t.text = append(t.text, '"')
		_, err := t.in.Discard(1)
		return "", err
	}
	if len(t.text) > start {
		return "has a quotation mark inside a field: must be repeated, or enclose the field", nil
	}
	for {
		c, err := t.readByte()
		if err == io.EOF {
			return "", &Error{line, "begins a row with a quotation mark that is never closed"}
		}
		if err != nil {
			return "", err
		}
		if len(t.text) > maxText {
			return "", &Error{line, fmt.Sprintf("has a row of more than %d bytes: is a quotation mark missing?", maxText)}
		}
		switch c {
		case '\\':
			t.escape()
			continue
		case '"':
		default:
			t.text = append(t.text, c)
			continue
		}
		next, _ := t.in.Peek(1)
		switch {
		case len(next) == 0 || next[0] == ',' || next[0] == '\n' || next[0] == '\r':
			return "", nil
		case next[0] == '"':
			t.text = append(t.text, '"')
			if _, err := t.in.Discard(1); err != nil {
				return "", err
			}
		default:
			return fmt.Sprintf("has %q after a closing quotation mark: must be a comma or the end of the line", next[0]), nil
		}
	}
}

// appendString appends a string as JSON. Encoding it with encoding/json takes much longer, and is only done where it has to be escaped.
func appendString(to, s []byte) []byte {
	plain := true
	for _, c := range s {
		plain = plain && c >= ' ' && c != '"' && c != '\\'
	}
	if plain && utf8.Valid(s) {
		return append(append(append(to, '"'), s...), '"')
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(string(s)); err != nil {
		panic(err) // a string always has a JSON
	}
	return append(to, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
