package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carnation/internal/e2e/browser"
	"carnation/internal/localaws"
)

// testBrowser starts the browser of all tests, which TestMain closes.
var testBrowser = sync.OnceValues(func() (*browser.Browser, error) {
	path, err := exec.Command(filepath.Join(root, "scripts/browser")).Output()
	if err != nil {
		return nil, errNoBrowser
	}
	return browser.Start(strings.TrimSpace(string(path)), absolute("build/browser"))
})

var (
	errNoBrowser   = errors.New("there is neither Chromium nor Chrome on PATH")
	browserStarted atomic.Bool
)

// needBrowser is the browser of all tests. Where there is none, the test is skipped, and make test says so.
func needBrowser(t testing.TB) *browser.Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser, and this is go test -short")
	}
	browserStarted.Store(true)
	b, err := testBrowser()
	if errors.Is(err, errNoBrowser) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func closeBrowser() {
	if browserStarted.Load() {
		if b, err := testBrowser(); err == nil {
			b.Close()
		}
	}
}

var addressOfConsole = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// startConsole runs carnation console until the test ends, and is its address.
func startConsole(t testing.TB, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, carnation, append([]string{"console"}, args...)...)
	cmd.Dir = t.TempDir() // where it keeps what is dropped
	cmd.Env = env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("carnation console: %v\n%s", err, stderr.String())
		}
	})
	line := make([]byte, 1000)
	n, err := stdout.Read(line)
	address := addressOfConsole.FindString(string(line[:n]))
	if address == "" {
		t.Fatalf("carnation console says %q (%v), want its address", line[:n], err)
	}
	return address
}

// expiring is a local AWS whose credentials can expire. It is where the URL says.
type expiring struct {
	url     string
	expired atomic.Bool
}

func (c *cloud) expiring(t testing.TB) *expiring {
	t.Helper()
	to, err := url.Parse(c.endpoint.URL)
	if err != nil {
		t.Fatal(err)
	}
	e := &expiring{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(_ http.ResponseWriter, r *http.Request, err error) {
		if r.Context().Err() != nil {
			t.Logf("the console has given up %s %s", r.Header.Get("X-Amz-Target"), r.URL)
		}
		panic(http.ErrAbortHandler) // hangs up, as the local AWS does in an outage
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.expired.Load() {
			proxy.ServeHTTP(w, r)
			return
		}
		const message = "The security token included in the request is expired"
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-amz-json") {
			w.Header().Set("X-Amzn-ErrorType", "ExpiredTokenException")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"ExpiredTokenException","message":%q}`, message)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>%s</Message></Error></ErrorResponse>`, message)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// waitTiles waits until the page shows these numbers of events at each place.
func waitTiles(p *browser.Page, rows, waiting, dead int) {
	expression := fmt.Sprintf(`(() => {
		const tile = (name) => [...document.querySelectorAll(".tile")].find((t) => t.querySelector("dt").textContent.includes(name))?.querySelector(".tile-number").textContent;
		return tile("In the table") === %q && tile("Waiting for the next run") === %q && tile("Failed for good") === %q && tile("In flight") === "0";
	})()`, fmt.Sprint(rows), fmt.Sprint(waiting), fmt.Sprint(dead))
	p.Wait(fmt.Sprintf("%d events in the table, %d waiting, %d dead", rows, waiting, dead), expression)
}

// expectPlaces checks that the account has these events, and that the page shows the same.
func (d *deployed) expectPlaces(t *testing.T, p *browser.Page, rows, waiting, dead int) {
	t.Helper()
	if n := d.countRows(t); n != rows {
		t.Errorf("the table has %d rows, want %d", n, rows)
	}
	d.expectQueue(t, "RetryQueueUrl", waiting, 0)
	d.expectQueue(t, "DeadLetterQueueUrl", dead, 0)
	if p.Has("link", "Events") {
		p.Click("link", "Events")
	}
	waitTiles(p, rows, waiting, dead)
}

// waitRun waits until the page of a run shows this status.
func waitRun(p *browser.Page, status string) {
	p.Wait("the run to be "+status, `document.querySelector(".run-head .status")?.textContent.trim() === `+fmt.Sprintf("%q", status))
}

// fact is a figure of the head of a run's page.
func fact(p *browser.Page, name string) string {
	return browser.Eval[string](p, fmt.Sprintf(`[...document.querySelectorAll(".run-head dl div")].find((d) => d.querySelector("dt").textContent === %q)?.querySelector("dd").textContent.trim() ?? "missing"`, name))
}

func expectFact(t *testing.T, p *browser.Page, name, want string) {
	t.Helper()
	if got := fact(p, name); got != want {
		t.Errorf("the page says %s: %s, want %s", name, got, want)
	}
}

// TestConsole follows a story on the page of carnation console, and compares what the page shows with the table and the queues.
func TestConsole(t *testing.T) {
	t.Parallel()
	b := needBrowser(t)
	s := newStack(t)
	credentials := s.expiring(t)
	address := startConsole(t, s.environment("AWS_ENDPOINT_URL="+credentials.url), "--stack-name", s.name)
	p := b.Open(t) // it ends before the console does
	p.Goto(address)
	p.WaitText("There are no events yet")
	s.expectPlaces(t, p, 0, 0, 0)

	// A run in which half of the inserts fail on purpose.
	startRange := func(first, last, rate string) {
		t.Helper()
		p.Click("button", "Start a run")
		p.Fill("textbox", "First number", first)
		p.Fill("textbox", "Last number", last)
		p.Fill("textbox", "/^Share of inserts that fail on purpose/", rate)
		p.Click("button", "/^Start run with /")
	}
	startRange("1", "12", "0.5")
	waitRun(p, "Failed")
	inserted := s.countRows(t)
	failed := 12 - inserted
	if failed == 0 || failed == 12 {
		t.Fatalf("%d of 12 events failed, want some of them", failed)
	}
	p.WaitFor("button", "/^Insert Data, Task: entered 12 times/")
	p.WaitFor("button", fmt.Sprintf("/^Park New Event, Task: entered %d times/", failed))
	expectFact(t, p, "New events", "12")
	expectFact(t, p, "Inserted", fmt.Sprint(inserted))
	expectFact(t, p, "Returned to the retry queue", fmt.Sprint(failed))
	p.Click("button", "/^Insert Data, Task: /")
	p.WaitText("Input") // of the visit
	p.Click("button", "Close details")
	s.expectPlaces(t, p, inserted, failed, 0)

	p.Click("button", "Retry until empty")
	p.WaitText(fmt.Sprintf("%d events are waiting in the retry queue.", failed))
	p.Click("button", "Retry")
	p.WaitText("All 12 events are in the table")
	s.expectPlaces(t, p, 12, 0, 0)

	// One of two pasted events fails for good. Its dead letter is redriven when the cause is gone.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"bad"`})
	p.Click("button", "Start a run")
	p.Click("button", "Pasted events")
	p.Fill("textbox", "Events, as a JSON list or one JSON object in each line", `[{"amount": 12.50}, {"is": "bad", "name": "<b>\u202e"}]`)
	p.Click("button", "Start run with 2 events")
	waitRun(p, "Failed")
	expectFact(t, p, "Inserted", "1")
	expectFact(t, p, "Sent to the dead-letter queue", "1")
	s.expectPlaces(t, p, 13, 0, 1)
	s.setFaults(t)
	p.Click("link", "/^Dead letters/")
	p.WaitFor("button", "/^Show 1 message with ValidationException of /")
	p.Click("checkbox", "Select event 2")
	p.Click("button", "Redrive")
	p.Click("button", "Redrive 1 dead letter")
	p.WaitText("No event failed for good.")
	s.expectPlaces(t, p, 13, 1, 0)
	p.Click("button", "Retry until empty")
	p.Click("button", "Retry")
	p.WaitText("All 14 events are in the table")
	s.expectPlaces(t, p, 14, 0, 0)

	// A file is dropped on the page.
	file := filepath.Join(t.TempDir(), "orders.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(orders(5), "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.DropAt(".overview", file)
	p.WaitText("The file orders.jsonl")
	p.Click("button", "Start run with this file")
	waitRun(p, "Succeeded")
	expectFact(t, p, "Inserted", "5")
	s.expectPlaces(t, p, 19, 0, 0)

	// A run is stopped at work, and redriven.
	s.setFaults(t, localaws.Rule{Fault: localaws.FaultDelay, Operation: "Invoke", Function: "insert-data", For: localaws.Duration(time.Minute)})
	startRange("101", "104", "0")
	p.WaitFor("button", "/^Insert Data, Task: .*4 running/")
	p.Click("button", "Stop")
	p.Click("button", "Stop run")
	waitRun(p, "Stopped")
	s.setFaults(t)
	p.Click("button", "Redrive")
	p.Click("button", "Redrive run")
	waitRun(p, "Succeeded")
	expectFact(t, p, "Inserted", "4")
	s.expectPlaces(t, p, 23, 0, 0)
	if rows := s.rows(t, 101, 105); len(rows) != 4 {
		t.Errorf("the run that was stopped and redriven inserted %d of its 4 events", len(rows))
	}

	s.expectFaultsOnThePage(t, p, credentials)
	for _, wrong := range slices.Concat(p.Layout(), p.Contrast()) {
		t.Error(wrong)
	}
}

// expectFaultsOnThePage takes the local AWS and the credentials away. The page says so, and recovers without a reload.
func (d *deployed) expectFaultsOnThePage(t *testing.T, p *browser.Page, credentials *expiring) {
	t.Helper()
	p.Allow("^the browser complains: network: Failed to load resource: the server responded with a status of (429|502|503|504|403|401)")
	browser.Eval[any](p, "window.notReloaded = true")
	d.setFaults(t, localaws.Rule{Fault: localaws.FaultOutage, For: localaws.Duration(10 * time.Second), Times: 1})
	p.WaitText("AWS does not answer.")
	d.waitForRecovery(t, p, 301)
	d.setFaults(t, localaws.Rule{Fault: localaws.FaultThrottle, Service: "sqs"}, localaws.Rule{Fault: localaws.FaultThrottle, Service: "states"})
	p.WaitText("AWS slows us down.")
	d.setFaults(t)
	d.waitForRecovery(t, p, 302)
	credentials.expired.Store(true)
	p.WaitText("The credentials have expired or are missing.")
	credentials.expired.Store(false)
	d.waitForRecovery(t, p, 303)
	if !browser.Eval[bool](p, "window.notReloaded === true") {
		t.Error("the page was loaded again")
	}
}

// waitForRecovery waits until the page has no problem any more, and shows an event that is inserted now.
func (d *deployed) waitForRecovery(t *testing.T, p *browser.Page, seq int64) {
	t.Helper()
	p.Wait("the page to recover", `!document.querySelector(".banners [role=alert]").textContent && document.querySelector(".link-state").textContent.trim() === "Live"`)
	before := d.countRows(t)
	d.execute(t, fmt.Sprintf(`{"start_seq":%d,"end_seq":%d}`, seq, seq+1))
	waitTiles(p, before+1, 0, 0)
}
