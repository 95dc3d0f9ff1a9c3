package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/operate"
)

// reader reads one execution.
type reader struct {
	stack      *operate.Stack
	executions *sfn.Client
	logs       *cloudwatchlogs.Client
	limits     limits
	options    Options
	now        time.Time

	doc       *Document
	execution *sfn.DescribeExecutionOutput
	journey   *journey
	answers   *answers
	input     string

	mu sync.Mutex // for Partial

	lines     []line
	used      used
	estimated bool        // some of the children were left out
	spans     []Span      // of the children
	series    []MapSeries // of the children
}

func newReader(stack *operate.Stack, options Options) *reader {
	if options.Rows <= 0 {
		options.Rows = defaultRow
	}
	return &reader{
		stack: stack, executions: sfn.NewFromConfig(stack.Config), logs: cloudwatchlogs.NewFromConfig(stack.Config),
		limits: limitsFor(aws.ToString(stack.Config.BaseEndpoint), stack.Config.Region), options: options, now: time.Now(),
	}
}

// Read builds the document of an execution: of a run, a shard or a batch. It makes no more calls than AWS allows in a second. An error
// is one of AWS, about the execution itself; whatever else cannot be read is in Partial.
func Read(ctx context.Context, stack *operate.Stack, executionArn string, options Options) (*Document, error) {
	return newReader(stack, options).read(ctx, executionArn)
}

// RunSummary is what a list of runs shows of one.
type RunSummary struct {
	Input   Input    `json:"input"`
	Outcome Outcome  `json:"outcome"`
	USD     *float64 `json:"usd"` // as carnation cost estimates it; null until the outcome is known
	Error   string   `json:"error,omitempty"`
	Cause   string   `json:"cause,omitempty"`
}

// Summary makes one call, DescribeExecution. The outcome of a run that is running or that ended early is not known without its history,
// which Read reads.
func Summary(ctx context.Context, stack *operate.Stack, executionArn string) (RunSummary, error) {
	r := newReader(stack, Options{})
	if err := r.describe(ctx, executionArn); err != nil {
		return RunSummary{}, err
	}
	run := &r.doc.Run
	r.doc.Outcome.say(run.Status, run.Error, nil)
	return RunSummary{Input: run.Input, Outcome: r.doc.Outcome, USD: r.estimate(), Error: run.Error, Cause: run.Cause}, nil
}

func (r *reader) read(ctx context.Context, arn string) (*Document, error) {
	if err := r.describe(ctx, arn); err != nil {
		return nil, err
	}
	if err := r.readDefinition(ctx, arn); err != nil {
		return nil, err
	}
	if err := r.readParent(ctx); err != nil {
		return nil, err
	}
	r.answers = newAnswers(r.options.Payloads)
	r.journey = newJourney(r.doc.Run.Started, r.answers.see)
	if err := r.readHistory(ctx, arn, r.journey, true); err != nil {
		return nil, err
	}
	if err := r.catchUp(ctx, arn); err != nil {
		return nil, err
	}
	r.doc.States = r.journey.states()
	r.used.add(r.journey, 1)
	if err := r.readShards(ctx); err != nil {
		return nil, err
	}
	if r.doc.Run.Input.Kind == KindBatch {
		r.answers.items, r.answers.asked = batchItems(r.input, r.options.Payloads), true
	}
	if err := r.readLogs(ctx); err != nil {
		return nil, err
	}
	r.events()
	r.doc.Timeline = r.timeline()
	r.cost()
	r.doc.Outcome.say(r.doc.Run.Status, r.doc.Run.Error, r.doc.Shards)
	r.doc.fill()
	return r.doc, nil
}

// catchUp describes the execution again if it has ended or was redriven before its history was read, so that both say the same.
func (r *reader) catchUp(ctx context.Context, arn string) error {
	if len(r.journey.at) == 0 { // there is no history
		return nil
	}
	if running := r.doc.Run.Status == string(types.ExecutionStatusRunning); running == (r.journey.root.status == Running) {
		return nil
	}
	definition, of, partial := r.doc.Definition, r.doc.Run.Of, r.doc.Partial
	if err := r.describe(ctx, arn); err != nil {
		return err
	}
	r.doc.Definition, r.doc.Run.Of, r.doc.Partial = definition, of, partial
	return nil
}

// fill makes lists that are null empty ones.
func (d *Document) fill() {
	d.States, d.Partial = filled(d.States), filled(d.Partial)
	d.Timeline.Spans, d.Timeline.Maps = filled(d.Timeline.Spans), filled(d.Timeline.Maps)
	d.Items.Groups, d.Items.Rows = filled(d.Items.Groups), filled(d.Items.Rows)
	d.Logs.Lines, d.Cost.Lines = filled(d.Logs.Lines), filled(d.Cost.Lines)
}

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// gap notes what could not be read.
func (r *reader) gap(what, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gap := (Gap{what, why}); !slices.Contains(r.doc.Partial, gap) {
		r.doc.Partial = append(r.doc.Partial, gap)
	}
}

// describe reads the execution.
func (r *reader) describe(ctx context.Context, arn string) (err error) {
	if err := r.limits.wait(ctx, describeExecution); err != nil {
		return err
	}
	r.execution, err = r.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return fmt.Errorf("describe execution: %w", err)
	}
	e, mode := r.execution, "INLINE"
	if r.stack.Distributed {
		mode = "DISTRIBUTED"
	}
	r.doc = &Document{
		ReadAt: r.now, Stack: Stack{r.stack.Name, r.stack.Config.Region, mode, r.stack.StateMachineArn},
		Run: Run{
			Arn: arn, Name: aws.ToString(e.Name), Status: string(e.Status), Started: aws.ToTime(e.StartDate), Stopped: e.StopDate,
			Redrives: int(aws.ToInt32(e.RedriveCount)), Redriven: e.RedriveDate,
			CanRedrive: e.RedriveStatus == types.ExecutionRedriveStatusRedrivable, WhyNot: aws.ToString(e.RedriveStatusReason),
			Error: aws.ToString(e.Error), Cause: aws.ToString(e.Cause), MapRun: aws.ToString(e.MapRunArn),
		},
	}
	run := &r.doc.Run
	end := r.now
	if run.Stopped != nil {
		end = *run.Stopped
	}
	run.Milliseconds = max(0, end.Sub(run.Started).Milliseconds())
	r.input = aws.ToString(e.Input)
	run.Input = readInput(r.input)
	r.doc.Outcome.known(run.Input, run.Status, aws.ToString(e.Output), run.Error, run.Cause)
	if r.options.Payloads {
		run.RawInput, run.RawOutput = raw(r.input), raw(aws.ToString(e.Output))
	}
	r.doc.fill()
	return nil
}

// raw is a text of AWS as JSON: as it is, or as a string if it is none.
func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string has no other outcome
	return quoted
}

// definitions are those of the last executions that were read, because AWS allows one call a second and a definition stays as it is.
var definitions struct {
	sync.Mutex
	of   map[string]string
	keys []string
}

const maxDefinitions = 50

func (r *reader) readDefinition(ctx context.Context, arn string) error {
	key := fmt.Sprint(aws.ToString(r.stack.Config.BaseEndpoint), arn, r.doc.Run.Started.UnixNano())
	definitions.Lock()
	text, ok := definitions.of[key]
	definitions.Unlock()
	if !ok {
		if err := r.limits.wait(ctx, describeStateMachine); err != nil {
			return err
		}
		out, err := r.executions.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil {
			return fmt.Errorf("describe the state machine of the execution: %w", err)
		}
		text = aws.ToString(out.Definition)
		definitions.Lock()
		if definitions.of == nil {
			definitions.of = map[string]string{}
		}
		definitions.of[key] = text
		definitions.keys = append(definitions.keys, key)
		if len(definitions.keys) > maxDefinitions {
			delete(definitions.of, definitions.keys[0])
			definitions.keys = definitions.keys[1:]
		}
		definitions.Unlock()
	}
	if !json.Valid([]byte(text)) {
		r.gap("definition", "the definition is not JSON")
		text = "{}"
	}
	r.doc.Definition = json.RawMessage(text)
	if label := labelOf(arn); label != "" {
		r.doc.Definition = processorOf(r.doc.Definition, label)
	}
	return nil
}

// labelOf is the label of the Map state that has started a child execution, or "" for a run.
// A child's ARN is arn:...:execution:machine/label:name.
func labelOf(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) < 8 {
		return ""
	}
	_, label, _ := strings.Cut(parts[6], "/")
	return label
}

// processorOf is the ItemProcessor of the Map state with a label. A definition without one is that of the child already.
func processorOf(definition json.RawMessage, label string) json.RawMessage {
	var machine struct {
		States map[string]struct {
			Label         string
			ItemProcessor json.RawMessage
		}
	}
	if json.Unmarshal(definition, &machine) == nil {
		for _, state := range machine.States {
			if state.Label == label && state.ItemProcessor != nil {
				return state.ItemProcessor
			}
		}
	}
	return definition
}

// readHistory gives the history of an execution to a journey, page by page.
func (r *reader) readHistory(ctx context.Context, arn string, j *journey, data bool) error {
	pages := sfn.NewGetExecutionHistoryPaginator(r.executions, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(arn), MaxResults: 1000, IncludeExecutionData: aws.Bool(data),
	})
	for pages.HasMorePages() {
		if err := r.limits.wait(ctx, getExecutionHistory); err != nil {
			return err
		}
		page, err := pages.NextPage(ctx)
		var gone *types.ExecutionDoesNotExist
		if errors.As(err, &gone) {
			r.gap("history", "Step Functions keeps no history of this execution")
			return nil
		}
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for _, e := range page.Events {
			j.add(e)
		}
	}
	return nil
}

// events sets the items and the outcome, from the history.
func (r *reader) events() {
	switch {
	case !r.answers.asked:
	case r.doc.Run.Of != "":
		r.followChild()
	default:
		r.journey.followItems(r.answers)
		r.explainItems()
		r.doc.Items = group(r.answers.items, r.options.Rows)
	}
	if r.answers.asked && !r.doc.Outcome.complete() {
		r.doc.Outcome.sum(r.answers.items)
	}
}
