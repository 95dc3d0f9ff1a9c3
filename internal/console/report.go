package console

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"
	"text/template"

	"carnation/internal/console/assets"
	"carnation/internal/operate/model"
)

var reportTemplate = template.Must(template.ParseFS(assets.Files, "report.html"))

// report is what report.html needs. Title is HTML, and the others are what they are named after.
type report struct{ CSP, Title, Style, Document, Visits, Script string }

// WriteReport writes one HTML file with the view of one run. It opens without a server and without a network. visits are what went in
// and out of the states; a report without payloads has none.
func WriteReport(w io.Writer, doc *model.Document, visits []model.Visit) error {
	style, script := assets.Report()
	r := report{
		CSP: fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'",
			sourceHash(script), sourceHash(style)),
		Title: html.EscapeString(fmt.Sprintf("%s %s, run of %s", doc.Run.Name, doc.Run.Status, doc.Stack.Name)),
		Style: style, Script: script,
	}
	// Nothing in these may end its element, or be changed by the browser before it compares the hash.
	for _, text := range []string{strings.ToLower(script), strings.ToLower(style)} {
		for _, end := range []string{"</script", "</style", "<!--", "\r"} {
			if strings.Contains(text, end) {
				return fmt.Errorf("write report: a file of the page has %q", end)
			}
		}
	}
	if visits == nil {
		visits = []model.Visit{}
	}
	var err error
	if r.Document, err = inScript(doc); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if r.Visits, err = inScript(visits); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := reportTemplate.Execute(w, r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// sourceHash is how a policy names a script or a style: https://www.w3.org/TR/CSP3/#grammardef-hash-source
func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// inScript is JSON for a script element. Package json writes <, >, & and the line separators as \u003c and so on, also those in a
// json.RawMessage, so that no text can end the element.
func inScript(value any) (string, error) {
	text, err := json.Marshal(value)
	return strings.ToValidUTF8(string(text), "\ufffd"), err
}
