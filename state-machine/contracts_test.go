// Package statemachine holds the state machines, in the Amazon States Language. Its tests read them as files. The tests in this file
// compare them with the template that creates them, the functions that they invoke, and docs/design.md.
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

	"carnation/internal/event"
	"carnation/internal/function/generate"
	"carnation/internal/function/shard"
)

const (
	inlineFile      = "carnation-state-machine.asl.json"
	distributedFile = "carnation-distributed.asl.json"
	rootTemplate    = "../cft/carnation-root-stack.yaml"
	rolesTemplate   = "../cft/nested-stacks/iam-role-stack.yaml"
	designPage      = "../docs/design.md"
	operationsPage  = "../docs/operations.md"
)

// files are the texts that the tests compare, by the paths above.
type files map[string]string

func read(t *testing.T) files {
	t.Helper()
	f := files{}
	for _, path := range []string{inlineFile, distributedFile, rootTemplate, rolesTemplate, designPage, operationsPage} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f[path] = string(data)
	}
	return f
}

func (f files) machine(t *testing.T, path string) machine {
	t.Helper()
	var m machine
	if err := json.Unmarshal([]byte(f[path]), &m); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return m
}

func (f files) machines(t *testing.T) map[string]machine {
	t.Helper()
	return map[string]machine{inlineFile: f.machine(t, inlineFile), distributedFile: f.machine(t, distributedFile)}
}

// root is the part of the root template that the tests read.
type root struct {
	Parameters map[string]struct {
		Default               string `yaml:"Default"`
		MinValue              int    `yaml:"MinValue"`
		MaxValue              int    `yaml:"MaxValue"`
		AllowedPattern        string `yaml:"AllowedPattern"`
		ConstraintDescription string `yaml:"ConstraintDescription"`
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

func (f files) root(t *testing.T) (r root) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(f[rootTemplate]), &r); err != nil {
		t.Fatalf("%s: %v", rootTemplate, err)
	}
	return r
}

// rules compare the state machines with other files. Each returns what is wrong.
var rules = map[string]func(t *testing.T, f files) []string{
	"times": checkTimes, "substitutions": checkSubstitutions, "errors": checkErrors, "partitions": checkPartitions,
}

func TestStateMachinesFitTheOtherFiles(t *testing.T) {
	for name, rule := range rules {
		for _, complaint := range rule(t, read(t)) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
}

// A function does not start with a setting that it refuses.
func TestParametersAllowTheIntegersThatTheFunctionsTake(t *testing.T) {
	parameters := read(t).root(t).Parameters
	for name, most := range map[string]int{
		"MapMaxConcurrency": generate.MaxConcurrency, "ShardSize": event.MaxShardSize, "ShardConcurrency": shard.MaxConcurrency,
	} {
		parameter := parameters[name]
		allowed, err := regexp.Compile("^(?:" + parameter.AllowedPattern + ")$") // all of the value must match
		if err != nil {
			t.Fatal(err)
		}
		for n := range 2 * most {
			if got, want := allowed.MatchString(strconv.Itoa(n)), n >= 1 && n <= most; got != want {
				t.Errorf("%s allows %d: %t, want %t", name, n, got, want)
				break
			}
		}
		for _, value := range []string{"", "2.5", "1.0", "-1", "+1", "01", "1e1", " 1", "100000", "ten"} {
			if allowed.MatchString(value) {
				t.Errorf("%s allows %q", name, value)
			}
		}
		if want := fmt.Sprintf("must be an integer from 1 to %d", most); parameter.ConstraintDescription != want {
			t.Errorf("ConstraintDescription of %s is %q, want %q", name, parameter.ConstraintDescription, want)
		}
	}
}

// checkTimes checks that a task ends before its run, a function before its task, and a run or shard before its claims.
func checkTimes(t *testing.T, f files) (wrong []string) {
	parameters := f.root(t).Parameters
	visibility, function := parameters["VisibilityTimeout"].MinValue, parameters["LambdaTimeout"].MaxValue
	if function == 0 {
		wrong = append(wrong, "LambdaTimeout has no MaxValue")
	}
	for file, m := range f.machines(t) {
		if held := m.claimSeconds(); held == 0 || visibility <= held {
			wrong = append(wrong, fmt.Sprintf("%s: claims are needed for up to %d s, VisibilityTimeout can be %d", file, held, visibility))
		}
		m.each(func(name string, s state) {
			if s.Type != "Task" {
				return
			}
			if s.TimeoutSeconds == 0 || s.TimeoutSeconds >= m.TimeoutSeconds {
				wrong = append(wrong, fmt.Sprintf("%s: state %q has a timeout of %d s, the run of %d", file, name, s.TimeoutSeconds, m.TimeoutSeconds))
			}
			if strings.Contains(s.Resource, ":lambda:") && s.TimeoutSeconds <= function {
				wrong = append(wrong, fmt.Sprintf("%s: state %q has a timeout of %d s, LambdaTimeout can be %d", file, name, s.TimeoutSeconds, function))
			}
		})
	}
	return wrong
}

// claimSeconds is the longest time that a run, or a shard of it, needs its claims: from the start of the invocation that claims to
// the end of the last attempt of the last task.
func (m machine) claimSeconds() int {
	longest := m.TimeoutSeconds
	m.each(func(_ string, s state) {
		if s.ItemProcessor == nil || s.ItemProcessor.ProcessorConfig.Mode != "DISTRIBUTED" || s.ItemBatcher != nil {
			return // a batch of records has no claims
		}
		longest = 0
		for name, task := range s.ItemProcessor.States {
			// Insert Data Again has no claims. Claims without retries left that are buried late cannot be claimed by anyone else.
			if name == "Insert Data Again" || task.ItemProcessor != nil {
				continue
			}
			longest += task.TimeoutSeconds
			if name == s.ItemProcessor.StartAt {
				continue // a failed attempt keeps no claims for the next one
			}
			for _, r := range task.Retry {
				delay := r.IntervalSeconds
				for range int(r.MaxAttempts) {
					longest += int(math.Ceil(min(delay, r.MaxDelaySeconds)))
					delay *= r.BackoffRate
					if slices.Contains(r.ErrorEquals, "States.ALL") { // Lambda's own errors come immediately
						longest += task.TimeoutSeconds
					}
				}
			}
		}
	})
	return longest
}

// checkSubstitutions checks that the root template gives each state machine the substitutions that it has, and no others.
func checkSubstitutions(t *testing.T, f files) (wrong []string) {
	r := f.root(t)
	properties := r.Resources.StateMachine.Properties
	for branch, file := range map[int]string{1: distributedFile, 2: inlineFile} {
		if key := ofMode(properties.Definition.Key, branch); path.Base(r.Parameters[key].Default) != file {
			wrong = append(wrong, fmt.Sprintf("the root template uses %s for %s", r.Parameters[key].Default, file))
		}
		var given, used []string
		for name, value := range properties.Substitutions {
			if ofMode(value, branch) != "AWS::NoValue" {
				given = append(given, name)
			}
		}
		for _, match := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(f[file], -1) {
			used = append(used, match[1])
		}
		slices.Sort(given)
		slices.Sort(used)
		if used = slices.Compact(used); !slices.Equal(given, used) {
			wrong = append(wrong, fmt.Sprintf("%s uses the substitutions %v, the root template gives %v", file, used, given))
		}
	}
	return wrong
}

// ofMode is a value of the root template for one of the modes: of !If [Distributed, ..., ...] branch 1 or 2, or the whole value.
func ofMode(node yaml.Node, branch int) string {
	if node.Tag == "!If" && len(node.Content) == 3 && node.Content[0].Value == "Distributed" {
		return node.Content[branch].Value
	}
	return node.Value
}

// awsErrors are the names of errors that Step Functions itself reports, and those that a task of Lambda can end with.
// https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
// https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html (Handle transient Lambda service exceptions)
var awsErrors = []string{
	"States.ALL", "States.BranchFailed", "States.DataLimitExceeded", "States.ExceedToleratedFailureThreshold", "States.HeartbeatTimeout",
	"States.Http.Socket", "States.IntrinsicFailure", "States.ItemReaderFailed", "States.NoChoiceMatched", "States.ParameterPathFailure",
	"States.Permissions", "States.QueryEvaluationError", "States.ResultPathMatchFailure", "States.ResultWriterFailed", "States.Runtime",
	"States.TaskFailed", "States.Timeout",
	"Lambda.AWSLambdaException", "Lambda.ClientExecutionTimeoutException", "Lambda.SdkClientException", "Lambda.ServiceException",
	"Lambda.TooManyRequestsException", "Lambda.Unknown",
}

// checkErrors compares the names of errors in the state machines, in the functions and in docs/design.md.
func checkErrors(t *testing.T, f files) (wrong []string) {
	inGo, design := errorTypes(t), f[designPage]
	for _, match := range regexp.MustCompile("`([A-Z][A-Za-z]+Error)`").FindAllStringSubmatch(design, -1) {
		if !slices.Contains(inGo, match[1]) {
			wrong = append(wrong, fmt.Sprintf("%s names %s, which no function returns", designPage, match[1]))
		}
	}
	own := map[string]bool{} // the state machines' own errors
	for file := range f.machines(t) {
		for _, match := range regexp.MustCompile(`"Error": "([^"]*)"`).FindAllStringSubmatch(f[file], -1) {
			own[match[1]] = true
			if !strings.HasPrefix(match[1], "Carnation.") {
				wrong = append(wrong, fmt.Sprintf("%s has the error %s, want Carnation.<name>", file, match[1]))
			}
		}
	}
	for _, name := range slices.Concat(inGo, slices.Collect(maps.Keys(own))) {
		if !strings.Contains(design, "`"+name+"`") {
			wrong = append(wrong, fmt.Sprintf("%s does not name %s", designPage, name))
		}
	}
	// An operator looks up the error that a run ended with.
	ends := slices.Concat(inGo, []string{"States.QueryEvaluationError", "States.ExceedToleratedFailureThreshold", "States.DataLimitExceeded", "States.ItemReaderFailed"})
	for _, m := range f.machines(t) {
		m.each(func(_ string, s state) {
			if s.Type == "Fail" {
				ends = append(ends, s.Error)
			}
		})
	}
	for _, name := range ends {
		if !strings.Contains(f[operationsPage], "`"+name+"`") {
			wrong = append(wrong, fmt.Sprintf("%s does not say what to do after %s", operationsPage, name))
		}
	}
	for file, m := range f.machines(t) {
		m.each(func(state string, s state) {
			handled := [][]string{}
			for _, r := range s.Retry {
				handled = append(handled, r.ErrorEquals)
			}
			for _, c := range s.Catch {
				handled = append(handled, c.ErrorEquals)
			}
			for _, names := range handled {
				if slices.Contains(names, "States.ALL") && len(names) > 1 {
					wrong = append(wrong, fmt.Sprintf("%s: state %q names States.ALL together with other errors", file, state))
				}
				for _, name := range names {
					if !slices.Contains(awsErrors, name) && !slices.Contains(inGo, name) && !own[name] {
						wrong = append(wrong, fmt.Sprintf("%s: state %q handles %s, which neither AWS nor a function reports", file, state, name))
					}
				}
			}
		})
	}
	return wrong
}

// errorTypes are the exported error types of the functions. Lambda reports the name of the type as the name of the error.
func errorTypes(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"../internal/event/*.go", "../internal/function/*/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
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
	if len(names) == 0 {
		t.Fatal("the functions have no error types")
	}
	return names
}

// checkPartitions checks that the state machines work in every partition, region and account.
func checkPartitions(t *testing.T, f files) (wrong []string) {
	for file := range f.machines(t) {
		for what, pattern := range map[string]string{"a partition": `\barn:aws\b|amazonaws\.`, "a region": `\b[a-z]{2}(-[a-z]+)+-[0-9]\b`, "an account": `\b[0-9]{12}\b`} {
			if match := regexp.MustCompile(pattern).FindString(f[file]); match != "" {
				wrong = append(wrong, fmt.Sprintf("%s names %s: %s", file, what, match))
			}
		}
	}
	return wrong
}

func TestEachRuleNoticesWhatBreaksIt(t *testing.T) {
	insert := `"MaxAttempts": 1,
                "BackoffRate": 2,
                "MaxDelaySeconds": 10,
                "JitterStrategy": "FULL"
              }
            ],
            "Catch"`
	broken := map[string]bool{}
	for _, test := range []struct{ rule, file, old, new, want string }{
		{"times", rootTemplate, "MinValue: 960", "MinValue: 900", "VisibilityTimeout can be 900"},
		{"times", rootTemplate, "MaxValue: 180", "MaxValue: 190", "LambdaTimeout can be 190"},
		{"times", distributedFile, insert, strings.Replace(insert, "1", "3", 1), "claims are needed for up to 1147 s"},
		{"times", inlineFile, `"TimeoutSeconds": 60,`, "", `state "Park New Event" has a timeout of 0 s`},
		{"substitutions", rootTemplate, "        Partition: !Ref AWS::Partition\n", "", "the root template gives [DeadLetterQueueUrl GenerateDataFunctionArn"},
		{"substitutions", inlineFile, "${RetryQueueUrl}", "url", "uses the substitutions [DeadLetterQueueUrl GenerateDataFunctionArn InsertDataFunctionArn MaxReceiveCount Partition], "},
		{"substitutions", rootTemplate, "Key: !If [Distributed, !Ref DistributedStateMachineS3Key, !Ref StateMachineS3Key]", "Key: !Ref StateMachineS3Key", "carnation-state-machine.asl.json for carnation-distributed.asl.json"},
		{"errors", inlineFile, "Lambda.SdkClientException", "Lambda.SdkClientError", "which neither AWS nor a function reports"},
		{"errors", inlineFile, `"Error": "Carnation.EventsFailed"`, `"Error": "Carnation.Failed"`, "does not name Carnation.Failed"},
		{"errors", designPage, "`ClaimError`", "`ClaimFailedError`", "does not name ClaimError"},
		{"errors", designPage, "`ClaimError`", "`ClaimFailedError`", "names ClaimFailedError, which no function returns"},
		{"errors", operationsPage, "`UnaccountedError`", "`Unaccounted`", "does not say what to do after UnaccountedError"},
		{"partitions", inlineFile, "arn:${Partition}:states", "arn:aws:states", "names a partition"},
		{"partitions", distributedFile, "arn:${Partition}:states:", "arn:${Partition}:states:eu-central-1", "names a region"},
	} {
		broken[test.rule] = true
		f := read(t)
		if !strings.Contains(f[test.file], test.old) {
			t.Errorf("%s has no %q to replace: break something else", test.file, test.old)
			continue
		}
		f[test.file] = strings.ReplaceAll(f[test.file], test.old, test.new)
		if complaints := strings.Join(rules[test.rule](t, f), "\n"); !strings.Contains(complaints, test.want) {
			t.Errorf("%s, with %q in place of %q: complaints are %q, want %q", test.rule, test.new, test.old, complaints, test.want)
		}
	}
	for name := range rules {
		if !broken[name] {
			t.Errorf("nothing here breaks the rule %s", name)
		}
	}
}
