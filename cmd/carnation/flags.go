package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"

	"carnation/internal/event"
)

// oneOf is a flag with a fixed set of values.
type oneOf struct {
	value   string
	allowed []string
}

func (o *oneOf) String() string { return o.value }

func (o *oneOf) Set(text string) error {
	if !slices.Contains(o.allowed, text) {
		return fmt.Errorf("must be %s", oneOfThese(o.allowed))
	}
	o.value = text
	return nil
}

// sequenceNo is a flag for a sequence number.
type sequenceNo struct {
	n   int64
	set bool
}

func (s *sequenceNo) String() string { return "" }

func (s *sequenceNo) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > event.MaxSequenceNo {
		return errors.New(mustBeSequenceNo(0))
	}
	s.n, s.set = n, true
	return nil
}

func mustBeSequenceNo(least int64) string {
	return fmt.Sprintf("must be an integer from %d to %d", least, int64(event.MaxSequenceNo))
}

// share is a flag for a number from 0 to 1.
type share float64

func (s *share) String() string { return "" }

func (s *share) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) { // not: n < 0 || n > 1, which lets NaN pass
		return errors.New("must be a number from 0 to 1")
	}
	*s = share(n)
	return nil
}

// count is a flag for an integer from 1 to most.
type count struct{ n, most int }

func (c *count) String() string {
	if c.n == 0 {
		return ""
	}
	return strconv.Itoa(c.n)
}

func (c *count) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > c.most {
		return errors.New(c.mustBe())
	}
	c.n = n
	return nil
}

func (c *count) mustBe() string { return fmt.Sprintf("must be an integer from 1 to %d", c.most) }

func outputFlag(flags *flag.FlagSet) *oneOf {
	output := &oneOf{"text", []string{"text", "json"}}
	flags.Var(output, "output", "`format` of the result: text or json")
	return output
}

func stackFlag(flags *flag.FlagSet) *string {
	return flags.String("stack-name", "carnation-devl", "`name` of the deployed stack")
}

func checkTimeout(timeout time.Duration) error {
	if timeout <= 0 {
		return fmt.Errorf("--timeout is %s: must be a duration above 0, such as 90s or 30m", timeout)
	}
	return nil
}
