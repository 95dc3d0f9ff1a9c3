package localaws

import (
	"bufio"
	"bytes"
	"context"
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

	"carnation/scripts"
)

// motoStart is how long moto may take to load: seconds on a laptop, longer on a busy one.
const motoStart = 60 * time.Second

// moto is the moto server, a child process. It ends when its standard input does, so it cannot outlive this process.
type moto struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
	port   int
}

// startMoto starts the launcher and waits until it serves. endpointPort is where its Step Functions engine calls to.
func startMoto(ctx context.Context, python, dir string, endpointPort int, stderr io.Writer) (*moto, error) {
	if err := os.CopyFS(dir, scripts.MotoServer); err != nil {
		return nil, fmt.Errorf("write the moto launcher: %w", err)
	}
	cmd := exec.Command(python, "-u", filepath.Join(dir, "moto_server"))
	cmd.Dir = dir
	cmd.Env = append(plainEnvironment(),
		fmt.Sprintf("MOTO_PORT=%d", endpointPort), "CARNATION_ENGINE_ACCESS_KEY_ID="+EngineKeyID, "NO_PROXY=*")
	log := &startLog{to: stderr}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process: it stops its children itself
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
	m := &moto{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		var line struct{ Port int }
		if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&line); err != nil {
			ready <- errors.New("it ended before it served")
		} else {
			m.port = line.Port
			ready <- nil
		}
		_, _ = io.Copy(io.Discard, stdout) // nothing more is said there
		_ = cmd.Wait()                     // how it ended shows in what it wrote to stderr
		close(m.exited)
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(motoStart):
		err = fmt.Errorf("it did not serve within %s", motoStart)
	}
	if err != nil {
		m.stop()
		if said := log.pass(); said != "" {
			err = errors.New(said)
		}
		return nil, fmt.Errorf("start moto with %s: %w", python, err)
	}
	_, err = io.WriteString(stderr, log.pass())
	return m, err
}

// startLog holds back what a starting process says, so that it can become part of an error.
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

// pass is what was held back. What is written from now on goes through.
func (l *startLog) pass() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passing = true
	return strings.TrimSpace(l.held.String())
}

// stop ends the server and waits for it.
func (m *moto) stop() {
	_ = m.stdin.Close() // the launcher's word to end; a second close is no matter
	select {
	case <-m.exited:
	case <-time.After(2 * time.Second):
		_ = m.cmd.Process.Kill() // it may have ended by now
		<-m.exited
	}
}

// plainEnvironment is this process's environment without the user's AWS configuration and proxies, which must not
// lead a local child to AWS.
func plainEnvironment() []string {
	env := []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true"}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if upper := strings.ToUpper(name); !strings.HasPrefix(upper, "AWS_") && !strings.HasSuffix(upper, "_PROXY") {
			env = append(env, entry)
		}
	}
	return env
}
