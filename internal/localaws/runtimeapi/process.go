package runtimeapi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const (
	// initLimit is how long Lambda lets a function initialize.
	initLimit = 10 * time.Second
	// memoryCheck is how often the host looks at the memory of a working process.
	memoryCheck = 200 * time.Millisecond
	// apiVariable tells a process where the Runtime API is.
	apiVariable = "AWS_LAMBDA_RUNTIME_API"
)

// Program is what a process runs.
type Program struct {
	Path, Dir string
	Env       map[string]string // all of it but AWS_LAMBDA_RUNTIME_API
	MemoryMB  int               // a process that holds more is killed; 0 for no limit
	Output    *os.File          // gets what the process prints; nil for nobody
}

// Process is one running copy of a function. It takes one invocation at a time.
type Process struct {
	cmd        *exec.Cmd
	memoryMB   int
	ready      chan struct{} // closed when the process first asks for an invocation
	askedOnce  sync.Once
	initFailed chan *Error
	next       chan *invocation
	exited     chan struct{}
	killed     atomic.Bool
	maxMB      atomic.Int64

	mu      sync.Mutex
	current *invocation
}

// Invocation is what a function is asked to do.
type Invocation struct {
	RequestID, FunctionARN, ClientContext string
	TraceID                               string // X-Ray's tracing header
	Payload                               []byte
	Timeout                               time.Duration
}

type invocation struct {
	Invocation
	deadline time.Time
	answer   chan answer
}

type answer struct {
	payload []byte
	err     error
}

// Start starts a process. Kill it, or close the host, to end it.
func (h *Host) Start(program Program) (*Process, error) {
	id := uuid.NewString()
	p := &Process{
		cmd:        exec.Command(program.Path),
		memoryMB:   program.MemoryMB,
		ready:      make(chan struct{}),
		initFailed: make(chan *Error, 1),
		next:       make(chan *invocation),
		exited:     make(chan struct{}),
	}
	p.cmd.Dir = program.Dir
	for name, value := range program.Env {
		if name != apiVariable { // the one below
			p.cmd.Env = append(p.cmd.Env, name+"="+value)
		}
	}
	p.cmd.Env = append(p.cmd.Env, apiVariable+"="+h.address+"/"+id)
	if program.Output != nil {
		p.cmd.Stdout, p.cmd.Stderr = program.Output, program.Output
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent, which stops its children itself

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errors.New("the host is closed")
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (the function must be built for %s/%s to run here)", err, runtime.GOOS, runtime.GOARCH)
	}
	h.processes[id] = p
	h.running.Go(func() {
		_ = p.cmd.Wait() // its ProcessState says how it ended
		h.mu.Lock()
		delete(h.processes, id)
		h.mu.Unlock()
		close(p.exited)
	})
	return p, nil
}

// WaitReady waits until the process asks for its first invocation. An error is an *Error.
func (p *Process) WaitReady(timeout time.Duration) error {
	select {
	case <-p.ready:
		return nil
	case err := <-p.initFailed:
		p.Kill()
		return err
	case <-p.exited:
		select {
		case err := <-p.initFailed:
			return err
		default:
			return p.exitError()
		}
	case <-time.After(initLimit + timeout):
		p.Kill()
		return TimedOut(timeout)
	}
}

// Invoke gives an invocation to a process that is ready, and waits for its answer. An error is an *Error or ErrIdleExit.
func (p *Process) Invoke(in Invocation) ([]byte, error) {
	job := &invocation{Invocation: in, deadline: time.Now().Add(in.Timeout), answer: make(chan answer, 1)}
	p.mu.Lock()
	p.current = job
	p.mu.Unlock()
	timeout := time.NewTimer(in.Timeout)
	defer timeout.Stop()
	select {
	case p.next <- job:
	case <-p.exited:
		return nil, ErrIdleExit
	case <-timeout.C:
		p.Kill()
		return nil, TimedOut(in.Timeout)
	}
	memory := time.NewTicker(memoryCheck)
	defer memory.Stop()
	for {
		select {
		case a := <-job.answer:
			return a.payload, a.err
		case <-timeout.C:
			p.Kill()
			return nil, TimedOut(in.Timeout)
		case <-p.exited:
			select {
			case a := <-job.answer: // it answered and ended
				return a.payload, a.err
			default:
				return nil, p.exitError()
			}
		case <-memory.C:
			p.checkMemory()
		}
	}
}

// checkMemory kills the process if it holds too much memory. Its exit then says "signal: killed", as on AWS.
func (p *Process) checkMemory() {
	held := residentMB(p.Pid())
	p.maxMB.Store(max(p.maxMB.Load(), int64(held)))
	if p.memoryMB > 0 && held > p.memoryMB {
		p.Kill()
	}
}

// Kill ends the process and all that it started.
func (p *Process) Kill() {
	p.killed.Store(true)
	select {
	case <-p.exited: // its process id may belong to another by now
	default:
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	}
}

// Alive tells whether the process can take another invocation.
func (p *Process) Alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return !p.killed.Load()
	}
}

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// State says how the process ended, once Exited is closed.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// MaxMemoryMB is the most memory that the process held in the moments when the host looked.
func (p *Process) MaxMemoryMB() int { return int(p.maxMB.Load()) }

func (p *Process) exitError() *Error {
	if p.cmd.ProcessState.Success() {
		return &Error{Type: "Runtime.ExitError", Message: "Runtime exited without providing a reason"}
	}
	return Exited(p.cmd.ProcessState.String())
}
