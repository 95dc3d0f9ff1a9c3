package cost

import (
	"errors"
	"strings"
	"testing"
	"time"

	"carnation/internal/event"
	"carnation/internal/function/generate"
)

// record is a record with this many bytes of JSON, at least 9.
func record(size int) []byte {
	return []byte(`{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`)
}

// ownRecords are n records of a size.
func ownRecords(t *testing.T, n, size, shardSize int) *Records {
	t.Helper()
	r := NewRecords(shardSize)
	if err := r.AddTimes(record(size), n); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAMillionOwnEventsCostLittleMoreThanTheirWrites(t *testing.T) {
	for _, children := range []string{Standard, Express} {
		own := ownRecords(t, 1_000_000, 200, event.MaxShardSize)
		bill := prices(t).Bill(Run{Mode: Distributed, Events: own.Count, Records: own, ShardSize: event.MaxShardSize, ChildType: children})
		if bill.Floor != 0.625 || bill.USD > maxMillion || bill.Ratio > 1.28 {
			t.Errorf("with %s children they cost %.4f USD, %.2f times the %.4f of their writes: want at most %.2f, and 1.28 times 0.625",
				children, bill.USD, bill.Ratio, bill.Floor, maxMillion)
		}
	}
}

// The numbers are counted by hand: a batch of small records is full after 1,000 of them, and one of large records after 258,000 bytes.
func TestBatchesAndRunsAreFullByRecordsOrByBytes(t *testing.T) {
	for _, test := range []struct{ n, size, shardSize, batches, runs int }{
		{1, 200, 1000, 1, 1},
		{1000, 200, 1000, 1, 2},
		{1001, 200, 1000, 2, 2},
		{1000, 200, 100, 10, 2},
		{generate.MaxItems, 20, 1000, 1, 1},
		{12, event.MaxRecord, 1000, 1, 1},
		{13, event.MaxRecord, 1000, 2, 2},
		{25, event.MaxRecord, 1000, 3, 3},
	} {
		r := ownRecords(t, test.n, test.size, test.shardSize)
		if r.Batches != test.batches || r.Runs != test.runs {
			t.Errorf("%d records of %d bytes are %d batches and %d inline runs, want %d and %d", test.n, test.size, r.Batches, r.Runs, test.batches, test.runs)
		}
		if want := int64(test.n * (test.size + 1)); r.Bytes != want {
			t.Errorf("%d records of %d bytes take %d bytes, want %d", test.n, test.size, r.Bytes, want)
		}
	}
}

func TestThePayloadDecidesTheWriteUnits(t *testing.T) {
	base := ItemBytes + len("payload") + len("source") + SourceBytes
	for text, payload := range map[string]int{
		`{}`:                             3,
		`{"a":""}`:                       3 + 1 + 1,
		`{"ä":"ö€"}`:                     3 + 1 + 2 + 5,
		`{"a":true,"b":null}`:            3 + 2*(1+1+1),
		`{"a":12.50,"b":-7,"c":0}`:       3 + (1 + 1 + 3) + (1 + 1 + 3) + (1 + 1 + 1),
		`{"a":[1,"x"], "b":{"c":1e100}}`: 3 + (1 + 1 + 3 + (1 + 2) + (1 + 1)) + (1 + 1 + 3 + (1 + 1 + 2)),
	} {
		r := NewRecords(1000)
		if err := r.Add([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if r.Stored != int64(base+payload) || r.Units != 1 {
			t.Errorf("%s takes %d bytes and %d units, want %d and 1", text, r.Stored, r.Units, base+payload)
		}
	}
	for size, units := range map[int]int{200: 1, 1024: 2, event.MaxRecord: 21} {
		if r := ownRecords(t, 3, size, 1000); r.Units != 3*units {
			t.Errorf("3 records of %d bytes take %d units, want %d each", size, r.Units, units)
		}
	}
}

func TestARecordThatARunRefusesHasNoPrice(t *testing.T) {
	r := NewRecords(1000)
	var bad *event.RecordError
	if err := r.Add(record(event.MaxRecord + 1)); !errors.As(err, &bad) {
		t.Errorf("Add() of a record that is too large: error = %v", err)
	}
	if err := r.AddTimes(record(9), event.MaxEvents+1); err == nil {
		t.Error("AddTimes() of more records than a run takes: no error")
	}
}

func TestLargeMessagesAreSeveralRequests(t *testing.T) {
	for size, want := range map[int]int{200: 1 + 10, event.MaxRecord: 1 + 32} { // 100 messages of 20,880 bytes are 32 times 64 KiB
		own := ownRecords(t, 100, size, 10)
		r := Run{Mode: Distributed, Events: 100, Records: own, Failed: 100, ShardSize: 10, ChildType: Standard}
		if got := r.queueRequests(); got != want {
			t.Errorf("100 failed events of %d bytes are %d requests of SQS, want %d", size, got, want)
		}
	}
}

func TestOnlyLargeInputsAreReadFromS3(t *testing.T) {
	for n, want := range map[int]int{100: 0, 10_000: 1 + 2} {
		own := ownRecords(t, n, 200, 1000)
		r := Run{Mode: Distributed, Events: n, Records: own, ShardSize: 1000, ChildType: Standard}
		if got := r.Counts().ObjectCalls; got != want {
			t.Errorf("%d records are read with %d requests of S3, want %d", n, got, want)
		}
	}
}

func TestAScheduleIsPaidForEveryMonth(t *testing.T) {
	own := ownRecords(t, 10, 200, 1000)
	run := Run{Mode: Distributed, Events: 10, Records: own, ShardSize: 1000, ChildType: Standard}
	without := prices(t).Bill(run)
	run.RetryEvery = time.Hour
	with := prices(t).Bill(run)
	if with.USD != without.USD {
		t.Errorf("a schedule changes the price of a run from %g to %g", without.USD, with.USD)
	}
	for _, line := range with.Monthly {
		if line.Part == "schedule" && line.Quantity != 730 {
			t.Errorf("a schedule of rate(1 hour) starts %g runs in a month, want 730", line.Quantity)
		}
	}
}

func TestAnItemOfAnInlineRunIsAsLargeAsTheCostTakesIt(t *testing.T) {
	item := event.Item{Event: event.Event{
		SequenceNo: generate.MaxItems, RandomValue: "0f6f3b5e-5d0c-4c6b-9a4e-6a9d6f1f2b7a", CurrentTime: 1795416822, Source: "input", Payload: record(200),
	}}
	size, err := item.Size()
	if err != nil {
		t.Fatal(err)
	}
	const wrapping = 130 // generate-data's, for an event that fails
	if size-200+wrapping != inlineItem {
		t.Errorf("an item without its payload takes %d bytes with its wrapping, the cost takes it as %d", size-200+wrapping, inlineItem)
	}
}
