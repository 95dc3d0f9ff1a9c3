package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestRequestsOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	f.set("StartExecution", func(map[string]any) (any, error) {
		return map[string]any{"executionArn": machine + ":x", "startDate": 1.8e9}, nil
	})
	c := startConsole(t, f)
	const start, body = "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":3}`
	port := c.URL[strings.LastIndex(c.URL, ":"):]
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) {
			if r.Header.Del(name); value != "" {
				r.Header.Set(name, value)
			}
		}
	}
	host := func(value string) func(*http.Request) { return func(r *http.Request) { r.Host = value } }
	for name, tc := range map[string]struct {
		method, path, body string
		change             func(*http.Request)
		status             int
	}{
		"the page itself, for another name that points here": {"GET", "/", "", host("evil.example" + port), 403},
		"the API for another name":                           {"GET", "/api/stacks", "", host("evil.example" + port), 403},
		"another port":                                       {"GET", "/api/stacks", "", host("127.0.0.1:1"), 403},
		"no port":                                            {"GET", "/api/stacks", "", host("localhost"), 403},
		"a name that begins like ours":                       {"GET", "/api/stacks", "", host("localhost" + port + ".evil.example"), 403},
		"a script of another site that reads":                {"GET", "/api/stacks", "", header("Origin", "https://evil.example"), 403},
		"a sandboxed page that reads":                        {"GET", "/api/stacks", "", header("Origin", "null"), 403},
		"an image of another site":                           {"GET", "/api/dead-letters?stack=carnation-devl", "", header("Sec-Fetch-Site", "cross-site"), 403},
		"another port of this machine that reads":            {"GET", "/api/stacks", "", header("Sec-Fetch-Site", "same-site"), 403},
		"a change from another site":                         {"POST", start, body, header("Origin", "https://evil.example"), 403},
		"a change from another port of this machine":         {"POST", start, body, header("Origin", "http://127.0.0.1:1"), 403},
		"a change from https":                                {"POST", start, body, header("Origin", strings.Replace(c.URL, "http:", "https:", 1)), 403},
		"a change without an origin":                         {"POST", start, body, header("Origin", ""), 403},
		"a change without the token":                         {"POST", start, body, header(tokenHeader, ""), 403},
		"a change with a wrong token":                        {"POST", start, body, header(tokenHeader, strings.Repeat("A", 26)), 403},
		"an export without the token":                        {"POST", "/api/dead-letters/export?stack=carnation-devl", `{"all":true}`, header(tokenHeader, ""), 403},
		"a form with the token":                              {"POST", start, "start_seq=1&end_seq=3", header("Content-Type", "application/x-www-form-urlencoded"), 400},
		"a form of plain text with the token":                {"POST", start, body, header("Content-Type", "text/plain"), 400},
		"a change by GET":                                    {"GET", start, "", nil, 404},
		"another method":                                     {"DELETE", "/api/start", "", func(r *http.Request) { r.Header.Set("Origin", c.URL); r.Header.Set(tokenHeader, c.token) }, 404},
		"another method without the token":                   {"PUT", "/", "", nil, 403},
		"a body that is too large":                           {"POST", start, `{"name":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413},
	} {
		t.Run(name, func(t *testing.T) {
			var change []func(*http.Request)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			status, answer := send(t, c, tc.method, tc.path, tc.body, change...)
			if status != tc.status || !strings.Contains(string(answer), `"error"`) {
				t.Errorf("status %d, %s, want %d and an error", status, answer, tc.status)
			}
			if strings.Contains(string(answer), c.token) {
				t.Error("the answer has the token")
			}
		})
	}
	if n := f.count("StartExecution"); n > 0 {
		t.Errorf("%d runs were started", n)
	}
	for _, name := range []string{"127.0.0.1", "localhost", "[::1]"} {
		status, answer := send(t, c, "POST", start, body, host(name+port), header("Origin", "http://"+name+port), header("Sec-Fetch-Site", "same-origin"))
		if status != 200 {
			t.Errorf("the page at %s gets status %d, %s", name, status, answer)
		}
	}
	if n := f.count("StartExecution"); n != 3 {
		t.Errorf("%d runs were started by the page, want 3", n)
	}
}

// A form is what another site can send without asking the browser. It has no token, whatever it does.
func TestTheFormOfAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	for _, origin := range []string{"https://evil.example", "null", c.URL} {
		request, _ := http.NewRequest("POST", c.URL+"/api/start?stack=carnation-devl", strings.NewReader("start_seq=1&end_seq=3"))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", origin)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 403 {
			t.Errorf("from %s: status %d, want 403", origin, response.StatusCode)
		}
	}
}

func TestNothingButThePageIsServed(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	for _, path := range []string{
		"/..", "/../../etc/passwd", "/assets/../server.go", "/assets/..%2f..%2fserver.go", "/assets/%2e%2e/server.go", `/assets/..\server.go`, "/assets//index.html",
		"/assets", "/assets/", "/assets/assets.go", "/assets/app.js", "/assets/report.html", "/assets/vendor", "/assets/vendor/", "//evil.example", "/index.html", "/.git/config", "/api/", "/api/nothing", "/assets/index.html%00.js",
	} {
		connection, err := net.Dial("tcp", strings.TrimPrefix(c.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		// A client of Go would clean the path.
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, strings.TrimPrefix(c.URL, "http://"))
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _ := io.ReadAll(response.Body)
		connection.Close()
		if response.StatusCode != 404 && response.StatusCode != 400 || strings.Contains(string(body), "package ") || strings.Contains(string(body), "root:") {
			t.Errorf("%s: status %d, %.80s, want 404", path, response.StatusCode, body)
		}
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	for path, status := range map[string]int{"/": 200, "/api/stacks": 200, "/nothing": 404, "/api/runs?stack=1": 400} {
		response, err := http.Get(c.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cache-Control":                "no-store",
			"Access-Control-Allow-Origin":  "",
		} {
			if got := response.Header.Get(name); got != want || response.StatusCode != status {
				t.Errorf("%s: status %d, %s: %s, want %s", path, response.StatusCode, name, got, want)
			}
		}
	}
}

func TestThePageHasTheTokenOfItsConsole(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	tokens := map[string]bool{}
	for range 2 {
		c := startConsole(t, f)
		_, page := send(t, c, "GET", "/?anything", "")
		found := regexp.MustCompile(`<meta name="carnation-token" content="([A-Z2-7]{26,})">`).FindSubmatch(page)
		if found == nil || string(found[1]) != c.token {
			t.Fatalf("the page has no token: %.400s", page)
		}
		tokens[c.token] = true
	}
	if len(tokens) != 2 {
		t.Error("two consoles have the same token")
	}
}

func TestOnlyThisMachineCanConnect(t *testing.T) {
	t.Parallel()
	c := startConsole(t, newFakeAWS(t))
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		ip := address.(*net.IPNet).IP
		if ip.IsLoopback() || ip.To4() == nil {
			continue
		}
		connection, err := net.DialTimeout("tcp", ip.String()+c.URL[strings.LastIndex(c.URL, ":"):], time.Second)
		if err == nil {
			connection.Close()
			t.Errorf("the console answers at %s", ip)
		}
	}
}

func TestChangesNeedTheFlagUnlessEverythingIsOnThisMachine(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	remote := func(o *Options) {
		o.Configuration = func(ctx context.Context) (aws.Config, error) {
			cfg, err := f.config(ctx)
			cfg.HTTPClient, cfg.BaseEndpoint = toFake{f.url}, nil
			return cfg, err
		}
	}
	allowed := func(o *Options) { o.AllowChanges = true }
	f.set("StartExecution", func(map[string]any) (any, error) {
		return map[string]any{"executionArn": machine + ":x", "startDate": 1.8e9}, nil
	})
	const start, body = "/api/start?stack=carnation-devl", `{"start_seq":1,"end_seq":3}`
	for name, tc := range map[string]struct {
		options  []func(*Options)
		readOnly bool
	}{
		"on this machine":    {nil, false},
		"on AWS":             {[]func(*Options){remote}, true},
		"on AWS with a flag": {[]func(*Options){remote, allowed}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := startConsole(t, f, tc.options...)
			if got := get[Stacks](t, c, "/api/stacks"); c.ReadOnly() != tc.readOnly || got.ReadOnly != tc.readOnly {
				t.Errorf("read-only %t, %t, want %t", c.ReadOnly(), got.ReadOnly, tc.readOnly)
			}
			if !tc.readOnly {
				post[Started](t, c, start, body)
				return
			}
			for _, path := range []string{"start", "start-file", "retry", "dead-letters/redrive", "dead-letters/drop", "dead-letters/edit"} {
				if status, p := refused(t, c, "POST", "/api/"+path+"?stack=carnation-devl", body); status != 403 || p.Kind != KindReadOnly || !strings.Contains(p.Message, "--allow-changes") {
					t.Errorf("%s: status %d, %+v, want that changes need a flag", path, status, p)
				}
			}
		})
	}
}

// toFake sends what is for AWS to the fake.
type toFake struct{ url string }

func (c toFake) Do(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Host, ".amazonaws.com") {
		return nil, errors.New("not for AWS: " + r.URL.Host)
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(c.url, "http://")
	return http.DefaultClient.Do(r)
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	t.Parallel()
	f := newFakeAWS(t)
	c := startConsole(t, f)
	var port int
	fmt.Sscanf(c.URL, "http://127.0.0.1:%d", &port)
	if _, err := Start(t.Context(), Options{Configuration: f.config, Port: port}); err == nil || !strings.Contains(err.Error(), "serve the console: ") {
		t.Errorf("Start() = %v, want an error", err)
	}
}
