package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"carnation/internal/localaws"
)

const localExamples = `  carnation local
  carnation local --port 4566 --env-file local.env
`

func setupLocal(flags *flag.FlagSet) action {
	port := flags.Int("port", 0, "`port` on the loopback interface, 0 for a free one")
	python := flags.String("python", defaultPython(), "Python `interpreter` that has moto")
	envFile := flags.String("env-file", "", "also write the environment to this `file`, once the endpoint serves")
	faultsFile := flags.String("faults", "", "JSON `file` of what is to go wrong; see docs/reliability.md")
	untilEOF := flags.Bool("until-eof", false, "also stop when standard input ends, so as not to outlive a script")
	return func(ctx context.Context, stdout, stderr io.Writer) (err error) {
		if *untilEOF {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(ctx)
			defer cancel()
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it ends this
				cancel()
			}()
		}
		if *port < 0 || *port > 65535 {
			return fmt.Errorf("local: --port is %d: allowed is an integer from 0 to 65535", *port)
		}
		var faults localaws.Faults
		if *faultsFile != "" {
			data, err := os.ReadFile(*faultsFile)
			if err == nil {
				faults, err = localaws.ParseFaults(data)
			}
			if err != nil {
				return fmt.Errorf("local: --faults: %w", err)
			}
		}
		if *envFile != "" {
			defer os.Remove(*envFile) // the last thing: that it is gone tells that all is
		}
		endpoint, err := localaws.Start(ctx, localaws.Options{Port: *port, Python: *python, Stderr: stderr, Faults: faults})
		if err != nil {
			return fmt.Errorf("local: %w", err)
		}
		defer func() {
			if closeErr := endpoint.Close(); err == nil {
				err = closeErr
			}
		}()
		exports := exports(endpoint.Environment(), *python)
		if *envFile != "" {
			if err := writeWhole(*envFile, exports); err != nil {
				return fmt.Errorf("local: --env-file: %w", err)
			}
		}
		fmt.Fprintf(stdout, "AWS is at %s until Ctrl-C. In another terminal:\n\n%s\n", endpoint.URL, exports)
		err = endpoint.Wait(ctx)
		fmt.Fprintln(stderr, "carnation local: stopping")
		return err
	}
}

// exports is the environment as a shell takes it.
func exports(environment []string, python string) string {
	// What would lead a client elsewhere.
	unset := []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_ENDPOINT_URL_") {
			unset = append(unset, name)
		}
	}
	lines := "unset " + strings.Join(unset, " ") + "\n"
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if strings.ContainsAny(value, " \t'\"\\$&;|<>(){}*?!#~`") {
			value = "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		}
		lines += "export " + name + "=" + value + "\n"
	}
	if dir := filepath.Dir(python); strings.HasSuffix(dir, filepath.Join(".venv", "bin")) { // it may be the only place with an aws
		lines += `export PATH="$PATH:` + dir + "\"\n"
	}
	return lines
}

// defaultPython is the virtual environment's where `make tools` had to make one.
func defaultPython() string {
	if python := os.Getenv("CARNATION_PYTHON"); python != "" {
		return python
	}
	venv := filepath.Join(".venv", "bin", "python3")
	if _, err := os.Stat(venv); err == nil {
		if path, err := filepath.Abs(venv); err == nil {
			return path
		}
	}
	return "python3"
}

// writeWhole writes a file that is there either whole or not at all.
func writeWhole(path, content string) error {
	part := path + ".part"
	if err := os.WriteFile(part, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
