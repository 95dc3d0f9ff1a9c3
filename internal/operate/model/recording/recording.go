// Package recording keeps what AWS says about an execution, so that tests can build its document again without a cloud. The test
// TestRecordExecutions in internal/e2e makes the files from local AWS.
package recording

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
)

// Recording is everything that AWS says about one execution and its children. The answers are as they came.
type Recording struct {
	Name            string                       `json:"name"` // of the stack
	Region          string                       `json:"region"`
	StateMachineArn string                       `json:"state_machine_arn"`
	Outputs         map[string]string            `json:"outputs"`
	Parameters      map[string]string            `json:"parameters"`
	Arn             string                       `json:"arn"` // of the execution
	At              time.Time                    `json:"at"`
	Executions      map[string]json.RawMessage   `json:"executions"`  // DescribeExecution
	Machines        map[string]json.RawMessage   `json:"machines"`    // DescribeStateMachineForExecution, of one child of each Map Run
	Histories       map[string][]json.RawMessage `json:"histories"`   // events of GetExecutionHistory
	MapRunsOf       map[string][]json.RawMessage `json:"map_runs_of"` // of ListMapRuns
	MapRuns         map[string]json.RawMessage   `json:"map_runs"`    // DescribeMapRun
	Children        map[string][]json.RawMessage `json:"children"`    // executions of ListExecutions, by Map Run
	Logs            map[string][]json.RawMessage `json:"logs"`        // events of FilterLogEvents, by log group
	Express         bool                         `json:"express"`     // Step Functions says nothing about Express children
}

// Record asks AWS about an execution.
func Record(ctx context.Context, cfg aws.Config, r Recording, groups []string) (*Recording, error) {
	r.At = time.Now().UTC().Truncate(time.Millisecond)
	r.Executions, r.Machines, r.MapRuns = map[string]json.RawMessage{}, map[string]json.RawMessage{}, map[string]json.RawMessage{}
	r.Histories, r.MapRunsOf, r.Children, r.Logs = map[string][]json.RawMessage{}, map[string][]json.RawMessage{}, map[string][]json.RawMessage{}, map[string][]json.RawMessage{}
	last := &lastAnswer{client: http.DefaultClient}
	cfg.HTTPClient = last
	w := recorder{&r, sfn.NewFromConfig(cfg), cloudwatchlogs.NewFromConfig(cfg), last}
	if err := w.execution(ctx, r.Arn, true); err != nil {
		return nil, err
	}
	if err := w.mapRuns(ctx); err != nil {
		return nil, err
	}
	return &r, w.lines(ctx, groups)
}

// lastAnswer is a client that keeps the body of the last answer.
type lastAnswer struct {
	client *http.Client
	body   []byte
}

func (l *lastAnswer) Do(request *http.Request) (*http.Response, error) {
	response, err := l.client.Do(request)
	if err != nil {
		return response, err
	}
	defer response.Body.Close()
	l.body, err = io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(l.body))
	return response, err
}

type recorder struct {
	*Recording
	executions *sfn.Client
	logs       *cloudwatchlogs.Client
	last       *lastAnswer
}

// list is a field of the last answer.
func (w recorder) list(name string) ([]json.RawMessage, error) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(w.last.body, &answer); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if answer[name] == nil {
		return nil, nil
	}
	return list, json.Unmarshal(answer[name], &list)
}

func (w recorder) execution(ctx context.Context, arn string, withMachine bool) error {
	if _, err := w.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		return err
	}
	w.Executions[arn] = w.last.body
	if withMachine {
		if _, err := w.executions.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			return err
		}
		w.Machines[arn] = w.last.body
	}
	pages := sfn.NewGetExecutionHistoryPaginator(w.executions, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 1000})
	for pages.HasMorePages() {
		if _, err := pages.NextPage(ctx); err != nil {
			return err
		}
		events, err := w.list("events")
		if err != nil {
			return err
		}
		w.Histories[arn] = append(w.Histories[arn], events...)
	}
	return nil
}

func (w recorder) mapRuns(ctx context.Context) error {
	runs, err := w.executions.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: aws.String(w.Arn)})
	if err != nil {
		return err
	}
	if w.MapRunsOf[w.Arn], err = w.list("mapRuns"); err != nil {
		return err
	}
	for _, run := range runs.MapRuns {
		if _, err := w.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: run.MapRunArn}); err != nil {
			return err
		}
		w.MapRuns[*run.MapRunArn] = w.last.body
		if w.Express {
			continue
		}
		children, err := w.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{MapRunArn: run.MapRunArn, MaxResults: 1000})
		if err != nil {
			return err
		}
		if w.Children[*run.MapRunArn], err = w.list("executions"); err != nil {
			return err
		}
		for i, child := range children.Executions {
			if err := w.execution(ctx, *child.ExecutionArn, i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines records the log lines since the start of the execution.
func (w recorder) lines(ctx context.Context, groups []string) error {
	var execution struct{ StartDate float64 }
	if err := json.Unmarshal(w.Executions[w.Arn], &execution); err != nil {
		return err
	}
	for _, group := range groups {
		w.Logs[group] = []json.RawMessage{}
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(w.logs, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String(group), StartTime: aws.Int64(int64(1000 * execution.StartDate)),
		})
		for pages.HasMorePages() {
			if _, err := pages.NextPage(ctx); err != nil {
				return fmt.Errorf("log group %s: %w", group, err)
			}
			events, err := w.list("events")
			if err != nil {
				return err
			}
			w.Logs[group] = append(w.Logs[group], events...)
		}
	}
	return nil
}

// Write writes the recording into a file.
func (r *Recording) Write(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	packed, _ := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err := json.NewEncoder(packed).Encode(r); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	return file.Close()
}

// Open reads the recording of a file.
func Open(path string) (*Recording, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var r Recording
	if err := json.NewDecoder(unpacked).Decode(&r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}
