package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"carnation/internal/operate"
)

// dlqResult is what carnation dlq redrive, drop and export print.
type dlqResult struct {
	DryRun    bool                      `json:"dry_run,omitempty"`
	Matched   int                       `json:"matched"`
	Moved     *int                      `json:"moved,omitempty"`
	Dropped   *int                      `json:"dropped,omitempty"`
	Exported  *int                      `json:"exported,omitempty"`
	NotEvents int                       `json:"not_events,omitempty"` // that redrive left, because no run would take them
	File      string                    `json:"file,omitempty"`
	Groups    []operate.DeadLetterGroup `json:"groups,omitempty"` // of a dry run
	Queues    *operate.Queues           `json:"queues,omitempty"` // after redrive; missing if they could not be counted
}

// dryRun counts what verb would do.
func (f *dlqFlags) dryRun(ctx context.Context, verb string, stdout, stderr io.Writer) error {
	listed, err := f.look(ctx, operate.Grouping{Error: true, Run: true, Age: true}, stderr)
	if err != nil {
		return err
	}
	result := dlqResult{DryRun: true, Matched: listed.Matched, NotEvents: listed.NotEvents, Groups: listed.Groups}
	if f.output.value == "json" {
		err = printJSON(stdout, result)
	} else {
		if listed.Matched > 0 {
			err = printGroups(stdout, listed.Groups)
		}
		if err == nil {
			_, err = fmt.Fprintf(stdout, "%d dead letters would be %s\n", listed.Matched, verb)
		}
		printNotEvents(stderr, listed.NotEvents)
	}
	return errors.Join(err, f.left(listed.Received, listed.Matched))
}

// left is errFailed if nothing matched, or if less is done than matched.
func (f *dlqFlags) left(r operate.Received, done int) error {
	if done < r.Matched+r.NotEvents || r.Matched+r.NotEvents == 0 && !f.all {
		return errFailed
	}
	return nil
}

func printNotEvents(w io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(w, "carnation: dlq: %d messages stay, because no run would take them: they are not events, or need another payload; drop them, or show --edit\n", n)
	}
}

const dlqRedriveExamples = `  carnation dlq redrive --all && carnation run --until-empty   # then retry the events
  carnation dlq redrive --error ValidationException --dry-run
  carnation dlq redrive --sequence 7,9-12 --execution 0f9a2c
  carnation dlq redrive --all --stack-name carnation-prod --timeout 2h
`

func setupDLQRedrive(flags *flag.FlagSet) action {
	var f dlqFlags
	f.define(flags)
	dryRun := flags.Bool("dry-run", false, "only count")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.checkSelected(); err != nil {
			return err
		}
		f.selection.EventsOnly = !f.all
		if *dryRun {
			return f.dryRun(ctx, "moved to the retry queue", stdout, stderr)
		}
		ctx, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *f.stack)
		if err != nil {
			return err
		}
		result, err := f.redrive(ctx, stack, stderr)
		// The user needs to know where the events are, above all if the move failed.
		if queues, countErr := countQueues(ctx, stack); countErr == nil {
			result.Queues = &queues
		} else if err == nil {
			err = countErr
		}
		if printErr := result.print(stdout, f.output.value); printErr != nil || err != nil {
			return errors.Join(err, printErr)
		}
		return f.left(operate.Received{Matched: result.Matched, NotEvents: result.NotEvents}, *result.Moved)
	}
}

// redrive moves the messages and shows the progress. SQS moves all of them itself, which is fastest.
func (f *dlqFlags) redrive(ctx context.Context, stack *operate.Stack, stderr io.Writer) (dlqResult, error) {
	progress := newProgress(stderr)
	defer progress.clear()
	if f.all && f.selection.Max == 0 {
		begun := time.Now()
		moved, err := stack.RedriveAll(ctx, func(now operate.Move) {
			progress.show(fmt.Sprintf("%d of about %d messages moved, %s", now.Moved, now.ToMove, time.Since(begun).Round(time.Second)), now.ToMove > 0)
		})
		return dlqResult{Matched: moved, Moved: &moved}, err
	}
	moved, received, err := stack.Redrive(ctx, f.selection, looking(progress))
	progress.clear()
	notes(stderr, received, f.timeout)
	printNotEvents(stderr, received.NotEvents)
	return dlqResult{Matched: received.Matched, Moved: &moved, NotEvents: received.NotEvents}, err
}

func (r dlqResult) print(w io.Writer, format string) (err error) {
	switch {
	case format == "json":
		return printJSON(w, r)
	case r.Moved != nil:
		_, err = fmt.Fprintf(w, "%d messages moved to the retry queue\n", *r.Moved)
	case r.Dropped != nil && *r.Dropped > 0:
		_, err = fmt.Fprintf(w, "%d messages dropped; they are in %s\n", *r.Dropped, r.File)
	case r.Dropped != nil:
		_, err = fmt.Fprintln(w, "no messages dropped")
	case r.File != "":
		_, err = fmt.Fprintf(w, "%d messages written to %s\n", *r.Exported, r.File)
	default:
		_, err = fmt.Fprintf(w, "%d messages written\n", *r.Exported)
	}
	if err == nil && r.Queues != nil {
		err = printQueues(w, *r.Queues)
	}
	return err
}

const dlqDropExamples = `  carnation dlq drop --error NotAnEvent
  carnation dlq drop --all --file dropped.jsonl --yes
  carnation dlq drop --sequence 7 --dry-run
`

func setupDLQDrop(flags *flag.FlagSet) action {
	var f dlqFlags
	f.define(flags)
	dryRun := flags.Bool("dry-run", false, "only count")
	yes := flags.Bool("yes", false, "do not ask; YES=1 in the environment does the same")
	file := flags.String("file", "", "new `file` for the messages (default dead-letters-STACK-TIME.jsonl)")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.checkSelected(); err != nil {
			return err
		}
		if *dryRun {
			return f.dryRun(ctx, "dropped", stdout, stderr)
		}
		if *file == "" {
			*file = fmt.Sprintf("dead-letters-%s-%s.jsonl", *f.stack, time.Now().UTC().Format("20060102T150405Z"))
		}
		kept, err := operate.NewLetterFile(*file)
		if err != nil {
			return err
		}
		if !*yes && os.Getenv("YES") != "1" {
			agreed, err := f.askToDrop(ctx, kept.Path, stdout, stderr)
			if err != nil {
				return err
			}
			if !agreed {
				return errFailed
			}
		}
		ctx, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *f.stack)
		if err != nil {
			return err
		}
		progress := newProgress(stderr)
		dropped, received, err := stack.DropDeadLetters(ctx, f.selection, looking(progress), kept.Keep)
		err = errors.Join(err, kept.Close())
		progress.clear()
		notes(stderr, received, f.timeout)
		result := dlqResult{Matched: received.Matched, Dropped: &dropped}
		if received.Matched > 0 {
			result.File = kept.Path
		}
		if printErr := result.print(stdout, f.output.value); printErr != nil || err != nil {
			return errors.Join(err, printErr)
		}
		return f.left(received, dropped)
	}
}

// askToDrop shows what is selected and asks whether to drop it. After it, exactly these messages are selected. The messages are not held while
// it waits for the answer.
func (f *dlqFlags) askToDrop(ctx context.Context, path string, stdout, stderr io.Writer) (bool, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return false, errors.New("there is no terminal to ask whether to drop dead letters: use --yes or set YES=1")
	}
	listed, err := f.look(ctx, operate.Grouping{Error: true, Run: true, Age: true}, stderr)
	if err != nil {
		return false, err
	}
	if listed.Matched == 0 {
		fmt.Fprintln(stderr, "carnation: dlq: no dead letter matches")
		return false, nil
	}
	if err := printGroups(stderr, listed.Groups); err != nil {
		return false, err
	}
	agreed, err := ask(ctx, os.Stdin, stderr, fmt.Sprintf("Write %d dead letters of stack %s to %s, and delete them?", listed.Matched, *f.stack, path))
	if err == nil && !agreed {
		fmt.Fprintln(stderr, "carnation: dlq: nothing was dropped")
	}
	f.selection = operate.Selection{MessageIDs: listed.IDs, Max: len(listed.IDs)}
	return agreed, err
}

// ask asks a question, and returns whether the answer is yes. If ctx ends, it does not wait for the answer.
func ask(ctx context.Context, in io.Reader, out io.Writer, question string) (bool, error) {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answers := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // no answer is no
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(out)
		return false, context.Cause(ctx)
	case answer := <-answers:
		return answer == "y" || answer == "yes", nil
	}
}

const dlqExportExamples = `  carnation dlq export > dead-letters.jsonl
  carnation dlq export --error ValidationException --file dead-letters.jsonl
`

func setupDLQExport(flags *flag.FlagSet) action {
	var f dlqFlags
	f.define(flags)
	dryRun := flags.Bool("dry-run", false, "only count")
	file := flags.String("file", "", "new `file` for the messages, instead of standard output")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check(); err != nil {
			return err
		}
		if *dryRun {
			return f.dryRun(ctx, "written", stdout, stderr)
		}
		// The result must not be among the lines.
		summary, keep, finish := stderr, writeTo(stdout), func() error { return nil }
		if *file != "" {
			kept, err := operate.NewLetterFile(*file)
			if err != nil {
				return err
			}
			summary, keep, finish = stdout, kept.Keep, kept.Close
		}
		ctx, cancel := withTimeout(ctx, f.timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *f.stack)
		if err != nil {
			return err
		}
		progress := newProgress(stderr)
		received, err := stack.ExportDeadLetters(ctx, f.selection, looking(progress), keep)
		err = errors.Join(err, finish())
		progress.clear()
		notes(stderr, received, f.timeout)
		result := dlqResult{Matched: received.Matched, Exported: &received.Matched}
		if received.Matched > 0 {
			result.File = *file
		}
		if err == nil {
			err = result.print(summary, f.output.value)
		}
		if err == nil && received.Matched == 0 && f.selects() {
			err = errFailed
		}
		return err
	}
}

// writeTo writes dead letters as lines.
func writeTo(w io.Writer) func([]*operate.DeadLetter) error {
	return func(letters []*operate.DeadLetter) error {
		lines, err := operate.WriteDeadLetters(letters)
		if err == nil {
			_, err = w.Write(lines)
		}
		return err
	}
}
