package templates

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of resources in docs/design.md anew")

const tableHead = "| resource | encryption | access | retention | deletion | alarm |"

// The table is wholly made from the templates, so that it cannot say anything else.
func TestTheTableOfResourcesSaysWhatTheTemplatesSay(t *testing.T) {
	texts := files(t)
	before, rest, found := strings.Cut(texts["docs/design.md"], tableHead+"\n")
	if !found {
		t.Fatalf("docs/design.md has no table that begins with %s", tableHead)
	}
	old, after, _ := strings.Cut(rest, "\n\n")
	got, want := strings.Split(old, "\n"), append([]string{"| --- | --- | --- | --- | --- | --- |"}, tableOf(texts)...)
	if slices.Equal(got, want) {
		return
	}
	if *update {
		text := before + tableHead + "\n" + strings.Join(want, "\n") + "\n\n" + after
		if err := os.WriteFile(filepath.Join(root, "docs/design.md"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("docs/design.md: the table of resources lacks the line\n%s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("docs/design.md: the table of resources has a line that no template has\n%s", line)
		}
	}
	t.Error("go test ./internal/templates -update writes the table anew")
}

// Resources of these types stand in one line, because they differ in their names only.
var together = map[string]string{
	"AWS::CloudFormation::Stack": "nested stacks",
	"AWS::CloudWatch::Alarm":     "alarms",
	"AWS::CloudWatch::Dashboard": "dashboard",
	"AWS::SNS::TopicPolicy":      "policies of queues, topic and bucket",
	"AWS::SQS::QueuePolicy":      "policies of queues, topic and bucket",
	"AWS::S3::BucketPolicy":      "policies of queues, topic and bucket",
}

// tableOf is the lines of the table, in the order of the files and of the names in them.
func tableOf(texts map[string]string) []string {
	// A parameter without a value is its name in angle brackets, by which days knows it.
	asIs := devl.with("SNSSubscriptionEmail", "me@example.com", "MessageRetentionPeriod", "<MessageRetentionPeriod>", "LogRetentionDays", "<LogRetentionDays>")
	w, prod := newWorld(texts, asIs), newWorld(texts, asIs.with("Environment", "prod"))
	groups := map[string][]string{}
	var lines, order []string
	for _, r := range sorted(w) {
		name := "`" + r.short() + "`"
		if group, ok := together[r.kind]; ok {
			if groups[group] == nil {
				order = append(order, group)
			}
			groups[group] = append(groups[group], name)
			continue
		}
		cells := []string{name + " " + strings.TrimPrefix(r.kind, "AWS::"), encryption(r), w.access(r), w.retention(r), deletion(r, prod.resources[r.id]), w.alarms(r)}
		lines = append(lines, row(cells))
	}
	for _, group := range order {
		names := fmt.Sprintf("%d %s: %s", len(groups[group]), group, strings.Join(groups[group], ", "))
		if len(groups[group]) == 1 {
			names = group + " " + groups[group][0]
		}
		lines = append(lines, row([]string{names, "", "", "", "with its stack", ""}))
	}
	return lines
}

func row(cells []string) string {
	for i := range cells {
		if cells[i] == "" {
			cells[i] = "–"
		}
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// short is the id without the stack before it.
func (r *resource) short() string { return r.id[strings.LastIndex(r.id, ".")+1:] }

func sorted(w *world) []*resource {
	all := w.of()
	slices.SortStableFunc(all, func(a, b *resource) int { return strings.Compare(a.file, b.file) })
	return all
}

func encryption(r *resource) string {
	switch {
	case r.kind == "AWS::KMS::Key":
		return "is the key, rotated every year"
	case r.kind == "AWS::Lambda::Function":
		return "the key, for its code, environment and logs"
	case keyOf[r.kind] != nil:
		return "the key"
	}
	return ""
}

// days says how long something lasts, from the value of a property in this unit of seconds.
func (w *world) days(value string, unit int) string {
	parameter := strings.Trim(value, "<>")
	text := ""
	if parameter != value {
		value, _ = get(w.templates[rootTemplate], "Parameters", parameter, "Default").(string)
		text = " (`" + parameter + "`)"
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return "not known: " + value
	}
	return fmt.Sprintf("%d days%s", n*unit/86400, text)
}

func (w *world) retention(r *resource) string {
	switch r.kind {
	case "AWS::DynamoDB::Table":
		return "until deleted; restores to any second of the last 35 days"
	case "AWS::SQS::Queue":
		return w.days(r.text("MessageRetentionPeriod"), 1)
	case "AWS::Logs::LogGroup":
		return w.days(r.text("RetentionInDays"), 86400)
	case "AWS::StepFunctions::StateMachine":
		return "histories of runs 90 days" // https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
	case "AWS::S3::Bucket":
		for _, rule := range list(r.get("LifecycleConfiguration", "Rules")) {
			if old, ok := get(rule, "NoncurrentVersionExpiration", "NoncurrentDays").(string); ok {
				return "until deleted; old versions " + w.days(old, 86400)
			}
		}
		return "until deleted"
	}
	return ""
}

func deletion(devl, prod *resource) string {
	words := map[string]string{"": "with its stack", "Delete": "with its stack", "Retain": "kept", "RetainExceptOnCreate": "kept"}
	text := words[devl.deletion]
	if prod.deletion != devl.deletion {
		text += "; in prod " + words[prod.deletion]
	}
	if prod.text("DeletionProtectionEnabled") == "true" {
		text += " and protected"
	}
	return text
}

// alarms are the metrics of a resource that alarms watch.
func (w *world) alarms(r *resource) string {
	var names []string
	for _, alarm := range w.of("AWS::CloudWatch::Alarm") {
		for _, metric := range metrics(alarm) {
			for _, d := range list(get(metric, "Dimensions")) {
				known := dimensions[fmt.Sprint(get(d, "Name"))]
				if w.named(get(d, "Value"), known.attribute, "") == r {
					names = append(names, fmt.Sprint(get(metric, "MetricName")))
				}
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// access says who may do what with a resource, by the policies of roles and its own.
func (w *world) access(r *resource) string {
	var parts []string
	add := func(part string) {
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	for _, property := range []string{"Role", "RoleArn"} {
		if role := w.named(r.get(property), "Arn"); role != nil {
			add("runs as `" + role.short() + "`")
		}
	}
	for _, role := range w.of("AWS::IAM::Role") {
		var actions []string
		for _, policy := range list(role.get("Policies")) {
			for _, statement := range list(get(policy, "PolicyDocument", "Statement")) {
				if get(statement, "Effect") == "Allow" && slices.ContainsFunc(list(get(statement, "Resource")), func(arn any) bool { return w.isArnOf(arn, r) }) {
					actions = append(actions, actionsOf(statement)...)
				}
			}
		}
		if len(actions) > 0 {
			slices.Sort(actions)
			add("`" + role.short() + "` " + strings.Join(slices.Compact(actions), ", "))
		}
	}
	for _, policy := range w.of("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy") {
		of := slices.Concat(list(policy.get("Queues")), list(policy.get("Topics")), list(policy.get("Bucket")))
		if slices.ContainsFunc(of, func(value any) bool { return w.named(value, "", "TopicArn") == r }) {
			statementsOf(policy.get("PolicyDocument"), add)
		}
	}
	switch r.kind {
	case "AWS::IAM::Role":
		statementsOf(r.get("AssumeRolePolicyDocument"), add)
	case "AWS::KMS::Key":
		statementsOf(r.get("KeyPolicy"), add)
	case "AWS::S3::Bucket":
		block := r.get("PublicAccessBlockConfiguration")
		if !slices.ContainsFunc([]string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}, func(key string) bool { return get(block, key) != "true" }) {
			add("never public")
		}
	}
	return strings.Join(parts, "; ")
}

// statementsOf says what the statements of a resource's own policy allow and deny.
func statementsOf(document any, add func(string)) {
	for _, statement := range list(get(document, "Statement")) {
		principal := get(statement, "Principal")
		who := "everybody"
		if service, ok := get(principal, "Service").(string); ok {
			who = strings.Split(service, ".")[0]
		} else if _, ok := get(principal, "AWS").(string); ok {
			who = "the account"
		}
		what := strings.Join(actionsOf(statement), ", ")
		switch {
		case get(statement, "Effect") == "Deny" && get(statement, "Condition", "Bool", "aws:SecureTransport") == "false":
			add("TLS only")
		case get(statement, "Effect") == "Deny":
			add("not " + who + ": " + what)
		case strings.HasPrefix(fmt.Sprint(get(statement, "Action")), "sts:"):
			add("assumed by " + who)
		case get(statement, "Sid") != nil && len(actionsOf(statement)) > 3:
			add(fmt.Sprintf("%s, see %v", who, get(statement, "Sid")))
		default:
			add(who + " " + what)
		}
	}
}

// actionsOf are the actions of a statement without their service.
func actionsOf(statement any) []string {
	var names []string
	for _, action := range list(get(statement, "Action")) {
		_, name, _ := strings.Cut(fmt.Sprint(action), ":")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// isArnOf tells whether an ARN in a policy is that of a resource, also where it is made of the resource's name.
func (w *world) isArnOf(value any, r *resource) bool {
	if w.named(value, "Arn") == r || r.kind == "AWS::SNS::Topic" && w.named(value, "") == r {
		return true
	}
	arn := fmt.Sprint(value)
	for property, part := range map[string]string{"FunctionName": ":function:", "LogGroupName": ":log-group:", "StateMachineName": ":stateMachine:"} {
		if name := r.text(property); name != "" && strings.HasSuffix(strings.TrimSuffix(arn, ":*"), part+name) {
			return true
		}
	}
	return r.kind == "AWS::KMS::Key" && w.usesKey(value)
}
