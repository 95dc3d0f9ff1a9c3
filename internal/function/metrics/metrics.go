// Package metrics publishes counts as CloudWatch metrics through the embedded metric format: a log line that
// CloudWatch Logs turns into metrics, without a call of its own.
package metrics

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Namespace of all metrics. Their dimensions are ProjectName and Environment together.
const Namespace = "Carnation"

// Counter logs counts under one project and environment.
type Counter struct {
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

// Count logs one line with the message and the counts, by metric name. The line is both log and metrics.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (c Counter) Count(ctx context.Context, message string, counts map[string]int) {
	set := metricSet{Namespace: Namespace, Dimensions: [][]string{{"ProjectName", "Environment"}}}
	attrs := []any{"ProjectName", c.ProjectName, "Environment", c.Environment}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		set.Metrics = append(set.Metrics, metric{name, "Count"})
		attrs = append(attrs, name, counts[name])
	}
	attrs = append(attrs, "_aws", directive{time.Now().UnixMilli(), []metricSet{set}})
	c.Logger.InfoContext(ctx, message, attrs...)
}
