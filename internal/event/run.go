package event

import "fmt"

// Run is the range of a run, which is half open, and its failure rate.
type Run struct {
	StartSeq    int64   `json:"start_seq"`
	EndSeq      int64   `json:"end_seq"`
	FailureRate float64 `json:"failure_rate"`
}

// RangeTooLargeError says that a range does not fit one run, and names the largest range that does. The state machine sees
// its type name as the error name.
type RangeTooLargeError struct {
	StartSeq, EndSeq int64
	Most             int64  // events that fit
	Instead          string // what to do
}

func (e *RangeTooLargeError) Error() string {
	return fmt.Sprintf("end_seq is %d: the range of %d events does not fit one run: the largest that fits is %d events (end_seq %d); %s",
		e.EndSeq, e.EndSeq-e.StartSeq, e.Most, e.StartSeq+e.Most, e.Instead)
}

// EventsTooLargeError says that the records in the input of a run do not fit it, and names what does. The state machine sees its type
// name as the error name.
type EventsTooLargeError struct {
	Records, Bytes         int64 // of the input, as items of the run
	MostRecords, MostBytes int64 // that fit; MostRecords is 0 if only the bytes count
	Instead                string
}

func (e *EventsTooLargeError) Error() string {
	most := fmt.Sprintf("%s bytes", grouped(e.MostBytes))
	if e.MostRecords > 0 {
		most = fmt.Sprintf("%s records and %s", grouped(e.MostRecords), most)
	}
	return fmt.Sprintf("events has %s records, which take %s bytes of the run's state: one run takes at most %s; %s",
		grouped(e.Records), grouped(e.Bytes), most, e.Instead)
}
