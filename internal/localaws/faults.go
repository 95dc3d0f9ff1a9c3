package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Faults are what goes wrong at the endpoint, on purpose: rules, tried in order for every call, of which the first that
// fires decides. The same seed and the same order of calls give the same faults.
type Faults struct {
	Seed  int64  `json:"seed"`
	Rules []Rule `json:"rules"`
}

// Rule says what goes wrong with which calls. An empty selector matches every call.
type Rule struct {
	Fault     string   `json:"fault"`               // one of FaultKinds
	Service   string   `json:"service,omitempty"`   // as in a signature: dynamodb, sqs, lambda, states, ...
	Operation string   `json:"operation,omitempty"` // UpdateItem, SendMessage, Invoke, ...
	Function  string   `json:"function,omitempty"`  // part of the name of an invoked function
	Caller    string   `json:"caller,omitempty"`    // part of the access key id: a role's name, or EngineKeyID
	Share     float64  `json:"share,omitempty"`     // of the calls that match, above 0 to 1; all if left out
	Nth       int      `json:"nth,omitempty"`       // only the n-th call that matches, from 1
	Times     int      `json:"times,omitempty"`     // at most so often
	For       Duration `json:"for,omitempty"`       // how long a delay or an outage lasts
}

// Duration is a time.Duration that reads as "1.5s" in JSON.
type Duration time.Duration

// UnmarshalJSON reads a duration like "1.5s".
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("duration is %s: allowed is a string like \"1.5s\"", data)
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration is %q: allowed is a string like \"1.5s\"", s)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON writes a duration like "1.5s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(d).String())
}

// The kinds of faults.
const (
	FaultThrottle    = "throttle"     // refused as too many
	FaultError       = "error"        // 500
	FaultUnavailable = "unavailable"  // 503
	FaultResetBefore = "reset-before" // the connection breaks, and nothing was done
	FaultResetAfter  = "reset-after"  // it was done, and the connection breaks
	FaultDelay       = "delay"        // it is done at once and answered late
	FaultOutage      = "outage"       // nothing is served for some time
	FaultBatch       = "batch"        // half of a batch fails inside the answer
	FaultReceive     = "receive"      // a receive gets fewer messages than there are
	FaultDuplicate   = "duplicate"    // received messages are delivered once more
	FaultKill        = "kill"         // an invocation's process is killed in the middle
	FaultTimeout     = "timeout"      // an invocation did its work and times out
	FaultGarbage     = "garbage"      // an invocation answers what makes no sense
)

// faultKinds says which calls a kind is for: all, those of one service, or those operations of it.
var faultKinds = map[string]func(Call) bool{
	FaultThrottle:    anyCall,
	FaultError:       anyCall,
	FaultUnavailable: anyCall,
	FaultResetBefore: anyCall,
	FaultResetAfter:  anyCall,
	FaultDelay:       anyCall,
	FaultOutage:      anyCall,
	FaultBatch: func(c Call) bool {
		return c.Service == "sqs" && strings.HasSuffix(c.Operation, "MessageBatch") || c.Operation == "ChangeMessageVisibilityBatch"
	},
	FaultReceive:   isReceive,
	FaultDuplicate: isReceive,
	FaultKill:      isInvoke,
	FaultTimeout:   isInvoke,
	FaultGarbage:   isInvoke,
}

func anyCall(Call) bool     { return true }
func isReceive(c Call) bool { return c.Service == "sqs" && c.Operation == "ReceiveMessage" }
func isInvoke(c Call) bool  { return c.Operation == "Invoke" }

// FaultKinds lists the kinds of faults.
func FaultKinds() []string { return slices.Sorted(maps.Keys(faultKinds)) }

// ParseFaults reads {"seed": n, "rules": [...]}. An error names the field, its value and what is allowed.
func ParseFaults(data []byte) (Faults, error) {
	var f Faults
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("faults: allowed is one JSON object, and more follows it")
	}
	var given struct{ Rules []map[string]json.RawMessage }
	if err := json.Unmarshal(data, &given); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	if err := f.check(); err != nil {
		return f, err
	}
	for i, rule := range f.Rules {
		// A zero would read as left out, which means every call.
		for name, zero := range map[string]bool{"share": rule.Share == 0, "nth": rule.Nth == 0, "times": rule.Times == 0} {
			if raw, ok := given.Rules[i][name]; ok && zero {
				return f, fmt.Errorf("faults: rules[%d].%s is %s: allowed is a number above 0", i, name, raw)
			}
		}
	}
	return f, nil
}

func (f Faults) check() error {
	for i, rule := range f.Rules {
		if err := rule.check(); err != nil {
			return fmt.Errorf("faults: rules[%d].%w", i, err)
		}
	}
	return nil
}

func (r Rule) check() error {
	switch {
	case faultKinds[r.Fault] == nil:
		return fmt.Errorf("fault is %q: allowed is one of %s", r.Fault, strings.Join(FaultKinds(), ", "))
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("share is %v: allowed is a number from 0 to 1", r.Share)
	case r.Nth < 0:
		return fmt.Errorf("nth is %d: allowed is an integer from 1", r.Nth)
	case r.Times < 0:
		return fmt.Errorf("times is %d: allowed is an integer from 1", r.Times)
	case (r.Fault == FaultDelay || r.Fault == FaultOutage) != (r.For > 0):
		return fmt.Errorf("for is %q: allowed is a duration above 0 for %s and %s, and none for other faults", time.Duration(r.For), FaultDelay, FaultOutage)
	}
	return nil
}

// faultInjector decides which calls go wrong.
type faultInjector struct {
	mu     sync.Mutex
	faults Faults
	tried  []int // by rule: calls that matched
	fired  []int // by rule
	outage time.Time
	counts map[string]int // by kind, since the endpoint started
}

func (f *faultInjector) set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.outage = faults, time.Time{}
	f.tried, f.fired = make([]int, len(faults.Rules)), make([]int, len(faults.Rules))
}

// pick is the fault of a call, with Fault "" for none.
func (f *faultInjector) pick(call Call) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.outage) {
		f.counts[FaultOutage]++
		return Rule{Fault: FaultOutage}
	}
	for i, rule := range f.faults.Rules {
		if !rule.matches(call) || rule.Times > 0 && f.fired[i] >= rule.Times {
			continue
		}
		f.tried[i]++
		if rule.Nth > 0 && f.tried[i] != rule.Nth || rule.Share > 0 && f.draw(i) >= rule.Share {
			continue
		}
		f.fired[i]++
		f.counts[rule.Fault]++
		if rule.Fault == FaultOutage {
			f.outage = time.Now().Add(time.Duration(rule.For))
		}
		return rule
	}
	return Rule{}
}

// draw is a number from 0 to 1 for the call that the rule is tried on.
func (f *faultInjector) draw(rule int) float64 {
	return rand.New(rand.NewPCG(uint64(f.faults.Seed), uint64(rule)<<32|uint64(f.tried[rule]))).Float64()
}

func (r Rule) matches(call Call) bool {
	return (r.Service == "" || r.Service == call.Service) &&
		(r.Operation == "" || r.Operation == call.Operation) &&
		(r.Function == "" || strings.Contains(call.Function, r.Function)) &&
		(r.Caller == "" || strings.Contains(call.Caller, r.Caller)) &&
		faultKinds[r.Fault](call)
}

// SetFaults makes calls go wrong from now on. The zero value ends that.
func (e *Endpoint) SetFaults(faults Faults) error {
	if err := faults.check(); err != nil {
		return err
	}
	e.faults.set(faults)
	return nil
}

// FaultCounts says how many faults of each kind there were.
func (e *Endpoint) FaultCounts() map[string]int {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	return maps.Clone(e.faults.counts)
}

// serveFaulty serves a call as the rule says.
func (e *Endpoint) serveFaulty(w http.ResponseWriter, r *http.Request, call Call, rule Rule) {
	switch rule.Fault {
	case FaultThrottle:
		code := map[string]string{"dynamodb": "ProvisionedThroughputExceededException", "sqs": "RequestThrottled", "lambda": "TooManyRequestsException"}[call.Service]
		status := http.StatusBadRequest
		if code == "" {
			code = "ThrottlingException"
		}
		if call.Service == "lambda" {
			status = http.StatusTooManyRequests
		}
		writeError(w, status, code, "throttled on purpose")
	case FaultError:
		code := map[string]string{"dynamodb": "InternalServerError", "sqs": "InternalError", "lambda": "ServiceException"}[call.Service]
		if code == "" {
			code = "InternalFailure"
		}
		writeError(w, http.StatusInternalServerError, code, "failed on purpose")
	case FaultUnavailable:
		writeError(w, http.StatusServiceUnavailable, "ServiceUnavailable", "unavailable on purpose")
	case FaultResetBefore, FaultOutage:
		reset(w)
	case FaultResetAfter:
		// The caller is gone for the service too, which goes on all the same.
		e.route(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())), call, "")
		reset(w)
	case FaultDelay:
		answer := httptest.NewRecorder()
		e.route(answer, r.WithContext(context.WithoutCancel(r.Context())), call, "")
		select {
		case <-r.Context().Done():
		case <-time.After(time.Duration(rule.For)):
		}
		replay(w, answer)
	case FaultBatch:
		e.serveHalfABatch(w, r, call)
	case FaultReceive:
		editBody(r, func(body map[string]any) { body["MaxNumberOfMessages"] = 1 })
		e.route(w, r, call, "")
	case FaultDuplicate:
		e.serveTwice(w, r, call)
	default:
		e.route(w, r, call, rule.Fault)
	}
}

// reset breaks the connection so that the client sees an error, not an end.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to break off an answer
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // makes the close a reset
	}
	_ = connection.Close()
}

func replay(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // a client that is gone misses it
}

// editBody changes a JSON request, if it is one.
func editBody(r *http.Request, edit func(map[string]any)) {
	data, err := io.ReadAll(r.Body)
	if err == nil {
		var body map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if decoder.Decode(&body) == nil {
			edit(body)
			if edited, err := json.Marshal(body); err == nil {
				data = edited
			}
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	r.Header.Set("Content-Length", fmt.Sprint(len(data)))
}

// serveHalfABatch serves every other entry, and answers the rest as failed.
func (e *Endpoint) serveHalfABatch(w http.ResponseWriter, r *http.Request, call Call) {
	var failed []any
	editBody(r, func(body map[string]any) {
		entries, _ := body["Entries"].([]any)
		var kept []any
		for i, entry := range entries {
			if fields, ok := entry.(map[string]any); ok && i%2 == 0 {
				failed = append(failed, map[string]any{"Id": fields["Id"], "Code": "InternalError", "Message": "failed on purpose", "SenderFault": false})
			} else {
				kept = append(kept, entry)
			}
		}
		body["Entries"] = kept
	})
	answer := httptest.NewRecorder()
	result := map[string]any{}
	if len(failed) == 1 { // SQS takes no empty batch
		if data, err := io.ReadAll(r.Body); err == nil && !bytes.Contains(data, []byte(`"Entries":null`)) {
			r.Body = io.NopCloser(bytes.NewReader(data))
			e.route(answer, r, call, "")
		}
	} else {
		e.route(answer, r, call, "")
	}
	if answer.Code != http.StatusOK || answer.Body.Len() > 0 && json.Unmarshal(answer.Body.Bytes(), &result) != nil {
		replay(w, answer)
		return
	}
	served, _ := result["Failed"].([]any)
	result["Failed"] = append(served, failed...)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(result) // a client that is gone misses it
}

// serveTwice answers a receive and makes the received messages visible again at once, as if the queue had several
// copies of them.
func (e *Endpoint) serveTwice(w http.ResponseWriter, r *http.Request, call Call) {
	var queue any
	editBody(r, func(body map[string]any) { queue = body["QueueUrl"] })
	answer := httptest.NewRecorder()
	e.route(answer, r, call, "")
	var received struct {
		Messages []struct{ ReceiptHandle string }
	}
	if answer.Code == http.StatusOK && json.Unmarshal(answer.Body.Bytes(), &received) == nil {
		for _, message := range received.Messages {
			body, err := json.Marshal(map[string]any{"QueueUrl": queue, "ReceiptHandle": message.ReceiptHandle, "VisibilityTimeout": 0})
			if err != nil {
				continue // it is then delivered once
			}
			again := r.Clone(r.Context())
			again.Header.Set("X-Amz-Target", "AmazonSQS.ChangeMessageVisibility")
			again.Header.Set("Content-Length", fmt.Sprint(len(body)))
			again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			e.route(httptest.NewRecorder(), again, call, "")
		}
	}
	replay(w, answer)
}
