package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

const (
	maxLogPages = 5     // calls for each log group
	logPage     = 1_000 // lines in the answer of a call
	maxLines    = 1_000 // of a document
	maxFields   = 2_000 // bytes of the fields of a line
	lateLines   = 2 * time.Minute
	// An execution with more children than this logs so many lines that only warnings and errors are read.
	manyChildren = 200
)

// logGroup is where a function or the state machine logs.
type logGroup struct {
	name, function string
	field          string // of a line, that has the ARN of the execution
}

// logGroups are those of the stack, by the names that the templates give them.
func (r *reader) logGroups() (groups []logGroup) {
	for _, f := range [][2]string{{"GenerateDataFunctionArn", "generate-data"}, {"InsertDataFunctionArn", "insert-data"}, {"PlanShardsFunctionArn", "plan-shards"}} {
		_, name, ok := strings.Cut(r.stack.Outputs[f[0]], ":function:")
		if name, _, _ = strings.Cut(name, ":"); ok {
			groups = append(groups, logGroup{"/aws/lambda/" + name, f[1], "executionArn"})
		}
	}
	machine := r.stack.StateMachineArn[strings.LastIndex(r.stack.StateMachineArn, ":")+1:]
	return append(groups, logGroup{"/aws/vendedlogs/states/" + machine, "state-machine", "execution_arn"})
}

// line is a line before it is known whether it belongs to the document.
type line struct {
	LogLine
	failed     bool // it says that an event failed
	permanent  bool
	retry      int
	errorName  string
	fromStates bool
}

// readLogs reads the log lines of the execution. Lines of a shard name its run, so those of its own requests and events are chosen.
func (r *reader) readLogs(ctx context.Context) error {
	if r.options.NoLogs {
		r.gap("log lines", "they were not asked for")
		return nil
	}
	run := &r.doc.Run
	for _, group := range r.logGroups() {
		arn := run.Arn
		if run.Of != "" && group.field == "executionArn" {
			arn = run.Of
		}
		pattern := fmt.Sprintf("{ $.%s = %q }", group.field, arn)
		if r.doc.Shards != nil && r.doc.Shards.Total > manyChildren && group.field == "executionArn" {
			pattern = fmt.Sprintf(`{ $.%s = %q && $.level != "INFO" }`, group.field, arn)
			r.doc.Logs.Omitted = true
		}
		err := r.readGroup(ctx, group, pattern)
		var missing *types.ResourceNotFoundException
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &missing):
			r.gap("log lines of "+group.function, "the log group "+group.name+" does not exist")
		case err != nil:
			r.gap("log lines of "+group.function, err.Error())
		}
	}
	slices.SortStableFunc(r.lines, func(a, b line) int { return a.Time.Compare(b.Time) })
	if run.Of != "" {
		r.lines = slices.DeleteFunc(r.lines, func(l line) bool { return !r.isOwn(l) })
	}
	if more := len(r.lines) - maxLines; more > 0 {
		r.doc.Logs.Omitted = true
	}
	for _, l := range r.lines[max(0, len(r.lines)-maxLines):] {
		r.doc.Logs.Lines = append(r.doc.Logs.Lines, l.LogLine)
	}
	return nil
}

// isOwn tells whether a line of the run is about a request of this child, or about one of its events.
func (r *reader) isOwn(l line) bool {
	if l.fromStates || l.Request != "" && r.journey.requests[l.Request] {
		return true
	}
	return l.Sequence != nil && slices.ContainsFunc(r.answers.items, func(i Item) bool { return i.SequenceNo == *l.Sequence })
}

func (r *reader) readGroup(ctx context.Context, group logGroup, pattern string) error {
	run, end := r.doc.Run, r.now
	if run.Stopped != nil {
		end = run.Stopped.Add(lateLines)
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(r.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(group.name), FilterPattern: aws.String(pattern), Limit: aws.Int32(logPage),
		StartTime: aws.Int64(run.Started.UnixMilli()), EndTime: aws.Int64(end.UnixMilli()),
	})
	for n := 0; pages.HasMorePages(); n++ {
		if n == maxLogPages {
			r.doc.Logs.Omitted = true
			return nil
		}
		if err := r.limits.wait(ctx, filterLogEvents); err != nil {
			return err
		}
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, e := range page.Events {
			r.lines = append(r.lines, readLine(group, time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), aws.ToString(e.Message)))
		}
	}
	return nil
}

// hidden are fields that every line has, or that the document has in another place.
var hidden = []string{
	"timestamp", "time", "level", "message", "msg", "executionArn", "requestId", "_aws", "ProjectName", "Environment",
	"execution_arn", "event_timestamp", "previous_event_id", "type",
}

func readLine(group logGroup, at time.Time, text string) line {
	l := line{LogLine: LogLine{Time: at, Function: group.function, Message: strings.TrimSuffix(text, "\n")}, fromStates: group.field == "execution_arn"}
	var fields map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		return l
	}
	word := func(name string) string { s, _ := fields[name].(string); return s }
	l.Level, l.Message, l.Request = word("level"), cmp.Or(word("message"), word("msg"), word("type"), l.Message), word("requestId")
	l.failed, l.errorName = l.Message == "event failed", errorNameOf(word("error"))
	l.permanent, _ = fields["permanent"].(bool)
	if number, ok := fields["sequenceNo"].(json.Number); ok {
		if n, err := number.Int64(); err == nil {
			l.Sequence = &n
		}
	}
	if number, ok := fields["retryAttempt"].(json.Number); ok {
		l.retry, _ = strconv.Atoi(number.String())
	}
	if details, ok := fields["details"].(map[string]any); ok { // of the state machine
		delete(fields, "details")
		maps.Copy(fields, details)
		if l.Level == "" {
			l.Level = "ERROR" // of the state machine's log, as the template sets it
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(hidden, name) || name == "sequenceNo" {
			continue
		}
		value := word(name)
		if value == "" {
			encoded, _ := json.Marshal(fields[name]) // it was decoded from JSON
			value = string(encoded)
		}
		parts = append(parts, name+"="+value)
	}
	l.Fields = shortened(strings.Join(parts, " "), maxFields)
	return l
}

// apiError is in the text of an error of the AWS SDK.
var apiError = regexp.MustCompile(`api error ([A-Za-z0-9._-]+):`)

// errorNameOf is the name of an error whose text is in a log line, or "" if the text does not tell. Names are in answers and in the
// attributes of messages, and not in log lines.
func errorNameOf(text string) string {
	if found := apiError.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	for part, name := range map[string]string{"failure simulated by failure_rate": "SimulatedFailure", "cannot become an event": "InvalidRecord"} {
		if strings.Contains(text, part) {
			return name
		}
	}
	return ""
}

// shortened is a text of at most size bytes, and an ellipsis.
func shortened(text string, size int) string {
	if len(text) <= size {
		return text
	}
	for size > 0 && !utf8.RuneStart(text[size]) {
		size--
	}
	return text[:size] + "…"
}
