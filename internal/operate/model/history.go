package model

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// frame is where states follow each other: the execution itself, or one iteration of a Map state.
type frame struct {
	of     *visit // of the Map state; nil for the execution itself
	index  int    // of the iteration
	start  int64
	end    int64 // -1 until it ends
	status string
	event  int64 // in which it began
	error  string
	visits []*visit
	ids    []int64 // of the first history events
}

// visit is one visit of a state.
type visit struct {
	name       string
	kind       string // Task, Map, ...
	frame      *frame
	event      int64 // in which it was entered
	start      int64
	end        int64
	status     string // Running until it ends
	caught     bool
	attempts   int    // of a task that were scheduled
	throttled  int    // of these, refused before they began
	failed     bool   // its last attempt
	error      string // of the last attempt that failed
	cause      string
	service    string // that its task calls, such as lambda or sqs
	request    string // id of the last call
	invoked    time.Time
	functionMS int64 // from the start to the end of each invocation
	iterations map[int]*frame
	order      []*frame // the iterations by their start
	length     int      // items of a Map state
	mapRun     string   // ARN of the Map Run of a Distributed Map
	exited     bool
}

// path is the names of the Map states around a frame, from the outside in.
func (f *frame) path() []string {
	if f.of == nil {
		return nil
	}
	return append(f.of.frame.path(), f.of.name)
}

func (v *visit) path() []string { return append(v.frame.path(), v.name) }

// last is the newest visit of a frame, or nil.
func (f *frame) last() *visit {
	if len(f.visits) == 0 {
		return nil
	}
	return f.visits[len(f.visits)-1]
}

// journey is the history of one execution as visits of states. Iterations of a Map state run at the same time, so their events are
// mixed; previousEventId says which event belongs to which.
type journey struct {
	started  time.Time
	root     *frame
	at       []*frame                             // by the id of an event: the frame that an event after it belongs to
	maps     []*visit                             // of Map states, in their order
	requests map[string]bool                      // ids of the calls of its tasks
	see      func(e types.HistoryEvent, v *visit) // gets each event with the visit that it belongs to, if there is one
}

func newJourney(started time.Time, see func(types.HistoryEvent, *visit)) *journey {
	return &journey{started: started, root: &frame{end: -1, status: Running}, requests: map[string]bool{}, see: see}
}

func (j *journey) ms(t *time.Time) int64 { return max(0, aws.ToTime(t).Sub(j.started).Milliseconds()) }

// before is the frame that an event belongs to.
func (j *journey) before(e types.HistoryEvent) *frame {
	if id := e.PreviousEventId; id > 0 && id < int64(len(j.at)) && j.at[id] != nil {
		return j.at[id]
	}
	return j.root
}

// add takes the next event of the history.
func (j *journey) add(e types.HistoryEvent) {
	f, now := j.before(e), j.ms(e.Timestamp)
	v := f.last()
	switch {
	case strings.HasSuffix(string(e.Type), "StateEntered"):
		v = &visit{name: aws.ToString(given(e.StateEnteredEventDetails).Name), kind: strings.TrimSuffix(string(e.Type), "StateEntered"),
			frame: f, event: e.Id, start: now, end: -1, status: Running}
		if v.kind == "Map" {
			v.iterations = map[int]*frame{}
			j.maps = append(j.maps, v)
		}
		f.visits = append(f.visits, v)
	case strings.HasSuffix(string(e.Type), "StateExited"):
		f, v = find(f, func(v *visit) bool { return v.name == aws.ToString(given(e.StateExitedEventDetails).Name) })
		v.close(now, Succeeded)
		v.exited = true
		if v.failed {
			v.status, v.caught = Failed, true
		} else {
			v.error, v.cause = "", "" // a later attempt succeeded
		}
	case strings.HasPrefix(string(e.Type), "MapIteration"):
		f, v = j.iteration(e, f, now)
	case strings.HasPrefix(string(e.Type), "MapState"), strings.HasPrefix(string(e.Type), "MapRun"):
		f, v = find(f, func(v *visit) bool { return v.kind == "Map" })
		j.ofMap(e, v)
	case strings.HasPrefix(string(e.Type), "Execution"):
		j.ofExecution(e, now)
		f = j.root
	case v != nil:
		j.resume(v)
		v.attempt(e)
		if v.request != "" {
			j.requests[v.request] = true
		}
	}
	for int64(len(j.at)) <= e.Id {
		j.at = append(j.at, nil)
	}
	j.at[e.Id] = f
	if inside := j.inside(e, f); inside != nil && len(inside.ids) < maxEventIDs {
		inside.ids = append(inside.ids, e.Id)
	}
	if j.see != nil {
		j.see(e, v)
	}
}

// inside is the iteration that an event is a part of, or nil.
func (j *journey) inside(e types.HistoryEvent, f *frame) *frame {
	if f.of == nil && strings.HasPrefix(string(e.Type), "MapIteration") { // the end of an iteration leads out of it
		f = j.before(e)
	}
	if f.of == nil {
		return nil
	}
	return f
}

// find is the newest visit of the frame for which is holds, or of a frame around it. There is one in every history; otherwise it is a
// visit that nobody looks at.
func find(f *frame, is func(*visit) bool) (*frame, *visit) {
	for at := f; ; at = at.of.frame {
		for i := len(at.visits) - 1; i >= 0; i-- {
			if is(at.visits[i]) {
				return at, at.visits[i]
			}
		}
		if at.of == nil {
			return f, &visit{frame: f, iterations: map[int]*frame{}}
		}
	}
}

func (j *journey) iteration(e types.HistoryEvent, f *frame, now int64) (*frame, *visit) {
	details := e.MapIterationStartedEventDetails
	for _, one := range []*types.MapIterationEventDetails{e.MapIterationSucceededEventDetails, e.MapIterationFailedEventDetails, e.MapIterationAbortedEventDetails} {
		if one != nil {
			details = one
		}
	}
	if details == nil {
		return f, nil
	}
	around, v := find(f, func(v *visit) bool { return v.kind == "Map" && v.name == aws.ToString(details.Name) })
	index := int(details.Index)
	i := v.iterations[index]
	if i == nil {
		i = &frame{of: v, index: index, start: now, end: -1, status: Running, event: e.Id}
		v.iterations[index] = i
		v.order = append(v.order, i)
	}
	switch e.Type {
	case types.HistoryEventTypeMapIterationStarted:
		j.resume(v)
		i.end, i.status = -1, Running // a redrive starts it again
		return i, v
	case types.HistoryEventTypeMapIterationSucceeded:
		i.close(now, Succeeded, "")
	case types.HistoryEventTypeMapIterationFailed:
		i.close(now, Failed, i.reason())
	default:
		i.close(now, Aborted, "")
	}
	return around, v
}

// reason is the error of the visit in which an iteration failed.
func (f *frame) reason() string {
	if v := f.last(); v != nil {
		return v.error
	}
	return ""
}

// close ends a frame, and what is still open in it.
func (f *frame) close(now int64, status, reason string) {
	f.end, f.status, f.error = now, status, reason
	if v := f.last(); v != nil && v.status == Running && status == Failed {
		v.failed = true // a state can fail without an event that says so
	}
	for _, v := range f.visits {
		if v.status == Running {
			v.cut(now, status)
		}
	}
}

// cut ends a visit that was not exited.
func (v *visit) cut(now int64, status string) {
	for _, i := range v.order {
		if i.status == Running {
			i.close(now, Aborted, "")
		}
	}
	if status == Failed && (v.failed || v.kind == "Fail" || v.kind == "Map") {
		v.close(now, Failed)
	} else {
		v.close(now, Aborted)
	}
}

func (v *visit) close(now int64, status string) { v.end, v.status = now, status }

func (j *journey) ofMap(e types.HistoryEvent, v *visit) {
	switch e.Type {
	case types.HistoryEventTypeMapStateStarted:
		j.resume(v)
		v.length = int(given(e.MapStateStartedEventDetails).Length)
	case types.HistoryEventTypeMapRunStarted:
		v.mapRun = aws.ToString(given(e.MapRunStartedEventDetails).MapRunArn)
	case types.HistoryEventTypeMapRunRedriven:
		j.resume(v)
		v.mapRun = aws.ToString(given(e.MapRunRedrivenEventDetails).MapRunArn)
	case types.HistoryEventTypeMapRunFailed:
		v.failed = true
		v.error, v.cause = aws.ToString(given(e.MapRunFailedEventDetails).Error), aws.ToString(given(e.MapRunFailedEventDetails).Cause)
	case types.HistoryEventTypeMapStateFailed:
		v.failed = true
	}
}

func (j *journey) ofExecution(e types.HistoryEvent, now int64) {
	switch e.Type {
	case types.HistoryEventTypeExecutionSucceeded:
		j.root.close(now, Succeeded, "")
	case types.HistoryEventTypeExecutionFailed:
		if v := j.root.last(); v != nil && v.status == Running {
			if d := e.ExecutionFailedEventDetails; v.error == "" && d != nil {
				v.error, v.cause = aws.ToString(d.Error), aws.ToString(d.Cause)
			}
		}
		j.root.close(now, Failed, "")
	case types.HistoryEventTypeExecutionAborted:
		j.root.close(now, Aborted, "")
	case types.HistoryEventTypeExecutionTimedOut:
		j.root.close(now, Aborted, "")
		j.root.status = TimedOut
	case types.HistoryEventTypeExecutionRedriven:
		j.root.end, j.root.status = -1, Running
	}
}

// resume opens a visit again in which a redrive goes on without entering its state, and what is around it.
func (j *journey) resume(v *visit) {
	for ; v != nil && v.status != Running && !v.exited; v = v.frame.of {
		v.status, v.end, v.failed = Running, -1, false
		v.frame.status, v.frame.end = Running, -1
	}
}

// given is the details of an event or of an answer. They are empty if there are none: not every AWS-compatible endpoint gives them all.
func given[T any](details *T) *T {
	if details == nil {
		return new(T)
	}
	return details
}

// attempt takes an event of a task, or of an expression that failed.
func (v *visit) attempt(e types.HistoryEvent) {
	switch e.Type {
	case types.HistoryEventTypeTaskScheduled:
		v.attempts++
		v.failed = false
		v.service = aws.ToString(given(e.TaskScheduledEventDetails).ResourceType)
	case types.HistoryEventTypeLambdaFunctionScheduled:
		v.attempts++
		v.failed = false
		v.service = "lambda"
	case types.HistoryEventTypeTaskStarted, types.HistoryEventTypeLambdaFunctionStarted:
		v.invoked = aws.ToTime(e.Timestamp)
	case types.HistoryEventTypeTaskSucceeded, types.HistoryEventTypeLambdaFunctionSucceeded:
		v.returned(e.Timestamp)
		if d := e.TaskSucceededEventDetails; d != nil {
			v.request = requestOf(aws.ToString(d.Output))
		}
	case types.HistoryEventTypeTaskFailed:
		v.fail(e, given(e.TaskFailedEventDetails).Error, given(e.TaskFailedEventDetails).Cause)
	case types.HistoryEventTypeTaskTimedOut:
		v.fail(e, given(e.TaskTimedOutEventDetails).Error, given(e.TaskTimedOutEventDetails).Cause)
	case types.HistoryEventTypeTaskStartFailed:
		v.fail(e, given(e.TaskStartFailedEventDetails).Error, given(e.TaskStartFailedEventDetails).Cause)
	case types.HistoryEventTypeTaskSubmitFailed:
		v.fail(e, given(e.TaskSubmitFailedEventDetails).Error, given(e.TaskSubmitFailedEventDetails).Cause)
	case types.HistoryEventTypeLambdaFunctionFailed:
		v.fail(e, given(e.LambdaFunctionFailedEventDetails).Error, given(e.LambdaFunctionFailedEventDetails).Cause)
	case types.HistoryEventTypeLambdaFunctionTimedOut:
		v.fail(e, given(e.LambdaFunctionTimedOutEventDetails).Error, given(e.LambdaFunctionTimedOutEventDetails).Cause)
	case types.HistoryEventTypeEvaluationFailed:
		v.fail(e, given(e.EvaluationFailedEventDetails).Error, given(e.EvaluationFailedEventDetails).Cause)
	}
}

func (v *visit) fail(e types.HistoryEvent, err, cause *string) {
	v.returned(e.Timestamp)
	v.failed, v.error, v.cause = true, aws.ToString(err), aws.ToString(cause)
	if v.error == "Lambda.TooManyRequestsException" {
		v.throttled++
	}
}

func (v *visit) returned(at *time.Time) {
	if !v.invoked.IsZero() {
		v.functionMS += max(0, aws.ToTime(at).Sub(v.invoked).Milliseconds())
		v.invoked = time.Time{}
	}
}

// retries is the attempts after the first.
func (v *visit) retries() int { return max(0, v.attempts-1) }

// requestOf is the id of a call, which Step Functions adds to what a service answers.
func requestOf(output string) string {
	var answer struct {
		SdkResponseMetadata struct{ RequestId string }
	}
	if json.Unmarshal([]byte(output), &answer) != nil {
		return ""
	}
	return answer.SdkResponseMetadata.RequestId
}

// eachVisit calls do with each visit, and with those of the iterations inside it after that.
func (f *frame) eachVisit(do func(*visit)) {
	for _, v := range f.visits {
		do(v)
		for _, i := range v.order {
			i.eachVisit(do)
		}
	}
}

// states are the counts of each state, in the order of their first entry.
func (j *journey) states() (list []State) {
	index, first := map[string]int{}, map[string]int64{}
	j.root.eachVisit(func(v *visit) {
		path := v.path()
		key := keyOf(path)
		at, ok := index[key]
		if !ok {
			at = len(list)
			index[key], first[key] = at, v.event
			list = append(list, State{Path: path, Type: v.kind})
		}
		first[key] = min(first[key], v.event)
		list[at].count(v)
	})
	slices.SortFunc(list, func(a, b State) int { return int(first[keyOf(a.Path)] - first[keyOf(b.Path)]) })
	return list
}

// keyOf is a path as one text. No state's name has a line break.
func keyOf(path []string) string { return strings.Join(path, "\n") }

func (s *State) count(v *visit) {
	s.Entered++
	s.Retried += v.retries()
	switch v.status {
	case Running:
		s.Running++
		return
	case Succeeded:
		s.Succeeded++
	case Failed:
		s.Failed++
		if v.caught {
			s.Caught++
		}
	default:
		s.Aborted++
	}
	took := v.end - v.start
	if s.TotalMS == 0 && s.MostMS == 0 && s.ended() == 1 {
		s.LeastMS = took
	}
	s.TotalMS += took
	s.LeastMS, s.MostMS = min(s.LeastMS, took), max(s.MostMS, took)
}

func (s *State) ended() int { return s.Succeeded + s.Failed + s.Aborted }
