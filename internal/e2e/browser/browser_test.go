package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// site serves pages by their path, with the content security policy of the console.
func site(t *testing.T, pages map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *; img-src data:")
		kind := map[string]string{".js": "text/javascript", ".css": "text/css"}[filepath.Ext(r.URL.Path)]
		if kind == "" {
			kind, content = "text/html; charset=utf-8", `<!doctype html><html lang="en"><title>test</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css">`+content
		}
		w.Header().Set("Content-Type", kind)
		fmt.Fprint(w, content)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// shared is the browser of all tests. A browser takes seconds of a processor to start, and each test has pages of its own.
var shared struct {
	once    sync.Once
	browser *Browser
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.browser != nil {
		shared.browser.Close()
	}
	os.Exit(code)
}

// Other programs do a part of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more.
func TestReadsThroughOtherPrograms(t *testing.T) { t.Log(os.Getenv("CARNATION_PROGRAMS")) }

func start(t testing.TB) *Browser {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser, and this is go test -short")
	}
	shared.once.Do(func() {
		path, err := exec.Command("../../../scripts/browser").Output()
		if err == nil {
			shared.browser, shared.err = Start(strings.TrimSpace(string(path)), "../../../build/browser")
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	if shared.browser == nil {
		t.Skip("there is no Chromium and no Chrome")
	}
	return shared.browser
}

// witness is a test that a page can fail.
type witness struct {
	testing.TB
	errors []string
}

func (w *witness) Error(args ...any) { w.errors = append(w.errors, fmt.Sprint(args...)) }
func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}

func expectEach(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	left := slices.Clone(got)
	for _, part := range want {
		i := slices.IndexFunc(left, func(s string) bool { return strings.Contains(s, part) })
		if i < 0 {
			t.Errorf("%s: %q, want one with %q", what, got, part)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		t.Errorf("%s: %q, want none of them", what, left)
	}
}

// TestBrowser shows each thing to the tests that they look for, so that they cannot overlook it.
func TestBrowser(t *testing.T) {
	b := start(t)
	url := site(t, map[string]string{
		"/page.css": `body { font: 16px sans-serif } button:focus-visible { outline: 2px solid blue } #mute:focus-visible { outline: none }
			.grey { color: #919191 } .big { font-size: 30px } .half { opacity: .5 } #wide { width: 3000px } .abs { position: absolute; top: 400px; left: 10px }
			@media (prefers-color-scheme: dark) { .night { color: #333; background: #222 } }`,
		"/good": `<h1>Good</h1><button id=a>Press me</button><label>Name <input id=name></label><p id=out></p><div id=drop>drop here</div>
			<svg width=200 height=40><rect width=200 height=40 fill="black"/><text x=5 y=20 fill="white">on black</text></svg><script src="/good.js"></script>`,
		"/good.js": `a.onclick = () => out.textContent = "pressed " + document.querySelector("#name").value;
			drop.ondragover = (e) => e.preventDefault();
			drop.ondrop = async (e) => { e.preventDefault(); out.textContent = e.dataTransfer.files[0].name + ": " + await e.dataTransfer.files[0].text(); };`,
		"/bad": `<p class="grey">too light</p><p class="grey big">large</p><p class="half">half gone</p><p class="night">only at night</p><button id="mute">Mute</button><button></button>
			<svg width=200 height=40><rect width=200 height=40 fill="black"/><text x=5 y=20 fill="#333">black on black</text></svg>
			<div id="wide">wide</div><p class="abs">one upon</p><p class="abs">the other</p><script src="/bad.js"></script><script>document.body.id = "inline"</script>`,
		"/bad.js": `console.error("sorry", 7); fetch("http://example.com/tracker").catch(() => 0); setTimeout(() => { throw new Error("thrown") });
			fetch("/missing"); const until = performance.now() + 150; while (performance.now() < until);`,
		"/answered":    `<p id=out></p><script src="/answered.js"></script>`,
		"/answered.js": `(async () => { out.textContent = await (await fetch("/api/x?a=1")).text() + await (await fetch("/page.css")).status; })()`,
	})

	t.Run("a good page", func(t *testing.T) {
		p := b.Open(t)
		p.Goto(url + "/good")
		p.Fill("textbox", "Name", "über <b>")
		p.Click("button", "/^Press/")
		p.WaitText("pressed über <b>")
		p.Fill("textbox", "Name", "keys")
		p.Goto(url + "/good")
		p.TabTo("textbox", "Name")
		p.Type("keys")
		p.TabTo("button", "Press me")
		p.Press(kb.Enter)
		p.WaitText("pressed keys")
		file := filepath.Join(t.TempDir(), "a.txt")
		if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.DropAt("#drop", file)
		p.WaitText("a.txt: content")
		expectEach(t, "contrast", p.Contrast())
		expectEach(t, "layout", p.Layout())
		if p.Has("button", "Other") || p.Has("link", "Press me") || !p.Has("button", "Press me") {
			t.Error("the page has other elements than it should")
		}
	})

	t.Run("a bad page", func(t *testing.T) {
		w := &witness{TB: t}
		p := b.Open(t)
		p.t = w
		p.Goto(url + "/bad")
		p.TabTo("button", "")
		expectEach(t, "keyboard", w.errors, `button "Mute", which does not show that it has the focus`, `which has no name`)
		w.errors = nil
		expectEach(t, "contrast", p.Contrast(), `"too light"`, `"half gone"`, `"black on black"`)
		p.Look(Look{Width: 360, Dark: true})
		expectEach(t, "contrast in the dark", p.Contrast(), `"too light"`, `"half gone"`, `"black on black"`, `"only at night"`)
		expectEach(t, "layout", p.Layout(), "pixels wide in a window of 3", `"one upon" (p.abs) and "the other" (p.abs) lie on each other`, "a button has no name")
		if tasks := p.LongTasks(); len(tasks) == 0 || slices.Max(tasks) < 140 { // a busy machine makes more
			t.Errorf("the long tasks are %v, want one of 150 ms", tasks)
		}
		p.end()
		p.t = t
		p.Allow("^a request leaves the machine: GET http://example.com/tracker$")
		p.Allow(`^the browser complains: (network|javascript|security):.*`)
		p.Allow("^the page (throws: Uncaught Error: thrown|writes to the console: error: sorry 7|violates its content security policy: script-src-elem inline)")
		expectEach(t, "what the page did", w.errors, "a request leaves the machine: GET http://example.com/tracker", "the page writes to the console: error: sorry 7",
			"the page throws: Uncaught Error: thrown", "the page violates its content security policy: script-src-elem inline",
			"complains: network: Failed to load resource: net::ERR_NAME_NOT_RESOLVED", "complains: network: Failed to load resource: the server responded with a status of 404", "complains: security: ")
	})

	t.Run("an answer in the place of the server's", func(t *testing.T) {
		p := b.Open(t)
		p.Answer("/api/x?", func() (int, []byte) { return 200, []byte("instead ") })
		p.Goto(url + "/answered")
		p.WaitText("instead 200")
		p.Answer("/api/x?", nil)
		p.Allow("404")
		p.Goto(url + "/answered")
		p.WaitText("404 page not found 200")
	})
}
