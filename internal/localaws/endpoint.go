// Package localaws is AWS on a laptop: an HTTP endpoint on the loopback interface that runs Lambda functions itself and
// passes all other calls to the moto server, a child process.
package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"carnation/internal/localaws/moto"
)

// Region is the region in the environment of clients; the endpoint serves all regions. In older regions, the AWS CLI 1
// has addresses of its own for SQS and uses them whatever AWS_ENDPOINT_URL says. It has none for this region.
const Region = "eu-central-2"

// EngineKeyID is the access key ID with which the Step Functions engine signs its calls.
const EngineKeyID = "states"

// Options of an Endpoint. The zero value serves on a free port.
type Options struct {
	Port   int        // 0: a free one
	Python string     // the interpreter that has moto, python3 if empty
	Stderr io.Writer  // warnings of the endpoint and of moto, os.Stderr if nil
	Faults Faults     // calls that fail from the start; SetFaults changes them
	OnCall func(Call) // called for every call once it is answered, from many goroutines; may be nil
	// QueueNameDelay is how long the name of a deleted queue is refused: 60 seconds on AWS, and here not at all unless it is set.
	QueueNameDelay time.Duration
	// Preloaded starts the moto server, in a tenth of the time, and must be closed after the endpoint. If nil, Python runs it.
	Preloaded *Preloaded
}

// Endpoint is a running local AWS.
type Endpoint struct {
	URL string

	options  Options
	dir      string
	moto     *moto.Server
	proxy    *httputil.ReverseProxy
	server   *http.Server
	lambda   *lambdaService
	faults   faultInjector
	serveErr chan error
	// tableTurns limits how many calls of DynamoDB moto gets at once. moto does one at a time, and the hundreds of connections
	// of a Distributed Map, each with a thread, only slow it down.
	tableTurns chan struct{}
}

// Start starts a local AWS and waits until it serves. Close it to leave nothing behind.
func Start(ctx context.Context, options Options) (_ *Endpoint, err error) {
	if options.Python == "" {
		options.Python = "python3"
	}
	if options.Stderr == nil {
		options.Stderr = os.Stderr
	}
	e := &Endpoint{options: options, serveErr: make(chan error, 1), tableTurns: make(chan struct{}, 8), faults: faultInjector{counts: map[string]int{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.dir, err = os.MkdirTemp("", "carnation-local-"); err != nil {
		return nil, fmt.Errorf("make a work folder: %w", err)
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", options.Port))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	e.URL = "http://" + listener.Addr().String()
	e.server = &http.Server{Handler: http.HandlerFunc(e.serve), ReadHeaderTimeout: 10 * time.Second}
	defer func() {
		if err != nil {
			err = errors.Join(err, listener.Close())
		}
	}()
	settings := []string{"CARNATION_ENGINE_ACCESS_KEY_ID=" + EngineKeyID,
		fmt.Sprintf("CARNATION_QUEUE_NAME_DELAY=%g", options.QueueNameDelay.Seconds()),
		fmt.Sprintf("MOTO_PORT=%d", listener.Addr().(*net.TCPAddr).Port)} // where moto's URLs point, and its Step Functions engine calls
	if options.Preloaded != nil {
		e.moto, err = options.Preloaded.Start(ctx, settings, options.Stderr)
	} else {
		e.moto, err = moto.Start(ctx, options.Python, filepath.Join(e.dir, "moto"), motoEnvironment(settings...), options.Stderr)
	}
	if err != nil {
		return nil, err
	}
	backend := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", e.moto.Port)}
	codes := newCodeStore(e.dir)
	if options.Preloaded != nil {
		codes = options.Preloaded.codes
	}
	if e.lambda, err = newLambdaService(backend.String(), e.URL, e.dir, codes, options.Stderr); err != nil {
		return nil, err
	}
	e.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host // S3 reads the bucket from it, SQS makes queue URLs of it
		},
		Transport:    &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		ErrorHandler: e.backendGone,
		BufferPool:   buffers{},
	}
	if err := e.SetFaults(options.Faults); err != nil {
		return nil, err
	}
	go func() { e.serveErr <- e.server.Serve(listener) }()
	return e, nil
}

// Preloaded is a process from which many local AWSs start, and the code of functions, which they share.
type Preloaded struct {
	*moto.Preloaded
	codes *codeStore
	dir   string
}

// Preload starts to load what local AWSs need. Close it after them.
func Preload(python string) (*Preloaded, error) {
	dir, err := os.MkdirTemp("", "carnation-local-")
	if err != nil {
		return nil, fmt.Errorf("make a work folder: %w", err)
	}
	loaded, err := moto.Preload(python, filepath.Join(dir, "moto"), motoEnvironment(), os.Stderr)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Preloaded{Preloaded: loaded, codes: newCodeStore(dir), dir: dir}, nil
}

// Close ends the process, and removes its files.
func (p *Preloaded) Close() error {
	return errors.Join(p.Preloaded.Close(), os.RemoveAll(p.dir))
}

// buffers lends the proxy the buffers that it copies answers with. Without them it makes one of 32 KiB for each answer.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[32 << 10]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[32 << 10]byte)(b)) }

// Wait returns nil when the context ends, or an error if the endpoint dies first.
func (e *Endpoint) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-e.moto.Exited:
		return errors.New("the moto server ended")
	case err := <-e.serveErr:
		return fmt.Errorf("serve: %w", err)
	}
}

// Close ends the endpoint and all its processes, and removes its files.
func (e *Endpoint) Close() error {
	var errs []error
	if e.server != nil {
		errs = append(errs, e.server.Close())
	}
	if e.lambda != nil {
		errs = append(errs, e.lambda.close())
	}
	if e.moto != nil {
		e.moto.Stop()
	}
	if e.dir != "" {
		errs = append(errs, os.RemoveAll(e.dir))
	}
	return errors.Join(errs...)
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	call, err := identify(r)
	if err != nil {
		writeError(w, r, call.Service, awsError{http.StatusBadRequest, "IncompleteBody", err.Error()})
		return
	}
	answer := &statusWriter{ResponseWriter: w}
	rule, other := e.faults.pick(call, r)
	serveFaulty(answer, r, call, rule, other, e.route)
	call.Status, call.Fault, call.Duration = answer.status, rule.Fault, time.Since(start)
	if e.options.OnCall != nil {
		e.options.OnCall(call)
	}
}

// route serves a call as it is.
func (e *Endpoint) route(w http.ResponseWriter, r *http.Request, call Call, invoke invoker) {
	if isInvoke(call) {
		e.lambda.serveInvoke(w, r, call.Region, invoke)
		return
	}
	switch call.Service {
	case "lambda":
		if refuseUnsupported(w, r) {
			return
		}
	case "logs":
		e.lambda.flushLogs(r.Context())
	case "cloudformation":
		if call.Operation == "DeleteStack" { // what was printed so far goes with the stack's log groups, and not into the next ones of these names
			e.lambda.flushLogs(r.Context())
		}
	case "dynamodb":
		e.tableTurns <- struct{}{}
		defer func() { <-e.tableTurns }()
	}
	if changesFunctions(call, r) {
		defer e.lambda.change(r.Context())()
	}
	e.proxy.ServeHTTP(w, r)
}

// SetFaults makes calls fail from now on. The zero value ends that.
func (e *Endpoint) SetFaults(faults Faults) error {
	if err := faults.check(); err != nil {
		return err
	}
	e.faults.set(faults)
	return nil
}

// FaultCounts returns how many faults of each kind there were.
func (e *Endpoint) FaultCounts() map[string]int {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	return maps.Clone(e.faults.counts)
}

// readsOnly matches operations that only look at stacks, with which clients poll.
var readsOnly = regexp.MustCompile(`^(Describe|Detect|Estimate|Get|List|Validate)`)

// changesFunctions tells whether a call can change a deployed function.
func changesFunctions(call Call, r *http.Request) bool {
	switch call.Service {
	case "cloudformation":
		return !readsOnly.MatchString(call.Operation)
	case "lambda":
		return r.Method != http.MethodGet
	}
	return false
}

func (e *Endpoint) backendGone(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		fmt.Fprintf(e.options.Stderr, "carnation local: %s %s: %v\n", r.Method, r.URL.Path, err)
	}
	call, _ := identify(r) // the body may be gone: then it finds the service, which is enough
	gone := errorsOf(call.Service).unavailable
	gone.message = "the moto server does not answer"
	writeError(w, r, call.Service, gone)
}

// statusWriter keeps the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
