package localaws

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// noConfiguration hides the user's AWS configuration files, and the services that give a machine on AWS its credentials.
var noConfiguration = map[string]string{
	"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
}

// processEnvironment is all that a process of a function finds in its environment, except AWS_LAMBDA_RUNTIME_API: what Lambda
// documents, the function's own variables, and what a local AWS needs. Nothing comes from this process's environment.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
func (fn *function) processEnvironment(endpoint, logStream, temp string) map[string]string {
	env := map[string]string{
		"AWS_ENDPOINT_URL": endpoint,
		// On Lambda, each copy of a function has a /tmp of its own.
		"TMPDIR": temp,
		// Lambda gives a processor for each 1,769 MB: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
		// With more, Go's scheduler takes time from the other copies.
		"GOMAXPROCS": strconv.Itoa(min(runtime.NumCPU(), (fn.memoryMB+1768)/1769)),

		// Lambda's defaults, which a function may change.
		"PATH":                     "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"LD_LIBRARY_PATH":          "/lib64:/usr/lib64:" + runtimeDir + ":" + runtimeDir + "/lib:" + fn.codeDir + ":" + fn.codeDir + "/lib:/opt/lib",
		"LANG":                     "en_US.UTF-8",
		"TZ":                       ":UTC",
		"AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
		// Not X-Ray's usual port: a daemon of this machine would send the traces to AWS.
		"AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
	}
	maps.Copy(env, noConfiguration)
	maps.Copy(env, fn.variables)
	maps.Copy(env, map[string]string{ // reserved: Lambda refuses a function that sets one of these
		"_HANDLER":           fn.handler,
		"AWS_REGION":         fn.region,
		"AWS_DEFAULT_REGION": fn.region,
		// The role's name, which says who makes a call.
		"AWS_ACCESS_KEY_ID":               fn.role,
		"AWS_SECRET_ACCESS_KEY":           "local",
		"AWS_SESSION_TOKEN":               "local",
		"AWS_LAMBDA_FUNCTION_NAME":        fn.name,
		"AWS_LAMBDA_FUNCTION_VERSION":     fn.version,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(fn.memoryMB),
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_FORMAT":           fn.logFormat,
		"AWS_LAMBDA_LOG_GROUP_NAME":       fn.logGroup,
		"AWS_LAMBDA_LOG_STREAM_NAME":      logStream,
		"LAMBDA_TASK_ROOT":                fn.codeDir,
		"LAMBDA_RUNTIME_DIR":              runtimeDir,
	})
	if fn.logLevel != "" {
		env["AWS_LAMBDA_LOG_LEVEL"] = fn.logLevel
	}
	return env
}

// runtimeDir is where Lambda has a runtime's libraries. Carnation's functions need none.
const runtimeDir = "/var/runtime"

// motoEnvironment is this process's environment without what would change the moto server or lead it to AWS: the user's AWS
// configuration, proxies, and moto's own settings.
func motoEnvironment(more ...string) []string {
	// Python gives large buffers, such as the parts of an upload, back to the system. By itself, glibc would keep up to 32 MB of each thread's.
	env := []string{"NO_PROXY=*", "MALLOC_MMAP_THRESHOLD_=1048576"}
	for name, value := range noConfiguration {
		env = append(env, name+"="+value)
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		upper := strings.ToUpper(name)
		changes := slices.ContainsFunc([]string{"AWS_", "MOTO_", "TEST_", "S3_", "SF_", "CARNATION_"}, func(prefix string) bool { return strings.HasPrefix(upper, prefix) })
		if !changes && !strings.HasSuffix(upper, "_PROXY") && upper != "INITIAL_NO_AUTH_ACTION_COUNT" && upper != "VALIDATE_LAMBDA_S3" {
			env = append(env, entry)
		}
	}
	return append(env, more...)
}
