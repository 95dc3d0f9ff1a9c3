// Package templates holds tests of the CloudFormation templates and the state machines as texts: what AWS would refuse, or
// would do but nobody wants, and cfn-lint cannot see.
package templates

import (
	"encoding/json"
	"fmt"
	"maps"
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
	root          = "../.."
	rootTemplate  = "cft/carnation-root-stack.yaml"
	prerequisites = "cft/carnation-prerequisites-stack.yaml"
)

// files is the texts of templates and state machines, by path from the root of the project.
func files(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"cft/*.yaml", "cft/nested-stacks/*.yaml", "state-machine/*.asl.json", "docs/design.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v files, %v", pattern, paths, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(data)
		}
	}
	return texts
}

// object is a mapping of a template. Its values are objects, []any, and strings: CloudFormation too takes every scalar as
// text. A function is an object of one entry, in its long form: {"Fn::GetAtt": ["Table", "Arn"]}.
type object = map[string]any

func parse(text string) (object, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	value, err := plain(document.Content[0])
	if err != nil {
		return nil, err
	}
	template, ok := value.(object)
	if !ok {
		return nil, fmt.Errorf("not a mapping")
	}
	return template, nil
}

func plain(node *yaml.Node) (any, error) {
	var value any
	switch node.Kind {
	case yaml.ScalarNode:
		value = node.Value
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			var err error
			if list[i], err = plain(item); err != nil {
				return nil, err
			}
		}
		value = list
	case yaml.MappingNode:
		mapping := object{}
		for i := 0; i < len(node.Content); i += 2 {
			key := node.Content[i].Value
			if _, twice := mapping[key]; twice {
				return nil, fmt.Errorf("line %d: key %s is there twice", node.Content[i].Line, key)
			}
			var err error
			if mapping[key], err = plain(node.Content[i+1]); err != nil {
				return nil, err
			}
		}
		value = mapping
	default:
		return nil, fmt.Errorf("line %d: CloudFormation takes no aliases", node.Line)
	}
	name, short := strings.CutPrefix(node.Tag, "!")
	if !short || strings.HasPrefix(name, "!") {
		return value, nil
	}
	if text, ok := value.(string); ok && name == "GetAtt" {
		resource, attribute, _ := strings.Cut(text, ".")
		value = []any{resource, attribute}
	}
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	return object{name: value}, nil
}

// place is where and with which parameters the templates are worked out.
type place struct {
	partition, region, suffix string
	parameters                map[string]string // of the root template and of the prerequisites, where these have them
}

var devl = place{"aws", "eu-central-1", "amazonaws.com", nil}

func (p place) with(parameters ...string) place {
	all := maps.Clone(p.parameters)
	if all == nil {
		all = map[string]string{}
	}
	for i := 0; i < len(parameters); i += 2 {
		all[parameters[i]] = parameters[i+1]
	}
	p.parameters = all
	return p
}

const account = "111122223333"

// A resource as CloudFormation would create it, its functions worked out. What only exists later, such as an ARN, stands in
// braces: "{SQSStack.RetryQueue.Arn}"; and Ref without an attribute: "{SQSStack.RetryQueue}".
type resource struct {
	id, file, kind string // id has the stack before it, SQSStack.RetryQueue
	properties     object
	deletion       string // "" if not set
	replacement    string
}

func (r *resource) get(path ...string) any { return get(r.properties, path...) }

// text is the property at a path; "" if there is none.
func (r *resource) text(path ...string) string {
	text, _ := r.get(path...).(string)
	return text
}

// get goes down a path of keys; a number is an index of a list.
func get(value any, path ...string) any {
	for _, step := range path {
		switch v := value.(type) {
		case object:
			value = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// list is a value as the list that IAM and CloudFormation take it for: one thing or several.
func list(value any) []any {
	switch v := value.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{value}
}

// stack is one template, worked out.
type stack struct {
	world      *world
	file, path string // path is "" for the root and "SQSStack." for a nested one
	template   object
	parameters map[string]any
	children   map[string]*stack
}

// world is all templates, worked out for one place.
type world struct {
	place
	texts     map[string]string
	templates map[string]object // by file
	machines  map[string]object // by file
	resources map[string]*resource
	stacks    []*stack
	problems  []string // what could not be worked out
}

func newWorld(texts map[string]string, p place) *world {
	w := &world{place: p, texts: texts, templates: map[string]object{}, machines: map[string]object{}, resources: map[string]*resource{}}
	for file, text := range texts {
		switch {
		case strings.HasSuffix(file, ".yaml"):
			template, err := parse(text)
			if err != nil {
				w.problem("%s: %v", file, err)
				continue
			}
			w.templates[file] = template
		case strings.HasSuffix(file, ".asl.json"):
			var machine object
			if err := json.Unmarshal([]byte(text), &machine); err != nil {
				w.problem("%s: %v", file, err)
				continue
			}
			w.machines[file] = machine
		}
	}
	for _, file := range slices.Sorted(maps.Keys(w.templates)) {
		if strings.Contains(file, "nested-stacks") {
			continue
		}
		path := ""
		if file != rootTemplate {
			path = strings.TrimSuffix(filepath.Base(file), ".yaml") + "."
		}
		s := &stack{world: w, file: file, path: path, template: w.templates[file], parameters: map[string]any{}}
		declared, _ := s.template["Parameters"].(object)
		for name := range declared {
			value, given := p.parameters[name]
			if !given {
				value, given = get(declared, name, "Default").(string)
			}
			if !given {
				value = "<" + name + ">"
			}
			s.parameters[name] = value
		}
		s.work()
	}
	slices.Sort(w.problems)
	return w
}

func (w *world) problem(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

func (s *stack) work() {
	s.world.stacks = append(s.world.stacks, s)
	s.children = map[string]*stack{}
	resources, _ := s.template["Resources"].(object)
	// A nested stack needs the outputs of others; they are worked out when they are asked for.
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		if get(resources, id, "Type") == "AWS::CloudFormation::Stack" {
			s.child(id)
		}
	}
	for id, declared := range resources {
		if condition, ok := get(declared, "Condition").(string); ok && !s.condition(condition) {
			continue
		}
		r := &resource{id: s.path + id, file: s.file}
		r.kind, _ = get(declared, "Type").(string)
		r.properties, _ = s.value(get(declared, "Properties")).(object)
		r.deletion, _ = s.value(get(declared, "DeletionPolicy")).(string)
		r.replacement, _ = s.value(get(declared, "UpdateReplacePolicy")).(string)
		s.world.resources[r.id] = r
	}
}

func (s *stack) child(id string) *stack {
	if child, ok := s.children[id]; ok {
		return child
	}
	declared := get(s.template, "Resources", id, "Properties")
	url, _ := s.value(get(declared, "TemplateURL")).(string)
	file := "cft/nested-stacks/" + path.Base(url)
	template, ok := s.world.templates[file]
	if !ok {
		s.world.problem("%s: the TemplateURL of %s is %s, and there is no such template", s.file, id, url)
		s.children[id] = nil
		return nil
	}
	child := &stack{world: s.world, file: file, path: s.path + id + ".", template: template, parameters: map[string]any{}}
	s.children[id] = child
	given, _ := get(declared, "Parameters").(object)
	for name, value := range given {
		child.parameters[name] = s.value(value)
	}
	child.work()
	return child
}

// noValue is what !Ref AWS::NoValue stands for.
type noValue struct{}

// value works out the functions in a value.
func (s *stack) value(value any) any {
	switch v := value.(type) {
	case []any:
		var result []any
		for _, item := range v {
			if one := s.value(item); one != (noValue{}) {
				result = append(result, one)
			}
		}
		return result
	case object:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return s.function(name, argument)
				}
			}
		}
		result := object{}
		for name, item := range v {
			if one := s.value(item); one != (noValue{}) {
				result[name] = one
			}
		}
		return result
	}
	return value
}

var substitution = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

func (s *stack) function(name string, argument any) any {
	switch name {
	case "Ref":
		return s.ref(fmt.Sprint(argument))
	case "Fn::GetAtt":
		pair := list(argument)
		return s.attribute(fmt.Sprint(pair[0]), fmt.Sprint(pair[1]))
	case "Fn::Sub":
		own := object{}
		text, ok := argument.(string)
		if !ok {
			pair := list(argument)
			text, own = fmt.Sprint(pair[0]), pair[1].(object)
		}
		return substitution.ReplaceAllStringFunc(text, func(match string) string {
			key := strings.TrimSpace(match[2 : len(match)-1])
			if value, ok := own[key]; ok {
				return fmt.Sprint(s.value(value))
			}
			if resource, attribute, ok := strings.Cut(key, "."); ok {
				return fmt.Sprint(s.attribute(resource, attribute))
			}
			return fmt.Sprint(s.ref(key))
		})
	case "Fn::If":
		branch := list(argument)
		if s.condition(fmt.Sprint(branch[0])) {
			return s.value(branch[1])
		}
		return s.value(branch[2])
	case "Fn::Join":
		pair := list(argument)
		var parts []string
		for _, part := range list(s.value(pair[1])) {
			parts = append(parts, fmt.Sprint(part))
		}
		return strings.Join(parts, fmt.Sprint(pair[0]))
	case "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or", "Fn::Contains":
		return strconv.FormatBool(s.truth(object{name: argument}))
	}
	s.world.problem("%s: these tests do not know %s: teach them", s.file, name)
	return ""
}

func (s *stack) condition(name string) bool {
	declared := get(s.template, "Conditions", name)
	if declared == nil {
		s.world.problem("%s: there is no condition %s", s.file, name)
	}
	return s.truth(declared)
}

func (s *stack) truth(value any) bool {
	function, ok := value.(object)
	if !ok {
		return value == "true"
	}
	for name, argument := range function {
		operands := list(argument)
		switch name {
		case "Condition":
			return s.condition(fmt.Sprint(argument))
		case "Fn::Equals":
			return s.value(operands[0]) == s.value(operands[1])
		case "Fn::Contains":
			return slices.Contains(list(s.value(operands[0])), s.value(operands[1]))
		case "Fn::Not":
			return !s.truth(operands[0])
		case "Fn::And":
			return !slices.ContainsFunc(operands, func(one any) bool { return !s.truth(one) })
		case "Fn::Or":
			return slices.ContainsFunc(operands, s.truth)
		}
	}
	return s.value(value) == "true"
}

func (s *stack) ref(name string) any {
	switch name {
	case "AWS::Partition":
		return s.world.partition
	case "AWS::Region":
		return s.world.region
	case "AWS::URLSuffix":
		return s.world.suffix
	case "AWS::AccountId":
		return account
	case "AWS::NoValue":
		return noValue{}
	}
	if value, ok := s.parameters[name]; ok {
		return value
	}
	if get(s.template, "Resources", name) == nil {
		s.world.problem("%s: %s is neither a parameter that has a value nor a resource", s.file, name)
	}
	return "{" + s.path + name + "}"
}

func (s *stack) attribute(id, attribute string) any {
	output, nested := strings.CutPrefix(attribute, "Outputs.")
	if !nested {
		return "{" + s.path + id + "." + attribute + "}"
	}
	child := s.child(id)
	if child == nil {
		return ""
	}
	value := get(child.template, "Outputs", output, "Value")
	if value == nil {
		s.world.problem("%s: %s has no output %s", s.file, id, output)
		return ""
	}
	return child.value(value)
}

// named is the resource that a worked out value refers to by Ref ("") or by an attribute; nil if it refers to none.
func (w *world) named(value any, attributes ...string) *resource {
	text, _ := value.(string)
	inner, ok := strings.CutPrefix(text, "{")
	if inner, closed := strings.CutSuffix(inner, "}"); ok && closed {
		for _, attribute := range attributes {
			id := inner
			if attribute != "" {
				if id, ok = strings.CutSuffix(inner, "."+attribute); !ok {
					continue
				}
			}
			if r := w.resources[id]; r != nil {
				return r
			}
		}
	}
	return nil
}

// of is the resources of these types, in order; all if none are named.
func (w *world) of(kinds ...string) []*resource {
	var found []*resource
	for _, id := range slices.Sorted(maps.Keys(w.resources)) {
		if r := w.resources[id]; len(kinds) == 0 || slices.Contains(kinds, r.kind) {
			found = append(found, r)
		}
	}
	return found
}

// walk calls visit for every string in a value, with the path to it.
func walk(value any, path []string, visit func(path []string, text string)) {
	switch v := value.(type) {
	case string:
		visit(path, v)
	case []any:
		for _, item := range v {
			walk(item, path, visit)
		}
	case object:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			walk(v[key], append(slices.Clone(path), key), visit)
		}
	}
}
