package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// receiver is an endpoint with a distributed stack. It counts what S3 receives, and keeps nothing of it.
type receiver struct {
	mu       sync.Mutex
	bytes    int64
	requests int
}

func (s *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, query := r.Header.Get("X-Amz-Target"), r.URL.Query()
	if _, operation, found := strings.Cut(target, "."); found {
		fmt.Fprint(w, map[string]string{
			"GetQueueAttributes":  `{"Attributes":{"ApproximateNumberOfMessages":"0","ApproximateNumberOfMessagesNotVisible":"0"}}`,
			"StartExecution":      `{"executionArn":"arn:execution","startDate":1795416822}`,
			"DescribeExecution":   `{"executionArn":"arn:execution","name":"a","status":"SUCCEEDED","startDate":1795416822,"stopDate":1795416823}`,
			"GetExecutionHistory": `{"events":[]}`,
		}[operation])
		return
	}
	if r.Method != http.MethodPost || query.Has("uploads") || query.Has("uploadId") {
		n, _ := io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case query.Has("uploads"):
			fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPut:
			s.bytes += n
			s.requests++
			w.Header().Set("ETag", "e")
		default:
			fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>`)
		}
		return
	}
	var members strings.Builder
	for _, key := range []string{"StateMachineArn", "TableName", "RetryQueueUrl", "DeadLetterQueueUrl", "EventsBucketName", "EventsPrefix", "MapMode"} {
		value := strings.ToLower(key)
		if key == "MapMode" {
			value = "DISTRIBUTED"
		}
		fmt.Fprintf(&members, "<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>", key, value)
	}
	fmt.Fprintf(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>carnation-devl</StackName><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>%s</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`,
		members.String())
}

// The memory of carnation run does not depend on the size of its file. A benchmark of internal/e2e measures it with a million records.
func TestRunUsesLittleMemoryForALargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a large file, and this is go test -short")
	}
	const records, most = 20_000, 100 << 20
	path := filepath.Join(t.TempDir(), "orders.jsonl")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	for n := range records {
		fmt.Fprintf(w, "{\"n\":%d,\"note\":%q}\n", n, strings.Repeat("x", 3000))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	s := &receiver{}
	server := httptest.NewServer(s)
	defer server.Close()
	temporary := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--events", path)
	cmd.Env = []string{
		asCommand + "=1", "HOME=" + t.TempDir(), "TMPDIR=" + temporary, "AWS_EC2_METADATA_DISABLED=true", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=eu-central-2", "AWS_ENDPOINT_URL=" + server.URL,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS == "linux" {
		peak *= 1024 // Linux counts kilobytes
	}
	t.Logf("a file of %d MB took %d MB of memory and %d requests", size/1e6, peak/1e6, s.requests)
	if peak > most {
		t.Errorf("carnation run used %d bytes of memory, want at most %d", peak, most)
	}
	if s.bytes != size || s.requests < 2 {
		t.Errorf("S3 received %d bytes in %d requests, want the %d bytes of the file in several", s.bytes, s.requests, size)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}
