package localaws

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"carnation/internal/localaws/runtimeapi"
)

// killWithin is the latest time after its start at which an invocation is killed: about as long as an invocation takes.
const killWithin = 20 * time.Millisecond

// garbage are answers that make no sense: no JSON, no object, and objects that no function can mean in a run with events, although
// some look like an answer of one. None says that an event was inserted, which nobody could tell from the truth.
var garbage = [][]byte{
	nil, []byte(`{`), []byte(`{}`), []byte(`[]`), []byte(`null`), []byte(`"done"`), []byte(`<html>502 Bad Gateway</html>`),
	[]byte(`{"inserted":"1","failed":null}`), []byte(`{"inserted":0,"failed":[]}`), []byte(`{"inserted":0,"failed":[{}]}`),
	[]byte(`{"items":7,"generated":null}`), []byte(`{"items":null}`), []byte(`{"items":[7,{}],"max_concurrency":10}`),
	[]byte(`{"items":[{"event":{}}],"generated":1,"claimed":0,"max_concurrency":10}`), []byte(`{"items":[],"max_concurrency":-1}`),
	[]byte(`{"inserted":0,"failed":[{"error":""}]}`), []byte(`{"inserted":0,"failed":[{"error":"\u0000"}]}`), []byte(`{"inserted":0,"failed":[{"error":7}]}`),
	[]byte(`{"inserted":0,"failed":[{"error":"` + strings.Repeat("A", 100_000) + `"}]}`),
	[]byte(`{"inserted":-1,"returned":-1,"dead":2}`), []byte(`{"inserted":1000000,"failed":0,"returned":0,"dead":0.5}`), []byte(`{"inserted":"0","failed":"0","returned":"0","dead":"0"}`),
	[]byte(`{"inserted":0,"dead":0}`), []byte(`{"inserted":0,"dead":2}`), []byte(`{"inserted":0,"returned":0,"dead":-1}`), []byte(`{"inserted":0,"dead":"1"}`),
	[]byte(`{"plan":{},"first":[],"then":[],"max_concurrency":1}`), []byte(`{"plan":7,"first":null,"then":"all"}`),
}

// plainInvoker injects no fault.
var plainInvoker invoker = (*runtimeapi.Process).Invoke

// faultyInvoker returns an invoker whose invocations suffer a fault. For faults of other kinds it is the plain one.
func faultyInvoker(fault string) invoker {
	switch fault {
	case FaultKill:
		return invokeAndKill
	case FaultTimeout:
		return invokeAndTimeOut
	case FaultGarbage:
		return invokeForGarbage
	}
	return plainInvoker
}

// invokeAndKill kills the process while it works, or after its answer if that comes first. The answer is dropped.
func invokeAndKill(p *runtimeapi.Process, request runtimeapi.Invocation) ([]byte, error) {
	defer time.AfterFunc(rand.N(killWithin), p.Kill).Stop()
	_, err := p.Invoke(request)
	p.Kill()
	if errors.Is(err, runtimeapi.ErrIdleExit) {
		return nil, err
	}
	return nil, runtimeapi.Exited("signal: killed")
}

// invokeAndTimeOut lets the function do its work, and then answers that it took too long, without the wait.
func invokeAndTimeOut(p *runtimeapi.Process, request runtimeapi.Invocation) ([]byte, error) {
	_, err := p.Invoke(request)
	p.Kill()
	if errors.Is(err, runtimeapi.ErrIdleExit) {
		return nil, err
	}
	return nil, runtimeapi.TimedOut(request.Timeout)
}

func invokeForGarbage(p *runtimeapi.Process, request runtimeapi.Invocation) ([]byte, error) {
	if _, err := p.Invoke(request); err != nil {
		return nil, err
	}
	return garbage[rand.N(len(garbage))], nil
}
