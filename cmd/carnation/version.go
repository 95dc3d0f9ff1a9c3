package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

const versionExamples = `  carnation version
  carnation version --output json
`

// unknown is the version and the commit of a command that was built outside of a git checkout.
const unknown = "unknown"

// versionResult is what --output json prints.
type versionResult struct {
	// Version is the tag of the commit. A commit without a tag has a pseudo-version, as for Go modules.
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"` // whether files differed from the commit
	Go       string `json:"go"`
}

func setupVersion(flags *flag.FlagSet) action {
	output := outputFlag(flags)
	return func(_ context.Context, stdout, _ io.Writer) error {
		info, _ := debug.ReadBuildInfo()
		v := readVersion(info)
		if output.value == "json" {
			return printJSON(stdout, v)
		}
		changed := ""
		if v.Modified {
			changed = ", with uncommitted changes"
		}
		_, err := fmt.Fprintf(stdout, "version  %s\ncommit   %s%s\ngo       %s\n", v.Version, v.Commit, changed, v.Go)
		return err
	}
}

// readVersion reads the build information of a program, which may be nil.
func readVersion(info *debug.BuildInfo) versionResult {
	v := versionResult{Version: unknown, Commit: unknown, Go: runtime.Version()}
	if info == nil {
		return v
	}
	if version := info.Main.Version; version != "" && version != "(devel)" {
		v.Version = version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}
