package localaws

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// faultInjector decides which calls fail.
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

// pick returns the rule that fires for a call. Its Fault is "" if none does.
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
