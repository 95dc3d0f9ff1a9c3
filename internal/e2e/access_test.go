package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"carnation/internal/localaws"
)

// userKey is the access key with which users call local AWS: their commands, and not the clients of the tests.
const userKey = "local"

// users is what users call, step by step.
type users struct {
	c    *cloud
	seen map[localaws.Call]int
}

func (c *cloud) users() *users { return &users{c, c.recorded()} }

// next is what users have called since the last step.
func (u *users) next() map[use]bool {
	uses, now := map[use]bool{}, u.c.recorded()
	for call, n := range now {
		if call.Caller == userKey && n > u.seen[call] {
			action, resource := permission(call)
			uses[use{userKey, action, resource}] = true
		}
	}
	u.seen = now
	delete(uses, use{userKey, "sts:GetCallerIdentity", ""}) // needs no permission
	return uses
}

var functionSetting = regexp.MustCompile(`^(GET|PUT|DELETE) /[0-9-]+/functions/([^/]+)/concurrency$`)

// permission is the action and the resource of a call, as policies name them. The resource is "" if the call does not name one thing.
func permission(call localaws.Call) (action, resource string) {
	switch call.Service {
	case "monitoring":
		return "cloudwatch:" + call.Operation, call.Resource
	case "s3":
		switch call.Operation {
		case "PutObject":
			return "s3:PutObject", call.Resource
		case "GetObject", "HeadObject":
			return "s3:GetObject", call.Resource
		}
		_, bucket, _ := strings.Cut(call.Operation, " /")
		if bucket = strings.TrimSuffix(bucket, "/"); !strings.Contains(bucket, "/") { // HeadBucket and ListObjectsV2
			return "s3:ListBucket", "arn:aws:s3:::" + bucket
		}
	case "lambda":
		if m := functionSetting.FindStringSubmatch(call.Operation); m != nil {
			verb := map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete"}[m[1]]
			name := m[2][strings.LastIndex(m[2], ":")+1:]
			return "lambda:" + verb + "FunctionConcurrency", "arn:aws:lambda:" + localaws.Region + ":123456789012:function:" + name
		}
	}
	if call.Service == "logs" && call.Resource != "" {
		return call.Action(), call.Resource + ":*" // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
	}
	return call.Action(), call.Resource
}

// accessPolicies creates the policies of cft/carnation-access-stack.yaml, reads them from IAM, and deletes them.
func (c *cloud) accessPolicies(t *testing.T, parameters ...string) map[string][]statement {
	t.Helper()
	template, err := os.ReadFile(path.Join(root, "cft/carnation-access-stack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in := &cloudformation.CreateStackInput{
		StackName: aws.String("carnation-access"), TemplateBody: aws.String(string(template)), Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam},
	}
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		in.Parameters = append(in.Parameters, cfntypes.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(value)})
	}
	made, err := c.create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	held := map[string][]statement{}
	for _, arn := range outputs(made) {
		version := c.run(t, "aws", "iam", "get-policy", "--policy-arn", arn, "--query", "Policy.DefaultVersionId", "--output", "text")
		document := c.run(t, "aws", "iam", "get-policy-version", "--policy-arn", arn, "--version-id", version, "--query", "PolicyVersion.Document", "--output", "json")
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
		if size := len(strings.Join(strings.Fields(document), "")); size > 6144 {
			t.Errorf("%s has %d characters, want at most 6144", arn, size)
		}
		_, name, _ := strings.Cut(arn, ":policy/")
		held[name] = parsePolicy(t, name, document)
	}
	c.deleteStack(t, "carnation-access")
	return held
}

// need is permissions that no recorded call can show, and why.
type need struct{ sid, actions, resource, why string }

// matches tells whether a pattern of a policy matches a resource. An asterisk stands for any text.
func matches(pattern, resource string) bool {
	before, after, asterisk := strings.Cut(pattern, "*")
	if !asterisk {
		return pattern == resource
	}
	rest, ok := strings.CutPrefix(resource, before)
	for i := 0; ok && i <= len(rest); i++ {
		if matches(after, rest[i:]) {
			return true
		}
	}
	return false
}

// checkAccess reports what the policies of one user lack and what they have too much, one line each.
func checkAccess(held []statement, calls map[use]bool, needs []need) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	used := map[string]bool{} // sid, action and resource
	key := func(parts ...string) string { return strings.Join(parts, " ") }
	for call := range calls {
		allowing := 0
		for _, s := range held {
			// A call of KMS itself is not through a service, and not one with an encryption context.
			if !slices.Contains(s.Action, call.action) || strings.HasPrefix(call.action, "kms:") && len(s.Condition) > 0 {
				continue
			}
			for _, pattern := range s.Resource {
				// A permission on everything must be among the needs, with its reason.
				if pattern != "*" && (call.resource == "" || matches(pattern, call.resource)) {
					used[key(s.Sid, call.action, pattern)] = true
					allowing++
				}
			}
		}
		unnamed := slices.ContainsFunc(needs, func(n need) bool { return n.resource == "*" && slices.Contains(strings.Fields(n.actions), call.action) })
		if allowing != 1 && (call.resource != "" || allowing == 0) && !unnamed {
			fault("%s on %q is called, and %d statements allow it, want 1", call.action, call.resource, allowing)
		}
	}
	for _, n := range needs {
		for _, action := range strings.Fields(n.actions) {
			allowing := 0
			for _, s := range held {
				if s.Sid == n.sid && slices.Contains(s.Action, action) && slices.Contains(s.Resource, n.resource) {
					used[key(s.Sid, action, n.resource)] = true
					allowing++
				}
			}
			if allowing != 1 {
				fault("%d statements %s allow %s on %s, want 1: %s", allowing, n.sid, action, n.resource, n.why)
			}
		}
	}
	sids := map[string]bool{}
	for _, s := range held {
		if sids[s.Sid] || s.Effect != "Allow" {
			fault("statement %s is there twice, or does not allow", s.Sid)
		}
		sids[s.Sid] = true
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				if !used[key(s.Sid, action, resource)] {
					fault("statement %s allows %s on %s, which nothing needs", s.Sid, action, resource)
				}
			}
		}
	}
	return faults
}

// expectAccess checks the policies of one user, and that the check notices every small change of them.
func expectAccess(t *testing.T, who string, held []statement, calls map[use]bool, needs []need, conditions map[string]string) {
	t.Helper()
	for _, fault := range checkAccess(held, calls, needs) {
		t.Errorf("%s: %s", who, fault)
	}
	got := map[string]string{}
	for _, s := range held {
		if len(s.Condition) > 0 {
			got[s.Sid] = inJSON(s.Condition)
		}
	}
	if !maps.Equal(got, conditions) {
		t.Errorf("%s: the conditions are %v, want %v", who, got, conditions)
	}
	if t.Failed() {
		return
	}
	unnoticed := func(what string, edit func([]statement) []statement) {
		var changed []statement
		if err := json.Unmarshal([]byte(inJSON(held)), &changed); err != nil {
			t.Fatal(err)
		}
		if len(checkAccess(edit(changed), calls, needs)) == 0 {
			t.Errorf("%s: not noticed: %s", who, what)
		}
	}
	for n, s := range held {
		unnoticed("without statement "+s.Sid, func(list []statement) []statement { return slices.Delete(list, n, n+1) })
		for _, action := range []string{"*", "sqs:PurgeQueue", "iam:CreateUser"} {
			unnoticed(s.Sid+" with "+action, func(list []statement) []statement {
				list[n].Action = append(list[n].Action, action)
				return list
			})
		}
		for i, action := range s.Action {
			unnoticed(s.Sid+" without "+action, func(list []statement) []statement {
				list[n].Action = slices.Delete(list[n].Action, i, i+1)
				return list
			})
		}
		for i, resource := range s.Resource {
			unnoticed(s.Sid+" without "+resource, func(list []statement) []statement {
				list[n].Resource = slices.Delete(list[n].Resource, i, i+1)
				return list
			})
			if resource != "*" {
				unnoticed(s.Sid+" on all instead of "+resource, func(list []statement) []statement {
					list[n].Resource[i] = "*"
					return list
				})
			}
		}
	}
}

// places are the ARNs of a stack's resources, with the wildcards of its policies.
type places struct{ project, environment, bucket, key string }

func (p places) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + localaws.Region + ":123456789012:" + resource
}

// named is the name of a part, which can be a wildcard.
func (p places) named(part string) string {
	return p.project + "-" + part + "-" + p.environment + "-" + localaws.Region
}

// policies are the statements of policies by their names.
func (p places) policies(held map[string][]statement, names ...string) (all []statement) {
	for _, name := range names {
		all = append(all, held[p.named(name)]...)
	}
	return all
}

func (p places) stack(name string) string { return p.arn("cloudformation", "stack/"+name+"/*") }
func (p places) table() string            { return p.arn("dynamodb", "table/"+p.named("events")) }
func (p places) queue(part string) string { return p.arn("sqs", p.named(part+"-queue")) }
func (p places) roles() string            { return "arn:aws:iam::123456789012:role/" + p.named("*-role") }
func (p places) kms() string              { return p.arn("kms", "key/"+p.key) }
func (p places) machine() string          { return p.arn("states", "stateMachine:"+p.named("state-machine")) }
func (p places) runs(of, end string) string {
	return p.arn("states", of+":"+p.named("state-machine")+end)
}

func (p places) logGroups(end string) []string {
	return []string{p.arn("logs", "log-group:/aws/lambda/"+p.named("*")+end), p.arn("logs", "log-group:/aws/vendedlogs/states/"+p.named("*")+end)}
}

// needsOn is needs that differ by their resource.
func needsOn(sid, actions, why string, resources ...string) (needs []need) {
	for _, resource := range resources {
		needs = append(needs, need{sid, actions, resource, why})
	}
	return needs
}

func equals(key string, values ...string) string {
	return inJSON(map[string]map[string]list{"StringEquals": {key: values}})
}

func like(key string, values ...string) string {
	return inJSON(map[string]map[string]list{"StringLike": {key: values}})
}

func viaServices(services ...string) string {
	var values list
	for _, service := range services {
		values = append(values, service+"."+localaws.Region+".*")
	}
	return like("kms:ViaService", values...)
}

// handlers are the permissions that CloudFormation's handlers of a resource type need, as the type's schema in the CloudFormation
// registry lists them: those of create, read, update and delete, and those of tags.
// https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html#schema-properties-handlers
func handlers(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/handlers.json")
	if err != nil {
		t.Fatal(err)
	}
	var found map[string][]string
	if err := json.Unmarshal(data, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// unneeded are the permissions of handlers that the resources of a stack never need, with the reason.
var unneeded = map[string]map[string]string{
	"AWS::CloudFormation::Stack": {
		"nested stacks have no stack policy and no role of their own":         "cloudformation:GetStackPolicy cloudformation:SetStackPolicy iam:PassRole",
		"nested stacks are not protected, and nobody reads them as resources": "cloudformation:UpdateTerminationProtection cloudformation:GetTemplate",
	},
	"AWS::DynamoDB::Table": {
		"no replicas": "dynamodb:AssociateTableReplica dynamodb:CreateTableReplica dynamodb:BatchWriteItem dynamodb:DeleteItem dynamodb:GetItem " +
			"dynamodb:PutItem dynamodb:Query dynamodb:Scan dynamodb:UpdateItem iam:CreateServiceLinkedRole",
		"no stream": "dynamodb:DisableKinesisStreamingDestination dynamodb:EnableKinesisStreamingDestination dynamodb:UpdateKinesisStreamingDestination " +
			"kinesis:DescribeStream kinesis:PutRecords",
		"no import": "dynamodb:DescribeImport dynamodb:ImportTable s3:GetObject s3:GetObjectMetadata s3:ListBucket logs:CreateLogGroup logs:CreateLogStream " +
			"logs:DescribeLogGroups logs:DescribeLogStreams logs:PutLogEvents logs:PutRetentionPolicy",
		"no time to live, no contributor insights, no resource policy": "dynamodb:UpdateTimeToLive dynamodb:UpdateContributorInsights " +
			"dynamodb:PutResourcePolicy dynamodb:DeleteResourcePolicy",
		"the key is named by its id, and never changes": "kms:ListAliases kms:RevokeGrant",
	},
	"AWS::IAM::Role": {
		"no managed policies are attached": "iam:AttachRolePolicy iam:DetachRolePolicy",
		"GetRole answers the tags":         "iam:ListRoleTags",
	},
	"AWS::Lambda::Alias": {
		"no provisioned concurrency": "lambda:PutProvisionedConcurrencyConfig lambda:DeleteProvisionedConcurrencyConfig",
		"no CodeDeploy": "codedeploy:CreateDeployment codedeploy:GetDeployment codedeploy:GetDeploymentConfig codedeploy:GetDeploymentGroup " +
			"codedeploy:StopDeployment",
	},
	"AWS::Lambda::Function": {
		"no VPC and no file system": "ec2:DescribeNetworkInterfaces ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcs " +
			"elasticfilesystem:DescribeMountTargets s3files:ListMountTargets",
		"no layers, no code signing, no capacity provider": "lambda:GetLayerVersion lambda:GetCodeSigningConfig lambda:PutFunctionCodeSigningConfig " +
			"lambda:DeleteFunctionCodeSigningConfig lambda:PassCapacityProvider lambda:PutFunctionScalingConfig",
		"the defaults of Lambda":           "lambda:PutRuntimeManagementConfig lambda:PutFunctionRecursionConfig",
		"the keys of objects are versions": "s3:GetObjectVersion",
	},
	"AWS::Lambda::Version": {
		"no provisioned concurrency, no capacity provider, and the defaults of Lambda": "lambda:PutProvisionedConcurrencyConfig " +
			"lambda:PutRuntimeManagementConfig lambda:PutFunctionScalingConfig",
	},
	"AWS::Logs::LogGroup": {
		"no data protection, no index, no resource policy, no token": "logs:PutDataProtectionPolicy logs:DeleteDataProtectionPolicy logs:PutIndexPolicy " +
			"logs:DeleteIndexPolicy logs:PutResourcePolicy logs:DeleteResourcePolicy logs:PutBearerTokenAuthentication logs:PutLogGroupDeletionProtection",
		"no deliveries of such policies":      "logs:CreateLogDelivery s3:REST.PUT.OBJECT firehose:TagDeliveryStream",
		"always a retention and always a key": "logs:DeleteRetentionPolicy logs:DisassociateKmsKey",
	},
	"AWS::KMS::Key": {"the key stays enabled, and its rotation too": "kms:DisableKey kms:DisableKeyRotation kms:EnableKey"},
	"AWS::S3::Bucket": {
		"no metadata tables": "s3:CreateBucketMetadataTableConfiguration s3:DeleteBucketMetadataTableConfiguration " +
			"s3:UpdateBucketMetadataAnnotationTableConfiguration s3:UpdateBucketMetadataInventoryTableConfiguration " +
			"s3:UpdateBucketMetadataJournalTableConfiguration s3tables:CreateNamespace s3tables:CreateTable s3tables:CreateTableBucket " +
			"s3tables:GetTable s3tables:GetTableMetadataLocation s3tables:PutTableBucketPolicy s3tables:PutTableEncryption " +
			"s3tables:PutTablePolicy s3tables:UpdateTableMetadataLocation",
		"the bucket has no such properties, and CloudFormation reads or deletes no objects": "iam:PassRole s3:DeleteBucketAnalyticsConfiguration s3:DeleteBucketCors s3:DeleteBucketEncryption s3:DeleteBucketLifecycle " +
			"s3:DeleteBucketMetricsConfiguration s3:DeleteBucketReplication s3:DeleteBucketTagging s3:DeleteBucketWebsite s3:DeleteObject " +
			"s3:PutAccelerateConfiguration s3:PutAnalyticsConfiguration s3:PutBucketAbac s3:PutBucketAcl s3:PutBucketCORS " +
			"s3:PutBucketLogging s3:PutBucketNotification s3:PutBucketObjectLockConfiguration s3:PutBucketReplication s3:PutBucketWebsite " +
			"s3:PutIntelligentTieringConfiguration s3:PutInventoryConfiguration s3:PutMetricsConfiguration s3:PutObjectAcl " +
			"s3:PutObjectLockConfiguration s3:PutReplicationConfiguration",
	},
	"AWS::SNS::Subscription": {"e-mail needs no role": "iam:GetRole iam:PassRole"},
	"AWS::SNS::Topic": {
		"no delivery status, so no role":                     "iam:GetRole iam:PassRole",
		"no data protection, and no subscription of its own": "sns:PutDataProtectionPolicy",
	},
	"AWS::StepFunctions::StateMachine": {"the keys of objects are versions": "s3:GetObjectVersion"},
}

// allowedAt is where the actions of a resource type are allowed.
type allowedAt struct {
	sid       string
	resources []string
}

// stackNeeds are the needs of the handlers of all resource types that the templates of a stack use.
func (p places) stackNeeds(t *testing.T) []need {
	t.Helper()
	function := p.arn("lambda", "function:"+p.named("*"))
	topic, alarms := p.arn("sns", p.named("alarms")), p.arn("cloudwatch", "alarm:"+p.named("*"))
	schedules := []string{p.arn("scheduler", "schedule-group/"+p.named("schedules")), p.arn("scheduler", "schedule/"+p.named("schedules")+"/*")}
	code := []string{"arn:aws:s3:::" + p.bucket + "/carnation/cft-*", "arn:aws:s3:::" + p.bucket + "/carnation/code/*"}
	where := map[string]allowedAt{
		"AWS::CloudFormation::Stack":       {"NestedStacks", []string{p.stack(p.project + "-" + p.environment + "-*")}},
		"AWS::CloudWatch::Alarm":           {"Alarms", []string{alarms}},
		"AWS::CloudWatch::Dashboard":       {"Dashboard", []string{"arn:aws:cloudwatch::123456789012:dashboard/" + p.named("dashboard")}},
		"AWS::DynamoDB::Table":             {"Table", []string{p.table()}},
		"AWS::IAM::Role":                   {"Roles", []string{p.roles()}},
		"AWS::Lambda::Alias":               {"Functions", []string{function, function + ":*"}},
		"AWS::Lambda::Function":            {"Functions", []string{function, function + ":*"}},
		"AWS::Lambda::Version":             {"Functions", []string{function, function + ":*"}},
		"AWS::Logs::LogGroup":              {"LogGroups", slices.Concat(p.logGroups(""), p.logGroups(":*"))},
		"AWS::Scheduler::Schedule":         {"Schedule", schedules},
		"AWS::Scheduler::ScheduleGroup":    {"Schedule", schedules},
		"AWS::SNS::Subscription":           {"Topic", []string{topic}},
		"AWS::SNS::Topic":                  {"Topic", []string{topic}},
		"AWS::SNS::TopicPolicy":            {"Topic", []string{topic}},
		"AWS::SQS::Queue":                  {"Queues", []string{p.queue("retry"), p.queue("dead-letter")}},
		"AWS::SQS::QueuePolicy":            {"Queues", []string{p.queue("retry"), p.queue("dead-letter")}},
		"AWS::StepFunctions::StateMachine": {"StateMachine", []string{p.machine()}},
	}
	// Actions that are allowed elsewhere.
	elsewhere := map[string]allowedAt{
		"iam:PassRole":                  {"PassRoles", []string{p.roles()}},
		"s3:GetObject":                  {"TemplatesAndCode", code},
		"logs:DescribeLogGroups":        {"FindLogGroups", []string{"*"}},
		"logs:DescribeResourcePolicies": {"FindLogGroups", []string{"*"}},
		"cloudwatch:DescribeAlarms":     {"FindAlarms", []string{p.arn("cloudwatch", "alarm:*")}},
		"sns:GetSubscriptionAttributes": {"Subscription", []string{"*"}},
		"sns:SetSubscriptionAttributes": {"Subscription", []string{"*"}},
		"sns:Unsubscribe":               {"Subscription", []string{"*"}},

		"AWS::Scheduler::Schedule iam:PassRole": {"PassScheduleRole", []string{"arn:aws:iam::123456789012:role/" + p.named("schedule-role")}},

		"iam:DeleteRolePermissionsBoundary": {"RemoveBoundaries", []string{p.roles()}},
	}
	for _, action := range []string{"CreateRole", "PutRolePolicy", "DeleteRolePolicy", "PutRolePermissionsBoundary"} {
		elsewhere["iam:"+action] = allowedAt{"RolesWithinBoundary", []string{p.roles()}}
	}
	for _, kind := range []string{"AWS::DynamoDB::Table", "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"} {
		for _, action := range []string{"CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"} {
			sid := "EncryptTableAndFunctions"
			if kind == "AWS::StepFunctions::StateMachine" {
				sid = map[bool]string{true: "CheckKey", false: "EncryptStateMachine"}[action == "DescribeKey"]
			}
			elsewhere[kind+" kms:"+action] = allowedAt{sid, []string{p.kms()}}
		}
	}
	return handlerNeeds(t, stackTypes(t), where, elsewhere)
}

// prerequisitesNeeds are those of the resource types of make prerequisites.
func (p places) prerequisitesNeeds(t *testing.T) []need {
	t.Helper()
	keys, bucket := p.arn("kms", "key/*"), "arn:aws:s3:::"+p.project+"-prerequisites-*"
	where := map[string]allowedAt{
		"AWS::KMS::Key":         {"Key", []string{keys}},
		"AWS::KMS::Alias":       {"Alias", []string{p.arn("kms", "alias/"+p.project+"*"), keys}},
		"AWS::S3::Bucket":       {"Bucket", []string{bucket}},
		"AWS::S3::BucketPolicy": {"Bucket", []string{bucket}},
	}
	return handlerNeeds(t, resourceTypes(t, "carnation-prerequisites"), where, map[string]allowedAt{
		"kms:CreateKey":   {"CreateKey", []string{"*"}},
		"kms:ListAliases": {"Aliases", []string{"*"}},
	})
}

// handlerNeeds are the needs of the handlers of resource types. elsewhere has actions that are allowed elsewhere than the others of
// their type, by their name, or the type and their name.
func handlerNeeds(t *testing.T, kinds map[string]bool, where, elsewhere map[string]allowedAt) (needs []need) {
	t.Helper()
	const caller = "CloudFormation calls it in the permissions of its caller, and not through this endpoint"
	documented := handlers(t)
	for kind := range kinds {
		if documented[kind] == nil || where[kind].sid == "" {
			t.Errorf("%s is in a template: add the permissions of its handlers to testdata/handlers.json, and to this test", kind)
		}
	}
	for kind, at := range where {
		skipped := map[string]bool{}
		for why, actions := range unneeded[kind] {
			for _, action := range strings.Fields(actions) {
				if !slices.Contains(documented[kind], action) || skipped[action] {
					t.Errorf("the handlers of %s do not need %s, or it is there twice: %s", kind, action, why)
				}
				skipped[action] = true
			}
		}
		for _, action := range documented[kind] {
			if skipped[action] {
				continue
			}
			allowed := at
			for _, name := range []string{action, kind + " " + action} {
				if other, ok := elsewhere[name]; ok {
					allowed = other
				}
			}
			needs = append(needs, needsOn(allowed.sid, action, kind+": "+caller, allowed.resources...)...)
		}
	}
	return needs
}

var resourceType = regexp.MustCompile(`(?m)^    Type: (AWS::\w+::\w+)$`)

// stackTypes are the resource types of a stack's templates.
func stackTypes(t *testing.T) map[string]bool {
	t.Helper()
	return resourceTypes(t, "carnation-root", "nested-stacks/cloudwatch", "nested-stacks/dynamodb", "nested-stacks/iam-role", "nested-stacks/lambda-function",
		"nested-stacks/schedule", "nested-stacks/sns", "nested-stacks/sqs")
}

// resourceTypes are the resource types of templates.
func resourceTypes(t *testing.T, files ...string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(path.Join(root, "cft", file+"-stack.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range resourceType.FindAllStringSubmatch(string(text), -1) {
			found[match[1]] = true
		}
	}
	return found
}

const (
	noService = "a service calls KMS on behalf of its caller, and not through this endpoint"
	afterAll  = "only after a failed operation, or in prod; the tests of these hold that it works"
)

// expectPreparerAccess checks the policy of whoever runs make prerequisites.
func (p places) expectPreparerAccess(t *testing.T, held map[string][]statement, calls map[use]bool) {
	t.Helper()
	needs := p.prerequisitesNeeds(t)
	needs = append(needs, need{"TemplateSummary", "cloudformation:GetTemplateSummary", "*", "the template is part of the request"})
	for _, stack := range []string{p.stack(p.project + "-prerequisites"), p.stack(p.project + "-prerequisites-" + p.environment)} {
		needs = append(needs, need{"Stack", "cloudformation:CreateStack cloudformation:UpdateStack cloudformation:DeleteStack " +
			"cloudformation:ContinueUpdateRollback cloudformation:DescribeStacks cloudformation:DescribeStackEvents cloudformation:GetTemplate", stack,
			"for all environments, or for one; a failed operation is repaired"})
	}
	expectAccess(t, "preparer", p.policies(held, "prerequisites"), calls, needs, map[string]string{})
}

// expectReaderAccess, expectOperatorAccess and expectVerifierAccess check the policies of those who run commands: each has one more than
// the one before.
func (p places) expectReaderAccess(t *testing.T, held map[string][]statement, calls map[use]bool) {
	t.Helper()
	expectAccess(t, "reader", p.policies(held, "reader"), calls, p.readerNeeds(), p.readerConditions())
}

func (p places) readerNeeds() []need {
	return []need{
		{"DecryptTable", "kms:Decrypt", p.kms(), noService},
		{"DecryptRuns", "kms:Decrypt", p.kms(), noService},
		{"ReadRuns", "states:ListMapRuns", p.runs("execution", ":*"), "carnation console follows the shards of a run with it"},
	}
}

func (p places) readerConditions() map[string]string {
	return map[string]string{
		"CountRows":    equals("dynamodb:Select", "COUNT"),
		"DecryptTable": viaServices("dynamodb"),
		"DecryptRuns":  like("kms:EncryptionContext:aws:states:stateMachineArn", p.machine(), p.machine()+"/*"),
	}
}

func (p places) expectOperatorAccess(t *testing.T, held map[string][]statement, calls map[use]bool) {
	t.Helper()
	conditions := p.readerConditions()
	conditions["EncryptMessages"], conditions["EncryptEvents"] = viaServices("sqs"), p.encryptEvents()
	expectAccess(t, "operator", p.policies(held, "reader", "operator"), calls, p.operatorNeeds(), conditions)
}

// encryptEvents is the condition for the use of the key for events in S3, with the bucket or the object in its encryption context.
func (p places) encryptEvents() string {
	bucket := "arn:aws:s3:::" + p.bucket
	return inJSON(map[string]map[string]list{"StringLike": {
		"kms:ViaService":                   {"s3." + localaws.Region + ".*"},
		"kms:EncryptionContext:aws:s3:arn": {bucket, bucket + "/carnation/events/*"},
	}})
}

func (p places) operatorNeeds() []need {
	const (
		byHand  = "docs/operations.md has a command for it"
		uploads = "carnation run --events uploads a large file, unless it is there"
	)
	return slices.Concat(p.readerNeeds(), []need{
		{"ChangeRuns", "states:StopExecution states:RedriveExecution", p.runs("execution", ":*"), byHand},
		{"UploadEvents", "s3:PutObject s3:GetObject s3:AbortMultipartUpload", "arn:aws:s3:::" + p.bucket + "/carnation/events/*", uploads},
		{"EncryptEvents", "kms:Decrypt kms:GenerateDataKey", p.kms(), noService},
		{"EncryptMessages", "kms:Decrypt kms:GenerateDataKey", p.kms(), noService},
		{"ReadQueries", "logs:GetQueryResults", "*", byHand},
	}, needsOn("QueryLogs", "logs:StartQuery", byHand, p.logGroups(":*")...))
}

func (p places) expectVerifierAccess(t *testing.T, held map[string][]statement, calls map[use]bool) {
	t.Helper()
	conditions := p.readerConditions()
	conditions["EncryptMessages"], conditions["EncryptEvents"] = viaServices("sqs"), p.encryptEvents()
	needs := append(p.operatorNeeds(),
		need{"Metrics", "cloudwatch:GetMetricStatistics", "*", "local AWS does not turn log lines into metrics"},
		need{"TakeMessages", "sqs:DeleteMessage", p.queue("retry"), "only after an interruption or a check that did not hold are there messages to delete"})
	expectAccess(t, "verifier", p.policies(held, "reader", "operator", "verifier"), calls, needs, conditions)
}

// expectDeployerAccess checks the policies of whoever deploys, with the calls of make deploy and make destroy.
func (p places) expectDeployerAccess(t *testing.T, held map[string][]statement, calls map[use]bool) {
	t.Helper()
	stack, nested := p.stack(p.project+"-"+p.environment), p.stack(p.project+"-"+p.environment+"-*")
	needs := slices.Concat(p.stackNeeds(t), []need{
		{"Stack", "cloudformation:ContinueUpdateRollback cloudformation:CreateChangeSet cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet " +
			"cloudformation:DeleteChangeSet cloudformation:UpdateTerminationProtection cloudformation:UpdateStack", stack, afterAll},
		{"NestedStacks", "cloudformation:CreateChangeSet cloudformation:DescribeChangeSet cloudformation:ExecuteChangeSet cloudformation:DeleteChangeSet " +
			"cloudformation:DescribeStackEvents", nested, afterAll},
		{"NoStack", "cloudformation:GetTemplateSummary cloudformation:ListStacks", "*", "they are about no stack, or about all"},
		{"CheckKey", "kms:GetKeyPolicy", p.kms(), "make deploy compares the policy of a key that make prerequisites did not create"},
		{"EncryptTemplatesAndCode", "kms:Decrypt kms:GenerateDataKey", p.kms(), noService},
		{"EncryptTableAndFunctions", "kms:GenerateDataKeyWithoutPlaintext kms:ReEncryptFrom kms:ReEncryptTo", p.kms(), noService +
			": https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html"},
		{"EncryptSchedule", "kms:Decrypt kms:DescribeKey kms:GenerateDataKey", p.kms(), noService +
			": https://docs.aws.amazon.com/scheduler/latest/UserGuide/encryption-rest.html"},
		{"LookForEvents", "dynamodb:Scan", p.table(), afterAll},
	}, needsOn("Prerequisites", "cloudformation:DescribeStacks", "with a stack of prerequisites for all environments, or for this one",
		p.stack(p.project+"-prerequisites"), p.stack(p.project+"-prerequisites-"+p.environment)),
		needsOn("Queues", "sqs:GetQueueUrl sqs:GetQueueAttributes sqs:DeleteQueue", afterAll, p.queue("retry"), p.queue("dead-letter")))
	expectAccess(t, "deployer", p.policies(held, "deploy", "deploy-resources", "deploy-schedule"), calls, needs, map[string]string{
		"EncryptTemplatesAndCode":  viaServices("s3"),
		"LookForEvents":            equals("dynamodb:Select", "COUNT"),
		"PassRoles":                equals("iam:PassedToService", "lambda.amazonaws.com", "states.amazonaws.com"),
		"PassScheduleRole":         equals("iam:PassedToService", "scheduler.amazonaws.com"),
		"EncryptSchedule":          viaServices("scheduler"),
		"EncryptTableAndFunctions": viaServices("dynamodb", "lambda"),
		"EncryptStateMachine":      equals("kms:EncryptionContext:aws:states:stateMachineArn", p.machine()),
	})
}

// expectOptions checks the policies of an account with a permissions boundary and a service role.
func (p places) expectOptions(t *testing.T, c *cloud) {
	t.Helper()
	const boundary, role = "arn:aws:iam::123456789012:policy/limit", "arn:aws:iam::123456789012:role/cloudformation"
	held := c.accessPolicies(t, "ProjectName="+p.project, "Environment="+p.environment, "BucketName="+p.bucket, "KmsKeyId="+p.key,
		"PermissionsBoundaryArn="+boundary, "ServiceRoleArn="+role, "IamPath=/team/")
	found := map[string]bool{}
	for _, s := range p.policies(held, "prerequisites", "deploy", "deploy-resources", "deploy-schedule") {
		found[s.Sid] = true
		switch s.Sid {
		case "RolesWithinBoundary":
			if got, want := inJSON(s.Condition), equals("iam:PermissionsBoundary", boundary); got != want {
				t.Errorf("with a boundary, %s has the condition %s, want %s", s.Sid, got, want)
			}
		case "PassServiceRole":
			if got, want := inJSON(s.Condition), equals("iam:PassedToService", "cloudformation.amazonaws.com"); got != want || !slices.Equal(s.Resource, list{role}) {
				t.Errorf("with a service role, %s is on %v with the condition %s, want %s", s.Sid, s.Resource, got, want)
			}
		}
		for _, resource := range s.Resource {
			name, inPath := strings.CutPrefix(resource, "arn:aws:iam::123456789012:role/team/")
			if strings.HasPrefix(resource, "arn:aws:iam:") && resource != role && (!inPath || name != p.named("*-role") && name != p.named("schedule-role")) {
				t.Errorf("with a path, %s is on %s", s.Sid, resource)
			}
		}
	}
	if found["RemoveBoundaries"] || !found["PassServiceRole"] || !found["RolesWithinBoundary"] {
		t.Errorf("with a boundary and a service role the statements are %v", slices.Sorted(maps.Keys(found)))
	}
	only := c.accessPolicies(t, "ProjectName="+p.project, "Environment=prod")
	if names := slices.Sorted(maps.Keys(only)); !slices.Equal(names, []string{p.project + "-prerequisites-prod-" + localaws.Region}) {
		t.Errorf("without a bucket and a key there are the policies %v", names)
	}
	prod := c.accessPolicies(t, "ProjectName="+p.project, "Environment=prod", "BucketName="+p.bucket, "KmsKeyId="+p.key)
	if len(prod) != 6 || prod[p.project+"-verifier-prod-"+localaws.Region] != nil {
		t.Errorf("in prod there are the policies %v, want six and none for verify", slices.Sorted(maps.Keys(prod)))
	}
}
