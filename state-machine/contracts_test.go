// Package statemachine holds the state machines. The tests in this file hold them against what is outside them: the template that
// creates them, the functions that they invoke, and docs/design.md.
package statemachine

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	inline       = "carnation-state-machine.asl.json"
	distributed  = "carnation-distributed.asl.json"
	rootTemplate = "../cft/carnation-root-stack.yaml"
	design       = "../docs/design.md"
)

// root is what these tests read of the root template.
type root struct {
	Parameters map[string]struct {
		Default  string `yaml:"Default"`
		MinValue string `yaml:"MinValue"`
		MaxValue string `yaml:"MaxValue"`
	} `yaml:"Parameters"`
	Resources struct {
		StateMachine struct {
			Properties struct {
				Definition struct {
					Key yaml.Node `yaml:"Key"`
				} `yaml:"DefinitionS3Location"`
				Substitutions map[string]yaml.Node `yaml:"DefinitionSubstitutions"`
			} `yaml:"Properties"`
		} `yaml:"StateMachine"`
	} `yaml:"Resources"`
}

// number is a constraint of a parameter; 0 if there is none.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// contract reports what does not fit together in these texts, by their paths.
type contract struct {
	name  string
	check func(texts map[string]string, report func(format string, args ...any))
}

var contracts = []contract{
	{"substitutions", substituted},
	{"times", timed},
	{"errors", named},
	{"regions", portable},
}

func (c contract) complaints(texts map[string]string) []string {
	var all []string
	c.check(texts, func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) })
	return all
}

func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{inline, distributed, rootTemplate, design} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(data)
	}
	return found
}

func TestStateMachinesKeepTheirContracts(t *testing.T) {
	all := texts(t)
	for _, c := range contracts {
		t.Run(c.name, func(t *testing.T) {
			for _, complaint := range c.complaints(all) {
				t.Error(complaint)
			}
		})
	}
}

type object = map[string]any

func readRoot(texts map[string]string, report func(string, ...any)) (r root) {
	if err := yaml.Unmarshal([]byte(texts[rootTemplate]), &r); err != nil {
		report("%s: %v", rootTemplate, err)
	}
	return r
}

func readMachines(texts map[string]string, report func(string, ...any)) map[string]object {
	machines := map[string]object{}
	for _, file := range []string{inline, distributed} {
		var machine object
		if err := json.Unmarshal([]byte(texts[file]), &machine); err != nil {
			report("%s: %v", file, err)
		}
		machines[file] = machine
	}
	return machines
}

var substitution = regexp.MustCompile(`\$\{(\w+)\}`)

func substituted(texts map[string]string, report func(string, ...any)) {
	r := readRoot(texts, report)
	properties := r.Resources.StateMachine.Properties
	key := &properties.Definition.Key
	for _, mode := range []struct{ file, name string }{{inline, "INLINE"}, {distributed, "DISTRIBUTED"}} {
		value, _ := inMode(key, mode.name)
		if got := path.Base(r.Parameters[value].Default); got != mode.file {
			report("%s: in the mode %s the definition is %q, want %s", rootTemplate, mode.name, got, mode.file)
		}
		given := map[string]bool{}
		for name, node := range properties.Substitutions {
			if _, ok := inMode(&node, mode.name); ok {
				given[name] = true
			}
		}
		wanted := map[string]bool{}
		for _, match := range substitution.FindAllStringSubmatch(texts[mode.file], -1) {
			wanted[match[1]] = true
		}
		for name := range wanted {
			if !given[name] {
				report("%s gives no %s, which %s has", rootTemplate, name, mode.file)
			}
		}
		for name := range given {
			if !wanted[name] {
				report("%s gives %s, which %s does not have", rootTemplate, name, mode.file)
			}
		}
	}
}

// inMode is a value, or the branch of its !If [Distributed, ...]; false if that is !Ref AWS::NoValue.
func inMode(node *yaml.Node, mode string) (value string, given bool) {
	if node.Tag == "!If" && len(node.Content) == 3 && node.Content[0].Value == "Distributed" {
		branch := 2
		if mode == "DISTRIBUTED" {
			branch = 1
		}
		node = node.Content[branch]
	}
	return node.Value, node.Value != "AWS::NoValue"
}

func timed(texts map[string]string, report func(string, ...any)) {
	parameters := readRoot(texts, report).Parameters
	visibility, function := number(parameters["VisibilityTimeout"].MinValue), number(parameters["LambdaTimeout"].MaxValue)
	if function == 0 {
		report("%s: LambdaTimeout has no MaxValue", rootTemplate)
	}
	for file, machine := range readMachines(texts, report) {
		execution := seconds(machine)
		if held := claimed(machine); execution == 0 || visibility <= held {
			report("%s: VisibilityTimeout can be %d seconds, and %s holds a claim for up to %d", rootTemplate, visibility, file, held)
		}
		eachState(machine, func(name string, state object) {
			if state["Type"] != "Task" {
				return
			}
			task := seconds(state)
			if task == 0 || task >= execution {
				report("%s: state %q can take %d seconds, and the run %d", file, name, task, execution)
			}
			if resource, _ := state["Resource"].(string); strings.Contains(resource, ":lambda:") && task <= function {
				report("%s: state %q times out after %d seconds, and LambdaTimeout can be %d", file, name, task, function)
			}
		})
	}
}

// claimed is the longest time in seconds that a run, or a shard of a run, holds its claims: from the start of the invocation that
// claims to the end of the last attempt of the states after it.
func claimed(machine object) int {
	longest := 0
	eachState(machine, func(_ string, state object) {
		processor, _ := state["ItemProcessor"].(object)
		if config, _ := processor["ProcessorConfig"].(object); config["Mode"] != "DISTRIBUTED" {
			return
		}
		held := 0
		eachState(processor, func(name string, task object) {
			held += seconds(task)
			if name == processor["StartAt"] {
				return // an attempt that fails does not hold the claims of another attempt
			}
			for _, retry := range list(task["Retry"]) {
				number := func(field string) float64 { n, _ := retry.(object)[field].(float64); return n }
				delay := number("IntervalSeconds")
				for range int(number("MaxAttempts")) {
					held += int(math.Ceil(min(delay, number("MaxDelaySeconds"))))
					delay *= number("BackoffRate")
					if slices.Contains(list(retry.(object)["ErrorEquals"]), any("States.ALL")) { // Lambda's own errors come at once
						held += seconds(task)
					}
				}
			}
		})
		longest = max(longest, held)
	})
	if longest == 0 {
		return seconds(machine)
	}
	return longest
}

func seconds(state object) int {
	n, _ := state["TimeoutSeconds"].(float64)
	return int(n)
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

// eachState visits the states of a machine and those in its Maps.
func eachState(machine object, visit func(name string, state object)) {
	states, _ := machine["States"].(object)
	for _, name := range slices.Sorted(maps.Keys(states)) {
		state := states[name].(object)
		visit(name, state)
		if inner, ok := state["ItemProcessor"].(object); ok {
			eachState(inner, visit)
		}
	}
}

// eachText visits every string in a value, with its key.
func eachText(key string, value any, visit func(key, text string)) {
	switch v := value.(type) {
	case string:
		visit(key, v)
	case []any:
		for _, item := range v {
			eachText(key, item, visit)
		}
	case object:
		for key, item := range v {
			eachText(key, item, visit)
		}
	}
}

// Errors that Step Functions reports, and errors of Lambda itself that the task of a function can end with.
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
// https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html (Handle transient Lambda service exceptions)
var documented = []string{
	"States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold", "States.HeartbeatTimeout",
	"States.Http.Socket", "States.IntrinsicFailure", "States.ItemReaderFailed", "States.NoChoiceMatched", "States.ParameterPathFailure",
	"States.Permissions", "States.QueryEvaluationError", "States.ResultPathMatchFailure", "States.ResultWriterFailed", "States.Runtime",
	"States.TaskFailed", "States.Timeout",
	"Lambda.AWSLambdaException", "Lambda.ClientExecutionTimeoutException", "Lambda.SdkClientException", "Lambda.ServiceException",
	"Lambda.TooManyRequestsException", "Lambda.Unknown",
}

// named compares the names of errors in the state machines, in Go and in docs/design.md.
func named(texts map[string]string, report func(string, ...any)) {
	inGo, err := errorTypes("generate-data", "insert-data", "plan-shards")
	if err != nil {
		report("%v", err)
		return
	}
	for _, match := range regexp.MustCompile("`([A-Z][A-Za-z]+Error)`").FindAllStringSubmatch(texts[design], -1) {
		if !slices.Contains(inGo, match[1]) {
			report("%s names the error %s, which no function has", design, match[1])
		}
	}
	for _, name := range inGo {
		if !strings.Contains(texts[design], "`"+name+"`") {
			report("%s does not name %s, which a function can end with", design, name)
		}
	}
	ofMachines := map[string]bool{}
	var handled [][3]string
	for file, machine := range readMachines(texts, report) {
		eachState(machine, func(state string, declared object) {
			for _, key := range []string{"Retry", "Catch"} {
				for _, entry := range list(declared[key]) {
					names := list(entry.(object)["ErrorEquals"])
					for _, name := range names {
						handled = append(handled, [3]string{file, state, fmt.Sprint(name)})
					}
					if slices.Contains(names, any("States.ALL")) && len(names) > 1 {
						report("%s: state %q has States.ALL together with other errors", file, state)
					}
				}
			}
			eachText("", declared, func(key, text string) {
				switch {
				case key == "Error":
					ofMachines[text] = true // of a Fail state, or the default where no error was caught
				case key == "StringEquals" && strings.HasSuffix(text, "Error"):
					handled = append(handled, [3]string{file, state, text})
				}
			})
		})
	}
	for name := range ofMachines {
		if !strings.HasPrefix(name, "Carnation.") {
			report("state machines end with %s, want Carnation.<name>", name)
		} else if !strings.Contains(texts[design], "`"+name+"`") {
			report("%s does not name %s, which a state machine has", design, name)
		}
	}
	for _, h := range handled {
		if !slices.Contains(documented, h[2]) && !slices.Contains(inGo, h[2]) && !ofMachines[h[2]] {
			report("%s: state %q names the error %s, which neither AWS nor a function has", h[0], h[1], h[2])
		}
	}
}

// errorTypes are the exported error types of the packages that these functions are built from. Lambda reports a returned error
// with the name of its type.
func errorTypes(functions ...string) ([]string, error) {
	var names, queue []string
	for _, function := range functions {
		queue = append(queue, "cmd/"+function)
	}
	seen := map[string]bool{}
	for len(queue) > 0 {
		dir := queue[0]
		queue = queue[1:]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		paths, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("%s: %d Go files, %v", dir, len(paths), err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return nil, err
			}
			for _, imported := range file.Imports {
				if own, ok := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), "carnation/"); ok {
					queue = append(queue, own)
				}
			}
			for _, declaration := range file.Decls {
				method, ok := declaration.(*ast.FuncDecl)
				if !ok || method.Recv == nil || method.Name.Name != "Error" {
					continue
				}
				receiver := method.Recv.List[0].Type
				if pointer, ok := receiver.(*ast.StarExpr); ok {
					receiver = pointer.X
				}
				if name, ok := receiver.(*ast.Ident); ok && name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func portable(texts map[string]string, report func(string, ...any)) {
	for file, machine := range readMachines(texts, report) {
		eachText("", machine, func(key, text string) {
			if regexp.MustCompile(`\barn:aws\b|amazonaws\.|\b[a-z]{2}-[a-z]+-[0-9]\b|\b[0-9]{12}\b`).MatchString(text) {
				report("%s: %s names a partition, a region or an account: %s", file, key, text)
			}
		})
	}
}

func TestEachContractNoticesWhatBreaksIt(t *testing.T) {
	const retries = `"MaxAttempts": 2,
                "BackoffRate": 2,
                "MaxDelaySeconds": 10,
                "JitterStrategy": "FULL"
              }
            ],
            "End": true`
	tests := []struct{ contract, file, old, new, want string }{
		{"substitutions", rootTemplate, "        Partition: !Ref AWS::Partition\n", "", "gives no Partition"},
		{"substitutions", inline, "${InsertDataFunctionArn}", "insert-data", "gives InsertDataFunctionArn, which"},
		{"substitutions", rootTemplate, "!If [Distributed, !Ref DistributedStateMachineS3Key, !Ref StateMachineS3Key]", "!Ref StateMachineS3Key", "want " + distributed},
		{"times", rootTemplate, "MinValue: 960", "MinValue: 900", "VisibilityTimeout can be 900"},
		{"times", rootTemplate, "MaxValue: 180", "MaxValue: 190", "LambdaTimeout can be 190"},
		{"times", distributed, retries, strings.Replace(retries, `"MaxAttempts": 2`, `"MaxAttempts": 3`, 1), distributed + " holds a claim for up to"},
		{"times", inline, `"TimeoutSeconds": 60,`, "", `"Park New Event" can take 0 seconds`},
		{"errors", inline, "Lambda.SdkClientException", "Lambda.SdkClientError", "neither AWS nor a function has"},
		{"errors", inline, `"Error": "Carnation.EventsFailed"`, `"Error": "Carnation.Failed"`, "does not name Carnation.Failed"},
		{"errors", design, "`ClaimError`", "`ClaimFailedError`", "does not name ClaimError"},
		{"regions", inline, "arn:${Partition}:states", "arn:aws:states", "names a partition"},
	}
	all := texts(t)
	broken := map[string]bool{}
	for _, test := range tests {
		i := slices.IndexFunc(contracts, func(c contract) bool { return c.name == test.contract })
		broken[test.contract] = true
		changed := maps.Clone(all)
		changed[test.file] = strings.Replace(all[test.file], test.old, test.new, 1)
		if changed[test.file] == all[test.file] {
			t.Errorf("%s has no %q to replace", test.file, test.old)
			continue
		}
		if complaints := contracts[i].complaints(changed); !strings.Contains(strings.Join(complaints, "\n"), test.want) {
			t.Errorf("%s, with %q for %q in %s, says %q, want %q", test.contract, test.new, test.old, test.file, complaints, test.want)
		}
	}
	for _, c := range contracts {
		if !broken[c.name] {
			t.Errorf("nothing here breaks %s", c.name)
		}
	}
}
