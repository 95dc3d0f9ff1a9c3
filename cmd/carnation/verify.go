package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"carnation/internal/operate"
	"carnation/internal/verify"
)

const verifyExamples = `  carnation verify
  carnation verify --stack-name carnation-test --output json
  carnation verify --checks insert,alarm
`

// checkList is a flag for names of checks, with commas between them.
type checkList []string

func (l *checkList) String() string { return strings.Join(*l, ",") }

func (l *checkList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		one := oneOf{allowed: verify.Names()}
		if err := one.Set(name); err != nil {
			return err
		}
		*l = append(*l, name)
	}
	return nil
}

func setupVerify(flags *flag.FlagSet) action {
	var names checkList
	name := stackFlag(flags)
	flags.Var(&names, "checks", "only these `checks`, with commas between them: "+strings.Join(verify.Names(), ", "))
	timeout := flags.Duration("timeout", 20*time.Minute, "maximum time for all checks; after that, what they made is still deleted")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *name)
		if err != nil {
			return err
		}
		progress := newProgress(stderr)
		report, err := verify.Run(ctx, stack, names, func(line string) { progress.show(line, true) })
		progress.clear()
		if len(report.Checks) == 0 {
			return err
		}
		info, _ := debug.ReadBuildInfo()
		report.Version = readVersion(info).Version
		if output.value == "json" {
			err = errors.Join(err, printJSON(stdout, report))
		} else {
			err = errors.Join(err, report.Print(stdout))
		}
		if err == nil && !report.AllHeld() {
			err = fmt.Errorf("%w: see the table", errFailed)
		}
		return err
	}
}
