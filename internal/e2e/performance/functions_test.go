// Package performance measures the functions as they are deployed: the built binaries, run through the Lambda Runtime API,
// with a DynamoDB and an SQS that answer at once. docs/performance.md has the results.
package performance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/insert"
	"carnation/internal/function/shard"
	"carnation/internal/localaws/runtimeapi"
)

const root = "../../.."

// built is the folder of the functions, built by make, and of the empty function to compare them with. No other test builds
// into this folder.
var built = sync.OnceValues(func() (string, error) {
	const out = "build/performance"
	arch := cmp.Or(map[string]string{"amd64": "x86_64"}[runtime.GOARCH], runtime.GOARCH)
	// With AWS_ENDPOINT_URL, make builds for this machine.
	targets := exec.Command("make", "--no-print-directory", "-C", root, "out="+out, "ARCH="+arch, "AWS_ENDPOINT_URL=local")
	for _, name := range functions {
		targets.Args = append(targets.Args, out+"/"+name+"/bootstrap")
	}
	empty := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w",
		"-o", filepath.Join(root, out, "empty", "bootstrap"), "./testdata/empty")
	for _, command := range []*exec.Cmd{targets, empty} {
		command.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w\n%s", command.Args, err, out)
		}
	}
	return filepath.Abs(filepath.Join(root, out))
})

// Other programs do most of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestRunsEachTime(t *testing.T) { t.Log(os.Getenv("CARNATION_TEST_RUN")) }

// services is a DynamoDB whose table accepts everything, and an SQS whose queue is empty.
func services(b testing.TB) *httptest.Server {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer := "{}"
		switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
		case "GetQueueAttributes":
			answer = `{"Attributes":{"ApproximateNumberOfMessages":"0"}}`
		case "UpdateItem", "ReceiveMessage":
		default:
			http.Error(w, "unexpected operation", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(answer))), 10))
		_, _ = io.WriteString(w, answer)
	}))
	b.Cleanup(server.Close)
	return server
}

// function is a copy of a built function, which runs after start, and the host that invokes it.
type function struct {
	host    *runtimeapi.Host
	program runtimeapi.Program
	process *runtimeapi.Process
}

// prepare sets up a built function with the environment of a deployed one.
func prepare(b testing.TB, name string, services *httptest.Server, memoryMB int) *function {
	b.Helper()
	folder, err := built()
	if err != nil {
		b.Fatal(err)
	}
	host, err := runtimeapi.NewHost()
	if err != nil {
		b.Fatal(err)
	}
	f := &function{host: host, program: runtimeapi.Program{Path: filepath.Join(folder, name, "bootstrap"), MemoryMB: memoryMB, Env: map[string]string{
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(memoryMB), "AWS_LAMBDA_LOG_FORMAT": "JSON",
		"AWS_REGION": "eu-central-2", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
		"AWS_ENDPOINT_URL": services.URL, "RETRY_QUEUE_URL": services.URL + "/123456789012/retry",
		"DEAD_LETTER_QUEUE_URL": services.URL + "/123456789012/dead", "MAX_RECEIVE_COUNT": "3",
		"TABLE_NAME": "events", "MAP_MAX_CONCURRENCY": "10", "SHARD_SIZE": "1000", "SHARD_CONCURRENCY": "10",
		"PROJECT_NAME": "carnation", "ENVIRONMENT": "devl", "FAILURE_INJECTION": "enabled",
	}}}
	b.Cleanup(func() { f.end(b) }) // if the test fails before stop
	return f
}

// start starts the function's process. It returns before the function is ready.
func (f *function) start(b testing.TB) {
	b.Helper()
	var err error
	if f.process, err = f.host.Start(f.program); err != nil {
		b.Fatal(err)
	}
}

// end kills the function, and stops its host.
func (f *function) end(b testing.TB) {
	b.Helper()
	if err := f.host.Close(); err != nil {
		b.Error(err)
	}
}

// invoke invokes the function, which must succeed, and returns its answer.
func (f *function) invoke(b testing.TB, payload []byte) []byte {
	b.Helper()
	const timeout = 30 * time.Second
	if err := f.process.WaitReady(timeout); err != nil {
		b.Fatalf("start the function: %v", err)
	}
	answer, err := f.process.Invoke(runtimeapi.Invocation{
		RequestID:   "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
		FunctionARN: "arn:aws:lambda:eu-central-2:123456789012:function:benchmark",
		Payload:     payload, Timeout: timeout,
	})
	if err != nil {
		b.Fatalf("invoke the function: %v", err)
	}
	return answer
}

// stop ends the function and returns its peak memory, in MiB.
func (f *function) stop(b testing.TB) float64 {
	b.Helper()
	status, statusErr := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.process.Pid()))
	f.end(b)
	// On Linux, SysUsage of a child includes the memory of its parent at the fork.
	if statusErr == nil {
		_, line, _ := strings.Cut(string(status), "VmHWM:")
		var kib float64
		if _, err := fmt.Sscan(line, &kib); err != nil {
			b.Fatal(err)
		}
		return kib / 1024
	}
	return float64(f.process.State().SysUsage().(*syscall.Rusage).Maxrss) / (1 << 20) // in bytes on macOS
}

func plan(n int64) event.Plan {
	return event.Plan{Run: event.Run{StartSeq: 1, EndSeq: 1 + n}, ShardSize: n, CurrentTime: 1795416822, Seed: uuid.MustParse("f6e66be7-34e1-4bd0-b9b1-d0ec0e5e6ab5")}
}

func encode(b testing.TB, value any) []byte {
	b.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

const started = "2026-11-26T12:00:00Z" // the start of an execution

// payloads are the requests of the distributed mode for n events, one for each function.
func payloads(b testing.TB, n int64) map[string][]byte {
	b.Helper()
	return map[string][]byte{
		"generate-data": encode(b, map[string]any{"operation": generate.GenerateShard, "plan": plan(n), "shard": 0}),
		"insert-data":   encode(b, map[string]any{"operation": insert.InsertShard, "items": plan(n).Items(0), "run": "arn:run", "release_at": 0}),
		"plan-shards":   encode(b, map[string]any{"operation": shard.PlanRun, "input": event.Run{StartSeq: 1, EndSeq: 1 + n}, "started": started}),
	}
}

var functions = []string{"generate-data", "insert-data", "plan-shards"}

// Limits of the measured values. A benchmark fails above them.
const (
	maxColdStart = 2.0 // times the cold start of the empty function
	maxWarm      = 6.0 // times the processor time of the empty function, for a warm invocation with one event
	maxShard     = 64  // MiB, of a function that gets a shard of 1,000 events
)

// BenchmarkColdStart measures the time from the start of a process to its first answer, calls of AWS included. generate-data runs
// in the inline mode, where it asks the queue, and with a shard. Each iteration also starts the empty function, so that both run
// under the same load. x-empty compares the medians of both.
func BenchmarkColdStart(b *testing.B) {
	ofOne := payloads(b, 1)
	run := encode(b, map[string]any{"operation": generate.GenerateRun, "input": event.Run{StartSeq: 1, EndSeq: 2}, "started": started})
	for _, start := range []struct {
		name, function string
		payload        []byte
	}{
		{"empty", "empty", []byte("{}")},
		{"generate-data", "generate-data", run},
		{"generate-data-shard", "generate-data", ofOne["generate-data"]},
		{"insert-data", "insert-data", ofOne["insert-data"]},
		{"plan-shards", "plan-shards", ofOne["plan-shards"]},
	} {
		b.Run(start.name, func(b *testing.B) {
			aws := services(b)
			var empty, own []time.Duration
			var most float64
			once := func(name string, payload []byte) (took time.Duration, peak float64) {
				f := prepare(b, name, aws, 256)
				begun := time.Now()
				f.start(b)
				f.invoke(b, payload)
				took = time.Since(begun)
				peak = f.stop(b)
				return took, peak
			}
			for b.Loop() {
				took, peak := once(start.function, start.payload)
				own, most = append(own, took), max(most, peak)
				took, _ = once("empty", []byte("{}"))
				empty = append(empty, took)
			}
			b.ReportMetric(0, "ns/op") // would count both functions and everything around them
			b.ReportMetric(median(own).Seconds()*1000, "ms-median")
			ratio := float64(median(own)) / float64(median(empty))
			b.ReportMetric(ratio, "x-empty")
			if ratio > maxColdStart {
				b.Errorf("%s starts in %.2f times the empty function's time, want at most %.1f", start.name, ratio, maxColdStart)
			}
			b.ReportMetric(most, "peak-MiB")
		})
	}
}

func median(durations []time.Duration) time.Duration {
	slices.Sort(durations)
	return durations[len(durations)/2]
}

// BenchmarkWarm measures an invocation of a warm function, with one event and with a shard of 1,000. cpu-ms is the processor time
// of the function's process, peak-MiB its peak memory. x-empty compares the processor time for one event with that of an
// invocation of the empty function, which is measured right after it.
func BenchmarkWarm(b *testing.B) {
	for _, n := range []int64{1, 1000} {
		for _, name := range functions {
			b.Run(fmt.Sprintf("%s/events=%d", name, n), func(b *testing.B) {
				aws, payload := services(b), payloads(b, n)[name]
				f := prepare(b, name, aws, 256)
				f.start(b)
				f.invoke(b, payload)
				before := f.used(b)
				for b.Loop() {
					f.invoke(b, payload)
				}
				took := f.used(b) - before
				peak := f.stop(b)
				b.ReportMetric(peak, "peak-MiB")
				if peak > maxShard {
					b.Errorf("%s needs %.1f MiB for %d events, want at most %d", name, peak, n, maxShard)
				}
				if took == 0 { // not on Linux
					return
				}
				b.ReportMetric(took.Seconds()*1000/float64(b.N), "cpu-ms/op")
				if n > 1 {
					return
				}
				empty := prepare(b, "empty", aws, 256)
				empty.start(b)
				empty.invoke(b, []byte("{}"))
				before = empty.used(b)
				for range b.N {
					empty.invoke(b, []byte("{}"))
				}
				ratio := float64(took) / float64(empty.used(b)-before)
				empty.stop(b)
				b.ReportMetric(ratio, "x-empty")
				if ratio > maxWarm {
					b.Errorf("%s takes %.2f times the empty function's processor time for one event, want at most %.1f", name, ratio, maxWarm)
				}
			})
		}
	}
}

// used is the processor time of a running function. It is 0 on systems other than Linux.
func (f *function) used(b testing.TB) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", f.process.Pid()))
	if err != nil {
		b.Fatal(err)
	}
	var total time.Duration
	for _, path := range threads {
		var ran time.Duration
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has just ended
		}
		if _, err := fmt.Sscan(string(data), &ran); err != nil {
			b.Fatal(err)
		}
		total += ran
	}
	return total
}

func TestFunctionsTakeAShardInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the functions")
	}
	aws := services(t)
	for name, payload := range payloads(t, 1000) {
		f := prepare(t, name, aws, 256)
		f.start(t)
		answer := f.invoke(t, payload)
		for range 4 {
			f.invoke(t, payload)
		}
		if name == "insert-data" && string(answer) != `{"inserted":1000,"returned":0,"dead":0}` {
			t.Errorf("%s answers %s, want 1000 inserted", name, answer)
		}
		if peak := f.stop(t); peak > maxShard {
			t.Errorf("%s needs %.1f MiB, want at most %d", name, peak, maxShard)
		}
	}
}
