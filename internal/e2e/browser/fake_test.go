package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"carnation/internal/console"
	"carnation/internal/console/assets"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
	"carnation/internal/operate/model/recording"
)

// fakeConsole serves the page of the console with an API that knows only what a test tells it. What no AWS account can have, or only
// with much work, a test can show in this way.
type fakeConsole struct {
	url string
	t   testing.TB

	mu        sync.Mutex
	stacks    console.Stacks
	overview  console.Overview
	runs      []console.RunRow
	letters   console.DeadLetters
	documents map[string]any // by ARN
	visits    []model.Visit
	refuse    map[string]string // kind of error by path
	problem   string            // AWS cannot be read
	texts     struct{ refused, plan, done string }
	posted    []string      // path and body of each change
	changed   chan struct{} // closed when something has changed
}

const token = "the-token"

// files are the style sheet and the script of the page, by path.
var files = sync.OnceValue(func() map[string]string {
	style, script := assets.Page()
	return map[string]string{"/assets/page.css": style, "/assets/page.js": script}
})

func newFakeConsole(t testing.TB) *fakeConsole {
	t.Helper()
	now := time.Now().UTC()
	f := &fakeConsole{t: t, documents: map[string]any{}, refuse: map[string]string{}, changed: make(chan struct{})}
	f.texts.refused, f.texts.plan, f.texts.done = "refused on purpose", "Something happens to 7 events.", "This was done: "
	f.stacks = console.Stacks{Region: "eu-central-2", Endpoint: "http://127.0.0.1:4566", Default: "carnation-devl",
		Stacks: []console.StackRef{{Name: "carnation-devl", State: "CREATE_COMPLETE", MapMode: "INLINE"}, {Name: "other-devl", State: "CREATE_COMPLETE", MapMode: "DISTRIBUTED"}}}
	f.overview = console.Overview{At: now, Stack: "carnation-devl", State: "CREATE_COMPLETE", MapMode: "INLINE", Rows: 12345, RowsAt: now,
		Queues: operate.Queues{Retry: 12, InFlight: 3, DeadLetter: 4}, Sentence: "4 events failed for good", Tone: "bad", Running: []string{}}
	for i := range int64(60) {
		f.overview.History = append(f.overview.History, [5]int64{now.UnixMilli() - 60_000 + i*1000, i * 200, 60 - i, i % 7, i / 15})
	}
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	f.url = server.URL
	return f
}

// set changes what the console says, and tells the pages.
func (f *fakeConsole) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// posts are the changes that the page has asked for since the last call.
func (f *fakeConsole) posts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	posted := f.posted
	f.posted = nil
	return posted
}

func (f *fakeConsole) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/" {
		page, err := assets.Files.ReadFile("index.html")
		if err != nil {
			f.t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, strings.ReplaceAll(string(page), "{{.Token}}", token))
		return
	}
	if content, ok := files()[r.URL.Path]; ok {
		w.Header().Set("Cache-Control", "no-cache") // as in the console: a browser asks whether it has changed
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(content)))
		http.ServeContent(w, r, r.URL.Path, time.Time{}, strings.NewReader(content))
		return
	}
	call := strings.TrimPrefix(r.URL.Path, "/api/")
	if call == "stream" {
		f.stream(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost {
		if r.Header.Get("X-Carnation-Token") != token {
			f.t.Errorf("%s has no token", call)
		}
		query := r.URL.Query()
		query.Del("stack")
		f.posted = append(f.posted, strings.TrimSpace(call+" "+query.Encode()+" "+string(body)))
	}
	if kind := f.refuse[call]; kind != "" {
		w.WriteHeader(http.StatusBadGateway)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": f.texts.refused, "kind": kind}})
		return
	}
	var answer any
	switch call {
	case "stacks":
		answer = f.stacks
	case "overview":
		answer = f.overview
	case "runs":
		answer = console.Runs{Runs: f.runs}
	case "run-summaries":
		answer = []console.RunSummary{}
	case "run":
		answer = f.documents[r.URL.Query().Get("arn")]
	case "visits":
		answer = f.visits
	case "dead-letters":
		answer = f.letters
	case "plan":
		answer = operate.RunChange{Arn: r.URL.Query().Get("arn"), What: []string{f.texts.plan}}
	case "start", "start-file":
		answer = console.Started{Arn: f.runs[0].Arn}
	case "dead-letters/drop", "dead-letters/export":
		w.Header().Set("X-Carnation-Count", "4")
		fmt.Fprintln(w, `{"a":"line"}`)
		return
	default:
		answer = console.Done{Message: f.texts.done + call, Count: 1}
	}
	if answer == nil {
		w.WriteHeader(http.StatusNotFound)
		answer = map[string]any{"error": map[string]string{"message": "there is no such thing", "kind": "not_found"}}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeConsole) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string, data any) {
		text, err := json.Marshal(data)
		if err != nil {
			f.t.Error(err)
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text)
	}
	for {
		f.mu.Lock()
		changed := f.changed
		send("stacks", f.stacks)
		if f.problem == "" {
			send("overview", f.overview)
		} else {
			send("problem", map[string]string{"message": f.problem, "kind": "aws"})
		}
		send("runs", map[string]any{"runs": f.runs[:min(len(f.runs), 8)]})
		if arn := r.URL.Query().Get("run"); arn != "" {
			send("run", map[string]string{"arn": arn})
		}
		f.mu.Unlock()
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// address of a view of the page.
func (f *fakeConsole) address(view ...string) string {
	address := f.url + "/#/carnation-devl"
	for _, part := range view {
		address += "/" + strings.NewReplacer("/", "%2F", "%", "%25", "?", "%3F", "#", "%23").Replace(part)
	}
	return address
}

// recorded is the document of a recorded run, as JSON has it.
func recorded(t testing.TB, name string) *model.Document {
	t.Helper()
	stack, arn := recordedStack(t, name)
	doc, err := model.Read(t.Context(), stack, arn, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// recordedStack plays the recording of a run.
func recordedStack(t testing.TB, name string) (stack *operate.Stack, arn string) {
	t.Helper()
	r, err := recording.Open(filepath.Join("../../operate/model/testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return r.Player().Stack(), r.Arn
}

// add lists the run of a document.
func (f *fakeConsole) add(doc *model.Document) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.documents[doc.Run.Arn] = doc
	usd := 0.000123
	f.runs = append(f.runs, console.RunRow{ListedRun: operate.ListedRun{Arn: doc.Run.Arn, Name: doc.Run.Name, Status: doc.Run.Status, Started: doc.Run.Started, Stopped: doc.Run.Stopped, Redrives: doc.Run.Redrives},
		Summary: &console.RunSummary{Arn: doc.Run.Arn, Input: doc.Run.Input, Outcome: doc.Outcome, USD: &usd, Error: doc.Run.Error, Cause: doc.Run.Cause}})
}

// addLetters adds dead letters of a run, of events from this number on.
func (f *fakeConsole) addLetters(run, failure string, first, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		event := fmt.Sprintf(`{"sequence_no":%d,"random_value":"7b0e1d5c-1b1c-4b2e-9a51-2f1c9d8e7f60","current_time":1795416822,"source":"input","retry_attempt":0,"payload":{"order":"A-%d","amount":12.50}}`, first+i, first+i)
		f.letters.Letters = append(f.letters.Letters, operate.DeadLetter{MessageID: fmt.Sprintf("message-%d", first+i), Error: failure, Permanent: true, ExecutionArn: run,
			Sent: time.Now().Add(-time.Hour), Receives: 1, Event: json.RawMessage(event), Attributes: map[string]string{"Other": "value"}})
	}
	f.letters.Groups = append(f.letters.Groups, operate.DeadLetterGroup{Error: failure, ExecutionArn: run, Messages: n, Oldest: time.Now().Add(-time.Hour), Sequence: fmt.Sprintf("%d-%d", first, first+n-1)})
}

// setVisits has every state answer these visits.
func (f *fakeConsole) setVisits(visits ...model.Visit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.visits = visits
}

// clone is a copy of a document, whose lists can be changed.
func clone(t testing.TB, doc *model.Document) *model.Document {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var other model.Document
	if err := json.Unmarshal(text, &other); err != nil {
		t.Fatal(err)
	}
	return &other
}
