package version

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	recorded := func(version, revision, modified string) *debug.BuildInfo {
		info := &debug.BuildInfo{}
		info.Main.Version = version
		info.Settings = []debug.BuildSetting{
			{Key: "GOARCH", Value: "amd64"},
			{Key: "vcs.revision", Value: revision},
			{Key: "vcs.modified", Value: modified},
		}
		return info
	}
	tests := []struct {
		name            string
		release, commit string
		info            *debug.BuildInfo
		want            string
	}{
		{"nothing known", "", "", nil, "dev (commit unknown, "},
		{"linker wins", "v1.2.3", "abc", recorded("v9.9.9", "0123456789abcdef", "true"), "v1.2.3 (commit abc, "},
		{"recorded commit is cut", "", "", recorded("(devel)", "0123456789abcdef", "false"), "dev (commit 0123456789ab, "},
		{"dirty tree shows", "", "", recorded("(devel)", "0123456789abcdef", "true"), "dev (commit 0123456789ab-dirty, "},
		{"installed by version", "", "", recorded("v1.4.0", "", ""), "v1.4.0 (commit unknown, "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := describe(tt.release, tt.commit, tt.info).String()
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want it to begin with %q", got, tt.want)
			}
			if !strings.HasSuffix(got, runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH+")") {
				t.Errorf("%q does not end with the toolchain and platform", got)
			}
		})
	}
}

func TestShortHasNoSpaces(t *testing.T) {
	if s := Short(); s == "" || strings.ContainsAny(s, " \t\n") {
		t.Errorf("Short() = %q, want one word", s)
	}
}
