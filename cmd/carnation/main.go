// Command carnation operates Carnation stacks on AWS, and runs a local AWS to try them on a laptop.
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
)

const usage = `carnation operates Carnation stacks, on AWS or on a laptop.

Usage:
  carnation local   [flags]   run a local AWS in the foreground
  carnation run     [flags]   start an execution of a deployed stack and follow it
  carnation status  [flags]   show the table, the queues and the last executions
  carnation runs    COMMAND   list runs, show one, stop it, or continue it if it stopped midway
  carnation report  EXECUTION write what is known about a run to one HTML file, which opens offline
  carnation console [flags]   serve a web page that shows a stack, live
  carnation dlq     COMMAND   list, show, redrive, drop or export dead letters: the events that failed for good
  carnation verify  [flags]   try everything that a devl or test stack does, and print what held
  carnation cost    [flags]   estimate what a run costs on AWS
  carnation version [flags]   show the version, the commit and the Go version of this command
  carnation COMMAND -h        show the flags of a command

run, status, runs, report, console, dlq and verify use the usual AWS configuration: profile, region and AWS_ENDPOINT_URL.

Exit codes:
  0  success; for run: every event is in the table; for verify: all that was checked held
  1  for run: some events failed; for runs: refused, or some events failed; for dlq: nothing matched, or something was left; for verify: something did not hold
  2  any other error
`

// errFailed ends the program with code 1. The command has already reported the failure.
var errFailed = errors.New("failed")

// An action is what a command does once its flags are parsed.
type action func(ctx context.Context, stdout, stderr io.Writer) error

type command struct {
	name     string
	examples string
	// argument is what the command works on, such as EXECUTION, if anything, and argumentIs says what it must be. The action finds it as
	// the only argument of its flags.
	argument, argumentIs string
	// setup defines the flags of the command.
	setup func(flags *flag.FlagSet) action
	// A command with subcommands has a usage instead of examples and flags.
	usage       string
	subcommands []command
}

var commands = []command{
	{name: "local", examples: localExamples, setup: setupLocal},
	{name: "run", examples: runExamples, setup: setupRun},
	{name: "status", examples: statusExamples, setup: setupStatus},
	{name: "runs", usage: runsUsage, subcommands: runsCommands},
	{name: "report", examples: reportExamples, argument: "EXECUTION", argumentIs: reportExecutionIs, setup: setupReport},
	{name: "console", examples: consoleExamples, setup: setupConsole},
	{name: "dlq", usage: dlqUsage, subcommands: dlqCommands},
	{name: "verify", examples: verifyExamples, setup: setupVerify},
	{name: "cost", examples: costExamples, setup: setupCost},
	{name: "version", examples: versionExamples, setup: setupVersion},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
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

// endSignals are the signals that end a command in an orderly way. If the terminal is closed, it sends SIGHUP. Under nohup, this
// signal is ignored, and must stay so.
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return choose(ctx, "", usage, commands, args, stdout, stderr)
}

// choose runs the command that the first argument names. of is the command that these are the subcommands of, or empty.
func choose(ctx context.Context, of, usage string, commands []command, args []string, stdout, stderr io.Writer) error {
	what, prefix := "command", ""
	if of != "" {
		what, prefix = "subcommand", of+": "
	}
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return fmt.Errorf("%s%s is missing: must be %s", prefix, what, namesOf(commands))
	}
	if args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		_, err := fmt.Fprint(stdout, usage)
		return err
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		if c.subcommands != nil {
			return choose(ctx, c.name, c.usage, c.subcommands, args[1:], stdout, stderr)
		}
		if of != "" {
			c.name = of + " " + c.name
		}
		return c.run(ctx, args[1:], stdout, stderr)
	}
	return fmt.Errorf("%s%s is %q: must be %s", prefix, what, args[0], namesOf(commands))
}

func (c command) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	act := c.setup(flags)
	err := c.parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		return c.help(flags, stdout)
	}
	if err != nil {
		return fmt.Errorf("%s: %w; see: carnation %s -h", c.name, err, c.name)
	}
	if err := act(ctx, stdout, stderr); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// parse reads flags and the argument, in any order. Package flag itself stops at the first argument.
func (c command) parse(flags *flag.FlagSet, args []string) error {
	var arguments []string
	for {
		if err := flags.Parse(args); err != nil {
			return err
		}
		rest := flags.Args()
		if len(rest) == 0 {
			break
		}
		arguments, args = append(arguments, rest[0]), rest[1:]
	}
	switch {
	case c.argument == "" && len(arguments) > 0:
		return fmt.Errorf("unexpected argument %q: only flags are allowed", arguments[0])
	case c.argument != "" && (len(arguments) == 0 || arguments[0] == ""):
		return fmt.Errorf("%s is missing: must be %s", c.argument, c.argumentIs)
	case len(arguments) > 1:
		return fmt.Errorf("unexpected argument %q: must be one %s", arguments[1], c.argument)
	}
	return flags.Parse(append([]string{"--"}, arguments...))
}

func (c command) help(flags *flag.FlagSet, stdout io.Writer) error {
	usage := "Usage: carnation " + c.name
	if c.argument != "" {
		usage += " " + c.argument
	}
	fmt.Fprintf(stdout, "%s [flags]\n\n", usage)
	if c.argument != "" {
		fmt.Fprintf(stdout, "%s is %s.\n\n", c.argument, c.argumentIs)
	}
	fmt.Fprintln(stdout, "Flags:")
	flags.SetOutput(stdout)
	flags.PrintDefaults()
	_, err := fmt.Fprintf(stdout, "\nExamples:\n%s", c.examples)
	return err
}

func namesOf(commands []command) string {
	names := make([]string, len(commands))
	for i, c := range commands {
		names[i] = c.name
	}
	return oneOfThese(names)
}

// oneOfThese is "a, b or c".
func oneOfThese(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}
