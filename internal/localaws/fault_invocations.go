package localaws

import (
	"errors"
	"math/rand/v2"
	"time"

	"carnation/internal/localaws/runtimeapi"
)

// killWithin is how long after its start an invocation is killed on purpose, at most: about as long as one takes.
const killWithin = 20 * time.Millisecond

// garbage are answers that make no sense.
var garbage = [][]byte{
	nil, []byte(`{`), []byte(`{}`), []byte(`[]`), []byte(`null`), []byte(`"done"`), []byte(`<html>502 Bad Gateway</html>`),
	[]byte(`{"inserted":"1","failed":null}`), []byte(`{"inserted":0,"failed":[]}`), []byte(`{"inserted":0,"failed":[{}]}`),
	[]byte(`{"items":7,"generated":null}`),
}

// plainInvoker does nothing wrong.
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

// invokeAndKill kills the process while it works. If the process answers first, it is killed with its work done.
func invokeAndKill(p *runtimeapi.Process, request runtimeapi.Invocation) ([]byte, error) {
	defer time.AfterFunc(rand.N(killWithin), p.Kill).Stop()
	_, err := p.Invoke(request)
	p.Kill()
	if errors.Is(err, runtimeapi.ErrIdleExit) {
		return nil, err
	}
	return nil, runtimeapi.Exited("signal: killed")
}

// invokeAndTimeOut lets the function do its work, and then answers that it took too long. Nobody has to wait for that.
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
