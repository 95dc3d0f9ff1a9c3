package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
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
