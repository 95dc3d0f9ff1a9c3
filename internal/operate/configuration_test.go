package operate

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestLocalAWSIsReachedWhateverKindOfEndpointIsAskedFor(t *testing.T) { // not parallel, because it changes the environment
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code><Message>it was reached</Message></Error></ErrorResponse>`))
	}))
	defer server.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-central-2", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	for _, setting := range []string{"AWS_USE_FIPS_ENDPOINT=true", "AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_ACCOUNT_ID_ENDPOINT_MODE=required"} {
		t.Run(setting, func(t *testing.T) {
			name, value, _ := strings.Cut(setting, "=")
			t.Setenv(name, value)
			if _, err := Open(t.Context(), "carnation-devl"); err == nil || !strings.Contains(err.Error(), "it was reached") {
				t.Errorf("Open() = %v, want the answer of the endpoint", err)
			}
		})
	}
}

func TestOnThisMachine(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:4566": true, "http://localhost:4566": true, "http://[::1]:4566": true, "http://127.0.0.2": true,
		"": false, "https://sqs.eu-central-2.amazonaws.com": false, "https://10.0.0.7": false, "http://localhost.example.com": false, "127.0.0.1:4566": false,
	} {
		if got := onThisMachine(address); got != want {
			t.Errorf("onThisMachine(%q) = %t, want %t", address, got, want)
		}
	}
}

func TestOneRemoteEndpointIsNotOnThisMachine(t *testing.T) {
	for name, value := range map[string]string{"AWS_REGION": "eu-central-2", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull} {
		t.Setenv(name, value)
	}
	for _, tc := range []struct {
		all, queues string
		want        bool
	}{{"", "", false}, {"http://127.0.0.1:4566", "", true}, {"http://127.0.0.1:4566", "https://sqs.example.com", false}, {"https://example.com", "http://127.0.0.1:4566", false}} {
		t.Setenv("AWS_ENDPOINT_URL", tc.all)
		t.Setenv("AWS_ENDPOINT_URL_SQS", tc.queues)
		cfg, err := Configuration(t.Context())
		if got := OnThisMachine(cfg); err != nil || got != tc.want {
			t.Errorf("with %+v OnThisMachine() = %t, %v", tc, got, err)
		}
	}
}
