// Package internal has no code of its own. Its tests hold which package may import which, and that a function's main is short.
package internal

import (
	"os"
	"os/exec"
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

func TestPackagesImportOnlyWhatTheLayoutAllows(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "carnation/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		paths := strings.Fields(line)
		importer := strings.TrimPrefix(paths[0], "carnation/")
		if importer == "internal" {
			continue
		}
		from := folder(importer)
		if from == "" {
			t.Errorf("package %s is in no folder of the layout: add it to mayImport", importer)
		}
		for _, path := range paths[1:] {
			imported, own := strings.CutPrefix(path, "carnation/")
			if to := folder(imported); own && to != from && !slices.Contains(mayImport[from], to) {
				t.Errorf("package %s imports %s, want only %v", importer, imported, mayImport[from])
			}
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
