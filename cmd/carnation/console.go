package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"carnation/internal/console"
	"carnation/internal/operate"
)

const consoleExamples = `  carnation console
  carnation console --stack-name carnation-prod --port 8080
  carnation console --allow-changes
`

func setupConsole(flags *flag.FlagSet) action {
	name := flags.String("stack-name", "", "`name` of the stack that the page shows first; by default the only one")
	port := flags.Int("port", 0, "`port` on the loopback interface, 0 for a free one")
	allowChanges := flags.Bool("allow-changes", false, "let the page start, stop and redrive runs and change dead letters; not needed for a local AWS on this machine")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if *port < 0 || *port > 65535 {
			return fmt.Errorf("--port is %d: must be an integer from 0 to 65535", *port)
		}
		page, err := console.Start(ctx, console.Options{
			Configuration: operate.Configuration, StackName: *name, Port: *port, AllowChanges: *allowChanges, Folder: ".",
		})
		if err != nil {
			return err
		}
		what := "It can change the stacks."
		if page.ReadOnly() {
			what = "It only reads; --allow-changes lets it change the stacks."
		}
		fmt.Fprintf(stdout, "The console is at %s until Ctrl-C. %s\n", page.URL, what)
		err = page.Wait(ctx)
		fmt.Fprintln(stderr, "carnation console: stopping")
		if closeErr := page.Close(); err == nil {
			err = closeErr
		}
		return err
	}
}
