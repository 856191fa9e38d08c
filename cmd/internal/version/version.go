package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Set by the linker:
//
//	-ldflags "-X queen-rbee/cmd/internal/version.release=v1.2.3 -X queen-rbee/cmd/internal/version.commit=abc"
var (
	release = ""
	commit  = ""
)

// Build is one build of the project.
type Build struct {
	Release string // v1.2.3, or "dev" when nobody named it
	Commit  string // 12 hex digits, "-dirty" behind it when the tree had changes, or "unknown"
	Go      string // toolchain, e.g. go1.26.8
	OS      string
	Arch    string
}

// Current describes the running binary.
func Current() Build {
	info, _ := debug.ReadBuildInfo()
	return describe(release, commit, info)
}

// String is one line for --version and logs: "dev (commit 0123456789ab, go1.26.8 linux/amd64)".
func String() string { return Current().String() }

// Short is what goes on the wire and into tables: "v1.2.3+0123456789ab".
func Short() string {
	b := Current()
	return b.Release + "+" + b.Commit
}

func (b Build) String() string {
	return b.Release + " (commit " + b.Commit + ", " + b.Go + " " + b.OS + "/" + b.Arch + ")"
}

// describe prefers what the linker set and falls back to the toolchain's record, which is
// absent under -buildvcs=false and in tests.
func describe(release, commit string, info *debug.BuildInfo) Build {
	b := Build{Release: release, Commit: commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info != nil {
		if b.Commit == "" {
			b.Commit = recordedCommit(info.Settings)
		}
		if b.Release == "" && strings.HasPrefix(info.Main.Version, "v") {
			b.Release = info.Main.Version
		}
	}
	if b.Release == "" {
		b.Release = "dev"
	}
	if b.Commit == "" {
		b.Commit = "unknown"
	}
	return b
}

func recordedCommit(settings []debug.BuildSetting) string {
	var revision string
	var dirty bool
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			dirty = s.Value == "true"
		}
	}
	const short = 12
	if len(revision) > short {
		revision = revision[:short]
	}
	if revision != "" && dirty {
		revision += "-dirty"
	}
	return revision
}
