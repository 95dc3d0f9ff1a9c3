package work

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"carnation/internal/event"
)

// BenchmarkInsert measures an insert through the SDK's client, without a connection.
func BenchmarkInsert(b *testing.B) {
	table := Table{Name: "events", API: dynamodb.New(dynamodb.Options{
		Region: "eu-central-2", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "token"), Retryer: aws.NopRetryer{},
		HTTPClient: smithyhttp.ClientDoFunc(func(r *http.Request) (*http.Response, error) {
			_, err := io.Copy(io.Discard, r.Body)
			header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
			return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, err
		}),
	})}
	e := event.Event{SequenceNo: 7, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, StartSeq: 1, EndSeq: 21}
	b.ReportAllocs()
	for b.Loop() {
		if err := table.Insert(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}
