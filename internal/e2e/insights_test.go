package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// logRow is a log line as CloudWatch Logs Insights discovers its fields: nested ones by their dotted path, and @timestamp.
type logRow map[string]any

// logRows is the lines that functions of a stack have logged since a time.
func logRows(t *testing.T, s *deployed, since time.Time, functions ...string) []logRow {
	t.Helper()
	var rows []logRow
	for _, function := range functions {
		for _, e := range s.logEvents(t, function, since) {
			row := logRow{"@timestamp": float64(*e.Timestamp), "@message": *e.Message}
			var line map[string]any
			if err := json.Unmarshal([]byte(*e.Message), &line); err != nil {
				t.Errorf("line of %s is not JSON: %s", function, *e.Message)
			}
			row.flatten("", line)
			rows = append(rows, row)
		}
	}
	return rows
}

func (r logRow) flatten(path string, object map[string]any) {
	for name, value := range object {
		if nested, ok := value.(map[string]any); ok {
			r.flatten(path+name+".", nested)
		} else {
			r[path+name] = value
		}
	}
}

// insights runs a query of the part of Logs Insights' language that the documentation uses: fields, filter, stats, sort
// and limit. Anything else, and any field that no line has, fails the test.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
func insights(t *testing.T, query string, rows []logRow) []logRow {
	t.Helper()
	known := map[string]bool{}
	for _, row := range rows {
		for name := range row {
			known[name] = true
		}
	}
	q := &insightsQuery{t: t, query: query, known: known}
	for _, command := range strings.Split(query, "|") {
		name, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		q.tokens = insightsToken.FindAllString(rest, -1)
		switch name {
		case "fields":
			q.fields()
		case "filter":
			condition := q.or()
			rows = slices.DeleteFunc(slices.Clone(rows), func(r logRow) bool { return !condition(r) })
		case "stats":
			rows = q.stats(rows)
		case "sort":
			field := q.field()
			direction := 1
			if q.next() == "desc" {
				direction = -1
			}
			rows = slices.Clone(rows)
			slices.SortStableFunc(rows, func(a, b logRow) int { return direction * compare(a[field], b[field]) })
		case "limit":
			n, err := strconv.Atoi(q.next())
			if err != nil {
				t.Fatalf("limit of %s: %v", query, err)
			}
			rows = rows[:min(n, len(rows))]
		default:
			t.Fatalf("command %q in %s: not known to this test", name, query)
		}
		if len(q.tokens) > 0 {
			t.Fatalf("%v left over in %q of %s", q.tokens, command, query)
		}
	}
	return rows
}

var insightsToken = regexp.MustCompile(`"[^"]*"|[\[\](),*]|!=|<=|>=|=|<|>|[@\w.]+|\S`)

type insightsQuery struct {
	t      *testing.T
	query  string
	known  map[string]bool
	tokens []string // of the command, not read yet
}

func (q *insightsQuery) peek() string {
	if len(q.tokens) == 0 {
		return ""
	}
	return q.tokens[0]
}

func (q *insightsQuery) next() string {
	token := q.peek()
	q.tokens = q.tokens[min(1, len(q.tokens)):]
	return token
}

func (q *insightsQuery) take(token string) bool {
	if q.peek() != token {
		return false
	}
	q.next()
	return true
}

func (q *insightsQuery) expect(token string) {
	q.t.Helper()
	if got := q.next(); got != token {
		q.t.Fatalf("%q where %q should be in %s", got, token, q.query)
	}
}

func (q *insightsQuery) field() string {
	q.t.Helper()
	name := q.next()
	if !q.known[name] {
		q.t.Fatalf("no log line has the field %q of %s", name, q.query)
	}
	return name
}

// fields only checks names: the other fields stay, as those that follow may filter and sort by them.
func (q *insightsQuery) fields() {
	q.t.Helper()
	for more := true; more; more = q.take(",") {
		q.field()
	}
}

type insightsCondition func(logRow) bool

func (q *insightsQuery) or() insightsCondition {
	left := q.and()
	for q.take("or") {
		a, b := left, q.and()
		left = func(r logRow) bool { return a(r) || b(r) }
	}
	return left
}

func (q *insightsQuery) and() insightsCondition {
	left := q.comparison()
	for q.take("and") {
		a, b := left, q.comparison()
		left = func(r logRow) bool { return a(r) && b(r) }
	}
	return left
}

func (q *insightsQuery) comparison() insightsCondition {
	q.t.Helper()
	if q.take("(") {
		inner := q.or()
		q.expect(")")
		return inner
	}
	field, operator := q.field(), q.next()
	if operator == "in" {
		q.expect("[")
		allowed := []any{q.value()}
		for q.take(",") {
			allowed = append(allowed, q.value())
		}
		q.expect("]")
		return func(r logRow) bool { return r[field] != nil && slices.Contains(allowed, r[field]) }
	}
	test := map[string]func(int) bool{
		"=": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	}[operator]
	if test == nil {
		q.t.Fatalf("operator %q in %s: not known to this test", operator, q.query)
	}
	value := q.value()
	return func(r logRow) bool {
		return r[field] != nil && fmt.Sprintf("%T", r[field]) == fmt.Sprintf("%T", value) && test(compare(r[field], value))
	}
}

func (q *insightsQuery) value() any {
	q.t.Helper()
	token := q.next()
	if text, ok := strings.CutPrefix(token, `"`); ok {
		return strings.TrimSuffix(text, `"`)
	}
	n, err := strconv.ParseFloat(token, 64)
	if err != nil {
		q.t.Fatalf("value %q in %s is neither a text nor a number", token, q.query)
	}
	return n
}

func compare(a, b any) int {
	x, xIsNumber := a.(float64)
	y, yIsNumber := b.(float64)
	if xIsNumber && yIsNumber {
		return cmp.Compare(x, y)
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

// stats reads FUNCTION(FIELD) as NAME, ... [by FIELD].
func (q *insightsQuery) stats(rows []logRow) []logRow {
	q.t.Helper()
	type column struct{ function, field, name string }
	var columns []column
	for more := true; more; more = q.take(",") {
		c := column{function: q.next()}
		q.expect("(")
		if !q.take("*") {
			c.field = q.field()
		}
		q.expect(")")
		q.expect("as")
		c.name = q.next()
		columns = append(columns, c)
	}
	by := ""
	if q.take("by") {
		by = q.field()
	}
	groups := map[any][]logRow{}
	var keys []any
	for _, row := range rows {
		key := row[by]
		if _, ok := groups[key]; !ok {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], row)
	}
	var result []logRow
	for _, key := range keys {
		group := groups[key]
		slices.SortStableFunc(group, func(a, b logRow) int { return compare(a["@timestamp"], b["@timestamp"]) })
		row := logRow{}
		if by != "" {
			row[by] = key
		}
		for _, c := range columns {
			q.known[c.name] = true
			switch c.function {
			case "count":
				row[c.name] = float64(len(group))
			case "sum":
				sum := 0.0
				for _, r := range group {
					n, _ := r[c.field].(float64) // a line without it adds nothing
					sum += n
				}
				row[c.name] = sum
			case "latest":
				for _, r := range group {
					if r[c.field] != nil {
						row[c.name] = r[c.field]
					}
				}
			default:
				q.t.Fatalf("function %q in %s: not known to this test", c.function, q.query)
			}
		}
		result = append(result, row)
	}
	return result
}
