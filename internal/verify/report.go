package verify

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// Held says whether what a check claims is true.
type Held string

const (
	Yes        Held = "yes"
	No         Held = "NO"
	NotChecked Held = "not checked"
)

// Result is what one check found.
type Result struct {
	Check   string    `json:"check"`
	Claim   string    `json:"claim"`
	Held    Held      `json:"held"`
	Seen    string    `json:"seen"` // or why it does not hold, or why it was not checked
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
}

// Report is all that was found. It is made to be pasted into an issue: it has no ids of accounts, and nothing of an event but its number.
type Report struct {
	Stack           string    `json:"stack"`
	Region          string    `json:"region"`
	Mode            string    `json:"mode"`
	Endpoint        string    `json:"endpoint"`  // AWS or local AWS
	Templates       string    `json:"templates"` // folder in the bucket, whose name has a hash of the templates
	Version         string    `json:"version"`   // of the command
	FirstSequenceNo int64     `json:"first_sequence_no"`
	Started         time.Time `json:"started"`
	Seconds         float64   `json:"seconds"`
	Checks          []Result  `json:"checks"`
}

// accountID is the id of an AWS account. Sequence numbers and times have other lengths.
var accountID = regexp.MustCompile(`\b[0-9]{12}\b`)

// add adds a result, without ids of accounts and in one line.
func (r *Report) add(result Result) {
	result.Seen = strings.Join(strings.Fields(accountID.ReplaceAllString(result.Seen, "ACCOUNT")), " ")
	r.Checks = append(r.Checks, result)
}

// count is the number of checks with this result.
func (r *Report) count(held Held) (n int) {
	for _, c := range r.Checks {
		if c.Held == held {
			n++
		}
	}
	return n
}

// AllHeld reports whether nothing that was checked failed.
func (r *Report) AllHeld() bool { return r.count(No) == 0 }

// Print prints the report as a table that is Markdown too.
func (r *Report) Print(w io.Writer) error {
	rows := [][]string{{"held", "at (UTC)", "took", "check", "what it says", "what was seen"}}
	for _, c := range r.Checks {
		rows = append(rows, []string{string(c.Held), c.At.Format(time.TimeOnly), fmt.Sprintf("%.1f s", c.Seconds), c.Check, c.Claim, strings.ReplaceAll(c.Seen, "|", `\|`)})
	}
	widths := make([]int, len(rows[0])-1) // the last column may be long
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "stack %s, %s, %s, %s; carnation %s, templates %s; %s UTC\n\n", r.Stack, r.Mode, r.Endpoint, r.Region, r.Version, r.Templates, r.Started.Format(time.DateTime))
	for n, row := range rows {
		for i, cell := range row {
			if i < len(widths) {
				cell += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(strings.Repeat("| --- ", len(row)) + "|\n")
		}
	}
	fmt.Fprintf(&b, "\n%d held, %d did not, %d not checked, in %.0f s\n", r.count(Yes), r.count(No), r.count(NotChecked), r.Seconds)
	_, err := io.WriteString(w, b.String())
	return err
}
