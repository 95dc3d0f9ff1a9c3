package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

const (
	// initLimit is how long Lambda lets a function initialise.
	initLimit = 10 * time.Second
	// memoryCheck is how often the memory of a working function is looked at.
	memoryCheck = 200 * time.Millisecond
	// tailSize is how much log an invocation can return.
	tailSize = 4 << 10
	// killWithin is how long after it began an invocation is killed on purpose, about as long as one takes.
	killWithin = 20 * time.Millisecond
	// noBootstrap is Lambda's own wording.
	noBootstrap = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
)

// garbage is answers that make no sense.
var garbage = [][]byte{
	nil, []byte(`{`), []byte(`{}`), []byte(`[]`), []byte(`null`), []byte(`"done"`), []byte(`<html>502 Bad Gateway</html>`),
	[]byte(`{"inserted":"1","failed":null}`), []byte(`{"inserted":0,"failed":[]}`), []byte(`{"inserted":0,"failed":[{}]}`),
	[]byte(`{"items":7,"generated":null}`),
}

// runtimeAPI is the Lambda Runtime API, through which functions get invocations and answer them. The copies share one
// address; the first part of the path tells them apart.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	address string
	server  *http.Server

	mu        sync.Mutex
	instances map[string]*instance
	closed    bool
}

// instance is one running copy of a function.
type instance struct {
	cmd     *exec.Cmd
	stream  logStream
	ready   chan struct{} // closed at the first request for an invocation
	once    sync.Once
	next    chan *work
	exited  chan struct{} // closed when the process has ended
	failure chan []byte   // what it said of a failed init
	parked  *time.Timer   // ends it when it was idle for long

	mu      sync.Mutex
	current *work
	output  *outputFile
	tail    []byte // the end of what it printed in this invocation
}

// work is one invocation.
type work struct {
	requestID, arn, clientContext string
	deadline                      time.Time
	payload                       []byte
	answer                        chan invokeResult
}

func startRuntimeAPI() (*runtimeAPI, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the Lambda Runtime API: %w", err)
	}
	a := &runtimeAPI{address: listener.Addr().String(), instances: map[string]*instance{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{instance}/2018-06-01/runtime/invocation/next", a.serveNext)
	mux.HandleFunc("POST /{instance}/2018-06-01/runtime/invocation/{id}/response", a.serveResponse)
	mux.HandleFunc("POST /{instance}/2018-06-01/runtime/invocation/{id}/error", a.serveError)
	mux.HandleFunc("POST /{instance}/2018-06-01/runtime/init/error", a.serveInitError)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.server.Serve(listener) }() // ends with close
	return a, nil
}

func (a *runtimeAPI) close() error {
	a.mu.Lock()
	a.closed = true
	for _, in := range a.instances {
		in.kill()
	}
	a.mu.Unlock()
	return a.server.Close()
}

func (a *runtimeAPI) instance(r *http.Request) *instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.instances[r.PathValue("instance")]
}

func (a *runtimeAPI) serveNext(w http.ResponseWriter, r *http.Request) {
	in := a.instance(r)
	if in == nil {
		http.NotFound(w, r)
		return
	}
	in.once.Do(func() { close(in.ready) })
	select {
	case <-r.Context().Done():
	case job := <-in.next:
		header := w.Header()
		header.Set("Lambda-Runtime-Aws-Request-Id", job.requestID)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(job.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", job.arn)
		if job.clientContext != "" {
			header.Set("Lambda-Runtime-Client-Context", job.clientContext)
		}
		_, _ = w.Write(job.payload) // a copy that is gone shows as its exit
	}
}

func (a *runtimeAPI) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		a.finish(r, invokeResult{functionError: true, payload: errorPayload("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxPayload))})
		return
	}
	w.WriteHeader(http.StatusAccepted)
	a.finish(r, invokeResult{payload: body})
}

// takeError accepts the error that a function reports.
func takeError(w http.ResponseWriter, r *http.Request) []byte {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		body = errorPayload("Runtime.UnreadableError", err.Error())
	}
	w.WriteHeader(http.StatusAccepted)
	return body
}

func (a *runtimeAPI) serveError(w http.ResponseWriter, r *http.Request) {
	body := takeError(w, r)
	a.finish(r, invokeResult{payload: body, functionError: true})
}

func (a *runtimeAPI) serveInitError(w http.ResponseWriter, r *http.Request) {
	body := takeError(w, r)
	if in := a.instance(r); in != nil {
		select {
		case in.failure <- body:
		default: // it said so already
		}
	}
}

// finish hands an answer to the invocation that waits for it. One that waits no more has timed out.
func (a *runtimeAPI) finish(r *http.Request, result invokeResult) {
	in := a.instance(r)
	if in == nil {
		return
	}
	in.mu.Lock()
	job := in.current
	in.current = nil
	in.mu.Unlock()
	if job != nil && job.requestID == r.PathValue("id") {
		job.answer <- result
	}
}

func errorPayload(kind, message string) []byte {
	data, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil { // strings always marshal
		return []byte(`{"errorType":"` + kind + `"}`)
	}
	return data
}

// invoke runs one invocation, in a warm copy or a new one, and answers what Lambda would whatever becomes of it.
func (h *lambdaHost) invoke(fn *function, requestID, clientContext string, payload []byte, fault string) invokeResult {
	start := time.Now()
	job := &work{requestID: requestID, arn: fn.arn, clientContext: clientContext, payload: payload, answer: make(chan invokeResult, 1)}
	fail := func(kind, format string, args ...any) invokeResult {
		message := "RequestId: " + requestID + " Error: " + fmt.Sprintf(format, args...)
		return invokeResult{functionError: true, payload: errorPayload(kind, message)}
	}

	var in *instance
	for {
		if in = fn.take(); in == nil {
			var err error
			if in, err = h.start(fn); err != nil {
				return fail("Runtime.InvalidEntrypoint", "%v", err)
			}
			select {
			case <-in.ready:
			case body := <-in.failure:
				in.kill()
				return invokeResult{functionError: true, payload: body}
			case <-in.exited:
				select {
				case body := <-in.failure:
					return invokeResult{functionError: true, payload: body}
				default:
				}
				return fail("Runtime.ExitError", "%s", in.lastWords())
			case <-time.After(initLimit + fn.timeout):
				in.kill()
				return fail("Sandbox.Timedout", "Task timed out after %.2f seconds", fn.timeout.Seconds())
			}
		}
		job.deadline = time.Now().Add(fn.timeout)
		in.begin(job)
		select {
		case in.next <- job:
		case <-in.exited: // it died idle: that is no fault of this invocation
			continue
		case <-time.After(fn.timeout):
			in.kill()
			return fail("Sandbox.Timedout", "Task timed out after %.2f seconds", fn.timeout.Seconds())
		}
		break
	}

	if fault == FaultKill {
		defer time.AfterFunc(rand.N(killWithin), in.kill).Stop()
	}
	timeout := time.NewTimer(time.Until(job.deadline))
	defer timeout.Stop()
	memory := time.NewTicker(memoryCheck)
	defer memory.Stop()
	maxMB := 0
	var result invokeResult
	for waiting := true; waiting; {
		waiting = false
		select {
		case result = <-job.answer:
			switch fault {
			case FaultKill: // it was faster: killed all the same, with its work done
				result = fail("Runtime.ExitError", "Runtime exited with error: signal: killed")
			case FaultTimeout: // nobody has to wait for it
				result = fail("Sandbox.Timedout", "Task timed out after %.2f seconds", fn.timeout.Seconds())
			case FaultGarbage:
				result.payload = garbage[rand.N(len(garbage))]
			}
			result.logTail = in.readOutput(h.logs)
			if fault == FaultKill || fault == FaultTimeout {
				in.kill()
			} else {
				fn.give(in)
			}
		case <-timeout.C:
			in.kill()
			result = fail("Sandbox.Timedout", "Task timed out after %.2f seconds", fn.timeout.Seconds())
		case <-in.exited:
			select {
			case result = <-job.answer: // it answered and ended
			default:
				result = fail("Runtime.ExitError", "%s", in.lastWords())
			}
		case <-memory.C:
			waiting = true
			if maxMB = max(maxMB, residentMB(in.cmd.Process.Pid)); maxMB > fn.memoryMB {
				in.kill() // its exit says signal: killed, as on AWS
			}
		}
	}
	if result.logTail == nil {
		result.logTail = in.readOutput(h.logs)
	}
	status := "success"
	if result.functionError {
		status = "error"
	}
	h.logs.add(in.stream, fmt.Sprintf(`{"time":%q,"type":"platform.report","record":{"requestId":%q,"status":%q,"metrics":{"durationMs":%.3f,"memorySizeMB":%d,"maxMemoryUsedMB":%d}}}`,
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), requestID, status, float64(time.Since(start).Microseconds())/1000, fn.memoryMB, maxMB))
	return result
}

// start launches a new copy of the function.
func (h *lambdaHost) start(fn *function) (*instance, error) {
	bootstrap := filepath.Join(fn.codeDir, "bootstrap")
	if _, err := os.Stat(bootstrap); errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New(noBootstrap) //lint:ignore ST1005 Lambda's own wording
	}
	id := uuid.NewString()
	in := &instance{
		stream:  logStream{fn.region, fn.logGroup, time.Now().UTC().Format("2006/01/02/") + "[$LATEST]" + strings.ReplaceAll(id, "-", "")},
		cmd:     exec.Command(bootstrap),
		ready:   make(chan struct{}),
		next:    make(chan *work),
		exited:  make(chan struct{}),
		failure: make(chan []byte, 1),
	}
	var err error
	if in.output, err = newOutputFile(filepath.Join(h.dir, id+".log")); err != nil {
		return nil, err
	}
	in.cmd.Dir = fn.codeDir
	// A slice of its own: copies that start at the same time must not share one.
	in.cmd.Env = slices.Concat(fn.environment, []string{
		"AWS_LAMBDA_RUNTIME_API=" + h.runtime.address + "/" + id,
		"AWS_LAMBDA_LOG_STREAM_NAME=" + in.stream.name,
		"LAMBDA_TASK_ROOT=" + fn.codeDir,
	})
	in.cmd.Stdout, in.cmd.Stderr = in.output.writer, in.output.writer
	in.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the endpoint: it stops its children itself

	h.runtime.mu.Lock()
	defer h.runtime.mu.Unlock()
	if h.runtime.closed {
		return nil, errors.Join(errors.New("the endpoint is closing"), in.output.close())
	}
	if err := in.cmd.Start(); err != nil {
		err = errors.Join(err, in.output.close())
		return nil, fmt.Errorf("%w (the function must be built for %s/%s to run here)", err, runtime.GOOS, runtime.GOARCH)
	}
	h.runtime.instances[id] = in
	h.instances.Go(func() {
		_ = in.cmd.Wait() // how it ended is in its ProcessState
		if err := in.closeOutput(h.logs); err != nil {
			h.logs.add(in.stream, "output of the function: "+err.Error())
		}
		h.runtime.mu.Lock()
		delete(h.runtime.instances, id)
		h.runtime.mu.Unlock()
		close(in.exited)
	})
	return in, nil
}

// flushLogs puts all that functions printed so far where the Logs API finds it.
func (h *lambdaHost) flushLogs(ctx context.Context) {
	h.runtime.mu.Lock()
	running := slices.Collect(maps.Values(h.runtime.instances))
	h.runtime.mu.Unlock()
	for _, in := range running {
		in.readOutput(h.logs)
	}
	h.logs.flush(ctx)
}

func (in *instance) begin(job *work) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.current, in.tail = job, nil
}

// readOutput logs what the copy printed since the last call, and returns the end of what it printed in this invocation.
func (in *instance) readOutput(logs *logBook) []byte {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.output == nil { // it has exited, and its output was read
		return bytes.Clone(in.tail)
	}
	lines, err := in.output.lines()
	if err != nil {
		lines = append(lines, "output of the function cannot be read: "+err.Error())
	}
	for _, line := range lines {
		logs.add(in.stream, line)
		in.tail = append(append(in.tail, line...), '\n')
	}
	in.tail = in.tail[max(0, len(in.tail)-tailSize):]
	return bytes.Clone(in.tail)
}

// closeOutput reads the last of the output.
func (in *instance) closeOutput(logs *logBook) error {
	in.readOutput(logs)
	in.mu.Lock()
	defer in.mu.Unlock()
	logs.add(in.stream, string(in.output.rest)) // a last line without an end
	err := in.output.close()
	in.output = nil
	return err
}

func (in *instance) hasExited() bool {
	select {
	case <-in.exited:
		return true
	default:
		return false
	}
}

// kill ends the copy and all that it started.
func (in *instance) kill() {
	if in.hasExited() { // its process id may be another's by now
		return
	}
	_ = syscall.Kill(-in.cmd.Process.Pid, syscall.SIGKILL)
}

// lastWords says how the process ended.
func (in *instance) lastWords() string {
	if in.cmd.ProcessState.Success() {
		return "Runtime exited without providing a reason"
	}
	return "Runtime exited with error: " + in.cmd.ProcessState.String()
}

// residentMB is the memory that a process holds, in MiB, 0 when it cannot be told.
func residentMB(pid int) int {
	if runtime.GOOS == "linux" {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			return 0
		}
		var size, pages int
		if _, err := fmt.Sscan(string(data), &size, &pages); err != nil {
			return 0
		}
		return pages * os.Getpagesize() >> 20
	}
	data, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return 0
	}
	kib, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return kib >> 10
}
