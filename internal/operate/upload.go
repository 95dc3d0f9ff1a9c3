package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
)

const (
	// partSize and partsAtOnce say how much memory an upload takes. A file of 80 GB has 10,000 parts of this size, the most of S3.
	partSize    = 8 << 20
	partsAtOnce = 3
	// abortTimeout is how long an upload that failed may take to remove its parts.
	abortTimeout = 10 * time.Second
)

// CheckSource tells whether runs of the stack can read records from S3, and this object, if key is not empty.
func (s *Stack) CheckSource(bucket, key string) error {
	if !s.Distributed {
		return fmt.Errorf("stack %s has MapMode=INLINE, which cannot read records from S3: deploy it with MapMode=DISTRIBUTED", s.Name)
	}
	for _, name := range []string{"EventsBucketName", "EventsPrefix"} {
		if s.Outputs[name] == "" {
			return fmt.Errorf("stack %s has no output %s: deploy this version of it", s.Name, name)
		}
	}
	if key != "" && (bucket != s.Outputs["EventsBucketName"] || !strings.HasPrefix(key, s.Outputs["EventsPrefix"])) {
		return fmt.Errorf("s3://%s/%s is not below s3://%s/%s, where runs of stack %s may read: copy it there, or deploy the stack with another EventsBucket or EventsPrefix",
			bucket, key, s.Outputs["EventsBucketName"], s.Outputs["EventsPrefix"], s.Name)
	}
	return nil
}

// Upload sends records as JSON Lines to where runs of the stack may read, under the hash of their content. It sends nothing if the
// object exists; then sent is false. It reports how many bytes S3 has taken so far.
func (s *Stack) Upload(ctx context.Context, lines io.ReadSeeker, size int64, hash string, report func(taken int64)) (source event.Source, sent bool, err error) {
	if err := s.CheckSource("", ""); err != nil {
		return source, false, err
	}
	source = event.Source{Bucket: s.Outputs["EventsBucketName"], Key: s.Outputs["EventsPrefix"] + hash + ".jsonl", Format: event.JSONL}
	client := s3.NewFromConfig(s.Config, func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil })
	exists, err := s.uploaded(ctx, client, source, size)
	if err != nil || exists {
		return source, false, err
	}
	uploader := transfermanager.New(client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency, o.FailTimeout = partSize, partSize, partsAtOnce, abortTimeout
		o.ObjectProgressListeners.Register(&taken{report: report})
	})
	_, err = uploader.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String(source.Bucket), Key: aws.String(source.Key), Body: lines, ContentType: aws.String("application/jsonl"),
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return source, false, fmt.Errorf("upload the records to %s: %w", source.URI(), err)
	}
	return source, true, nil
}

// uploaded tells whether the object exists. Whoever may not list the bucket gets status 403 for an object that does not exist, and is
// told when the upload fails.
func (s *Stack) uploaded(ctx context.Context, client *s3.Client, source event.Source, size int64) (bool, error) {
	out, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(source.Bucket), Key: aws.String(source.Key)})
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && (response.HTTPStatusCode() == http.StatusNotFound || response.HTTPStatusCode() == http.StatusForbidden) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", source.URI(), err)
	}
	if got := aws.ToInt64(out.ContentLength); got != size {
		return false, fmt.Errorf("%s has %d bytes, and its name says that it has the content of these records, which are %d: delete it", source.URI(), got, size)
	}
	return true, nil
}

// taken reports the progress of an upload, whose parts end in any order and at the same time.
type taken struct {
	mu     sync.Mutex
	report func(int64)
}

func (t *taken) OnObjectBytesTransferred(_ context.Context, e *transfermanager.ObjectBytesTransferredEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report(e.BytesTransferred)
}
