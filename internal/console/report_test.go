package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carnation/internal/operate/model"
	"carnation/internal/operate/model/recording"
)

// written is the report of a run.
func written(t *testing.T, doc *model.Document, visits []model.Visit) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteReport(&b, doc, visits); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// recorded is the document of a recorded run, and its visits.
func recorded(t *testing.T, name string, options model.Options) (*model.Document, []model.Visit) {
	t.Helper()
	r, err := recording.Open(filepath.Join("../operate/model/testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	p := r.Player()
	stack := p.Stack()
	doc, err := model.Read(t.Context(), stack, p.Arn, options)
	if err != nil {
		t.Fatal(err)
	}
	visits, err := model.AllVisits(t.Context(), stack, p.Arn)
	if err != nil {
		t.Fatal(err)
	}
	return doc, visits
}

var (
	element      = regexp.MustCompile(`(?s)<(script|style)([^>]*)>(.*?)</(script|style)>`)
	reportPolicy = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`)
)

// parts are the scripts and styles of a report, as a browser sees them: the first end tag ends an element.
func parts(t *testing.T, page string) (script, style string, data map[string]string) {
	t.Helper()
	data = map[string]string{}
	for _, m := range element.FindAllStringSubmatch(page, -1) {
		switch {
		case m[1] == "style":
			style = m[3]
		case m[2] == "":
			script = m[3]
		default:
			id := regexp.MustCompile(`^ type="application/json" id="([a-z-]+)"$`).FindStringSubmatch(m[2])
			if id == nil {
				t.Fatalf("the report has a script with the attributes %s", m[2])
			}
			data[id[1]] = m[3]
		}
	}
	return script, style, data
}

func TestReportRunsNothingButItsOwnScript(t *testing.T) {
	doc, _ := recorded(t, "inline-failures", model.Options{})
	page := written(t, doc, nil)
	script, style, data := parts(t, page)
	m := reportPolicy.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("the report has no policy")
	}
	want := "default-src 'none'; script-src '" + sourceHash(script) + "'; style-src '" + sourceHash(style) + "'; img-src data:; base-uri 'none'; form-action 'none'"
	if got := html.UnescapeString(m[1]); got != want {
		t.Errorf("the policy is %s, want %s", got, want)
	}
	if strings.Index(page, m[0]) > strings.Index(page, "<style") {
		t.Error("the policy comes after what it is about")
	}
	var shown model.Document
	if err := json.Unmarshal([]byte(data["carnation-document"]), &shown); err != nil || shown.Run.Arn != doc.Run.Arn || len(shown.States) != len(doc.States) {
		t.Errorf("the report has the document %.300s, %v", data["carnation-document"], err)
	}
	if got := data["carnation-visits"]; got != "[]" {
		t.Errorf("without payloads the report has the visits %.300s", got)
	}
	for _, address := range regexp.MustCompile(`(?i)(?:src|href)\s*=\s*["']?([^"'\s>]+)`).FindAllStringSubmatch(strings.NewReplacer(script, "", style, "").Replace(page), -1) {
		if address[1] != "data:," {
			t.Errorf("the report refers to %s", address[1])
		}
	}
}

// Whatever an event, an error or a name contains, it is data.
func TestHostileContentStaysInTheData(t *testing.T) {
	doc, visits := recorded(t, "inline-failures", model.Options{Payloads: true})
	clean := written(t, doc, visits)
	const hostile = "</script><script>alert(1)</script><!-- \" ' & {{.Script}} \u2028\u2029 \u202egnp.exe \x00"
	doc.Run.Name, doc.Run.Cause, doc.Items.Rows[0].Error = hostile, hostile, hostile
	payload, err := json.Marshal(map[string]string{hostile: hostile + strings.Repeat("x", 200_000)})
	if err != nil {
		t.Fatal(err)
	}
	unescaped := []byte(`{"` + `</script><img src=x onerror=alert(1)>` + "\u2028" + `":"<!--"}`) // as AWS may answer it
	doc.Items.Rows[0].Payload, doc.Run.RawInput, visits[0].Input = payload, unescaped, unescaped
	page := written(t, doc, visits)
	script, style, data := parts(t, page)
	cleanScript, cleanStyle, _ := parts(t, clean)
	if script != cleanScript || style != cleanStyle || len(data) != 2 {
		t.Errorf("the script has %d bytes, the style %d, and there are %d data, want %d, %d and 2", len(script), len(style), len(data), len(cleanScript), len(cleanStyle))
	}
	for _, tag := range []string{"<script", "<img", "<!--"} {
		if got, want := strings.Count(page, tag), strings.Count(clean, tag); got != want {
			t.Errorf("the report has %s %d times, want %d times", tag, got, want)
		}
	}
	var shown model.Document
	if err := json.Unmarshal([]byte(data["carnation-document"]), &shown); err != nil || shown.Run.Name != hostile || !bytes.Equal(shown.Items.Rows[0].Payload, payload) {
		t.Errorf("the report does not have the name and the payload as they are: %v", err)
	}
}

// large is a document as long as it gets: so many failed events, or shards, with a span each.
func large(events, shards int) *model.Document {
	const machine = "arn:aws:states:eu-central-2:123456789012:execution:carnation-state-machine-devl-eu-central-2"
	text := strings.Repeat("The process ended before it answered. ", 5)
	doc := &model.Document{
		Run: model.Run{Arn: machine + ":orders", Name: "orders", Status: "FAILED", Started: time.Unix(1795416822, 0)}, Definition: json.RawMessage(`{"StartAt":"A","States":{}}`),
	}
	for i := range max(events, min(shards, 2000)) {
		span := model.Span{Path: []string{"Process Events"}, Index: &i, Start: int64(i), End: int64(i) + 12345, Status: model.Failed, Error: "Lambda.Unknown", EventID: int64(i)}
		for step := range 5 {
			span.Steps = append(span.Steps, [3]int64{int64(step), int64(i), int64(i + step*1000)})
		}
		doc.Timeline.Spans = append(doc.Timeline.Spans, span)
		if i < 1000 {
			doc.Logs.Lines = append(doc.Logs.Lines, model.LogLine{Time: time.Unix(1795416822, 0), Function: "insert-data", Level: "WARN", Message: "event failed", Fields: "error=failure simulated by failure_rate permanent=false retryAttempt=0", Request: "1bb28705-bcb0-464b-b14d-dcc414481ff9"})
		}
		if shards > 0 {
			continue
		}
		item := model.Item{Index: i, SequenceNo: int64(i), RandomValue: "4656d08a-6a29-4368-ad42-843ef39804aa", Status: model.ItemParked, Error: "Lambda.Unknown"}
		for id := range 20 {
			item.EventIDs = append(item.EventIDs, int64(20*i+id))
		}
		doc.Items.Rows = append(doc.Items.Rows, item)
	}
	if shards > 0 {
		doc.Shards = &model.Shards{Total: shards, Type: "STANDARD"}
		for i := range min(shards, 2000) {
			id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
			doc.Shards.Rows = append(doc.Shards.Rows, model.Shard{Arn: machine + "/Shard:" + id, Name: id, Path: []string{"Process Shards"}, Status: model.Failed, Error: "Runtime.ExitError", Cause: text[:60]})
		}
	}
	for _, name := range []string{"Process Events", "Return Failed Events"} {
		series := model.MapSeries{Path: []string{name}}
		for i := range 200 {
			series.Series = append(series.Series, [3]int{i, i, i})
		}
		doc.Timeline.Maps = append(doc.Timeline.Maps, series)
	}
	return doc
}

func TestReportIsUnder2MB(t *testing.T) {
	for name, doc := range map[string]*model.Document{"541 failing events": large(541, 0), "10,000 shards": large(0, 10_000)} {
		size := len(written(t, doc, nil))
		t.Logf("%s: %d bytes", name, size)
		if size >= 2_000_000 {
			t.Errorf("the report of %s has %d bytes, want less than 2 MB", name, size)
		}
	}
}

// TestReportIsNamedAfterItsRun also keeps the title from being markup.
func TestReportIsNamedAfterItsRun(t *testing.T) {
	doc := large(1, 0)
	doc.Run.Name, doc.Stack.Name = "</title><b>", "carnation-devl"
	if page, want := written(t, doc, nil), "<title>&lt;/title&gt;&lt;b&gt; FAILED, run of carnation-devl</title>"; !strings.Contains(page, want) {
		t.Errorf("the report has no %s", want)
	}
}
