package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// logRow is a log line with the fields that CloudWatch Logs Insights finds in it: nested fields by their dotted path, and @timestamp.
type logRow map[string]any

// logRows are the lines that functions of a stack have logged since a time.
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

var (
	queryString = regexp.MustCompile(`"[^"]*"`)
	queryWord   = regexp.MustCompile(`@?[A-Za-z_][\w.]*`)
	queryEquals = regexp.MustCompile(`([\w.]+) = "([^"]*)"`)
	// The words of the query language that docs/operations.md uses.
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
	queryKeywords = regexp.MustCompile(`^(fields|filter|sort|stats|limit|and|in|by|as|asc|desc|sum|count|latest)$`)
)

// checkQuery reports the fields that a query names and no log line has, and the texts that it looks for and no line has there.
func checkQuery(query string, rows []logRow) (faults []string) {
	has := map[string]bool{}
	for _, row := range rows {
		for field, value := range row {
			has[field], has[fmt.Sprintf("%s = %v", field, value)] = true, true
		}
	}
	before := ""
	for _, word := range queryWord.FindAllString(queryString.ReplaceAllString(query, ""), -1) {
		if before == "as" {
			has[word] = true // from here on
		}
		if !queryKeywords.MatchString(word) && !has[word] {
			faults = append(faults, fmt.Sprintf("no log line has the field %s", word))
		}
		before = word
	}
	for _, equals := range queryEquals.FindAllStringSubmatch(query, -1) {
		if !has[equals[1]+" = "+equals[2]] {
			faults = append(faults, fmt.Sprintf("no log line has %s", equals[0]))
		}
	}
	return faults
}

func TestQueryWithAFieldThatNoLineHasIsNoticed(t *testing.T) {
	rows := []logRow{{"message": "event failed", "sequenceNo": 7.0, "record.status": "error"}}
	for query, want := range map[string]string{
		`fields record.status | filter message = "event failed" and sequenceNo = 7 | sort sequenceNo asc`: "",
		`stats count(*) as n, latest(message) as last by sequenceNo | sort n desc`:                        "",
		`fields sequenceNumber`:                  "no log line has the field sequenceNumber",
		`filter message = "events failed"`:       `no log line has message = "events failed"`,
		`stats sum(failed) as failed by message`: "no log line has the field failed",
	} {
		if got := strings.Join(checkQuery(query, rows), "\n"); got != want {
			t.Errorf("checkQuery(%q) = %q, want %q", query, got, want)
		}
	}
}
