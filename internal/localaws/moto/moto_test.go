package moto

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Other programs do a part of what these tests test: TestWhatTestsReadThroughOtherProgramsIsKnownToGo in internal says more. Go sees the
// Python files, because TestEveryFolderIsEmbedded looks at them.
func TestReadsThroughOtherPrograms(t *testing.T) { t.Log(os.Getenv("CARNATION_PROGRAMS")) }

// TestPython runs the unit tests of the Python files.
func TestPython(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs Python and moto")
	}
	t.Parallel()
	python := Python("../../..")
	if err := exec.Command(python, "-c", "import moto").Run(); err != nil {
		t.Fatalf("%s cannot import moto: run scripts/python-tools go test ./...", python)
	}
	tests := exec.Command(python, "-B", "-m", "unittest", "discover", "--start-directory", "tests", "--top-level-directory", ".")
	if out, err := tests.CombinedOutput(); err != nil {
		t.Errorf("%v: %v\n%s", tests.Args, err, out)
	}
}

// A folder that the embed directive does not name would be missing in the binary only.
func TestEveryFolderIsEmbedded(t *testing.T) {
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".py") || strings.HasPrefix(path, "tests/") {
			return err
		}
		if _, err := fs.Stat(program, path); err != nil {
			t.Errorf("%s is not embedded", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Stat(program, "tests"); err == nil {
		t.Error("the unit tests are embedded")
	}
}

// What keeps a preloaded process from loading is in the error of whoever starts a server, and nobody waits.
func TestPreloadedProcessThatEnds(t *testing.T) {
	t.Parallel()
	python := filepath.Join(t.TempDir(), "python3")
	if err := os.WriteFile(python, []byte("#!/bin/sh\necho no Python module moto >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Preload(python, t.TempDir(), os.Environ(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Start(t.Context(), nil, io.Discard); err == nil || !strings.Contains(err.Error(), "no Python module moto") {
		t.Errorf("start: %v, want what the process said", err)
	}
	if err := p.Close(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("close: %v, want its exit status", err)
	}
}
