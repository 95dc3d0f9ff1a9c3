package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"carnation/internal/event"
)

// readParent reads which run a shard or a batch belongs to.
func (r *reader) readParent(ctx context.Context) error {
	if r.doc.Run.MapRun == "" {
		return nil
	}
	if err := r.limits.wait(ctx, describeMapRun); err != nil {
		return err
	}
	out, err := r.executions.DescribeMapRun(ctx, &sfn.DescribeMapRunInput{MapRunArn: aws.String(r.doc.Run.MapRun)})
	if err != nil {
		return fmt.Errorf("describe the Map Run of the execution: %w", err)
	}
	r.doc.Run.Of = aws.ToString(out.ExecutionArn)
	return nil
}

// batchItems are the events of a batch, which are in its input.
func batchItems(input string, payloads bool) (items []Item) {
	var batch struct {
		Items []struct {
			Index  int64
			Record json.RawMessage
		}
		BatchInput struct {
			Source string
			Time   int64
		}
	}
	if json.Unmarshal([]byte(input), &batch) != nil {
		return nil
	}
	for i, one := range batch.Items {
		e, err := event.FromRecord(batch.BatchInput.Source, batch.BatchInput.Time, one.Index+1, one.Record)
		if err != nil {
			e = event.FromBadRecord(batch.BatchInput.Source, batch.BatchInput.Time, one.Index+1, one.Record)
		}
		item := Item{Index: i, SequenceNo: e.SequenceNo, RandomValue: e.RandomValue, units: unitsOf(one.Record)}
		if payloads {
			item.Payload = one.Record
		}
		items = append(items, item)
	}
	return items
}

// followChild sets what became of the items of a shard or a batch. The function answers only how many failed. Which ones is in its
// log lines: if they do not explain the numbers, the items are unknown, and only the groups are right.
func (r *reader) followChild() {
	items := r.answers.items
	counts := r.answers.counts
	lines := map[int64]line{}
	for _, l := range r.lines {
		if l.failed && l.Sequence != nil {
			lines[*l.Sequence] = l
		}
	}
	most, err := strconv.Atoi(r.stack.Parameters["MaxReceiveCount"])
	if err != nil {
		most = 3 // the default of the template
	}
	returned := r.journey.iterations(returnClaimed)
	var found [3]int
	for i := range items {
		item := &items[i]
		l, failed := lines[item.SequenceNo]
		switch f := decisive(returned[item.Index]); {
		case f != nil:
			item.Status, item.EventIDs = r.journey.whereReturned(f, item.Claimed), idsOf(returned[item.Index])
			item.Error = cmp.Or(l.errorName, r.journey.errorOf("Insert Data"))
		case counts == nil && r.journey.root.status == Running:
			item.Status = ItemRunning
		case counts == nil:
			item.Status = ItemUnknown
		case !failed || counts[1]+counts[2] == 0:
			item.Status = ItemInserted
		default:
			item.Error = l.errorName
			switch {
			case l.permanent, item.Claimed && item.RetryAttempt >= most:
				item.Status = ItemBuried
			case item.Claimed:
				item.Status = ItemReleased
			default:
				item.Status = ItemParked
			}
		}
		switch item.Status {
		case ItemInserted:
			found[0]++
		case ItemBuried:
			found[2]++
		default:
			found[1]++
		}
	}
	r.doc.Items = group(items, r.options.Rows)
	if counts == nil || found == *counts {
		return
	}
	r.gap("items", "the log lines do not say which events failed")
	for i := range items {
		items[i].Status, items[i].Error = ItemUnknown, ""
	}
	r.doc.Items = group(items, r.options.Rows)
	r.doc.Items.Groups = nil
	failed := ItemParked
	if len(items) > 0 && items[0].Claimed {
		failed = ItemReleased
	}
	for i, status := range []string{ItemInserted, failed, ItemBuried} {
		if counts[i] > 0 {
			r.doc.Items.Groups = append(r.doc.Items.Groups, ItemGroup{Status: status, Count: counts[i]})
		}
	}
	r.doc.Items.sort()
}

// errorOf is the error of the last visit of a state that failed.
func (j *journey) errorOf(name string) string {
	for i := len(j.root.visits) - 1; i >= 0; i-- {
		if v := j.root.visits[i]; v.name == name && v.status == Failed {
			return v.error
		}
	}
	return ""
}

// explainItems adds the errors of events that failed for good, which only the log lines have.
func (r *reader) explainItems() {
	errors := map[int64]string{}
	for _, l := range r.lines {
		if l.failed && l.permanent && l.Sequence != nil {
			errors[*l.Sequence] = l.errorName
		}
	}
	for i := range r.answers.items {
		if item := &r.answers.items[i]; item.Status == ItemBuried && item.Error == "" {
			item.Error = errors[item.SequenceNo]
		}
	}
}
