package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"

	"carnation/internal/console"
	"carnation/internal/localaws"
	"carnation/internal/localaws/moto"
)

const localExamples = `  carnation local
  carnation local --port 4566 --env-file local.env
`

func setupLocal(flags *flag.FlagSet) action {
	port := flags.Int("port", 0, "`port` on the loopback interface, 0 for a free one")
	python := flags.String("python", moto.Python("."), "Python `interpreter` that has moto")
	envFile := flags.String("env-file", "", "also write the environment to this `file`, as soon as the endpoint serves")
	faultsFile := flags.String("faults", "", "JSON `file` that says which calls fail; see docs/reliability.md")
	queueNameDelay := flags.Duration("queue-name-delay", 0, "how `long` the name of a deleted queue is refused; AWS: 60s")
	consolePort := flags.Int("console-port", 0, "`port` of the console's web page, 0 for a free one")
	untilEOF := flags.Bool("until-eof", false, "also stop when standard input ends, so that it cannot outlive a script")
	return func(ctx context.Context, stdout, stderr io.Writer) (err error) {
		// Otherwise a write to a pipe whose reader has gone ends the process at once, and its folder stays.
		brokenPipe := make(chan os.Signal, 1)
		signal.Notify(brokenPipe, syscall.SIGPIPE)
		defer signal.Stop(brokenPipe)
		if *untilEOF {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin) // an error ends it too
				cancel()
			}()
		}
		if *port < 0 || *port > 65535 {
			return fmt.Errorf("--port is %d: must be an integer from 0 to 65535", *port)
		}
		if *consolePort < 0 || *consolePort > 65535 {
			return fmt.Errorf("--console-port is %d: must be an integer from 0 to 65535", *consolePort)
		}
		if *queueNameDelay < 0 {
			return fmt.Errorf("--queue-name-delay is %s: must not be negative", *queueNameDelay)
		}
		var faults localaws.Faults
		if *faultsFile != "" {
			data, err := os.ReadFile(*faultsFile)
			if err == nil {
				faults, err = localaws.ParseFaults(data)
			}
			if err != nil {
				return fmt.Errorf("--faults: %w", err)
			}
		}
		if *envFile != "" {
			defer os.Remove(*envFile) // last: when the file is gone, everything is
		}
		endpoint, err := localaws.Start(ctx, localaws.Options{Port: *port, Python: *python, Stderr: stderr, Faults: faults, QueueNameDelay: *queueNameDelay})
		if err != nil {
			return err
		}
		defer func() {
			if closeErr := endpoint.Close(); err == nil {
				err = closeErr
			}
		}()
		page, err := console.Start(ctx, console.Options{
			Configuration: func(context.Context) (aws.Config, error) { return endpoint.Config(), nil }, Port: *consolePort, Folder: ".",
		})
		if err != nil {
			return err
		}
		defer page.Close()
		exports := exports(endpoint, *python)
		if *envFile != "" {
			if err := writeWhole(*envFile, exports); err != nil {
				return fmt.Errorf("--env-file: %w", err)
			}
		}
		fmt.Fprintf(stdout, "AWS is at %s until Ctrl-C. In another terminal:\n\n%s\nThe console is at %s\n", endpoint.URL, exports, page.URL)
		err = endpoint.Wait(ctx)
		fmt.Fprintln(stderr, "carnation local: stopping")
		return err
	}
}

// exports returns shell commands that set the environment.
func exports(endpoint *localaws.Endpoint, python string) string {
	lines := endpoint.Exports()
	if dir := filepath.Dir(python); strings.HasSuffix(dir, filepath.Join(".venv", "bin")) { // it may be the only folder that has aws
		lines += `export PATH="$PATH:` + dir + "\"\n"
	}
	return lines
}

// writeWhole writes a file so that nobody ever sees a part of it.
func writeWhole(path, content string) error {
	part := path + ".part"
	if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
