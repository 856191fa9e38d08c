package rig

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Lacks skips a test that this machine cannot run, unless RBEE_REQUIRE names what it lacks.
func Lacks(t testing.TB, what, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("RBEE_REQUIRE"), ","), what) {
		t.Fatalf("RBEE_REQUIRE names %s, but: %s", what, why)
	}
	t.Skip(why)
}

// Tool is the path of a program that this machine may have. Where it has not, the test is
// skipped, unless RBEE_REQUIRE names what it belongs to.
func Tool(t testing.TB, what, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, what, err.Error())
	}
	return path
}
