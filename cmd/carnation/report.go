package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carnation/internal/console"
	"carnation/internal/operate"
	"carnation/internal/operate/model"
)

const reportExamples = `  carnation report orders-2026-11-23 -o run.html
  carnation report orders-2026-11-23 -o run.html --payloads
  carnation report orders-2026-11-23 -o - --stack-name carnation-prod > run.html
`

const reportExecutionIs = executionIs + "; or the ARN of a shard, as carnation runs show prints it"

func setupReport(flags *flag.FlagSet) action {
	stack := stackFlag(flags)
	file := flags.String("o", "", "`file` to write, which replaces one of that name; - is standard output (default carnation-EXECUTION.html)")
	payloads := flags.Bool("payloads", false, "include the payloads of the events, and what went in and out of each state; only you can read the file then")
	timeout := flags.Duration("timeout", 15*time.Minute, "maximum time to read the run")
	return func(ctx context.Context, stdout, stderr io.Writer) error {
		if err := checkTimeout(*timeout); err != nil {
			return err
		}
		ctx, cancel := withTimeout(ctx, *timeout)
		defer cancel()
		s, doc, err := readExecution(ctx, *stack, flags.Arg(0), model.Options{Payloads: *payloads})
		if err != nil {
			return err
		}
		var visits []model.Visit
		if *payloads {
			if visits, err = model.AllVisits(ctx, s, doc.Run.Arn); err != nil {
				return err
			}
		}
		printGaps(stderr, "report", doc)
		var page bytes.Buffer
		if err := console.WriteReport(&page, doc, visits); err != nil {
			return err
		}
		switch *file {
		case "-":
			_, err := stdout.Write(page.Bytes())
			return err
		case "":
			*file = "carnation-" + fileName(doc.Run.Name) + ".html"
		}
		if err := replaceFile(*file, page.Bytes(), *payloads); err != nil {
			return fmt.Errorf("write %s: %w", *file, err)
		}
		_, err = fmt.Fprintf(stdout, "%s: %.1f MB; open %s in a browser\n", *file, float64(page.Len())/1e6, fileURL(*file))
		return err
	}
}

// readExecution opens the stack, and reads one of its runs or shards, which a name or an ARN says.
func readExecution(ctx context.Context, stack, execution string, options model.Options) (*operate.Stack, *model.Document, error) {
	s, err := operate.Open(ctx, stack)
	if err != nil {
		return nil, nil, err
	}
	arn, err := s.RunARN(execution)
	if err != nil {
		return nil, nil, err
	}
	doc, err := model.Read(ctx, s, arn, options)
	return s, doc, err
}

// printGaps says what of a run could not be read.
func printGaps(w io.Writer, command string, doc *model.Document) {
	for _, gap := range doc.Partial {
		fmt.Fprintf(w, "carnation: %s: not read: %s: %s\n", command, oneLine(gap.What), oneLine(gap.Why))
	}
}

// fileName is a text of an execution's name that every file system takes.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, name)
}

// fileURL is the address of a file for a browser.
func fileURL(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

// replaceFile writes a file whole or not at all: beside it first, and then in its place. private says that only its owner may read it. What is
// not a file, such as /dev/stdout, is written as it is.
func replaceFile(path string, content []byte, private bool) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return errors.New("it is a folder: must be a file")
		}
		return os.WriteFile(path, content, 0) // the mode is for new files
	}
	mode := os.FileMode(0o666) // less the umask
	if private {
		mode = 0o600
	}
	beside := fmt.Sprintf("%s.%d.part", path, os.Getpid())
	file, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(beside))
		}
	}()
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
