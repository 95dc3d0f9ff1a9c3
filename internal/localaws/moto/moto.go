// Package moto runs the moto server, a child process in Python, with what moto lacks filled in. Each folder here fills
// the gaps of one AWS service; each file says what moto does and what AWS does.
package moto

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is the folder that Python runs. It is embedded so that the carnation binary works anywhere.
//
//go:embed *.py awslambda/*.py cloudformation/*.py cloudformation/resource_types/*.py cloudwatch/*.py dynamodb/*.py logs/*.py s3/*.py scheduler/*.py sns/*.py sqs/*.py stepfunctions/*.py
var program embed.FS

const (
	// startLimit is how long moto may take to load: seconds on a quiet machine, minutes on a very busy one.
	startLimit = 3 * time.Minute
	// stopLimit is how long moto may take to end by itself before it is killed.
	stopLimit = 2 * time.Second
)

// Server is a running moto server. It ends when its standard input does, so it cannot outlive this process.
type Server struct {
	Port   int
	Exited <-chan struct{} // closed when the process has ended

	pid   int
	stdin io.Closer
}

// Python returns the interpreter that has moto: $CARNATION_PYTHON, which scripts/python-tools sets, or the one of the virtual
// environment that `make tools` makes in the project's folder, or else python3 on PATH.
func Python(project string) string {
	if python := os.Getenv("CARNATION_PYTHON"); python != "" {
		return python
	}
	if venv, err := filepath.Abs(filepath.Join(project, ".venv", "bin", "python3")); err == nil {
		if _, err := os.Stat(venv); err == nil {
			return venv
		}
	}
	return "python3"
}

// Start writes the program to a folder, runs it, and waits until it serves. After Stop, only the folder is left.
func Start(ctx context.Context, python, dir string, environment []string, stderr io.Writer) (*Server, error) {
	if err := os.CopyFS(dir, program); err != nil {
		return nil, fmt.Errorf("write the moto server: %w", err)
	}
	cmd := command(python, dir, environment)
	log := &startLog{to: stderr}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start moto with %s: %w; run: make tools", python, err)
	}
	s := &Server{pid: cmd.Process.Pid, stdin: stdin}
	if err := s.await(ctx, stdout, log, func() { _ = cmd.Wait() }); err != nil { // stderr says how it ended
		return nil, fmt.Errorf("start moto with %s: %w", python, err)
	}
	return s, nil
}

// command is the program in a folder, run by a Python.
func command(python, dir string, environment []string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(python, append([]string{"-u", dir}, arguments...)...)
	cmd.Dir = dir
	cmd.Env = environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which stops its children itself
	return cmd
}

// await waits until the server serves. Its error is what the process said, and then the process has ended.
func (s *Server) await(ctx context.Context, stdout io.Reader, log *startLog, wait func()) error {
	exited := make(chan struct{})
	s.Exited = exited
	type line struct{ Port, PID int }
	ready := make(chan line, 1)
	go func() {
		var printed line
		_ = json.NewDecoder(bufio.NewReader(stdout)).Decode(&printed) // without a port, it has ended before it served
		ready <- printed
		_, _ = io.Copy(io.Discard, stdout) // it prints nothing else
		wait()
		close(exited)
	}()
	var err error
	select {
	case printed := <-ready:
		if s.Port, s.pid = printed.Port, cmp.Or(printed.PID, s.pid); s.Port == 0 {
			err = errors.New("it ended before it served")
		}
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(startLimit):
		err = fmt.Errorf("it did not serve within %s", startLimit)
	}
	if err != nil {
		s.Stop()
		if said := log.pass(); said != "" {
			return errors.New(said)
		}
		return err
	}
	if _, err := io.WriteString(log.to, log.pass()); err != nil {
		s.Stop()
		return fmt.Errorf("write what it said at its start: %w", err)
	}
	return nil
}

// Stop ends the server and waits for it.
func (s *Server) Stop() {
	_ = s.stdin.Close() // this tells the server to end; closing twice does no harm
	select {
	case <-s.Exited:
	case <-time.After(stopLimit):
		if s.pid == 0 {
			return // of a copy that has not begun
		}
		_ = syscall.Kill(s.pid, syscall.SIGKILL) // it may have ended by now
		<-s.Exited
	}
}

// startLog holds back what a starting process writes, so that it can become part of an error.
type startLog struct {
	mu      sync.Mutex
	to      io.Writer
	held    bytes.Buffer
	passing bool
}

func (l *startLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.passing {
		return l.to.Write(p)
	}
	return l.held.Write(p)
}

// pass returns what was held back. What is written from now on goes through.
func (l *startLog) pass() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing = true
	return strings.TrimSpace(l.held.String())
}
