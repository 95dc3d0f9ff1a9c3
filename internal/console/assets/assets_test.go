package assets

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page has to be small: compressed, all files that a browser loads.
func TestThePageIsUnder150kBCompressed(t *testing.T) {
	const most = 150_000
	total := 0
	style, script := Page()
	for _, content := range []string{read("index.html"), style, script} {
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		w.Write([]byte(content))
		w.Close()
		total += b.Len()
	}
	t.Logf("%d bytes compressed", total)
	if total > most {
		t.Errorf("the page has %d bytes compressed, want at most %d", total, most)
	}
}

// parts are the files of the page: index.html, and what its style sheet and its script are made of.
func parts(t *testing.T) []string {
	t.Helper()
	names := append([]string{"index.html", "style.css", "vendor/uplot/uPlot.min.css", "app.js"}, libraries...)
	for i := 0; i < len(names); i++ {
		if strings.HasPrefix(names[i], "vendor/") {
			continue
		}
		for _, m := range imports.FindAllStringSubmatch(read(names[i]), -1) {
			if !slices.Contains(names, m[2]) {
				names = append(names, m[2])
			}
		}
	}
	return names
}

func TestEveryFileIsUsed(t *testing.T) {
	used := append(parts(t), "report.html", "report.js")
	fs.WalkDir(Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			t.Error(err)
		} else if !entry.IsDir() && !strings.HasPrefix(path.Base(name), "LICENSE") && !slices.Contains(used, name) {
			t.Errorf("%s is not used", name)
		}
		return nil
	})
}

func TestEveryLibraryHasItsLicence(t *testing.T) {
	for _, name := range libraries {
		if !strings.Contains(read(path.Dir(name)+"/LICENSE"), "opyright") {
			t.Errorf("%s has no licence beside it", name)
		}
	}
}

// The Content-Security-Policy forbids scripts and styles in markup, and whatever comes from data must be text.
func TestThePageKeepsToItsPolicy(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|setAttribute\('style'|https?://`)
	inline := regexp.MustCompile(`(?i)<style|<script>|<script(?: defer)?>|\sstyle=["']|\son\w+=["']`)
	for _, name := range append(parts(t), "report.js") {
		if strings.HasPrefix(name, "vendor/") {
			continue
		}
		if m := forbidden.FindString(read(name)); m != "" {
			t.Errorf("%s has %q", name, m)
		}
		if m := inline.FindString(read(name)); m != "" {
			t.Errorf("%s has %q", name, m)
		}
	}
}

func TestThePageHasEveryModuleOnce(t *testing.T) {
	style, script := Page()
	for _, name := range parts(t) {
		if path.Ext(name) != ".js" || strings.HasPrefix(name, "vendor/") {
			continue
		}
		if n := strings.Count(script, "modules['"+name+"'] = "); n != 1 {
			t.Errorf("page.js has %s %d times, want once", name, n)
		}
	}
	expectBundle(t, style, script)
}

func TestTheReportHasEveryModuleOnce(t *testing.T) {
	style, script := Report()
	for _, want := range []string{"report.js", "run-view.js", "graph.js", "timeline.js", "items.js", "shards.js", "visits.js"} {
		if n := strings.Count(script, "modules['"+want+"'] = "); n != 1 {
			t.Errorf("the report has %s %d times, want once", want, n)
		}
	}
	for _, server := range []string{"api.js", "live.js", "actions.js"} {
		if strings.Contains(script, "modules['"+server+"']") {
			t.Errorf("the report has %s, which needs a server", server)
		}
	}
	expectBundle(t, style, script)
}

// expectBundle looks for what would have to be in a module, or would end the element that a report has the text in.
func expectBundle(t *testing.T, style, script string) {
	t.Helper()
	for _, text := range []string{"\nimport ", "\nexport ", "</script", "<!--", "sourceMappingURL"} {
		if strings.Contains(script, text) {
			t.Errorf("the script has %q", text)
		}
	}
	if strings.Contains(style, "</style") {
		t.Error("the style ends its element")
	}
}

// A browser loads the page in three requests, and finds them all in the first answer.
func TestThePageIsOneScriptAndOneStyleSheet(t *testing.T) {
	var names []string
	for _, m := range regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(read("index.html"), -1) {
		names = append(names, m[1])
	}
	if want := []string{"/assets/page.css", "/assets/page.js"}; !slices.Equal(names, want) {
		t.Errorf("index.html loads %q, want %q", names, want)
	}
}

// A merge can declare a name twice in a function, which stops the whole page. A browser says so, but only with a stack.
func TestNoModuleDeclaresANameTwiceInARow(t *testing.T) {
	declaration := regexp.MustCompile(`^(\s*)const (\w+) = `)
	for _, name := range parts(t) {
		if !strings.HasSuffix(name, ".js") || strings.HasPrefix(name, "vendor/") {
			continue
		}
		seen := map[string]int{}
		for i, line := range strings.Split(read(name), "\n") {
			if strings.HasPrefix(line, "}") { // the end of a function of the module
				clear(seen)
			}
			m := declaration.FindStringSubmatch(line)
			if m == nil || len(m[1]) > 2 {
				continue
			}
			if before, ok := seen[m[1]+m[2]]; ok {
				t.Errorf("%s declares %s in line %d and in line %d", name, m[2], before, i+1)
			}
			seen[m[1]+m[2]] = i + 1
		}
	}
}
