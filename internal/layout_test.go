// Package internal has no code of its own. Its tests hold which package may import which, which tests Go may remember, and that a function's
// main is short.
package internal

import (
	"cmp"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport are the folders that the packages of a folder may import, tests included. The functions import nothing but the records
// that travel, and nothing imports a folder above it.
var mayImport = map[string][]string{
	"internal/event":    {},
	"internal/function": {"internal/event"},
	"internal/records":  {"internal/event"},
	"internal/operate":  {"internal/event", "internal/records", "internal/function", "internal/cost"},
	"internal/console":  {"internal/event", "internal/records", "internal/operate", "internal/cost"},
	"internal/verify":   {"internal/event", "internal/operate"},
	"internal/cost":     {"internal/event", "internal/function"},
	"internal/localaws": {},
	"internal/scripts":  {},
	"internal/e2e":      {"internal/event", "internal/records", "internal/function", "internal/operate", "internal/verify", "internal/cost", "internal/console", "internal/localaws"},
	"cmd/generate-data": {"internal/event", "internal/function"},
	"cmd/insert-data":   {"internal/event", "internal/function"},
	"cmd/plan-shards":   {"internal/event", "internal/function"},
	"cmd/carnation":     {"internal/event", "internal/records", "internal/function", "internal/operate", "internal/verify", "internal/cost", "internal/console", "internal/localaws"},
	"state-machine":     {"internal/event", "internal/function", "internal/operate"},
	"cft":               {},
	"docs":              {},
}

// folder is the key of mayImport that a package belongs to.
func folder(path string) string {
	for name := range mayImport {
		if path == name || strings.HasPrefix(path, name+"/") {
			return name
		}
	}
	return ""
}

// source is what the tests of the layout read of a package.
type source struct {
	imports     []string // of its files, without the tests
	testImports []string
	tests       string // the text of the test files
}

// sources are the packages of the project by their path from the root. They are parsed here, and not listed by the go command, so
// that Go sees what this test reads.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	packages := map[string]*source{}
	for _, top := range []string{"cft", "cmd", "docs", "internal", "state-machine"} {
		err := filepath.WalkDir("../"+top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() && entry.Name() == "testdata" {
				return cmp.Or(err, fs.SkipDir)
			}
			if filepath.Ext(path) != ".go" {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
			if packages[name] == nil {
				packages[name] = &source{}
			}
			to := &packages[name].imports
			if strings.HasSuffix(path, "_test.go") {
				to = &packages[name].testImports
				packages[name].tests += string(text)
			}
			for _, spec := range file.Imports {
				*to = append(*to, strings.Trim(spec.Path.Value, `"`))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return packages
}

func TestPackagesImportOnlyWhatTheLayoutAllows(t *testing.T) {
	for importer, p := range sources(t) {
		if importer == "internal" {
			continue
		}
		from := folder(importer)
		if from == "" {
			t.Errorf("package %s is in no folder of the layout: add it to mayImport", importer)
		}
		for _, path := range slices.Concat(p.imports, p.testImports) {
			imported, own := strings.CutPrefix(path, "carnation/")
			if to := folder(imported); own && to != from && !slices.Contains(mayImport[from], to) {
				t.Errorf("package %s imports %s, want only %v", importer, imported, mayImport[from])
			}
		}
	}
}

// Go remembers the results of tests that passed, and takes them again until something has changed that the tests read. It does not see
// what other programs read. So the tests of a package that can start some read a variable to which scripts/test gives a value:
//
//   - CARNATION_TEST_RUN, another value each time, if these programs read much of the project, as in the end-to-end tests;
//   - CARNATION_PROGRAMS, which tells their versions, if Go sees the rest: it is embedded in the tests, or they look at the files.
func TestWhatTestsReadThroughOtherProgramsIsKnownToGo(t *testing.T) {
	packages := sources(t)
	known := map[string]bool{"os/exec": true} // whether a package can start other programs
	var starts func(imports []string) bool
	starts = func(imports []string) bool {
		return slices.ContainsFunc(imports, func(path string) bool {
			can, ok := known[path]
			if imported, own := strings.CutPrefix(path, "carnation/"); own && !ok {
				can = starts(packages[imported].imports)
				known[path] = can
			}
			return can
		})
	}
	for name, p := range packages {
		if p.tests == "" || name == "internal" {
			continue
		}
		canStart := starts(p.imports) || starts(p.testImports)
		reads, want := 0, 0
		if canStart {
			want = 1
		}
		for _, variable := range []string{"CARNATION_TEST_RUN", "CARNATION_PROGRAMS"} {
			if strings.Contains(p.tests, `os.Getenv("`+variable+`")`) {
				reads++
			}
		}
		if reads != want {
			t.Errorf("the tests of package %s can start other programs: %t; they read %d of CARNATION_TEST_RUN and CARNATION_PROGRAMS", name, canStart, reads)
		}
	}
}

// What a function does is in internal/function. Its main reads the settings and starts it.
func TestMainOfAFunctionIsShort(t *testing.T) {
	for name := range mayImport {
		if !strings.HasPrefix(name, "cmd/") || name == "cmd/carnation" {
			continue
		}
		main, err := os.ReadFile("../" + name + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(main), "\n"); lines > 40 {
			t.Errorf("%s/main.go has %d lines, want at most 40", name, lines)
		}
	}
}
