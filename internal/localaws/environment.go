package localaws

import (
	"os"
	"strings"
)

// plainEnvironment returns this process's environment without the user's AWS configuration and proxies, which could
// lead a child process to AWS.
func plainEnvironment() []string {
	env := []string{"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true"}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if upper := strings.ToUpper(name); !strings.HasPrefix(upper, "AWS_") && !strings.HasSuffix(upper, "_PROXY") {
			env = append(env, entry)
		}
	}
	return env
}
