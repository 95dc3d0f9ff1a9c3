package localaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Faults make calls fail on purpose. The endpoint tries the rules in order on every call, and the first one that fires
// decides. The same seed and the same order of calls give the same faults.
type Faults struct {
	Seed  int64  `json:"seed"`
	Rules []Rule `json:"rules"`
}

// Rule says which calls fail, and how. An empty selector matches every call.
type Rule struct {
	Fault     string   `json:"fault"`               // one of FaultKinds
	Service   string   `json:"service,omitempty"`   // as in a signature: dynamodb, sqs, lambda, states, ...
	Operation string   `json:"operation,omitempty"` // UpdateItem, SendMessage, Invoke, ...
	Function  string   `json:"function,omitempty"`  // part of the name of an invoked function
	Caller    string   `json:"caller,omitempty"`    // part of the access key ID: a role's name, or EngineKeyID
	Body      string   `json:"body,omitempty"`      // regular expression for part of the request's body: picks events, whatever the order of the calls
	Share     float64  `json:"share,omitempty"`     // of the calls that match, above 0 to 1; 0 for all of them
	Nth       int      `json:"nth,omitempty"`       // only the n-th call that matches, from 1
	Times     int      `json:"times,omitempty"`     // fires at most this often
	For       Duration `json:"for,omitempty"`       // how long a delay or an outage lasts
}

// Duration is a time.Duration that reads as "1.5s" in JSON.
type Duration time.Duration

// UnmarshalJSON reads a duration like "1.5s".
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("duration is %s: must be a string like \"1.5s\"", data)
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration is %q: must be a string like \"1.5s\"", s)
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
	FaultThrottle    = "throttle"     // refused because there are too many
	FaultInvalid     = "invalid"      // refused as invalid, which clients do not retry: ValidationException, InvalidParameterValue, ...
	FaultError       = "error"        // 500
	FaultUnavailable = "unavailable"  // 503
	FaultResetBefore = "reset-before" // the connection breaks, and nothing is done
	FaultResetAfter  = "reset-after"  // the call is done, and the connection breaks
	FaultDelay       = "delay"        // the call is done at once, and answered late or when other faults are set
	FaultOutage      = "outage"       // nothing is served for some time
	FaultBatch       = "batch"        // half of the entries of a batch fail
	FaultReceive     = "receive"      // a receive gets fewer messages than there are
	FaultDuplicate   = "duplicate"    // received messages are delivered once more
	FaultKill        = "kill"         // an invocation's process is killed at work
	FaultTimeout     = "timeout"      // an invocation does its work and times out
	FaultGarbage     = "garbage"      // an invocation answers something that makes no sense
)

// faultKinds says which calls each kind of fault is for.
var faultKinds = map[string]func(Call) bool{
	FaultThrottle:    anyCall,
	FaultInvalid:     anyCall,
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

// services are the names that a rule can have for a service: those of signatures, and cloudwatch, which signs as monitoring.
var services = []string{"cloudformation", "cloudwatch", "dynamodb", "iam", "kms", "lambda", "logs", "monitoring", "s3", "scheduler", "sns", "sqs", "states", "sts"}

// FaultKinds lists the kinds of faults.
func FaultKinds() []string { return slices.Sorted(maps.Keys(faultKinds)) }

// ParseFaults reads {"seed": n, "rules": [...]}. An error names the field, its value and what it must be.
func ParseFaults(data []byte) (Faults, error) {
	var f Faults
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return f, errors.New("faults: must be one JSON object, and nothing after it")
	}
	var given struct{ Rules []map[string]json.RawMessage }
	if err := json.Unmarshal(data, &given); err != nil {
		return f, fmt.Errorf("faults: %w", err)
	}
	if err := f.check(); err != nil {
		return f, err
	}
	for i, rule := range f.Rules {
		if rule.Service != "" && !slices.Contains(services, rule.Service) { // it would never apply
			return f, fmt.Errorf("faults: rules[%d].service is %q: must be one of %s", i, rule.Service, strings.Join(services, ", "))
		}
		// A zero looks as if it was left out, which means every call.
		for name, zero := range map[string]bool{"share": rule.Share == 0, "nth": rule.Nth == 0, "times": rule.Times == 0} {
			if raw, ok := given.Rules[i][name]; ok && zero {
				return f, fmt.Errorf("faults: rules[%d].%s is %s: must be a number above 0", i, name, raw)
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
	_, err := regexp.Compile(r.Body)
	switch {
	case err != nil:
		return fmt.Errorf("body is %q: must be a regular expression: %w", r.Body, err)
	case faultKinds[r.Fault] == nil:
		return fmt.Errorf("fault is %q: must be one of %s", r.Fault, strings.Join(FaultKinds(), ", "))
	case !(r.Share >= 0 && r.Share <= 1):
		return fmt.Errorf("share is %v: must be a number from 0 to 1", r.Share)
	case r.Nth < 0:
		return fmt.Errorf("nth is %d: must be an integer from 1", r.Nth)
	case r.Times < 0:
		return fmt.Errorf("times is %d: must be an integer from 1", r.Times)
	case (r.Fault == FaultDelay || r.Fault == FaultOutage) != (r.For > 0):
		return fmt.Errorf("for is %q: must be a duration above 0 for %s and %s, and must not be set for other faults", time.Duration(r.For), FaultDelay, FaultOutage)
	}
	return nil
}
