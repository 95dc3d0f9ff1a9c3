package localaws

import (
	"net/http"
	"regexp"
)

// unsupported are operations of Lambda that moto accepts, or fails at, and that would then have no effect.
var unsupported = []struct {
	method    string
	path      *regexp.Regexp
	operation string
}{
	{"POST", regexp.MustCompile(`/functions/[^/]+/invoke-async/?$`), "InvokeAsync"},
	{"POST", regexp.MustCompile(`/functions/[^/]+/response-streaming-invocations$`), "InvokeWithResponseStream"},
	{"POST", regexp.MustCompile(`/event-source-mappings/?$`), "CreateEventSourceMapping"},
	{"PUT", regexp.MustCompile(`/functions/[^/]+/event-invoke-config$`), "PutFunctionEventInvokeConfig"},
	{"POST", regexp.MustCompile(`/functions/[^/]+/event-invoke-config$`), "UpdateFunctionEventInvokeConfig"},
	{"PUT", regexp.MustCompile(`/functions/[^/]+/provisioned-concurrency$`), "PutProvisionedConcurrencyConfig"},
	{"POST", regexp.MustCompile(`/functions/[^/]+/url$`), "CreateFunctionUrlConfig"},
	{"POST", regexp.MustCompile(`/layers/[^/]+/versions$`), "PublishLayerVersion"},
}

// refuseUnsupported answers a call of an operation of Lambda that local AWS does not do. Clients do not repeat it.
func refuseUnsupported(w http.ResponseWriter, r *http.Request) bool {
	for _, one := range unsupported {
		if r.Method == one.method && one.path.MatchString(r.URL.EscapedPath()) {
			refuse(w, r, http.StatusBadRequest, "UnsupportedOperation", "Local AWS does not do "+one.operation+".")
			return true
		}
	}
	return false
}
