package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carnation/internal/operate/model"
)

func TestADocumentIsPrintedForPeople(t *testing.T) {
	started := time.Date(2026, 11, 23, 6, 53, 20, 0, time.Local)
	stopped := started.Add(4446 * time.Millisecond)
	seven := int64(7)
	doc := &model.Document{
		Stack: model.Stack{Name: "carnation-devl", Region: "eu-central-2", MapMode: "INLINE"},
		Run: model.Run{
			Arn: "arn:orders", Name: "orders", Status: "FAILED", Started: started, Stopped: &stopped, Milliseconds: 4446, Redrives: 2, Redriven: &stopped,
			Error: "Carnation.EventsFailed", Cause: "9 of 20 events failed", Input: model.Input{Text: "events 1 to 20", FailureRate: 0.3}, RawInput: json.RawMessage(`{"start_seq":1}`),
		},
		Outcome: model.Outcome{Sentence: "11 of 20 events were inserted; 9 were returned to the retry queue"},
		States: []model.State{
			{Path: []string{"Process Events"}, Type: "Map", Entered: 1, Succeeded: 1, TotalMS: 2220, MostMS: 2220},
			{Path: []string{"Process Events", "Insert\x1b[31m Data"}, Type: "Task", Entered: 20, Succeeded: 11, Failed: 9, Caught: 9, Retried: 3, TotalMS: 4000, MostMS: 1686},
			{Path: []string{"Later"}, Type: "Pass", Entered: 40, Running: 40, Estimated: true},
		},
		Items: model.Items{Total: 20, Groups: []model.ItemGroup{{Status: "inserted", Count: 11}, {Status: "parked", Error: "SimulatedFailure", Count: 9}}, Omitted: 1},
		Shards: &model.Shards{Total: 3, Succeeded: 2, Failed: 1, Type: "STANDARD", Rows: []model.Shard{
			{Arn: "arn:shard", Status: model.Failed, Error: "ParkError", Cause: "refused\nby SQS"}, {Arn: "arn:good", Status: model.Succeeded}}},
		Logs: model.Logs{Lines: []model.LogLine{
			{Time: started, Function: "insert-data", Level: "INFO", Message: "events inserted"},
			{Time: started, Function: "insert-data", Level: "WARN", Message: "event failed", Fields: "retryAttempt=0", Sequence: &seven}}},
		Cost: model.Cost{USD: 0.00199036, Date: "2026-11-24", Region: "us-east-1", Lines: []model.CostLine{{Part: "state transitions", Quantity: 9, Unit: "transitions", USD: 0.000225, Basis: "counted"}}},
	}
	for i := range 12 {
		doc.Items.Rows = append(doc.Items.Rows, model.Item{Index: i, SequenceNo: int64(i + 1), Status: model.ItemParked, Error: "SimulatedFailure", Claimed: i == 0, RetryAttempt: i % 2, Payload: json.RawMessage(`{"order":"A"}`)})
	}
	doc.Items.Rows = append(doc.Items.Rows, model.Item{SequenceNo: 20, Status: model.ItemInserted})
	var out bytes.Buffer
	if err := printDocument(&out, doc); err != nil {
		t.Fatal(err)
	}
	var events strings.Builder
	for i := range 10 {
		kind := "new    "
		if i == 0 {
			kind = "claimed"
		}
		fmt.Fprintf(&events, "%-8d  parked  %s  %d      SimulatedFailure  {\"order\":\"A\"}\n", i+1, kind, i%2)
	}
	want := `run        orders
stack      carnation-devl, inline, eu-central-2
status     FAILED
error      Carnation.EventsFailed
cause      9 of 20 events failed
outcome    11 of 20 events were inserted; 9 were returned to the retry queue
input      events 1 to 20, of which the share 0.3 fails on purpose
started    2026-11-23 06:53:20
took       4.4 s
redriven   2 times, last at 2026-11-23 06:53:24
cost       $0.00199
arn        arn:orders
raw input  {"start_seq":1}

STATE               TYPE  ENTERED  SUCCEEDED  FAILED  CAUGHT  RETRIED  RUNNING  ABORTED  MEAN    MOST
Process Events      Map   1        1          0       0       0        0        0        2.2 s   2.2 s
  Insert?[31m Data  Task  20       11         9       9       3        0        0        200 ms  1.7 s
Later               Pass  ~40      ~0         ~0      ~0      ~0       ~40      ~0       -       -

EVENTS  STATUS    ERROR
11      inserted  -
9       parked    SimulatedFailure

SEQUENCE  STATUS  KIND     RETRY  ERROR             PAYLOAD
` + events.String() + `there are more events: carnation runs show orders --output json has 12 of them, and --rows raises the number

SHARDS  SUCCEEDED  FAILED  TIMED OUT  ABORTED  RUNNING  PENDING  TYPE
3       2          1       0          0        0        0        STANDARD

SHARD      STATUS  ERROR      CAUSE
arn:shard  failed  ParkError  refused?by SQS

LOG       FUNCTION     LEVEL  MESSAGE       SEQUENCE  FIELDS
06:53:20  insert-data  WARN   event failed  7         retryAttempt=0

COST               QUANTITY  UNIT         USD        BASIS
state transitions  9         transitions  $0.000225  counted
total                                     $0.00199   prices of 2026-11-24, us-east-1
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNumbersHaveFewDigits(t *testing.T) {
	for n, want := range map[float64]string{0: "$0", 4.2e-06: "$0.0000042", 0.0019903596: "$0.00199", 12.3456: "$12.3", 1234567: "$1234567", 1234.5: "$1230"} {
		if got := dollars(n); got != want {
			t.Errorf("dollars(%v) = %s, want %s", n, got, want)
		}
	}
}

// A run that goes on has little to show.
func TestARunThatHasJustBegunIsPrinted(t *testing.T) {
	started := time.Date(2026, 11, 23, 6, 53, 20, 0, time.Local)
	doc := &model.Document{Stack: model.Stack{Name: "carnation-devl", MapMode: "INLINE"}, Run: model.Run{Arn: "arn:orders", Name: "orders", Status: "RUNNING", Started: started, Milliseconds: 90_000, Of: "arn:run", Cause: strings.Repeat("é", 201)},
		Outcome: model.Outcome{Sentence: "The run has just begun"}}
	var out bytes.Buffer
	if err := printDocument(&out, doc); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shard of  arn:run\n", "took      1m30s so far\n", "cause     " + strings.Repeat("é", 200) + "...\n", "arn       arn:orders\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("printed\n%s, want %q in it", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "STATE") || strings.Contains(out.String(), "COST") {
		t.Errorf("printed tables without lines:\n%s", out.String())
	}
}
