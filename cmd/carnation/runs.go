package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

// runsCommands are the subcommands of carnation runs. docs/operations.md#runs shows how to use them.
var runsCommands = []command{
	{name: "list", examples: runsListExamples, setup: setupRunsList},
	{name: "show", examples: runsShowExamples, argument: "EXECUTION", argumentIs: reportExecutionIs, setup: setupRunsShow},
	{name: "stop", examples: runsStopExamples, argument: "EXECUTION", argumentIs: executionIs, setup: setupRunsStop},
	{name: "redrive", examples: runsRedriveExamples, argument: "EXECUTION", argumentIs: executionIs, setup: setupRunsRedrive},
}

const executionIs = "the name or the ARN of a run, as carnation runs list prints it"

const runsUsage = `carnation runs looks at the runs of a stack, and stops or redrives them.

Usage:
  carnation runs list              [flags]   list runs, the newest first
  carnation runs show    EXECUTION [flags]   print what is known about a run: its outcome, states, events, shards, failures and cost
  carnation runs stop    EXECUTION [flags]   stop a run, after saying what becomes of its events
  carnation runs redrive EXECUTION [flags]   continue a run that failed, was stopped or timed out, after saying what it repeats
  carnation runs COMMAND -h                  show the flags of a command

EXECUTION is ` + executionIs + `.

Exit codes:
  0  done; for redrive: every event is in the table
  1  the run cannot be stopped or redriven, or the answer to the question was no; for redrive: or some events failed; for list: a run was
     deleted meanwhile, so that its input and outcome are missing
  2  any other error
`

const runsListExamples = `  carnation runs list
  carnation runs list --status failed --since 24h
  carnation runs list --since 2026-11-23 --max 500 --output json
`

// runStatus is a flag for the status of a run.
type runStatus string

func (s *runStatus) String() string { return string(*s) }

func (s *runStatus) Set(text string) error {
	status := strings.ToUpper(text)
	if !slices.Contains(operate.RunStatuses(), status) {
		return fmt.Errorf("must be %s", strings.ToLower(oneOfThese(operate.RunStatuses())))
	}
	*s = runStatus(status)
	return nil
}

// since is a flag for a time in the past.
type since struct{ time.Time }

func (s *since) String() string { return "" }

func (s *since) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 {
			s.Time = time.Now().AddDate(0, 0, -n)
			return nil
		}
	}
	if duration, err := time.ParseDuration(text); err == nil && duration > 0 {
		s.Time = time.Now().Add(-duration)
		return nil
	}
	for _, layout := range []string{time.DateOnly, time.DateTime, time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			s.Time = at
			return nil
		}
	}
	return errors.New("must be a duration such as 90m, 24h or 7d, or a time such as 2026-11-23, \"2026-11-23 12:00:00\" or 2026-11-23T12:00:00Z")
}

// maxListed is the largest --max of carnation runs list.
const maxListed = 100_000

// runsListResult is what carnation runs list --output json prints.
type runsListResult struct {
	Runs []listedRun `json:"runs"`
	More bool        `json:"more"` // there are older ones
}

type listedRun struct {
	operate.ListedRun
	Summary *model.RunSummary `json:"summary,omitempty"` // missing with --summary=false, and if it could not be read
}

func setupRunsList(flags *flag.FlagSet) action {
	stack := stackFlag(flags)
	var status runStatus
	flags.Var(&status, "status", "only runs with this `status`: "+strings.ToLower(oneOfThese(operate.RunStatuses())))
	var from since
	flags.Var(&from, "since", "only runs that were started since this `time`: a duration such as 24h or 7d, or a time such as 2026-11-23")
	most := count{n: 20, most: maxListed}
	flags.Var(&most, "max", "maximum `number` of runs")
	summary := flags.Bool("summary", true, "also the input and the outcome, which takes a call for each run")
	timeout := flags.Duration("timeout", 5*time.Minute, "maximum time to take")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		s, err := operate.Open(ctx, *stack)
		if err != nil {
			return err
		}
		runs, more, err := s.Runs(ctx, operate.RunsFilter{Status: string(status), Since: from.Time, Max: most.n})
		if err != nil {
			return err
		}
		result := runsListResult{Runs: make([]listedRun, len(runs)), More: more}
		for i, run := range runs {
			result.Runs[i].ListedRun = run
		}
		var missing error
		if *summary {
			missing = result.readSummaries(stderr, func(arn string) (model.RunSummary, error) { return model.Summary(ctx, s, arn) })
		}
		if output.value == "json" {
			err = printJSON(stdout, result)
		} else {
			err = result.print(stdout, stderr)
		}
		return cmp.Or(err, missing)
	}
}

// readSummaries reads the summary of each run. The list is of use without some of them, so it is printed whatever the error is.
func (r *runsListResult) readSummaries(stderr io.Writer, read func(arn string) (model.RunSummary, error)) (err error) {
	progress, begun := newProgress(stderr), time.Now()
	defer progress.clear()
	for i, run := range r.Runs {
		one, readErr := read(run.Arn)
		var gone *types.ExecutionDoesNotExist
		switch {
		case errors.As(readErr, &gone):
			progress.clear()
			fmt.Fprintf(stderr, "carnation: runs: run %s was deleted meanwhile: its input and outcome are missing\n", oneLine(run.Name))
			err = errFailed
			continue
		case readErr != nil:
			return fmt.Errorf("the input and the outcome of %d of %d runs are missing: use a smaller --max, a longer --timeout, or --summary=false: %w", len(r.Runs)-i, len(r.Runs), readErr)
		}
		r.Runs[i].Summary = &one
		progress.show(fmt.Sprintf("%d of %d runs read", i+1, len(r.Runs)), time.Since(begun) >= plainEvery)
	}
	return err
}

func (r runsListResult) print(stdout, stderr io.Writer) error {
	if len(r.Runs) == 0 {
		_, err := fmt.Fprintln(stdout, "no runs")
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STARTED\tSTATUS\tTOOK\tREDRIVES\tEXECUTION\tINPUT\tOUTCOME")
	for _, run := range r.Runs {
		took := "-"
		if run.Stopped != nil {
			took = duration(run.Stopped.Sub(run.Started))
		}
		input, outcome := "-", "-"
		if run.Summary != nil {
			input, outcome = run.Summary.Input.Text, run.Summary.Outcome.Sentence
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", run.Started.Local().Format(time.DateTime), run.Status, took, run.Redrives, oneLine(run.Name), oneLine(input), oneLine(outcome))
	}
	err := table.Flush()
	if r.More && err == nil {
		fmt.Fprintf(stderr, "carnation: runs: there are older runs: raise --max, or use --status\n")
	}
	return err
}

// duration is a duration with as many digits as somebody reads.
func duration(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
