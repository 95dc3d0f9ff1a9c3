package localaws

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carnation/internal/localaws/runtimeapi"
)

// Other programs do a part of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestReadsThroughOtherPrograms(t *testing.T) {
	t.Log(os.Getenv("CARNATION_PROGRAMS"))
	if _, err := os.Stat("testdata/function/main.go"); err != nil { // it is built here
		t.Error(err)
	}
}

// backend answers for one function as moto does.
type backend struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	code     []byte
	config   map[string]any
	reserved *int
	looked   int
	logged   string
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch target := r.Header.Get("X-Amz-Target"); {
	case r.URL.Path == "/code":
		_, _ = w.Write(b.code)
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/") && strings.Contains(r.URL.Path, "misbehave"):
		b.looked++
		answer := map[string]any{"Configuration": b.config, "Code": map[string]string{"Location": b.url + "/code"}}
		if b.reserved != nil {
			answer["Concurrency"] = map[string]int{"ReservedConcurrentExecutions": *b.reserved}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	case target != "":
		body, _ := io.ReadAll(r.Body)
		b.logged += string(body)
		_, _ = w.Write([]byte("{}"))
	default:
		refuse(w, r, http.StatusNotFound, "ResourceNotFoundException", "no such function")
	}
}

var buildFunction = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "carnation-function-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// Each test writes the program to a file: it is smaller without symbols.
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", dir+"/bootstrap", "./testdata/function").CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(dir + "/bootstrap")
})

func zipped(t *testing.T, name string, data []byte) []byte {
	t.Helper()
	var archive bytes.Buffer
	writer := zip.NewWriter(&archive)
	header := &zip.FileHeader{Name: name, Method: zip.Store}
	header.SetMode(0o755)
	file, err := writer.CreateHeader(header)
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// misbehaving is a lambdaService with one function, whose Invoke operation is served at url.
type misbehaving struct {
	*lambdaService
	backend *backend
	url     string
	fault   string // of the next invocations
}

func newMisbehaving(t *testing.T) *misbehaving {
	t.Helper()
	binary, err := buildFunction()
	if err != nil {
		t.Fatalf("build the function: %v\n%s", err, binary)
	}
	b := &backend{t: t, code: zipped(t, "bootstrap", binary), config: map[string]any{
		"FunctionName": "misbehave", "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:misbehave",
		"Role": "arn:aws:iam::123456789012:role/misbehave-role", "Timeout": 2, "MemorySize": 256, "Handler": "bootstrap",
		"CodeSha256": "1", "Environment": map[string]any{"Variables": map[string]string{"GREETING": "hello"}},
	}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	h, err := newLambdaService(server.URL, "http://127.0.0.1:1", t.TempDir(), newCodeStore(t.TempDir()), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	served := &misbehaving{lambdaService: h, backend: b}
	invoke := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.serveInvoke(w, r, "eu-west-1", faultyInvoker(served.fault))
	}))
	t.Cleanup(invoke.Close)
	served.url = invoke.URL
	return served
}

// change deploys a changed configuration.
func (h *misbehaving) change(f func(b *backend)) {
	h.backend.mu.Lock()
	f(h.backend)
	h.backend.mu.Unlock()
	h.lambdaService.change(context.Background())()
}

type answer struct {
	status        int
	errorHeader   string // X-Amz-Function-Error
	errorType     string // of the payload, or of the AWS error
	message       string
	payload       map[string]any
	logTail, body string
}

// raw returns the body of an invocation's answer.
func (h *misbehaving) raw(t *testing.T, payload string) string {
	t.Helper()
	response, err := http.Post(h.url+"/2015-03-31/functions/misbehave/invocations", "application/json", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (h *misbehaving) call(t *testing.T, payload string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, h.url+"/2015-03-31/functions/misbehave/invocations", strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, errorHeader: response.Header.Get("X-Amz-Function-Error"), errorType: response.Header.Get("X-Amzn-Errortype"), body: string(body)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a.payload); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	if kind, ok := a.payload["errorType"].(string); ok {
		a.errorType = kind
	}
	a.message, _ = a.payload["errorMessage"].(string)
	if tail, err := base64.StdEncoding.DecodeString(response.Header.Get("X-Amz-Log-Result")); err == nil {
		a.logTail = string(tail)
	}
	return a
}

func TestFunctionGetsItsConfigurationAndStaysWarm(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	first, second := h.call(t, `{}`), h.call(t, `{}`)
	if first.payload["greeting"] != "hello" || first.payload["memory"] != "256" || first.payload["key"] != "misbehave-role" || first.payload["region"] != "eu-west-1" {
		t.Errorf("the function saw %s", first.body)
	}
	if left := first.payload["left"].(float64); left < 1 || left > 2 {
		t.Errorf("the function has %.1f s left, want almost 2", left)
	}
	if first.payload["pid"] != second.payload["pid"] || second.payload["invocations"] != 2.0 {
		t.Errorf("the second invocation was not served by the warm copy: %s", second.body)
	}
	if h.backend.looked != 1 {
		t.Errorf("the function was looked up %d times, want once", h.backend.looked)
	}
}

// seen is the environment that the function found.
func (a answer) seen(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	list, _ := a.payload["environment"].([]any)
	for _, entry := range list {
		name, value, _ := strings.Cut(entry.(string), "=")
		if _, twice := env[name]; twice {
			t.Errorf("the function finds %s twice", name)
		}
		env[name] = value
	}
	return env
}

func TestFunctionSeesNothingOfTheHost(t *testing.T) { // not parallel, because it changes the environment
	h := newMisbehaving(t)
	for name, value := range map[string]string{
		"GREETING": "zzz from the host", "TABLE_NAME": "users", "SECRET": "of the user", "HOME": "/home/user", "TZ": "Asia/Tokyo",
		"LANG": "C", "PATH": os.Getenv("PATH"), "TMPDIR": t.TempDir(), "GODEBUG": "gctrace=1", "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1",
		"AWS_PROFILE": "nobody", "AWS_USE_FIPS_ENDPOINT": "true", "AWS_LAMBDA_FUNCTION_NAME": "other", "_X_AMZN_TRACE_ID": "Root=none",
		"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1", "AWS_LAMBDA_EXEC_WRAPPER": "/bin/false", "LD_PRELOAD": "",
	} {
		t.Setenv(name, value)
	}
	a := h.call(t, `{}`)
	env := a.seen(t)
	for name, want := range map[string]string{
		"GREETING": "hello", "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC", "_HANDLER": "bootstrap",
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "misbehave-role", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "local",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_LAMBDA_FUNCTION_NAME": "misbehave", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_FORMAT": "Text", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/misbehave",
		"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR", "LAMBDA_RUNTIME_DIR": "/var/runtime",
	} {
		if got, ok := env[name]; got != want || !ok {
			t.Errorf("the function finds %s=%q, want %q", name, got, want)
		}
		delete(env, name)
	}
	for _, name := range []string{"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_XRAY_DAEMON_ADDRESS", "GOMAXPROCS", "LAMBDA_TASK_ROOT", "LD_LIBRARY_PATH", "TMPDIR", "_X_AMZN_TRACE_ID"} {
		if value := env[name]; value == "" || value == os.Getenv(name) {
			t.Errorf("the function finds %s=%q", name, value)
		}
		delete(env, name)
	}
	if len(env) > 0 {
		t.Errorf("the function also finds %v", env)
	}
}

func TestFunctionChangesOnlyWhatLambdaLetsItChange(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.change(func(b *backend) {
		b.config["Environment"] = map[string]any{"Variables": map[string]string{
			"TZ": "Europe/Zurich", "PATH": "/opt/mine", "GOMAXPROCS": "1", "AWS_ENDPOINT_URL": "http://127.0.0.1:2", "AWS_REGION": "nowhere", "LAMBDA_TASK_ROOT": "/",
		}}
	})
	env := h.call(t, `{}`).seen(t)
	for name, want := range map[string]string{"TZ": "Europe/Zurich", "PATH": "/opt/mine", "GOMAXPROCS": "1", "AWS_ENDPOINT_URL": "http://127.0.0.1:2", "AWS_REGION": "eu-west-1"} {
		if got := env[name]; got != want {
			t.Errorf("the function finds %s=%q, want %q", name, got, want)
		}
	}
	if env["LAMBDA_TASK_ROOT"] == "/" {
		t.Error("the function changed LAMBDA_TASK_ROOT")
	}
}

func TestCopyOfAFunctionHasTemporaryFilesOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	first := h.call(t, `{}`).seen(t)["TMPDIR"]
	h.call(t, `{"do":"litter"}`)
	if files, err := os.ReadDir(first); err != nil || len(files) != 1 {
		t.Errorf("%s has %v (%v), want the one file of the function", first, files, err)
	}
	h.call(t, `{"do":"exit"}`)
	if second := h.call(t, `{}`).seen(t)["TMPDIR"]; second == first {
		t.Errorf("two copies share %s", first)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(first); errors.Is(err, fs.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the files of a copy that has ended are still in %s", first)
		}
	}
}

func TestFunctionGetsATraceOfEachInvocation(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	trace := func(headers ...string) string { return h.call(t, `{}`, headers...).seen(t)["_X_AMZN_TRACE_ID"] }
	if got := trace(); !regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`).MatchString(got) {
		t.Errorf("the trace of a function that is not traced is %q", got)
	}
	h.change(func(b *backend) { b.config["TracingConfig"] = map[string]string{"Mode": "Active"} })
	first, second := trace(), trace() // in the same copy
	for _, got := range []string{first, second} {
		if !regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=1$`).MatchString(got) {
			t.Errorf("the trace of a traced function is %q", got)
		}
	}
	if first == second {
		t.Errorf("two invocations have the trace %s", first)
	}
	const root = "Root=1-5759e988-bd862e3fe1be46a994272793"
	if got := trace("X-Amzn-Trace-Id", root+";Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a:1"); !strings.HasPrefix(got, root+";") || !strings.HasSuffix(got, ";Sampled=0") {
		t.Errorf("the trace of a caller who has one is %q, want its root and its decision", got)
	}
	if got := trace("X-Amzn-Trace-Id", "Root=nonsense"); !strings.HasPrefix(got, "Root=1-") {
		t.Errorf("the trace after nonsense is %q", got)
	}
}

func TestFunctionThatChangesDuringACallIsLookedUp(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	done := h.lambdaService.change(t.Context())
	for _, greeting := range []string{"one", "two"} {
		h.backend.mu.Lock()
		h.backend.config["Environment"] = map[string]any{"Variables": map[string]string{"GREETING": greeting}}
		h.backend.mu.Unlock()
		if a := h.call(t, `{}`); a.payload["greeting"] != greeting {
			t.Errorf("while a stack is being updated, the function says %v, want %s", a.payload["greeting"], greeting)
		}
	}
	done()
}

func TestLogLevelsAreThoseOfTheFunction(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	if level, ok := h.call(t, `{}`).seen(t)["AWS_LAMBDA_LOG_LEVEL"]; ok {
		t.Errorf("without a level, the function finds %q", level)
	}
	h.flushLogs(t.Context())
	before := strings.Count(h.backend.logged, "platform.report")
	h.change(func(b *backend) {
		b.config["LoggingConfig"] = map[string]string{"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "/aws/lambda/misbehave"}
	})
	if level := h.call(t, `{}`).seen(t)["AWS_LAMBDA_LOG_LEVEL"]; level != "DEBUG" {
		t.Errorf("the function finds the level %q, want DEBUG", level)
	}
	h.flushLogs(t.Context())
	if after := strings.Count(h.backend.logged, "platform.report"); before != 1 || after != 1 {
		t.Errorf("%d reports before and %d after Lambda's level is WARN, want 1", before, after)
	}
}

func TestMotoGetsNothingThatChangesIt(t *testing.T) { // not parallel, because it changes the environment
	for _, name := range []string{
		"AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "MOTO_ALLOW_NONEXISTENT_REGION", "INITIAL_NO_AUTH_ACTION_COUNT", "TEST_SERVER_MODE",
		"VALIDATE_LAMBDA_S3", "S3_UPLOAD_PART_MIN_SIZE", "SF_EXECUTION_HISTORY_TYPE", "https_proxy", "ALL_PROXY",
	} {
		t.Setenv(name, "host")
	}
	t.Setenv("PYTHONPATH", "kept")
	env := motoEnvironment("MOTO_PORT=1")
	for _, entry := range env {
		if strings.HasSuffix(entry, "=host") {
			t.Errorf("moto gets %s", entry)
		}
	}
	for _, want := range []string{"PYTHONPATH=kept", "PATH=" + os.Getenv("PATH"), "AWS_CONFIG_FILE=" + os.DevNull, "NO_PROXY=*", "MOTO_PORT=1"} {
		if !slices.Contains(env, want) {
			t.Errorf("moto does not get %s", want)
		}
	}
}

func TestOverlappingInvocationsRunInCopiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.change(func(b *backend) { b.config["Timeout"] = 120 }) // a busy machine takes long to start them
	const n = 12
	enough := filepath.Join(t.TempDir(), "enough")
	pids := make(chan any, n)
	var group sync.WaitGroup
	for range n {
		group.Go(func() { pids <- h.call(t, `{"do":"nap","until":"`+enough+`"}`).payload["pid"] })
	}
	for running := 0; running < n; {
		time.Sleep(10 * time.Millisecond)
		h.mu.Lock()
		running = len(h.instances)
		h.mu.Unlock()
	}
	if err := os.WriteFile(enough, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	close(pids)
	seen := map[any]bool{}
	for pid := range pids {
		seen[pid] = true
	}
	if len(seen) != n || seen[nil] {
		t.Errorf("%d overlapping invocations ran in %d processes", n, len(seen))
	}
}

// As many copies start at once as there are processors.
func TestInvocationTakesACopyThatBecomesFreeBeforeOneCanStart(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	fn, err := h.find(t.Context(), "eu-west-1", "misbehave", "")
	if err != nil {
		t.Fatal(err)
	}
	free, err := h.acquire(fn)
	if err != nil {
		t.Fatal(err)
	}
	for range runtime.GOMAXPROCS(0) {
		if fn.take() != nil {
			t.Fatal("a copy at work was taken")
		}
	}
	taken, started := make(chan *instance), make(chan *instance)
	go func() { taken <- fn.take() }()
	select {
	case <-taken:
		t.Fatal("more copies start than there are processors")
	case <-time.After(100 * time.Millisecond):
	}
	fn.give(free)
	if in := <-taken; in != free {
		t.Errorf("the invocation took %p, want the copy that became free, %p", in, free)
	}
	go func() { started <- fn.take() }()
	fn.endStart()
	if in := <-started; in != nil {
		t.Errorf("once a start has ended, an invocation took %p, want it to start a copy", in)
	}
}

func TestMisbehaviourIsAnsweredAsLambdaDoes(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	for _, test := range []struct{ do, errorType, message string }{
		{"exit", "Runtime.ExitError", "Runtime exited with error: exit status 1"},
		{"end", "Runtime.ExitError", "Runtime exited without providing a reason"},
		{"panic", "string", "out of ideas"},
		{"fail", "QuotaError", "the quota is used up"},
		{"sleep", "Sandbox.Timedout", "Task timed out after 2.00 seconds"},
	} {
		a := h.call(t, `{"do":"`+test.do+`"}`)
		if a.status != 200 || a.errorHeader != "Unhandled" || a.errorType != test.errorType || !strings.Contains(a.message, test.message) {
			t.Errorf("%s: %+v, want %s: %s", test.do, a, test.errorType, test.message)
		}
		if next := h.call(t, `{}`); next.errorHeader != "" {
			t.Errorf("the invocation after %s failed: %s", test.do, next.body)
		}
	}
}

func TestFunctionOverItsMemoryIsKilled(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.change(func(b *backend) { b.config["Timeout"] = 120 }) // a busy machine takes long to give it memory
	if a := h.call(t, `{"do":"grow"}`); a.errorType != "Runtime.ExitError" || !strings.Contains(a.message, "signal: killed") {
		t.Errorf("%+v, want Runtime.ExitError: signal: killed", a)
	}
}

func TestFunctionThatExitsAtInit(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.change(func(b *backend) {
		b.config["Environment"] = map[string]any{"Variables": map[string]string{"INIT": "exit"}}
	})
	if a := h.call(t, `{}`); a.errorType != "Runtime.ExitError" || !strings.Contains(a.message, "exit status 3") || a.errorHeader != "Unhandled" {
		t.Errorf("%+v, want Runtime.ExitError: exit status 3", a)
	}
}

func TestZipWithoutBootstrapIsAnInvalidEntrypoint(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.change(func(b *backend) { b.code, b.config["CodeSha256"] = zipped(t, "main.py", nil), "2" })
	if a := h.call(t, `{}`); a.errorType != "Runtime.InvalidEntrypoint" || !strings.Contains(a.message, noBootstrap) {
		t.Errorf("%+v, want Runtime.InvalidEntrypoint", a)
	}
	h.change(func(b *backend) {
		b.code, b.config["CodeSha256"] = zipped(t, "bootstrap", []byte("MZ no program")), "3"
	})
	if a := h.call(t, `{}`); a.errorType != "Runtime.InvalidEntrypoint" || !strings.Contains(a.message, "must be built for") {
		t.Errorf("%+v, want Runtime.InvalidEntrypoint", a)
	}
}

func TestNewDeploymentReplacesWarmCopies(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	before := h.call(t, `{}`)
	h.change(func(b *backend) {
		b.config["Environment"] = map[string]any{"Variables": map[string]string{"GREETING": "goodbye"}}
	})
	after := h.call(t, `{}`)
	if after.payload["greeting"] != "goodbye" || after.payload["pid"] == before.payload["pid"] {
		t.Errorf("after the update the function saw %s", after.body)
	}
	h.lambdaService.change(context.Background())()
	if again := h.call(t, `{}`); again.payload["pid"] != after.payload["pid"] {
		t.Error("a call that changed nothing replaced the warm copy")
	}
}

func TestReservedConcurrencyThrottles(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	one := 1
	h.change(func(b *backend) { b.reserved = &one })
	done := make(chan answer)
	go func() { done <- h.call(t, `{"do":"sleep"}`) }()
	for running := 0; running == 0; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		running = h.invoking["arn:aws:lambda:eu-west-1:123456789012:function:misbehave"]
		h.mu.Unlock()
	}
	if a := h.call(t, `{}`); a.status != http.StatusTooManyRequests || a.errorType != "TooManyRequestsException" {
		t.Errorf("the second invocation answered %+v, want 429", a)
	}
	if a := <-done; a.status != http.StatusOK {
		t.Errorf("the first invocation answered %+v", a)
	}
	if a := h.call(t, `{}`); a.status != http.StatusOK {
		t.Errorf("the invocation after both answered %+v", a)
	}
}

func TestFunctionGetsTheClientContext(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	context := base64.StdEncoding.EncodeToString([]byte(`{"custom":{"caller":"me"}}`))
	if a := h.call(t, `{}`, "X-Amz-Client-Context", context); a.payload["caller"] != "me" {
		t.Errorf("the function saw %s", a.body)
	}
}

func TestInvokeRequestErrors(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	if a := h.call(t, `{"do":`); a.status != 400 || a.errorType != "InvalidRequestContentException" {
		t.Errorf("payload that is not JSON: %+v", a)
	}
	if a := h.call(t, `"`+strings.Repeat("x", runtimeapi.MaxPayload)+`"`); a.status != 413 || a.errorType != "RequestTooLargeException" {
		t.Errorf("payload too large: status %d, %s", a.status, a.errorType)
	}
	for _, garbage := range []string{`{}`, base64.StdEncoding.EncodeToString([]byte(`{`))} {
		if a := h.call(t, `{}`, "X-Amz-Client-Context", garbage); a.status != 400 || a.errorType != "InvalidRequestContentException" {
			t.Errorf("client context %q: %+v", garbage, a)
		}
	}
	if a := h.call(t, `{}`, "X-Amz-Invocation-Type", "DryRun"); a.status != 204 {
		t.Errorf("dry run: %+v", a)
	}
	for name, value := range map[string]string{
		"X-Amz-Invocation-Type": "Sometimes", "X-Amz-Log-Type": "Head", "X-Amz-Tenant-Id": "blue", "X-Amz-Durable-Execution-Name": "run",
	} {
		if a := h.call(t, `{}`, name, value); a.status != 400 || a.errorType != "InvalidParameterValueException" {
			t.Errorf("%s: %s: %+v, want it refused", name, value, a)
		}
	}
	response, err := http.Post(h.url+"/2015-03-31/functions/nobody/invocations", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 404 || response.Header.Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
		t.Errorf("unknown function: %s %v", response.Status, response.Header)
	}
}

func TestEventInvocationIsAcceptedAndRuns(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	if a := h.call(t, `{"do":"it later"}`, "X-Amz-Invocation-Type", "Event"); a.status != 202 {
		t.Fatalf("%+v, want 202", a)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		h.flushLogs(t.Context())
		h.backend.mu.Lock()
		logged := h.backend.logged
		h.backend.mu.Unlock()
		if strings.Contains(logged, "doing it later") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never ran; logged: %s", logged)
		}
	}
}

func TestLogsGoToTheInvokerAndToCloudWatchLogs(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	a := h.call(t, `{"do":"something"}`, "X-Amz-Log-Type", "Tail")
	if !strings.Contains(a.logTail, "doing something") {
		t.Errorf("log tail is %q", a.logTail)
	}
	h.flushLogs(t.Context())
	for _, want := range []string{"/aws/lambda/misbehave", "doing something", "platform.report"} {
		if !strings.Contains(h.backend.logged, want) {
			t.Errorf("CloudWatch Logs got no %q", want)
		}
	}
}

func TestCloseEndsAllCopies(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	h.call(t, `{}`)
	var copies []*instance
	for in := range h.instances {
		copies = append(copies, in)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	if len(copies) != 1 || copies[0].Alive() {
		t.Errorf("%d copies, want one that has exited", len(copies))
	}
}

// Otherwise a copy could outlive the folder that its output is in.
func TestCloseWaitsForACopyThatStarts(t *testing.T) {
	t.Parallel()
	h := newMisbehaving(t)
	fn, err := h.find(t.Context(), "eu-west-1", "misbehave", "")
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock() // holds up the start
	started, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := h.start(fn)
		started <- err
	}()
	time.Sleep(500 * time.Millisecond)
	go func() { closed <- h.close() }()
	select {
	case <-closed:
		t.Error("close ended before the start of a copy")
		closed <- nil
	case <-time.After(500 * time.Millisecond):
	}
	h.mu.Unlock()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	h.mu.Lock()
	if len(h.instances) != 0 {
		t.Errorf("%d copies run after close", len(h.instances))
	}
	h.mu.Unlock()
	<-started // with or without an error
	if _, err := h.start(fn); err == nil || len(h.instances) != 0 {
		t.Errorf("a start after close: error = %v, %d copies, want an error and none", err, len(h.instances))
	}
}

func TestZipCannotLeaveItsFolder(t *testing.T) {
	archive, err := zip.NewReader(bytes.NewReader(zipped(t, "../escaped", nil)), int64(len(zipped(t, "../escaped", nil))))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unpackFile(filepath.Join(dir, "code"), archive.File[0]); err == nil {
		t.Error("unpacked a file outside the folder")
	}
}
