// Package assets has the files of the console's page, and bundles them: those of the whole page for the console, and those of the view of
// one run for the report.
package assets

import (
	"embed"
	"regexp"
	"strings"
)

// Files are the page's scripts and styles; index.html, whose style sheet is page.css and whose script is page.js; and report.html, which is
// a text/template with the fields CSP, Title, Style, Document, Visits and Script.
//
//go:embed *.html *.css *.js vendor
var Files embed.FS

// libraries are the vendored scripts, which set a global variable each: standalone.umd.js of htm 3.1.1, with Preact in it; dagre.min.js of
// @dagrejs/dagre 3.1.3, without the line that names a source map; uPlot.iife.min.js and uPlot.min.css of uplot 1.6.32. To update one, take
// the same file of a newer npm package, and its licence.
var libraries = []string{"vendor/htm/standalone.umd.js", "vendor/dagre/dagre.min.js", "vendor/uplot/uPlot.iife.min.js"}

// Page returns page.css and page.js. A browser loads and starts one script much faster than a module for each of its parts.
func Page() (style, script string) { return styles(), withModules("app.js") }

// Report returns everything that the report needs of the page, as one style sheet and one classic script. The script shows the document
// in the element carnation-document.
func Report() (style, script string) { return styles(), withModules("report.js") }

func styles() string { return read("vendor/uplot/uPlot.min.css") + read("style.css") }

// withModules is a classic script: the libraries, the modules that this one imports, and this one.
func withModules(main string) string {
	var b strings.Builder
	for _, name := range libraries {
		b.WriteString(read(name) + "\n")
	}
	b.WriteString("(() => {\n'use strict';\nconst modules = {};\n")
	bundle(&b, main, map[string]bool{})
	b.WriteString("})();\n")
	return b.String()
}

func read(name string) string {
	content, err := Files.ReadFile(name)
	if err != nil {
		panic(err) // the file is in the binary
	}
	return string(content)
}

var (
	imports     = regexp.MustCompile(`(?s)import \{([^}]*)\} from '\./([^']+)';`)
	exported    = regexp.MustCompile(`(?m)^export (?:async )?(?:const|let|class|function) (\w+)`)
	exportLists = regexp.MustCompile(`(?s)export \{([^}]*)\};`)
)

// bundle writes a module after those that it imports. Each is a function that returns what it exports. That needs no parser, because the
// page's own modules import only names and export only declarations or names. They have no cycles.
func bundle(b *strings.Builder, name string, done map[string]bool) {
	if done[name] {
		return
	}
	done[name] = true
	source := read(name)
	for _, m := range imports.FindAllStringSubmatch(source, -1) {
		bundle(b, m[2], done)
	}
	var names []string
	for _, m := range exported.FindAllStringSubmatch(source, -1) {
		names = append(names, m[1])
	}
	for _, m := range exportLists.FindAllStringSubmatch(source, -1) {
		names = append(names, strings.TrimRight(strings.TrimSpace(m[1]), ","))
	}
	source = imports.ReplaceAllString(source, "const {$1} = modules['$2'];")
	source = exportLists.ReplaceAllString(source, "")
	source = regexp.MustCompile(`(?m)^export `).ReplaceAllString(source, "")
	b.WriteString("modules['" + name + "'] = (() => {\n" + source + "return { " + strings.Join(names, ", ") + " };\n})();\n")
}
