package localaws

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"time"
)

// caller matches the root, the parent and the decision in a caller's tracing header.
var callersTrace = regexp.MustCompile(`Root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:.*;\s*Parent=([0-9a-f]{16}))?(?:.*;\s*Sampled=([01]))?`)

// traceID is the tracing header of an invocation: the caller's trace if it has one, or else a new one. Lambda decides to sample a
// trace only if the function's tracing is active. Of a caller's trace, it follows the caller's decision.
// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
func traceID(header string, active bool) string {
	sampled := "0"
	if active {
		sampled = "1"
	}
	root, parent := fmt.Sprintf("1-%08x-%x", time.Now().Unix(), randomBytes(12)), fmt.Sprintf("%x", randomBytes(8))
	if m := callersTrace.FindStringSubmatch(header); m != nil {
		root = m[1]
		if m[2] != "" && !active { // an active function has a segment of its own, which is the parent of what it does
			parent = m[2]
		}
		if m[3] != "" {
			sampled = m[3]
		}
	}
	return "Root=" + root + ";Parent=" + parent + ";Sampled=" + sampled
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}
