package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/chaos/nemesis"
	"queen-rbee/cmd/internal/e2e/rig"
)

const (
	slots     = 4
	tokenRate = 40 // per second of each run: a stream of 100 tokens outlasts most elections
	diskMiB   = 256
	volumeMiB = 64
	// stall is how long a disk may hang that can be made to: shorter than it does, far longer
	// than the disk below it does on a busy machine.
	stall = 5 * time.Second
	// segment is small, so that a full disk is met when the log takes its next file.
	segment = 64 << 10
	keep    = 24 * time.Hour // ended jobs and their output: longer than any run
)

// stage is the cluster and what there is to break it with.
type stage struct {
	cluster *rig.Cluster
	net     *rig.Net // nil: everything is on 127.0.0.1
	delays  map[string][]*rig.Delay
	disk    *rig.Process
	diskDir string
	fragile *rig.Process
	volume  *rig.Volume
	cannot  map[nemesis.Needs]string // why something is not to be had here
}

// build starts a cluster: where this machine allows it (root on Linux) each process in a network namespace of its own, with one
// queen's data directory on a small disk and another's on one that can hang, else all on 127.0.0.1.
func build(t testing.TB, c Config) *stage {
	s := &stage{delays: map[string][]*rig.Delay{}, cannot: map[nemesis.Needs]string{}}
	o := rig.Options{
		Queens: c.Queens, Hives: c.Hives, Slots: slots, TokenRate: tokenRate,
		QueenArgs: []string{"--retain-jobs", keep.String(), "--drain-timeout", "3s", "--log-segment", fmt.Sprint(segment)},
		HiveArgs:  []string{"--retain-runs", keep.String()},
	}
	if err := rig.NetsPossible(); err != nil {
		for _, n := range []nemesis.Needs{nemesis.Network, nemesis.Proxies, nemesis.Disk, nemesis.Volume} {
			s.cannot[n] = err.Error()
		}
		s.start(t, c, o)
		return s
	}
	var machines []string
	for i := range c.Queens {
		machines = append(machines, fmt.Sprintf("queen-%d", i+1))
	}
	small, fragile := machines[c.Queens-1], machines[max(0, c.Queens-2)]
	for i := range c.Relays {
		machines = append(machines, relay(i))
	}
	for i := range c.Hives {
		machines = append(machines, fmt.Sprintf("hive-%d", i+1))
	}
	s.net = rig.NewNet(t, machines...)
	if err := s.net.Fallible(); err != nil {
		s.cannot[nemesis.Network] = err.Error()
	}
	var err error
	if s.diskDir, err = rig.Disk(t, "disk", diskMiB); err != nil {
		s.cannot[nemesis.Disk] = err.Error()
	}
	if s.volume, err = rig.NewVolume(t, "volume", volumeMiB); err == nil && fragile == small {
		err = errors.New("there is one queen, which has the small disk")
	}
	if err != nil {
		s.cannot[nemesis.Volume] = err.Error()
	}
	o.Dial = s.net.Dial
	o.Place = func(name string) (string, string) {
		if !slices.Contains(machines, name) {
			return "", "127.0.0.1"
		}
		return s.net.Namespace(name), s.net.IP(name)
	}
	o.Made = func(p *rig.Process) {
		if !strings.HasPrefix(p.Name, "hive-") {
			s.behindProxies(t, p)
		}
		if p.Name == small && s.diskDir != "" {
			s.disk = p
			p.Args = append(p.Args, "--data-dir", s.diskDir)
		}
		if p.Name == fragile && s.cannot[nemesis.Volume] == "" {
			s.fragile = p
			p.Args = append(p.Args, "--data-dir", filepath.Join(s.volume.Dir, "data"), "--disk-stall", stall.String())
		}
	}
	s.start(t, c, o)
	return s
}

func relay(i int) string { return fmt.Sprintf("relay-%d", i+1) }

// start starts the cluster, and relays beside it, which are queens to everybody here.
func (s *stage) start(t testing.TB, c Config, o rig.Options) {
	s.cluster = rig.Start(t, o)
	for i := range c.Relays {
		q := s.cluster.Queen(t, relay(i), "--role", "relay", "--join", s.cluster.Queens[0].URL)
		if o.Made != nil {
			o.Made(q)
		}
		if err := q.Launch(); err != nil {
			t.Fatal(err)
		}
		s.cluster.AwaitLeader(t, q)
		s.cluster.Queens = append(s.cluster.Queens, q)
	}
}

// behindProxies moves a queen's raft and HTTP to loopback of its machine and puts proxies
// that can delay on the addresses that others know. The last of a repeated flag counts.
func (s *stage) behindProxies(t testing.TB, q *rig.Process) {
	for _, flag := range []string{"--raft-addr", "--http-addr"} {
		addr := q.Args[slices.Index(q.Args, flag)+1]
		inner := "127.0.0.1" + addr[strings.LastIndex(addr, ":"):]
		l, err := s.net.ListenAs(t.Context(), q.Name, addr)
		if err != nil {
			t.Fatal(err)
		}
		s.delays[q.Name] = append(s.delays[q.Name], rig.NewDelay(t, l, func(ctx context.Context) (net.Conn, error) {
			return s.net.DialAs(ctx, q.Name, "tcp", inner)
		}))
		q.Args = append(q.Args, flag, inner)
	}
	q.Args = append(q.Args, "--advertise-host", s.net.IP(q.Name))
}

// possible leaves out the kinds that this machine cannot do.
func (s *stage) possible(kinds []nemesis.Kind) (can []nemesis.Kind, cannot map[nemesis.Kind]string) {
	cannot = map[nemesis.Kind]string{}
	for _, k := range kinds {
		if why, no := s.cannot[nemesis.Needed(k)]; no {
			cannot[k] = why
			continue
		}
		can = append(can, k)
	}
	return can, cannot
}
