package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrIdleExit says that a process ended before it got an invocation: another process can take it.
var ErrIdleExit = errors.New("the process ended while it was idle")

// Error says why an invocation failed, in Lambda's words.
type Error struct {
	Type, Message string
	Reported      []byte // the JSON that the function itself reported, in place of type and message
}

func (e *Error) Error() string {
	if e.Reported != nil {
		return string(e.Reported)
	}
	return e.Type + ": " + e.Message
}

// Payload is what Lambda answers to the invocation that failed.
func (e *Error) Payload(requestID string) []byte {
	if e.Reported != nil {
		return e.Reported
	}
	return errorJSON(e.Type, "RequestId: "+requestID+" Error: "+e.Message)
}

func errorJSON(kind, message string) []byte {
	data, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil { // strings always marshal
		return []byte(`{"errorType":"` + kind + `"}`)
	}
	return data
}

// TimedOut is the error of an invocation that did not answer in time.
func TimedOut(timeout time.Duration) *Error {
	return &Error{Type: "Sandbox.Timedout", Message: fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())}
}

// Exited is the error of an invocation whose process ended. how is for example "signal: killed".
func Exited(how string) *Error {
	return &Error{Type: "Runtime.ExitError", Message: "Runtime exited with error: " + how}
}
