package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// page is a page that listens to the stream.
type page struct {
	t      *testing.T
	events chan sent
	late   <-chan time.Time // when it has listened long enough: a stream that is still there always has a next event
	close  func()
}

type sent struct{ event, data string }

// openPage opens the stream of a stack, and of a run, if it is not empty.
func openPage(t *testing.T, c *Console, stack, run string) *page {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "GET", c.URL+"/api/stream?"+url.Values{"stack": {stack}, "run": {run}}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("stream: status %d, %s", response.StatusCode, got)
	}
	p := &page{t: t, events: make(chan sent, 1000), late: time.After(2 * time.Minute), close: cancel}
	t.Cleanup(cancel)
	go func() {
		defer response.Body.Close()
		defer close(p.events)
		var now sent
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				now.event = value
			case "data":
				now.data = value
			case "": // a comment has no name before its colon
				if value != "" {
					now = sent{"comment", value}
				}
				if now.event != "" {
					p.events <- now
				}
				now = sent{}
			}
		}
	}()
	return p
}

// next is the next event of the page.
func (p *page) next() sent {
	p.t.Helper()
	select {
	case e, open := <-p.events:
		if !open {
			p.t.Fatal("the stream ended")
		}
		return e
	case <-p.late:
		p.t.Fatal("what the test waits for did not come in 2 minutes")
	}
	return sent{}
}

// until is the next event of this name that fits.
func until[T any](p *page, event string, fits func(T) bool) T {
	p.t.Helper()
	for {
		e := p.next()
		if e.event != event {
			continue
		}
		var value T
		if err := json.Unmarshal([]byte(e.data), &value); err != nil {
			p.t.Fatalf("%s %s: %v", event, e.data, err)
		}
		if fits(value) {
			return value
		}
	}
}

func anything[T any](T) bool { return true }

// running is an execution in the answer of ListExecutions.
func execution(name, status string, redrives int) map[string]any {
	e := map[string]any{"executionArn": machineRun + ":" + name, "name": name, "status": status, "startDate": 1.8e9, "stateMachineArn": machine, "redriveCount": redrives}
	if status != "RUNNING" {
		e["stopDate"] = 1.8e9 + 5 + float64(redrives)
	}
	return e
}

func (f *fakeAWS) setRuns(runs ...map[string]any) {
	f.set("ListExecutions", func(map[string]any) (any, error) { return map[string]any{"executions": runs}, nil })
}

func (f *fakeAWS) setQueues(waiting, inFlight, dead int) {
	f.set("GetQueueAttributes", func(input map[string]any) (any, error) {
		if input["QueueUrl"] == "https://sqs/dead" {
			return counts(dead, 0), nil
		}
		return counts(waiting, inFlight), nil
	})
}

func TestAPageGetsTheWholeStateAndThenTheChanges(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setRuns(execution("two", "RUNNING", 0), execution("one", "SUCCEEDED", 0))
	f.setQueues(3, 0, 1)
	f.set("Scan", func(map[string]any) (any, error) { return map[string]any{"Count": 10}, nil })
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	first := p.next()
	var overview Overview
	if err := json.Unmarshal([]byte(first.data), &overview); err != nil || first.event != "overview" {
		t.Fatalf("the first event is %+v, %v, want the overview", first, err)
	}
	if overview.Stack != "carnation-devl" || overview.State != "UPDATE_COMPLETE" || overview.MapMode != "INLINE" || overview.Queues.Retry != 3 || overview.Queues.DeadLetter != 1 ||
		len(overview.Running) != 1 || overview.Tone != toneBusy || overview.Sentence != "1 run is working; 1 event failed for good; 3 events are waiting for the next run" {
		t.Errorf("overview %+v", overview)
	}
	runs := until(p, "runs", anything[Runs])
	if len(runs.Runs) != 2 || runs.Runs[0].Name != "two" || runs.Runs[1].Status != "SUCCEEDED" || runs.Runs[0].Stopped != nil || runs.Runs[1].Stopped == nil {
		t.Errorf("runs %+v, want both", runs)
	}
	if overview.RowsAt.IsZero() { // otherwise the count was faster than the page
		overview = until(p, "overview", func(o Overview) bool { return !o.RowsAt.IsZero() })
	}
	if overview.Rows != 40 { // four segments
		t.Errorf("%d rows, want 40", overview.Rows)
	}

	f.setRuns(execution("two", "FAILED", 0), execution("one", "SUCCEEDED", 0))
	f.setQueues(5, 0, 1)
	if runs := until(p, "runs", anything[Runs]); len(runs.Runs) != 1 || runs.Runs[0].Name != "two" || runs.Runs[0].Status != "FAILED" {
		t.Errorf("runs %+v, want the one that has changed", runs)
	}
	p.close()
	f.setQueues(7, 0, 1)
	again := openPage(t, c, "carnation-devl", "")
	o := until(again, "overview", anything[Overview])
	if len(o.History) == 0 {
		t.Errorf("overview %+v, want its history", o)
	}
	if runs := until(again, "runs", anything[Runs]); len(runs.Runs) != 2 {
		t.Errorf("a page that comes back gets %+v, want both runs", runs)
	}
	if o.Queues.Retry != 7 { // otherwise a look saw it before the page came back
		o = until(again, "overview", func(o Overview) bool { return o.Queues.Retry == 7 })
	}
	if last := o.History[len(o.History)-1]; last[1] != 40 || last[2] != 7 || last[4] != 1 || last[0] < time.Now().Add(-time.Minute).UnixMilli() {
		t.Errorf("the last point is %v", last)
	}
}

func TestAPageGetsItsFirstStateRightAfterTheLook(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setRuns(execution("two", "RUNNING", 0))
	f.set("DescribeExecution", func(map[string]any) (any, error) {
		time.Sleep(time.Second) // meanwhile, all else is known
		return nil, &failure{status: 400, code: "ExecutionDoesNotExist"}
	})
	c := startConsole(t, f)
	began := time.Now()
	p := openPage(t, c, "carnation-devl", machineRun+":two")
	if e := p.next(); e.event != "overview" || time.Since(began) > heartbeat/2 {
		t.Errorf("the first event is %+v, after %s: want the overview after a second, and not with the sign that the stream is still there", e, time.Since(began))
	}
}

func TestAllPagesTogetherCallAWSAsOftenAsOne(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setRuns(execution("two", "RUNNING", 0))
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("two", "RUNNING", 0), nil })
	f.set("GetExecutionHistory", func(map[string]any) (any, error) {
		return map[string]any{"events": []any{map[string]any{"id": 1, "type": "ExecutionStarted", "timestamp": 1.8e9}}}, nil
	})
	c := startConsole(t, f)
	began := time.Now()
	for range 20 {
		p := openPage(t, c, "carnation-devl", machineRun+":two")
		until(p, "overview", anything[Overview])
		until(p, "run", anything[any])
		for range 10 {
			get[Overview](t, c, "/api/overview?stack=carnation-devl")
		}
	}
	time.Sleep(2 * time.Second)
	most := int(time.Since(began)/fastest) + 2
	for operation, factor := range map[string]int{"ListExecutions": 1, "GetQueueAttributes": 2, "DescribeExecution": 1, "GetExecutionHistory": 1} {
		if n := f.count(operation); n == 0 || n > most*factor {
			t.Errorf("%d calls of %s in %s, want at most %d", n, operation, time.Since(began), most*factor)
		}
	}
	if n := f.count("DescribeStacks"); n > 3 {
		t.Errorf("%d calls of DescribeStacks, want one in %s", n, stackAge)
	}
}

func TestLooksAreSlowerWhenNobodyLooksOrNothingChanges(t *testing.T) {
	p := &poller{name: "s", overview: &Overview{}, watchers: map[*watcher]bool{}}
	if got := p.pause(fastest, nil, true); got != unwatched {
		t.Errorf("without a page, pause() = %s, want %s", got, unwatched)
	}
	p.watchers[&watcher{}] = true
	if got := p.pause(slowest, nil, true); got != fastest {
		t.Errorf("after a change, pause() = %s, want %s", got, fastest)
	}
	var pauses []time.Duration
	for pause := fastest; len(pauses) < 5; {
		pause = p.pause(pause, nil, false)
		pauses = append(pauses, pause)
	}
	if got, want := fmt.Sprint(pauses), "[2s 4s 8s 10s 10s]"; got != want {
		t.Errorf("while nothing changes, pause() = %s, want %s", got, want)
	}
	p.overview.Running = []string{"run"}
	if got := p.pause(slowest, nil, false); got != whileRuns {
		t.Errorf("while a run is running, pause() = %s, want %s", got, whileRuns)
	}
	for failed, want := range map[*failure]time.Duration{{hangUp: true}: slowest, {code: "x"}: slowest} {
		if got := p.pause(time.Hour, failed, false); got != want {
			t.Errorf("after %+v, pause() = %s, want %s", failed, got, want)
		}
	}
	throttled := &apiError{429, KindThrottled, ""}
	if got := p.pause(40*time.Second, throttled, false); got != afterError {
		t.Errorf("while AWS throttles, pause() = %s, want %s", got, afterError)
	}
}

func TestThePageSeesWhenTheStackIsThere(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setStacks("")
	c := startConsole(t, f)
	named, unnamed := openPage(t, c, "carnation-devl", ""), openPage(t, c, "", "")
	for _, p := range []*page{named, unnamed} {
		e := p.next()
		var stacks Stacks
		if err := json.Unmarshal([]byte(e.data), &stacks); err != nil || e.event != "stacks" || len(stacks.Stacks) != 0 || stacks.HowToMake != "make prerequisites && make deploy" || stacks.Default != "" || stacks.Region != "eu-central-2" || stacks.Endpoint != f.url {
			t.Fatalf("the first event is %+v, want how to make the stack", e)
		}
	}
	making := strings.Replace(completeStack[:strings.Index(completeStack, "<Outputs>")], "UPDATE_COMPLETE", "CREATE_IN_PROGRESS", 1) + "</member>"
	f.setStacks(making)
	for _, p := range []*page{named, unnamed} {
		if s := until(p, "stacks", anything[Stacks]); len(s.Stacks) != 1 || s.Stacks[0] != (StackRef{"carnation-devl", "CREATE_IN_PROGRESS", ""}) || s.Default != "carnation-devl" {
			t.Errorf("stacks %+v, want that it is made", s)
		}
	}
	f.setStacks(completeStack)
	for _, p := range []*page{named, unnamed} {
		if s := until(p, "stacks", anything[Stacks]); len(s.Stacks) != 1 || s.Stacks[0] != (StackRef{"carnation-devl", "UPDATE_COMPLETE", "INLINE"}) {
			t.Errorf("stacks %+v, want the complete one", s)
		}
	}
	until(named, "overview", func(o Overview) bool { return o.State == "UPDATE_COMPLETE" })
}

func TestOtherStacksAreNotCarnations(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	stack := func(name, rest string) string {
		return "<member><StackName>" + name + "</StackName><StackStatus>CREATE_COMPLETE</StackStatus><CreationTime>2026-11-26T12:00:00Z</CreationTime>" + rest + "</member>"
	}
	f.setStacks(stack("other", "<Description>A stack</Description>") + stack("nested", "<ParentId>arn</ParentId><Description>Carnation: a state machine</Description>") +
		stack("carnation-test", "<Description>Carnation: a state machine</Description>") + completeStack)
	c := startConsole(t, f)
	got := get[Stacks](t, c, "/api/stacks")
	if len(got.Stacks) != 2 || got.Stacks[0].Name != "carnation-devl" || got.Stacks[1].Name != "carnation-test" || got.Default != "" {
		t.Errorf("stacks %+v, want both of Carnation, and no default", got)
	}
	if got := get[Stacks](t, startConsole(t, f, func(o *Options) { o.StackName = "carnation-test" }), "/api/stacks"); got.Default != "carnation-test" || got.HowToMake != "make prerequisites && make deploy STACK_NAME=carnation-test" {
		t.Errorf("stacks %+v, want the one of --stack-name", got)
	}
}

func TestThePageSaysWhatIsWrongAndRecovers(t *testing.T) {
	t.Parallel()
	for kind, failed := range map[string]failure{
		KindUnreachable: {hangUp: true},
		KindThrottled:   {status: 400, code: "ThrottlingException", message: "Rate exceeded"},
		KindCredentials: {status: 400, code: "ExpiredTokenException", message: "expired"},
		KindAWS:         {status: 400, code: "AccessDeniedException", message: "not authorized"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFakeAWS(t)
			c := startConsole(t, f)
			p := openPage(t, c, "carnation-devl", "")
			until(p, "overview", anything[Overview])
			f.fail(func(string) *failure { return &failed })
			if got := until(p, "problem", anything[problem]); got.Kind != kind || got.Message == "" {
				t.Errorf("problem %+v, want %s", got, kind)
			}
			// A page that comes now is told, too.
			if got := until(openPage(t, c, "carnation-devl", ""), "problem", anything[problem]); got.Kind != kind {
				t.Errorf("problem %+v, want %s", got, kind)
			}
			f.setQueues(4, 0, 0)
			f.fail(nil)
			until(p, "overview", func(o Overview) bool { return o.Queues.Retry == 4 })
		})
	}
}

func TestTheRowsOfALargeTableAreCountedRarely(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setRuns(execution("two", "RUNNING", 0))
	const long = time.Second
	f.set("Scan", func(map[string]any) (any, error) {
		time.Sleep(long)
		return map[string]any{"Count": 1}, nil
	})
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	o := until(p, "overview", anything[Overview])
	if !o.RowsAt.IsZero() {
		t.Errorf("the first overview waits for the count: %+v", o)
	}
	o = until(p, "overview", func(o Overview) bool { return o.Rows == 4 })
	deadline := time.Now().Add(scanPause * long / 2)
	for n := 1; time.Now().Before(deadline); n++ {
		f.setQueues(n, 0, 0)
		time.Sleep(long)
	}
	if n := f.count("Scan"); n != 4 {
		t.Errorf("%d scans of segments, want 4: the table is counted again only after %d times the duration of a count", n, scanPause)
	}
	if time.Since(o.RowsAt) > time.Minute || !o.RowsAt.Before(o.At) {
		t.Errorf("rows_at %s, at %s", o.RowsAt, o.At)
	}
}

func TestAnEmptyStackIsCountedOnce(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	until(p, "overview", func(o Overview) bool { return !o.RowsAt.IsZero() })
	time.Sleep(3 * time.Second)
	if n := f.count("Scan"); n != 4 {
		t.Errorf("%d scans of segments although nothing has changed, want 4", n)
	}
}

func TestThePageOfARunIsToldWhenItChanges(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.setRuns(execution("two", "RUNNING", 0))
	f.set("DescribeExecution", func(input map[string]any) (any, error) {
		if input["executionArn"] != machineRun+":two" {
			return nil, &failure{status: 400, code: "AccessDeniedException"}
		}
		return execution("two", "RUNNING", 0), nil
	})
	var newest atomic.Int64
	newest.Store(5)
	f.set("GetExecutionHistory", func(map[string]any) (any, error) {
		return map[string]any{"events": []any{map[string]any{"id": newest.Load(), "type": "ExecutionStarted", "timestamp": 1.8e9}}}, nil
	})
	c := startConsole(t, f)
	openPage(t, c, "carnation-devl", "arn:aws:states:eu-central-2:123456789012:execution:another:x") // must not be asked for
	p := openPage(t, c, "carnation-devl", machineRun+":two")
	if got := until(p, "run", anything[map[string]string]); got["arn"] != machineRun+":two" {
		t.Errorf("run %v", got)
	}
	time.Sleep(2 * time.Second)
	for len(p.events) > 0 {
		if e := p.next(); e.event == "run" {
			t.Error("the run is said to have changed, but has not")
		}
	}
	newest.Store(6)
	until(p, "run", anything[map[string]string])
	f.setRuns(execution("two", "SUCCEEDED", 0))
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("two", "SUCCEEDED", 0), nil })
	until(p, "run", anything[map[string]string])
	calls := f.count("DescribeExecution")
	time.Sleep(2 * time.Second)
	if n := f.count("DescribeExecution"); n > calls+1 {
		t.Errorf("%d calls for a run that has ended", n-calls)
	}
	f.setRuns(execution("two", "RUNNING", 1)) // redriven
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("two", "RUNNING", 1), nil })
	until(p, "run", anything[map[string]string])
}

func TestThePageOfAnOldRunReadsItOnlyOnce(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	old := execution("two", "FAILED", 0)
	old["startDate"], old["stopDate"] = 1.7e9, 1.7e9+5
	f.setRuns(old)
	f.set("DescribeExecution", func(map[string]any) (any, error) { return old, nil })
	p := openPage(t, startConsole(t, f), "carnation-devl", machineRun+":two")
	until(p, "overview", anything[Overview])
	for deadline := time.Now().Add(time.Minute); f.count("DescribeExecution") == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	f.setRuns(execution("two", "FAILED", 1)) // redriven
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("two", "FAILED", 1), nil })
	redriven := false
	for told := false; !told; {
		switch e := p.next(); e.event {
		case "runs":
			redriven = redriven || strings.Contains(e.data, `"redrives":1`)
		case "run":
			if told = true; !redriven {
				t.Error("the page is told to read the run again, which has not changed")
			}
		}
	}
}

func TestAStreamSaysThatItIsStillThereAndEndsWithTheConsole(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c, err := Start(t.Context(), Options{Configuration: f.config})
	if err != nil {
		t.Fatal(err)
	}
	c.heartbeat = 50 * time.Millisecond
	p := openPage(t, c, "carnation-devl", "")
	for p.next().event != "comment" {
	}
	began := time.Now()
	if err := c.Close(); err != nil || time.Since(began) > shutdownTimeout-time.Second {
		t.Errorf("Close() = %v after %s, want soon", err, time.Since(began))
	}
	for range p.events {
	}
}

func TestThePointsOfTheHistoryStayFew(t *testing.T) {
	var history [][5]int64
	for i := range int64(2000) {
		history = addPoint(history, [5]int64{i, i, 0, 0, 0})
		history = addPoint(history, [5]int64{i + 1, i, 0, 0, 0}) // nothing has changed
	}
	if len(history) > mostPoints || len(history) < mostPoints/2 || history[0][0] != 0 || history[len(history)-1] != [5]int64{1999, 1999, 0, 0, 0} {
		t.Errorf("%d points from %v to %v, want at most %d", len(history), history[0], history[len(history)-1], mostPoints)
	}
	for i := 1; i < len(history); i++ {
		if history[i][0] <= history[i-1][0] {
			t.Fatalf("points %v, %v: want them in order", history[i-1], history[i])
		}
	}
}

func TestWhoeverMayNotListStacksSeesTheOneOfTheFlag(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.alone = true
	if status, p := refused(t, startConsole(t, f), "GET", "/api/stacks", ""); status != 502 || p.Kind != KindAWS || !strings.Contains(p.Message, "--stack-name") || !strings.Contains(p.Message, "cloudformation:DescribeStacks") {
		t.Errorf("without the flag: status %d, %+v, want the flag and the permission", status, p)
	}
	for name, want := range map[string]string{"carnation-devl": "[{carnation-devl UPDATE_COMPLETE INLINE}]", "carnation-test": "[]"} {
		c := startConsole(t, f, func(o *Options) { o.StackName = name })
		if got := get[Stacks](t, c, "/api/stacks"); fmt.Sprint(got.Stacks) != want || got.Default != name {
			t.Errorf("with --stack-name %s: %+v, want %s", name, got, want)
		}
	}
}
