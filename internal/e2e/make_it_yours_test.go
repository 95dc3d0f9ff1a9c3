package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"carnation/internal/event"
)

// fence is a block of code of a page, below the name of its file if it is a whole file.
var fence = regexp.MustCompile("(?ms)(?:^`([\\w./-]+)`, the whole file:\n\n)?^```(\\w+)\n(.*?)^```$")

// The example of docs/make-it-yours.md, as the page has it, against an API that fails at random.
func TestTheExampleOfMakeItYoursLosesNothingAndRepeatsNoEffect(t *testing.T) {
	t.Parallel()
	p := newDeployment(t)
	before := p.files(t)
	page, err := os.ReadFile(filepath.Join(root, "docs/make-it-yours.md"))
	if err != nil {
		t.Fatal(err)
	}
	api := &unreliable{token: "a token that nobody else knows", calls: map[string]int{}, effects: map[string]string{}, answered: map[string]bool{}, did: map[string]int{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(func() {
		_, err := secretsmanager.NewFromConfig(p.config).DeleteSecret(context.Background(), &secretsmanager.DeleteSecretInput{
			SecretId: aws.String("carnation-api-devl"), ForceDeleteWithoutRecovery: aws.Bool(true),
		})
		if err != nil {
			t.Error(err)
		}
	})
	p.write(t, "token.txt", api.token)
	// A reader's aws knows AWS_ENDPOINT_URL, unlike the one that a project has on its path for make.
	settings := append(slices.Clone(p.settings), "PATH="+p.before(awsCommands.path(), "sleep"),
		// What is the same as here is not compiled again, and go test does not repeat a part of the go vet before it.
		"GOFLAGS=-trimpath -vet=off "+os.Getenv("GOFLAGS"))
	did := ""
	for _, block := range fence.FindAllStringSubmatch(string(page), -1) {
		name, language, text := block[1], block[2], block[3]
		switch language {
		case "go":
			p.write(t, name, text)
			did += "w"
		case "diff":
			const address = "https://${Environment}.example.com/orders"
			if strings.Count(text, address) != 1 {
				t.Fatalf("the patch of the page has the address %s %d times, want once", address, strings.Count(text, address))
			}
			p.write(t, "api.patch", strings.Replace(text, address, server.URL+"/orders", 1)) // as a reader does
			did += "p"
		case "sh":
			if out := p.command(settings, "sh", "-ec", "cd '"+p.dir+"'\n"+text); out.code != 0 {
				t.Fatalf("%s%s", text, out)
			}
			did += "s"
		default:
			t.Fatalf("the page has a block of %s, which this test does not know", language)
		}
	}
	if did != "wwspss" {
		t.Errorf("the page has files, patches and commands in the order %s, want wwspss", did)
	}
	p.expectOnlyChanged(t, before)

	stack := p.describe(t, "carnation-devl")
	d := &deployed{
		cloud: p.cloud, name: "carnation-devl", outputs: outputs(stack),
		sfn: sfn.NewFromConfig(p.config), sqs: sqs.NewFromConfig(p.config), table: dynamodb.NewFromConfig(p.config), lambda: lambda.NewFromConfig(p.config),
	}
	t.Cleanup(func() { d.deleteStack(t, d.name) })
	d.expectRoleOfTheAPI(t)

	const events = 100
	var records []string
	for i := range events {
		records = append(records, fmt.Sprintf(`{"order":"A-%d","refused":%t,"customer":"somebody private"}`, i+1, i%10 == 3))
	}
	expectEventsFailed(t, d.execute(t, `{"events":[`+strings.Join(records, ",")+`]}`))
	for runs := 1; ; runs++ {
		waitFor(t, "failed events to be visible", func() bool {
			_, inFlight := d.queue(t, "RetryQueueUrl")
			return inFlight == 0
		})
		if waiting, _ := d.queue(t, "RetryQueueUrl"); waiting == 0 {
			break
		}
		if runs > 4 {
			t.Fatal("events are still in the retry queue after 4 retries")
		}
		d.execute(t, `{"start_seq":0,"end_seq":0}`)
	}

	api.mutex.Lock()
	defer api.mutex.Unlock()
	t.Logf("the API did %v", api.did)
	for _, problem := range api.problems {
		t.Error(problem)
	}
	for _, what := range []string{"500", "429", "no answer", "dropped before", "dropped after", "422", "repeated"} {
		if api.did[what] == 0 {
			t.Errorf("the API never did this, so the test shows nothing about it: %s", what)
		}
	}
	var dead []string
	for _, message := range d.takeAll(t, "DeadLetterQueueUrl") {
		var e event.Event
		if err := json.Unmarshal([]byte(*message.Body), &e); err != nil {
			t.Fatal(err)
		}
		attributes := map[string]string{}
		for name, value := range message.MessageAttributes {
			attributes[name] = aws.ToString(value.StringValue)
		}
		if attributes["Permanent"] != "true" || attributes["Error"] != "HTTP422" {
			t.Errorf("the dead letter of event %d has the attributes %v, want a permanent HTTP422", e.SequenceNo, attributes)
		}
		dead = append(dead, string(e.Payload))
	}
	var done []string
	for _, body := range api.effects {
		done = append(done, body)
	}
	if len(dead) != events/10 || len(done) != events-len(dead) {
		t.Errorf("%d events are dead and %d had their effect, want %d and %d", len(dead), len(done), events/10, events-events/10)
	}
	for _, record := range records {
		where, refused := done, strings.Contains(record, `"refused":true`)
		if refused {
			where = dead
		}
		if !slices.ContainsFunc(where, func(body string) bool { return equalJSON(t, body, record) }) {
			t.Errorf("record %s is lost: it is not where it should be, refused %t", record, refused)
		}
	}
	d.expectQueue(t, "RetryQueueUrl", 0, 0)
	for _, function := range []string{"insert-data", "plan-shards"} {
		if logs := d.logs(t, function); strings.Contains(logs, api.token) || strings.Contains(logs, "somebody private") {
			t.Errorf("the log of %s has the token or a payload", function)
		}
	}
}

// expectRoleOfTheAPI checks that the function may read its secret, and no longer the table, and does not have the secret in its settings.
func (d *deployed) expectRoleOfTheAPI(t *testing.T) {
	t.Helper()
	secret, err := secretsmanager.NewFromConfig(d.config).DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("carnation-api-devl")})
	if err != nil {
		t.Fatal(err)
	}
	function, err := d.lambda.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(d.outputs["InsertDataFunctionArn"])})
	if err != nil {
		t.Fatal(err)
	}
	if function.Environment.Variables["API_SECRET_ID"] != *secret.Name || strings.Contains(fmt.Sprint(function.Environment.Variables), "a token") {
		t.Errorf("the environment is %v, want the name of the secret %s, and not its value", function.Environment.Variables, *secret.Name)
	}
	role := path.Base(*function.Role)
	document := d.run(t, "aws", "iam", "get-role-policy", "--role-name", role, "--policy-name", "insert-data", "--query", "PolicyDocument", "--output", "json")
	var statements struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(document), &statements); err != nil {
		t.Fatal(err)
	}
	reads := false
	for _, s := range statements.Statement {
		if s["Action"] == "secretsmanager:GetSecretValue" {
			reads, _ = path.Match(fmt.Sprint(s["Resource"]), *secret.ARN)
		}
	}
	if !reads || strings.Contains(document, "dynamodb") {
		t.Errorf("the role may not read the secret %s, or still use the table: %s", *secret.ARN, document)
	}
}

// write writes a file of the copy.
func (p project) write(t *testing.T, name, content string) {
	t.Helper()
	if name == "" {
		t.Fatal("a block of Go has no name of a file above it")
	}
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are the contents of the files of the copy that a person edits.
func (p project) files(t *testing.T) map[string]string {
	t.Helper()
	contents := map[string]string{}
	err := filepath.WalkDir(p.dir, func(name string, entry fs.DirEntry, err error) error {
		switch relative, _ := filepath.Rel(p.dir, name); {
		case err != nil:
			return err
		case entry.IsDir() && (relative == "build" || relative == "path" || entry.Name() == "__pycache__"):
			return fs.SkipDir
		case entry.Type().IsRegular():
			content, err := os.ReadFile(name)
			contents[relative] = string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return contents
}

// expectOnlyChanged checks that only the work, the function's role and its environment have changed.
func (p project) expectOnlyChanged(t *testing.T, before map[string]string) {
	t.Helper()
	after := p.files(t)
	delete(after, "token.txt")
	delete(after, "api.patch")
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] == after[name] {
			delete(before, name)
		} else {
			before[name] = "changed"
		}
	}
	changed := slices.Sorted(maps.Keys(before))
	want := []string{
		"cft/nested-stacks/iam-role-stack.yaml", "cft/nested-stacks/lambda-function-stack.yaml",
		"internal/function/work/bench_test.go", "internal/function/work/work.go", "internal/function/work/work_test.go",
	}
	if !slices.Equal(changed, want) {
		t.Errorf("the page changes the files %v, want only %v", changed, want)
	}
}

// unreliable is an API with idempotency keys. It refuses some records for good, and fails at random, at most twice for each key.
type unreliable struct {
	token string

	mutex    sync.Mutex
	calls    map[string]int    // by key
	effects  map[string]string // the body that had its effect, by key
	answered map[string]bool   // whether a success was sent to the end
	did      map[string]int    // what the API did, by name
	problems []string
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	switch what := u.decide(r, body); what {
	case "no answer":
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	case "dropped before", "dropped after":
		panic(http.ErrAbortHandler)
	case "done", "repeated":
		w.WriteHeader(http.StatusCreated)
	default:
		status, _ := strconv.Atoi(what)
		http.Error(w, "not "+string(body), status) // an answer that repeats the payload
	}
}

// decide notes a call, does what it asks for, or not, and returns what the client gets to see.
func (u *unreliable) decide(r *http.Request, body []byte) (what string) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	defer func() { u.did[what]++ }()
	key := r.Header.Get("Idempotency-Key")
	u.calls[key]++
	problem := func(text string) {
		u.problems = append(u.problems, fmt.Sprintf("call %d with the key %q %s", u.calls[key], key, text))
	}
	if r.Method != http.MethodPost || r.URL.Path != "/orders" || r.Header.Get("Authorization") != "Bearer "+u.token {
		problem("is a " + r.Method + " " + r.URL.Path + ", or has another token")
		return "401"
	}
	var record struct {
		Order   string
		Refused bool
	}
	if err := json.Unmarshal(body, &record); err != nil || record.Order == "" {
		problem("has no order: " + string(body))
		return "400"
	}
	if u.answered[key] {
		problem("comes after a success")
	}
	if before, ok := u.effects[key]; ok && string(body) != before {
		problem("has another body than before")
	}
	if record.Refused {
		if u.calls[key] > 1 {
			problem("repeats what was refused for good")
		}
		return "422"
	}
	chance := rand.New(rand.NewPCG(uint64(len(record.Order)), spread(record.Order)+uint64(u.calls[key])))
	if u.calls[key] <= 2 && chance.IntN(5) < 2 {
		what = []string{"500", "429", "no answer", "dropped before", "dropped after"}[chance.IntN(5)]
		if what == "dropped after" {
			u.effects[key] = string(body)
		}
		return what
	}
	what = "done"
	if _, ok := u.effects[key]; ok {
		what = "repeated"
	}
	u.effects[key], u.answered[key] = string(body), true
	return what
}

// spread is a number for the name of an order.
func spread(name string) (n uint64) {
	for _, b := range []byte(name) {
		n = n*1099511628211 + uint64(b)
	}
	return n
}
