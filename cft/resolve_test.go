package cft

import (
	"fmt"
	"regexp"
	"strings"
)

// stack is a template with parameters. It evaluates the functions of the template as far as the tests here need them. A resource
// is known by its name, so the result of !Ref and !GetAtt is readable and not what AWS returns.
type stack struct {
	all        templates
	file       string
	parameters map[string]string
}

// environment of the stacks that the tests evaluate.
var pseudoParameters = map[string]string{"AWS::Region": "eu-central-2", "AWS::AccountId": "111122223333", "AWS::Partition": "aws",
	"AWS::URLSuffix": "amazonaws.com"}

// noValue is the result of !Ref AWS::NoValue: the property or the item does not exist.
type noValue struct{}

// rootStack is the root template with the given parameters, and otherwise its defaults.
func rootStack(all templates, given map[string]string) stack {
	s := stack{all: all, file: root, parameters: map[string]string{"CodeRepositoryS3Bucket": "bucket", "KmsMasterKeyId": "key"}}
	return s.with(given)
}

// with is the stack with some of its parameters set, and its defaults for those that have no value.
func (s stack) with(given map[string]string) stack {
	values := map[string]string{}
	declared, _ := s.all[s.file]["Parameters"].(object)
	for name := range declared {
		if byDefault, has := declared[name].(object)["Default"]; has {
			values[name] = fmt.Sprint(byDefault)
		}
	}
	for _, set := range []map[string]string{s.parameters, given} {
		for name, value := range set {
			if declared[name] == nil {
				panic(fmt.Sprintf("%s has no parameter %s", s.file, name))
			}
			values[name] = value
		}
	}
	s.parameters = values
	return s
}

// child is a nested stack.
func (s stack) child(id string) stack {
	properties := s.properties(id)
	child := stack{all: s.all, file: properties["TemplateURL"].(string)}
	child.file = child.file[strings.Index(child.file, "nested-stacks/"):]
	given := map[string]string{}
	for name, value := range properties["Parameters"].(object) {
		given[name] = fmt.Sprint(value)
	}
	return child.with(given)
}

// properties are those of a resource, without functions.
func (s stack) properties(id string) object {
	return s.value(get(s.all[s.file], "Resources", id, "Properties")).(object)
}

// exists is whether the condition of a resource holds.
func (s stack) exists(id string) bool {
	condition := text(s.all[s.file], "Resources", id, "Condition")
	return condition == "" || s.holds(condition)
}

func (s stack) holds(condition string) bool {
	declared := get(s.all[s.file], "Conditions", condition)
	if declared == nil {
		panic(fmt.Sprintf("%s has no condition %s", s.file, condition))
	}
	return s.value(declared).(bool)
}

// value is a part of the template without functions.
func (s stack) value(v any) any {
	switch v := v.(type) {
	case string:
		return s.scalar(v)
	case []any:
		var items []any
		for _, item := range v {
			if result := s.value(item); result != (noValue{}) {
				items = append(items, result)
			}
		}
		return items
	case object:
		if function, argument, is := functionOf(v); is {
			return s.call(function, argument)
		}
		result := object{}
		for key, item := range v {
			if item := s.value(item); item != (noValue{}) {
				result[key] = item
			}
		}
		return result
	}
	return v
}

func functionOf(v object) (name string, argument any, is bool) {
	for key, argument := range v {
		if len(v) == 1 && strings.HasPrefix(key, "!") {
			return key, argument, true
		}
	}
	return "", nil, false
}

func (s stack) scalar(text string) any {
	function, argument, _ := strings.Cut(text, " ")
	switch function {
	case "!Ref":
		return s.ref(argument)
	case "!GetAtt":
		return s.attribute(argument)
	case "!Sub":
		return s.substitute(argument, nil)
	case "!Condition":
		return s.holds(argument)
	}
	return text
}

func (s stack) call(function string, argument any) any {
	arguments := list(argument)
	switch function {
	case "!If":
		if s.holds(arguments[0].(string)) {
			return s.value(arguments[1])
		}
		return s.value(arguments[2])
	case "!Equals":
		return fmt.Sprint(s.value(arguments[0])) == fmt.Sprint(s.value(arguments[1]))
	case "!Not":
		return !s.value(arguments[0]).(bool)
	case "!And", "!Or":
		for _, one := range arguments {
			if s.value(one).(bool) == (function == "!Or") {
				return function == "!Or"
			}
		}
		return function == "!And"
	case "!Sub":
		return s.substitute(arguments[0].(string), arguments[1].(object))
	}
	panic(fmt.Sprintf("%s: the tests do not evaluate %s", s.file, function))
}

var variable = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

func (s stack) substitute(text string, more object) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		name := found[2 : len(found)-1]
		if value, ok := more[name]; ok {
			return fmt.Sprint(s.value(value))
		}
		if strings.Contains(name, ".") {
			return fmt.Sprint(s.attribute(name))
		}
		return fmt.Sprint(s.ref(name))
	})
}

// ref is a parameter, or the name of a resource.
func (s stack) ref(name string) any {
	if name == "AWS::NoValue" {
		return noValue{}
	}
	if value, ok := pseudoParameters[name]; ok {
		return value
	}
	if value, ok := s.parameters[name]; ok {
		return value
	}
	for property, value := range s.all[s.file]["Resources"].(object)[name].(object)["Properties"].(object) {
		if property == "QueueName" || property == "FunctionName" || property == "TableName" || property == "TopicName" {
			return s.value(value)
		}
	}
	return name
}

// attribute is an output of a nested stack, or the attribute of a resource as "Resource.Attribute".
func (s stack) attribute(path string) any {
	id, rest, _ := strings.Cut(path, ".")
	if output, isOutput := strings.CutPrefix(rest, "Outputs."); isOutput {
		child := s.child(id)
		return child.value(get(child.all[child.file], "Outputs", output, "Value"))
	}
	if strings.HasSuffix(rest, "Name") {
		return s.ref(id)
	}
	return path
}

// each visits the resources of a type, in this stack and in those nested in it.
func (s stack) each(kind string, visit func(s stack, id string)) {
	for _, r := range (templates{s.file: s.all[s.file]}).resources() {
		switch {
		case !s.exists(r.id):
		case r.kind == kind:
			visit(s, r.id)
		case r.kind == "AWS::CloudFormation::Stack":
			s.child(r.id).each(kind, visit)
		}
	}
}
