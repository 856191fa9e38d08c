package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/settings"
	"queen-rbee/fsm"
)

// said is a queen as a command line makes it.
func said(t *testing.T, args ...string) cluster.Config {
	t.Helper()
	s := &Serve{cfg: cluster.Default()}
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.Flags(f)
	args = append([]string{"--name", "q", "--data-dir", t.TempDir(), "--http-addr", "127.0.0.1:0"}, args...)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	src, err := settings.Load(f, nil)
	if err == nil {
		err = s.Validate(src)
	}
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	if err := s.listener.Close(); err != nil {
		t.Fatal(err)
	}
	return s.cfg
}

func TestPresetsAndWhatOverridesThem(t *testing.T) {
	if c := said(t); c.Timings != cluster.LAN() || !c.Autopilot || c.MinVoters != 3 || c.Role != 0 {
		t.Errorf("by default it is %+v, autopilot %v with %d voters, role %v", c.Timings, c.Autopilot, c.MinVoters, c.Role)
	}
	if c := said(t, "--timings", "wan"); c.Timings != cluster.WAN() {
		t.Errorf("wan is %+v", c.Timings)
	}
	t.Setenv("RBEE_AUTOPILOT_DEAD", "0s")
	t.Setenv("RBEE_ROLE", "relay")
	want := cluster.WAN()
	want.Heartbeat, want.Stable, want.Dead, want.Contact = 2*time.Second, time.Minute, 0, time.Second
	want.Election = 2 * time.Second
	c := said(t, "--timings", "wan", "--raft-heartbeat", "2s", "--raft-election", "2s", "--autopilot-stable", "1m", "--autopilot-contact", "1s", "--autopilot=false", "--autopilot-min-voters", "5")
	if c.Timings != want || c.Autopilot || c.MinVoters != 5 || c.Role != fsm.RoleRelay {
		t.Errorf("it is %+v, autopilot %v with %d voters, role %v; want %+v", c.Timings, c.Autopilot, c.MinVoters, c.Role, want)
	}
}
