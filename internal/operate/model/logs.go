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
	maxLogPages = 5  // with lines, of the oldest lines of a log group
	maxLogCalls = 20 // for these, also of pages without lines
	// maxLogWindows is how many windows of time are read, with up to two calls each, for the newest lines of a log group with more lines.
	maxLogWindows = 20
	logPage       = 1_000 // lines in the answer of a call
	maxLines      = 1_000 // of a document
	maxFields     = 2_000 // bytes of the fields of a line
	lateLines     = 2 * time.Minute
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

// readGroup reads the lines of a log group. If there are too many, it reads the oldest and the newest ones: how a run ended matters most.
func (r *reader) readGroup(ctx context.Context, group logGroup, pattern string) error {
	run, end := r.doc.Run, r.now
	if run.Stopped != nil {
		end = run.Stopped.Add(lateLines)
	}
	from, to := run.Started.UnixMilli(), end.UnixMilli()
	lines, whole, err := r.readLines(ctx, group, pattern, from, to, maxLogPages, maxLogCalls)
	r.lines = append(r.lines, lines...)
	if err != nil || whole {
		return err
	}
	r.doc.Logs.Omitted = true
	if len(lines) > 0 {
		from = lines[len(lines)-1].Time.UnixMilli() + 1
	}
	// FilterLogEvents has no reverse order. So these are windows of time, the last one first: small ones, which grow until there are enough
	// lines, and shrink if one has too many.
	for size, found, windows := max((to-from)/1024, 1), 0, 0; from <= to && found < maxLines && windows < maxLogWindows; windows++ {
		begin := max(to-size+1, from)
		lines, whole, err := r.readLines(ctx, group, pattern, begin, to, 2, 2)
		switch {
		case err != nil:
			return err
		case !whole && size > 1:
			size = max(size/8, 1)
			continue
		}
		r.lines = append(r.lines, lines...)
		found += len(lines)
		to, size = begin-1, size*2
	}
	return nil
}

// readLines reads the lines of some time, the oldest first, and tells whether these are all. A page can be empty although there are more.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
func (r *reader) readLines(ctx context.Context, group logGroup, pattern string, from, to int64, pages, calls int) (lines []line, whole bool, err error) {
	all := cloudwatchlogs.NewFilterLogEventsPaginator(r.logs, &cloudwatchlogs.FilterLogEventsInput{
		LogGroupName: aws.String(group.name), FilterPattern: aws.String(pattern), Limit: aws.Int32(logPage),
		StartTime: aws.Int64(from), EndTime: aws.Int64(to),
	})
	for ; all.HasMorePages(); calls-- {
		if pages == 0 || calls == 0 {
			return lines, false, nil
		}
		if err := r.limits.wait(ctx, filterLogEvents); err != nil {
			return lines, false, err
		}
		page, err := all.NextPage(ctx)
		if err != nil {
			return lines, false, err
		}
		if len(page.Events) > 0 {
			pages--
		}
		for _, e := range page.Events {
			lines = append(lines, readLine(group, time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), aws.ToString(e.Message)))
		}
	}
	return lines, true, nil
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
