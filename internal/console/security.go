package console

import (
	"context"
	"crypto/subtle"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"carnation/internal/operate"
)

// A console acts with its user's AWS permissions, and every web page that the user's browser shows can send requests to it. So it answers only
// what its own page asks. docs/console.md#security lists the rules.

// policy is the Content-Security-Policy: nothing but the console's own files, and nobody may put the page into a frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

const tokenHeader = "X-Carnation-Token"

// readOnly is the rule for changes: they need --allow-changes, except if everything that they would change is on this machine.
func readOnly(options Options, cfg aws.Config) bool {
	return !options.AllowChanges && !operate.OnThisMachine(cfg)
}

// guard refuses what does not come from the console's own page.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		if err := c.allow(r); err != nil {
			writeError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allow tells whether a request may be answered.
func (c *Console) allow(r *http.Request) error {
	// Another site could have its name point to 127.0.0.1 (DNS rebinding). Then the browser takes it for the origin of the page.
	if !slices.Contains(c.hosts, r.Host) {
		return forbidden("the Host is %q: must be %s", r.Host, strings.Join(c.hosts, ", "))
	}
	if origin := r.Header.Get("Origin"); origin != "" && !c.ownOrigin(origin, r.Host) {
		return forbidden("the Origin is %q: must be http://%s", origin, r.Host)
	}
	// An <img> or a link of another site has no Origin. Browsers say where it comes from:
	// https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
	if site := r.Header.Get("Sec-Fetch-Site"); strings.HasPrefix(r.URL.Path, "/api/") && site != "" && site != "same-origin" && site != "none" {
		return forbidden("the request comes from another site")
	}
	if p := r.URL.Path; p != path.Clean(p) || strings.Contains(p, `\`) {
		return &apiError{http.StatusNotFound, KindNotFound, "there is no such path"}
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	// From here on, only a script of the page can pass: it knows the token.
	if r.Header.Get("Origin") == "" {
		return forbidden("the Origin is missing: must be http://%s", r.Host)
	}
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(c.token)) != 1 {
		return forbidden("the header %s is missing or wrong: load the page again", tokenHeader)
	}
	return nil
}

// ownOrigin tells whether the origin is that of the page, which was loaded from host.
func (c *Console) ownOrigin(origin, host string) bool { return origin == "http://"+host }

// changes is the key of a value that the context of a request has if it changes something.
type changes struct{}

var errReadOnly = &apiError{http.StatusForbidden, KindReadOnly, "the console is read-only, because the stack is not on this machine: start carnation console with --allow-changes"}

// changing is a handler of a request that changes something. The configuration may be another one since the console was started, because it is
// loaded again after credentials were refused. So the present one counts here, and that of the stack in Console.stack.
func (c *Console) changing(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if c.ReadOnly() {
			return errReadOnly
		}
		return h(w, r.WithContext(context.WithValue(r.Context(), changes{}, true)))
	}
}

// ReadOnly tells whether the page cannot change anything.
func (c *Console) ReadOnly() bool {
	c.stacks.mu.Lock()
	defer c.stacks.mu.Unlock()
	return readOnly(c.options, c.stacks.cfg)
}
