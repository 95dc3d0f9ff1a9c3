package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"carnation/internal/operate"
)

func TestARunThatManyNewerOnesFollowedIsStillRunning(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	var newest []any
	for i := range newestRuns {
		newest = append(newest, execution(fmt.Sprint("new", i), "SUCCEEDED", 0))
	}
	oldest := func(executions ...any) {
		f.set("ListExecutions", func(input map[string]any) (any, error) {
			if input["statusFilter"] == "RUNNING" {
				return map[string]any{"executions": executions}, nil
			}
			return map[string]any{"executions": newest, "nextToken": "older"}, nil
		})
	}
	oldest(execution("old", "RUNNING", 0))
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	began := time.Now()
	o := until(p, "overview", anything[Overview])
	if len(o.Running) != 1 || o.Running[0] != machineRun+":old" || o.Sentence != "1 run is working" || o.Tone != toneBusy {
		t.Errorf("overview %+v, want the run that is running", o)
	}
	oldest()
	until(p, "overview", func(o Overview) bool { return len(o.Running) == 0 })
	if took := time.Since(began); took > olderEvery+slowest+5*time.Second {
		t.Errorf("its end is seen after %s", took)
	}
	if looks := time.Since(began); f.count("ListExecutions") > int(looks/fastest)+int(looks/olderEvery)+3 {
		t.Errorf("%d calls of ListExecutions in %s", f.count("ListExecutions"), looks)
	}
}

func TestRowsThatCannotBeCountedAreAnError(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("Scan", func(map[string]any) (any, error) {
		return nil, &failure{status: 400, code: "AccessDeniedException", message: "not authorized to perform dynamodb:Scan"}
	})
	c := startConsole(t, f)
	p := openPage(t, c, "carnation-devl", "")
	o := until(p, "overview", func(o Overview) bool { return o.RowsError != "" })
	const want = "the rows cannot be counted: DynamoDB Scan: AccessDeniedException: not authorized to perform dynamodb:Scan"
	if o.RowsError != want || !o.RowsAt.IsZero() {
		t.Errorf("overview %+v, want the error %q", o, want)
	}
	f.set("Scan", func(map[string]any) (any, error) { return map[string]any{"Count": 1}, nil })
	poller, err := c.pollers.of("carnation-devl")
	if err != nil {
		t.Fatal(err)
	}
	poller.mu.Lock()
	poller.count.next = time.Time{} // instead of the pause
	poller.mu.Unlock()
	until(p, "overview", func(o Overview) bool { return o.RowsError == "" && o.Rows == 4 })
}

func TestACallThatHangsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	if _, err := c.stacks.open(t.Context(), "carnation-devl"); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	t.Cleanup(func() { close(goOn) }) // before the endpoint is closed, which waits for its answers
	f.fail(func(string) *failure {
		<-goOn
		return nil
	})
	for name, call := range map[string]func(context.Context) error{
		"a stack":    func(ctx context.Context) error { _, err := c.stacks.open(ctx, "other"); return err },
		"all stacks": func(ctx context.Context) error { _, err := c.stacks.all(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %s, want that the context is heeded", name, err, time.Since(began))
		}
		cancel()
		began = time.Now()
		if _, err := c.stacks.open(t.Context(), "carnation-devl"); err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("%s hangs: a stack that is known is found after %s, %v", name, time.Since(began), err)
		}
	}
	if n := f.count("DescribeStacks"); n != 3 {
		t.Errorf("%d calls of DescribeStacks, want 3", n)
	}
}

// The user may change the configuration while the console works.
func TestWhetherTheConsoleMayChangeDependsOnThePresentConfiguration(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("StartExecution", func(map[string]any) (any, error) {
		return map[string]any{"executionArn": machine + ":x", "startDate": 1.8e9}, nil
	})
	remote := false
	c := startConsole(t, f, func(o *Options) {
		o.Configuration = func(ctx context.Context) (aws.Config, error) {
			cfg, err := f.config(ctx)
			if remote {
				cfg.HTTPClient, cfg.BaseEndpoint = toFake{f.url}, nil
			}
			return cfg, err
		}
	})
	const start, body = "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":3}`
	post[Started](t, c, start, body)
	remote = true
	c.stacks.failed(&apiError{502, KindCredentials, "refused"})
	for _, when := range []string{"when it is loaded", "after it was loaded"} {
		if status, p := refused(t, c, "POST", start, body); status != 403 || p.Kind != KindReadOnly {
			t.Errorf("%s: status %d, %+v, want that changes need the flag", when, status, p)
		}
	}
	if !c.ReadOnly() || !get[Stacks](t, c, "/api/stacks").ReadOnly || f.count("StartExecution") != 1 {
		t.Errorf("read-only is %t, after %d starts", c.ReadOnly(), f.count("StartExecution"))
	}
}

func TestWhatIsKnownOfRunsIsBounded(t *testing.T) {
	t.Parallel()
	c := newRunCache()
	for i := range mostListed + 10 {
		arn := fmt.Sprint("run", i)
		c.summaryOf(RunRow{ListedRun: operate.ListedRun{Arn: arn}})
		c.known.set(arn, knownSummary{summary: RunSummary{Arn: arn}})
		c.known.set(arn, knownSummary{summary: RunSummary{Arn: arn, Cause: "again"}})
	}
	newest := fmt.Sprint("run", mostListed+9)
	if len(c.listed.values) != mostListed || len(c.known.values) != mostKnown || len(c.known.order) != mostKnown || c.known.values[newest].summary.Cause != "again" {
		t.Errorf("%d versions and %d summaries of runs are kept, want %d and %d, the newest ones", len(c.listed.values), len(c.known.values), mostListed, mostKnown)
	}
	if _, ok := c.listed.values["run9"]; ok {
		t.Error("the oldest run is still known")
	}
}

func TestACallThatTheRatesDoNotAllowIsThrottled(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("ListMapRuns", func(map[string]any) (any, error) { return map[string]any{"mapRuns": []any{}}, nil })
	f.set("DescribeExecution", func(map[string]any) (any, error) { return execution("two", "RUNNING", 0), nil })
	f.set("GetExecutionHistory", func(map[string]any) (any, error) { return map[string]any{"events": []any{}}, nil })
	c := startConsole(t, f)
	found, err := c.stacks.open(t.Context(), "carnation-devl")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 120 {
		if _, err = readFingerprint(ctx, found, machineRun+":two", fingerprint{}, true); err != nil {
			break
		}
	}
	if n := f.count("ListMapRuns"); n < 100 || n > 111 {
		t.Errorf("%d calls of ListMapRuns in 10 seconds, AWS allows 110", n)
	}
	if e := explain(err); e.kind != KindThrottled || !strings.Contains(e.message, "ListMapRuns") {
		t.Errorf("the error is %v, %+v, want that calls are throttled", err, e)
	}
}
