package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

func TestRunsAreListedInOneLineEach(t *testing.T) {
	started := time.Date(2026, 11, 23, 6, 53, 20, 0, time.Local)
	stopped, later := started.Add(2500*time.Millisecond), started.Add(90*time.Minute)
	result := runsListResult{More: true, Runs: []listedRun{
		{ListedRun: operate.ListedRun{Name: "orders", Status: "RUNNING", Started: started}},
		{ListedRun: operate.ListedRun{Name: "bad\n\x1b[31mname", Status: "FAILED", Started: started, Stopped: &stopped, Redrives: 2},
			Summary: &model.RunSummary{Input: model.Input{Text: "events 1\tto 20"}, Outcome: model.Outcome{Sentence: "All 20\nevents"}}},
		{ListedRun: operate.ListedRun{Name: "long", Status: "SUCCEEDED", Started: started, Stopped: &later}},
	}}
	var stdout, stderr bytes.Buffer
	if err := result.print(&stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	const want = "STARTED              STATUS     TOOK     REDRIVES  EXECUTION      INPUT           OUTCOME\n" +
		"2026-11-23 06:53:20  RUNNING    -        0         orders         -               -\n" +
		"2026-11-23 06:53:20  FAILED     2.5 s    2         bad??[31mname  events 1?to 20  All 20?events\n" +
		"2026-11-23 06:53:20  SUCCEEDED  1h30m0s  0         long           -               -\n"
	if stdout.String() != want || stderr.String() != "carnation: runs: there are older runs: raise --max, or use --status\n" {
		t.Errorf("printed\n%s and %s, want\n%s", stdout.String(), stderr.String(), want)
	}
	stdout.Reset()
	if err := (runsListResult{}).print(&stdout, io.Discard); err != nil || stdout.String() != "no runs\n" {
		t.Errorf("without runs: %v, %s", err, stdout.String())
	}
}

func TestSinceIsADurationOrATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Time{
			"90m": now.Add(-90 * time.Minute), "24h": now.Add(-24 * time.Hour), "7d": now.AddDate(0, 0, -7),
			"2026-11-23": time.Date(2026, 11, 23, 0, 0, 0, 0, time.Local), "2026-11-23 12:30:00": time.Date(2026, 11, 23, 12, 30, 0, 0, time.Local),
			"2026-11-23T12:30:00Z": time.Date(2026, 11, 23, 12, 30, 0, 0, time.UTC),
		} {
			var got since
			if err := got.Set(text); err != nil || !got.Equal(want) {
				t.Errorf("--since %s = %s, %v, want %s", text, got.Time, err, want)
			}
		}
		for _, text := range []string{"", "d", "0d", "-1d", "-2h", "0s", "7", "23.11.2026", "2026-13-01"} {
			if err := new(since).Set(text); err == nil {
				t.Errorf("--since %s was accepted", text)
			}
		}
	})
}

// Flags may come before and after the argument, and -- ends them.
func TestACommandTakesOneArgument(t *testing.T) {
	for _, args := range []string{"orders", "--yes orders", "orders --yes", "--yes -- orders", "-- orders"} {
		var got string
		var yes *bool
		c := command{name: "try", argument: "EXECUTION", argumentIs: "a run", setup: func(flags *flag.FlagSet) action {
			yes = flags.Bool("yes", false, "")
			return func(context.Context, io.Writer, io.Writer) error {
				got = strings.Join(flags.Args(), " ")
				return nil
			}
		}}
		if err := c.run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err != nil || got != "orders" || *yes != strings.Contains(args, "yes") {
			t.Errorf("try %s has the argument %q and --yes %t, %v", args, got, *yes, err)
		}
	}
}

// Scripts can tell a run that has ended already from an error.
func TestARefusalEndsWithCodeOne(t *testing.T) {
	var stderr bytes.Buffer
	if err := refuse(&operate.RefusedError{Reason: "run a is FAILED: must be RUNNING to be stopped"}, &stderr); !errors.Is(err, errFailed) || stderr.String() != "carnation: runs: run a is FAILED: must be RUNNING to be stopped\n" {
		t.Errorf("refuse() = %v after %s", err, stderr.String())
	}
	other := errors.New("other")
	if err := refuse(other, io.Discard); err != other {
		t.Errorf("refuse(%v) = %v", other, err)
	}
}

// The list of runs is printed although a summary cannot be read.
func TestTheListOfRunsDoesWithoutSummaries(t *testing.T) {
	summaries := func(broken error) (summaries []string, stderr string, err error) {
		var result runsListResult
		for _, name := range []string{"one", "two", "three"} {
			result.Runs = append(result.Runs, listedRun{ListedRun: operate.ListedRun{Arn: name, Name: name}})
		}
		var text bytes.Buffer
		err = result.readSummaries(&text, func(arn string) (model.RunSummary, error) {
			if arn == "two" && broken != nil {
				return model.RunSummary{}, fmt.Errorf("describe: %w", broken)
			}
			return model.RunSummary{Input: model.Input{Text: arn}}, nil
		})
		for _, run := range result.Runs {
			if run.Summary != nil {
				summaries = append(summaries, run.Summary.Input.Text)
			}
		}
		return summaries, text.String(), err
	}
	if got, _, err := summaries(nil); !slices.Equal(got, []string{"one", "two", "three"}) || err != nil {
		t.Errorf("summaries of %v, %v, want all", got, err)
	}
	got, stderr, err := summaries(&types.ExecutionDoesNotExist{})
	if !slices.Equal(got, []string{"one", "three"}) || err != errFailed || !strings.Contains(stderr, "carnation: runs: run two was deleted meanwhile: its input and outcome are missing\n") {
		t.Errorf("a run is gone: summaries of %v, %v after %s", got, err, stderr)
	}
	got, _, err = summaries(context.DeadlineExceeded)
	if !slices.Equal(got, []string{"one"}) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the input and the outcome of 2 of 3 runs are missing") {
		t.Errorf("the time ends: summaries of %v, %v", got, err)
	}
}
