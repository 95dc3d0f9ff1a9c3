package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

// server serves a call. It gives an invocation to its process through the invoker.
type server func(http.ResponseWriter, *http.Request, Call, invoker)

// serveFaulty serves a call as the rule says, until other faults are set.
func serveFaulty(w http.ResponseWriter, r *http.Request, call Call, rule Rule, other <-chan struct{}, serve server) {
	switch rule.Fault {
	case FaultThrottle:
		writeError(w, r, call.Service, errorsOf(call.Service).throttled)
	case FaultInvalid:
		writeError(w, r, call.Service, errorsOf(call.Service).invalid)
	case FaultError:
		writeError(w, r, call.Service, errorsOf(call.Service).failed)
	case FaultUnavailable:
		writeError(w, r, call.Service, errorsOf(call.Service).unavailable)
	case FaultResetBefore, FaultOutage:
		reset(w)
	case FaultResetAfter:
		// The call goes on, although its caller is gone.
		serve(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())), call, plainInvoker)
		reset(w)
	case FaultDelay:
		answer := httptest.NewRecorder()
		serve(answer, r.WithContext(context.WithoutCancel(r.Context())), call, plainInvoker)
		select {
		case <-r.Context().Done():
		case <-other:
		case <-time.After(time.Duration(rule.For)):
		}
		replay(w, answer)
	case FaultBatch:
		serveHalfABatch(w, r, call, serve)
	case FaultReceive:
		editBody(r, func(body map[string]any) { body["MaxNumberOfMessages"] = 1 })
		serve(w, r, call, plainInvoker)
	case FaultDuplicate:
		serveTwice(w, r, call, serve)
	default:
		serve(w, r, call, faultyInvoker(rule.Fault))
	}
}

// reset breaks the connection so that the client sees an error and not the end of an answer.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // this is how net/http breaks off an answer
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

// editBody changes the body of a request, if it is JSON.
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

// serveHalfABatch serves every second entry, and answers that the others failed.
func serveHalfABatch(w http.ResponseWriter, r *http.Request, call Call, serve server) {
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
	if len(failed) == 1 { // SQS refuses an empty batch
		if data, err := io.ReadAll(r.Body); err == nil && !bytes.Contains(data, []byte(`"Entries":null`)) {
			r.Body = io.NopCloser(bytes.NewReader(data))
			serve(answer, r, call, plainInvoker)
		}
	} else {
		serve(answer, r, call, plainInvoker)
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

// serveTwice answers a receive, and makes the messages visible again at once, as if the queue had several copies of them.
func serveTwice(w http.ResponseWriter, r *http.Request, call Call, serve server) {
	var queue any
	editBody(r, func(body map[string]any) { queue = body["QueueUrl"] })
	answer := httptest.NewRecorder()
	serve(answer, r, call, plainInvoker)
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
			serve(httptest.NewRecorder(), again, call, plainInvoker)
		}
	}
	replay(w, answer)
}
