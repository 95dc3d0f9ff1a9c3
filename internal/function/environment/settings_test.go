package environment

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// setEnvironment sets the environment of a deployed function, with changes.
func setEnvironment(t *testing.T, changes map[string]string) {
	t.Helper()
	for name, value := range map[string]string{
		"RETRY_QUEUE_URL": "https://sqs/retry", "PROJECT_NAME": "carnation", "ENVIRONMENT": "devl", "FAILURE_INJECTION": "enabled",
		"AWS_REGION": "eu-central-2", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
		"AWS_ENDPOINT_URL": "",
	} {
		if change, ok := changes[name]; ok {
			value = change
		}
		t.Setenv(name, value)
	}
}

func TestLoadNamesTheVariableThatIsMissingOrWrong(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"RETRY_QUEUE_URL", "", "environment variable RETRY_QUEUE_URL is not set"},
		{"PROJECT_NAME", "", "environment variable PROJECT_NAME is not set"},
		{"ENVIRONMENT", "", "environment variable ENVIRONMENT is not set"},
		{"FAILURE_INJECTION", "", "environment variable FAILURE_INJECTION is not set"},
		{"AWS_REGION", "", "environment variable AWS_REGION is not set"},
		{"AWS_ACCESS_KEY_ID", "", "environment variable AWS_ACCESS_KEY_ID is not set"},
		{"AWS_SECRET_ACCESS_KEY", "", "environment variable AWS_SECRET_ACCESS_KEY is not set"},
		{"RETRY_QUEUE_URL", "retry", `environment variable RETRY_QUEUE_URL is "retry": must be a URL that begins with https://`},
		{"RETRY_QUEUE_URL", "sqs://host/retry", `environment variable RETRY_QUEUE_URL is "sqs://host/retry": must be a URL that begins with https://`},
		{"RETRY_QUEUE_URL", "://", `environment variable RETRY_QUEUE_URL is "://": must be a URL that begins with https://`},
		{"FAILURE_INJECTION", "yes", `environment variable FAILURE_INJECTION is "yes": must be enabled or disabled`},
		{"FAILURE_INJECTION", "Enabled", `environment variable FAILURE_INJECTION is "Enabled": must be enabled or disabled`},
	} {
		setEnvironment(t, map[string]string{tc.name: tc.value})
		if _, err := Load(); fmt.Sprint(err) != tc.want {
			t.Errorf("Load() with %s %q: error = %v, want %s", tc.name, tc.value, err, tc.want)
		}
	}
}

func TestLoadReadsTheEnvironment(t *testing.T) {
	for value, want := range map[string]bool{"enabled": true, "disabled": false} {
		setEnvironment(t, map[string]string{"FAILURE_INJECTION": value})
		got, err := Load()
		if err != nil {
			t.Fatal(err)
		}
		if got.FailureInjection != want || got.ProjectName != "carnation" || got.Environment != "devl" || got.RetryQueueURL != "https://sqs/retry" {
			t.Errorf("Load() with FAILURE_INJECTION %s = %+v", value, got)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Setenv("TABLE_NAME", "events")
	if got, err := Require("TABLE_NAME"); got != "events" || err != nil {
		t.Errorf("Require() = %q, %v, want events", got, err)
	}
	t.Setenv("TABLE_NAME", "")
	if _, err := Require("TABLE_NAME"); fmt.Sprint(err) != "environment variable TABLE_NAME is not set" {
		t.Errorf("Require() error = %v, want the name of the variable", err)
	}
}

func TestRequireInt(t *testing.T) {
	for value, want := range map[string]string{
		"1": "1 <nil>", "1000": "1000 <nil>",
		"":     "0 environment variable SHARD_SIZE is not set",
		"0":    `0 environment variable SHARD_SIZE is "0": must be an integer from 1 to 1000`,
		"1001": `0 environment variable SHARD_SIZE is "1001": must be an integer from 1 to 1000`,
		"1e2":  `0 environment variable SHARD_SIZE is "1e2": must be an integer from 1 to 1000`,
	} {
		t.Setenv("SHARD_SIZE", value)
		n, err := RequireInt("SHARD_SIZE", 1000)
		if got := fmt.Sprint(n, " ", err); got != want {
			t.Errorf("RequireInt() of %q = %s, want %s", value, got, want)
		}
	}
}

func TestConcurrencyIsLoweredToTheReservedConcurrencyAndLogged(t *testing.T) {
	for _, tc := range []struct {
		value, reserved string
		want            int64
		logged          bool
	}{
		{"10", "", 10, false},
		{"10", "10", 10, false},
		{"4", "1000", 4, false},
		{"10", "4", 4, true},
	} {
		t.Setenv("MAP_MAX_CONCURRENCY", tc.value)
		t.Setenv("RESERVED_CONCURRENCY", tc.reserved)
		concurrency, err := RequireConcurrency("MAP_MAX_CONCURRENCY", 40)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		got := concurrency.OfRun(t.Context(), slog.New(slog.NewJSONHandler(&log, nil)))
		if logged := strings.Contains(log.String(), `"level":"INFO","msg":"concurrency lowered to the reserved concurrency","value":10,"reserved":4`); got != tc.want || logged != tc.logged {
			t.Errorf("concurrency of %s with %q reserved = %d, logs %q, want %d, and an INFO line if it is lowered", tc.value, tc.reserved, got, &log, tc.want)
		}
	}
}

func TestInvalidConcurrencyIsRefused(t *testing.T) {
	for _, tc := range []struct{ value, reserved, want string }{
		{"", "4", "environment variable MAP_MAX_CONCURRENCY is not set"},
		{"41", "4", `environment variable MAP_MAX_CONCURRENCY is "41": must be an integer from 1 to 40`},
		{"10", "none", `environment variable RESERVED_CONCURRENCY is "none": must be an integer from 1 to 2147483647`},
		{"10", "0", `environment variable RESERVED_CONCURRENCY is "0": must be an integer from 1 to 2147483647`},
	} {
		t.Setenv("MAP_MAX_CONCURRENCY", tc.value)
		t.Setenv("RESERVED_CONCURRENCY", tc.reserved)
		if _, err := RequireConcurrency("MAP_MAX_CONCURRENCY", 40); fmt.Sprint(err) != tc.want {
			t.Errorf("RequireConcurrency() of %q with %q reserved: error = %v, want %s", tc.value, tc.reserved, err, tc.want)
		}
	}
}
