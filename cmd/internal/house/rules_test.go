package house

import (
	"strings"
	"testing"
)

// Every rule is shown a file that breaks it and one that only looks as if it did.
func TestTheRulesBite(t *testing.T) {
	tests := []struct {
		rule, dir, name, text string
		broken                bool
	}{
		{"imports run one way", "fsm", "a.go", `package fsm; import _ "queen-rbee/schedule"`, true},
		{"imports run one way", "schedule", "a.go", `package schedule; import _ "queen-rbee/fsm"`, false},
		{"imports run one way", "schedule/sim", "a.go", `package sim; import _ "queen-rbee/schedule"`, false},
		{"imports run one way", "cluster", "a.go", `package cluster; import _ "queen-rbee/httpapi"`, true},
		{"imports run one way", "hives/agent", "a.go", `package agent; import _ "queen-rbee/fsm"`, true},
		{"imports run one way", "hives/agent", "a.go", `package agent; import _ "queen-rbee/hives/runlog"`, false},
		{"imports run one way", "hives/runlog", "a.go", `package runlog; import _ "queen-rbee/hives/agent"`, true},
		{"imports run one way", "hives/fleet", "a.go", `package fleet; import _ "queen-rbee/cluster"`, true},
		{"imports run one way", "httpapi", "a.go", `package httpapi; import _ "queen-rbee/cmd/rbee-keeper"`, true},
		{"imports run one way", "httpapi", "a_test.go", `package httpapi; import _ "queen-rbee/hives/agent"`, false},
		{"imports run one way", "cmd/queen-rbee", "a.go", `package main; import _ "queen-rbee/httpapi"`, false},
		{"imports run one way", "extras", "a.go", `package extras`, true},
		{"fsm and schedule are pure", "fsm", "a.go", `package fsm; import "time"; var x = time.Now()`, true},
		{"fsm and schedule are pure", "fsm", "a.go", `package fsm; import clock "time"; var x = clock.Since`, true},
		{"fsm and schedule are pure", "fsm", "a.go", `package fsm; import "time"; var x time.Duration = time.Second`, false},
		{"fsm and schedule are pure", "fsm", "a_test.go", `package fsm; import "os"; var x = os.Args`, false},
		{"fsm and schedule are pure", "schedule", "a.go", `package schedule; import _ "math/rand/v2"`, true},
		{"fsm and schedule are pure", "schedule", "a.go", `package schedule; import _ "net/http"`, true},
		{"fsm and schedule are pure", "schedule", "a.go", `package schedule; func f() { go f() }`, true},
		{"fsm and schedule are pure", "schedule", "a.go", `package schedule; import "github.com/oklog/ulid/v2"; var x = ulid.Make()`, true},
		{"fsm and schedule are pure", "cluster", "a.go", `package cluster; import "time"; var x = time.Now()`, false},
		{"fsm and schedule are pure", "httpapi/translate", "a.go", `package translate; import _ "net/http"`, true},
		{"nothing sleeps", "cluster", "a_test.go", `package cluster; import "time"; func f() { time.Sleep(1) }`, true},
		{"nothing sleeps", "cluster", "a.go", `package cluster; import z "time"; var f = z.Sleep`, true},
		{"nothing sleeps", "cluster", "a.go", `package cluster; import . "time"; func f() { Sleep(1) }`, true},
		{"nothing sleeps", "cluster", "a.go", `package cluster; type t struct{}; func (t) Sleep() {}; var time t; func f() { time.Sleep() }`, false},
		{"names say what a thing is", "cluster", "a.go", `package cluster; type LeaseManager struct{}`, true},
		{"names say what a thing is", "cluster", "a.go", `package cluster; type managed struct{}`, false},
		{"names say what a thing is", "cluster/netutil", "a.go", `package netutil`, true},
		{"names say what a thing is", "cluster/helpers", "a.go", `package helpers`, true},
		{"a file is one idea", "cluster", "a.go", "package cluster\n" + strings.Repeat("// x\n", maxLines), true},
		{"a file is one idea", "cluster", "a_test.go", "package cluster\n" + strings.Repeat("// x\n", maxLines), false},
		{"every package says what it is", "cluster", "a.go", "package cluster", true},
		{"every package says what it is", "cluster", "a.go", "// Package cluster is a queen.\npackage cluster", false},
		{"only cmd ends the process", "cluster", "a.go", `package cluster; import "log"; func f() { log.Fatal() }`, true},
		{"errors are not told by their text", "cluster", "a.go", `package cluster; func f(e error) bool { return e.Error() == "x" }`, true},
		{"errors are not told by their text", "cluster", "a.go", `package cluster; func f(e error) bool { return e == nil }`, false},
	}
	tried := map[string]bool{}
	for _, tt := range tests {
		tried[tt.rule] = true
		s, err := parse(tt.dir, tt.name, []byte(tt.text))
		if err != nil {
			t.Fatalf("%s: %v", tt.text, err)
		}
		if got := rules[tt.rule]([]source{s}); (len(got) > 0) != tt.broken {
			t.Errorf("%s, %s/%s %q: found %q, want broken %v", tt.rule, tt.dir, tt.name, tt.text, got, tt.broken)
		}
	}
	for name := range rules {
		if !tried[name] {
			t.Errorf("no case for the rule %q", name)
		}
	}
}
