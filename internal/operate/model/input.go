package model

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"carnation/internal/event"
)

// Kinds of inputs.
const (
	KindRange   = "range"
	KindRetry   = "retry"
	KindEvents  = "events"
	KindSource  = "source"
	KindShard   = "shard"
	KindBatch   = "batch"
	KindInvalid = "invalid"
)

// readInput is the input of an execution without its payloads.
func readInput(text string) Input {
	in, err := event.ParseInput([]byte(text), true)
	if err != nil {
		return readChildInput(text, err)
	}
	out := Input{FailureRate: in.FailureRate}
	if in.Time != nil {
		out.Time = *in.Time
	}
	switch {
	case in.Events != nil:
		out.Kind, out.Events = KindEvents, len(in.Events)
		out.Text = countOf(out.Events, "event") + " in the input"
	case in.Source != nil:
		out.Kind, out.Source, out.Format = KindSource, in.Source.URI(), in.Source.Format
		out.Text = fmt.Sprintf("%s, %s", path.Base(in.Source.Key), in.Source.Format)
	case in.StartSeq == in.EndSeq:
		out.Kind, out.StartSeq, out.EndSeq, out.Text = KindRetry, in.StartSeq, in.EndSeq, "retries only"
	default:
		out.Kind, out.StartSeq, out.EndSeq, out.Text = KindRange, in.StartSeq, in.EndSeq, rangeText(in.StartSeq, in.EndSeq)
		out.Events = int(min(in.EndSeq-in.StartSeq, 1<<31-1))
	}
	return out
}

// readChildInput is the input of a shard or of a batch. wrong is why it is not that of a run.
func readChildInput(text string, wrong error) Input {
	var child struct {
		Shard      *int
		Plan       *event.Plan
		Items      []struct{ Index int64 }
		BatchInput *struct {
			Source      string
			Time        int64
			FailureRate float64 `json:"failure_rate"`
		}
	}
	if json.Unmarshal([]byte(text), &child) != nil {
		return Input{Kind: KindInvalid, Text: "not valid: " + wrong.Error()}
	}
	switch {
	case child.Shard != nil && child.Plan != nil && child.Plan.ShardSize > 0:
		p, number := child.Plan, *child.Shard
		in := Input{Kind: KindShard, FailureRate: p.FailureRate, Time: p.CurrentTime}
		in.StartSeq, in.EndSeq = p.Range(number)
		in.Events = int(in.EndSeq - in.StartSeq)
		in.Text = fmt.Sprintf("shard %d: %s", number, rangeText(in.StartSeq, in.EndSeq))
		if number < p.Claimers {
			in.StartSeq, in.EndSeq = 0, 0
			in.Text = fmt.Sprintf("shard %d: failed events of earlier runs", number)
		}
		return in
	case child.BatchInput != nil && len(child.Items) > 0:
		first, last := child.Items[0].Index+1, child.Items[len(child.Items)-1].Index+1
		return Input{
			Kind: KindBatch, StartSeq: first, EndSeq: last + 1, Events: len(child.Items), Source: child.BatchInput.Source,
			Time: child.BatchInput.Time, FailureRate: child.BatchInput.FailureRate,
			Text: fmt.Sprintf("records %d to %d of %s", first, last, strings.TrimPrefix(path.Base(child.BatchInput.Source), "/")),
		}
	}
	return Input{Kind: KindInvalid, Text: "not valid: " + wrong.Error()}
}

func rangeText(start, end int64) string {
	if end-start == 1 {
		return fmt.Sprintf("event %d", start)
	}
	return fmt.Sprintf("events %d to %d", start, end-1)
}

// countOf is such as "1 event" or "7 events".
func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
