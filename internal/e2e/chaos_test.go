package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"

	"carnation/internal/event"
	"carnation/internal/function/insert"
	"carnation/internal/function/shard"
	"carnation/internal/localaws"
	"carnation/internal/operate"
)

var (
	seeds     = flag.Int("seeds", 25, "how many scenarios of the fault campaign to play")
	firstSeed = flag.Int64("seed", 1, "seed of the first of them")
	looked    = flag.Int("looked", 1, "how many of them to look at in a browser, too, if there is one")
)

// The campaign cannot wait for the times of the templates. Only their order matters: a claim lasts longer than its run.
const (
	chaosRunTimeout = 30 * time.Second
	chaosVisibility = 35 * time.Second
)

// TestChaos plays seeded scenarios of overlapping runs under faults, and accounts for every event. Each has a stack of its own.
func TestChaos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a local AWS, and this is go test -short")
	}
	var mu sync.Mutex
	var reports []report
	started := time.Now()
	t.Cleanup(func() { printTable(os.Stdout, reports, time.Since(started)) }) // after all scenarios
	for seed := *firstSeed; seed < *firstSeed+int64(*seeds); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			s := plan(seed)
			p, err := newPlayer(t, s.mode())
			if err != nil {
				t.Fatal(err)
			}
			if seed < *firstSeed+int64(*looked) {
				p.look(t)
			}
			r, err := p.play(t.Context(), s)
			if err != nil {
				t.Error(err)
			}
			for _, problem := range slices.Concat(r.lost, r.duplicated, r.wrong) {
				t.Error(problem)
			}
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, r)
			fmt.Printf("chaos: %d of %d, seed %d, %s: %d runs, %d events, %s\n", len(reports), *seeds, seed, s.mode().name, r.runs, r.events, r.took.Round(100*time.Millisecond))
			if t.Failed() {
				fmt.Printf("chaos: seed %d failed; to play it alone: make chaos SEEDS=1 SEED=%d\n", seed, seed)
			}
		})
	}
}

// report is the account of one scenario.
type report struct {
	took                                   time.Duration
	runs, events, inserted, dead, redriven int
	buried                                 int // of the dead, sent there by the run in which they failed
	own                                    int // of the events, made of records
	permanent                              int // of the dead, which no retry can cure
	lost, duplicated, wrong                []string
	faults                                 map[string]int
}

func printTable(w io.Writer, reports []report, took time.Duration) {
	var sum report
	sum.faults = map[string]int{}
	for _, r := range reports {
		sum.runs += r.runs
		sum.events += r.events
		sum.inserted += r.inserted
		sum.dead += r.dead
		sum.redriven += r.redriven
		sum.buried += r.buried
		sum.own += r.own
		sum.permanent += r.permanent
		sum.lost = append(sum.lost, r.lost...)
		sum.duplicated = append(sum.duplicated, r.duplicated...)
		sum.wrong = append(sum.wrong, r.wrong...)
		for kind, n := range r.faults {
			sum.faults[kind] += n
		}
	}
	fmt.Fprintf(w, "\n| scenarios | runs | events | of them own | in the table | in the dead-letter queue | failed for good | sent there by their last run | by redrive of a stopped run | lost | duplicated | wrong status |\n")
	fmt.Fprintf(w, "|%s\n| %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n\n", strings.Repeat(" --- |", 12),
		len(reports), sum.runs, sum.events, sum.own, sum.inserted, sum.dead, sum.permanent, sum.buried, sum.redriven, len(sum.lost), len(sum.duplicated), len(sum.wrong))
	fmt.Fprintf(w, "| fault | times |\n| --- | --- |\n")
	for _, kind := range slices.Sorted(maps.Keys(sum.faults)) {
		fmt.Fprintf(w, "| %s | %d |\n", kind, sum.faults[kind])
	}
	fmt.Fprintf(w, "\n%s\n", took.Round(time.Second))
}

// mode of a stack, with its state machine and the parameters that choose it.
type mode struct {
	name, machine, parameter string
	parameters               []string
}

var (
	inlineMode      = &mode{"inline", "carnation-state-machine", "StateMachineS3Key", nil}
	distributedMode = &mode{"distributed", "carnation-distributed", "DistributedStateMachineS3Key",
		[]string{"MapMode=DISTRIBUTED", "ShardSize=8", "ShardConcurrency=3"}}
)

// player plays a scenario on a stack whose runs and claims are short.
type player struct {
	*deployed
	t    testing.TB
	mode *mode
	own  map[string]ownRecords // of the scenario's runs that have some, by the run's ARN
	page *consolePage          // follows the scenario, if it is looked at in a browser
}

func newPlayer(t *testing.T, m *mode) (*player, error) {
	machine, err := os.ReadFile(root + "/state-machine/" + m.machine + ".asl.json")
	if err != nil {
		return nil, err
	}
	// The first one is the run's.
	runs := regexp.MustCompile(`"TimeoutSeconds": \d+`).FindString(string(machine))
	changed := strings.Replace(string(machine), runs, fmt.Sprintf(`"TimeoutSeconds": %d`, chaosRunTimeout/time.Second), 1)
	if runs == "" || strings.Index(changed, "TimeoutSeconds") > strings.Index(changed, "States") {
		return nil, fmt.Errorf("%s has no TimeoutSeconds of its own", m.machine)
	}
	c := newCloud(t)
	key := "chaos-" + m.machine + ".asl.json"
	if err := c.put(key, []byte(changed)); err != nil {
		return nil, err
	}
	p := &player{c.newStack(t, append(m.parameters, m.parameter+"="+key)...), t, m, map[string]ownRecords{}, nil}
	_, err = p.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl:   aws.String(p.outputs["RetryQueueUrl"]),
		Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(int(chaosVisibility / time.Second))},
	})
	return p, err
}

// scenario is what one seed plays.
type scenario struct {
	seed    int64
	calm    bool // faults only where they cannot cost a claim, and no run is stopped
	sharded bool // in the distributed mode
	runs    []plannedRun
	rules   []localaws.Rule
	digit   int // the table refuses every event whose number ends with it; -1 for none
}

func (s scenario) mode() *mode {
	if s.sharded {
		return distributedMode
	}
	return inlineMode
}

// forGood is the fault that does not end with the others: it refuses the events whose number ends with the scenario's digit.
func (s scenario) forGood() []localaws.Rule {
	if s.digit < 0 {
		return nil
	}
	return []localaws.Rule{{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: fmt.Sprintf(`"sequenceNo":."N":"[0-9]*%d"`, s.digit)}}
}

type plannedRun struct {
	after   time.Duration // since the scenario's beginning
	input   event.Run
	records int           // own events, instead of a range
	format  string        // of the source that has them; empty if the input has them
	bad     int           // every n-th record of the source is none; 0 for no such
	stop    time.Duration // after its start, 0 for never
}

// ownRecords are the events of a run's records, as event.FromRecord makes them.
type ownRecords struct {
	events  []event.Event
	source  string
	time    int64
	records map[event.Identity]string // of those that are records
}

// badRecords are lines of a source that cannot become events. Messages can carry the last one as it is.
var badRecords = []string{
	`7`, `[1,2]`, `"text"`, `null`, `{"long":"` + strings.Repeat("x", event.MaxRecord) + `"}`, `{"digits":` + strings.Repeat("7", event.MaxDigits+2) + `}`,
}

// prepare uploads the source of a run that has one, and returns the input of the run and the events of its records.
func (p *player) prepare(ctx context.Context, seed int64, number int, run plannedRun) (input string, own ownRecords, err error) {
	if run.records == 0 {
		generated, err := json.Marshal(run.input)
		return string(generated), own, err
	}
	table, records := csvOf(p.t, run.records)
	if run.format != "CSV" {
		records = orders(run.records)
	}
	if run.bad > 0 {
		for i := number % run.bad; i < len(records); i += run.bad {
			records[i] = badRecords[(int(seed)+number+i)%len(badRecords)]
		}
	}
	own = ownRecords{source: event.InputSource, time: 1_700_000_000 + 100*seed + int64(number), records: map[event.Identity]string{}}
	events := `"events":` + listed(records)
	if run.format != "" {
		name := p.outputs["EventsBucketName"]
		key := fmt.Sprintf("%schaos/%d-%d", p.outputs["EventsPrefix"], seed, number)
		content := map[string]string{"JSONL": strings.Join(records, "\n"), "JSON": listed(records), "CSV": table}[run.format]
		store := s3.NewFromConfig(p.config, func(o *s3.Options) { o.UsePathStyle = true })
		if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String(key), Body: strings.NewReader(content)}); err != nil {
			return "", own, err
		}
		own.source = "s3://" + name + "/" + key
		events = fmt.Sprintf(`"source":{"bucket":%q,"key":%q,"format":%q}`, name, key, run.format)
	}
	for i, record := range records {
		e, err := event.FromRecord(own.source, own.time, int64(i+1), json.RawMessage(record))
		if err != nil {
			e = event.FromBadRecord(own.source, own.time, int64(i+1), json.RawMessage(record))
		} else {
			own.records[e.Identity()] = record
		}
		own.events = append(own.events, e)
	}
	return fmt.Sprintf(`{%s,"time":%d,"failure_rate":%v}`, events, own.time, run.input.FailureRate), own, nil
}

// plan makes a scenario from a seed.
func plan(seed int64) scenario {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	s := scenario{seed: seed, calm: seed%4 == 0, sharded: seed%8 >= 4, digit: -1}
	base := 1000 * seed
	for range 3 + r.IntN(4) {
		run := plannedRun{after: time.Duration(r.IntN(3000)) * time.Millisecond}
		if r.IntN(3) > 0 {
			n := int64(5 + r.IntN(25))
			if r.IntN(2) == 0 {
				run.records = int(n)
				run.chooseSource(r, s.sharded)
			} else {
				run.input = event.Run{StartSeq: base, EndSeq: base + n}
				base += n
			}
		}
		if r.IntN(2) == 0 {
			run.input.FailureRate = float64(1+r.IntN(10)) / 10
		}
		if !s.calm && r.IntN(5) == 0 {
			run.stop = time.Duration(200+r.IntN(4000)) * time.Millisecond
		}
		s.runs = append(s.runs, run)
	}
	// Early events, so that every scenario has some.
	first := &s.runs[0]
	first.after, first.records, first.format, first.bad = 0, 0, "", 0
	if r.IntN(2) == 0 {
		first.input.StartSeq, first.input.EndSeq, first.records = 0, 0, 20
		first.chooseSource(r, s.sharded)
	} else {
		first.input.StartSeq, first.input.EndSeq = base, base+20
	}
	if r.IntN(3) > 0 {
		s.digit = r.IntN(10)
	}

	kinds := slices.Sorted(maps.Keys(anyFaults))
	for range 2 + r.IntN(4) {
		rules := insertFaults
		if !s.calm && r.IntN(4) > 0 {
			rules = anyFaults[kinds[r.IntN(len(kinds))]]
		}
		rule := rules[r.IntN(len(rules))]
		if rule.Times == 0 && rule.Share == 0 {
			rule.Share = []float64{0.03, 0.1, 0.3}[r.IntN(3)]
		}
		s.rules = append(s.rules, rule)
	}
	return s
}

// chooseSource decides where the records of a run are. The inline mode has no sources.
func (run *plannedRun) chooseSource(r *rand.Rand, sharded bool) {
	if !sharded || r.IntN(3) == 0 {
		return
	}
	run.format = []string{"JSONL", "JSON", "CSV"}[r.IntN(3)]
	if run.format != "CSV" && r.IntN(2) == 0 {
		run.bad = 4 + r.IntN(8)
	}
}

// insertFaults are faults of inserts that the function notices.
var insertFaults = []localaws.Rule{
	{Fault: localaws.FaultThrottle, Operation: "UpdateItem"},
	{Fault: localaws.FaultError, Operation: "UpdateItem"},
	{Fault: localaws.FaultUnavailable, Operation: "UpdateItem"},
	{Fault: localaws.FaultResetBefore, Operation: "UpdateItem"},
	{Fault: localaws.FaultResetAfter, Operation: "UpdateItem"},
	{Fault: localaws.FaultThrottle, Operation: "Invoke", Function: "insert-data"},
	{Fault: localaws.FaultError, Operation: "Invoke", Function: "insert-data"},
}

// anyFaults are all other faults, by kind. They are for calls of the functions and the engine, never of the campaign itself. A fault
// for which a scenario has few calls has a large share.
var anyFaults = map[string][]localaws.Rule{
	localaws.FaultThrottle:    {{Service: "sqs", Caller: "-role-"}, {Caller: localaws.EngineKeyID}},
	localaws.FaultError:       {{Service: "sqs", Caller: "-role-"}, {Service: "sqs", Caller: localaws.EngineKeyID}},
	localaws.FaultUnavailable: {{Caller: "-role-"}, {Caller: localaws.EngineKeyID}},
	localaws.FaultResetBefore: {{Caller: "-role-"}, {Caller: localaws.EngineKeyID}},
	localaws.FaultResetAfter:  {{Caller: "-role-"}, {Caller: localaws.EngineKeyID}},
	localaws.FaultDelay: {
		{Service: "sqs", Caller: "-role-", For: localaws.Duration(6 * time.Second), Times: 3},
		{Service: "dynamodb", Caller: "-role-", For: localaws.Duration(6 * time.Second), Times: 5},
		{Operation: "SendMessage", For: localaws.Duration(2 * time.Second), Times: 5},
	},
	localaws.FaultOutage: {
		{Caller: "-role-", For: localaws.Duration(time.Second), Times: 1},
		{Caller: localaws.EngineKeyID, For: localaws.Duration(2 * time.Second), Times: 1},
	},
	localaws.FaultBatch:     {{Share: 0.4}},
	localaws.FaultReceive:   {{Share: 0.4}},
	localaws.FaultDuplicate: {{Share: 0.4}},
	localaws.FaultKill:      {{Function: "insert-data"}, {Function: "insert-data", Share: 0.2}, {Function: "generate-data", Share: 0.2}},
	localaws.FaultTimeout:   {{Function: "insert-data"}, {Function: "generate-data", Share: 0.2}},
	localaws.FaultGarbage:   {{Function: "insert-data"}, {Function: "insert-data", Share: 0.3}, {Function: "generate-data", Share: 0.2}, {Function: "plan-shards", Share: 0.2}},
}

func init() {
	for kind, rules := range anyFaults {
		for i := range rules {
			rules[i].Fault = kind
		}
	}
}

// play plays a scenario and accounts for its events.
func (p *player) play(ctx context.Context, s scenario) (report, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	started := time.Now()
	r := report{faults: map[string]int{}}
	inputs, owns := make([]string, len(s.runs)), make([]ownRecords, len(s.runs))
	for i, planned := range s.runs {
		var err error
		if inputs[i], owns[i], err = p.prepare(ctx, s.seed, i, planned); err != nil {
			return r, err
		}
	}
	// The first rule that applies decides, so the others spare the events that fail for good.
	if err := p.endpoint.SetFaults(localaws.Faults{Seed: s.seed, Rules: slices.Concat(s.forGood(), s.rules)}); err != nil {
		return r, err
	}
	before := p.recorded()
	arns, err := p.runAll(ctx, s, inputs)
	for i, arn := range arns {
		if len(owns[i].events) > 0 {
			p.own[arn] = owns[i]
		}
	}
	faultsOff := p.endpoint.SetFaults(localaws.Faults{Rules: s.forGood()})
	if err := errors.Join(err, faultsOff); err != nil {
		return r, err
	}
	var faulty []localaws.Call
	for call, n := range p.recorded() {
		if n -= before[call]; n > 0 && call.Fault != "" {
			r.faults[call.Fault] += n
			faulty = append(faulty, call)
		}
	}
	if s.calm {
		inFlight, err := p.attribute(ctx, "RetryQueueUrl", "ApproximateNumberOfMessagesNotVisible")
		if err != nil {
			return r, err
		}
		if inFlight > 0 {
			r.wrong = append(r.wrong, fmt.Sprintf("%d failed events were not released", inFlight))
		}
	}
	if arns, err = p.drain(arns); err != nil {
		return r, err
	}
	if err := p.page.judgePlaces(ctx, p); err != nil { // while there are dead letters
		return r, err
	}
	dead := deadLetters{}
	stopped := false
	for try := range 3 { // on a busy machine a redrive can run out of time, too
		redriven, ended, err := p.redrive(ctx, &r, arns, dead)
		if err != nil {
			return r, err
		}
		stopped = stopped || ended
		if redriven == 0 {
			break
		}
		r.redriven += redriven
		if try > 0 {
			r.faults["redrive once more"]++
		}
		if arns, err = p.drain(arns); err != nil {
			return r, err
		}
	}
	refused := 0
	for call, n := range p.recorded() {
		if call.Fault == localaws.FaultInvalid {
			refused += n - before[call]
		}
	}
	r.faults[localaws.FaultInvalid] = refused // also in the runs that empty the queue
	err = p.account(ctx, &r, s, arns, dead, doubts{
		claims: stopped || mayLoseClaims(faulty), burial: stopped || mayLoseClaims(faulty) || mayNotBury(faulty),
		repeated: stopped || mayRepeat(faulty), ended: stopped, refused: refused,
	})
	r.took = time.Since(started)
	return r, err
}

// drain runs until the retry queue is empty, and adds those runs to others.
func (p *player) drain(arns []string) ([]string, error) {
	out := p.command(nil, carnation, "run", "--until-empty", "--output", "json", "--max-runs", "40", "--timeout", "9m")
	var drained struct {
		Runs   []operate.Run
		Queues operate.Queues
	}
	if err := json.Unmarshal([]byte(out.stdout), &drained); err != nil || out.code > 1 || drained.Queues.Retry+drained.Queues.InFlight > 0 {
		return nil, fmt.Errorf("carnation run --until-empty: %s", out)
	}
	for _, run := range drained.Runs {
		arns = append(arns, run.Arn)
	}
	return arns, nil
}

// redrive redrives the runs that were stopped, timed out or failed otherwise than because of their events: those whose history alone
// has new events, and those whose first function answered nonsense, so that they have no events yet. It says how many events that
// were, and whether any run ended before it had tried its claims.
func (p *player) redrive(ctx context.Context, r *report, arns []string, dead deadLetters) (redriven int, stopped bool, err error) {
	rows, err := p.rowsOf(ctx)
	if err != nil {
		return 0, false, err
	}
	if err := p.takeDead(ctx, dead); err != nil {
		return 0, false, err
	}
	stops := 0
	for _, arn := range arns {
		e, err := p.read(ctx, arn)
		if err != nil {
			return 0, false, err
		}
		if e.out.Status == sfntypes.ExecutionStatusAborted {
			stops++
			r.faults["stop"] = max(r.faults["stop"], stops)
		}
		if e.out.Status == sfntypes.ExecutionStatusSucceeded || aws.ToString(e.out.Error) == "Carnation.EventsFailed" {
			continue
		}
		stopped = true
		alone := 0
		for _, item := range e.items {
			if _, ok := rows[item.Event.Identity()]; !ok && item.ReceiptHandle == "" && len(dead[item.Event.Identity()]) == 0 {
				alone++
			}
		}
		if len(e.items) == 0 && aws.ToString(e.out.Error) == "States.QueryEvaluationError" {
			var input event.Run
			if err := json.Unmarshal([]byte(*e.out.Input), &input); err != nil {
				return 0, false, err
			}
			alone = int(input.EndSeq - input.StartSeq)
		}
		if alone == 0 {
			continue
		}
		redriven += alone
		if _, err := p.sfn.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: aws.String(arn), ClientToken: aws.String(uuid.NewString())}); err != nil {
			return 0, false, err
		}
		if err := p.waitForEnd(ctx, arn); err != nil {
			return 0, false, err
		}
	}
	return redriven, stopped, nil
}

// deadLetters are the messages of the dead-letter queue, by their events.
type deadLetters map[event.Identity][]deadLetter

// deadLetter is what the attributes of a message say.
type deadLetter struct {
	run, error string
	permanent  bool
}

// takeDead empties the dead-letter queue.
func (p *player) takeDead(ctx context.Context, dead deadLetters) error {
	messages, err := p.receiveAll(ctx, "DeadLetterQueueUrl")
	for _, message := range messages {
		attribute := func(name string) string { return aws.ToString(message.MessageAttributes[name].StringValue) }
		letter := deadLetter{attribute("ExecutionArn"), attribute("Error"), attribute("Permanent") == "true"}
		e, err := event.Parse([]byte(*message.Body), "")
		if err != nil && letter.error == invalidRecord { // its payload is what could be no event
			err = json.Unmarshal([]byte(*message.Body), &e)
		}
		if err != nil {
			return fmt.Errorf("dead letter %s: %w", *message.Body, err)
		}
		dead[e.Identity()] = append(dead[e.Identity()], letter)
	}
	return err
}

// The errors of events that fail for good in the campaign.
const (
	invalidRecord = "InvalidRecord"
	invalidItem   = "ValidationException"
)

// rowsOf is the rows of the table by their events.
func (p *player) rowsOf(ctx context.Context) (map[event.Identity]row, error) {
	found, err := p.scan(ctx, 0, math.MaxInt64)
	rows := map[event.Identity]row{}
	for _, list := range found {
		for _, r := range list {
			rows[event.Identity{SequenceNo: r.SequenceNo, RandomValue: r.RandomStringValue}] = r
		}
	}
	return rows, err
}

// runAll starts the scenario's executions, stops those that the scenario stops, and waits for all to end.
func (p *player) runAll(ctx context.Context, s scenario, inputs []string) ([]string, error) {
	arns := make([]string, len(s.runs))
	errs := make([]error, len(s.runs))
	var group sync.WaitGroup
	for i, planned := range s.runs {
		group.Go(func() {
			arns[i], errs[i] = p.runPlanned(ctx, planned, inputs[i])
		})
	}
	group.Wait()
	return arns, errors.Join(errs...)
}

func (p *player) runPlanned(ctx context.Context, planned plannedRun, input string) (string, error) {
	time.Sleep(planned.after)
	started, err := p.sfn.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(p.outputs["StateMachineArn"]), Input: aws.String(input),
		Name: aws.String(uuid.NewString()), // the same when an outage makes it start again
	})
	if err != nil {
		return "", err
	}
	arn := *started.ExecutionArn
	if planned.stop > 0 {
		time.Sleep(planned.stop)
		if _, err := p.sfn.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
			return arn, err
		}
	}
	return arn, p.waitForEnd(ctx, arn)
}

// waitForEnd waits for an execution to end. It asks often at first, and then twice a second.
func (p *player) waitForEnd(ctx context.Context, arn string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		out, err := p.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil || out.Status != sfntypes.ExecutionStatusRunning {
			return err
		}
		time.Sleep(pause)
	}
}

// itemKey tells the items of a run apart.
type itemKey struct {
	event.Identity
	receiptHandle string
}

func keyOf(item event.Item) itemKey {
	return itemKey{item.Event.Identity(), item.ReceiptHandle}
}

// execution is an execution, as its history shows it.
type execution struct {
	out      *sfn.DescribeExecutionOutput
	items    []event.Item          // that generate-data answered, or that are its own
	inserted map[itemKey]time.Time // when the Map took them for inserted
	failed   map[itemKey]bool      // that the Map took for failed
	dead     map[itemKey]bool      // that the Map took for dead
	parking  bool                  // it came to return failed events

	claimed  time.Time // when generate-data had answered
	released time.Time // when it came to return failed events, or ended

	shards   []execution // of a distributed run
	returned int         // failed events that the shards have returned to the retry queue
	buried   int         // events that were sent to the dead-letter queue
	why      string      // a shard failed
}

func (p *player) read(ctx context.Context, arn string) (execution, error) {
	e := execution{inserted: map[itemKey]time.Time{}, failed: map[itemKey]bool{}, dead: map[itemKey]bool{}}
	err := p.readHistory(ctx, arn, &e)
	if own, ok := p.own[arn]; ok { // whether the run came so far as to know them or not
		e.items = slices.DeleteFunc(e.items, func(item event.Item) bool { return item.ReceiptHandle == "" })
		for _, created := range own.events {
			e.items = append(e.items, event.Item{Event: created})
		}
	}
	return e, err
}

func (p *player) readHistory(ctx context.Context, arn string, e *execution) (err error) {
	if e.out, err = p.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		return err
	}
	e.released = aws.ToTime(e.out.StopDate)
	if p.mode == distributedMode {
		return p.readShards(ctx, e)
	}
	mapped := false
	return p.eachEvent(ctx, arn, func(h sfntypes.HistoryEvent) error {
		switch {
		case h.Type == sfntypes.HistoryEventTypeTaskSucceeded && !mapped:
			var output struct{ Payload struct{ Items []event.Item } }
			if json.Unmarshal([]byte(*h.TaskSucceededEventDetails.Output), &output) == nil { // garbage is no answer
				e.items, e.claimed = output.Payload.Items, *h.Timestamp
			}
		case h.Type == sfntypes.HistoryEventTypeTaskStateEntered && *h.StateEnteredEventDetails.Name == operate.DeleteBuried:
			e.buried++
		case h.Type == sfntypes.HistoryEventTypeMapStateEntered:
			mapped = true
			if *h.StateEnteredEventDetails.Name == "Return Failed Events" {
				e.parking, e.released = true, *h.Timestamp
			}
		case h.Type == sfntypes.HistoryEventTypePassStateEntered:
			var input struct{ Item event.Item }
			if err := json.Unmarshal([]byte(*h.StateEnteredEventDetails.Input), &input); err != nil {
				return err
			}
			switch *h.StateEnteredEventDetails.Name {
			case operate.EventFailed, operate.InvocationFailed:
				e.failed[keyOf(input.Item)] = true
			case "Event Inserted":
				e.inserted[keyOf(input.Item)] = *h.Timestamp
				delete(e.failed, keyOf(input.Item)) // it had failed before the redrive
			case operate.EventIsDead:
				e.dead[keyOf(input.Item)] = true
				delete(e.failed, keyOf(input.Item))
			}
		}
		return nil
	})
}

// readShards reads the plan of a distributed run, which has the run's new events, and what its shards claimed and returned.
func (p *player) readShards(ctx context.Context, e *execution) error {
	mapped := false
	err := p.eachEvent(ctx, *e.out.ExecutionArn, func(h sfntypes.HistoryEvent) error {
		if h.Type == sfntypes.HistoryEventTypeMapStateEntered {
			mapped = true
		}
		var answer struct{ Payload shard.Planned }
		if mapped || h.TaskSucceededEventDetails == nil || json.Unmarshal([]byte(*h.TaskSucceededEventDetails.Output), &answer) != nil || answer.Payload.Plan.ShardSize == 0 {
			return nil
		}
		// A run that was stopped before it left this state plans again in its redrive. Only the last plan has shards.
		e.parking, e.items = true, nil
		for number := range answer.Payload.Plan.Shards() {
			e.items = append(e.items, answer.Payload.Plan.Items(number)...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	mapRuns, err := p.sfn.ListMapRuns(ctx, &sfn.ListMapRunsInput{ExecutionArn: e.out.ExecutionArn})
	if err != nil {
		return err
	}
	for _, mapRun := range mapRuns.MapRuns {
		children, err := p.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{MapRunArn: mapRun.MapRunArn, MaxResults: 1000})
		if err != nil {
			return err
		}
		for _, child := range children.Executions {
			s, counts := execution{out: e.out}, [3]int{} // inserted, returned, buried
			state := ""
			err := p.eachEvent(ctx, *child.ExecutionArn, func(h sfntypes.HistoryEvent) error {
				var answer struct{ Payload struct{ Items []event.Item } }
				switch {
				case h.StateEnteredEventDetails != nil:
					state = *h.StateEnteredEventDetails.Name
				case h.Type == sfntypes.HistoryEventTypeTaskStarted && len(s.items) > 0 && s.released.IsZero():
					s.released = *h.Timestamp // insert-data is invoked, and gives them back
				case h.TaskSucceededEventDetails == nil || state != "Generate Data": // garbage of insert-data can have items, too
				case json.Unmarshal([]byte(*h.TaskSucceededEventDetails.Output), &answer) != nil: // garbage is no answer
				case len(answer.Payload.Items) > 0:
					s.items, s.claimed = answer.Payload.Items, *h.Timestamp
				}
				if ended := h.ExecutionSucceededEventDetails; ended != nil {
					if err := json.Unmarshal([]byte(*ended.Output), &counts); err != nil {
						return err
					}
				}
				if failed := h.ExecutionFailedEventDetails; failed != nil {
					e.why = aws.ToString(failed.Error) + ": " + aws.ToString(failed.Cause)
				}
				return nil
			})
			if err != nil {
				return err
			}
			e.returned += counts[1]
			e.buried += counts[2]
			e.shards = append(e.shards, s)
			for _, item := range s.items {
				if item.ReceiptHandle != "" {
					e.items = append(e.items, item)
				}
			}
		}
	}
	return nil
}

// eachEvent calls visit with the events of an execution's history, in order.
func (p *player) eachEvent(ctx context.Context, arn string, visit func(h sfntypes.HistoryEvent) error) error {
	pages := sfn.NewGetExecutionHistoryPaginator(p.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: aws.String(arn), MaxResults: 1000})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, h := range page.Events {
			if err := visit(h); err != nil {
				return err
			}
		}
	}
	return nil
}

// doubts are what the faults of a scenario may have done, so that a check does not hold.
type doubts struct {
	claims   bool // SQS may have counted a receive that no run saw
	burial   bool // events could perhaps not be sent to the dead-letter queue
	repeated bool // an event may have been tried twice in a run, or sent twice
	ended    bool // a run ended before it had tried its claims
	refused  int  // tries that the table refused
}

// account looks for every event of the scenario, and checks what the design promises of each and of every run.
func (p *player) account(ctx context.Context, r *report, s scenario, arns []string, dead deadLetters, may doubts) error {
	rows, err := p.rowsOf(ctx)
	if err != nil {
		return err
	}
	if err := p.takeDead(ctx, dead); err != nil {
		return err
	}
	executions := make([]execution, len(arns))
	for i, arn := range arns {
		if executions[i], err = p.read(ctx, arn); err != nil {
			return err
		}
	}
	r.runs = len(arns)
	documents, err := p.newDocuments(ctx)
	if err != nil {
		return err
	}
	holders := map[event.Identity][]string{} // the ARNs of the runs that had it, as a new event or as a claim
	claims := map[event.Identity][]string{}  // of those that had it as a claim
	firstInserted := map[event.Identity]time.Time{}
	var inserted []event.Event
	known := map[event.Identity]bool{}
	for _, e := range executions {
		name, arn := *e.out.Name, *e.out.ExecutionArn
		for item, at := range e.inserted {
			if first, ok := firstInserted[item.Identity]; !ok || at.Before(first) {
				firstInserted[item.Identity] = at
			}
		}
		for _, item := range e.items {
			id := item.Event.Identity()
			holders[id] = append(holders[id], arn)
			if item.ReceiptHandle != "" {
				claims[id] = append(claims[id], arn)
				continue
			}
			r.events++
			known[id] = true
			found, isRow := rows[id]
			switch {
			case isRow:
				r.inserted++
				inserted = append(inserted, item.Event)
				if found.GeneratedUnixTime != item.Event.CurrentTime {
					r.wrong = append(r.wrong, fmt.Sprintf("event %+v has the row %+v", item.Event, found))
				}
			case len(dead[id]) > 0:
				r.dead++
			default:
				r.lost = append(r.lost, fmt.Sprintf("event %d of run %s, which is %s %s (%s) after %d redrives, is nowhere",
					item.Event.SequenceNo, name, e.out.Status, aws.ToString(e.out.Error), cmp.Or(e.why, aws.ToString(e.out.Cause)), aws.ToInt32(e.out.RedriveCount)))
			}
		}
		r.wrong = append(r.wrong, p.judge(e, rows)...)
		r.wrong = append(r.wrong, documents.judge(ctx, e, rows, dead)...)
		r.wrong = append(r.wrong, p.page.judge(e, p.mode == inlineMode)...)
	}
	if err := p.page.judgePlaces(ctx, p); err != nil {
		return err
	}
	r.wrong = append(r.wrong, p.page.judgeList(executions, p.mode == inlineMode)...)
	for id, row := range rows {
		if !known[id] {
			r.duplicated = append(r.duplicated, fmt.Sprintf("no run has the event of the row %+v", row))
		}
		if first, ok := firstInserted[id]; ok && time.Unix(row.CreatedUnixTime, 0).After(first) {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d was inserted at %s, and its row has the createdUnixTime %d", id.SequenceNo, first, row.CreatedUnixTime))
		}
	}
	if !may.ended {
		r.wrong = append(r.wrong, documents.judgeRows(rows, dead)...)
	}
	invalid := map[event.Identity]bool{}
	for _, own := range p.own {
		r.own += len(own.events)
		r.wrong = append(r.wrong, p.judgeOwn(own, rows)...)
		for _, e := range own.events {
			if id := e.Identity(); own.records[id] == "" {
				invalid[id] = true
			}
		}
	}
	refused := 0
	for id, letters := range dead {
		if !known[id] {
			r.wrong = append(r.wrong, fmt.Sprintf("no run has event %d, which is in the dead-letter queue", id.SequenceNo))
		}
		want := ""
		switch {
		case invalid[id]:
			want = invalidRecord
		case s.digit >= 0 && id.SequenceNo%10 == int64(s.digit):
			want = invalidItem
		}
		// The runs that empty the queue have no other faults, so each try of an event that fails for good leaves a message.
		tries := 0
		for _, arn := range claims[id] {
			if slices.Contains(arns[len(s.runs):], arn) {
				tries++
			}
		}
		if want != "" && tries > len(letters) && !may.ended {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d fails for good, and was retried: runs without other faults had it %d times, and left %d messages", id.SequenceNo, tries, len(letters)))
		}
		if slices.ContainsFunc(letters, func(l deadLetter) bool { return l.permanent }) {
			r.permanent++
			r.wrong = append(r.wrong, judgePermanent(id, letters, want, holders[id], may)...)
			if want == invalidItem {
				refused++
			}
			continue
		}
		// An event that no retry can cure may have no retries left before it is tried.
		if want == invalidRecord || len(claims[id]) < 3 && !may.claims {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d is in the dead-letter queue after %d retries, and is not permanent", id.SequenceNo, len(claims[id])))
		}
		// A message that SQS has moved names the run that parked its event, and not one that had claimed it.
		if slices.ContainsFunc(letters, func(l deadLetter) bool { return slices.Contains(claims[id], l.run) }) {
			r.buried++
		} else if !may.burial {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d waited in the retry queue without retries left, until a receive moved it to the dead-letter queue", id.SequenceNo))
		}
	}
	if !may.repeated && may.refused != refused {
		r.wrong = append(r.wrong, fmt.Sprintf("the table refused %d tries of the %d events that fail for good: want one of each", may.refused, refused))
	}
	if s.calm {
		if s.sharded {
			var shards []execution
			for _, e := range executions {
				shards = append(shards, e.shards...)
			}
			executions = shards
		}
		r.wrong = append(r.wrong, sharedClaims(executions)...)
	}
	return p.insertAgain(ctx, r, inserted, rows)
}

// judgePermanent checks the messages of an event that failed for good: its error, the run that sent it, and that no run tried it after
// that one.
func judgePermanent(id event.Identity, letters []deadLetter, want string, holders []string, may doubts) (wrong []string) {
	for _, letter := range letters {
		if letter.permanent && (letter.error != want || !slices.Contains(holders, letter.run)) {
			wrong = append(wrong, fmt.Sprintf("event %d is in the dead-letter queue for good with the error %q of run %s, want %q of one of %v", id.SequenceNo, letter.error, letter.run, want, holders))
		}
	}
	if may.repeated {
		return wrong
	}
	if len(letters) != 1 {
		wrong = append(wrong, fmt.Sprintf("event %d failed for good and has %d messages in the dead-letter queue", id.SequenceNo, len(letters)))
	}
	if want == invalidRecord && len(holders) != 1 {
		wrong = append(wrong, fmt.Sprintf("event %d of a bad record was retried: %d runs had it", id.SequenceNo, len(holders)))
	}
	return wrong
}

// judgeOwn checks that the rows of own events have their records, and that no row is of a bad record.
func (p *player) judgeOwn(own ownRecords, rows map[event.Identity]row) (wrong []string) {
	payloads := p.ownRows(p.t, own.source, own.time)
	for _, e := range own.events {
		record := own.records[e.Identity()]
		if _, ok := rows[e.Identity()]; !ok {
			continue
		}
		if record == "" {
			wrong = append(wrong, fmt.Sprintf("record %d of %s is bad, and is in the table as %s", e.SequenceNo, own.source, payloads[e.SequenceNo]))
		} else if want := sorted(p.t, record); !slices.Equal(payloads[e.SequenceNo], []string{want}) {
			wrong = append(wrong, fmt.Sprintf("record %d of %s is in the table as %s, want %s", e.SequenceNo, own.source, payloads[e.SequenceNo], want))
		}
	}
	return wrong
}

// sharedClaims finds events that two runs held at once. If no answer was lost and no message was delivered twice, a claim ends only
// when its run gives the event back.
func sharedClaims(executions []execution) (wrong []string) {
	slices.SortFunc(executions, func(a, b execution) int { return a.claimed.Compare(b.claimed) })
	holder := map[event.Identity]execution{}
	for _, e := range executions {
		for _, item := range e.items {
			if item.ReceiptHandle == "" {
				continue
			}
			if h, ok := holder[item.Event.Identity()]; ok && e.claimed.Before(h.released) {
				wrong = append(wrong, fmt.Sprintf("run %s claimed event %d, which run %s held", *e.out.Name, item.Event.SequenceNo, *h.out.Name))
			}
			holder[item.Event.Identity()] = e
		}
	}
	return wrong
}

// judge checks that a run's status matches what happened to its events.
func (p *player) judge(e execution, rows map[event.Identity]row) (wrong []string) {
	name := *e.out.Name
	started := *e.out.StartDate
	if e.out.RedriveDate != nil {
		started = *e.out.RedriveDate
	}
	if took := e.out.StopDate.Sub(started); took > chaosRunTimeout+5*time.Second {
		wrong = append(wrong, fmt.Sprintf("run %s took %s", name, took))
	}
	switch {
	case e.out.Status == sfntypes.ExecutionStatusSucceeded:
		for _, item := range e.items {
			if found, ok := rows[item.Event.Identity()]; !ok || time.Unix(found.CreatedUnixTime, 0).After(*e.out.StopDate) {
				wrong = append(wrong, fmt.Sprintf("run %s SUCCEEDED without event %d in the table", name, item.Event.SequenceNo))
			}
		}
		if want := fmt.Sprintf(`{"inserted":%d,"failed":0}`, len(e.items)); aws.ToString(e.out.Output) != want {
			wrong = append(wrong, fmt.Sprintf("run %s has the output %s, want %s", name, aws.ToString(e.out.Output), want))
		}
	case aws.ToString(e.out.Error) == "Carnation.EventsFailed":
		failed, dead := len(e.failed)+len(e.dead), e.buried+len(e.dead)
		if e.shards != nil {
			failed = e.returned + dead
		}
		want := fmt.Sprintf("%d of %d events failed and are in the retry queue", failed, len(e.items))
		if dead > 0 {
			want = fmt.Sprintf("%d of %d events failed: %d are in the retry queue, %d in the dead-letter queue", failed, len(e.items), failed-dead, dead)
		}
		if failed == 0 || aws.ToString(e.out.Cause) != want {
			wrong = append(wrong, fmt.Sprintf("run %s FAILED with %q, want %q", name, aws.ToString(e.out.Cause), want))
		}
	}
	return wrong
}

// mayLoseClaims tells whether SQS may have counted a receive that no run saw: if an answer with messages was lost, or was given
// twice.
func mayLoseClaims(faulty []localaws.Call) bool {
	return slices.ContainsFunc(faulty, func(c localaws.Call) bool {
		return c.Operation == "ReceiveMessage" || strings.Contains(c.Function, "generate-data") || c.Fault == localaws.FaultOutage
	})
}

// mayNotBury tells whether events could perhaps not be sent to the dead-letter queue.
func mayNotBury(faulty []localaws.Call) bool {
	return slices.ContainsFunc(faulty, func(c localaws.Call) bool { return strings.HasPrefix(c.Operation, "SendMessage") })
}

// mayRepeat tells whether an event may have been tried twice in a run, or sent twice: unless all faults were of calls that did nothing
// else than to fail before their work.
func mayRepeat(faulty []localaws.Call) bool {
	return slices.ContainsFunc(faulty, func(c localaws.Call) bool {
		refused := c.Operation == "Invoke" && (c.Fault == localaws.FaultThrottle || c.Fault == localaws.FaultError)
		return c.Operation != "UpdateItem" && !refused
	})
}

// insertAgain inserts the events of the table once more. Every row must stay the same, and keep its first time.
func (p *player) insertAgain(ctx context.Context, r *report, events []event.Event, before map[event.Identity]row) error {
	if len(events) == 0 {
		return nil
	}
	time.Sleep(1100 * time.Millisecond) // the times are in seconds
	items := make([]event.Item, len(events))
	for i, e := range events {
		items[i].Event = e
	}
	payload, err := json.Marshal(map[string]any{"operation": insert.InsertItems, "items": items, "run": p.outputs["StateMachineArn"]})
	if err != nil {
		return err
	}
	out, err := p.lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(p.outputs["InsertDataFunctionArn"]), Payload: payload})
	if err != nil || out.FunctionError != nil {
		return fmt.Errorf("insert again: %w %s", err, out.Payload)
	}
	after, err := p.rowsOf(ctx)
	if err != nil {
		return err
	}
	for _, e := range events {
		switch is, ok := after[e.Identity()]; {
		case !ok:
			r.lost = append(r.lost, fmt.Sprintf("event %d has no row after it was inserted again", e.SequenceNo))
		case is.CreatedUnixTime != before[e.Identity()].CreatedUnixTime:
			r.wrong = append(r.wrong, fmt.Sprintf("event %d lost its first createdUnixTime", e.SequenceNo))
		}
	}
	if len(after) != len(before) {
		r.duplicated = append(r.duplicated, fmt.Sprintf("%d events have %d rows after they were inserted again", len(before), len(after)))
	}
	return nil
}
