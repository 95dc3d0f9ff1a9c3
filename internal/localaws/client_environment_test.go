package localaws

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestExportsBeatWhateverTheShellHas(t *testing.T) {
	t.Parallel()
	e := &Endpoint{URL: "http://127.0.0.1:4566"}
	file := filepath.Join(t.TempDir(), "exports")
	if err := os.WriteFile(file, []byte(e.Exports()), 0o600); err != nil {
		t.Fatal(err)
	}
	hostile := []string{
		"PATH=" + os.Getenv("PATH"), "KEPT=yes", "AWS_PAGER=less", "AWS_CONFIG_FILE=/home/user/.aws/config", "AWS_ENDPOINT_URL=https://example.com",
		"AWS_ENDPOINT_URL_SQS=https://sqs.example.com", "AWS_ENDPOINT_URL_DYNAMODB=https://example.com/?a=b", "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIA",
		"NO_PROXY=example.com", "HTTP_PROXY=http://proxy.example.com",
	}
	for _, name := range misleading {
		hostile = append(hostile, name+"=something else")
	}
	for _, test := range []struct {
		shell   string
		environ []string
		noProxy string
	}{
		{"sh", hostile, "127.0.0.1,example.com"},
		{"bash", append(hostile, "no_proxy=other.example.com"), "127.0.0.1,other.example.com"},
		{"zsh", hostile, "127.0.0.1,example.com"},
		{"dash", hostile, "127.0.0.1,example.com"},
		{"sh", hostile[:1], "127.0.0.1,"},
		{"zsh", hostile[:1], "127.0.0.1,"},
	} {
		path, err := exec.LookPath(test.shell)
		if err != nil {
			continue // sh is everywhere
		}
		cmd := exec.Command(path, "-euc", `. "$0"; . "$0"; env`, file) // twice does no harm
		cmd.Env = test.environ
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", test.shell, err, out)
			continue
		}
		env := map[string]string{}
		for line := range strings.Lines(string(out)) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			env[name] = value
			if Misleads(name) {
				t.Errorf("%s: %s is left", test.shell, strings.TrimSpace(line))
			}
		}
		for name, want := range map[string]string{
			"AWS_ENDPOINT_URL": e.URL, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": Region, "AWS_DEFAULT_REGION": Region,
			"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "NO_PROXY": "127.0.0.1," + test.noProxy, "no_proxy": "127.0.0.1," + test.noProxy,
		} {
			if env[name] != want {
				t.Errorf("%s: %s is %q, want %q", test.shell, name, env[name], want)
			}
		}
		if len(test.environ) > 1 && (env["KEPT"] != "yes" || env["AWS_PAGER"] != "less" || env["HTTP_PROXY"] == "") {
			t.Errorf("%s: variables that do no harm are gone: %v", test.shell, env)
		}
	}
}
