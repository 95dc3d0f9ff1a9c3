package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"carnation/internal/event"
	"carnation/internal/operate"
	"carnation/internal/records"
)

const (
	// maxFile is the most bytes of a file of events. Its records, as compact JSON, may have 1.2 GB.
	maxFile = 4 << 30
	// fileTimeout is the time to send a file.
	fileTimeout = time.Hour
	// badShown is the most bad records that an error names.
	badShown = 20
)

// start starts a run of a range, or of events.
func (c *Console) start(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	var request StartRequest
	if err := readBody(w, r, &request); err != nil {
		return err
	}
	input := event.Input{Run: event.Run{FailureRate: request.FailureRate}, Time: request.Time}
	switch {
	case request.Events != nil && (request.StartSeq != nil || request.EndSeq != nil):
		return invalid("events and a range are two inputs: must be one of them")
	case request.Events != nil:
		list, err := event.Encode(request.Events)
		if err != nil {
			return err
		}
		own, err := readEvents(r.Context(), found, operate.EventsFile{Name: "the list of events", Format: event.JSON, Content: bytes.NewReader(list)})
		if err != nil {
			return err
		}
		input.Events, input.Source = own.Events, own.Source
	case request.StartSeq == nil || request.EndSeq == nil:
		return invalid("start_seq or end_seq is missing: must be a range, or events")
	default:
		input.StartSeq, input.EndSeq = *request.StartSeq, *request.EndSeq
	}
	return c.begin(w, r, found, input, request.Name)
}

// startFile starts a run of the events in a file.
func (c *Console) startFile(w http.ResponseWriter, r *http.Request) error {
	found, err := c.stack(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	input, err := inputFlags(query)
	if err != nil {
		return err
	}
	name := path.Base(query.Get("name"))
	format := strings.ToUpper(query.Get("format"))
	if format == "" {
		format = records.FormatOf(name)
	}
	if !slices.Contains(records.Formats, format) {
		return invalid("format is %q: must be jsonl, json or csv, because the name %.100q does not say it", query.Get("format"), name)
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(fileTimeout))
	own, err := readEvents(r.Context(), found, operate.EventsFile{Name: name, Format: format, Content: http.MaxBytesReader(w, r.Body, maxFile)})
	if err != nil {
		return err
	}
	input.Events, input.Source = own.Events, own.Source
	return c.begin(w, r, found, input, query.Get("run_name"))
}

// inputFlags reads what a file of events does not have.
func inputFlags(query url.Values) (input event.Input, err error) {
	if text := query.Get("time"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return input, invalid("time is %q: must be Unix seconds", text)
		}
		input.Time = &n
	}
	if text := query.Get("failure_rate"); text != "" {
		if input.FailureRate, err = strconv.ParseFloat(text, 64); err != nil {
			return input, invalid("failure_rate is %q: must be a number from 0 to 1", text)
		}
	}
	return input, nil
}

// readEvents checks the events, and puts them where a run can read them.
func readEvents(ctx context.Context, found *stack, file operate.EventsFile) (event.Input, error) {
	var bad strings.Builder
	n := 0
	file.Bad = func(record records.Record) error {
		if n++; n <= badShown {
			fmt.Fprintf(&bad, "\nline %d, record %d: %s", record.Line, record.Position, record.Problem)
		}
		return nil
	}
	input, own, err := found.EventsInput(ctx, file)
	if n > badShown {
		fmt.Fprintf(&bad, "\nand %d more bad records", n-badShown)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return input, err
	}
	if _, ok := errors.AsType[*operate.BadRecordsError](err); ok {
		return input, invalid("%v%s", err, bad.String())
	}
	if err == nil && own.Ignored != "" {
		return input, invalid("%s has %s, so no run was started", file.Name, own.Ignored)
	}
	if err != nil && codeOf(err) == "" && !isUnreachable(err) && !isCredentials(err) && ctx.Err() == nil {
		return input, invalid("%v", err)
	}
	return input, err
}

// begin starts the run.
func (c *Console) begin(w http.ResponseWriter, r *http.Request, found *stack, input event.Input, name string) error {
	if input.FailureRate > 0 && found.Parameters["FailureInjection"] == "disabled" {
		return invalid("failure_rate is %g: must be 0, because simulated failures are disabled in stack %s", input.FailureRate, found.Name)
	}
	if err := check(input); err != nil {
		return err
	}
	if name != "" {
		if err := operate.CheckName(name); err != nil {
			return invalid("name is %.100q: %v", name, err)
		}
	}
	arn, again, err := found.Start(r.Context(), input, name)
	if err != nil {
		if codeOf(err) == "" && !isUnreachable(err) && !isCredentials(err) { // another run has this name
			return &apiError{http.StatusConflict, KindInvalid, err.Error()}
		}
		return err
	}
	c.lookNow(found.Name)
	return writeJSON(w, Started{arn, again})
}

// check checks the input as the functions do, so that a wrong one starts nothing.
func check(input event.Input) error {
	data, err := event.Encode(input)
	if err == nil {
		_, err = event.ParseInput(data, true)
	}
	if err != nil {
		return invalid("%v", err)
	}
	return nil
}

// lookNow has the changes of a stack seen at once.
func (c *Console) lookNow(name string) {
	if poller, err := c.pollers.of(name); err == nil {
		poller.lookNow()
	}
}
