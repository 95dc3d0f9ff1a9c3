package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"carnation/internal/localaws"
	"carnation/internal/operate"
)

// permissions are all policies of a stack, as deployed.
type permissions struct {
	Roles map[string][]statement // what each role may do, by the name of the role
	Other map[string][]statement // who may assume each role, and the policies of the queues and the topic
}

// statement of a policy. Any other field, such as NotAction, fails the test when the policy is read.
type statement struct {
	Sid       string
	Effect    string
	Principal any
	Action    list
	Resource  list
	Condition map[string]map[string]list
}

// list is one string or several, sorted.
type list []string

func (l *list) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = list{one}
		return nil
	}
	err := json.Unmarshal(data, (*[]string)(l))
	slices.Sort(*l)
	return err
}

// use is one thing that a role does, or may do.
type use struct{ role, action, resource string }

// grant is a permission that no call here can show, with its statement and its conditions.
type grant struct {
	use
	sid       string
	condition string // in JSON, with sorted keys
}

// expectation is what the permissions should be.
type expectation struct {
	calls  map[use]bool     // the calls of runs
	unseen map[grant]string // what runs also need, and why the endpoint does not see it
	other  map[string][]statement
}

// allVersions is whether the resource of a use is all versions and aliases of one function, and nothing else. No policy can name the one version
// that is needed: a run that goes on, and a redrive of a run of another day, invoke the versions that were there when it started.
func allVersions(u use) bool {
	function, ok := strings.CutSuffix(u.resource, ":*")
	return ok && u.action == "lambda:InvokeFunction" && !strings.ContainsAny(function, "*?") && strings.Count(function, ":") == 6
}

// allSources is whether the resource of a use is all objects below one folder of a bucket, and nothing else. Which of them runs read is
// for their users to say.
func allSources(u use) bool {
	folder, ok := strings.CutSuffix(u.resource, "/*")
	return ok && strings.HasPrefix(u.action, "s3:GetObject") && !strings.ContainsAny(folder, "*?") && strings.Contains(folder, "/")
}

// check reports what the permissions lack and what they have too much, one line each. A call counts as allowed only by a
// statement that names its action and its resource in full and has no condition, because no test here evaluates conditions.
func (want expectation) check(held permissions) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	allowed := map[use]int{}
	found := map[grant]int{}
	for role, statements := range held.Roles {
		for _, s := range statements {
			if s.Effect != "Allow" {
				fault("%s: statement %s has the effect %s, want Allow", role, s.Sid, s.Effect)
				continue
			}
			condition := inJSON(s.Condition)
			for _, action := range s.Action {
				for _, resource := range s.Resource {
					g := grant{use{role, action, resource}, s.Sid, condition}
					_, unseen := want.unseen[g]
					switch {
					case strings.ContainsAny(action, "*?"):
						fault("%s: statement %s allows %s, a wildcard", role, s.Sid, action)
					case unseen:
						found[g]++
					case (allVersions(g.use) || allSources(g.use)) && want.calls[g.use] && len(s.Condition) == 0:
						allowed[g.use]++
					case strings.ContainsAny(resource, "*?"):
						fault("%s: statement %s allows %s on %s, a wildcard", role, s.Sid, action, resource)
					case want.calls[g.use] && len(s.Condition) == 0:
						allowed[g.use]++
					default:
						fault("%s: statement %s allows %s on %s (condition %s), which no call needs",
							role, s.Sid, action, resource, g.condition)
					}
				}
			}
		}
	}
	for u := range want.calls {
		if allowed[u] != 1 {
			fault("%s calls %s on %s, and %d statements allow it, want 1", u.role, u.action, u.resource, allowed[u])
		}
	}
	for g, why := range want.unseen {
		if found[g] != 1 || want.calls[g.use] {
			fault("%s: %d statements %s allow %s on %s (condition %s), want 1 and no call that shows it: %s",
				g.role, found[g], g.sid, g.action, g.resource, g.condition, why)
		}
	}
	for _, of := range slices.Sorted(maps.Keys(both(want.other, held.Other))) {
		if !reflect.DeepEqual(held.Other[of], want.other[of]) {
			fault("policy of %s is %s, want %s", of, inJSON(held.Other[of]), inJSON(want.other[of]))
		}
	}
	return faults
}

func both(a, b map[string][]statement) map[string][]statement {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func inJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, lists and maps
	}
	return string(data)
}

// parsePolicy reads a policy's statements.
func parsePolicy(t *testing.T, of, document string) []statement {
	t.Helper()
	var policy struct {
		Version   string
		Statement []statement
	}
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&policy); err != nil || policy.Version != "2012-10-17" {
		t.Fatalf("policy of %s: %v, version %q: %s", of, err, policy.Version, document)
	}
	return policy.Statement
}

func TestPermissionsAreExactlyWhatRunsNeed(t *testing.T) {
	t.Parallel()
	atOnce(t, []string{"inline", "distributed"}, func(t *testing.T, mode string) {
		if mode == "inline" {
			audited{deployed: newStack(t), path: "/"}.expectExact(t)
			return
		}
		const path, boundary = "/carnation/e2e/", "arn:aws:iam::aws:policy/PowerUserAccess"
		s := newStack(t, "MapMode=DISTRIBUTED", "ShardSize=20", "IamPath="+path, "PermissionsBoundaryArn="+boundary)
		audited{s, true, path, boundary}.expectExact(t)
	})
}

// mapLabels are the labels of the Distributed Maps.
var mapLabels = append([]string{"Shard"}, operate.RecordLabels...)

// audited is a stack whose permissions are compared with the calls that its runs make.
type audited struct {
	*deployed
	isDistributed  bool
	path, boundary string // of each role
}

func (a audited) expectExact(t *testing.T) {
	everyPath := a.everyPath
	if a.isDistributed {
		everyPath = a.everyDistributedPath
	}
	want := expectation{calls: a.usesOf(t, everyPath)}
	want.unseen, want.other = a.expectedPermissions(t)
	held := a.deployedPermissions(t)

	for _, fault := range want.check(held) {
		t.Error(fault)
	}
	if t.Failed() {
		return // every check below would find these faults too
	}

	t.Run("any change of a policy is noticed", func(t *testing.T) {
		changes := 0
		a.eachChange(held, func(what string, changed permissions) {
			changes++
			if len(want.check(changed)) == 0 {
				t.Errorf("not noticed: %s", what)
			}
		})
		t.Logf("%d changes", changes)
	})

	t.Run("any change of what is expected is noticed", func(t *testing.T) {
		noticed := func(what any, other expectation) {
			t.Helper()
			if len(other.check(held)) == 0 {
				t.Errorf("not noticed: %+v", what)
			}
		}
		for u := range want.calls {
			other := expectation{maps.Clone(want.calls), want.unseen, want.other}
			delete(other.calls, u)
			noticed(u, other)
			for _, v := range []use{{u.role, u.action, u.resource + "-other"}, {u.role, "sqs:PurgeQueue", u.resource}, {"other", u.action, u.resource}} {
				other := expectation{maps.Clone(want.calls), want.unseen, want.other}
				other.calls[v] = true
				noticed(v, other)
			}
		}
		for g := range want.unseen {
			other := expectation{want.calls, maps.Clone(want.unseen), want.other}
			delete(other.unseen, g)
			noticed(g, other)
			g.action += "Other"
			other = expectation{want.calls, maps.Clone(want.unseen), want.other}
			other.unseen[g] = "made up"
			noticed(g, other)
		}
	})

	t.Run("the state machine reaches its functions, the queues, and if it is distributed itself and the sources", func(t *testing.T) {
		var reached list
		for _, s := range held.Roles[a.roleName("state-machine")] {
			for _, resource := range s.Resource {
				if !strings.HasPrefix(s.Action[0], "kms:") && resource != "*" && !slices.Contains(reached, resource) {
					reached = append(reached, resource)
				}
			}
		}
		slices.Sort(reached)
		want := list{a.outputs["GenerateDataFunctionArn"] + ":*", a.outputs["InsertDataFunctionArn"] + ":*", a.queueARN("RetryQueueUrl"), a.queueARN("DeadLetterQueueUrl")}
		if a.isDistributed {
			want = list{a.outputs["GenerateDataFunctionArn"] + ":*", a.outputs["InsertDataFunctionArn"] + ":*", a.outputs["PlanShardsFunctionArn"] + ":*",
				a.queueARN("RetryQueueUrl"), a.queueARN("DeadLetterQueueUrl"), a.outputs["StateMachineArn"], a.executionsARN(":*"), a.sources() + "*"}
			for _, label := range mapLabels {
				want = append(want, a.executionsARN("/"+label+":*"))
			}
		}
		slices.Sort(want)
		if !slices.Equal(reached, want) {
			t.Errorf("the state machine reaches %v, want %v", reached, want)
		}
	})
}

// everyPath makes the stack do everything that its roles are for.
func (a audited) everyPath(t *testing.T) {
	a.expectRun(t, `{"start_seq":800,"end_seq":805}`, sfntypes.ExecutionStatusSucceeded)
	a.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data"})
	a.expectRun(t, `{"start_seq":805,"end_seq":820}`, sfntypes.ExecutionStatusFailed) // all are parked

	a.failAfterFirstReceive(t)
	out := a.execute(t, `{"start_seq":0,"end_seq":0}`)
	expectStatus(t, out, sfntypes.ExecutionStatusFailed)
	if got := aws.ToString(out.Error); got != "ClaimError" {
		t.Errorf("the run that could not claim failed with %s, want ClaimError", got)
	}
	a.setFaults(t)
	a.expectQueue(t, "RetryQueueUrl", 15, 0)

	for range 2 { // the state machine releases them, and buries ten the second time, because they have been received three times
		a.expectRun(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`, sfntypes.ExecutionStatusFailed)
	}
	a.expectQueue(t, "DeadLetterQueueUrl", 10, 0)
	// The others are inserted and deleted.
	a.expectRun(t, `{"start_seq":0,"end_seq":0}`, sfntypes.ExecutionStatusSucceeded)
	a.expectQueue(t, "DeadLetterQueueUrl", 10, 0)
	a.expectQueue(t, "RetryQueueUrl", 0, 0)

	// No retry can cure the second event, so insert-data buries it.
	a.setFaults(t, localaws.Rule{Fault: localaws.FaultInvalid, Operation: "UpdateItem", Body: `"bad"`})
	a.expectRun(t, `{"events":[{"is":"good"},{"is":"bad"}]}`, sfntypes.ExecutionStatusFailed)
	a.setFaults(t)
	a.expectQueue(t, "DeadLetterQueueUrl", 11, 0)
	a.expectQueue(t, "RetryQueueUrl", 0, 0)
}

// everyDistributedPath is everyPath in the distributed mode.
func (a audited) everyDistributedPath(t *testing.T) {
	expectStatus(t, a.scheduled(t, "rate(1 hour)"), sfntypes.ExecutionStatusSucceeded)
	a.expectRun(t, `{"start_seq":8000,"end_seq":8005}`, sfntypes.ExecutionStatusSucceeded)
	a.expectRun(t, `{"start_seq":8005,"end_seq":8020,"failure_rate":1}`, sfntypes.ExecutionStatusFailed) // all are parked

	a.failAfterFirstReceive(t)
	out, err := a.lambda.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: aws.String(a.outputs["GenerateDataFunctionArn"]), Payload: []byte(`{"operation":"GenerateRun","started":"2026-11-26T12:00:00Z","input":{"start_seq":0,"end_seq":0}}`),
	})
	a.setFaults(t)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out.Payload), "ClaimError") {
		t.Errorf("generate-data that could not claim answered %s", out.Payload)
	}
	a.expectQueue(t, "RetryQueueUrl", 15, 0)
	for range 2 { // insert-data releases them, and buries ten the second time, because they have been received three times
		a.expectRun(t, `{"start_seq":0,"end_seq":0,"failure_rate":1}`, sfntypes.ExecutionStatusFailed)
	}
	a.expectQueue(t, "DeadLetterQueueUrl", 10, 0)
	// The last retry of the others crashes, so that the state machine buries them.
	a.setFaults(t, localaws.Rule{Fault: localaws.FaultKill, Function: "insert-data"})
	a.expectRun(t, `{"start_seq":0,"end_seq":0}`, sfntypes.ExecutionStatusFailed)
	a.setFaults(t)
	a.expectQueue(t, "DeadLetterQueueUrl", 15, 0)
	a.expectRun(t, `{"start_seq":8030,"end_seq":8031,"failure_rate":1}`, sfntypes.ExecutionStatusFailed)
	a.expectRun(t, `{"start_seq":0,"end_seq":0}`, sfntypes.ExecutionStatusSucceeded)
	a.expectQueue(t, "RetryQueueUrl", 0, 0)

	a.expectRun(t, `{"events":[{"n":1}],"failure_rate":1}`, sfntypes.ExecutionStatusFailed)
	key := a.outputs["EventsPrefix"] + "privilege.jsonl"
	if err := a.put(key, []byte("{\"n\":1}\n7\n")); err != nil { // the second record is no object, so it is buried
		t.Fatal(err)
	}
	a.expectRun(t, fmt.Sprintf(`{"source":{"bucket":%q,"key":%q}}`, bucket, key), sfntypes.ExecutionStatusFailed)
	a.expectRun(t, fmt.Sprintf(`{"source":{"bucket":%q,"key":%q,"version_id":"null"}}`, bucket, key), sfntypes.ExecutionStatusFailed)
	a.expectQueue(t, "DeadLetterQueueUrl", 17, 0)
}

func (a audited) expectRun(t *testing.T, input string, want sfntypes.ExecutionStatus) {
	t.Helper()
	expectStatus(t, a.execute(t, input), want)
}

// failAfterFirstReceive lets generate-data claim ten messages and fail on the next receive, so that it releases them.
func (a audited) failAfterFirstReceive(t *testing.T) {
	t.Helper()
	receive := localaws.Rule{Operation: "ReceiveMessage", Caller: a.roleName("generate-data")}
	first, others := receive, receive
	first.Fault, first.Nth, first.For = localaws.FaultDelay, 1, localaws.Duration(time.Millisecond)
	others.Fault = localaws.FaultError
	a.setFaults(t, first, others)
}

// executionsARN is the ARN of executions of the state machine, or of a Map Run's.
func (a audited) executionsARN(end string) string {
	return strings.Replace(a.outputs["StateMachineArn"], ":stateMachine:", ":execution:", 1) + end
}

// usesOf is what the roles of the stack do meanwhile.
func (a audited) usesOf(t *testing.T, meanwhile func(*testing.T)) map[use]bool {
	t.Helper()
	before := a.recorded()
	meanwhile(t)
	uses := map[use]bool{}
	for call, n := range a.recorded() {
		caller := call.Caller
		if caller == localaws.EngineKeyID {
			caller = a.roleName("state-machine")
		}
		if n > before[call] && a.isRole(caller) {
			u := use{caller, call.Action(), call.Resource}
			if u.action == "lambda:InvokeFunction" {
				u.resource = versionAtTheEnd.ReplaceAllString(u.resource, ":*")
			}
			if strings.HasPrefix(u.resource, a.sources()) {
				u.resource = a.sources() + "*"
			}
			uses[u] = true
		}
	}
	return uses
}

// roleName is the name of a role of the stack.
func (a audited) roleName(of string) string {
	return "carnation-" + of + "-role-devl-" + localaws.Region
}

func (a audited) isRole(name string) bool {
	return strings.HasPrefix(name, "carnation-") && strings.HasSuffix(name, "-role-devl-"+localaws.Region)
}

// sources is how the ARNs of all sources begin.
func (a audited) sources() string {
	return "arn:aws:s3:::" + a.outputs["EventsBucketName"] + "/" + a.outputs["EventsPrefix"]
}

// resourceARN is the ARN of something in the account and region of the stack.
func (a audited) resourceARN(service, resource string) string {
	return strings.Join([]string{"arn:aws", service, localaws.Region, a.account(), resource}, ":")
}

func (a audited) account() string {
	return strings.Split(a.outputs["StateMachineArn"], ":")[4]
}

func (a audited) queueARN(output string) string {
	return a.resourceARN("sqs", filepath.Base(a.outputs[output]))
}

// deployedPermissions reads all policies of the stack.
func (a audited) deployedPermissions(t *testing.T) permissions {
	t.Helper()
	held := permissions{map[string][]statement{}, map[string][]statement{}}
	var details struct {
		RoleDetailList []struct {
			RoleName, Path           string
			PermissionsBoundary      struct{ PermissionsBoundaryArn string }
			AttachedManagedPolicies  []any
			AssumeRolePolicyDocument json.RawMessage
			RolePolicyList           []struct{ PolicyDocument json.RawMessage }
		}
	}
	out := a.run(t, "aws", "iam", "get-account-authorization-details", "--filter", "Role", "--output", "json")
	if err := json.Unmarshal([]byte(out), &details); err != nil {
		t.Fatal(err)
	}
	for _, role := range details.RoleDetailList {
		name := role.RoleName
		if !a.isRole(name) {
			t.Errorf("there is a role %s, which is not one of the stack", name)
		}
		if len(role.AttachedManagedPolicies) > 0 {
			t.Errorf("%s has managed policies: %v", name, role.AttachedManagedPolicies)
		}
		if limit := role.PermissionsBoundary.PermissionsBoundaryArn; role.Path != a.path || limit != a.boundary {
			t.Errorf("%s has the path %q and the boundary %q, want %q and %q", name, role.Path, limit, a.path, a.boundary)
		}
		held.Roles[name] = nil
		for _, policy := range role.RolePolicyList {
			held.Roles[name] = append(held.Roles[name], parsePolicy(t, name, string(policy.PolicyDocument))...)
		}
		held.Other["trust in "+name] = parsePolicy(t, "trust in "+name, string(role.AssumeRolePolicyDocument))
	}
	for _, output := range []string{"RetryQueueUrl", "DeadLetterQueueUrl"} {
		out, err := a.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: aws.String(a.outputs[output]), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNamePolicy},
		})
		if err != nil {
			t.Fatal(err)
		}
		held.Other[output] = parsePolicy(t, output, out.Attributes["Policy"])
	}
	topic, err := sns.NewFromConfig(a.config).GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: aws.String(a.outputs["TopicArn"])})
	if err != nil {
		t.Fatal(err)
	}
	held.Other["TopicArn"] = parsePolicy(t, "TopicArn", topic.Attributes["Policy"])
	return held
}

// expectedPermissions are the permissions that roles need and no call here shows, each with the reason, and all policies that
// are not the policy of a role.
func (a audited) expectedPermissions(t *testing.T) (unseen map[grant]string, other map[string][]statement) {
	t.Helper()
	const (
		encrypts = "a service calls KMS on behalf of its caller, and not through this endpoint"
		starts   = "Lambda decrypts the environment variables as the function's role; local AWS does not encrypt them"
		logs     = "Lambda writes the output of a function as the function's role; here the endpoint does"
		traces   = "Lambda and Step Functions send traces as the role; local AWS has no X-Ray"
		runs     = "Step Functions itself starts, follows and redrives the children of a Map Run, as the role"
		input    = "EventBridge Scheduler decrypts the input as the schedule's role; local AWS does not encrypt it"
		reads    = "AWS does not say which of the two permissions it asks for if the version of an object is null"
		delivers = "Step Functions sets up the delivery of its log as the role; local AWS has no log delivery"
	)
	key := a.resourceARN("kms", "key/"+keyID)
	equals := func(name string, values ...string) string {
		return inJSON(map[string]map[string]list{"StringEquals": {name: values}})
	}
	machine := list{a.outputs["StateMachineArn"]}    // and the children of its Distributed Map
	buried := list{a.queueARN("DeadLetterQueueUrl")} // by insert-data, which also parks in the distributed mode
	if a.isDistributed {
		for _, label := range mapLabels {
			machine = append(machine, a.outputs["StateMachineArn"]+"/"+label)
		}
		buried = append(buried, a.queueARN("RetryQueueUrl"))
	}
	slices.Sort(machine)
	// via is for calls of a service with the key and one encryption context.
	via := func(service string, context map[string]list) string {
		return inJSON(map[string]map[string]list{"StringEquals": context, "StringLike": {"kms:ViaService": {service + "." + localaws.Region + ".*"}}})
	}
	messages := via("sqs", map[string]list{"kms:EncryptionContext:aws:sqs:arn": {a.queueARN("DeadLetterQueueUrl"), a.queueARN("RetryQueueUrl")}})
	objects := inJSON(map[string]map[string]list{"StringLike": {
		"kms:EncryptionContext:aws:s3:arn": {"arn:aws:s3:::" + bucket, a.sources() + "*"}, "kms:ViaService": {"s3." + localaws.Region + ".*"}}})
	rows := via("dynamodb", map[string]list{"kms:EncryptionContext:aws:dynamodb:tableName": {a.outputs["TableName"]},
		"kms:EncryptionContext:aws:dynamodb:subscriberId": {a.account()}})
	environmentOf := func(function string) string {
		arn := a.resourceARN("lambda", "function:"+functionName(function))
		return inJSON(map[string]map[string]list{"ArnLike": {"kms:EncryptionContext:aws:lambda:FunctionArn": {arn, arn + ":*"}}})
	}
	context := func(name string, values ...string) string { return equals("kms:EncryptionContext:"+name, values...) }
	logsOf := func(function string) string {
		return a.resourceARN("logs", "log-group:/aws/lambda/carnation-"+function+"-devl-"+localaws.Region+":*")
	}
	unseen = map[grant]string{}
	type need struct{ of, sid, actions, resource, condition, why string }
	needs := []need{
		{"generate-data", "ReadMessages", "kms:Decrypt", key, messages, encrypts},
		{"generate-data", "ReadEnvironment", "kms:Decrypt", key, environmentOf("generate-data"), starts},
		{"generate-data", "Log", "logs:CreateLogStream logs:PutLogEvents", logsOf("generate-data"), "null", logs},
		{"generate-data", "Trace", "xray:PutTraceSegments xray:PutTelemetryRecords", "*", "null", traces},
		{"insert-data", "EncryptMessages", "kms:GenerateDataKey kms:Decrypt", key, via("sqs", map[string]list{"kms:EncryptionContext:aws:sqs:arn": buried}), encrypts},
		{"insert-data", "UseTable", "kms:Decrypt", key, rows, encrypts},
		{"insert-data", "ReadEnvironment", "kms:Decrypt", key, environmentOf("insert-data"), starts},
		{"insert-data", "Log", "logs:CreateLogStream logs:PutLogEvents", logsOf("insert-data"), "null", logs},
		{"insert-data", "Trace", "xray:PutTraceSegments xray:PutTelemetryRecords", "*", "null", traces},
		{"state-machine", "EncryptMessages", "kms:GenerateDataKey kms:Decrypt", key, messages, encrypts},
		{"state-machine", "EncryptExecutions", "kms:GenerateDataKey kms:Decrypt", key,
			context("aws:states:stateMachineArn", machine...), encrypts},
		{"state-machine", "EncryptLogDelivery", "kms:GenerateDataKey", key, context("SourceArn", a.resourceARN("logs", "*")), encrypts},
		{"state-machine", "DeliverLogs", "logs:CreateLogDelivery logs:DeleteLogDelivery logs:DescribeLogGroups " +
			"logs:DescribeResourcePolicies logs:GetLogDelivery logs:ListLogDeliveries logs:PutResourcePolicy logs:UpdateLogDelivery",
			"*", "null", delivers},
		{"state-machine", "Trace", "xray:GetSamplingRules xray:GetSamplingTargets xray:PutTelemetryRecords xray:PutTraceSegments",
			"*", "null", traces},
	}
	if a.isDistributed {
		needs = append(needs,
			need{"schedule", "DecryptInput", "kms:Decrypt", key, context("aws:scheduler:schedule:arn",
				a.resourceARN("scheduler", "schedule/carnation-schedules-devl-"+localaws.Region+"/carnation-retries-devl-"+localaws.Region)), input},
			need{"plan-shards", "ReadEnvironment", "kms:Decrypt", key, environmentOf("plan-shards"), starts},
			need{"plan-shards", "Log", "logs:CreateLogStream logs:PutLogEvents", logsOf("plan-shards"), "null", logs},
			need{"plan-shards", "Trace", "xray:PutTraceSegments xray:PutTelemetryRecords", "*", "null", traces},
			need{"state-machine", "StartShards", "states:StartExecution", a.outputs["StateMachineArn"], "null", runs},
			need{"state-machine", "FollowShards", "states:DescribeExecution", a.executionsARN(":*"), "null", runs},
			need{"state-machine", "ReadSource", "s3:GetObject", a.sources() + "*", "null", reads},
			need{"state-machine", "DecryptSource", "kms:Decrypt", key, objects, encrypts})
		for _, label := range mapLabels {
			needs = append(needs, need{"state-machine", "RedriveShards", "states:RedriveExecution", a.executionsARN("/" + label + ":*"), "null", runs})
		}
	}
	for _, g := range needs {
		for _, action := range strings.Fields(g.actions) {
			unseen[grant{use{a.roleName(g.of), action, g.resource}, g.sid, g.condition}] = g.why
		}
	}

	other = map[string][]statement{}
	expect := func(of, statements string) {
		t.Helper()
		other[of] = parsePolicy(t, of, `{"Version":"2012-10-17","Statement":[`+statements+`]}`)
	}
	assumedBy := func(service, condition string) string {
		return `{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"` + condition + `}`
	}
	from := func(arns ...string) string {
		return `,"Condition":{"StringEquals":{"aws:SourceAccount":"` + strings.Split(arns[0], ":")[4] + `"},"ArnLike":{"aws:SourceArn":` + inJSON(arns) + `}}`
	}
	overTLSOnly := func(arn, actions string) string {
		return `{"Sid":"TlsOnly","Effect":"Deny","Principal":"*","Action":[` + actions + `],"Resource":"` + arn + `",` +
			`"Condition":{"Bool":{"aws:SecureTransport":"false"}}}`
	}
	expect("trust in "+a.roleName("generate-data"), assumedBy("lambda.amazonaws.com", ""))
	expect("trust in "+a.roleName("insert-data"), assumedBy("lambda.amazonaws.com", ""))
	if a.isDistributed {
		expect("trust in "+a.roleName("plan-shards"), assumedBy("lambda.amazonaws.com", ""))
		expect("trust in "+a.roleName("schedule"), assumedBy("scheduler.amazonaws.com",
			from(a.resourceARN("scheduler", "schedule-group/carnation-schedules-devl-"+localaws.Region))))
	}
	expect("trust in "+a.roleName("state-machine"), assumedBy("states.amazonaws.com", from(machine...)))
	expect("RetryQueueUrl", overTLSOnly(a.queueARN("RetryQueueUrl"), `"sqs:*"`))
	expect("DeadLetterQueueUrl", overTLSOnly(a.queueARN("DeadLetterQueueUrl"), `"sqs:*"`))
	topic := a.outputs["TopicArn"]
	expect("TopicArn", `{"Sid":"AlarmsOfThisEnvironment","Effect":"Allow","Principal":{"Service":"cloudwatch.amazonaws.com"},`+
		`"Action":"sns:Publish","Resource":"`+topic+`"`+from(a.resourceARN("cloudwatch", "alarm:carnation-*-devl-"+localaws.Region))+`},`+
		overTLSOnly(topic, `"sns:AddPermission","sns:DeleteTopic","sns:GetTopicAttributes","sns:ListSubscriptionsByTopic",`+
			`"sns:Publish","sns:RemovePermission","sns:SetTopicAttributes","sns:Subscribe"`))
	return unseen, other
}

// eachChange makes every small change to every policy, each to a copy.
func (a audited) eachChange(held permissions, do func(what string, changed permissions)) {
	actions := list{"sqs:PurgeQueue", "sqs:SendMessageBatch", "dynamodb:PutItem", "dynamodb:Scan", "lambda:UpdateFunctionCode",
		"kms:Encrypt", "s3:GetObject", "iam:PassRole", "*", "sqs:*", "sqs:Send*", "dynamodb:Update?tem", "logs:*"}
	resources := list{"*", "arn:aws:sqs:*:*:*", a.outputs["InsertDataFunctionArn"], a.outputs["InsertDataFunctionArn"] + "*", held.Roles[a.roleName("insert-data")][0].Resource[0] + "/index/*"}
	all := both(held.Roles, held.Other)
	for _, statements := range all {
		for _, s := range statements {
			actions, resources = append(actions, s.Action...), append(resources, s.Resource...)
		}
	}
	for _, of := range slices.Sorted(maps.Keys(all)) {
		change := func(what string, n int, edit func([]statement) []statement) {
			changed := permissions{maps.Clone(held.Roles), maps.Clone(held.Other)}
			where := changed.Other
			if _, isRole := changed.Roles[of]; isRole {
				where = changed.Roles
			}
			var statements []statement // a copy that can be edited
			if err := json.Unmarshal([]byte(inJSON(where[of])), &statements); err != nil {
				panic(err) // it was just written
			}
			where[of] = edit(statements)
			do(fmt.Sprintf("%s, statement %d: %s", of, n, what), changed)
		}
		for n, s := range all[of] {
			edit := func(what string, edit func(*statement)) {
				change(what, n, func(statements []statement) []statement {
					edit(&statements[n])
					return statements
				})
			}
			change("removed", n, func(statements []statement) []statement { return slices.Delete(statements, n, n+1) })
			change("twice", n, func(statements []statement) []statement { return append(statements, statements[n]) })
			edit("reversed", func(s *statement) { s.Effect = map[string]string{"Allow": "Deny", "Deny": "Allow"}[s.Effect] })
			if s.Principal != nil {
				edit("another principal", func(s *statement) { s.Principal = map[string]any{"Service": "ec2.amazonaws.com"} })
			}
			for i, action := range s.Action {
				edit("without "+action, func(s *statement) { s.Action = slices.Delete(s.Action, i, i+1) })
			}
			for i, resource := range s.Resource {
				edit("without "+resource, func(s *statement) { s.Resource = slices.Delete(s.Resource, i, i+1) })
			}
			for _, action := range actions {
				if !slices.Contains(s.Action, action) {
					edit("with "+action, func(s *statement) { s.Action = append(s.Action, action) })
				}
			}
			for _, resource := range resources {
				if !slices.Contains(s.Resource, resource) {
					edit("with "+resource, func(s *statement) { s.Resource = append(s.Resource, resource) })
				}
			}
			edit("with a condition", func(s *statement) {
				s.Condition = map[string]map[string]list{"Bool": {"aws:MultiFactorAuthPresent": {"true"}}}
			})
			for operator, keys := range s.Condition {
				for key := range keys {
					edit("without the condition on "+key, func(s *statement) {
						if delete(s.Condition[operator], key); len(s.Condition[operator]) == 0 {
							delete(s.Condition, operator)
						}
					})
					edit("with a wider condition on "+key, func(s *statement) {
						s.Condition[operator][key] = append(s.Condition[operator][key], "*")
					})
				}
			}
		}
	}
}
