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

func setupStatus(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer) error {
	name := stackFlag(flags)
	executions := flags.Int("executions", 5, "how `many` of the last executions to list")
	timeout := flags.Duration("timeout", 5*time.Minute, "longest time to take: counting the rows scans the table")
	output := outputFlag(flags)
	return func(ctx context.Context, stdout, _ io.Writer) error {
		if *executions < 1 || *executions > 1000 {
			return fmt.Errorf("status: --executions is %d: allowed is an integer from 1 to 1000", *executions)
		}
		if err := checkTimeout(*timeout); err != nil {
			return fmt.Errorf("status: %w", err)
		}
		ctx, cancel := context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("--timeout of %s is over", *timeout))
		defer cancel()
		s, err := operate.Open(ctx, *name)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		status, err := s.Status(ctx, *executions)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if output.value == "json" {
			return printJSON(stdout, status)
		}
		fmt.Fprintf(stdout, "stack              %s\ntable              %d rows\nretry queue        %d waiting, %d in flight\ndead-letter queue  %d\n",
			status.Stack, status.Table, status.Retry, status.InFlight, status.DeadLetter)
		for _, e := range status.Executions {
			took := "running"
			if e.Shards != nil {
				took = fmt.Sprintf("%d of %d shards done", e.Shards.Done, e.Shards.Total)
			}
			if e.Stopped != nil {
				took = fmt.Sprintf("%.1f s", e.Stopped.Sub(e.Started).Seconds())
			}
			fmt.Fprintf(stdout, "%s  %-9s  %8s  %s\n", e.Started.Local().Format(time.DateTime), e.Status, took, e.Name)
		}
		return nil
	}
}
