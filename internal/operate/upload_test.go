package operate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"carnation/internal/event"
)

// fakeS3 is an S3 that keeps the objects of one bucket, and records the calls.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string][]byte
	parts   map[string][]byte
	calls   []string
	refuse  string // the call that gets status 403
	onPart  func()
}

func (f *fakeS3) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key, query, call := strings.TrimPrefix(r.URL.Path, "/bucket/"), r.URL.Query(), r.Method
	status, answer, header := http.StatusOK, "", http.Header{}
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		call, answer = "create", `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`
	case r.Method == http.MethodPut && query.Has("partNumber"):
		call = "part"
		if f.onPart != nil {
			f.onPart()
		}
		f.parts[fmt.Sprintf("%05s", query.Get("partNumber"))] = body
		header.Set("ETag", "e")
	case r.Method == http.MethodPost:
		call, answer = "complete", `<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>`
		var whole []byte
		for _, part := range slices.Sorted(func(yield func(string) bool) {
			for part := range f.parts {
				if !yield(part) {
					return
				}
			}
		}) {
			whole = append(whole, f.parts[part]...)
		}
		f.objects[key] = whole
	case r.Method == http.MethodDelete:
		call, status = "abort", http.StatusNoContent
	case r.Method == http.MethodPut:
		f.objects[key] = body
	case r.Method == http.MethodHead:
		if object, ok := f.objects[key]; ok {
			header.Set("Content-Length", fmt.Sprint(len(object)))
		} else {
			status = http.StatusNotFound
		}
	}
	if call == f.refuse {
		status, answer = http.StatusForbidden, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`
	}
	f.calls = append(f.calls, call)
	length := int64(len(answer))
	if r.Method == http.MethodHead && status == http.StatusOK {
		length = int64(len(f.objects[key]))
	}
	return &http.Response{StatusCode: status, Header: header, ContentLength: length, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func newFakeS3() (*fakeS3, *Stack) {
	f := &fakeS3{objects: map[string][]byte{}, parts: map[string][]byte{}}
	return f, &Stack{
		Name: "carnation-devl", Distributed: true, Outputs: map[string]string{"EventsBucketName": "bucket", "EventsPrefix": "carnation/events/"},
		Config: aws.Config{Region: "eu-central-2", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""), HTTPClient: f,
			RetryMaxAttempts: 1, BaseEndpoint: aws.String("http://s3")},
	}
}

func TestUploadSendsRecordsOnce(t *testing.T) {
	large := make([]byte, 2*partSize+1)
	if _, err := rand.Read(large); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		content []byte
		calls   []string
	}{
		{"small", []byte("{}\n"), []string{"HEAD", "PUT", "HEAD"}},
		{"large", large, []string{"HEAD", "create", "part", "part", "part", "complete", "HEAD"}},
	} {
		f, s := newFakeS3()
		var taken []int64
		source, sent, err := s.Upload(t.Context(), bytes.NewReader(tc.content), int64(len(tc.content)), "abc", func(n int64) { taken = append(taken, n) })
		want := event.Source{Bucket: "bucket", Key: "carnation/events/abc.jsonl", Format: event.JSONL}
		if source != want || !sent || err != nil {
			t.Errorf("%s: Upload() = %+v, %t, %v, want %+v", tc.name, source, sent, err, want)
		}
		if !bytes.Equal(f.objects["carnation/events/abc.jsonl"], tc.content) {
			t.Errorf("%s: the object is not the content", tc.name)
		}
		if len(taken) == 0 || !slices.IsSorted(taken) || taken[len(taken)-1] != int64(len(tc.content)) {
			t.Errorf("%s: progress %v, want it to end with %d", tc.name, taken, len(tc.content))
		}
		source, sent, err = s.Upload(t.Context(), bytes.NewReader(tc.content), int64(len(tc.content)), "abc", nil)
		if source != want || sent || err != nil || !slices.Equal(f.calls, tc.calls) {
			t.Errorf("%s: a second Upload() = %+v, %t, %v after the calls %v, want it to send nothing: %v", tc.name, source, sent, err, f.calls, tc.calls)
		}
	}
}

// Whoever may not list the bucket gets status 403 for an object that does not exist.
func TestUploadDoesNotNeedToListTheBucket(t *testing.T) {
	f, s := newFakeS3()
	f.refuse = http.MethodHead
	if _, sent, err := s.Upload(t.Context(), strings.NewReader("{}\n"), 3, "abc", func(int64) {}); !sent || err != nil {
		t.Errorf("Upload() = %t, %v, want the records sent", sent, err)
	}
}

func TestUploadSaysWhatFailed(t *testing.T) {
	f, s := newFakeS3()
	f.refuse = http.MethodPut
	_, sent, err := s.Upload(t.Context(), strings.NewReader("{}\n"), 3, "abc", func(int64) {})
	const want = "upload the records to s3://bucket/carnation/events/abc.jsonl: "
	if err == nil || sent || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("Upload() = %t, %v, want %s", sent, err, want)
	}
	f.objects["carnation/events/abc.jsonl"] = []byte("{")
	_, _, err = s.Upload(t.Context(), strings.NewReader("{}\n"), 3, "abc", nil)
	if err == nil || !strings.Contains(err.Error(), "has 1 bytes, and its name says that it has the content of these records, which are 3") {
		t.Errorf("Upload() = %v beside a truncated object, want an error", err)
	}
}

// An upload that fails or is stopped leaves no parts behind.
func TestUploadRemovesItsParts(t *testing.T) {
	f, s := newFakeS3()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	f.onPart = func() { cancel(errors.New("stopped")) }
	content := make([]byte, 2*partSize)
	_, sent, err := s.Upload(ctx, bytes.NewReader(content), int64(len(content)), "abc", func(int64) {})
	if err == nil || sent || err.Error() != "upload the records to s3://bucket/carnation/events/abc.jsonl: stopped" {
		t.Errorf("Upload() = %t, %v, want why it was stopped", sent, err)
	}
	if f.calls[len(f.calls)-1] != "abort" || len(f.objects) > 0 {
		t.Errorf("calls = %v, objects %d, want an abort at the end", f.calls, len(f.objects))
	}
}

func TestWhereASourceMayBe(t *testing.T) {
	_, s := newFakeS3()
	old := *s
	old.Outputs = map[string]string{"EventsBucketName": "bucket"}
	inline := *s
	inline.Distributed = false
	for _, tc := range []struct {
		stack             *Stack
		bucket, key, want string
	}{
		{s, "bucket", "carnation/events/a.csv", ""},
		{s, "", "", ""},
		{s, "other", "carnation/events/a.csv", "s3://other/carnation/events/a.csv is not below s3://bucket/carnation/events/, where runs of stack carnation-devl may read: "},
		{s, "bucket", "a.csv", "s3://bucket/a.csv is not below s3://bucket/carnation/events/, "},
		{&old, "", "", "stack carnation-devl has no output EventsPrefix: deploy this version of it"},
		{&inline, "bucket", "carnation/events/a.csv", "stack carnation-devl has MapMode=INLINE, which cannot read records from S3: deploy it with MapMode=DISTRIBUTED"},
	} {
		err := tc.stack.CheckSource(tc.bucket, tc.key)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("CheckSource(%s, %s) = %v, want %q", tc.bucket, tc.key, err, tc.want)
		}
	}
}
