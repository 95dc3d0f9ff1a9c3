package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"

	"carnation/internal/event"
	"carnation/internal/operate"
)

const dlqShowExamples = `  carnation dlq show --sequence 7
  carnation dlq show --error NotAnEvent --output json
  carnation dlq show --sequence 7 --edit   # then carnation run retries the changed event
`

// dlqEditResult is what carnation dlq show --edit --output json prints.
type dlqEditResult struct {
	Sequence int64 `json:"sequence_no"`
	Sent     bool  `json:"sent"`
	Deleted  int   `json:"deleted"` // messages of the event
	Left     int   `json:"left"`    // messages of it that are still in the dead-letter queue
}

func setupDLQShow(flags *flag.FlagSet) action {
	var f dlqFlags
	f.define(flags)
	edit := flags.Bool("edit", false, "open the payload in $VISUAL or $EDITOR, send the changed event to the retry queue, and delete this message")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check(); err != nil {
			return err
		}
		stack, found, err := f.find(ctx, stderr)
		switch {
		case err != nil:
			return err
		case found.Letter == nil:
			fmt.Fprintln(stderr, "carnation: dlq: no dead letter matches")
			return errFailed
		case *edit:
			return f.edit(ctx, stack, found, stdout)
		}
		if n := len(found.IDs); n > 1 {
			fmt.Fprintf(stderr, "carnation: dlq: %d dead letters match; this is the first of them\n", n)
		}
		if f.output.value == "json" {
			return printJSON(stdout, found.Letter)
		}
		return printLetter(stdout, found)
	}
}

func (f *dlqFlags) find(ctx context.Context, stderr io.Writer) (*operate.Stack, operate.Found, error) {
	ctx, cancel := withTimeout(ctx, f.timeout)
	defer cancel()
	stack, err := operate.Open(ctx, *f.stack)
	if err != nil {
		return nil, operate.Found{}, err
	}
	progress := newProgress(stderr)
	found, err := stack.FindDeadLetter(ctx, f.selection, looking(progress))
	progress.clear()
	notes(stderr, found.Received, f.timeout)
	return stack, found, err
}

func printLetter(w io.Writer, found operate.Found) error {
	d := found.Letter
	var out strings.Builder
	line := func(name, format string, values ...any) {
		fmt.Fprintf(&out, "%-13s  %s\n", name, oneLine(fmt.Sprintf(format, values...)))
	}
	line("message", "%s", d.MessageID)
	if d.Permanent {
		line("error", "%s, permanent: a retry cannot help", d.Error)
	} else {
		line("error", "%s", d.Error)
	}
	line("run", "%s", cmp.Or(d.ExecutionArn, "-"))
	line("sent", "%s; SQS deletes it at %s", d.Sent.Local().Format(time.DateTime), d.Sent.Add(found.Retention).Local().Format(time.DateTime))
	line("received", "%d times", d.Receives)
	line("replays", "%d", d.Replays)
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		line("attribute", "%s = %s", name, d.Attributes[name])
	}
	if !d.IsEvent() {
		line("body", "%s", d.Body)
		_, err := io.WriteString(w, out.String())
		return err
	}
	var rest map[string]json.RawMessage
	if err := json.Unmarshal(d.Event, &rest); err != nil {
		return err
	}
	for _, name := range []string{"sequence_no", "random_value", "current_time", "start_seq", "end_seq", "source"} {
		if value, ok := rest[name]; ok {
			line(strings.ReplaceAll(name, "_", " "), "%s", strings.Trim(string(value), `"`))
		}
	}
	if d.BadPayload != "" {
		line("not retriable", "%s", d.BadPayload)
	}
	if payload := d.Payload(); payload == nil {
		line("payload", "none: the event was generated")
	} else {
		fmt.Fprintf(&out, "payload\n%s", indented(payload))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// indented is JSON for people to read. Its numbers stay as they are written.
func indented(payload json.RawMessage) []byte {
	var text bytes.Buffer
	if err := json.Indent(&text, payload, "", "  "); err != nil {
		return payload // it cannot be: the payload has been read
	}
	text.WriteByte('\n')
	return text.Bytes()
}

// edit has the payload of one event edited, and sends the changed event. The dead letters are not held meanwhile, because editing can take
// any time: Replace looks for them again.
func (f *dlqFlags) edit(ctx context.Context, stack *operate.Stack, found operate.Found, stdout io.Writer) error {
	letter := found.Letter
	n, isEvent := letter.SequenceNo()
	switch {
	case found.Events > 1:
		return errors.New("several events match: --edit takes one; select it with --message or --sequence")
	case !isEvent:
		return fmt.Errorf("message %s is not an event: it has no payload to edit", letter.MessageID)
	case letter.Payload() == nil:
		return fmt.Errorf("event %d was generated: it has no payload to edit", n)
	}
	path, payload, err := editPayload(letter.Payload(), fmt.Sprintf("event-%d-*.json", n))
	if err != nil {
		return err
	}
	var before bytes.Buffer
	if err := json.Compact(&before, letter.Payload()); err != nil {
		return err
	}
	result := dlqEditResult{Sequence: n, Left: len(found.IDs)}
	if !bytes.Equal(payload, before.Bytes()) {
		// An interrupt was for the editor. From now on it is for this command again.
		ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), endSignals()...)
		defer stop()
		ctx, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		result.Deleted, err = stack.Replace(ctx, found.IDs, payload)
		if err != nil {
			return fmt.Errorf("%w; the changed payload is in %s", err, path)
		}
		result.Sent = true
		result.Left -= result.Deleted
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	if f.output.value == "json" {
		err = printJSON(stdout, result)
	} else if result.Sent {
		_, err = fmt.Fprintf(stdout, "event %d with its new payload is in the retry queue; %d of its messages deleted, %d left\n", n, result.Deleted, result.Left)
	} else {
		_, err = fmt.Fprintf(stdout, "the payload of event %d is unchanged: nothing was sent\n", n)
	}
	if err == nil && result.Left > 0 {
		err = errFailed
	}
	return err
}

// editPayload opens a payload in the user's editor, and returns the file and what is in it then, without white space. If the payload cannot
// be sent, the file stays and the error names it.
func editPayload(payload json.RawMessage, pattern string) (path string, changed json.RawMessage, err error) {
	file, err := os.CreateTemp("", pattern) // which only its owner can read
	if err != nil {
		return "", nil, err
	}
	path = file.Name()
	_, err = file.Write(indented(payload))
	if err = errors.Join(err, file.Close()); err != nil {
		return path, nil, err
	}
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi")
	cmd := exec.Command("sh", "-c", editor+` "$1"`, "sh", path) // as Git does: an editor may have arguments
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return path, nil, fmt.Errorf("editor %s: %w; nothing was sent; the payload is in %s", editor, err, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return path, nil, err
	}
	if err := event.CheckRecord(text); err != nil {
		return path, nil, fmt.Errorf("%w; nothing was sent; the changed payload is in %s", err, path)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return path, nil, err
	}
	return path, compact.Bytes(), nil
}
