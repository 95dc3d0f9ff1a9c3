// Package environment is what a function gets from Lambda: its settings, its logger and metrics, its time, and the
// configuration of its AWS clients.
package environment

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Settings are the settings that all functions have.
type Settings struct {
	ProjectName      string
	Environment      string
	RetryQueueURL    string
	FailureInjection bool       // whether a run may ask for simulated failures
	AWS              aws.Config // of the function's AWS clients
}

// Load reads the environment, once, at cold start. An error names the variable.
func Load() (s Settings, err error) {
	if s.ProjectName, err = Require("PROJECT_NAME"); err != nil {
		return s, err
	}
	if s.Environment, err = Require("ENVIRONMENT"); err != nil {
		return s, err
	}
	if s.RetryQueueURL, err = RequireURL("RETRY_QUEUE_URL"); err != nil {
		return s, err
	}
	injection, err := Require("FAILURE_INJECTION")
	if err != nil {
		return s, err
	}
	if injection != "enabled" && injection != "disabled" {
		return s, fmt.Errorf("environment variable FAILURE_INJECTION is %q: must be enabled or disabled", injection)
	}
	s.FailureInjection = injection == "enabled"
	s.AWS, err = loadAWS()
	return s, err
}

// Require is the value of an environment variable that must be set.
func Require(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

// RequireInt is the value of an environment variable that must be an integer from 1 to most.
func RequireInt(name string, most int64) (int64, error) {
	value, err := Require(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("environment variable %s is %q: must be an integer from 1 to %d", name, value, most)
	}
	return n, nil
}

// Concurrency is how many invocations a run has at once.
type Concurrency struct {
	Value    int64
	Reserved int64 // the functions' reserved concurrency, 0 if there is none
}

// RequireConcurrency is the value of an environment variable that must be an integer from 1 to most, and that of RESERVED_CONCURRENCY.
func RequireConcurrency(name string, most int64) (c Concurrency, err error) {
	c.Value, err = RequireInt(name, most)
	if err == nil && os.Getenv("RESERVED_CONCURRENCY") != "" {
		c.Reserved, err = RequireInt("RESERVED_CONCURRENCY", math.MaxInt32)
	}
	return c, err
}

// OfRun is the concurrency of a run: the value, or the reserved concurrency if that is lower, because Lambda would throttle the calls
// above it. A lowered value is logged. It is no problem: docs/operations.md looks for problems among warnings and errors.
func (c Concurrency) OfRun(ctx context.Context, logger *slog.Logger) int64 {
	if c.Reserved == 0 || c.Reserved >= c.Value {
		return c.Value
	}
	logger.InfoContext(ctx, "concurrency lowered to the reserved concurrency", "value", c.Value, "reserved", c.Reserved)
	return c.Reserved
}

// RequireURL is the value of an environment variable that must be a URL.
func RequireURL(name string) (string, error) {
	value, err := Require(name)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", fmt.Errorf("environment variable %s is %q: must be a URL that begins with https://", name, value)
	}
	return value, nil
}
