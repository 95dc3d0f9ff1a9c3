package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/event"
)

// fakeQueues is the two queues. It hides messages as SQS does, and checks every call.
type fakeQueues struct {
	f       *fakeAWS
	dead    []*fakeMessage
	retry   []*fakeMessage
	next    int
	handles map[string]*fakeMessage
	// failEntry, if not nil, tells whether an entry of a batch fails.
	failEntry  func(operation string) bool
	onCall     func(operation string)
	retention  int
	uncounted  bool // SQS counts no message
	longestUse int
}

type fakeMessage struct {
	number     int
	id, body   string
	attributes map[string]any
	sent       time.Time
	visible    time.Time
	handle     string
	receives   int
	twice      bool // it comes once more although it is hidden
}

func newFakeQueues(t *testing.T) (*fakeQueues, *Stack) {
	f, s := newFakeAWS(t)
	q := &fakeQueues{f: f, handles: map[string]*fakeMessage{}, retention: 14 * 24 * 3600}
	for operation, answer := range map[string]func(map[string]any) (any, error){
		"GetQueueAttributes": q.count, "ReceiveMessage": q.receive, "SendMessageBatch": q.sendBatch, "SendMessage": q.sendOne,
		"DeleteMessageBatch": q.deleteBatch, "DeleteMessage": q.deleteOne, "ChangeMessageVisibilityBatch": q.releaseBatch,
	} {
		f.answer[operation] = func(input map[string]any) (any, error) {
			if q.onCall != nil {
				q.onCall(operation)
			}
			return answer(input)
		}
	}
	return q, s
}

func stringAttribute(value string) map[string]any {
	return map[string]any{"DataType": "String", "StringValue": value}
}

// put puts a message into the dead-letter queue.
func (q *fakeQueues) put(body string, age time.Duration, attributes map[string]any) *fakeMessage {
	q.next++
	m := &fakeMessage{number: q.next, id: fmt.Sprintf("m%d", q.next), body: body, attributes: attributes, sent: time.Now().Add(-age)}
	q.dead = append(q.dead, m)
	return m
}

// putEvent puts a generated event.
func (q *fakeQueues) putEvent(seq int, name string) *fakeMessage {
	return q.put(generatedBody(seq), time.Minute, map[string]any{"Error": stringAttribute(name), "ExecutionArn": stringAttribute("arn:execution:a")})
}

func generatedBody(seq int) string {
	return fmt.Sprintf(`{"sequence_no":%d,"random_value":"0b6c38a5-1b34-4b4c-9a4e-5a5a5a5a5a5a","current_time":1795416822,"start_seq":0,"end_seq":100000,"retry_attempt":0}`, seq)
}

func recordBody(seq int, payload string) string {
	return fmt.Sprintf(`{"sequence_no":%d,"random_value":"0b6c38a5-1b34-4b4c-9a4e-5a5a5a5a5a5a","current_time":1795416822,"source":"input","retry_attempt":0,"payload":%s}`, seq, payload)
}

func (q *fakeQueues) count(map[string]any) (any, error) {
	waiting, hidden := 0, 0
	for _, m := range q.dead {
		if m.visible.After(time.Now()) {
			hidden++
		} else {
			waiting++
		}
	}
	if q.uncounted {
		waiting, hidden = 0, 0
	}
	return map[string]any{"Attributes": map[string]string{"ApproximateNumberOfMessages": strconv.Itoa(waiting),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden), "MessageRetentionPeriod": strconv.Itoa(q.retention)}}, nil
}

func (q *fakeQueues) receive(input map[string]any) (any, error) {
	if input["QueueUrl"] != "https://sqs/dead" || input["MaxNumberOfMessages"] != 10.0 || input["WaitTimeSeconds"] != 1.0 {
		q.f.t.Errorf("ReceiveMessage(%v), want ten messages of the dead-letter queue, with a long poll", input)
	}
	hold := int(input["VisibilityTimeout"].(float64))
	q.longestUse = max(q.longestUse, hold)
	messages, now := []any{}, time.Now()
	for _, m := range q.dead {
		if m.visible.After(now) && !m.twice {
			continue
		}
		if len(messages) == 10 {
			break
		}
		m.twice = m.twice && m.visible.IsZero()
		m.receives++
		m.visible, m.handle = now.Add(time.Duration(hold)*time.Second), fmt.Sprintf("%s/%d", m.id, m.receives)
		q.handles[m.handle] = m
		messages = append(messages, map[string]any{"MessageId": m.id, "ReceiptHandle": m.handle, "Body": m.body, "MessageAttributes": m.attributes,
			"Attributes": map[string]string{"SentTimestamp": strconv.FormatInt(m.sent.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(m.receives)}})
	}
	return map[string]any{"Messages": messages}, nil
}

// each serves the entries of a batch.
func (q *fakeQueues) each(operation string, input map[string]any, serve func(entry map[string]any) bool) (any, error) {
	entries := input["Entries"].([]any)
	if len(entries) < 1 || len(entries) > 10 {
		q.f.t.Errorf("%s with %d entries, want 1 to 10", operation, len(entries))
	}
	successful, failed := []any{}, []any{}
	for _, e := range entries {
		entry := e.(map[string]any)
		if q.failEntry != nil && q.failEntry(operation) || !serve(entry) {
			failed = append(failed, map[string]any{"Id": entry["Id"], "Code": "InternalError", "SenderFault": false})
			continue
		}
		successful = append(successful, map[string]any{"Id": entry["Id"], "MessageId": "new"})
	}
	return map[string]any{"Successful": successful, "Failed": failed}, nil
}

func (q *fakeQueues) sendBatch(input map[string]any) (any, error) {
	size := 0
	for _, e := range input["Entries"].([]any) {
		size += len(e.(map[string]any)["MessageBody"].(string))
	}
	if n := len(input["Entries"].([]any)); size > 256<<10 && n > 1 {
		q.f.t.Errorf("a batch of %d messages has %d bytes, want at most 256 KiB", n, size)
	}
	return q.each("SendMessageBatch", input, func(entry map[string]any) bool { return q.send(input, entry) })
}

func (q *fakeQueues) send(input, entry map[string]any) bool {
	if input["QueueUrl"] != "https://sqs/retry" {
		q.f.t.Errorf("send to %s, want the retry queue", input["QueueUrl"])
	}
	attributes, _ := entry["MessageAttributes"].(map[string]any)
	q.retry = append(q.retry, &fakeMessage{body: entry["MessageBody"].(string), attributes: attributes})
	return true
}

func (q *fakeQueues) sendOne(input map[string]any) (any, error) {
	if q.failEntry != nil && q.failEntry("SendMessage") {
		return nil, errors.New("InternalError")
	}
	q.send(input, input)
	return map[string]any{"MessageId": "new"}, nil
}

func (q *fakeQueues) deleteBatch(input map[string]any) (any, error) {
	return q.each("DeleteMessageBatch", input, func(entry map[string]any) bool { q.delete(input["QueueUrl"], entry["ReceiptHandle"]); return true })
}

func (q *fakeQueues) deleteOne(input map[string]any) (any, error) {
	if q.failEntry != nil && q.failEntry("DeleteMessage") {
		return nil, errors.New("InternalError")
	}
	q.delete(input["QueueUrl"], input["ReceiptHandle"])
	return map[string]any{}, nil
}

func (q *fakeQueues) delete(url, handle any) {
	if url != "https://sqs/dead" {
		q.f.t.Errorf("delete from %s, want the dead-letter queue", url)
	}
	m := q.handles[handle.(string)]
	if m == nil || m.handle != handle {
		return // SQS succeeds then, too
	}
	i, _ := slices.BinarySearchFunc(q.dead, m.number, func(m *fakeMessage, n int) int { return m.number - n })
	q.dead = slices.Delete(q.dead, i, i+1)
	delete(q.handles, m.handle)
}

func (q *fakeQueues) releaseBatch(input map[string]any) (any, error) {
	return q.each("ChangeMessageVisibilityBatch", input, func(entry map[string]any) bool {
		if v, ok := entry["VisibilityTimeout"]; ok && v != 0.0 {
			q.f.t.Errorf("a message is hidden for %v more seconds, want it released", v)
		}
		m := q.handles[entry["ReceiptHandle"].(string)]
		if m == nil || m.handle != entry["ReceiptHandle"] {
			return false
		}
		m.visible = time.Time{}
		return true
	})
}

// expectReleased checks that no message is hidden, and which are there.
func (q *fakeQueues) expectReleased(t *testing.T, want int) {
	t.Helper()
	for _, m := range q.dead {
		if m.visible.After(time.Now()) {
			t.Errorf("message %s is hidden, want it released", m.id)
		}
	}
	if len(q.dead) != want {
		t.Errorf("the dead-letter queue has %d messages, want %d", len(q.dead), want)
	}
}

func (q *fakeQueues) sequences(t *testing.T, messages []*fakeMessage) string {
	t.Helper()
	var numbers []int64
	for _, m := range messages {
		e, err := event.Parse([]byte(m.body), "")
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, e.SequenceNo)
	}
	return formatSequences(numbers)
}

var byAll = Grouping{Error: true, Run: true, Age: true}

func TestDeadLettersAreGroupedByErrorRunAndAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for _, seq := range []int{12, 7, 9, 10, 11} {
			q.putEvent(seq, "A")
		}
		q.put(generatedBody(5), 8*24*time.Hour, map[string]any{"Error": stringAttribute("A"), "ExecutionArn": stringAttribute("arn:execution:a")})
		q.put(generatedBody(6), 3*time.Hour, map[string]any{"Error": stringAttribute("A"), "ExecutionArn": stringAttribute("arn:execution:b")})
		q.put(generatedBody(8), 25*time.Hour, nil)
		q.put("hello", time.Minute, map[string]any{"Error": stringAttribute("A")})
		now := time.Now().UTC()
		at := func(age time.Duration) time.Time { return now.Add(-age) }
		minute := at(time.Minute)
		for _, tc := range []struct {
			by   Grouping
			want []DeadLetterGroup
		}{
			{byAll, []DeadLetterGroup{
				{"A", "arn:execution:a", "7 days or more", 1, at(8 * 24 * time.Hour), at(8 * 24 * time.Hour), "5"},
				{"A", "arn:execution:b", "under 1 day", 1, at(3 * time.Hour), at(3 * time.Hour), "6"},
				{"A", "arn:execution:a", "under 1 hour", 5, minute, minute, "7,9-12"},
				{"NotAnEvent", "", "under 1 hour", 1, minute, minute, ""},
				{"Unknown", "", "under 7 days", 1, at(25 * time.Hour), at(25 * time.Hour), "8"},
			}},
			{Grouping{Error: true}, []DeadLetterGroup{
				{"A", "", "", 7, at(8 * 24 * time.Hour), minute, "5-7,9-12"},
				{"NotAnEvent", "", "", 1, minute, minute, ""},
				{"Unknown", "", "", 1, at(25 * time.Hour), at(25 * time.Hour), "8"},
			}},
		} {
			got, err := s.DeadLetters(t.Context(), Selection{}, tc.by, nil)
			if err != nil || got.Messages != 9 || got.Matched != 9 || got.Unseen != 0 || got.Retention != 14*24*time.Hour || len(got.IDs) != 9 {
				t.Errorf("DeadLetters() = %+v, %v, want 9 messages", got, err)
			}
			if !reflect.DeepEqual(got.Groups, tc.want) {
				t.Errorf("DeadLetters(%v) has the groups\n%+v, want\n%+v", tc.by, got.Groups, tc.want)
			}
			q.expectReleased(t, 9)
		}
	})
}

func TestSelection(t *testing.T) {
	ranges := func(text string) []SequenceRange {
		r, err := ParseSequences(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tc := range []struct {
		name      string
		selection Selection
		want      string // ids
	}{
		{"all", Selection{}, "m1 m2 m3 m4 m5"},
		{"an error", Selection{Errors: []string{"A"}}, "m1 m3"},
		{"two errors", Selection{Errors: []string{"B", NotAnEvent}}, "m2 m5"},
		{"unknown error", Selection{Errors: []string{UnknownError}}, "m4"},
		{"the error of a message that is no event does not count", Selection{Errors: []string{"C"}}, ""},
		{"a number", Selection{Sequences: ranges("2")}, "m2"},
		{"numbers", Selection{Sequences: ranges("1,3-4")}, "m1 m3 m4"},
		{"a run by its ARN", Selection{Execution: "arn:execution:a"}, "m1 m2 m3"},
		{"a run by its name", Selection{Execution: "a"}, "m1 m2 m3"},
		{"a part of a name", Selection{Execution: "execution:a"}, "m1 m2 m3"},
		{"another run", Selection{Execution: "b"}, ""},
		{"a message", Selection{MessageIDs: []string{"m5", "m9"}}, "m5"},
		{"an error of some numbers", Selection{Errors: []string{"A"}, Sequences: ranges("2-9")}, "m3"},
		{"events", Selection{EventsOnly: true}, "m1 m2 m3 m4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newFakeQueues(t)
				for seq, name := range []string{"A", "B", "A"} {
					q.putEvent(seq+1, name)
				}
				q.put(recordBody(4, `{"a":1}`), time.Minute, nil)
				q.put("{}", time.Minute, map[string]any{"Error": stringAttribute("C")})
				got, err := s.DeadLetters(t.Context(), tc.selection, byAll, nil)
				slices.Sort(got.IDs)
				if ids := strings.Join(got.IDs, " "); ids != tc.want || err != nil {
					t.Errorf("selected %q, %v, want %q", ids, err, tc.want)
				}
				q.expectReleased(t, 5)
			})
		})
	}
}

func TestSequences(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"7", "7"}, {"0-0", "0"}, {"9-12,7,10", "7,9-12"}, {"9007199254740991", "9007199254740991"},
	} {
		ranges, err := ParseSequences(tc.text)
		var numbers []int64
		for _, r := range ranges {
			for n := r.First; n <= r.Last; n++ {
				numbers = append(numbers, n)
			}
		}
		if got := formatSequences(numbers); got != tc.want || err != nil {
			t.Errorf("ParseSequences(%s) = %s, %v, want %s", tc.text, got, err, tc.want)
		}
	}
	for _, text := range []string{"", "7,", "-7", "7-", "12-9", "+7", "7.0", " 7", "a", "1--2", "9007199254740992", "18446744073709551616"} {
		if _, err := ParseSequences(text); err == nil || !strings.Contains(err.Error(), "must be sequence numbers and ranges of them, such as 7,9-12") {
			t.Errorf("ParseSequences(%q) = %v, want an error", text, err)
		}
	}
}

func TestRedriveSendsFirstAndDeletesSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		binary := map[string]any{"DataType": "Binary.gif", "BinaryValue": "AAEC"}
		q.put(recordBody(1, `{"b": 1.000000000000000000000000000000000001, "a": "<&>"}`), time.Hour, map[string]any{
			"Error": stringAttribute("A"), "ExecutionArn": stringAttribute("arn:execution:a"), "Permanent": stringAttribute("true"), "Other": binary,
			"Replays": map[string]any{"DataType": "Number", "StringValue": "1"},
		})
		q.putEvent(2, "B")
		q.putEvent(3, "A")
		q.put("nonsense", time.Hour, map[string]any{"Error": stringAttribute("A")})
		var order []string
		q.onCall = func(operation string) {
			if strings.HasPrefix(operation, "Send") || strings.HasPrefix(operation, "Delete") {
				order = append(order, operation)
			}
		}
		moved, received, err := s.Redrive(t.Context(), Selection{Errors: []string{"A", NotAnEvent}, EventsOnly: true}, nil)
		if moved != 2 || received.Matched != 2 || received.NotEvents != 1 || err != nil {
			t.Errorf("Redrive() = %d, %+v, %v, want 2 moved and one that is not an event", moved, received, err)
		}
		if got, want := strings.Join(order, " "), "SendMessageBatch DeleteMessageBatch"; got != want {
			t.Errorf("the calls are %s, want %s", got, want)
		}
		q.expectReleased(t, 2)
		if got := q.sequences(t, q.retry); got != "1,3" {
			t.Errorf("the retry queue has the events %s, want 1 and 3", got)
		}
		for _, m := range q.retry {
			if !strings.Contains(m.body, `"sequence_no":1,`) {
				continue
			}
			if want := recordBody(1, `{"b": 1.000000000000000000000000000000000001, "a": "<&>"}`); m.body != want {
				t.Errorf("the body is %s, want %s", m.body, want)
			}
			want := map[string]any{
				"Error": stringAttribute("A"), "ExecutionArn": stringAttribute("arn:execution:a"), "Other": binary,
				"Replays": map[string]any{"DataType": "Number", "StringValue": "2"},
			}
			if !reflect.DeepEqual(m.attributes, want) {
				t.Errorf("the attributes are %v, want %v", m.attributes, want)
			}
		}
	})
}

// Whatever fails, no event is lost: it is in the dead-letter queue, or in the retry queue.
func TestNoFailureOfRedriveLosesAnEvent(t *testing.T) {
	for _, tc := range []struct {
		name         string
		fail         map[string]int // entries or calls of an operation that fail, -1 for all
		moved, again int            // again is how many events are in both queues
		want         string         // in the error
	}{
		{"entries of a batch that is sent, once", map[string]int{"SendMessageBatch": 7}, 25, 0, ""},
		{"entries of a batch that is deleted, once", map[string]int{"DeleteMessageBatch": 7}, 25, 0, ""},
		{"every send", map[string]int{"SendMessageBatch": -1, "SendMessage": -1}, 0, 0, "send message m"},
		{"every delete", map[string]int{"DeleteMessageBatch": -1, "DeleteMessage": -1}, 0, -1, "messages from the dead-letter queue: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newFakeQueues(t)
				for seq := range 25 {
					q.putEvent(seq, "A")
				}
				q.failEntry = func(operation string) bool {
					left := tc.fail[operation]
					if left > 0 {
						tc.fail[operation]--
					}
					return left != 0
				}
				moved, _, err := s.Redrive(t.Context(), Selection{}, nil)
				if moved != tc.moved || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("Redrive() = %d, %v, want %d and %q", moved, err, tc.moved, tc.want)
				}
				q.expectReleased(t, 25-tc.moved)
				if all := q.sequences(t, slices.Concat(q.dead, q.retry)); all != "0-24" {
					t.Errorf("the queues have the events %s, want 0-24", all)
				}
				if both := len(q.dead) + len(q.retry) - 25; tc.again >= 0 && both != tc.again || tc.again < 0 && both == 0 {
					t.Errorf("%d events are in both queues", both)
				}
			})
		})
	}
}

func TestBatchesStayWithinTheSizeOfSQS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 30 { // white space counts for SQS, and not for the size of a record
			q.put(recordBody(seq, `{"a": "`+strings.Repeat("x", 20_000)+`"`+strings.Repeat(" ", 80_000)+"}"), time.Minute, nil)
		}
		moved, _, err := s.Redrive(t.Context(), Selection{}, nil)
		if moved != 30 || err != nil {
			t.Errorf("Redrive() = %d, %v, want 30", moved, err)
		}
		q.expectReleased(t, 0)
	})
}

// Only what was there when the command began is redriven. Otherwise an event that fails at once would go round until the time is up.
func TestRedriveLeavesWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 5 {
			q.putEvent(seq, "A")
		}
		q.onCall = func(operation string) {
			if operation == "SendMessageBatch" {
				for seq := range 5 {
					q.put(generatedBody(seq), -time.Second, nil) // a run has claimed it and sent it back
				}
			}
		}
		moved, received, err := s.Redrive(t.Context(), Selection{}, nil)
		if moved != 5 || received.Messages != 5 || err != nil {
			t.Errorf("Redrive() = %d, %+v, %v, want 5", moved, received, err)
		}
		q.expectReleased(t, 5)
	})
}

func TestMaxLimitsWhatIsHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 40 {
			q.putEvent(seq, "A")
		}
		moved, received, err := s.Redrive(t.Context(), Selection{Max: 13}, nil)
		if moved != 13 || received.Matched != 13 || received.Unseen != 0 || err != nil {
			t.Errorf("Redrive() = %d, %+v, %v, want 13", moved, received, err)
		}
		q.expectReleased(t, 27)
	})
}

func TestMessagesThatComeTwiceCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 30 {
			q.putEvent(seq, "A").twice = true
		}
		got, err := s.DeadLetters(t.Context(), Selection{}, byAll, nil)
		if err != nil || got.Messages != 30 || got.Groups[0].Messages != 30 {
			t.Errorf("DeadLetters() = %+v, %v, want 30 messages", got, err)
		}
		q.expectReleased(t, 30)
		receives := 0
		for _, m := range q.dead {
			receives += m.receives
		}
		if receives <= 30 {
			t.Errorf("%d receives, so no message came twice", receives)
		}
	})
}

func TestMessagesThatSomebodyElseHoldsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 5 {
			q.putEvent(seq, "A")
		}
		q.dead[1].visible = time.Now().Add(time.Hour)
		q.dead[4].visible = time.Now().Add(time.Hour)
		got, err := s.DeadLetters(t.Context(), Selection{}, byAll, nil)
		if err != nil || got.Messages != 3 || got.Unseen != 2 {
			t.Errorf("DeadLetters() = %+v, %v, want 3 messages and 2 that it cannot see", got, err)
		}
		if n := q.f.count("ReceiveMessage"); n != 1+emptyReceives {
			t.Errorf("%d receives, want %d", n, 1+emptyReceives)
		}
	})
}

func TestTenThousandMessages(t *testing.T) {
	for _, uncounted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q, s := newFakeQueues(t)
			q.uncounted = uncounted
			for seq := range 10_000 {
				q.putEvent(seq, []string{"A", "B"}[seq%2])
			}
			last := 0
			got, err := s.DeadLetters(t.Context(), Selection{}, Grouping{Error: true}, func(seen int) { last = seen })
			if err != nil || got.Messages != 10_000 || len(got.Groups) != 2 || got.Groups[1].Messages != 5000 || last != 10_000 {
				t.Errorf("DeadLetters() = %+v, %v, want 10,000 messages of two errors", got.Received, err)
			}
			if n := q.f.count("ReceiveMessage"); n > 1000+receivers*emptyReceives {
				t.Errorf("%d receives, want 1,000 and a few empty ones", n)
			}
			q.expectReleased(t, 10_000)
			moved, _, err := s.Redrive(t.Context(), Selection{Errors: []string{"B"}}, nil)
			if moved != 5000 || err != nil {
				t.Errorf("Redrive() = %d, %v, want 5,000", moved, err)
			}
			q.expectReleased(t, 5000)
		})
	}
}

// SQS says that it holds no more messages. What has come until then is listed, and the rest is counted.
func TestQueueWithTooManyMessagesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 100 {
			q.putEvent(seq, "A")
		}
		receive := q.f.answer["ReceiveMessage"]
		q.f.answer["ReceiveMessage"] = func(input map[string]any) (any, error) {
			if q.f.count("ReceiveMessage") > 5 {
				return nil, errors.New("OverLimit")
			}
			return receive(input)
		}
		got, err := s.DeadLetters(t.Context(), Selection{}, byAll, nil)
		if err != nil || got.Messages != 50 || got.Unseen != 50 {
			t.Errorf("DeadLetters() = %+v, %v, want 50 messages and 50 that it cannot see", got.Received, err)
		}
		q.expectReleased(t, 100)
	})
}

// A message is hidden only until the command must have ended, so that a command that is killed hides nothing for long.
func TestMessagesAreHiddenUntilTheDeadline(t *testing.T) {
	for _, tc := range []struct {
		timeout time.Duration // 0 for none
		want    int           // seconds
	}{{20 * time.Second, 35}, {MaxHold, 39615}, {100 * time.Hour, 43200}, {0, 315}} {
		synctest.Test(t, func(t *testing.T) {
			q, s := newFakeQueues(t)
			q.putEvent(1, "A")
			ctx := t.Context()
			if tc.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.timeout)
				defer cancel()
			}
			if _, err := s.DeadLetters(ctx, Selection{}, byAll, nil); err != nil || q.longestUse != tc.want {
				t.Errorf("with a timeout of %s, a message is hidden for %d s, %v, want %d", tc.timeout, q.longestUse, err, tc.want)
			}
		})
	}
}

// An interrupt, the end of the time and an error release what is held, and what was sent is deleted.
func TestWhatEndsACommandReleasesItsMessages(t *testing.T) {
	interrupted := errors.New("interrupted")
	for _, operation := range []string{"GetQueueAttributes", "ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"} {
		for _, nth := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s %d", operation, nth), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q, s := newFakeQueues(t)
					for seq := range 200 {
						q.putEvent(seq, []string{"A", "B"}[seq%2])
					}
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					calls := 0
					q.onCall = func(called string) {
						if called == operation {
							if calls++; calls == nth {
								cancel(interrupted)
							}
						}
					}
					moved, _, err := s.Redrive(ctx, Selection{Errors: []string{"A"}}, nil)
					if calls >= nth && !errors.Is(err, interrupted) {
						t.Errorf("Redrive() = %d, %v, want it interrupted", moved, err)
					}
					if moved != len(q.retry) {
						t.Errorf("Redrive() moved %d, and %d are in the retry queue", moved, len(q.retry))
					}
					q.expectReleased(t, 200-moved)
				})
			})
		}
	}
	t.Run("an error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q, s := newFakeQueues(t)
			for seq := range 100 {
				q.putEvent(seq, "A")
			}
			receive := q.f.answer["ReceiveMessage"]
			q.f.answer["ReceiveMessage"] = func(input map[string]any) (any, error) {
				if q.f.count("ReceiveMessage") == 3 {
					return nil, errors.New("AccessDenied")
				}
				return receive(input)
			}
			if _, err := s.DeadLetters(t.Context(), Selection{}, byAll, nil); err == nil || !strings.Contains(err.Error(), "receive dead letters: ") {
				t.Errorf("DeadLetters() error = %v, want that of the receive", err)
			}
			q.expectReleased(t, 100)
		})
	})
	t.Run("what cannot be released is counted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q, s := newFakeQueues(t)
			for seq := range 5 {
				q.putEvent(seq, "A")
			}
			failures := 2
			q.failEntry = func(string) bool { failures--; return failures >= 0 }
			got, err := s.DeadLetters(t.Context(), Selection{}, byAll, nil)
			if err != nil || got.Unreleased != 2 {
				t.Errorf("DeadLetters() = %+v, %v, want 2 that are not released", got.Received, err)
			}
		})
	})
}

func TestDropDeletesOnlyWhatIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		for seq := range 25 {
			q.putEvent(seq, "A")
		}
		q.put("nonsense", time.Minute, nil)
		full := errors.New("no space left on device")
		kept := 0
		dropped, _, err := s.DropDeadLetters(t.Context(), Selection{}, nil, func(letters []*DeadLetter) error {
			if kept >= 10 {
				return full
			}
			kept += len(letters)
			return nil
		})
		if dropped != kept || kept == 0 || !errors.Is(err, full) {
			t.Errorf("DropDeadLetters() = %d, %v, want the %d that are safe", dropped, err, kept)
		}
		q.expectReleased(t, 26-kept)
		path := filepath.Join(t.TempDir(), "dropped.jsonl")
		file, err := NewLetterFile(path)
		if err != nil {
			t.Fatal(err)
		}
		dropped, _, err = s.DropDeadLetters(t.Context(), Selection{}, nil, file.Keep)
		if err = errors.Join(err, file.Close()); dropped != 26-kept || err != nil {
			t.Errorf("DropDeadLetters() = %d, %v, want %d", dropped, err, 26-kept)
		}
		q.expectReleased(t, 0)
		text, err := os.ReadFile(path)
		if n := strings.Count(string(text), "\n"); n != dropped || err != nil {
			t.Errorf("the file has %d lines, %v, want %d", n, err, dropped)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v, %v, want it readable by its owner only", info.Mode(), err)
		}
		if _, err := NewLetterFile(path); fmt.Sprint(err) != path+" exists: must be a new file" {
			t.Errorf("NewLetterFile() = %v, want that it exists", err)
		}
		if n := q.f.count("SendMessageBatch"); n != 0 {
			t.Errorf("%d sends, want none", n)
		}
	})
}

// A file that another process has created meanwhile is not touched either.
func TestLetterFileOverwritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.jsonl")
	file, err := NewLetterFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there is a file before the first dead letter: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Keep([]*DeadLetter{{MessageID: "a"}}); !os.IsExist(err) {
		t.Errorf("Keep() = %v, want that the file exists", err)
	}
	if text, err := os.ReadFile(path); string(text) != "mine" || err != nil {
		t.Errorf("the file has %s, %v, want mine", text, err)
	}
}

func TestExportWritesEveryFieldAndLeavesTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		q.put(recordBody(1, `{"b": 1.000000000000000000000000000000000001, "a": "<&>"}`), time.Minute, map[string]any{
			"Error": stringAttribute("A"), "ExecutionArn": stringAttribute("arn:execution:a"), "Permanent": stringAttribute("true"),
			"Replays": map[string]any{"DataType": "Number", "StringValue": "1"}, "Other": stringAttribute("x"), "Image": map[string]any{"DataType": "Binary", "BinaryValue": "AAEC"},
		})
		q.put("<hello>", time.Minute, nil)
		sent := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
		var lines []string
		received, err := s.ExportDeadLetters(t.Context(), Selection{}, nil, func(letters []*DeadLetter) error {
			text, err := WriteDeadLetters(letters)
			lines = append(lines, strings.Split(strings.TrimSpace(string(text)), "\n")...)
			return err
		})
		if received.Matched != 2 || err != nil {
			t.Errorf("ExportDeadLetters() = %+v, %v, want 2", received, err)
		}
		slices.Sort(lines)
		want := []string{
			`{"message_id":"m1","error":"A","permanent":true,"execution_arn":"arn:execution:a","sent":"` + sent + `","receives":1,"replays":1,"attributes":{"Image":"AAEC","Other":"x"},` +
				`"event":` + recordBody(1, `{"b":1.000000000000000000000000000000000001,"a":"<&>"}`) + `}`,
			`{"message_id":"m2","error":"NotAnEvent","sent":"` + sent + `","receives":1,"body":"<hello>"}`,
		}
		if !slices.Equal(lines, want) {
			t.Errorf("exported\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
		q.expectReleased(t, 2)
	})
}

func TestFindDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		q.put("nonsense", time.Hour, nil)
		q.putEvent(9, "A")
		q.putEvent(7, "B")
		older := q.put(generatedBody(7), time.Hour, nil)
		other := q.put(strings.Replace(generatedBody(7), "0b6c38a5", "1b6c38a5", 1), 2*time.Hour, nil)
		for _, tc := range []struct {
			selection Selection
			id        string
			ids       int
			events    int
		}{
			{Selection{}, other.id, 5, 2},
			{Selection{MessageIDs: []string{"m2", "m3", "m4"}}, older.id, 3, 2},
			{Selection{MessageIDs: []string{"m3", "m4"}}, older.id, 2, 1},
			{Selection{Errors: []string{NotAnEvent}}, "m1", 1, 1},
		} {
			found, err := s.FindDeadLetter(t.Context(), tc.selection, nil)
			if err != nil || found.Letter == nil || found.Letter.MessageID != tc.id || len(found.IDs) != tc.ids || found.Events != tc.events {
				t.Errorf("FindDeadLetter(%+v) = %+v, %v, want %s", tc.selection, found, err, tc.id)
			}
		}
		if found, err := s.FindDeadLetter(t.Context(), Selection{Errors: []string{"C"}}, nil); found.Letter != nil || found.Events != 0 || err != nil {
			t.Errorf("FindDeadLetter() = %+v, %v, want nothing", found, err)
		}
		q.expectReleased(t, 5)
	})
}

// An event that was buried because of its payload can be selected and edited, and is redriven only with the others.
func TestEventWithABadPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		q.put(recordBody(7, `{"n":1e126}`), time.Minute, map[string]any{"Error": stringAttribute("InvalidRecord")})
		for _, body := range []string{`{"payload":{"n":1e126}}`, `{"payload":[1]}`, strings.Replace(recordBody(7, `{"n":1e126}`), `"source"`, `"sauce"`, 1)} {
			q.put(body, time.Minute, nil)
		}
		selection := Selection{Sequences: []SequenceRange{{7, 7}}, EventsOnly: true}
		if moved, received, err := s.Redrive(t.Context(), selection, nil); moved != 0 || received.NotEvents != 1 || err != nil {
			t.Errorf("Redrive() = %d, %+v, %v, want that it stays", moved, received, err)
		}
		found, err := s.FindDeadLetter(t.Context(), Selection{Errors: []string{"InvalidRecord"}}, nil)
		if err != nil || found.Letter == nil || string(found.Letter.Payload()) != `{"n":1e126}` || !strings.HasPrefix(found.Letter.BadPayload, "the record ") {
			t.Fatalf("FindDeadLetter() = %+v, %v, want the event with its payload, and what is wrong with it", found.Letter, err)
		}
		if list, err := s.DeadLetters(t.Context(), Selection{Errors: []string{NotAnEvent}}, byAll, nil); list.Matched != 3 || err != nil {
			t.Errorf("%d messages are not events, %v, want 3", list.Matched, err)
		}
		if deleted, err := s.Replace(t.Context(), found.IDs, json.RawMessage(`{"n":1}`)); deleted != 1 || err != nil {
			t.Errorf("Replace() = %d, %v, want 1", deleted, err)
		}
		if len(q.retry) != 1 || q.retry[0].body != recordBody(7, `{"n":1}`) {
			t.Errorf("sent %+v, want the event with its new payload", q.retry)
		}
		q.expectReleased(t, 3)
	})
}

func TestReplaceKeepsWhoTheEventIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newFakeQueues(t)
		attributes := map[string]any{"Error": stringAttribute("A"), "Permanent": stringAttribute("true")}
		q.put(recordBody(7, `{"amount":"<1>"}`), time.Hour, attributes)
		for range 20 {
			q.put(recordBody(8, `{"amount":"<1>"}`), time.Minute, attributes)
		}
		duplicate := q.put(recordBody(7, `{"amount":"<1>"}`), time.Minute, attributes) // another receive gets it
		generated := q.putEvent(9, "A")
		deleted, err := s.Replace(t.Context(), []string{"m1", duplicate.id}, json.RawMessage(`{"amount": 1.00, "note": "<&>"}`))
		if deleted != 2 || err != nil {
			t.Errorf("Replace() = %d, %v, want 2", deleted, err)
		}
		q.expectReleased(t, 21)
		if len(q.retry) != 1 {
			t.Fatalf("%d messages sent, want 1", len(q.retry))
		}
		got := q.retry[0]
		before, err := event.Parse([]byte(recordBody(7, `{"amount":1.00,"note":"<&>"}`)), "")
		if err != nil {
			t.Fatal(err)
		}
		if after, err := event.Parse([]byte(got.body), ""); !reflect.DeepEqual(after, before) || err != nil {
			t.Errorf("the event is %+v, %v, want %+v", after, err, before)
		}
		if strings.Contains(got.body, `\u`) {
			t.Errorf("the body is %s, want the characters as they are", got.body)
		}
		want := map[string]any{"Error": stringAttribute("A"), "Replays": map[string]any{"DataType": "Number", "StringValue": "1"}}
		if !reflect.DeepEqual(got.attributes, want) {
			t.Errorf("the attributes are %v, want %v", got.attributes, want)
		}

		for _, tc := range []struct {
			ids           []string
			payload, want string
		}{
			{[]string{"m1"}, `{}`, ErrGone.Error()},
			{[]string{"m3"}, `[1]`, "must be a JSON object"},
			{[]string{"m3"}, `{"a":"` + strings.Repeat("x", event.MaxRecord) + `"}`, "must have at most 20,480"},
			{[]string{generated.id}, `{}`, "message " + generated.id + " has no payload"},
		} {
			if deleted, err := s.Replace(t.Context(), tc.ids, json.RawMessage(tc.payload)); deleted != 0 || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Replace(%s, %.20s) = %d, %v, want %s", tc.ids, tc.payload, deleted, err, tc.want)
			}
		}
		if len(q.retry) != 1 {
			t.Errorf("%d messages sent, want no more", len(q.retry))
		}
		q.expectReleased(t, 21)
		q.failEntry = func(operation string) bool { return strings.HasPrefix(operation, "Send") }
		if deleted, err := s.Replace(t.Context(), []string{"m3"}, json.RawMessage(`{}`)); deleted != 0 || err == nil {
			t.Errorf("Replace() = %d, %v, want that nothing was sent", deleted, err)
		}
		q.expectReleased(t, 21)
	})
}

// The answers to two receives of a message may come in any order.
func TestLatestReceiptHandleCounts(t *testing.T) {
	receive := func(n string) []types.Message {
		return []types.Message{{MessageId: aws.String("m1"), ReceiptHandle: aws.String("handle " + n), Body: aws.String("{}"), Attributes: map[string]string{"ApproximateReceiveCount": n}}}
	}
	h := &holding{held: map[string]heldMessage{}, began: time.Now()}
	for _, n := range []string{"1", "3", "2"} {
		h.take(receive(n))
	}
	if got := h.held["m1"].handle; got != "handle 3" || h.received.Messages != 1 {
		t.Errorf("%d messages with the handle %s, want one with handle 3", h.received.Messages, got)
	}
}
