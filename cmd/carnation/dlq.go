package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"carnation/internal/operate"
)

// dlqCommands are the subcommands of carnation dlq. docs/operations.md#dead-letters shows how to use them.
var dlqCommands = []command{
	{name: "list", examples: dlqListExamples, setup: setupDLQList},
	{name: "show", examples: dlqShowExamples, setup: setupDLQShow},
	{name: "redrive", examples: dlqRedriveExamples, setup: setupDLQRedrive},
	{name: "drop", examples: dlqDropExamples, setup: setupDLQDrop},
	{name: "export", examples: dlqExportExamples, setup: setupDLQExport},
}

const dlqUsage = `carnation dlq looks at dead letters, the messages of the dead-letter queue, and handles them.

Usage:
  carnation dlq list    [flags]   group the dead letters by error, run and age
  carnation dlq show    [flags]   print one of them with its payload; --edit changes the payload and retries the event
  carnation dlq redrive [flags]   move dead letters back to the retry queue; the next run retries their events
  carnation dlq drop    [flags]   write dead letters to a file and delete them
  carnation dlq export  [flags]   write dead letters as JSON Lines
  carnation dlq COMMAND -h        show the flags of a command

--error, --execution, --sequence and --message select dead letters: those to which all that is given applies.
While a command works, nobody else sees the dead letters. If it is killed, they are visible again after its --timeout and 15 s.

Exit codes:
  0  done
  1  nothing matched, or something that matched was left: messages that no run would take, or what the answer to a question spared
  2  any other error
`

// maxSelected is the largest --max: more messages than SQS lets anybody hold at once.
const maxSelected = 120_000

// dlqFlags are the flags that all the subcommands have.
type dlqFlags struct {
	stack     *string
	selection operate.Selection
	all       bool
	max       count
	timeout   time.Duration
	output    *oneOf
}

// list is a flag that can be repeated.
type list []string

func (l *list) String() string { return "" }

func (l *list) Set(text string) error {
	if text == "" {
		return errors.New("must not be empty")
	}
	*l = append(*l, text)
	return nil
}

// sequences is a flag for sequence numbers and ranges of them.
type sequences []operate.SequenceRange

func (s *sequences) String() string { return "" }

func (s *sequences) Set(text string) error {
	ranges, err := operate.ParseSequences(text)
	*s = append(*s, ranges...)
	return err
}

func (f *dlqFlags) define(flags *flag.FlagSet) {
	f.stack = stackFlag(flags)
	flags.Var((*list)(&f.selection.Errors), "error", "only with this `name` of an error, as carnation dlq list prints it; can be repeated")
	flags.Var((*sequences)(&f.selection.Sequences), "sequence", "only events with these sequence `numbers`, such as 7,9-12")
	flags.StringVar(&f.selection.Execution, "execution", "", "only what failed in the run with this ARN or `name`")
	flags.Var((*list)(&f.selection.MessageIDs), "message", "only the message with this `id`; can be repeated")
	flags.BoolVar(&f.all, "all", false, "all dead letters")
	f.max.most = maxSelected
	flags.Var(&f.max, "max", "maximum `number` of dead letters")
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "maximum time to look at the queue; if the command is killed, dead letters stay hidden as long")
	f.output = outputFlag(flags)
}

// selects tells whether the flags select some dead letters.
func (f *dlqFlags) selects() bool {
	s := f.selection
	return len(s.Errors)+len(s.Sequences)+len(s.MessageIDs) > 0 || s.Execution != ""
}

func (f *dlqFlags) check() error {
	f.selection.Max = f.max.n
	if f.all && f.selects() {
		return errors.New("--all selects every dead letter: leave out --error, --sequence, --execution and --message")
	}
	if f.timeout > operate.MaxHold {
		return fmt.Errorf("--timeout is %s: must be at most %s, because SQS hides a message for 12 hours at most", f.timeout, operate.MaxHold)
	}
	return checkTimeout(f.timeout)
}

// checkSelected is check for a command that changes something.
func (f *dlqFlags) checkSelected() error {
	if !f.all && !f.selects() {
		return errors.New("nothing is selected: use --error, --sequence, --execution, --message or --all")
	}
	return f.check()
}

// looking shows how many messages have been looked at.
func looking(p *progress) func(seen int) {
	begun := time.Now()
	return func(seen int) {
		elapsed := time.Since(begun)
		p.show(fmt.Sprintf("%d messages looked at, %s", seen, elapsed.Round(time.Second)), elapsed >= plainEvery)
	}
}

// notes says on w what a look at the queue could not see or undo.
func notes(w io.Writer, r operate.Received, timeout time.Duration) {
	if r.Unseen > 0 {
		fmt.Fprintf(w, "carnation: dlq: SQS counts about %d more messages: somebody else holds them, or its count is a minute old\n", r.Unseen)
	}
	if r.Unreleased > 0 {
		fmt.Fprintf(w, "carnation: dlq: %d messages could not be released: they are visible again within %s\n", r.Unreleased, timeout+15*time.Second)
	}
}

const dlqListExamples = `  carnation dlq list
  carnation dlq list --by error
  carnation dlq list --execution 0f9a2c --output json
`

// groupings is a flag for what to group by.
type groupings operate.Grouping

func (g *groupings) String() string { return "" }

func (g *groupings) Set(text string) error {
	*g = groupings{}
	for name := range strings.SplitSeq(text, ",") {
		one := oneOf{allowed: []string{"error", "run", "age"}}
		if err := one.Set(name); err != nil {
			return err
		}
		switch name {
		case "error":
			g.Error = true
		case "run":
			g.Run = true
		case "age":
			g.Age = true
		}
	}
	return nil
}

// dlqListResult is what carnation dlq list --output json prints.
type dlqListResult struct {
	Matched int                       `json:"matched"`
	Unseen  int                       `json:"unseen"`            // about so many more messages are held by somebody else
	Expires *time.Time                `json:"expires,omitempty"` // when SQS deletes the oldest one
	Groups  []operate.DeadLetterGroup `json:"groups"`
}

func setupDLQList(flags *flag.FlagSet) action {
	var f dlqFlags
	f.define(flags)
	by := groupings{Error: true, Run: true, Age: true}
	flags.Var(&by, "by", "`what` to group by: error, run, age, or several of them with commas between them (default error,run,age)")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := f.check(); err != nil {
			return err
		}
		listed, err := f.look(ctx, operate.Grouping(by), stderr)
		if err != nil {
			return err
		}
		result := dlqListResult{Matched: listed.Matched, Unseen: listed.Unseen, Expires: expires(listed), Groups: listed.Groups}
		if f.output.value == "json" {
			err = printJSON(stdout, result)
		} else {
			err = result.print(stdout)
		}
		if err == nil && listed.Matched == 0 && f.selects() {
			err = errFailed
		}
		return err
	}
}

// look opens the stack and lists the selected dead letters.
func (f *dlqFlags) look(ctx context.Context, by operate.Grouping, stderr io.Writer) (operate.DeadLetters, error) {
	ctx, cancel := withTimeout(ctx, f.timeout)
	defer cancel()
	stack, err := operate.Open(ctx, *f.stack)
	if err != nil {
		return operate.DeadLetters{}, err
	}
	progress := newProgress(stderr)
	listed, err := stack.DeadLetters(ctx, f.selection, by, looking(progress))
	progress.clear()
	notes(stderr, listed.Received, f.timeout)
	return listed, err
}

// expires is when SQS deletes the oldest of the dead letters.
func expires(listed operate.DeadLetters) *time.Time {
	if len(listed.Groups) == 0 {
		return nil
	}
	oldest := slices.MinFunc(listed.Groups, func(a, b operate.DeadLetterGroup) int { return a.Oldest.Compare(b.Oldest) })
	at := oldest.Oldest.Add(listed.Retention)
	return &at
}

func (r dlqListResult) print(w io.Writer) error {
	if r.Matched == 0 {
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	if err := printGroups(w, r.Groups); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d dead letters; SQS deletes the oldest at %s\n", r.Matched, r.Expires.Local().Format(time.DateTime))
	return err
}

// printGroups prints a table. A column that the dead letters are not grouped by has only dashes.
func printGroups(w io.Writer, groups []operate.DeadLetterGroup) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ERROR\tRUN\tAGE\tMESSAGES\tOLDEST\tSEQUENCE")
	for _, g := range groups {
		run := g.ExecutionArn[strings.LastIndex(g.ExecutionArn, ":")+1:]
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", oneLine(cmp.Or(g.Error, "-")), oneLine(cmp.Or(run, "-")), cmp.Or(g.Age, "-"), g.Messages,
			g.Oldest.Local().Format(time.DateTime), cmp.Or(shortSequence(g.Sequence), "-"))
	}
	return table.Flush()
}

// oneLine keeps text of somebody else's message from changing the table or the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

// shortSequence is as much of a list of sequence numbers as fits in a line.
func shortSequence(sequence string) string {
	const most = 40
	if len(sequence) <= most {
		return sequence
	}
	return sequence[:strings.LastIndex(sequence[:most], ",")+1] + "..."
}
