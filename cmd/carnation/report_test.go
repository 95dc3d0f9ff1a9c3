package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAReportReplacesItsFileWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run.html")
	read := func(path string) string {
		t.Helper()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	for _, content := range []string{"first", "second"} {
		if err := replaceFile(path, []byte(content), false); err != nil || read(path) != content {
			t.Errorf("the file has %q, %v, want %q", read(path), err, content)
		}
	}
	// Payloads are nobody else's business, also in a file that others could read.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path, []byte("payloads"), true); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || read(path) != "payloads" {
		t.Errorf("a file with payloads is %v, %v, want it readable by its owner only", info, err)
	}
	// A link stays a link.
	link := filepath.Join(dir, "link.html")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("linked"), false); err != nil || read(path) != "linked" {
		t.Errorf("the linked file has %q, %v, want linked", read(path), err)
	}
	if err := replaceFile(os.DevNull, []byte("nothing"), false); err != nil {
		t.Errorf("%s: %v", os.DevNull, err)
	}
	if err := replaceFile(dir, nil, false); err == nil || !strings.Contains(err.Error(), "must be a file") {
		t.Errorf("a folder: %v", err)
	}
	if err := replaceFile(filepath.Join(dir, "missing", "run.html"), nil, false); err == nil {
		t.Error("a file in a missing folder was written")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("the folder has %v, %v, want the file and its link", files, err)
	}
}

func TestFileNamesAndAddressesOfReports(t *testing.T) {
	if got, want := fileName("a/b:c d-1_2.3"), "a_b_c_d-1_2.3"; got != want {
		t.Errorf("fileName() = %s, want %s", got, want)
	}
	if got, want := fileURL("/tmp/a b#.html"), "file:///tmp/a%20b%23.html"; got != want {
		t.Errorf("fileURL() = %s, want %s", got, want)
	}
}
