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
	workers   = flag.Int("workers", 4, "how many of them to play at a time")
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
	next := *firstSeed
	var reports []report
	var group sync.WaitGroup
	started := time.Now()
	for range min(*workers, *seeds) {
		group.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed >= *firstSeed+int64(*seeds) {
					return
				}
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					s := plan(seed)
					p, err := newPlayer(t, s.mode())
					if err != nil {
						t.Fatal(err)
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
		})
	}
	group.Wait()
	printTable(os.Stdout, reports, time.Since(started))
}

// report is the account of one scenario.
type report struct {
	took                                   time.Duration
	runs, events, inserted, dead, redriven int
	buried                                 int // of the dead, sent there by the run in which they failed
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
		sum.lost = append(sum.lost, r.lost...)
		sum.duplicated = append(sum.duplicated, r.duplicated...)
		sum.wrong = append(sum.wrong, r.wrong...)
		for kind, n := range r.faults {
			sum.faults[kind] += n
		}
	}
	fmt.Fprintf(w, "\n| scenarios | runs | events | in the table | in the dead-letter queue | sent there by their last run | by redrive of a stopped run | lost | duplicated | wrong status |\n")
	fmt.Fprintf(w, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n| %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n\n",
		len(reports), sum.runs, sum.events, sum.inserted, sum.dead, sum.buried, sum.redriven, len(sum.lost), len(sum.duplicated), len(sum.wrong))
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
	mode *mode
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
	p := &player{c.newStack(t, append(m.parameters, m.parameter+"="+key)...), m}
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
}

func (s scenario) mode() *mode {
	if s.sharded {
		return distributedMode
	}
	return inlineMode
}

type plannedRun struct {
	after time.Duration // since the scenario's beginning
	input event.Run
	stop  time.Duration // after its start, 0 for never
}

// plan makes a scenario from a seed.
func plan(seed int64) scenario {
	r := rand.New(rand.NewPCG(uint64(seed), 0))
	s := scenario{seed: seed, calm: seed%4 == 0, sharded: seed%8 >= 4}
	base := 1000 * seed
	for range 3 + r.IntN(4) {
		run := plannedRun{after: time.Duration(r.IntN(3000)) * time.Millisecond}
		if r.IntN(3) > 0 {
			n := int64(5 + r.IntN(25))
			run.input = event.Run{StartSeq: base, EndSeq: base + n}
			base += n
		}
		if r.IntN(2) == 0 {
			run.input.FailureRate = float64(1+r.IntN(10)) / 10
		}
		if !s.calm && r.IntN(5) == 0 {
			run.stop = time.Duration(200+r.IntN(4000)) * time.Millisecond
		}
		s.runs = append(s.runs, run)
	}
	// An early range, so that every scenario has events.
	s.runs[0].after, s.runs[0].input.StartSeq, s.runs[0].input.EndSeq = 0, base, base+20

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
	if err := p.endpoint.SetFaults(localaws.Faults{Seed: s.seed, Rules: s.rules}); err != nil {
		return r, err
	}
	before := p.recorded()
	arns, err := p.runAll(ctx, s)
	faultsOff := p.endpoint.SetFaults(localaws.Faults{})
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
	err = p.account(ctx, &r, s, arns, dead, stopped || mayLoseClaims(faulty), stopped || mayLoseClaims(faulty) || mayNotBury(faulty))
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
	rows, err := p.scan(ctx, 0, math.MaxInt64)
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
			if item.ReceiptHandle == "" && len(rows[item.Event.SequenceNo]) == 0 && len(dead[item.Event.Identity()]) == 0 {
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

// deadLetters are the events of the dead-letter queue, with the executions in their messages.
type deadLetters map[event.Identity][]string

// takeDead empties the dead-letter queue.
func (p *player) takeDead(ctx context.Context, dead deadLetters) error {
	messages, err := p.receiveAll(ctx, "DeadLetterQueueUrl")
	for _, message := range messages {
		e, err := event.Parse([]byte(*message.Body), "")
		if err != nil {
			return fmt.Errorf("dead letter %s: %w", *message.Body, err)
		}
		dead[e.Identity()] = append(dead[e.Identity()], aws.ToString(message.MessageAttributes["ExecutionArn"].StringValue))
	}
	return err
}

// runAll starts the scenario's executions, stops those that the scenario stops, and waits for all to end.
func (p *player) runAll(ctx context.Context, s scenario) ([]string, error) {
	arns := make([]string, len(s.runs))
	errs := make([]error, len(s.runs))
	var group sync.WaitGroup
	for i, planned := range s.runs {
		group.Go(func() {
			arns[i], errs[i] = p.runPlanned(ctx, planned)
		})
	}
	group.Wait()
	return arns, errors.Join(errs...)
}

func (p *player) runPlanned(ctx context.Context, planned plannedRun) (string, error) {
	time.Sleep(planned.after)
	input, err := json.Marshal(planned.input)
	if err != nil {
		return "", err
	}
	started, err := p.sfn.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: aws.String(p.outputs["StateMachineArn"]), Input: aws.String(string(input)),
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

// wait waits for an execution to end. It asks often at first, and then twice a second.
func (p *player) waitForEnd(ctx context.Context, arn string) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		out, err := p.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)})
		if err != nil || out.Status != sfntypes.ExecutionStatusRunning {
			return err
		}
		time.Sleep(100 * time.Millisecond)
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
	items    []event.Item          // that generate-data answered
	inserted map[itemKey]time.Time // when the Map took them for inserted
	failed   map[itemKey]bool      // that the Map took for failed
	parking  bool                  // it came to return failed events

	claimed  time.Time // when generate-data had answered
	released time.Time // when it came to return failed events, or ended

	shards   []execution // of a distributed run
	returned int         // failed events that the shards have returned to the retry queue
	buried   int         // events that were sent to the dead-letter queue
	why      string      // a shard failed
}

func (p *player) read(ctx context.Context, arn string) (execution, error) {
	e := execution{inserted: map[itemKey]time.Time{}, failed: map[itemKey]bool{}}
	var err error
	if e.out, err = p.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(arn)}); err != nil {
		return e, err
	}
	e.released = aws.ToTime(e.out.StopDate)
	if p.mode == distributedMode {
		err = p.readShards(ctx, &e)
		return e, err
	}
	mapped := false
	err = p.eachEvent(ctx, arn, func(h sfntypes.HistoryEvent) error {
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
			}
		}
		return nil
	})
	return e, err
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
			err := p.eachEvent(ctx, *child.ExecutionArn, func(h sfntypes.HistoryEvent) error {
				var answer struct{ Payload struct{ Items []event.Item } }
				switch {
				case h.Type == sfntypes.HistoryEventTypeTaskStarted && len(s.items) > 0 && s.released.IsZero():
					s.released = *h.Timestamp // insert-data is invoked, and gives them back
				case h.TaskSucceededEventDetails == nil || json.Unmarshal([]byte(*h.TaskSucceededEventDetails.Output), &answer) != nil: // garbage is no answer
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

// account looks for every event of the scenario, and checks what the design promises of each and of every run.
func (p *player) account(ctx context.Context, r *report, s scenario, arns []string, dead deadLetters, mayLoseClaims, mayNotBury bool) error {
	rows, err := p.scan(ctx, 0, math.MaxInt64)
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
	claims := map[int64][]string{}         // by sequence number: the ARNs of the runs that had it as a claim
	firstInserted := map[int64]time.Time{} // by sequence number
	var inserted []event.Event
	for _, e := range executions {
		name := *e.out.Name
		for item, at := range e.inserted {
			if first, ok := firstInserted[item.SequenceNo]; !ok || at.Before(first) {
				firstInserted[item.SequenceNo] = at
			}
		}
		for _, item := range e.items {
			if item.ReceiptHandle != "" {
				claims[item.Event.SequenceNo] = append(claims[item.Event.SequenceNo], *e.out.ExecutionArn)
				continue
			}
			r.events++
			found := rows[item.Event.SequenceNo]
			switch {
			case len(found) > 1:
				r.duplicated = append(r.duplicated, fmt.Sprintf("event %d has %d rows", item.Event.SequenceNo, len(found)))
			case len(found) == 1:
				r.inserted++
				inserted = append(inserted, item.Event)
				if row := found[0]; row.RandomStringValue != item.Event.RandomValue || row.GeneratedUnixTime != item.Event.CurrentTime {
					r.wrong = append(r.wrong, fmt.Sprintf("event %+v has the row %+v", item.Event, row))
				}
			case len(dead[item.Event.Identity()]) > 0:
				r.dead++
			default:
				r.lost = append(r.lost, fmt.Sprintf("event %d of run %s, which is %s %s (%s) after %d redrives, is nowhere",
					item.Event.SequenceNo, name, e.out.Status, aws.ToString(e.out.Error), cmp.Or(e.why, aws.ToString(e.out.Cause)), aws.ToInt32(e.out.RedriveCount)))
			}
		}
		r.wrong = append(r.wrong, p.judge(e, rows)...)
	}
	for _, e := range inserted {
		row := rows[e.SequenceNo][0]
		if first, ok := firstInserted[e.SequenceNo]; ok && time.Unix(row.CreatedUnixTime, 0).After(first) {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d was inserted at %s, and its row has the createdUnixTime %d", e.SequenceNo, first, row.CreatedUnixTime))
		}
	}
	for e, senders := range dead {
		if len(claims[e.SequenceNo]) < 3 && !mayLoseClaims {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d is in the dead-letter queue after %d retries", e.SequenceNo, len(claims[e.SequenceNo])))
		}
		// A message that SQS has moved names the run that parked its event, and not one that had claimed it.
		buried := slices.ContainsFunc(senders, func(arn string) bool { return slices.Contains(claims[e.SequenceNo], arn) })
		if buried {
			r.buried++
		} else if !mayNotBury {
			r.wrong = append(r.wrong, fmt.Sprintf("event %d waited in the retry queue without retries left, until a receive moved it to the dead-letter queue", e.SequenceNo))
		}
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

// sharedClaims finds events that two runs held at once. If no answer was lost and no message was delivered twice, a claim ends only
// when its run gives the event back.
func sharedClaims(executions []execution) (wrong []string) {
	slices.SortFunc(executions, func(a, b execution) int { return a.claimed.Compare(b.claimed) })
	holder := map[int64]execution{}
	for _, e := range executions {
		for _, item := range e.items {
			if item.ReceiptHandle == "" {
				continue
			}
			if h, ok := holder[item.Event.SequenceNo]; ok && e.claimed.Before(h.released) {
				wrong = append(wrong, fmt.Sprintf("run %s claimed event %d, which run %s held", *e.out.Name, item.Event.SequenceNo, *h.out.Name))
			}
			holder[item.Event.SequenceNo] = e
		}
	}
	return wrong
}

// judge checks that a run's status matches what happened to its events.
func (p *player) judge(e execution, rows map[int64][]row) (wrong []string) {
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
			found := rows[item.Event.SequenceNo]
			if len(found) == 0 || time.Unix(found[0].CreatedUnixTime, 0).After(*e.out.StopDate) {
				wrong = append(wrong, fmt.Sprintf("run %s SUCCEEDED without event %d in the table", name, item.Event.SequenceNo))
			}
		}
		if want := fmt.Sprintf(`{"inserted":%d,"failed":0}`, len(e.items)); aws.ToString(e.out.Output) != want {
			wrong = append(wrong, fmt.Sprintf("run %s has the output %s, want %s", name, aws.ToString(e.out.Output), want))
		}
	case aws.ToString(e.out.Error) == "Carnation.EventsFailed":
		failed := len(e.failed)
		if e.shards != nil {
			failed = e.returned + e.buried
		}
		want := fmt.Sprintf("%d of %d events failed and are in the retry queue", failed, len(e.items))
		if e.buried > 0 {
			want = fmt.Sprintf("%d of %d events failed: %d are in the retry queue, %d in the dead-letter queue", failed, len(e.items), failed-e.buried, e.buried)
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

// insertAgain inserts the events of the table once more. Every row must stay the same, and keep its first time.
func (p *player) insertAgain(ctx context.Context, r *report, events []event.Event, before map[int64][]row) error {
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
	after, err := p.scan(ctx, 0, math.MaxInt64)
	if err != nil {
		return err
	}
	for _, e := range events {
		was, is := before[e.SequenceNo], after[e.SequenceNo]
		switch {
		case len(is) != 1:
			r.duplicated = append(r.duplicated, fmt.Sprintf("event %d has %d rows after it was inserted again", e.SequenceNo, len(is)))
		case is[0].CreatedUnixTime != was[0].CreatedUnixTime:
			r.wrong = append(r.wrong, fmt.Sprintf("event %d lost its first createdUnixTime", e.SequenceNo))
		}
	}
	return nil
}
