package console

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carnation/internal/event"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

// starts records the inputs of the runs that are started.
func (f *fakeAWS) starts() func() []string {
	var mu sync.Mutex
	var inputs []string
	f.set("StartExecution", func(input map[string]any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		inputs = append(inputs, fmt.Sprint(input["name"], " ", input["input"]))
		return map[string]any{"executionArn": machineRun + ":new", "startDate": 1.8e9}, nil
	})
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		return nil, &failure{status: 400, code: "ExecutionDoesNotExist", message: "it does not exist"}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return inputs
	}
}

func TestStartTakesARangeOrEvents(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	started := f.starts()
	c := startConsole(t, f)
	for body, want := range map[string]string{
		`{"start_seq":1,"end_seq":61,"failure_rate":0.5}`:              `<nil> {"start_seq":1,"end_seq":61,"failure_rate":0.5}`,
		`{"start_seq":0,"end_seq":0,"time":1795416800,"name":"again"}`: `again {"start_seq":0,"end_seq":0,"failure_rate":0,"time":1795416800}`,
		`{"events":[{"order":"A-17","amount":12.50},{"n":1e400000}]}`:  "",
		`{"events":[{"order":"A-17","amount":12.50, "x":"<script>"}]}`: `<nil> {"events":[{"order":"A-17","amount":12.50,"x":"<script>"}],"failure_rate":0}`,
		`{"events":[{"n":12345678901234567890}],"failure_rate":1}`:     `<nil> {"events":[{"n":12345678901234567890}],"failure_rate":1}`,
	} {
		before := len(started())
		if want == "" {
			if status, p := refused(t, c, "POST", "/api/start?stack=carnation-devl", body); status != 400 || !strings.Contains(p.Message, "record 2") {
				t.Errorf("%s: status %d, %+v, want the bad record", body, status, p)
			}
			continue
		}
		got := post[Started](t, c, "/api/start?stack=carnation-devl", body)
		if inputs := started(); got != (Started{machineRun + ":new", false}) || len(inputs) != before+1 || inputs[before] != want {
			t.Errorf("%s started %v, %v, want %s", body, got, inputs[before:], want)
		}
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	started := f.starts()
	c := startConsole(t, f)
	for body, want := range map[string]string{
		`{}`:                           "start_seq or end_seq is missing",
		`{"start_seq":1}`:              "start_seq or end_seq is missing",
		`{"start_seq":-1,"end_seq":3}`: "start_seq is -1: must be an integer from 0 to 9007199254740991",
		`{"start_seq":5,"end_seq":3}`:  "end_seq is 3: must be an integer from 5 to 9007199254740991",
		`{"start_seq":1,"end_seq":3,"failure_rate":2}`: "failure_rate is 2: must be",
		`{"start_seq":1,"end_seq":3,"time":-1}`:        "time is -1: must be an integer from 0",
		`{"start_seq":1,"end_seq":3,"name":"a b"}`:     "name is \"a b\": must be 1 to 80 of the characters A-Z a-z 0-9 - _",
		`{"start_seq":1,"end_seq":3,"events":[{}]}`:    "events and a range are two inputs",
		`{"start_seq":1,"end_seq":3,"start":3}`:        "unknown field \"start\"",
		`{"events":[]}`:                                "the list of events has no records, so no run was started",
		`{"events":[{"a":1},7]}`:                       "1 of 2 records of the list of events are bad, so no run was started: correct them\nline 1, record 2: is a number: must be a JSON object",
		`{"start_seq":1,"end_seq":3} {}`:               "more than one JSON value",
		`not JSON`:                                     "the request is not what it must be",
	} {
		status, p := refused(t, c, "POST", "/api/start?stack=carnation-devl", body)
		if status != 400 || p.Kind != KindInvalid || !strings.Contains(p.Message, want) {
			t.Errorf("%s: status %d, %+v, want %s", body, status, p, want)
		}
	}
	f.setStacks(strings.Replace(completeStack, "<Outputs>", "<Parameters><member><ParameterKey>FailureInjection</ParameterKey><ParameterValue>disabled</ParameterValue></member></Parameters><Outputs>", 1))
	c = startConsole(t, f)
	if status, p := refused(t, c, "POST", "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":3,"failure_rate":0.5}`); status != 400 || !strings.Contains(p.Message, "failure_rate is 0.5: must be 0, because simulated failures are disabled") {
		t.Errorf("status %d, %+v, want that simulated failures are disabled", status, p)
	}
	if n := len(started()); n > 0 {
		t.Errorf("%d runs were started", n)
	}
}

func TestANameThatIsTakenIsAConflict(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		run := execution("mine", "SUCCEEDED", 0)
		run["input"] = `{"start_seq":1,"end_seq":3,"failure_rate":0}`
		return run, nil
	})
	c := startConsole(t, f)
	if got := post[Started](t, c, "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":3,"name":"mine"}`); !got.Again {
		t.Errorf("the same run again: %+v", got)
	}
	status, p := refused(t, c, "POST", "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":4,"name":"mine"}`)
	if status != 409 || p.Kind != KindInvalid || !strings.Contains(p.Message, "choose another name") {
		t.Errorf("status %d, %+v, want a conflict", status, p)
	}
}

func TestADroppedFileIsCheckedAndStarted(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	started := f.starts()
	c := startConsole(t, f)
	file := func(query, content string) (int, []byte) {
		return send(t, c, "POST", "/api/start-file?stack=carnation-devl&"+query, content, func(r *http.Request) { r.Header.Set("Content-Type", "application/octet-stream") })
	}
	for query, tc := range map[string]struct{ content, want string }{
		"name=orders.csv":              {"order,note\n1,\"a, b\"\n", `<nil> {"events":[{"order":"1","note":"a, b"}],"failure_rate":0}`},
		"name=orders.txt&format=jsonl": {"{\"a\":1}\n\n{\"a\":2}", `<nil> {"events":[{"a":1},{"a":2}],"failure_rate":0}`},
		"name=..%2F..%2Fx.json&time=7&failure_rate=0.5&run_name=mine": {`[{"a":1}]`, `mine {"events":[{"a":1}],"failure_rate":0.5,"time":7}`},
	} {
		before := len(started())
		status, answer := file(query, tc.content)
		if got := decode[Started](t, status, answer); got.Arn == "" || len(started()) != before+1 || started()[before] != tc.want {
			t.Errorf("%s: started %v, want %s", query, started()[before:], tc.want)
		}
	}
	before := len(started())
	for query, tc := range map[string]struct{ content, want string }{
		"name=orders.txt":           {"", "format is \"\": must be jsonl, json or csv, because the name \"orders.txt\" does not say it"},
		"name=a.csv&format=xml":     {"", "format is \"xml\""},
		"name=a.csv&time=x":         {"a\n1\n", "time is \"x\""},
		"name=a.csv&failure_rate=x": {"a\n1\n", "failure_rate is \"x\""},
		"name=empty.csv":            {"a\n", "empty.csv has no records, so no run was started"},
		"name=bad.jsonl":            {"{\"a\":1}\n\n7\n" + strings.Repeat("x\n", badShown), "21 of 22 records of bad.jsonl are bad, so no run was started: correct them\nline 3, record 2: is a number: must be a JSON object\n"},
		"name=open.json":            {"[{}", "open.json: line 1: the JSON array does not end"},
		"name=many.jsonl":           {strings.Repeat("{}\n", 542), "split the file, or deploy the stack with MapMode=DISTRIBUTED"},
	} {
		status, answer := file(query, tc.content)
		if status != 400 || !strings.Contains(string(answer), strings.Trim(strconv.Quote(tc.want), `"`)) {
			t.Errorf("%s: status %d, %s, want %s", query, status, answer, tc.want)
		}
		if query == "name=bad.jsonl" && (strings.Count(string(answer), ", record ") != badShown || !strings.Contains(string(answer), "and 1 more bad records")) {
			t.Errorf("%s: %s, want %d records and a count", query, answer, badShown)
		}
	}
	if got := started(); len(got) != before {
		t.Errorf("started %v", got[before:])
	}
}

// fakeQueue is a dead-letter queue, and what was sent to the retry queue.
type fakeQueue struct {
	mu       sync.Mutex
	letters  map[string]map[string]any // by message id
	held     map[string]bool
	sent     []string
	receives int
	moves    int
}

func newFakeQueue(f *fakeAWS, letters map[string]string) *fakeQueue {
	q := &fakeQueue{letters: map[string]map[string]any{}, held: map[string]bool{}}
	for id, body := range letters {
		name, body, _ := strings.Cut(body, " ")
		q.letters[id] = map[string]any{
			"MessageId": id, "ReceiptHandle": "handle of " + id, "Body": body, "Attributes": map[string]string{"SentTimestamp": "1795416822000", "ApproximateReceiveCount": "1"},
			"MessageAttributes": map[string]any{"Error": map[string]any{"DataType": "String", "StringValue": name}, "ExecutionArn": map[string]any{"DataType": "String", "StringValue": machineRun + ":one"}},
		}
	}
	f.set("GetQueueAttributes", func(input map[string]any) (any, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if input["QueueUrl"] == "https://sqs/dead" {
			answer := counts(len(q.letters)-len(q.held), len(q.held)).(map[string]any)
			answer["Attributes"].(map[string]string)["QueueArn"] = "arn:dead"
			return answer, nil
		}
		answer := counts(len(q.sent), 0).(map[string]any)
		answer["Attributes"].(map[string]string)["QueueArn"] = "arn:retry"
		return answer, nil
	})
	f.set("ReceiveMessage", func(map[string]any) (any, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.receives++
		messages := []any{}
		for id, letter := range q.letters {
			if !q.held[id] && len(messages) < 10 {
				q.held[id] = true
				messages = append(messages, letter)
			}
		}
		return map[string]any{"Messages": messages}, nil
	})
	each := func(entries any, do func(id string, entry map[string]any)) (any, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		done := []any{}
		for _, one := range entries.([]any) {
			entry := one.(map[string]any)
			handle, _ := entry["ReceiptHandle"].(string)
			do(strings.TrimPrefix(handle, "handle of "), entry)
			body, _ := entry["MessageBody"].(string)
			done = append(done, map[string]any{"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": fmt.Sprintf("%x", md5.Sum([]byte(body)))})
		}
		return map[string]any{"Successful": done, "Failed": []any{}}, nil
	}
	f.set("ChangeMessageVisibilityBatch", func(input map[string]any) (any, error) {
		return each(input["Entries"], func(id string, _ map[string]any) { delete(q.held, id) })
	})
	f.set("DeleteMessageBatch", func(input map[string]any) (any, error) {
		return each(input["Entries"], func(id string, _ map[string]any) { delete(q.letters, id); delete(q.held, id) })
	})
	f.set("SendMessageBatch", func(input map[string]any) (any, error) {
		return each(input["Entries"], func(_ string, entry map[string]any) { q.sent = append(q.sent, entry["MessageBody"].(string)) })
	})
	f.set("ListMessageMoveTasks", func(map[string]any) (any, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.moves == 0 {
			return map[string]any{"Results": []any{}}, nil
		}
		return map[string]any{"Results": []any{map[string]any{"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": q.moves, "StartedTimestamp": 5}}}, nil
	})
	f.set("StartMessageMoveTask", func(map[string]any) (any, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.moves = len(q.letters)
		clear(q.letters)
		return map[string]any{"TaskHandle": "task"}, nil
	})
	return q
}

// left is the ids of the letters that are in the queue and that nobody holds.
func (q *fakeQueue) left() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(q.letters)), func(id string) bool { return q.held[id] })
	return strings.Join(ids, " ")
}

func deadEvent(n int, payload string) string {
	of, end := `"start_seq":1,"end_seq":100`, ""
	if payload != "" {
		of, end = `"source":"input"`, `,"payload":`+payload
	}
	return fmt.Sprintf(`{"sequence_no":%d,"random_value":"11111111-1111-4111-8111-%012d","current_time":1795416822,%s,"retry_attempt":0%s}`, n, n, of, end)
}

func someLetters() map[string]string {
	return map[string]string{
		"a": "ValidationException " + deadEvent(7, `{"order":"<script>alert(1)</script>","n":1.50}`),
		"b": "Timeout " + deadEvent(3, ""),
		"c": "Timeout " + deadEvent(5, `{"x":1}`),
		"d": "Timeout not an event",
	}
}

func TestDeadLettersAreGroupedAndShown(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	q := newFakeQueue(f, someLetters())
	c := startConsole(t, f)
	got := get[DeadLetters](t, c, "/api/dead-letters?stack=carnation-devl")
	var groups, letters []string
	for _, g := range got.Groups {
		groups = append(groups, fmt.Sprint(g.Error, " ", g.ExecutionArn, " ", g.Messages, " ", g.Sequence))
	}
	for _, l := range got.Letters {
		letters = append(letters, l.MessageID)
	}
	if want := fmt.Sprintf("[NotAnEvent %[1]s 1  Timeout %[1]s 2 3,5 ValidationException %[1]s 1 7]", machineRun+":one"); fmt.Sprint(groups) != want {
		t.Errorf("groups %v, want %s", groups, want)
	}
	if fmt.Sprint(letters) != "[d b c a]" || got.Omitted != 0 || got.Hidden != 0 {
		t.Errorf("letters %v of %+v, want them by their sequence numbers", letters, got)
	}
	if string(got.Letters[3].Event) != deadEvent(7, `{"order":"<script>alert(1)</script>","n":1.50}`) || got.Letters[0].Body != "not an event" {
		t.Errorf("letters %+v, want their contents", got.Letters)
	}
	for query, want := range map[string]string{"error=Timeout": "[b c]", "execution=one&sequence=4-9": "[c a]", "error=Timeout&error=NotAnEvent": "[d b c]", "execution=two": "[]"} {
		got := get[DeadLetters](t, c, "/api/dead-letters?stack=carnation-devl&"+query)
		ids := []string{}
		for _, l := range got.Letters {
			ids = append(ids, l.MessageID)
		}
		if fmt.Sprint(ids) != want || got.Groups == nil {
			t.Errorf("%s: letters %v, want %s", query, ids, want)
		}
	}
	if got := q.left(); got != "a b c d" {
		t.Errorf("%s are visible afterwards, want all", got)
	}
}

func TestDeadLettersThatAreTooManyAreCounted(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	letters := map[string]string{}
	for n := range 45 {
		letters[fmt.Sprint(n)] = "Timeout " + strings.Repeat("x", 200<<10)
	}
	newFakeQueue(f, letters)
	c := startConsole(t, f)
	got := get[DeadLetters](t, c, "/api/dead-letters?stack=carnation-devl")
	if n := len(got.Letters); n != 40 || got.Omitted != 5 || got.Groups[0].Messages != 45 {
		t.Errorf("%d letters, %d omitted, groups %+v, want 8 MiB of 45", n, got.Omitted, got.Groups)
	}
}

func TestDeadLettersAreRedriven(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	q := newFakeQueue(f, someLetters())
	c := startConsole(t, f)
	for _, tc := range []struct{ choice, message, left, sent string }{
		{`{"message_ids":["b"]}`, "1 dead letter is in the retry queue", "a c d", deadEvent(3, "")},
		{`{"error":"Timeout"}`, "1 dead letter is in the retry queue", "a d", deadEvent(5, `{"x":1}`)},
		{`{"execution":"one"}`, "1 dead letter is in the retry queue; 1 stays, because no run would take it: drop or edit", "d", deadEvent(7, `{"order":"<script>alert(1)</script>","n":1.50}`)},
	} {
		got := post[Done](t, c, "/api/dead-letters/redrive?stack=carnation-devl", tc.choice)
		if got != (Done{tc.message, 1}) || q.left() != tc.left || q.sent[len(q.sent)-1] != tc.sent {
			t.Errorf("%s: %+v, left %s, sent %v", tc.choice, got, q.left(), q.sent)
		}
	}
	// All are moved by SQS itself, as carnation dlq redrive --all does it.
	if got := post[Done](t, c, "/api/dead-letters/redrive?stack=carnation-devl", `{"all":true}`); got.Count != 1 || q.left() != "" || len(q.sent) != 3 {
		t.Errorf("all: %+v, left %s, sent %v", got, q.left(), q.sent)
	}
	for choice, want := range map[string]string{
		`{}`: "nothing is selected", `{"all":true,"error":"x"}`: "all selects every dead letter", `{"ids":["a"]}`: "unknown field",
		`{"message_ids":["x` + strings.Repeat(`","x`, mostChosen) + `"]}`: "must have at most 10000",
	} {
		for _, path := range []string{"redrive", "drop", "export"} {
			if status, p := refused(t, c, "POST", "/api/dead-letters/"+path+"?stack=carnation-devl", choice); status != 400 || !strings.Contains(p.Message, want) {
				t.Errorf("%s of %.50s: status %d, %+v, want %s", path, choice, status, p, want)
			}
		}
	}
}

func TestDroppedLettersAreKeptBeforeTheyAreDeleted(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	q := newFakeQueue(f, someLetters())
	folder := t.TempDir()
	c := startConsole(t, f, func(o *Options) { o.Folder = folder })
	status, answer := send(t, c, "POST", "/api/dead-letters/drop?stack=carnation-devl", `{"error":"NotAnEvent"}`)
	files, _ := filepath.Glob(filepath.Join(folder, "dead-letters-carnation-devl-*.jsonl"))
	if status != 200 || q.left() != "a b c" || len(files) != 1 || !strings.Contains(string(answer), `"body":"not an event"`) || strings.Count(string(answer), "\n") != 1 {
		t.Fatalf("status %d, %s, left %s, files %v", status, answer, q.left(), files)
	}
	if kept, err := os.ReadFile(files[0]); err != nil || string(kept) != string(answer) {
		t.Errorf("the file has %s, %v, want the answer", kept, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want mode 0600", info, err)
	}
	status, answer = send(t, c, "POST", "/api/dead-letters/drop?stack=carnation-devl", `{"error":"None"}`)
	if files, _ := filepath.Glob(filepath.Join(folder, "*")); status != 200 || len(answer) > 0 || len(files) != 1 {
		t.Errorf("nothing matches: status %d, %s, files %v", status, answer, files)
	}
	// Where they cannot be kept, nothing is deleted.
	c = startConsole(t, f, func(o *Options) { o.Folder = filepath.Join(folder, "missing") })
	if status, p := refused(t, c, "POST", "/api/dead-letters/drop?stack=carnation-devl", `{"all":true}`); status < 400 || !strings.Contains(p.Message, "missing") || q.left() != "a b c" {
		t.Errorf("status %d, %+v, left %s, want that nothing was dropped", status, p, q.left())
	}
}

func TestAnExportIsAFileAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	q := newFakeQueue(f, someLetters())
	c := startConsole(t, f, func(o *Options) { o.AllowChanges = false })
	request, _ := http.NewRequest("POST", c.URL+"/api/dead-letters/export?stack=carnation-devl", strings.NewReader(`{"error":"Timeout"}`))
	for name, value := range map[string]string{"Origin": c.URL, tokenHeader: c.token, "Content-Type": "application/json"} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines, _ := io.ReadAll(response.Body)
	if got := response.Header.Get("Content-Disposition"); !strings.HasPrefix(got, "attachment; filename=dead-letters-carnation-devl-") || response.Header.Get("X-Carnation-Count") != "2" {
		t.Errorf("headers %v", response.Header)
	}
	for line := range strings.Lines(string(lines)) {
		var letter operate.DeadLetter
		if err := json.Unmarshal([]byte(line), &letter); err != nil || letter.Error != "Timeout" {
			t.Errorf("line %s: %v", line, err)
		}
	}
	if strings.Count(string(lines), "\n") != 2 || q.left() != "a b c d" {
		t.Errorf("lines %s, left %s", lines, q.left())
	}
}

func TestAPayloadIsEdited(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	q := newFakeQueue(f, someLetters())
	c := startConsole(t, f)
	const path = "/api/dead-letters/edit?stack=carnation-devl"
	got := post[Done](t, c, path, `{"message_id":"a","payload":{ "order": "A-17", "n": 12345678901234567890.10 }}`)
	if got.Count != 1 || q.left() != "b c d" || len(q.sent) != 1 || q.sent[0] != deadEvent(7, `{"order":"A-17","n":12345678901234567890.10}`) {
		t.Errorf("%+v, left %s, sent %v", got, q.left(), q.sent)
	}
	for body, want := range map[string]struct {
		status int
		kind   string
		text   string
	}{
		`{"message_id":"c","payload":[1]}`:        {400, KindInvalid, "is a list: must be a JSON object"},
		`{"message_id":"c"}`:                      {400, KindInvalid, "payload is missing"},
		`{"payload":{}}`:                          {400, KindInvalid, "message_id is missing"},
		`{"message_id":"gone","payload":{"a":1}}`: {404, KindNotFound, "no longer in the dead-letter queue"},
		`{"message_id":"c","payload":{"a":"` + strings.Repeat("x", event.MaxRecord) + `"}}`: {400, KindInvalid, "must have at most 20,480"},
	} {
		if status, p := refused(t, c, "POST", path, body); status != want.status || p.Kind != want.kind || !strings.Contains(p.Message, want.text) {
			t.Errorf("%.50s: status %d, %+v, want %+v", body, status, p, want)
		}
	}
	if q.left() != "b c d" || len(q.sent) != 1 {
		t.Errorf("left %s, sent %v: a refused payload changed something", q.left(), q.sent)
	}
}

func TestLooksAtTheDeadLettersDoNotHideThemFromEachOther(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	newFakeQueue(f, someLetters())
	c := startConsole(t, f)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			status, answer := send(t, c, "GET", "/api/dead-letters?stack=carnation-devl", "")
			var got DeadLetters
			if err := json.Unmarshal(answer, &got); status != 200 || err != nil || len(got.Letters) != 4 {
				t.Errorf("status %d, %d letters, want 4", status, len(got.Letters))
			}
		})
	}
	group.Wait()
}

func TestRetryGoesOnUntilTheQueueIsEmpty(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	var waiting, started atomic.Int32
	waiting.Store(2)
	f.set("GetQueueAttributes", func(input map[string]any) (any, error) {
		if input["QueueUrl"] == "https://sqs/dead" {
			return counts(0, 0), nil
		}
		return counts(int(waiting.Load()), 0), nil
	})
	f.set("StartExecution", func(input map[string]any) (any, error) {
		if input["input"] != `{"start_seq":0,"end_seq":0,"failure_rate":0}` {
			t.Errorf("input %v, want one that only retries", input["input"])
		}
		waiting.Add(-1)
		return map[string]any{"executionArn": machineRun + ":" + fmt.Sprint(started.Add(1)), "startDate": 1.8e9}, nil
	})
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("x", "SUCCEEDED", 0), nil })
	f.set("GetExecutionHistory", func(map[string]any) (any, error) { return map[string]any{"events": []any{}}, nil })
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	until(p, "overview", anything[Overview])
	got := post[Done](t, c, "/api/retry?stack=carnation-devl", `{}`)
	if got.Count != 2 || got.Message != "Runs retry until the retry queue is empty: 2 events wait" {
		t.Errorf("retry %+v", got)
	}
	o := until(p, "overview", func(o Overview) bool { return o.Retry != nil && o.Retry.Done })
	if *o.Retry != (Retry{Runs: 2, Done: true}) || started.Load() != 2 {
		t.Errorf("retry %+v after %d runs, want 2", o.Retry, started.Load())
	}
	// One at a time.
	waiting.Store(50)
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("x", "RUNNING", 0), nil })
	post[Done](t, c, "/api/retry?stack=carnation-devl", `{}`)
	if status, p := refused(t, c, "POST", "/api/retry?stack=carnation-devl", `{}`); status != 409 || p.Kind != KindInvalid {
		t.Errorf("a second retry: status %d, %+v, want a conflict", status, p)
	}
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		run := execution("x", "FAILED", 0)
		run["error"], run["cause"] = "States.Runtime", "it broke"
		return run, nil
	})
	if o := until(p, "overview", func(o Overview) bool { return o.Retry != nil && o.Retry.Done && o.Retry.Error != "" }); !strings.Contains(o.Retry.Error, "is FAILED: States.Runtime it broke") {
		t.Errorf("retry %+v, want why it ended", o.Retry)
	}
}

func TestARunIsStoppedOnlyIfItRuns(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	var status atomic.Value
	status.Store("RUNNING")
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		run := execution("two", status.Load().(string), 0)
		run["redriveStatus"], run["redriveStatusReason"] = "NOT_REDRIVABLE", "Execution is RUNNING and cannot be redriven"
		return run, nil
	})
	f.set("GetExecutionHistory", func(map[string]any) (any, error) { return map[string]any{"events": []any{}}, nil })
	f.set("StopExecution", func(map[string]any) (any, error) {
		status.Store("ABORTED")
		return map[string]any{"stopDate": 1.8e9 + 5}, nil
	})
	c := startConsole(t, f)
	const arn = machineRun + ":two"
	if plan := get[operate.RunChange](t, c, "/api/plan?stack=carnation-devl&do=stop&arn="+arn); len(plan.What) == 0 || f.count("StopExecution") != 0 {
		t.Errorf("plan %+v, %d stops, want what a stop would do", plan, f.count("StopExecution"))
	}
	if status, p := refused(t, c, "GET", "/api/plan?stack=carnation-devl&do=redrive&arn="+arn, ""); status != 409 || p.Kind != KindInvalid || !strings.Contains(p.Message, "RUNNING") {
		t.Errorf("plan of a redrive: status %d, %+v, want why not", status, p)
	}
	if got := post[Done](t, c, "/api/stop?stack=carnation-devl", `{"arn":"`+arn+`"}`); got.Message == "" || f.count("StopExecution") != 1 {
		t.Errorf("stop %+v, %d calls", got, f.count("StopExecution"))
	}
	if status, p := refused(t, c, "POST", "/api/stop?stack=carnation-devl", `{"arn":"`+arn+`"}`); status != 409 || p.Kind != KindInvalid {
		t.Errorf("a stop of a run that has ended: status %d, %+v, want a conflict", status, p)
	}
	if status, p := refused(t, c, "POST", "/api/redrive?stack=carnation-devl", `{"arn":"arn:aws:states:eu-central-2:123456789012:execution:another:two"}`); status != 404 || p.Kind != KindNotFound {
		t.Errorf("a redrive of another machine's run: status %d, %+v", status, p)
	}
}

func TestTheListOfRunsHasWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("ListExecutions", func(input map[string]any) (any, error) {
		if input["statusFilter"] != nil && (input["statusFilter"] != "FAILED" || input["maxResults"] != 7.0 || input["nextToken"] != "page 2") {
			t.Errorf("list %v", input)
		}
		return map[string]any{"executions": []any{execution("two", "RUNNING", 0), execution("one", "FAILED", 1)}, "nextToken": "page 3"}, nil
	})
	run := execution("one", "FAILED", 1)
	run["input"], run["error"], run["cause"] = `{"start_seq":1,"end_seq":21}`, "Carnation.EventsFailed", "7 of 20 events failed and are in the retry queue"
	f.set("DescribeExecution", func(input map[string]any) (any, error) {
		if strings.HasSuffix(input["executionArn"].(string), ":two") {
			return execution("two", "RUNNING", 0), nil
		}
		return run, nil
	})
	c := startConsole(t, f)
	got := get[Runs](t, c, "/api/runs?stack=carnation-devl&status=FAILED&max=7&next=page+2")
	if len(got.Runs) != 2 || got.Next != "page 3" || got.Runs[1].Redrives != 1 || got.Runs[1].Summary != nil {
		t.Errorf("runs %+v", got)
	}
	for range 2 {
		summaries := get[[]RunSummary](t, c, "/api/run-summaries?stack=carnation-devl&arn="+machineRun+":two&arn="+machineRun+":one")
		if len(summaries) != 2 || summaries[0].Arn != machineRun+":two" || summaries[1].Error != "Carnation.EventsFailed" || summaries[1].Input.Kind != "range" || *summaries[1].Outcome.Failed != 7 {
			t.Errorf("summaries %+v", summaries)
		}
	}
	f.set("DescribeExecution", func(map[string]any) (any, error) { return nil, &failure{status: 400, code: "ExecutionDoesNotExist"} })
	if got := get[[]RunSummary](t, c, "/api/run-summaries?stack=carnation-devl&arn="+machineRun+":gone&arn="+machineRun+":one"); len(got) != 1 || got[0].Arn != machineRun+":one" {
		t.Errorf("summaries %+v, want that of the run that is there", got)
	}
	if got := get[Runs](t, c, "/api/runs?stack=carnation-devl"); got.Runs[0].Summary != nil || got.Runs[1].Summary == nil || got.Runs[1].Summary.Cause != run["cause"] {
		t.Errorf("runs %+v, want the summary of the run that has ended", got)
	}
	if n := f.count("DescribeExecution"); n != 4 {
		t.Errorf("%d calls of DescribeExecution, want one for the run that has ended and one for the run that is gone, and two for the other", n)
	}
	f.setRuns(execution("one", "FAILED", 2)) // redriven
	if got := get[Runs](t, c, "/api/runs?stack=carnation-devl"); got.Runs[0].Summary != nil {
		t.Errorf("the summary of before the redrive is still there: %+v", got)
	}
}

func TestADocumentIsReadOnceForAllPages(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	var redrives atomic.Int32
	stopped := time.Now().Add(-time.Hour)
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		e := execution("one", "SUCCEEDED", int(redrives.Load()))
		e["stopDate"] = float64(stopped.UnixMilli()) / 1000
		return e, nil
	})
	c := startConsole(t, f)
	var reads atomic.Int32
	c.runs.read = func(ctx context.Context, stack *operate.Stack, arn string, options model.Options) (*model.Document, error) {
		reads.Add(1)
		time.Sleep(500 * time.Millisecond)
		if options.Payloads {
			t.Error("the document has payloads")
		}
		return &model.Document{ReadAt: time.Now(), Run: model.Run{Arn: arn, Status: "SUCCEEDED", Stopped: &stopped, Redrives: int(redrives.Load())}}, ctx.Err()
	}
	const path = "/api/run?stack=carnation-devl&arn=" + machineRun + ":one"
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if status, answer := send(t, c, "GET", path, ""); status != 200 || !strings.Contains(string(answer), machineRun+":one") {
				t.Errorf("status %d, %s", status, answer)
			}
		})
	}
	group.Wait()
	get[model.Document](t, c, path)
	if n := reads.Load(); n != 1 {
		t.Errorf("the run was read %d times, want 1", n)
	}
	redrives.Store(1)
	for range 3 {
		get[model.Document](t, c, path)
	}
	if n := reads.Load(); n != 2 {
		t.Errorf("after a redrive the run was read %d times, want 2", n)
	}
	stopped = stopped.Add(time.Minute) // the stack was made again, and so was the run
	for range 3 {
		get[model.Document](t, c, path)
	}
	if n := reads.Load(); n != 3 {
		t.Errorf("a run of the same name was read %d times, want 1", n-2)
	}
	stopped = time.Now() // its log lines may come
	for range 2 {
		get[model.Document](t, c, "/api/run?stack=carnation-devl&arn="+machineRun+":two")
	}
	if n := reads.Load(); n != 5 {
		t.Errorf("a run that has just ended was read %d times, want 2", n-3)
	}
}

func TestAFaultInTheReaderOfARunDoesNotEndTheConsole(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	c.runs.read = func(context.Context, *operate.Stack, string, model.Options) (*model.Document, error) {
		panic("out of order")
	}
	c.runs.summary = func(context.Context, *operate.Stack, string) (model.RunSummary, error) { panic("out of order") }
	for _, path := range []string{"run", "run-summaries"} {
		for range 2 {
			status, answer := send(t, c, "GET", "/api/"+path+"?stack=carnation-devl&arn="+machineRun+":one", "")
			if status != 502 || !strings.Contains(string(answer), "a fault in it") {
				t.Errorf("%s: status %d, %s", path, status, answer)
			}
		}
	}
}

func TestVisitsOfAStateAreRead(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	c.runs.visits = func(_ context.Context, _ *operate.Stack, arn string, path []string, index *int, limit int) ([]model.Visit, error) {
		if index == nil {
			return nil, nil
		}
		return []model.Visit{{Path: path, Index: index, Input: json.RawMessage(`{"a":"</script>"}`), Cause: arn}}, nil
	}
	const path = "/api/visits?stack=carnation-devl&arn=" + machineRun + ":one&path=[\"Process%20Events\",\"Insert%20Data\"]"
	if _, answer := send(t, c, "GET", path, ""); strings.TrimSpace(string(answer)) != "[]" {
		t.Errorf("no visits are %s, want []", answer)
	}
	got := get[[]model.Visit](t, c, path+"&index=7")
	if len(got) != 1 || fmt.Sprint(got[0].Path) != "[Process Events Insert Data]" || *got[0].Index != 7 || string(got[0].Input) != `{"a":"</script>"}` {
		t.Errorf("visits %+v", got)
	}
}
