package main

import (
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
)

// FuzzFlags parses command lines: none may panic, and every error has a text.
func FuzzFlags(f *testing.F) {
	f.Add("--start-seq 1 --end-seq 5 --failure-rate 0.5 --until-empty --max-runs 3 --timeout 5m --output json --stack-name s")
	f.Add("--start-seq -1 --end-seq 9999999999999999999 --failure-rate NaN")
	f.Add("--port 70000 --executions x --output yaml -- -h")
	f.Add("--error A --sequence 7,9-12,18446744073709551616 --by error,,age --max -1 --message m --edit --dry-run")
	f.Add("\x00 --= -")
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range slices.Concat(commands, dlqCommands) {
			if c.setup == nil {
				continue // it has subcommands
			}
			flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
			flags.SetOutput(io.Discard)
			c.setup(flags)
			if err := flags.Parse(strings.Fields(line)); err != nil && err.Error() == "" {
				t.Errorf("%s %q: the error has no text", c.name, line)
			}
		}
	})
}
