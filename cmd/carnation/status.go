package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"carnation/internal/operate"
)

const statusExamples = `  carnation status
  carnation status --stack-name carnation-prod --output json
`

func setupStatus(flags *flag.FlagSet) action {
	name := stackFlag(flags)
	executions := flags.Int("executions", 5, "`number` of executions to list, from 1 to 1000")
	timeout := flags.Duration("timeout", 5*time.Minute, "maximum time to take; counting the rows scans the table")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, _ io.Writer) error {
		if *executions < 1 || *executions > 1000 {
			return fmt.Errorf("--executions is %d: must be an integer from 1 to 1000", *executions)
		}
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		stack, err := operate.Open(ctx, *name)
		if err != nil {
			return err
		}
		status, err := stack.Status(ctx, *executions)
		if err != nil {
			return err
		}
		if output.value == "json" {
			return printJSON(stdout, status)
		}
		return printStatus(stdout, status)
	}
}

func printStatus(w io.Writer, status operate.Status) error {
	_, err := fmt.Fprintf(w, "stack              %s\ntable              %d rows\nretry queue        %d waiting, %d in flight\ndead-letter queue  %d\n",
		status.Stack, status.Table, status.Retry, status.InFlight, status.DeadLetter)
	if warning := status.Subscriptions.Warning(); warning != "" && err == nil {
		_, err = fmt.Fprintf(w, "alarms             %s\n", warning)
	}
	for _, e := range status.Executions {
		took := "running"
		if e.Shards != nil {
			took = e.Shards.String()
		}
		if e.Stopped != nil {
			took = fmt.Sprintf("%.1f s", e.Stopped.Sub(e.Started).Seconds())
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%s  %-9s  %8s  %s\n", e.Started.Local().Format(time.DateTime), e.Status, took, e.Name)
		}
	}
	return err
}
