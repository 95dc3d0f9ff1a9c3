package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"carnation/internal/console"
	"carnation/internal/e2e/browser"
)

// consolePage is the console's page of a stack, which follows a scenario of the fault campaign. It is nil if nobody looks: it then finds
// nothing wrong.
type consolePage struct {
	*browser.Page
	address string
}

// look opens the console's page for the scenario, if there is a browser.
func (p *player) look(t *testing.T) {
	t.Helper()
	browserStarted.Store(true)
	b, err := testBrowser()
	if errors.Is(err, errNoBrowser) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	served, err := console.Start(t.Context(), console.Options{StackName: p.name, Folder: t.TempDir(),
		Configuration: func(context.Context) (aws.Config, error) { return p.config, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := served.Close(); err != nil {
			t.Error(err)
		}
	})
	p.page = &consolePage{b.Open(t), served.URL + "/#/" + p.name}
	p.page.Goto(p.page.address)
	waitTiles(p.page.Page, 0, 0, 0)
}

// judgePlaces waits until the page shows as many events at each place as there are. Nothing loads it again meanwhile.
func (p *consolePage) judgePlaces(ctx context.Context, s *player) error {
	if p == nil {
		return nil
	}
	rows, err1 := s.rowsOf(ctx)
	waiting, err2 := s.attribute(ctx, "RetryQueueUrl", "ApproximateNumberOfMessages")
	dead, err3 := s.attribute(ctx, "DeadLetterQueueUrl", "ApproximateNumberOfMessages")
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	p.Goto(p.address)
	waitTiles(p.Page, len(rows), waiting, dead)
	return nil
}

var wordOfStatus = map[sfntypes.ExecutionStatus]string{
	sfntypes.ExecutionStatusSucceeded: "Succeeded", sfntypes.ExecutionStatusFailed: "Failed",
	sfntypes.ExecutionStatusTimedOut: "Timed out", sfntypes.ExecutionStatusAborted: "Stopped",
}

// judge compares the figures on the page of a run with the account of its events.
func (p *consolePage) judge(e execution, inline bool) (wrong []string) {
	if p == nil {
		return nil
	}
	p.Goto(p.address + "/run/" + url.PathEscape(*e.out.ExecutionArn))
	p.Wait("the page of run "+*e.out.Name, fmt.Sprintf(`document.querySelector(".run-head h1 bdi")?.textContent === %q`, *e.out.Name))
	waitRun(p.Page, wordOfStatus[e.out.Status])
	if !e.accounted() {
		return nil
	}
	figures := browser.Eval[map[string]string](p.Page, `Object.fromEntries([...document.querySelectorAll(".run-head dl div")].map((d) => [d.querySelector("dt").textContent.trim(), d.querySelector("dd").textContent.trim()]))`)
	listed := browser.Eval[int](p.Page, `[...document.querySelectorAll("#items dl dd, #items .chip[aria-pressed=false] .chip-count")].reduce((sum, e) => sum + Number(e.textContent), 0)`)
	if listed != len(e.items) {
		wrong = append(wrong, fmt.Sprintf("the page of run %s has %d events by their status, want %d", *e.out.Name, listed, len(e.items)))
	}
	want := e.outcome(inline)
	for name, n := range map[string]int{"New events": want.generated, "From the retry queue": want.claimed, "Inserted": want.inserted,
		"Returned to the retry queue": want.returned, "Sent to the dead-letter queue": want.dead} {
		if got := figures[name]; got != strconv.Itoa(n) {
			wrong = append(wrong, fmt.Sprintf("the page of run %s, which is %s (%s), says %s: %q, want %d", *e.out.Name, e.out.Status, aws.ToString(e.out.Cause), name, got, n))
		}
	}
	return wrong
}

// judgeList compares the list of runs with the account.
func (p *consolePage) judgeList(executions []execution, inline bool) (wrong []string) {
	if p == nil {
		return nil
	}
	p.Goto(p.address + "/runs")
	const rows = `[...document.querySelectorAll("main .card-flush table.runs tbody tr")]`
	p.Wait("the list of runs with its summaries", fmt.Sprintf(`((rows) => rows.length === %d && !rows.some((r) => r.children[3].textContent.trim() === "…"))(%s)`, len(executions), rows))
	list := browser.Eval[map[string][2]string](p.Page, `Object.fromEntries(`+rows+`.map((r) => [r.querySelector("a").getAttribute("aria-label"), [r.querySelector(".status").textContent.trim(), r.children[3].textContent.trim()]]))`)
	for _, e := range executions {
		row := list[*e.out.Name]
		if want := wordOfStatus[e.out.Status]; row[0] != want {
			wrong = append(wrong, fmt.Sprintf("the list says that run %s is %q, want %q", *e.out.Name, row[0], want))
		}
		if !e.accounted() {
			continue
		}
		o := e.outcome(inline)
		want := fmt.Sprintf("%d inserted", o.inserted)
		if o.returned > 0 {
			want += fmt.Sprintf(", %d returned", o.returned)
		}
		if o.dead > 0 {
			want += fmt.Sprintf(", %d dead", o.dead)
		}
		if row[1] != want {
			wrong = append(wrong, fmt.Sprintf("the list says of run %s, which is %s (%s): %q, want %q", *e.out.Name, e.out.Status, aws.ToString(e.out.Cause), row[1], want))
		}
	}
	return wrong
}
