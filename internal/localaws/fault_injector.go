package localaws

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"carnation/internal/localaws/runtimeapi"
)

// faultInjector decides which calls fail.
type faultInjector struct {
	mu     sync.Mutex
	faults Faults
	bodies []*regexp.Regexp // by rule, nil without one
	tried  []int            // by rule: calls that matched
	fired  []int            // by rule
	outage time.Time
	other  chan struct{}  // closed when other faults are set; nil before the first are
	counts map[string]int // by kind, since the endpoint started
}

func (f *faultInjector) set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.outage = faults, time.Time{}
	if f.other != nil {
		close(f.other)
	}
	f.other = make(chan struct{})
	f.tried, f.fired = make([]int, len(faults.Rules)), make([]int, len(faults.Rules))
	f.bodies = make([]*regexp.Regexp, len(faults.Rules))
	for i, rule := range faults.Rules {
		if rule.Body != "" {
			f.bodies[i] = regexp.MustCompile(rule.Body) // check has compiled it
		}
	}
}

// pick returns the rule that fires for a call, and what is closed when other faults are set. Its Fault is "" if none does. The body of the
// request can still be read afterwards.
func (f *faultInjector) pick(call Call, r *http.Request) (Rule, <-chan struct{}) {
	body := f.bodyFor(call, r)

	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.outage) {
		f.counts[FaultOutage]++
		return Rule{Fault: FaultOutage}, f.other
	}
	for i, rule := range f.faults.Rules {
		if !rule.matches(call) || f.bodies[i] != nil && !f.bodies[i].Match(body) || rule.Times > 0 && f.fired[i] >= rule.Times {
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
		return rule, f.other
	}
	return Rule{}, f.other
}

// bodyFor returns the body of a request that a rule wants to see, or nil. That of a larger one, such as an upload, is not read.
func (f *faultInjector) bodyFor(call Call, r *http.Request) []byte {
	f.mu.Lock()
	wanted := false
	for i, rule := range f.faults.Rules {
		wanted = wanted || f.bodies[i] != nil && rule.matches(call)
	}
	f.mu.Unlock()
	if !wanted || r.ContentLength < 0 || r.ContentLength > runtimeapi.MaxPayload {
		return nil
	}
	body, err := peek(r)
	if err != nil {
		return nil // the service says what is wrong
	}
	return body
}

// draw returns a number from 0 to 1 for the call that a rule is tried on.
func (f *faultInjector) draw(rule int) float64 {
	return rand.New(rand.NewPCG(uint64(f.faults.Seed), uint64(rule)<<32|uint64(f.tried[rule]))).Float64()
}

func (r Rule) matches(call Call) bool {
	return (r.Service == "" || r.Service == call.Service || r.Service == "cloudwatch" && call.Service == "monitoring") &&
		(r.Operation == "" || r.Operation == call.Operation) &&
		(r.Function == "" || strings.Contains(call.Function, r.Function)) &&
		(r.Caller == "" || strings.Contains(call.Caller, r.Caller)) &&
		faultKinds[r.Fault](call)
}
