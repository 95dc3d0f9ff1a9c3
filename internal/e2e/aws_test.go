package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// The tests start hundreds of aws commands, and each would spend a second of processor time on loading its own code. So a few
// processes load the installed aws, and each runs one command after the other: testdata/aws_server.py. On PATH there is instead of aws
// the program of testdata/aws, which passes its arguments, environment and files on to one of them.

// awsSocket is the environment variable that names the socket of the processes.
const awsSocket = "CARNATION_E2E_AWS_SOCKET"

// awsServer is the processes that run the aws commands. Its zero value is that none runs, and aws is the installed one.
type awsServer struct {
	dir     string    // has the program and the socket
	process *exec.Cmd // their parent
	input   io.Closer // of the parent, which ends when it closes, even if the tests are killed
}

// startAWSServer starts the processes, or does nothing if the installed aws is not a Python script: AWS CLI 2 brings its own Python. On
// macOS a process that has used the system's libraries cannot fork safely.
func startAWSServer(installed string) (awsServer, error) {
	python, err := interpreter(installed)
	if err != nil || !strings.Contains(filepath.Base(python), "python") || runtime.GOOS != "linux" {
		return awsServer{}, err
	}
	dir, err := os.MkdirTemp("", "carnation-aws-")
	if err != nil {
		return awsServer{}, err
	}
	s := awsServer{dir: dir}
	process := exec.Command(python, "testdata/aws_server.py", dir+"/socket", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	process.Stderr = os.Stderr
	if s.input, err = process.StdinPipe(); err != nil {
		return s, err
	}
	ready, err := process.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := process.Start(); err != nil {
		return s, err
	}
	s.process = process
	program, err := buildProgram("aws")
	if err != nil {
		return s, err
	}
	if err := os.Symlink(program, dir+"/aws"); err != nil {
		return s, err
	}
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		return s, fmt.Errorf("load aws: %w", err)
	}
	return s, nil
}

// interpreter returns the program that runs a script, or "" if the file is not a script.
func interpreter(script string) (string, error) {
	file, err := os.Open(script)
	if err != nil {
		return "", err
	}
	defer file.Close()
	start, err := bufio.NewReader(file).ReadString('\n')
	if err != nil || !strings.HasPrefix(start, "#!") {
		return "", nil // a binary
	}
	return strings.TrimSpace(start[2:]), nil
}

// environment is what a command needs to use the processes.
func (s awsServer) environment() []string {
	if s.process == nil {
		return nil
	}
	return []string{"PATH=" + s.path(), awsSocket + "=" + s.dir + "/socket"}
}

// path is the PATH on which the aws is that uses the processes.
func (s awsServer) path() string {
	if s.process == nil {
		return os.Getenv("PATH")
	}
	return s.dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

func (s awsServer) stop() error {
	if s.process != nil {
		if err := s.input.Close(); err != nil {
			return err
		}
		_ = s.process.Wait() // it kills its group, and itself
	}
	return os.RemoveAll(s.dir)
}
