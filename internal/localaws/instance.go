package localaws

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"carnation/internal/localaws/runtimeapi"
)

const (
	// logTailSize is how much of its log an invocation can return.
	logTailSize = 4 << 10
	// noBootstrap is Lambda's own wording.
	noBootstrap = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
)

// instance is one running copy of a function, and what it prints.
type instance struct {
	*runtimeapi.Process
	stream logStream
	logs   *logBook
	idle   *time.Timer // kills the copy when it has been idle for too long

	mu     sync.Mutex
	output *outputFile // nil after the process has ended and its output has been read
	tail   []byte      // the end of what it printed in this invocation
}

// start starts a new copy of a function. close waits for a start that has begun, and none begins after it.
func (s *lambdaService) start(fn *function) (*instance, error) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.running.Add(1)
	}
	s.mu.Unlock()
	if closed {
		return nil, errors.New("the local AWS is closed")
	}
	defer s.running.Done()
	bootstrap := filepath.Join(fn.codeDir, "bootstrap")
	if _, err := os.Stat(bootstrap); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New(noBootstrap) //lint:ignore ST1005 Lambda's own wording
	}
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	in := &instance{
		stream: logStream{fn.region, fn.logGroup, time.Now().UTC().Format("2006/01/02/") + "[" + fn.version + "]" + id},
		logs:   s.logs,
	}
	var err error
	if in.output, err = newOutputFile(filepath.Join(s.dir, id+".log")); err != nil {
		return nil, err
	}
	temp := filepath.Join(s.dir, id+"-tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return nil, errors.Join(err, in.output.close())
	}
	in.Process, err = s.host.Start(runtimeapi.Program{
		Path: bootstrap, Dir: fn.codeDir, MemoryMB: fn.memoryMB, Output: in.output.writer,
		Env: fn.processEnvironment(s.endpoint, in.stream.name, temp),
	})
	if err != nil {
		return nil, errors.Join(err, in.output.close(), os.Remove(temp))
	}
	s.mu.Lock()
	s.instances[in] = true
	s.mu.Unlock()
	s.running.Go(func() {
		<-in.Exited()
		in.closeOutput()
		if err := os.RemoveAll(temp); err != nil {
			in.logs.add(in.stream, "temporary files of the function: "+err.Error())
		}
		s.mu.Lock()
		delete(s.instances, in)
		s.mu.Unlock()
	})
	return in, nil
}

// beginInvocation forgets what the copy printed in earlier invocations.
func (in *instance) beginInvocation() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.tail = nil
}

// readOutput logs what the copy has printed since the last call. It returns the end of what the copy printed in this
// invocation.
func (in *instance) readOutput() []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.readLocked()
}

func (in *instance) readLocked() []byte {
	if in.output != nil {
		lines, err := in.output.lines()
		if err != nil {
			lines = append(lines, "output of the function cannot be read: "+err.Error())
		}
		for _, line := range lines {
			in.logs.add(in.stream, line)
			in.tail = append(append(in.tail, line...), '\n')
		}
		in.tail = in.tail[max(0, len(in.tail)-logTailSize):]
	}
	return bytes.Clone(in.tail)
}

// closeOutput logs the last of the output of a copy that has ended.
func (in *instance) closeOutput() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.readLocked()
	in.logs.add(in.stream, string(in.output.rest)) // a last line without a line end
	if err := in.output.close(); err != nil {
		in.logs.add(in.stream, "output of the function: "+err.Error())
	}
	in.output = nil
}

// outputFile is what a process prints. Unlike a pipe, a file has all of it the moment the process answers.
type outputFile struct {
	writer *os.File // for the process, appending
	reader *os.File
	rest   []byte // a line that is not complete yet
}

func newOutputFile(path string) (*outputFile, error) {
	writer, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	reader, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &outputFile{writer: writer, reader: reader}, nil
}

// lines returns the complete lines that were printed since the last call.
func (o *outputFile) lines() ([]string, error) {
	data, err := io.ReadAll(o.reader)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(o.rest)+string(data), "\n")
	o.rest = []byte(lines[len(lines)-1])
	return lines[:len(lines)-1], nil
}

func (o *outputFile) close() error {
	return errors.Join(o.writer.Close(), o.reader.Close(), os.Remove(o.reader.Name()))
}
