// Package runtimeapi runs functions as Lambda does: each copy of a function is a process that asks the Lambda Runtime
// API for invocations and answers them.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
package runtimeapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// MaxPayload is how many bytes Lambda takes and answers in a synchronous invocation.
const MaxPayload = 6 << 20

// Host serves the Runtime API. All processes share one address; the first part of the path says which one calls.
type Host struct {
	address string
	server  *http.Server

	mu        sync.Mutex
	processes map[string]*Process
	running   sync.WaitGroup
	closed    bool
}

// NewHost starts to serve on a free port of the loopback interface. Close stops the host and kills its processes.
func NewHost() (*Host, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the Lambda Runtime API: %w", err)
	}
	h := &Host{address: listener.Addr().String(), processes: map[string]*Process{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{process}/2018-06-01/runtime/invocation/next", h.serveNext)
	mux.HandleFunc("POST /{process}/2018-06-01/runtime/invocation/{id}/response", h.serveResponse)
	mux.HandleFunc("POST /{process}/2018-06-01/runtime/invocation/{id}/error", h.serveError)
	mux.HandleFunc("POST /{process}/2018-06-01/runtime/init/error", h.serveInitError)
	h.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = h.server.Serve(listener) }() // ends with Close
	return h, nil
}

// Close kills all processes, waits for them, and stops serving.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	for _, p := range h.processes {
		p.Kill()
	}
	h.mu.Unlock()
	err := h.server.Close()
	h.running.Wait()
	return err
}

// process returns the process that makes a request, or nil.
func (h *Host) process(r *http.Request) *Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.processes[r.PathValue("process")]
}

func (h *Host) serveNext(w http.ResponseWriter, r *http.Request) {
	p := h.process(r)
	if p == nil {
		http.NotFound(w, r)
		return
	}
	p.askedOnce.Do(func() { close(p.ready) })
	select {
	case <-r.Context().Done():
	case job := <-p.next:
		header := w.Header()
		header.Set("Lambda-Runtime-Aws-Request-Id", job.RequestID)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(job.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn", job.FunctionARN)
		if job.TraceID != "" {
			header.Set("Lambda-Runtime-Trace-Id", job.TraceID)
		}
		if job.ClientContext != "" {
			header.Set("Lambda-Runtime-Client-Context", job.ClientContext)
		}
		_, _ = w.Write(job.Payload) // if the process is gone, its exit says so
	}
}

func (h *Host) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		h.finish(r, answer{err: &Error{Reported: errorJSON("Function.ResponseSizeTooLarge",
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload))}})
		return
	}
	w.WriteHeader(http.StatusAccepted)
	h.finish(r, answer{payload: body})
}

func (h *Host) serveError(w http.ResponseWriter, r *http.Request) {
	h.finish(r, answer{err: reportedError(w, r)})
}

func (h *Host) serveInitError(w http.ResponseWriter, r *http.Request) {
	reported := reportedError(w, r)
	if p := h.process(r); p != nil {
		select {
		case p.initFailed <- reported:
		default: // it has reported one already
		}
	}
}

// reportedError reads and acknowledges the error that a function reports.
func reportedError(w http.ResponseWriter, r *http.Request) *Error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	w.WriteHeader(http.StatusAccepted)
	if err != nil {
		body = errorJSON("Runtime.UnreadableError", err.Error())
	}
	return &Error{Reported: body}
}

// finish hands an answer to the invocation that waits for it. An invocation that has timed out no longer waits.
func (h *Host) finish(r *http.Request, a answer) {
	p := h.process(r)
	if p == nil {
		return
	}
	p.mu.Lock()
	job := p.current
	p.current = nil
	p.mu.Unlock()
	if job != nil && job.RequestID == r.PathValue("id") {
		job.answer <- a
	}
}
