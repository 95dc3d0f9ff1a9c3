// Command carnation runs Carnation: a local AWS to deploy it to, and its executions there or on AWS.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = `carnation runs Carnation stacks, on AWS or on a laptop.

Usage:
  carnation local   [flags]   run a local AWS in the foreground
  carnation run     [flags]   start an execution of a deployed stack and follow it
  carnation status  [flags]   say where the events are
  carnation redrive [flags]   move the messages of the dead-letter queue back to the retry queue
  carnation cost    [flags]   say what a run costs on AWS
  carnation COMMAND -h        show the flags of a command

run, status and redrive use the ordinary AWS configuration: profile, region, AWS_ENDPOINT_URL.

Exit codes:
  0  done; for run: every event is in the table
  1  run: events failed
  2  any other error
`

// errFailed ends the program with code 1 after the failure has been told.
var errFailed = errors.New("events failed")

type command struct {
	name     string
	examples string
	// setup defines flags and returns what runs once they are parsed.
	setup func(flags *flag.FlagSet) func(ctx context.Context, stdout, stderr io.Writer) error
}

var commands = []command{
	{"local", localExamples, setupLocal},
	{"run", runExamples, setupRun},
	{"status", statusExamples, setupStatus},
	{"redrive", redriveExamples, setupRedrive},
	{"cost", costExamples, setupCost},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, errFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "carnation: %v\n", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return errors.New("no command: allowed is local, run, status, redrive or cost")
	}
	if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		_, err := fmt.Fprint(stdout, usage)
		return err
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		action := c.setup(flags)
		err := flags.Parse(args[1:])
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(stdout, "Usage: carnation %s [flags]\n\nFlags:\n", c.name)
			flags.SetOutput(stdout)
			flags.PrintDefaults()
			_, err = fmt.Fprintf(stdout, "\nExamples:\n%s", c.examples)
			return err
		}
		if err == nil && flags.NArg() > 0 {
			err = fmt.Errorf("unexpected argument %q: allowed are flags only", flags.Arg(0))
		}
		if err != nil {
			return fmt.Errorf("%s: %w; see: carnation %s -h", c.name, err, c.name)
		}
		return action(ctx, stdout, stderr)
	}
	return fmt.Errorf("command is %q: allowed is local, run, status, redrive or cost", args[0])
}

// oneOf is a flag with a fixed set of values.
type oneOf struct {
	value   string
	allowed []string
}

func (o *oneOf) String() string { return o.value }

func (o *oneOf) Set(s string) error {
	for _, a := range o.allowed {
		if s == a {
			o.value = s
			return nil
		}
	}
	return fmt.Errorf("allowed is %s", strings.Join(o.allowed, " or "))
}

// outputFlag defines --output.
func outputFlag(flags *flag.FlagSet) *oneOf {
	output := &oneOf{"text", []string{"text", "json"}}
	flags.Var(output, "output", "`format` of the result: text or json")
	return output
}

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return fmt.Errorf("--timeout is %s: allowed is a duration above 0, like 90s or 30m", timeout)
	}
	return nil
}

func stackFlag(flags *flag.FlagSet) *string {
	return flags.String("stack-name", "carnation-devl", "`name` of the deployed stack")
}
