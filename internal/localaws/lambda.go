package localaws

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
)

const (
	// maxPayload is what Lambda takes and answers in a synchronous invocation.
	maxPayload = 6 << 20
	// keepWarm is how long a copy of a function waits for its next invocation.
	keepWarm = 5 * time.Minute
)

// lambdaHost runs deployed functions as Lambda does: a process for each invocation that overlaps another, kept warm,
// within the function's timeout, memory and reserved concurrency.
type lambdaHost struct {
	api     *lambda.Client
	runtime *runtimeAPI
	logs    *logBook
	dir     string // of unpacked code

	endpoint string

	mu        sync.Mutex
	known     map[string]*function // by region and the name they were asked for; empty after forget
	deployed  map[string]*function // by ARN, as last seen
	invoking  map[string]int       // by ARN
	instances sync.WaitGroup
}

// function is one deployed state of a Lambda function.
type function struct {
	arn, region      string
	name, role       string
	timeout          time.Duration
	memoryMB         int
	reserved         int // concurrency, -1 for none
	environment      []string
	logGroup         string
	fingerprint      string // of all that is deployed
	codeURL, codeDir string

	mu      sync.Mutex
	idle    []*instance
	retired bool // something newer is deployed
}

// invokeResult is what an invocation answers.
type invokeResult struct {
	payload       []byte
	functionError bool
	logTail       []byte
}

func newLambdaHost(backend, endpoint, dir string, stderr io.Writer) (*lambdaHost, error) {
	keys := credentials.NewStaticCredentialsProvider("lambda", "local", "")
	h := &lambdaHost{
		api:      lambda.New(lambda.Options{BaseEndpoint: aws.String(backend), Region: Region, Credentials: keys}),
		dir:      dir,
		endpoint: endpoint,
		known:    map[string]*function{},
		deployed: map[string]*function{},
		invoking: map[string]int{},
		logs: &logBook{
			api:     cloudwatchlogs.New(cloudwatchlogs.Options{BaseEndpoint: aws.String(backend), Region: Region, Credentials: keys}),
			stderr:  stderr,
			streams: map[logStream]*logLines{},
		},
	}
	var err error
	h.runtime, err = startRuntimeAPI()
	return h, err
}

// close ends all processes of functions.
func (h *lambdaHost) close() error {
	err := h.runtime.close()
	h.instances.Wait()
	return err
}

// forget has every function looked up again at its next invocation.
func (h *lambdaHost) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.known)
}

// serveInvoke answers the Invoke operation. fault is FaultKill, FaultTimeout, FaultGarbage or none.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (h *lambdaHost) serveInvoke(w http.ResponseWriter, r *http.Request, region, fault string) {
	requestID := uuid.NewString()
	w.Header().Set("X-Amzn-Requestid", requestID)
	if region == "" { // not signed
		region = Region
	}
	name, err := url.PathUnescape(invocation.FindStringSubmatch(r.URL.EscapedPath())[1])
	if err != nil {
		writeError(w, http.StatusBadRequest, "InvalidParameterValueException", err.Error())
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		writeError(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("the payload is over %d bytes", maxPayload))
		return
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		writeError(w, http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	// The function gets it decoded.
	clientContext, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context"))
	if err != nil || len(clientContext) > 0 && !json.Valid(clientContext) {
		writeError(w, http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		return
	}
	fn, err := h.find(r.Context(), region, name)
	if err != nil {
		var api smithy.APIError
		if errors.As(err, &api) && api.ErrorCode() == "ResourceNotFoundException" {
			writeError(w, http.StatusNotFound, api.ErrorCode(), "Function not found: "+name)
			return
		}
		writeError(w, http.StatusInternalServerError, "ServiceException", err.Error())
		return
	}
	kind := r.Header.Get("X-Amz-Invocation-Type")
	if kind == string(types.InvocationTypeDryRun) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !h.admit(fn) {
		writeError(w, http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded.")
		return
	}
	if kind == string(types.InvocationTypeEvent) {
		go func() {
			defer h.leave(fn)
			h.invoke(fn, requestID, string(clientContext), payload, fault)
		}()
		w.WriteHeader(http.StatusAccepted)
		return
	}
	defer h.leave(fn)
	result := h.invoke(fn, requestID, string(clientContext), payload, fault)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	if result.functionError {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	if r.Header.Get("X-Amz-Log-Type") == string(types.LogTypeTail) {
		w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(result.logTail))
	}
	_, _ = w.Write(result.payload) // a caller that is gone misses it, as on AWS
}

// writeError answers as the AWS REST and JSON protocols do.
func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Type": "User", "Message": message, "message": message})
}

// admit counts an invocation in, unless the function's reserved concurrency is used up.
func (h *lambdaHost) admit(fn *function) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fn.reserved >= 0 && h.invoking[fn.arn] >= fn.reserved {
		return false
	}
	h.invoking[fn.arn]++
	return true
}

func (h *lambdaHost) leave(fn *function) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invoking[fn.arn]--
}

// find is the function as deployed now.
func (h *lambdaHost) find(ctx context.Context, region, name string) (*function, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if fn := h.known[region+"/"+name]; fn != nil {
		return fn, nil
	}
	out, err := h.api.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(name)}, func(o *lambda.Options) { o.Region = region })
	if err != nil {
		return nil, fmt.Errorf("get function %s: %w", name, err)
	}
	fn, err := h.describe(out, region)
	if err != nil {
		return nil, fmt.Errorf("read function %s: %w", name, err)
	}
	old := h.deployed[fn.arn]
	if old == nil || old.fingerprint != fn.fingerprint {
		if fn.codeDir, err = h.unpack(ctx, fn); err != nil {
			return nil, err
		}
		if old != nil {
			old.retire()
		}
		h.deployed[fn.arn] = fn
	}
	h.known[region+"/"+name] = h.deployed[fn.arn]
	return h.deployed[fn.arn], nil
}

// describe reads what GetFunction answered.
func (h *lambdaHost) describe(out *lambda.GetFunctionOutput, region string) (*function, error) {
	c := out.Configuration
	if c == nil || out.Code == nil {
		return nil, errors.New("the answer has no configuration or no code")
	}
	role := aws.ToString(c.Role)
	fn := &function{
		arn:      aws.ToString(c.FunctionArn),
		region:   region,
		name:     aws.ToString(c.FunctionName),
		role:     role[strings.LastIndex(role, "/")+1:],
		timeout:  time.Duration(aws.ToInt32(c.Timeout)) * time.Second,
		memoryMB: int(aws.ToInt32(c.MemorySize)),
		reserved: -1,
		codeURL:  aws.ToString(out.Code.Location),
	}
	if out.Concurrency != nil && out.Concurrency.ReservedConcurrentExecutions != nil {
		fn.reserved = int(*out.Concurrency.ReservedConcurrentExecutions)
	}
	fn.logGroup = "/aws/lambda/" + fn.name
	format := types.LogFormatText
	if c.LoggingConfig != nil {
		if c.LoggingConfig.LogGroup != nil {
			fn.logGroup = *c.LoggingConfig.LogGroup
		}
		if c.LoggingConfig.LogFormat != "" {
			format = c.LoggingConfig.LogFormat
		}
	}
	// The role's name is the access key id, so that calls can be told apart by who made them.
	fn.environment = append(plainEnvironment(),
		"AWS_ENDPOINT_URL="+h.endpoint,
		"AWS_ACCESS_KEY_ID="+fn.role, "AWS_SECRET_ACCESS_KEY=local", "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"AWS_LAMBDA_FUNCTION_NAME="+fn.name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE="+strconv.Itoa(fn.memoryMB), "AWS_LAMBDA_LOG_FORMAT="+string(format),
		"AWS_LAMBDA_LOG_GROUP_NAME="+fn.logGroup, "AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"_HANDLER="+aws.ToString(c.Handler),
		// A processor for each 1,769 MB is what Lambda gives: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
		// With more, Go's scheduler takes time from the other copies.
		"GOMAXPROCS="+strconv.Itoa(min(runtime.NumCPU(), (fn.memoryMB+1768)/1769)))
	if c.Environment != nil {
		for name, value := range c.Environment.Variables {
			fn.environment = append(fn.environment, name+"="+value)
		}
	}
	slices.Sort(fn.environment)
	print, err := json.Marshal([]any{c, fn.reserved})
	if err != nil {
		return nil, err
	}
	fn.fingerprint = fmt.Sprintf("%x", sha256.Sum256(print))
	return fn, nil
}

// unpack puts the function's code into a folder.
func (h *lambdaHost) unpack(ctx context.Context, fn *function) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fn.codeURL, nil)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("code of %s: %s from %s", fn.name, response.Status, fn.codeURL)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", fmt.Errorf("code of %s: %w", fn.name, err)
	}
	dir, err := os.MkdirTemp(h.dir, fn.name+"-")
	if err != nil {
		return "", err
	}
	for _, file := range archive.File {
		if err := unpackFile(dir, file); err != nil {
			return "", fmt.Errorf("code of %s: %w", fn.name, err)
		}
	}
	return dir, nil
}

func unpackFile(dir string, file *zip.File) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%s leads out of the zip", file.Name)
	}
	path := filepath.Join(dir, file.Name)
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, file.Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// take is a warm copy of the function, or nil.
func (fn *function) take() *instance {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	for len(fn.idle) > 0 {
		in := fn.idle[len(fn.idle)-1]
		fn.idle = fn.idle[:len(fn.idle)-1]
		if in.parked.Stop() && !in.hasExited() {
			return in
		}
	}
	return nil
}

// give keeps a copy warm, unless the function was deployed anew.
func (fn *function) give(in *instance) {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	if fn.retired {
		in.kill()
		return
	}
	in.parked = time.AfterFunc(keepWarm, in.kill)
	fn.idle = append(fn.idle, in)
}

func (fn *function) retire() {
	fn.mu.Lock()
	defer fn.mu.Unlock()
	fn.retired = true
	for _, in := range fn.idle {
		in.kill()
	}
	fn.idle = nil
}
