package records

import (
	"fmt"
	"io"
)

// maxDepth is how deep the elements of an array may be nested, so that the end of each can be found.
const maxDepth = 10_000

// array reads the elements of a JSON array. It finds the end of each by its brackets and its quotation marks only. So one that is
// not JSON is a bad record, and the next one can still be read.
type array struct {
	*Reader
	begun bool
	text  []byte
	open  []byte // the closing brackets that are due
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipSpace returns the next byte that is not white space.
func (a *array) skipSpace() (byte, error) {
	for {
		if c, err := a.readByte(); err != nil || !isSpace(c) {
			return c, err
		}
	}
}

// element reads the next element.
func (a *array) element() (Record, error) {
	c, err := a.skipSpace()
	if !a.begun {
		if err == io.EOF || err == nil && c != '[' {
			return Record{}, &Error{a.line, "must be a JSON array: [{...}, {...}]"}
		}
		a.begun = true
		if err == nil {
			c, err = a.skipSpace()
		}
		if err == nil && c == ']' {
			return Record{}, a.end()
		}
	} else if err == nil {
		switch c {
		case ']':
			return Record{}, a.end()
		case ',':
			c, err = a.skipSpace()
		default:
			return Record{}, &Error{a.line, fmt.Sprintf("has %q after a record: must be a comma or the end of the array", c)}
		}
	}
	if err != nil {
		return Record{}, a.unended(err)
	}
	return a.value(c)
}

// value reads an element that begins with c. It leaves what comes after it.
func (a *array) value(c byte) (Record, error) {
	line := a.line
	if c == ',' || c == ']' || c == '}' {
		return Record{}, &Error{line, fmt.Sprintf("has %q where a record must be", c)}
	}
	a.text, a.open = a.text[:0], a.open[:0]
	quoted, escaped, long := false, false, false
	for {
		if len(a.text) < maxText {
			a.text = append(a.text, c)
		} else {
			long = true
		}
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			a.open = append(a.open, '}')
		case c == '[':
			a.open = append(a.open, ']')
		case c == '}' || c == ']':
			last := len(a.open) - 1 // at least 0: without an open bracket, the element has ended before
			if c != a.open[last] {
				return Record{}, &Error{a.line, fmt.Sprintf("has %q where %q must be", c, a.open[last])}
			}
			a.open = a.open[:last]
		}
		if len(a.open) > maxDepth {
			return Record{}, &Error{a.line, fmt.Sprintf("has more than %d brackets in each other", maxDepth)}
		}
		next, err := a.in.Peek(1)
		if err != nil {
			return Record{}, a.unended(err)
		}
		if c = next[0]; !quoted && len(a.open) == 0 && (c == ',' || c == ']' || c == '}' || isSpace(c)) {
			break
		}
		if _, err := a.readByte(); err != nil {
			return Record{}, err
		}
	}
	if long {
		return tooLong(line, a.text), nil
	}
	return Record{Line: line, JSON: a.compacted(a.text)}, nil
}

func (a *array) unended(err error) error {
	if err == io.EOF {
		return &Error{a.line, "the JSON array does not end"}
	}
	return err
}

// end checks that nothing comes after the array.
func (a *array) end() error {
	c, err := a.skipSpace()
	if err == nil {
		return &Error{a.line, fmt.Sprintf("has %q after the JSON array", c)}
	}
	return err
}
