package event

import "fmt"

// Run is the input of a run. Its range is half open.
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

// startedBy is a field of the input that says which execution has started this one. The console and the CDK add it:
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-nested-workflows.html#nested-execution-startid
const startedBy = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"

// ParseRun reads the input of a run. A failure_rate above 0 is an error unless injection is true. The error is an
// *InvalidInputError.
func ParseRun(data []byte, injection bool) (r Run, err error) {
	input, err := readObject(data, "", []string{startedBy}, "start_seq", "end_seq", "failure_rate")
	if err != nil {
		return r, err
	}
	if r.StartSeq, err = input.Int("start_seq", 0, MaxSequenceNo); err != nil {
		return r, err
	}
	if r.EndSeq, err = input.Int("end_seq", r.StartSeq, MaxSequenceNo); err != nil {
		return r, err
	}
	r.FailureRate, err = FailureRate(input, injection)
	return r, err
}
