package localaws

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// misleading are the variables of a shell that could lead a client of the endpoint elsewhere, give it other credentials, or make it
// fail. https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html
var misleading = []string{
	"AWS_ACCOUNT_ID", "AWS_ACCOUNT_ID_ENDPOINT_MODE", "AWS_AUTH_SCHEME_PREFERENCE", "AWS_CA_BUNDLE", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CREDENTIAL_EXPIRATION", "AWS_DEFAULTS_MODE", "AWS_DEFAULT_PROFILE", "AWS_ENABLE_ENDPOINT_DISCOVERY",
	"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SECURITY_TOKEN",
	"AWS_SESSION_TOKEN", "AWS_SIGV4A_SIGNING_REGION_SET", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
	"AWS_WEB_IDENTITY_TOKEN_FILE",
}

// serviceEndpoint begins the variables that give one service an endpoint of its own.
const serviceEndpoint = "AWS_ENDPOINT_URL_"

// Misleads tells whether a variable could lead a client of the endpoint elsewhere. Such a client must not have it.
func Misleads(name string) bool {
	return slices.Contains(misleading, name) || strings.HasPrefix(name, serviceEndpoint)
}

// Environment is what a client of the endpoint needs in its environment, besides that nothing there Misleads.
func (e *Endpoint) Environment() []string {
	noProxy := "127.0.0.1"
	if others := cmp.Or(os.Getenv("no_proxy"), os.Getenv("NO_PROXY")); others != "" {
		noProxy += "," + others
	}
	return append(e.settings(),
		"NO_PROXY="+noProxy,
		"no_proxy="+noProxy, // wins over the other in some clients
	)
}

func (e *Endpoint) settings() []string {
	env := []string{
		"AWS_ENDPOINT_URL=" + e.URL,
		"AWS_ACCESS_KEY_ID=local",
		"AWS_SECRET_ACCESS_KEY=local",
		"AWS_REGION=" + Region,
		"AWS_DEFAULT_REGION=" + Region,
	}
	for name, value := range noConfiguration {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// Config is the configuration of a client in this process.
func (e *Endpoint) Config() aws.Config {
	return aws.Config{BaseEndpoint: aws.String(e.URL), Region: Region, Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
}

// Exports is the shell commands that set a client's environment, in whatever shell they are run.
func (e *Endpoint) Exports() string {
	// The shell may have other variables than this process. sed finds those for one service.
	lines := "unset " + strings.Join(misleading, " ") + ` $(env | sed -n 's/^\(` + serviceEndpoint + `[A-Za-z0-9_]*\)=.*/\1/p')` + "\n"
	for _, entry := range e.settings() {
		lines += "export " + entry + "\n"
	}
	// The second wins over the first in some clients.
	return lines + `export NO_PROXY="127.0.0.1,${no_proxy:-${NO_PROXY:-}}"` + "\n" + `export no_proxy="$NO_PROXY"` + "\n"
}
