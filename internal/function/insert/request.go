package insert

import (
	"encoding/json"
	"fmt"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/work"
)

// The operations of insert-data, which its requests name.
const (
	InsertItems   = "InsertItems"   // of a run in the inline mode: answers the events that failed
	InsertShard   = "InsertShard"   // gives back the events that failed, new or claimed
	InsertRecords = "InsertRecords" // makes events of records first; gives back those that failed
)

// request is what to insert.
type request struct {
	items     []event.Item
	errs      []error // of each item
	rate      float64
	run       string
	givesBack bool
	releaseAt time.Time
}

// read reads a request of any operation. The error is an *event.InvalidInputError.
func (h *Handler) read(payload []byte) (*request, error) {
	operation, o, err := event.ReadRequest(payload, event.Operations{
		InsertItems:   {"items", "failure_rate", "run"},
		InsertShard:   {"items", "failure_rate", "run", "release_at"},
		InsertRecords: {"records", "source", "time", "failure_rate", "run"},
	})
	if err != nil {
		return nil, err
	}
	r := &request{givesBack: operation != InsertItems}
	if operation == InsertRecords {
		err = r.readRecords(o)
	} else {
		r.items, err = event.ParseItems(o, "items")
		r.errs = make([]error, len(r.items))
	}
	if err != nil {
		return nil, err
	}
	// A bad record that could not be sent to the dead-letter queue comes back from the retry queue.
	for i, item := range r.items {
		if r.errs[i] == nil && item.Event.StandsForRecord() {
			r.errs[i] = work.Permanent(&event.RecordError{Position: item.Event.SequenceNo, Reason: "could not become an event"})
		}
	}
	if r.rate, err = event.FailureRate(o, h.FailureInjection); err != nil {
		return nil, err
	}
	if r.run, err = o.String("run", "the ARN of the run"); err != nil {
		return nil, err
	}
	if operation == InsertShard {
		at, err := o.Int("release_at", 0, event.MaxSequenceNo)
		if err != nil {
			return nil, err
		}
		r.releaseAt = time.Unix(at, 0)
	}
	return r, nil
}

// readRecords makes an event of each record. A bad record fails alone, for good.
func (r *request) readRecords(o event.Object) error {
	source, err := o.Source("source")
	if err != nil {
		return err
	}
	created, err := o.Int("time", 0, event.MaxSequenceNo)
	if err != nil {
		return err
	}
	var records []json.RawMessage
	if raw := o.Raw("records"); json.Unmarshal(raw, &records) != nil || records == nil {
		return o.Invalid("records", "a list of records with their indexes")
	}
	r.items, r.errs = make([]event.Item, len(records)), make([]error, len(records))
	for i, raw := range records {
		indexed, err := event.ReadObject(raw, fmt.Sprintf("records[%d]", i), "index", "record")
		if err != nil {
			return err
		}
		index, err := indexed.Int("index", 0, event.MaxSequenceNo-1)
		if err != nil {
			return err
		}
		if !indexed.Has("record") {
			return indexed.Invalid("record", "a record")
		}
		record := indexed.Raw("record")
		if r.items[i].Event, err = event.FromRecord(source, created, index+1, record); err != nil {
			r.items[i].Event, r.errs[i] = event.FromBadRecord(source, created, index+1, record), work.Permanent(err)
		}
	}
	return nil
}
