package e2e

import (
	"strings"
	"testing"

	"carnation/internal/localaws"
)

// This file goes when no test uses it any more: a local AWS and a stack that tests share which do not run in parallel.

const stackName = "carnation-devl"

var (
	local  *cloud
	shared *deployed
)

func prepareShared() (err error) {
	if local, err = clouds.take(); err != nil {
		return err
	}
	shared, err = local.createStack(stackName, code...)
	return err
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	return local.run(t, args...)
}

func setFaults(t *testing.T, rules ...localaws.Rule) {
	t.Helper()
	local.setFaults(t, rules...)
	if len(rules) > 0 {
		t.Cleanup(func() { local.setFaults(t) })
	}
}

// parameterFlags is for aws cloudformation update-stack.
func (c *cloud) parameterFlags(parameters []string) (flags []string) {
	for _, p := range c.parameters(parameters) {
		flags = append(flags, "ParameterKey="+*p.ParameterKey+",ParameterValue="+*p.ParameterValue)
	}
	return flags
}

func with(parameters []string, replacement string) []string {
	name, _, _ := strings.Cut(replacement, "=")
	result := []string{replacement}
	for _, p := range parameters {
		if !strings.HasPrefix(p, name+"=") {
			result = append(result, p)
		}
	}
	return result
}
