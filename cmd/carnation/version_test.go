package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestReadVersion(t *testing.T) {
	vcs := func(version, revision, modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: []debug.BuildSetting{
			{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: modified},
		}}
	}
	for _, tc := range []struct {
		name string
		info *debug.BuildInfo
		want versionResult
	}{
		{"tag", vcs("v1.2.3", "0505e472", "false"), versionResult{Version: "v1.2.3", Commit: "0505e472"}},
		{"changed after the tag", vcs("v1.2.3+dirty", "0505e472", "true"), versionResult{Version: "v1.2.3+dirty", Commit: "0505e472", Modified: true}},
		{"commit without a tag", vcs("v0.0.0-20261126055235-0505e4720505", "0505e472", "false"),
			versionResult{Version: "v0.0.0-20261126055235-0505e4720505", Commit: "0505e472"}},
		{"no checkout", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, versionResult{Version: "unknown", Commit: "unknown"}},
		{"no build information", nil, versionResult{Version: "unknown", Commit: "unknown"}},
	} {
		tc.want.Go = runtime.Version()
		if got := readVersion(tc.info); got != tc.want {
			t.Errorf("%s: readVersion() = %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestVersionOfACommandBuiltOutsideOfACheckoutIsUnknown(t *testing.T) {
	got := carnation(t, nil, "version")
	if want := (result{stdout: "version  unknown\ncommit   unknown\ngo       " + runtime.Version() + "\n"}); got != want {
		t.Errorf("carnation version = %+v, want %+v", got, want)
	}
	got = carnation(t, nil, "version", "--output", "json")
	var v versionResult
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v != (versionResult{Version: "unknown", Commit: "unknown", Go: runtime.Version()}) {
		t.Errorf("carnation version --output json = %+v (%v), want the same", got, err)
	}
}

func TestMakeBuildsTheVersionOfATagIntoTheCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command in a checkout of its own")
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	checkout := t.TempDir()
	in := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = checkout
		// Without the user's configuration, which may ask to sign commits, for example.
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	// What make needs of the project to build the command.
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	in("sh", "-c", fmt.Sprintf("tar -C '%s' -cf - .gitignore go.mod go.sum Makefile cmd internal scripts | tar -xf -", root))
	in("git", "init", "--quiet")
	in("git", "add", ".")
	in("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "test")
	in("git", "tag", "v1.2.3")
	in("make", "build/carnation")
	want := "version  v1.2.3\ncommit   " + in("git", "rev-parse", "HEAD") + "\ngo       " + runtime.Version()
	if got := in("build/carnation", "version"); got != want {
		t.Errorf("carnation version =\n%s\nwant\n%s", got, want)
	}
}
