package scripts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const project = "../.."

// checkout copies what make needs to build into a folder of its own.
func checkout(t *testing.T) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds in a checkout of its own, and this is go test -short")
	}
	from, err := filepath.Abs(project)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	in(t, dir)("sh", "-c", fmt.Sprintf("tar -C '%s' -cf - .gitignore go.mod go.sum Makefile cmd internal scripts | tar -xf -", from))
	return dir
}

// in returns a function that runs a command in a folder, with more in its environment, and returns what it printed.
func in(t *testing.T, dir string, more ...string) func(name string, args ...string) string {
	environment := slices.DeleteFunc(os.Environ(), func(entry string) bool { // of make test
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "AWS_ENDPOINT_URL"}, name)
	})
	return func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(environment, more...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

func TestPackageGivesTheSameBytesAnywhere(t *testing.T) {
	t.Parallel()
	const forHere = "AWS_ENDPOINT_URL=http://127.0.0.1"
	dir := checkout(t)
	in(t, project, forHere)("make", "package")
	// A shell's settings for Go or for files do not change them either.
	run := in(t, dir, forHere, "GOOS=plan9", "GOARCH=mips", "CGO_ENABLED=1", "GOAMD64=v3", "GOARM64=v9.0", "GOEXPERIMENT=nogreenteagc", "GOFIPS140=latest",
		"GOWORK=/none", "GO111MODULE=off", "GOFLAGS=-p=2 -tags=other -ldflags=-X=main.other=1", "TZ=Asia/Tokyo", "LC_ALL=C")
	run("make", "package", "build/carnation")
	run("build/carnation", "version")
	zips, err := filepath.Glob(dir + "/build/*/*.zip")
	if err != nil || len(zips) != 3 {
		t.Fatalf("zips are %v (%v), want three", zips, err)
	}
	for _, zip := range zips {
		a, err1 := os.ReadFile(zip)
		b, err2 := os.ReadFile(filepath.Join(project, strings.TrimPrefix(zip, dir)))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same in two folders", filepath.Base(zip))
		}
	}
}

func TestMakeBuildsTheVersionOfATagIntoTheCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	// Without the user's configuration, which may ask to sign commits, for example.
	run := in(t, checkout(t), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	run("git", "init", "--quiet")
	run("git", "add", ".")
	run("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "test")
	run("git", "tag", "v1.2.3")
	run("make", "build/carnation")
	want := "version  v1.2.3\ncommit   " + run("git", "rev-parse", "HEAD") + "\ngo       " + runtime.Version()
	if got := run("build/carnation", "version"); got != want {
		t.Errorf("carnation version =\n%s\nwant\n%s", got, want)
	}
}
