package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"carnation/internal/console"
	"carnation/internal/operate/model"
)

var consoleToken = regexp.MustCompile(`<meta name="carnation-token" content="(\w+)">`)

// The console shows a stack with the policy reader, and changes it with the policy operator, too, as docs/console.md says.
func TestTheConsoleNeedsOnlyThePoliciesOfItsUsers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	run := aws.ToString(s.execute(t, `{"start_seq":1,"end_seq":5,"failure_rate":1}`).ExecutionArn)
	user := s.config.Copy()
	user.Credentials = credentials.NewStaticCredentialsProvider(userKey, "local", "")
	page, err := console.Start(t.Context(), console.Options{
		Configuration: func(context.Context) (aws.Config, error) { return user, nil }, StackName: s.name, Folder: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = page.Close() })
	address := func(path string) string {
		return page.URL + "/api/" + path + "stack=" + s.name + "&arn=" + url.QueryEscape(run)
	}
	users := s.users()
	waitFor(t, "the console to count the rows", func() bool {
		o := getJSON[console.Overview](t, address("overview?"))
		return !o.RowsAt.IsZero() && o.Queues.Retry == 4
	})
	getJSON[console.Runs](t, address("runs?"))
	if got := getJSON[[]console.RunSummary](t, address("run-summaries?")); len(got) != 1 || *got[0].Outcome.Failed != 4 {
		t.Errorf("summary %+v, want 4 failed events", got)
	}
	if got := getJSON[model.Document](t, address("run?")); len(got.Items.Rows) != 4 || len(got.Partial) != 0 {
		t.Errorf("document %+v, want 4 items and no gaps", got)
	}
	if got := getJSON[[]model.Visit](t, address(`visits?path=["Process%20Events"]&`)); len(got) == 0 {
		t.Error("the Map state has no visits")
	}
	plan, err := http.Get(address("plan?do=redrive&"))
	if err != nil {
		t.Fatal(err)
	}
	plan.Body.Close()
	if plan.StatusCode != http.StatusConflict { // its events are in the queue, so there is nothing to redrive
		t.Errorf("the plan of a redrive has status %d, want %d", plan.StatusCode, http.StatusConflict)
	}
	reading := users.next()

	answer, err := http.Get(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	index, err := io.ReadAll(answer.Body)
	token := consoleToken.FindSubmatch(index)
	if err != nil || token == nil {
		t.Fatalf("the page has no token: %v, %s", err, index)
	}
	post := func(path, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address(path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Origin": page.URL, "X-Carnation-Token": string(token[1]), "Content-Type": "application/json"} {
			request.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %s", path, answer.StatusCode, text)
		}
	}
	getJSON[console.DeadLetters](t, address("dead-letters?"))
	post("dead-letters/export?", `{"all":true}`)
	post("dead-letters/redrive?", `{"all":true}`)
	post("start?", `{"start_seq":5,"end_seq":6}`)
	post("retry?", `{}`)
	waitFor(t, "the retry to end", func() bool {
		o := getJSON[console.Overview](t, address("overview?"))
		return o.Retry != nil && o.Retry.Done
	})
	changing := users.next()

	p, held := places{"carnation", "devl", bucket, keyID}, s.accessPolicies(t, "BucketName="+bucket, "KmsKeyId="+keyID)
	for _, tc := range []struct {
		calls    map[use]bool
		policies []string
	}{{reading, []string{"reader"}}, {changing, []string{"reader", "operator"}}} {
		if len(tc.calls) < 5 {
			t.Errorf("%v: only %d different calls were recorded", tc.policies, len(tc.calls))
		}
		for _, fault := range checkAccess(p.policies(held, tc.policies...), tc.calls, nil) {
			if strings.Contains(fault, " is called, and ") {
				t.Errorf("%v: %s", tc.policies, fault)
			}
		}
	}
}
