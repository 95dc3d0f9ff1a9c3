package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"carnation/internal/event"
)

const (
	// maxBatches is the most batches of records in a run. The result of a batch takes at most 14 bytes, as in [333,333,334], so the
	// results of all take 238 kB of the 256 KiB of a state. A test builds the largest state.
	maxBatches = 17_000
	// fullBatch is the fewest bytes of a batch to which the next record could not be added: the 258,000 bytes of the state machine's
	// batches, without one record of the largest size, and without what the batch says about its run.
	fullBatch = 234_000
	// recordOverhead is the most bytes that a batch adds to a record: {"index":9999999,"record":...}, and a comma.
	recordOverhead = 40
	// MaxSourceBytes is the largest source. Its records fit in maxBatches batches of 1,000 records, however large each of them is.
	MaxSourceBytes = 1_200_000_000
	// csvFactor is how much larger the records of a CSV file may be than the file, because each of them has the names of all fields.
	csvFactor = 4
	// maxEventBatches is the most batches of the records in the input of a run, and MaxEventBytes the most bytes of these records. The
	// state has the records, the numbers of the shards that claim, and all results.
	maxEventBatches = 500
	MaxEventBytes   = 232 << 10
)

// SourceNotFoundError says that there is no such object, or that nobody may read it. S3 does not tell the two apart without the
// permission to list the bucket. The state machine sees its type name as the error name.
type SourceNotFoundError struct {
	Source string
	Err    error
}

func (e *SourceNotFoundError) Error() string {
	return fmt.Sprintf("source %s does not exist, or plan-shards may not read it: %s", e.Source, e.Err)
}

func (e *SourceNotFoundError) Unwrap() error { return e.Err }

// SourceTooLargeError says that a source does not fit one run. The state machine sees its type name as the error name.
type SourceTooLargeError struct {
	Source     string
	What       string // bytes or records
	Size, Most int64
}

func (e *SourceTooLargeError) Error() string {
	if e.What == "records" {
		return fmt.Sprintf("source %s has more than %d records, the most of one run: the first %d were processed, so start a run with those after them",
			e.Source, e.Most, e.Size)
	}
	return fmt.Sprintf("source %s has %d bytes: one run reads at most %d bytes of this format; split it into several objects", e.Source, e.Size, e.Most)
}

// SourceChangedError says that a source without versions was written while a run read it. Nobody knows which of its bytes the run has
// read. The state machine sees its type name as the error name.
type SourceChangedError struct {
	Source string
}

func (e *SourceChangedError) Error() string {
	return fmt.Sprintf("source %s has changed during the run, so the run may have read parts of both contents: "+
		"start another run, and turn on versioning of the bucket", e.Source)
}

// SourceError says why S3 could not say anything about a source. The state machine sees its type name as the error name.
type SourceError struct {
	Source string
	Err    error
}

func (e *SourceError) Error() string { return "look up source " + e.Source + ": " + e.Err.Error() }

func (e *SourceError) Unwrap() error { return e.Err }

// Objects is the operation of S3 that a Handler uses. *s3.Client has it.
type Objects interface {
	HeadObject(ctx context.Context, input *s3.HeadObjectInput, options ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
}

// Source is an object with records, as the state machine reads it.
type Source struct {
	URI       string `json:"uri"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"version_id,omitempty"`
	ETag      string `json:"etag"`
	Format    string `json:"format"`
	BatchSize int64  `json:"batch_size"`
}

// Records are those in the input of a run.
type Records struct {
	Records   int64 `json:"records"`
	BatchSize int64 `json:"batch_size"`
}

// planSource checks that a run may read the source, and pins what it reads.
func (h *Handler) planSource(ctx context.Context, source event.Source, request event.Object) (*Source, error) {
	sources, err := event.ReadObject(request.Raw("sources"), "sources", "bucket", "prefix")
	if err != nil {
		return nil, err
	}
	bucket, err := sources.String("bucket", "the name of the bucket of all sources")
	if err != nil {
		return nil, err
	}
	prefix, err := sources.String("prefix", "how the keys of all sources begin")
	if err != nil {
		return nil, err
	}
	if source.Bucket != bucket {
		return nil, &event.InvalidInputError{Field: "source.bucket", Value: source.Bucket, MustBe: bucket + ", the stack's EventsBucketName"}
	}
	if !strings.HasPrefix(source.Key, prefix) {
		return nil, &event.InvalidInputError{Field: "source.key", Value: source.Key, MustBe: "a key that begins with " + prefix + ", the stack's EventsPrefix"}
	}
	planned := &Source{URI: source.URI(), Bucket: source.Bucket, Key: source.Key, VersionID: source.VersionID, Format: source.Format}
	out, err := h.head(ctx, planned)
	if err != nil {
		return nil, err
	}
	// The version "null" is the object of a bucket without versioning. Others can overwrite it.
	if id := aws.ToString(out.VersionId); id != "null" {
		planned.VersionID = id
	}
	planned.ETag = aws.ToString(out.ETag)
	size, factor := aws.ToInt64(out.ContentLength), int64(1)
	if source.Format == event.CSV {
		factor = csvFactor
	}
	if most := MaxSourceBytes / factor; size > most {
		return nil, &SourceTooLargeError{Source: planned.URI, What: "bytes", Size: size, Most: most}
	}
	planned.BatchSize = sourceBatch(h.Size, size, factor)
	return planned, nil
}

// sourceBatch is the most records of a batch: the requested size, or more if the source could have too many batches. A batch is full if
// it has as many records, or if the next one does not fit into it. No record is shorter than a byte.
func sourceBatch(size, bytes, factor int64) int64 {
	records := min(event.MaxEvents, bytes+1)
	fullOfBytes := (bytes*factor + records*recordOverhead) / fullBatch
	return max(size, ceil(records, maxBatches-1-fullOfBytes))
}

// checkUnchanged compares the source with what the run has planned to read.
func (h *Handler) checkUnchanged(ctx context.Context, source *Source) error {
	if source.VersionID != "" && source.VersionID != "null" {
		return nil
	}
	out, err := h.head(ctx, source)
	if _, gone := errors.AsType[*SourceNotFoundError](err); gone {
		return &SourceChangedError{source.URI}
	}
	if err != nil {
		return err
	}
	if aws.ToString(out.ETag) != source.ETag {
		return &SourceChangedError{source.URI}
	}
	return nil
}

// head looks up the source.
func (h *Handler) head(ctx context.Context, source *Source) (*s3.HeadObjectOutput, error) {
	input := &s3.HeadObjectInput{Bucket: aws.String(source.Bucket), Key: aws.String(source.Key)}
	if source.VersionID != "" {
		input.VersionId = aws.String(source.VersionID)
	}
	out, err := h.Objects.HeadObject(ctx, input)
	if err == nil {
		return out, nil
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		switch answer.HTTPStatusCode() {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed: // 400 is a bad version id, 405 a delete marker
			return nil, &SourceNotFoundError{source.URI, err}
		}
	}
	return nil, &SourceError{source.URI, err}
}

// planEvents checks the records in the input of a run.
func (h *Handler) planEvents(events []json.RawMessage) (*Records, error) {
	var bytes int64
	for i, record := range events {
		size, err := event.RecordSize(record)
		if bad, ok := errors.AsType[*event.RecordError](err); ok {
			bad.Position = int64(i) + 1
			return nil, bad.ForLog()
		}
		bytes += int64(size) + 1 // a comma
	}
	records := int64(len(events))
	if bytes > MaxEventBytes {
		return nil, &event.EventsTooLargeError{Records: records, Bytes: bytes, MostBytes: MaxEventBytes,
			Instead: "split them into several runs, or read them from S3 with source"}
	}
	return &Records{records, max(h.Size, ceil(records, maxEventBatches))}, nil
}

// parseSource reads the source of a run as PlanRun has answered it. The error is an *event.InvalidInputError.
func parseSource(request event.Object) (*Source, error) {
	const mustBe = "the source that PlanRun has answered"
	var s Source
	if json.Unmarshal(request.Raw("source"), &s) != nil || s.Bucket == "" || s.Key == "" || s.ETag == "" || s.URI != (event.Source{Bucket: s.Bucket, Key: s.Key}).URI() {
		return nil, request.Invalid("source", mustBe)
	}
	return &s, nil
}

func ceil(n, size int64) int64 {
	return (n + size - 1) / size
}
