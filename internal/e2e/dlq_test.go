package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
	"carnation/internal/localaws"
	"carnation/internal/operate"
)

// record is an event made from a record, with this payload.
func record(t testing.TB, seq int64, payload string) event.Event {
	t.Helper()
	e, err := event.FromRecord(event.InputSource, 1795416822, seq, json.RawMessage(payload))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// bury sends events to the dead-letter queue, as a run does in which they failed.
func (d *deployed) bury(t testing.TB, run, name string, events ...event.Event) {
	t.Helper()
	text := func(value string) sqstypes.MessageAttributeValue {
		return sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	for batch := range slices.Chunk(events, 10) {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(d.outputs["DeadLetterQueueUrl"])}
		for i, e := range batch {
			body, err := event.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(string(body)),
				MessageAttributes: map[string]sqstypes.MessageAttributeValue{"Error": text(name), "ExecutionArn": text("arn:aws:states:eu-central-2:1:execution:m:" + run)}})
		}
		if out, err := d.sqs.SendMessageBatch(t.Context(), in); err != nil || len(out.Failed) > 0 {
			t.Fatal(out, err)
		}
	}
}

// dlq runs carnation dlq, which must end with this code, and reads its JSON.
func (d *deployed) dlq(t testing.TB, code int, result any, args ...string) string {
	t.Helper()
	out := d.command(nil, append([]string{carnation, "dlq"}, args...)...)
	if out.code != code {
		t.Fatalf("carnation dlq %v: %s, want exit code %d", args, out, code)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(out.stdout), result); err != nil {
			t.Fatalf("carnation dlq %v: %v: %s", args, err, out)
		}
	}
	return out.stdout + out.stderr
}

// editor is a script that replaces before by after in the file that it edits.
func editor(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "editor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsed 's/before/after/' \"$1\" >\"$1.new\" && mv \"$1.new\" \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// handleDeadLetters uses every call of carnation dlq, and leaves nothing.
func (d *deployed) handleDeadLetters(t *testing.T) {
	t.Helper()
	d.bury(t, "a", "A", record(t, 5, `{}`), record(t, 6, `{}`))
	d.dlq(t, 0, nil, "redrive", "--sequence", "5")
	d.dlq(t, 0, nil, "drop", "--all", "--yes", "--file", filepath.Join(t.TempDir(), "dropped.jsonl"))
	d.dlq(t, 0, nil, "redrive", "--all")
	if n := len(d.takeAll(t, "RetryQueueUrl")); n != 1 {
		t.Errorf("%d messages moved to the retry queue, want 1", n)
	}
}

// handleFailuresOfARun runs 20 events, of which five fail for good with two errors, and handles them by their error.
func (d *deployed) handleFailuresOfARun(t *testing.T) {
	t.Helper()
	const key = "carnation/events/dlq.jsonl"
	records := orders(20)
	for _, i := range []int{3, 7, 11} {
		records[i] = fmt.Sprintf(`{"n":%d,"is":"bad"}`, i)
	}
	records[15], records[19] = `{"n":1e126}`, `7`
	if err := d.put(key, []byte(strings.Join(records, "\n"))); err != nil {
		t.Fatal(err)
	}
	d.setFaults(t, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"bad"`})
	d.expectEnd(t, `{"source":{"bucket":"`+bucket+`","key":"`+key+`"},"time":7}`, "5 of 20 events failed: 0 are in the retry queue, 5 in the dead-letter queue")
	d.setFaults(t)
	expectInOrder(t, d.dlq(t, 0, nil, "list"), "InvalidRecord ", " 2 ", "16,20\n", "ValidationException ", " 3 ", "4,8,12\n", "5 dead letters")
	expectInOrder(t, d.dlq(t, 0, nil, "show", "--sequence", "4"), "ValidationException, permanent: a retry cannot help", `"is": "bad"`)
	expectInOrder(t, d.dlq(t, 0, nil, "redrive", "--error", "ValidationException"), "3 messages moved to the retry queue\nretry queue: 3 waiting, 0 in flight; dead-letter queue: 2\n")
	d.expectEnd(t, onlyRetry, `{"inserted":3,"failed":0}`)
	// What was no record: one says so as a payload, and the payload of the other can be corrected.
	expectInOrder(t, d.dlq(t, 1, nil, "redrive", "--sequence", "16"), "1 messages stay, because no run would take them")
	expectInOrder(t, d.dlq(t, 0, nil, "show", "--sequence", "20"), `"invalid_record": "7"`)
	out := d.command([]string{"VISUAL=", `EDITOR=printf '{"n":1}' >`}, carnation, "dlq", "show", "--sequence", "16", "--edit")
	if out.code != 0 {
		t.Fatalf("dlq show --edit: %s", out)
	}
	d.expectEnd(t, onlyRetry, `{"inserted":1,"failed":0}`)
	rows := d.ownRows(t, "s3://"+bucket+"/"+key, 7)
	if len(rows) != 19 || !slices.Equal(rows[16], []string{`{"n":1}`}) {
		t.Errorf("%d of the events are rows, and event 16 is %v, want 19 and its new payload", len(rows), rows[16])
	}
	d.dlq(t, 0, nil, "drop", "--error", "InvalidRecord", "--yes", "--file", filepath.Join(t.TempDir(), "dropped.jsonl"))
	d.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
}

// TestDeadLetters handles the dead letters of a stack with the built command, as docs/operations.md says.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStack(t, "MapMode=DISTRIBUTED")
	s.handleFailuresOfARun(t)
	dir := t.TempDir()
	expectStatus(t, s.execute(t, `{"start_seq":101,"end_seq":116}`), sfntypes.ExecutionStatusSucceeded)
	events := map[int64]event.Event{}
	for seq := int64(116); seq <= 120; seq++ {
		events[seq] = record(t, seq, fmt.Sprintf(`{"order": "A-%d", "note": "before <&>", "amount": 12345678901234567890.123456789}`, seq))
	}
	s.bury(t, "a", "ValidationException", events[116], events[118], events[119])
	s.bury(t, "b", "OrderRefused", events[117], events[120])
	generated := event.Event{SequenceNo: 121, RandomValue: events[120].RandomValue, CurrentTime: 1795416822, StartSeq: 121, EndSeq: 122}
	s.bury(t, "b", "TimedOut", generated)
	if _, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.outputs["DeadLetterQueueUrl"]), MessageBody: aws.String("<nonsense>")}); err != nil {
		t.Fatal(err)
	}

	type group = operate.DeadLetterGroup
	groups := func(list []group) (text string) {
		for _, g := range list {
			text += fmt.Sprintf("%s %s %d %s\n", g.Error, g.ExecutionArn[strings.LastIndex(g.ExecutionArn, ":")+1:], g.Messages, g.Sequence)
		}
		return text
	}
	var listed struct {
		Matched, Unseen int
		Expires         time.Time
		Groups          []group
	}
	s.dlq(t, 0, &listed, "list", "--output", "json")
	if got, want := groups(listed.Groups), "NotAnEvent  1 \nOrderRefused b 2 117,120\nTimedOut b 1 121\nValidationException a 3 116,118-119\n"; got != want || listed.Matched != 7 || listed.Unseen != 0 {
		t.Errorf("dlq list has %+v, want\n%s", listed, want)
	}
	if left := time.Until(listed.Expires); left < 13*24*time.Hour || left > 14*24*time.Hour {
		t.Errorf("the oldest expires in %s, want in 14 days", left)
	}
	expectInOrder(t, s.dlq(t, 0, nil, "list", "--by", "error"), "ERROR", "NotAnEvent", "OrderRefused", " 2 ", "117,120", "ValidationException", "116,118-119", "7 dead letters; SQS deletes the oldest at ")
	s.expectQueue(t, "DeadLetterQueueUrl", 7, 0)

	var letter operate.DeadLetter
	s.dlq(t, 0, &letter, "show", "--sequence", "117", "--output", "json")
	if e, err := event.Parse(letter.Event, ""); letter.Error != "OrderRefused" || !strings.HasSuffix(letter.ExecutionArn, ":b") || compact(t, e.Payload) != string(events[117].Payload) || err != nil {
		t.Errorf("dlq show has %+v, %v, want event 17", letter, err)
	}
	expectInOrder(t, s.dlq(t, 0, nil, "show", "--sequence", "117"), "OrderRefused", "sequence no    117\n", "random value   "+events[117].RandomValue, `  "note": "before <&>"`, "12345678901234567890.123456789")
	expectInOrder(t, s.dlq(t, 0, nil, "show", "--error", "NotAnEvent"), "body           <nonsense>\n")
	expectInOrder(t, s.dlq(t, 0, nil, "show", "--sequence", "121"), "payload        none: the event was generated\n")
	s.dlq(t, 1, nil, "show", "--sequence", "115")

	// Exactly those of the error are moved.
	var changed struct {
		Matched, Moved, Dropped, Exported int
		NotEvents                         int `json:"not_events"`
		File                              string
		Queues                            operate.Queues
		Groups                            []group
	}
	s.dlq(t, 0, &changed, "redrive", "--error", "OrderRefused", "--dry-run", "--output", "json")
	if got := groups(changed.Groups); got != "OrderRefused b 2 117,120\n" || changed.Matched != 2 || changed.Moved != 0 {
		t.Errorf("a dry run has %+v, want the two events", changed)
	}
	s.expectQueue(t, "DeadLetterQueueUrl", 7, 0)
	s.dlq(t, 1, nil, "redrive", "--error", "Order")
	s.dlq(t, 1, nil, "redrive", "--error", "NotAnEvent")
	s.dlq(t, 0, &changed, "redrive", "--error", "OrderRefused", "--output", "json")
	if want := (operate.Queues{Retry: 2, DeadLetter: 5}); changed.Matched != 2 || changed.Moved != 2 || changed.Queues != want {
		t.Errorf("dlq redrive has %+v, want the two events moved", changed)
	}
	expectStatus(t, s.execute(t, `{"start_seq":0,"end_seq":0}`), sfntypes.ExecutionStatusSucceeded)
	expectRows := func(want ...int64) {
		t.Helper()
		found := s.rows(t, 116, 130)
		for _, seq := range want {
			rows := found[seq]
			if len(rows) != 1 || rows[0].RandomStringValue != events[seq].RandomValue || rows[0].RetryAttempt != 1 {
				t.Errorf("event %d has the rows %+v, want one, inserted at its first retry", seq, rows)
			}
		}
		if len(found) != len(want) {
			t.Errorf("the table has %d of these events, want %d", len(found), len(want))
		}
	}
	expectRows(117, 120)

	// An edited event is the row that the event would have been.
	edit := func(code int, editor string, more ...string) string {
		t.Helper()
		out := s.command([]string{"VISUAL=", "EDITOR=" + editor, "TMPDIR=" + dir}, append([]string{carnation, "dlq", "show", "--edit"}, more...)...)
		if out.code != code {
			t.Errorf("dlq show --edit %v: %s, want exit code %d", more, out, code)
		}
		return out.stdout + out.stderr
	}
	expectFiles := func(want int) {
		t.Helper()
		files, err := filepath.Glob(dir + "/event-*")
		if err != nil || len(files) != want {
			t.Errorf("there are the files %v, %v, want %d", files, err, want)
		}
	}
	expectInOrder(t, edit(2, "true"), "several events match: --edit takes one")
	expectInOrder(t, edit(2, "true", "--sequence", "121"), "event 121 was generated: it has no payload to edit")
	expectInOrder(t, edit(2, "true", "--error", "NotAnEvent"), "is not an event: it has no payload to edit")
	expectInOrder(t, edit(1, "true", "--sequence", "116"), "the payload of event 116 is unchanged: nothing was sent")
	expectFiles(0)
	expectInOrder(t, edit(2, "false", "--sequence", "116"), "editor false: exit status 1; nothing was sent; the payload is in "+dir+"/event-116-")
	expectInOrder(t, edit(2, "echo '[1]' >", "--sequence", "116"), "must be a JSON object", "nothing was sent; the changed payload is in "+dir+"/event-116-")
	expectFiles(2)
	s.expectQueue(t, "DeadLetterQueueUrl", 5, 0)
	expectInOrder(t, edit(0, editor(t), "--sequence", "116"), "event 116 with its new payload is in the retry queue; 1 of its messages deleted, 0 left")
	expectFiles(2)
	s.expectQueue(t, "DeadLetterQueueUrl", 4, 0)
	waiting, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(s.outputs["RetryQueueUrl"]), VisibilityTimeout: 1, MessageAttributeNames: []string{"All"},
	})
	if err != nil || len(waiting.Messages) != 1 {
		t.Fatal(waiting, err)
	}
	want := events[116]
	want.Payload = json.RawMessage(strings.Replace(string(want.Payload), "before", "after", 1))
	body, err := event.Encode(want)
	if got := aws.ToString(waiting.Messages[0].Body); got != string(body) || err != nil {
		t.Errorf("the edited event is %s, want %s", got, body)
	}
	if got := aws.ToString(waiting.Messages[0].MessageAttributes["Replays"].StringValue); got != "1" {
		t.Errorf("the edited event has %s replays, want 1", got)
	}

	// What is exported stays, and what is dropped is in a file.
	file := filepath.Join(dir, "exported.jsonl")
	s.dlq(t, 0, &changed, "export", "--file", file, "--output", "json")
	if got := exported(t, file); len(got) != 4 || changed.Exported != 4 || changed.File != file {
		t.Errorf("dlq export has %+v, and the file %d messages, want 4", changed, len(got))
	}
	expectInOrder(t, s.dlq(t, 0, nil, "export", "--sequence", "121"), `"error":"TimedOut"`, `"sequence_no":121`, "1 messages written")
	s.expectQueue(t, "DeadLetterQueueUrl", 4, 0)
	expectInOrder(t, s.dlq(t, 2, nil, "drop", "--all", "--yes", "--file", file), file+" exists: must be a new file")
	expectInOrder(t, s.dlq(t, 2, nil, "drop", "--all", "--file", file+"2"), "there is no terminal to ask whether to drop dead letters: use --yes or set YES=1")
	s.dlq(t, 0, &changed, "drop", "--error", "NotAnEvent", "--yes", "--file", file+"2", "--output", "json")
	if got := exported(t, file+"2"); len(got) != 1 || got[0].Body != "<nonsense>" || changed.Dropped != 1 {
		t.Errorf("dlq drop has %+v, and the file %+v, want the message", changed, got)
	}
	s.dlq(t, 1, nil, "drop", "--error", "NotAnEvent", "--yes", "--file", file+"3")
	s.dlq(t, 0, nil, "redrive", "--all")
	s.expectQueue(t, "DeadLetterQueueUrl", 0, 0)
	s.run(t, carnation, "run", "--until-empty")
	if rows := s.rows(t, 101, 130); len(rows) != 21 {
		t.Errorf("the table has %d events, want all 21", len(rows))
	}
	if got := s.ownRows(t, event.InputSource, 1795416822)[116]; len(got) != 1 || !strings.Contains(got[0], `"after `) {
		t.Errorf("event 116 has the payload %v, want the edited one", got)
	}
	events[121] = generated
	for seq, rows := range s.rows(t, 116, 130) {
		if len(rows) != 1 || rows[0].RandomStringValue != events[seq].RandomValue {
			t.Errorf("event %d has the rows %+v, want one", seq, rows)
		}
	}
}

// exported is the whole lines of a file of dead letters. A command that was killed may have written a part of the last line.
func exported(t testing.TB, path string) (letters []operate.DeadLetter) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(strings.NewReader(string(text))); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return letters
		}
		var letter operate.DeadLetter
		if err := json.Unmarshal([]byte(line), &letter); err != nil {
			t.Errorf("%s has the line %s: %v", path, line, err)
		}
		letters = append(letters, letter)
	}
}

// compact is JSON without white space.
func compact(t testing.TB, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// killAt runs a command and kills it at its nth call of an operation of SQS: before SQS gets the call, or when SQS has done what it says, and
// the command does not know it yet. It tells whether it came to that, and what it
// printed.
func (c *cloud) killAt(t testing.TB, operation string, nth int64, done bool, env []string, args ...string) (killed bool, output string) {
	t.Helper()
	target, err := url.Parse(c.endpoint.URL)
	if err != nil {
		t.Error(err)
		return false, ""
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
	}, ErrorLog: log.New(io.Discard, "", 0)} // of calls that end with their command
	cmd := exec.Command(args[0], args[1:]...)
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "AmazonSQS."+operation || calls.Add(1) != nth {
			proxy.ServeHTTP(w, r)
			return
		}
		if done {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		_ = cmd.Process.Kill()
		panic(http.ErrAbortHandler) // no answer
	}))
	defer server.Close()
	cmd.Env = append(env, "AWS_ENDPOINT_URL="+server.URL)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return false, ""
	}
	_ = cmd.Wait() // what was killed failed
	return !cmd.ProcessState.Exited(), printed.String()
}

// TestKilledCommandsLoseNoDeadLetter kills every subcommand of carnation dlq: each alone at its first critical call, and two at a time at
// random moments. Then every event is in a queue or in a file of dropped ones, and leads to one row, however many messages it has.
func TestKilledCommandsLoseNoDeadLetter(t *testing.T) {
	t.Parallel()
	atOnce(t, []string{"alone", "two at a time"}, func(t *testing.T, name string) { loseNoDeadLetter(t, name == "alone") })
}

func loseNoDeadLetter(t *testing.T, alone bool) {
	const (
		perCommand       = 12
		receive, release = "ReceiveMessage", "ChangeMessageVisibilityBatch"
		send, remove     = "SendMessageBatch", "DeleteMessageBatch"
	)
	commands := []struct{ args, operations string }{
		{"list", receive + " " + release},
		{"show --sequence FIRST", receive + " " + release},
		{"export --file FILE", receive + " " + release},
		{"redrive --error A", send + " " + receive + " " + remove + " " + release},
		{"redrive --error B", remove + " " + send},
		{"redrive --error A --max 3", remove + " " + send + " " + release},
		{"drop --error B --yes --file FILE", remove + " " + receive + " " + release},
		{"drop --max 5 --all --yes --file FILE", remove + " " + release},
		{"show --edit --sequence FIRST", send + " " + remove + " " + receive + " " + release},
		{"redrive --all", "StartMessageMoveTask ListMessageMoveTasks"},
	}
	together := 2
	if alone {
		together = 1
	}
	s := newStack(t)
	dir, edit := t.TempDir(), editor(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	events := map[int64]event.Event{}
	var mu sync.Mutex
	killed := map[string]int{} // by the operation during which they were
	last := int64(0)
	random.Shuffle(len(commands), func(i, j int) { commands[i], commands[j] = commands[j], commands[i] })
	for some := range slices.Chunk(commands, together) {
		// What killed commands held is still hidden. So is what comes while their last long polls still wait.
		time.Sleep(2 * time.Second)
		var buried []event.Event
		for range 2 * perCommand {
			last++
			events[last] = record(t, last, `{"note": "before"}`)
			buried = append(buried, events[last])
		}
		s.bury(t, "a", "A", buried[:perCommand]...)
		s.bury(t, "b", "B", buried[perCommand:]...)
		var group sync.WaitGroup
		for i, command := range some {
			first := buried[i].SequenceNo
			args := strings.NewReplacer("FIRST", fmt.Sprint(first), "FILE", fmt.Sprintf("%s/%s-%d.jsonl", dir, strings.Fields(command.args)[0], first))
			operations := strings.Fields(command.operations)
			operation, nth, done := operations[random.IntN(len(operations))], 1+random.Int64N(2), random.IntN(2) == 1
			if alone {
				operation, nth, done = operations[0], 1, false
			}
			group.Go(func() {
				was, output := s.killAt(t, operation, nth, done, s.environment("VISUAL=", "EDITOR="+edit, "TMPDIR="+dir),
					slices.Concat([]string{carnation, "dlq"}, strings.Fields(args.Replace(command.args)), []string{"--timeout", "30s"})...)
				mu.Lock()
				defer mu.Unlock()
				if was {
					killed[operation]++
				} else if alone {
					t.Errorf("dlq %s ended before its first %s: %s", command.args, operation, output)
				}
			})
		}
		group.Wait()
	}
	waitFor(t, "what the killed commands held", func() bool {
		_, hidden := s.queue(t, "DeadLetterQueueUrl")
		return hidden == 0
	})
	messages, dropped := map[int64]int{}, map[int64]bool{}
	note := func(body []byte) int64 {
		e, err := event.Parse(body, "")
		if err != nil || e.RandomValue != events[e.SequenceNo].RandomValue {
			t.Errorf("there is the event %s, %v, want those that were there", body, err)
		}
		return e.SequenceNo
	}
	files, err := filepath.Glob(dir + "/drop-*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, letter := range exported(t, file) {
			dropped[note(letter.Event)] = true
		}
	}
	s.dlq(t, 0, nil, "redrive", "--all")
	for _, m := range s.takeAll(t, "RetryQueueUrl") {
		messages[note([]byte(aws.ToString(m.Body)))]++
		if _, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.outputs["RetryQueueUrl"]), MessageBody: m.Body}); err != nil {
			t.Fatal(err)
		}
	}
	twice, total := 0, 0
	for seq := range events {
		if messages[seq] == 0 && !dropped[seq] {
			t.Errorf("event %d is lost", seq)
		}
		if messages[seq] > 1 {
			twice++
		}
	}
	for _, n := range killed {
		total += n
	}
	t.Logf("seed %d: %d commands killed, at %v; of %d events, %d are in a queue, %d of them twice, and %d in a file", seed, total, killed, len(events), len(messages), twice, len(dropped))
	if alone && (total < len(commands) || twice == 0 || len(dropped) == 0) {
		t.Errorf("%d commands were killed, %d events are in two messages and %d in a file: want more, or this shows nothing", total, twice, len(dropped))
	}
	s.run(t, carnation, "run", "--until-empty")
	rows := s.rows(t, 1, last+1)
	for seq := range messages {
		if got := rows[seq]; len(got) != 1 || got[0].RandomStringValue != events[seq].RandomValue {
			t.Errorf("event %d, which is in %d messages, has the rows %+v, want one", seq, messages[seq], got)
		}
	}
}
