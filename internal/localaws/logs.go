package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// logKeep is how many lines are kept for one log stream until somebody asks for logs.
const logKeep = 10_000

// flushLimit is how long a flush may take.
const flushLimit = 30 * time.Second

// logBook collects what functions print. It passes the lines to CloudWatch Logs only when somebody asks for logs or deletes a
// stack, because moto would need time for them that a run needs.
type logBook struct {
	api    *cloudwatchlogs.Client
	stderr io.Writer

	flushing sync.Mutex // held during a flush, while lines can still be added

	mu      sync.Mutex
	streams map[logStream]*logLines
}

type logStream struct{ region, group, name string }

type logLines struct {
	created bool // only used while flushing
	events  []types.InputLogEvent
}

// add appends a line to a stream.
func (b *logBook) add(stream logStream, line string) {
	if line == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.streams[stream]
	if lines == nil {
		lines = &logLines{}
		b.streams[stream] = lines
	}
	lines.events = append(lines.events, types.InputLogEvent{Message: aws.String(line), Timestamp: aws.Int64(time.Now().UnixMilli())})
	if len(lines.events) > logKeep {
		lines.events = lines.events[len(lines.events)-logKeep:]
	}
}

// flush passes all lines to the Logs API.
func (b *logBook) flush(ctx context.Context) {
	// The flush goes on even if the caller goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	b.flushing.Lock()
	defer b.flushing.Unlock()
	b.mu.Lock()
	streams := maps.Clone(b.streams)
	b.mu.Unlock()
	for stream, lines := range streams {
		b.mu.Lock()
		events := lines.events
		lines.events = nil
		b.mu.Unlock()
		if len(events) == 0 {
			continue
		}
		var gone *types.ResourceNotFoundException // the log group was deleted, and its logs with it
		if err := b.put(ctx, stream, lines, events); err != nil && !errors.As(err, &gone) {
			fmt.Fprintf(b.stderr, "carnation local: logs of %s: %v\n", stream.group, err)
			b.mu.Lock() // keep them for the next flush
			lines.events = append(events, lines.events...)
			b.mu.Unlock()
		}
	}
}

func (b *logBook) put(ctx context.Context, stream logStream, lines *logLines, events []types.InputLogEvent) error {
	inRegion := func(o *cloudwatchlogs.Options) { o.Region = stream.region }
	if !lines.created {
		_, err := b.api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{
			LogGroupName: aws.String(stream.group), LogStreamName: aws.String(stream.name),
		}, inRegion)
		if err != nil {
			return err
		}
		lines.created = true
	}
	for len(events) > 0 {
		n := min(len(events), 1000)
		_, err := b.api.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: aws.String(stream.group), LogStreamName: aws.String(stream.name), LogEvents: events[:n],
		}, inRegion)
		if err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}
