package environment

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Metrics publishes counts as CloudWatch metrics in the embedded metric format: a log line that CloudWatch Logs turns into
// metrics, without a call of CloudWatch.
type Metrics struct {
	Logger      *slog.Logger
	ProjectName string
	Environment string
}

type directive struct {
	Timestamp         int64 // Unix milliseconds
	CloudWatchMetrics []metricSet
}

type metricSet struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []metric
}

type metric struct {
	Name string
	Unit string
}

// Count logs one line with the message and the counts, by the names of the metrics.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (m Metrics) Count(ctx context.Context, message string, counts map[string]int) {
	set := metricSet{Namespace: "Carnation", Dimensions: [][]string{{"ProjectName", "Environment"}}}
	attrs := []any{"ProjectName", m.ProjectName, "Environment", m.Environment}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		set.Metrics = append(set.Metrics, metric{name, "Count"})
		attrs = append(attrs, name, counts[name])
	}
	attrs = append(attrs, "_aws", directive{time.Now().UnixMilli(), []metricSet{set}})
	m.Logger.InfoContext(ctx, message, attrs...)
}
