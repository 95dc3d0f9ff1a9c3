package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"carnation/internal/operate"
)

const (
	mostLetters = 1000
	// letterBytes is the most that the letters of an answer may take together. One can have a megabyte.
	letterBytes = 8 << 20
	// holdTime is the longest that a look at the dead letters may take. If the console is killed, they stay hidden as long.
	holdTime = 2 * time.Minute
	// changeTime is the longest that a change of dead letters may take.
	changeTime = 5 * time.Minute
	// mostChosen is the most message ids of a choice.
	mostChosen = 10_000
)

// queueTurns has one operation on the dead-letter queue of a stack at a time. Two would hide the messages from each other.
type queueTurns struct {
	mu     sync.Mutex
	queues map[string]chan struct{}
}

// take waits for a turn, and returns what gives it back.
func (q *queueTurns) take(ctx context.Context, queue string) (func(), error) {
	q.mu.Lock()
	if q.queues == nil {
		q.queues = map[string]chan struct{}{}
	}
	turn := q.queues[queue]
	if turn == nil {
		turn = make(chan struct{}, 1)
		q.queues[queue] = turn
	}
	q.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// getDeadLetters looks at the dead letters. It hides them for a moment from others, as every receive of SQS does.
func (c *Console) getDeadLetters(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	selection := operate.Selection{Errors: query["error"], Execution: query.Get("execution")}
	if text := query.Get("sequence"); text != "" {
		if selection.Sequences, err = operate.ParseSequences(text); err != nil {
			return invalid("sequence is %.100q: %v", text, err)
		}
	}
	done, err := c.turns.take(r.Context(), found.DeadLetterQueueURL)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), holdTime)
	defer cancel()
	answer := DeadLetters{Letters: []operate.DeadLetter{}}
	size := 0
	list, err := found.LookAtDeadLetters(ctx, selection, operate.Grouping{Error: true, Run: true}, nil, func(letter *operate.DeadLetter) {
		size += len(letter.Event) + len(letter.Body)
		if len(answer.Letters) == mostLetters || size > letterBytes {
			answer.Omitted++
			return
		}
		answer.Letters = append(answer.Letters, *letter)
	})
	if err != nil {
		return err
	}
	answer.Groups, answer.Hidden = list.Groups, list.Unseen
	slices.SortFunc(answer.Letters, func(a, b operate.DeadLetter) int {
		n, _ := a.SequenceNo()
		m, _ := b.SequenceNo()
		return cmp.Or(cmp.Compare(n, m), a.Sent.Compare(b.Sent), cmp.Compare(a.MessageID, b.MessageID))
	})
	return writeJSON(w, answer)
}

// selection is the dead letters that a choice means.
func (choice *Choice) selection() (operate.Selection, error) {
	selection := operate.Selection{MessageIDs: choice.MessageIDs, Max: len(choice.MessageIDs), Execution: choice.Execution}
	if choice.Error != "" {
		selection.Errors = []string{choice.Error}
	}
	selects := len(choice.MessageIDs) > 0 || choice.Error != "" || choice.Execution != ""
	switch {
	case choice.All && selects:
		return selection, invalid("all selects every dead letter: message_ids, error and execution must be left out")
	case !choice.All && !selects:
		return selection, invalid("nothing is selected: must have message_ids, error, execution, or all")
	case len(choice.MessageIDs) > mostChosen:
		return selection, invalid("message_ids has %d ids: must have at most %d", len(choice.MessageIDs), mostChosen)
	}
	return selection, nil
}

// chosen reads a request with a choice, and waits for its turn. The caller calls done.
func (c *Console) chosen(w http.ResponseWriter, r *http.Request) (found *stack, choice Choice, selection operate.Selection, done func(), err error) {
	if found, err = c.stack(r); err != nil {
		return
	}
	if err = readBody(w, r, &choice); err != nil {
		return
	}
	if selection, err = choice.selection(); err != nil {
		return
	}
	done, err = c.turns.take(r.Context(), found.DeadLetterQueueURL)
	return
}

// changeContext is for a change. It goes on if the page is closed meanwhile, so that nothing is left half done.
func (c *Console) changeContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), changeTime)
	stop := context.AfterFunc(c.pollers.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func (c *Console) redriveDeadLetters(w http.ResponseWriter, r *http.Request) error {
	found, choice, selection, done, err := c.chosen(w, r)
	if err != nil {
		return err
	}
	defer done()
	defer c.lookNow(found.Name)
	ctx, cancel := c.changeContext(r)
	defer cancel()
	if choice.All {
		moved, err := found.RedriveAll(ctx, func(operate.Move) {})
		if err != nil {
			return partly(err, moved, "moved to the retry queue")
		}
		return writeJSON(w, Done{count(moved, "dead letter is in the retry queue", "dead letters are in the retry queue"), moved})
	}
	selection.EventsOnly = true
	moved, received, err := found.Redrive(ctx, selection, nil)
	if err != nil {
		return partly(err, moved, "moved to the retry queue")
	}
	message := count(moved, "dead letter is in the retry queue", "dead letters are in the retry queue")
	if received.NotEvents > 0 {
		message += "; " + count(received.NotEvents, "stays, because no run would take it", "stay, because no run would take them") + ": drop or edit"
	}
	return writeJSON(w, Done{message + unseen(received), moved})
}

// partly adds to an error how much was done before it.
func partly(err error, n int, done string) error {
	if n == 0 {
		return err
	}
	e := explain(err)
	return &apiError{e.status, e.kind, fmt.Sprintf("%s; %d dead letters were %s before that", e.message, n, done)}
}

func unseen(received operate.Received) string {
	if received.Unseen == 0 {
		return ""
	}
	return fmt.Sprintf("; SQS counts about %d more: somebody else holds them, or its count is a minute old", received.Unseen)
}

// dropDeadLetters writes dead letters to a file on this machine, deletes them, and answers with the file. If the page is gone by then, they are
// still in the file.
func (c *Console) dropDeadLetters(w http.ResponseWriter, r *http.Request) error {
	found, _, selection, done, err := c.chosen(w, r)
	if err != nil {
		return err
	}
	defer done()
	defer c.lookNow(found.Name)
	name := fmt.Sprintf("dead-letters-%s-%s.jsonl", found.Name, time.Now().UTC().Format("20060102T150405.000Z"))
	kept, err := operate.NewLetterFile(filepath.Join(c.options.Folder, name))
	if err != nil {
		return err
	}
	ctx, cancel := c.changeContext(r)
	defer cancel()
	dropped, received, err := found.DropDeadLetters(ctx, selection, nil, kept.Keep)
	if err = errors.Join(err, kept.Close()); err != nil {
		return partly(err, dropped, "written to "+kept.Path+" and deleted")
	}
	w.Header().Set("X-Carnation-Count", strconv.Itoa(dropped))
	if received.Matched == 0 {
		download(w, name)
		return nil
	}
	file, err := os.Open(kept.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	path, err := filepath.Abs(kept.Path)
	if err != nil {
		return err
	}
	w.Header().Set("X-Carnation-Kept", path)
	download(w, name)
	io.Copy(w, file) // the file stays, if the page is gone
	return nil
}

// exportDeadLetters answers with dead letters, and leaves them in the queue.
func (c *Console) exportDeadLetters(w http.ResponseWriter, r *http.Request) error {
	found, _, selection, done, err := c.chosen(w, r)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), changeTime)
	defer cancel()
	file, err := os.CreateTemp("", "carnation-export-*.jsonl")
	if err != nil {
		return err
	}
	defer func() { file.Close(); os.Remove(file.Name()) }()
	received, err := found.ExportDeadLetters(ctx, selection, nil, func(letters []*operate.DeadLetter) error {
		lines, err := operate.WriteDeadLetters(letters)
		if err == nil {
			_, err = file.Write(lines)
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	w.Header().Set("X-Carnation-Count", strconv.Itoa(received.Matched))
	download(w, fmt.Sprintf("dead-letters-%s-%s.jsonl", found.Name, time.Now().UTC().Format("20060102T150405Z")))
	io.Copy(w, file)
	return nil
}

// editDeadLetter sends an event with another payload to the retry queue, and deletes its dead letter.
func (c *Console) editDeadLetter(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	var request struct {
		MessageID string          `json:"message_id"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := readBody(w, r, &request); err != nil {
		return err
	}
	if request.MessageID == "" {
		return invalid("message_id is missing: must be the id of a dead letter")
	}
	payload, err := compact(request.Payload)
	if err != nil {
		return err
	}
	done, err := c.turns.take(r.Context(), found.DeadLetterQueueURL)
	if err != nil {
		return err
	}
	defer done()
	defer c.lookNow(found.Name)
	ctx, cancel := c.changeContext(r)
	defer cancel()
	deleted, err := found.Replace(ctx, []string{request.MessageID}, payload)
	if err != nil {
		return err
	}
	return writeJSON(w, Done{"The event with its new payload is in the retry queue", deleted})
}
