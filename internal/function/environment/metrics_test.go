package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// record is a log line as CloudWatch reads it.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
type record struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []map[string]any
		}
	} `json:"_aws"`
}

func TestCountLogsTheEmbeddedMetricFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		// Like lambdacontext's handler, which can only write to standard output.
		logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: lambdacontext.ReplaceAttr}))
		Metrics{logger, "carnation", "devl"}.Count(t.Context(), "events generated", map[string]int{"EventsGenerated": 20, "EventsClaimed": 0})

		if lines := strings.Count(log.String(), "\n"); lines != 1 {
			t.Fatalf("log has %d lines, want 1:\n%s", lines, &log)
		}
		var got record
		var top map[string]any
		for _, value := range []any{&got, &top} {
			if err := json.Unmarshal(log.Bytes(), value); err != nil {
				t.Fatal(err)
			}
		}
		if got.AWS.Timestamp != time.Now().UnixMilli() {
			t.Errorf("Timestamp = %d, want %d, Unix milliseconds", got.AWS.Timestamp, time.Now().UnixMilli())
		}
		if len(got.AWS.CloudWatchMetrics) != 1 {
			t.Fatalf("CloudWatchMetrics = %+v, want one set", got.AWS.CloudWatchMetrics)
		}
		set := got.AWS.CloudWatchMetrics[0]
		if set.Namespace != "Carnation" {
			t.Errorf("Namespace = %q, want Carnation", set.Namespace)
		}
		if want := [][]string{{"ProjectName", "Environment"}}; !reflect.DeepEqual(set.Dimensions, want) {
			t.Errorf("Dimensions = %v, want %v", set.Dimensions, want)
		}
		if want := []map[string]any{{"Name": "EventsClaimed", "Unit": "Count"}, {"Name": "EventsGenerated", "Unit": "Count"}}; !reflect.DeepEqual(set.Metrics, want) {
			t.Errorf("Metrics = %v, want %v", set.Metrics, want)
		}
		for name, want := range map[string]any{
			"EventsGenerated": 20.0, "EventsClaimed": 0.0, "ProjectName": "carnation", "Environment": "devl", "message": "events generated", "level": "INFO",
		} {
			if top[name] != want {
				t.Errorf("%s = %v, want %v", name, top[name], want)
			}
		}
	})
}

func TestCountPassesItsContextToTheLogger(t *testing.T) {
	type key struct{}
	var got any
	logger := slog.New(handlerFunc(func(ctx context.Context) { got = ctx.Value(key{}) }))
	Metrics{Logger: logger}.Count(context.WithValue(t.Context(), key{}, "request"), "counted", nil)
	if got != "request" {
		t.Errorf("context of the log line has %v, want the invocation's, which has the request id", got)
	}
}

// handlerFunc gets the context of each log line.
type handlerFunc func(context.Context)

func (f handlerFunc) Enabled(context.Context, slog.Level) bool { return true }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler       { return f }
func (f handlerFunc) WithGroup(string) slog.Handler            { return f }
func (f handlerFunc) Handle(ctx context.Context, _ slog.Record) error {
	f(ctx)
	return nil
}
