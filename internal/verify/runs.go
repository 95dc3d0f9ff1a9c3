package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/event"
)

// start starts an execution. Its ARN is known before the call, so that it can be stopped even if the answer is lost.
func (v *verifier) start(ctx context.Context, input event.Run) (arn string, err error) {
	data, err := json.Marshal(input)
	if err != nil {
		return "", fmt.Errorf("start an execution: %w", err)
	}
	name := fmt.Sprintf("verify-%d-%d", v.first, len(v.started))
	arn = strings.Replace(v.stack.StateMachineArn, ":stateMachine:", ":execution:", 1) + ":" + name
	v.started = append(v.started, arn)
	_, err = v.executions.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(v.stack.StateMachineArn), Name: aws.String(name), Input: aws.String(string(data)),
	})
	if err != nil {
		return arn, fmt.Errorf("start an execution: %w", err)
	}
	return arn, nil
}

// ended waits for an execution to end.
func (v *verifier) ended(ctx context.Context, arn string) (*sfn.DescribeExecutionOutput, error) {
	var out *sfn.DescribeExecutionOutput
	err := v.until(ctx, runPatience, "the end of "+nameOf(arn), func(ctx context.Context) (_ bool, _ string, err error) {
		if out, err = v.executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			return false, "", fmt.Errorf("describe %s: %w", nameOf(arn), err)
		}
		return out.Status != sfntypes.ExecutionStatusRunning, "it is still running", nil
	})
	return out, err
}

// nameOf is the name of an execution.
func nameOf(arn string) string { return arn[strings.LastIndex(arn, ":")+1:] }

// run runs an execution to its end, and counts what it says.
func (v *verifier) run(ctx context.Context, start, end int64, failureRate float64) (*sfn.DescribeExecutionOutput, error) {
	arn, err := v.start(ctx, event.Run{StartSeq: start, EndSeq: end, FailureRate: failureRate})
	if err != nil {
		return nil, err
	}
	out, err := v.ended(ctx, arn)
	if err == nil {
		v.inserted += inserted(out)
	}
	return out, err
}

// inserted is how many events a run says it inserted.
func inserted(out *sfn.DescribeExecutionOutput) int {
	var outcome struct{ Inserted int }
	if out.Output != nil && json.Unmarshal([]byte(*out.Output), &outcome) != nil {
		return 0
	}
	return outcome.Inserted
}

// expectInserted checks that a run says that it inserted all of its n events.
func expectInserted(out *sfn.DescribeExecutionOutput, n int) error {
	if out.Status != sfntypes.ExecutionStatusSucceeded || inserted(out) != n {
		return fmt.Errorf("%s, want it to succeed and insert %d", outcome(out), n)
	}
	return nil
}

// expectEventsFailed checks that a run failed because of all of its n events, and for no other reason.
func expectEventsFailed(out *sfn.DescribeExecutionOutput, n int) error {
	if aws.ToString(out.Error) != "Carnation.EventsFailed" || !strings.HasPrefix(aws.ToString(out.Cause), fmt.Sprintf("%d of %d events failed", n, n)) {
		return fmt.Errorf("%s, want Carnation.EventsFailed and %d of %d events", outcome(out), n, n)
	}
	return nil
}

// outcome says how a run ended.
func outcome(out *sfn.DescribeExecutionOutput) string {
	text := fmt.Sprintf("%s is %s", aws.ToString(out.Name), out.Status)
	for _, detail := range []*string{out.Error, out.Cause, out.Output} {
		if aws.ToString(detail) != "" {
			text += ": " + shorten(*detail)
		}
	}
	return text
}

// shorten keeps the beginning of a text.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "..."
	}
	return text
}

// items are those that generate-data answered in an execution and its shards, from their histories.
func (v *verifier) items(ctx context.Context, arn string) ([]event.Item, error) {
	items, err := v.itemsOf(ctx, arn)
	if err != nil {
		return nil, err
	}
	shards, err := v.shards(ctx, arn, "")
	if err != nil {
		return nil, err
	}
	for _, shard := range shards {
		more, err := v.itemsOf(ctx, shard)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
	}
	return items, nil
}

func (v *verifier) itemsOf(ctx context.Context, arn string) (items []event.Item, err error) {
	err = v.history(ctx, arn, func(e sfntypes.HistoryEvent) {
		if e.TaskSucceededEventDetails == nil {
			return
		}
		var output struct {
			Payload struct{ Items []event.Item }
		}
		if json.Unmarshal([]byte(aws.ToString(e.TaskSucceededEventDetails.Output)), &output) == nil {
			items = append(items, output.Payload.Items...)
		}
	})
	return items, err
}

// history reads the whole history of an execution.
func (v *verifier) history(ctx context.Context, arn string, each func(sfntypes.HistoryEvent)) error {
	pages := sfn.NewGetExecutionHistoryPaginator(v.executions, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read the history of %s: %w", nameOf(arn), err)
		}
		for _, e := range page.Events {
			each(e)
		}
	}
	return nil
}

// shards are the ARNs of the shards of a distributed run, or of those with a status.
func (v *verifier) shards(ctx context.Context, arn string, status sfntypes.ExecutionStatus) (arns []string, err error) {
	if !v.stack.Distributed || v.isExpress() {
		return nil, nil // Express children cannot be listed
	}
	mapRuns, err := v.executions.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: aws.String(arn)})
	if err != nil {
		return nil, fmt.Errorf("list the Map Runs of %s: %w", nameOf(arn), err)
	}
	for _, mapRun := range mapRuns.MapRuns {
		list, err := v.executions.ListExecutions(ctx, &sfn.ListExecutionsInput{MapRunArn: mapRun.MapRunArn, StatusFilter: status})
		if err != nil {
			return nil, fmt.Errorf("list the shards of %s: %w", nameOf(arn), err)
		}
		for _, shard := range list.Executions {
			arns = append(arns, aws.ToString(shard.ExecutionArn))
		}
	}
	return arns, nil
}

// isExpress tells whether the shards are Express executions, which have no history and cannot be listed or stopped.
func (v *verifier) isExpress() bool {
	return v.stack.Distributed && v.stack.Parameters["ShardExecutionType"] == "EXPRESS"
}

// row is a row of the table.
type row struct {
	SequenceNo        int64  `dynamodbav:"sequenceNo"`
	GeneratedUnixTime int64  `dynamodbav:"generatedUnixTime"`
	RandomStringValue string `dynamodbav:"randomStringValue"`
	RetryAttempt      int    `dynamodbav:"retryAttempt"`
}

// rows are those with a sequence number of a half-open range.
func (v *verifier) rows(ctx context.Context, start, end int64) (rows []row, err error) {
	for seq := start; seq < end; seq++ {
		pages := dynamodb.NewQueryPaginator(v.table, &dynamodb.QueryInput{
			TableName: aws.String(v.stack.TableName), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("sequenceNo = :seq"),
			ExpressionAttributeValues: map[string]dynamodbtypes.AttributeValue{":seq": &dynamodbtypes.AttributeValueMemberN{Value: fmt.Sprint(seq)}},
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, fmt.Errorf("query the table: %w", err)
			}
			var found []row
			if err := attributevalue.UnmarshalListOfMaps(page.Items, &found); err != nil {
				return nil, fmt.Errorf("read row %d: %w", seq, err)
			}
			rows = append(rows, found...)
		}
	}
	return rows, nil
}

// expectNoRows checks that none of these events is in the table.
func (v *verifier) expectNoRows(ctx context.Context, start, end int64) error {
	rows, err := v.rows(ctx, start, end)
	if err == nil && len(rows) > 0 {
		err = fmt.Errorf("event %d has a row, but it failed", rows[0].SequenceNo)
	}
	return err
}

// expectRows checks that each event is one row, which was inserted at a retry, with the values of the history of its first run.
func (v *verifier) expectRows(ctx context.Context, arn string, start, end int64, retry int) error {
	items, err := v.items(ctx, arn)
	if err != nil {
		return err
	}
	made := map[int64]event.Event{}
	for _, item := range items {
		made[item.Event.SequenceNo] = item.Event
	}
	rows, err := v.rows(ctx, start, end)
	if err != nil {
		return err
	}
	found := map[int64]bool{}
	var faults []error
	for _, r := range rows {
		e, ok := made[r.SequenceNo]
		switch {
		case found[r.SequenceNo]:
			faults = append(faults, fmt.Errorf("event %d has several rows", r.SequenceNo))
		case !ok && !v.isExpress():
			faults = append(faults, fmt.Errorf("event %d is not in the history of %s", r.SequenceNo, nameOf(arn)))
		case ok && (r.RandomStringValue != e.RandomValue || r.GeneratedUnixTime != e.CurrentTime):
			faults = append(faults, fmt.Errorf("the row of event %d has other values than the history of %s", r.SequenceNo, nameOf(arn)))
		case r.RetryAttempt != retry:
			faults = append(faults, fmt.Errorf("the row of event %d has retryAttempt %d, want %d", r.SequenceNo, r.RetryAttempt, retry))
		}
		found[r.SequenceNo] = true
	}
	if missing := end - start - int64(len(found)); missing > 0 {
		faults = append(faults, fmt.Errorf("%d of %d events have no row, although their run says that they were inserted", missing, end-start))
	}
	return errors.Join(faults...)
}
