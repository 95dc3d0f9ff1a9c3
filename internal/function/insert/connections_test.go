package insert

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"carnation/internal/event"
	"carnation/internal/function/environment"
)

// DynamoDB asks KMS for the table's key once for each connection in five minutes. With hundreds of connections a shard, that would
// cost more than the writes. internal/cost relies on this number.
func TestShardsReuseTheirConnections(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(time.Millisecond) // so that the inserts overlap
		_, _ = io.WriteString(w, "{}")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for name, value := range map[string]string{
		"RETRY_QUEUE_URL": server.URL + "/retry", "PROJECT_NAME": "p", "ENVIRONMENT": "e", "FAILURE_INJECTION": "disabled",
		"AWS_REGION": "eu-central-2", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": server.URL,
	} {
		t.Setenv(name, value)
	}
	logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
	s, err := environment.Load()
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{Work: writeTo(dynamodb.NewFromConfig(s.AWS)), Queue: takesAll{}, Metrics: environment.Metrics{Logger: logger}, Logger: logger}
	items := make([]event.Item, 500)
	for i := range items {
		items[i].Event = event.Event{SequenceNo: int64(i), RandomValue: uuid.NewString(), CurrentTime: 1, EndSeq: 500}
	}
	payload, err := json.Marshal(map[string]any{"operation": InsertItems, "items": items, "run": "arn"})
	if err != nil {
		t.Fatal(err)
	}
	used := processorTime(t)
	for range 3 {
		answer, err := h.Handle(t.Context(), payload)
		if err != nil || answer.Inserted != len(items) {
			t.Fatalf("inserted %+v, %v, want all %d", answer, err, len(items))
		}
	}
	t.Logf("%s of processor time an event, with the server's", (processorTime(t)-used)/time.Duration(3*len(items)))
	// At the start, some connections are opened that are not needed once others are free.
	if n := opened.Load(); n > 2*environment.Connections {
		t.Errorf("three shards opened %d connections, want at most %d", n, 2*environment.Connections)
	}
}

// writeTo is work that writes an item.
func writeTo(client *dynamodb.Client) func(context.Context, event.Event) error {
	return func(ctx context.Context, e event.Event) error {
		number := &types.AttributeValueMemberN{Value: strconv.FormatInt(e.SequenceNo, 10)}
		_, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("events"), Key: map[string]types.AttributeValue{"sequenceNo": number}})
		return err
	}
}

// processorTime is the processor time that this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
