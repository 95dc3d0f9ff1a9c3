package localaws

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"carnation/internal/localaws/runtimeapi"
)

// lambdaService invokes deployed functions as Lambda does: invocations that overlap run in processes of their own, which
// are kept warm, within the function's timeout, memory and reserved concurrency.
type lambdaService struct {
	api      *lambda.Client // moto's, which keeps the functions
	host     *runtimeapi.Host
	logs     *logBook
	codes    *codeStore
	dir      string // of output and temporary files
	endpoint string // where functions call AWS

	mu        sync.Mutex
	known     map[string]*function // by region and the name they were asked for, while nothing is changing
	changing  int                  // calls that may change functions
	deployed  map[string]*function // by ARN and version, as last seen
	invoking  map[string]int       // by ARN: all versions together
	instances map[*instance]bool   // that run
	running   sync.WaitGroup       // of instances, and of what starts them
	closed    bool
}

// invoker gives an invocation to a process and returns its answer. Faults wrap it.
type invoker func(*runtimeapi.Process, runtimeapi.Invocation) ([]byte, error)

func newLambdaService(backend, endpoint, dir string, codes *codeStore, stderr io.Writer) (*lambdaService, error) {
	keys := credentials.NewStaticCredentialsProvider("lambda", "local", "")
	host, err := runtimeapi.NewHost()
	if err != nil {
		return nil, err
	}
	return &lambdaService{
		api:       lambda.New(lambda.Options{BaseEndpoint: aws.String(backend), Region: Region, Credentials: keys}),
		host:      host,
		codes:     codes,
		dir:       dir,
		endpoint:  endpoint,
		known:     map[string]*function{},
		deployed:  map[string]*function{},
		invoking:  map[string]int{},
		instances: map[*instance]bool{},
		logs: &logBook{
			api:     cloudwatchlogs.New(cloudwatchlogs.Options{BaseEndpoint: aws.String(backend), Region: Region, Credentials: keys}),
			stderr:  stderr,
			streams: map[logStream]*logLines{},
		},
	}, nil
}

// close ends all processes of functions.
func (s *lambdaService) close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.host.Close()
	s.running.Wait()
	return err
}

// change has every invocation look its function up, until the returned function is called, which ends the copies of what has been
// replaced. A stack can take long to update, and its functions change in the middle.
func (s *lambdaService) change(ctx context.Context) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing++
	clear(s.known)
	return func() {
		s.mu.Lock()
		s.changing--
		clear(s.known)
		s.mu.Unlock()
		s.retireReplaced(ctx)
	}
}

// serveInvoke answers the Invoke operation.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (s *lambdaService) serveInvoke(w http.ResponseWriter, r *http.Request, region string, invoke invoker) {
	request := runtimeapi.Invocation{RequestID: uuid.NewString()}
	w.Header().Set("X-Amzn-Requestid", request.RequestID)
	if region == "" { // not signed
		region = Region
	}
	asked, err := url.PathUnescape(invocation.FindStringSubmatch(r.URL.EscapedPath())[1])
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "InvalidParameterValueException", err.Error())
		return
	}
	name, qualifier := functionName(asked)
	if given := r.URL.Query().Get("Qualifier"); given != "" && qualifier != "" && given != qualifier {
		refuse(w, r, http.StatusBadRequest, "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier.")
		return
	} else if given != "" {
		qualifier = given
	}
	request.Payload, err = io.ReadAll(http.MaxBytesReader(w, r.Body, runtimeapi.MaxPayload))
	if err != nil {
		refuse(w, r, http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("the payload is over %d bytes", runtimeapi.MaxPayload))
		return
	}
	if len(request.Payload) == 0 {
		request.Payload = []byte("{}")
	}
	if !json.Valid(request.Payload) {
		refuse(w, r, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	clientContext, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context"))
	if err != nil || len(clientContext) > 0 && !json.Valid(clientContext) {
		refuse(w, r, http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		return
	}
	request.ClientContext = string(clientContext)
	fn, err := s.find(r.Context(), region, name, qualifier)
	if err != nil {
		if isNotFound(err) {
			refuse(w, r, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+asked)
			return
		}
		refuse(w, r, http.StatusInternalServerError, "ServiceException", err.Error())
		return
	}
	request.FunctionARN, request.Timeout = fn.arn, fn.timeout
	if qualifier != "" { // the function sees the ARN with which it was invoked
		request.FunctionARN += ":" + qualifier
	}
	request.TraceID = traceID(r.Header.Get("X-Amzn-Trace-Id"), fn.traced)
	kind := r.Header.Get("X-Amz-Invocation-Type")
	for name, known := range map[string][]string{
		"X-Amz-Invocation-Type": {"", string(types.InvocationTypeRequestResponse), string(types.InvocationTypeEvent), string(types.InvocationTypeDryRun)},
		"X-Amz-Log-Type":        {"", string(types.LogTypeNone), string(types.LogTypeTail)},
		"X-Amz-Tenant-Id":       {""}, "X-Amz-Durable-Execution-Name": {""},
	} {
		if value := r.Header.Get(name); !slices.Contains(known, value) {
			refuse(w, r, http.StatusBadRequest, "InvalidParameterValueException", fmt.Sprintf("Local AWS does not do %s: %s.", name, value))
			return
		}
	}
	if kind == string(types.InvocationTypeDryRun) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !s.admit(fn) {
		refuse(w, r, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
		return
	}
	if kind == string(types.InvocationTypeEvent) {
		go func() {
			defer s.leave(fn)
			s.invoke(fn, request, invoke)
		}()
		w.WriteHeader(http.StatusAccepted)
		return
	}
	defer s.leave(fn)
	result := s.invoke(fn, request, invoke)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", fn.version)
	if result.failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	if r.Header.Get("X-Amz-Log-Type") == string(types.LogTypeTail) {
		w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.logTail))
	}
	_, _ = w.Write(result.payload) // a caller that is gone misses it, as on AWS
}

// refuse answers a call of Lambda with an error.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	writeError(w, r, "lambda", awsError{status, code, message})
}

// admit counts an invocation in, unless the function's reserved concurrency is used up.
func (s *lambdaService) admit(fn *function) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fn.reserved >= 0 && s.invoking[fn.arn] >= fn.reserved {
		return false
	}
	s.invoking[fn.arn]++
	return true
}

func (s *lambdaService) leave(fn *function) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invoking[fn.arn]--
}

// invocationResult is what an invocation answers.
type invocationResult struct {
	payload []byte
	failed  bool
	logTail []byte
}

// invoke runs one invocation, in a warm copy or a new one. Whatever becomes of it, it answers what Lambda would.
func (s *lambdaService) invoke(fn *function, request runtimeapi.Invocation, invoke invoker) invocationResult {
	begun := time.Now()
	for {
		in, err := s.acquire(fn)
		var payload []byte
		if err == nil {
			in.beginInvocation()
			payload, err = invoke(in.Process, request)
			if errors.Is(err, runtimeapi.ErrIdleExit) {
				continue
			}
		}
		return s.report(fn, in, request.RequestID, begun, payload, err)
	}
}

// acquire returns a copy of a function that is ready for an invocation. With an error comes the copy that failed, if
// there is one.
func (s *lambdaService) acquire(fn *function) (*instance, error) {
	if in := fn.take(); in != nil {
		return in, nil
	}
	defer fn.endStart()
	in, err := s.start(fn)
	if err != nil {
		return nil, &runtimeapi.Error{Type: "Runtime.InvalidEntrypoint", Message: err.Error()}
	}
	return in, in.WaitReady(fn.timeout)
}

// report logs how an invocation ended, keeps the copy warm if it lives, and returns what the caller gets.
func (s *lambdaService) report(fn *function, in *instance, requestID string, begun time.Time, payload []byte, err error) invocationResult {
	result := invocationResult{payload: payload}
	status := "success"
	if err != nil {
		result.failed, status = true, "error"
		var failure *runtimeapi.Error
		if !errors.As(err, &failure) {
			failure = &runtimeapi.Error{Type: "Runtime.Unknown", Message: err.Error()}
		}
		result.payload = failure.Payload(requestID)
	}
	if in == nil {
		return result
	}
	result.logTail = in.readOutput()
	if fn.platformLevel != string(types.SystemLogLevelWarn) { // a report is of the level INFO
		s.logs.add(in.stream, fmt.Sprintf(`{"time":%q,"type":"platform.report","record":{"requestId":%q,"status":%q,"metrics":{"durationMs":%.3f,"memorySizeMB":%d,"maxMemoryUsedMB":%d}}}`,
			time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), requestID, status, float64(time.Since(begun).Microseconds())/1000, fn.memoryMB, in.MaxMemoryMB()))
	}
	fn.give(in)
	return result
}

// flushLogs passes all that functions have printed so far to the Logs API.
func (s *lambdaService) flushLogs(ctx context.Context) {
	s.mu.Lock()
	running := slices.Collect(maps.Keys(s.instances))
	s.mu.Unlock()
	for _, in := range running {
		in.readOutput()
	}
	s.logs.flush(ctx)
}
