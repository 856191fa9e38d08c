package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/internal/version"
	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/hives/fleet"
	"queen-rbee/httpapi"
	"queen-rbee/schedule"
)

// Serve is a queen from its flags to its end; main and tests drive the same.
type Serve struct {
	cfg        cluster.Config
	httpAddr   string
	apiKeyFile string
	logLevel   string
	heartbeat  time.Duration
	drain      time.Duration
	timings    string
	role       string
	api        httpapi.Config // its bounds

	log      hclog.Logger
	listener net.Listener
}

func serveCommand() *cobra.Command {
	s := &Serve{cfg: cluster.Default()}
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a queen", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src, err := settings.Load(cmd.Flags(), nil)
			if err != nil {
				return err
			}
			if err := s.Validate(src); err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	s.Flags(cmd.Flags())
	return cmd
}

// Flags declares everything that can be said.
func (s *Serve) Flags(f *pflag.FlagSet) {
	c, l := &s.cfg, &s.cfg.Limits
	f.StringVar(&c.Name, "name", "", "name of this queen in its cluster; never changes for a data directory")
	f.StringVar(&c.DataDir, "data-dir", "", "directory for the log, snapshots, identity and keys")
	f.StringVar(&s.httpAddr, "http-addr", "127.0.0.1:7833", "where clients and hives connect")
	f.IntVar(&c.Segment, "log-segment", 0, "bytes of one preallocated file of the raft log, fewer for a small disk (default 64 MiB)")
	f.StringVar(&c.RaftAddr, "raft-addr", c.RaftAddr, "where other queens connect")
	f.StringVar(&c.GossipAddr, "gossip-addr", c.GossipAddr, "where other queens gossip (TCP and UDP)")
	f.StringVar(&c.AdvertiseHost, "advertise-host", "", "host under which queens, clients and hives reach this one (default: the listening host)")
	f.BoolVar(&c.Bootstrap, "bootstrap", false, "start a new cluster with this queen")
	f.StringSliceVar(&c.Join, "join", nil, "HTTP address of any queen of the cluster to join (repeatable)")
	f.StringVar(&s.role, "role", "", "voter, or relay: serves clients, never votes (default: the data directory's; voter for a new queen)")
	f.StringVar(&c.Token, "token", "", "cluster token (default: the data directory's; minted at --bootstrap)")
	f.StringVar(&s.apiKeyFile, "api-key-file", "", "file with the first admin key (default: minted into DATA/admin.key at --bootstrap)")
	f.StringVar(&s.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	f.StringVar(&s.timings, "timings", "lan", "preset of raft's, gossip's and autopilot's clocks: lan or wan")
	f.DurationVar(&c.Timings.Heartbeat, "raft-heartbeat", 0, "silence after which a follower stands for election (default: the preset's)")
	f.DurationVar(&c.Timings.Election, "raft-election", 0, "election timeout (default: the preset's)")
	f.DurationVar(&c.Timings.Lease, "raft-lease", 0, "a leader without a majority for so long steps down (default: the preset's)")
	f.DurationVar(&c.Timings.Commit, "raft-commit", 0, "how late a follower learns of a lone commit (default: the preset's)")
	f.DurationVar(&c.Timings.DiskStall, "disk-stall", 0, "a disk that hangs for so long stops this queen, 0 never (default: the preset's)")
	f.DurationVar(&c.Timings.GossipProbe, "gossip-probe", 0, "how often gossip probes another queen (default: the preset's)")
	f.DurationVar(&c.Timings.GossipTimeout, "gossip-timeout", 0, "how long a probe waits for its answer (default: the preset's)")
	f.BoolVar(&c.Autopilot, "autopilot", c.Autopilot, "prove new voters before they vote, and remove voters that are dead for long")
	f.IntVar(&c.MinVoters, "autopilot-min-voters", c.MinVoters, "dead voters are removed only where so many are left")
	f.DurationVar(&c.Timings.Contact, "autopilot-contact", 0, "a queen that has not heard of the leader for so long is not healthy (default: the preset's)")
	f.DurationVar(&c.Timings.Stable, "autopilot-stable", 0, "how long a new queen must be healthy before it votes, where three vote already (default: the preset's)")
	f.DurationVar(&c.Timings.Dead, "autopilot-dead", 0, "silence after which a voter may be removed, 0 never (default: the preset's)")
	f.DurationVar(&c.Park, "park", c.Park, "how long after the last known leader requests wait for the next")
	f.DurationVar(&s.heartbeat, "hive-heartbeat", time.Second, "how often hives report")
	f.DurationVar(&l.HiveTimeout, "hive-timeout", l.HiveTimeout, "silence after which a hive is offline")
	f.DurationVar(&l.Grace, "grace", l.Grace, "how long an attached job waits for its client to come back")
	f.DurationVar(&l.Retain, "retain-jobs", l.Retain, "how long ended jobs are kept, at least 10m")
	f.IntVar(&l.QueuedJobs, "max-queued", l.QueuedJobs, "jobs that may wait")
	f.IntVar(&s.api.BodyLimit, "max-body", 8<<20, "bytes of one request's body, at most 32 MiB")
	f.Int64Var(&s.api.MaxBodies, "max-bodies", 512<<20, "bytes of clients' bodies being read and submitted at once")
	f.IntVar(&s.api.MaxStreams, "max-streams", 20_000, "streams open at once; never more than the open files allow")
	f.IntVar(&s.api.MaxConns, "max-connections", 28_192, "HTTP connections open at once; never more than half of the open files")
	f.DurationVar(&s.drain, "drain-timeout", 10*time.Second, "how long open requests may go on after SIGTERM")
	settings.ConfigFlag(f)
}

// Validate checks and completes what was said, and opens the HTTP port.
func (s *Serve) Validate(src settings.Sources) error {
	c := &s.cfg
	level := hclog.LevelFromString(s.logLevel)
	if level == hclog.NoLevel {
		return src.Errorf("log-level", "%q must be trace, debug, info, warn or error", s.logLevel)
	}
	s.log = hclog.New(&hclog.LoggerOptions{Name: "queen", Level: level, Output: os.Stderr})
	role, ok := map[string]fsm.Role{"": 0, "voter": fsm.RoleVoter, "relay": fsm.RoleRelay}[s.role]
	if !ok {
		return src.Errorf("role", "%q must be voter or relay", s.role)
	}
	c.Role = role
	if s.heartbeat < 50*time.Millisecond || s.heartbeat > c.Limits.HiveTimeout/2 {
		return src.Errorf("hive-heartbeat", "%s must be 50ms or more, and at most half of --hive-timeout (%s)", s.heartbeat, c.Limits.HiveTimeout)
	}
	if c.Limits.Retain < c.Limits.RetainMin {
		return src.Errorf("retain-jobs", "%s must be %s or more", c.Limits.Retain, c.Limits.RetainMin)
	}
	if err := s.bounds(src); err != nil {
		return err
	}
	if err := s.presets(src); err != nil {
		return err
	}
	l, err := httpapi.Listen(s.httpAddr)
	if err != nil {
		return err
	}
	s.listener = l
	if c.HTTPURL, err = advertised(l.Addr(), c.AdvertiseHost); err != nil {
		return errors.Join(src.Errorf("advertise-host", "%v", err), l.Close())
	}
	c.Boot, c.Version, c.Logger, c.Plan = ulid.Make().String(), version.String(), s.log, schedule.Plan
	if err := c.Validate(); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// bounds checks those that clients meet.
func (s *Serve) bounds(src settings.Sources) error {
	a := &s.api
	switch {
	case a.BodyLimit < 1<<10 || a.BodyLimit > 32<<20:
		return src.Errorf("max-body", "%d must be 1024 to 33554432 bytes", a.BodyLimit)
	case a.MaxBodies < int64(a.BodyLimit)*2:
		return src.Errorf("max-bodies", "%d must have room for two of --max-body (%d)", a.MaxBodies, a.BodyLimit)
	case a.MaxStreams < 1:
		return src.Errorf("max-streams", "%d must be 1 or more", a.MaxStreams)
	case a.MaxConns < 2:
		return src.Errorf("max-connections", "%d must be 2 or more", a.MaxConns)
	}
	return nil
}

// presets fills the timings that were not given one by one.
func (s *Serve) presets(src settings.Sources) error {
	given := s.cfg.Timings
	switch s.timings {
	case "lan":
		s.cfg.Timings = cluster.LAN()
	case "wan":
		s.cfg.Timings = cluster.WAN()
	default:
		return src.Errorf("timings", "%q must be lan or wan", s.timings)
	}
	t := &s.cfg.Timings
	for _, f := range []struct {
		name     string
		to, from *time.Duration
	}{
		{"raft-heartbeat", &t.Heartbeat, &given.Heartbeat},
		{"raft-election", &t.Election, &given.Election},
		{"raft-lease", &t.Lease, &given.Lease},
		{"raft-commit", &t.Commit, &given.Commit},
		{"disk-stall", &t.DiskStall, &given.DiskStall},
		{"gossip-probe", &t.GossipProbe, &given.GossipProbe},
		{"gossip-timeout", &t.GossipTimeout, &given.GossipTimeout},
		{"autopilot-contact", &t.Contact, &given.Contact},
		{"autopilot-stable", &t.Stable, &given.Stable},
		{"autopilot-dead", &t.Dead, &given.Dead},
	} {
		if src.Given(f.name) {
			*f.to = *f.from
		}
	}
	return nil
}

// advertised is the base URL of a listener.
func advertised(addr net.Addr, host string) (string, error) {
	listen, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "", err
	}
	if host == "" {
		host = listen
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return "", errors.New("is empty while --http-addr listens on every interface: give the host that others can reach")
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// Run serves until ctx ends, then leaves in order: streams first, leadership next, the
// state last.
func (s *Serve) Run(ctx context.Context) error {
	key, err := s.adminKey()
	if err != nil {
		return errors.Join(err, s.listener.Close())
	}
	s.cfg.AdminKey = key
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.cfg.Registerer = reg
	var fl *fleet.Fleet
	s.cfg.Telemetry = func() cluster.Telemetry {
		hives, rate := fl.Telemetry()
		return cluster.Telemetry{Hives: hives, DrainRate: rate}
	}
	queen, err := cluster.New(s.cfg)
	if err != nil {
		return errors.Join(err, s.listener.Close())
	}
	member := member{queen}
	fl = fleet.New(member, s.heartbeat)
	client := hives.NewClient(queen.HiveToken, nil)
	defer client.Close()
	queen.Lead(cluster.Duty{Name: "inspect", Run: func(ctx context.Context) error { return fl.Inspect(ctx, client) }})
	s.api.Queen, s.api.Fleet, s.api.Hives, s.api.Name, s.api.Boot = member, fl, client, s.cfg.Name, s.cfg.Boot
	s.api.Version, s.api.Limits, s.api.Logger, s.api.Registry = s.cfg.Version, s.cfg.Limits, s.log, reg
	api := httpapi.New(s.api)
	s.log.Info("serving", "http", s.cfg.HTTPURL, "name", s.cfg.Name, "version", s.cfg.Version)

	// The API goes first, so that its streams break off while the cluster still stands; the
	// member's context ends when the API is done, or at once when the member itself fails.
	up, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stay, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var group errgroup.Group
	group.Go(func() error {
		err := queen.Run(stay)
		fail(err) // a queen that fails must not go on leading while its streams drain
		return err
	})
	group.Go(func() error {
		defer leave()
		return api.Serve(up, s.listener, s.drain)
	})
	return group.Wait()
}

// member fits a queen to the rooms that only read watches.
type member struct{ *cluster.Queen }

// Watch implements fleet.Queen.
func (m member) Watch(rows ...fsm.Row) fleet.Watch { return m.Queen.Watch(rows...) }

// adminKey reads the first admin key's hash, minting the key where none is. The file is
// whole on disk before the hash can be committed.
func (s *Serve) adminKey() (hash [32]byte, err error) {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return hash, fmt.Errorf("data-dir: %w: give a directory this user may write to", err)
	}
	path := s.apiKeyFile
	if path == "" {
		path = filepath.Join(s.cfg.DataDir, "admin.key")
	}
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		key := strings.TrimSpace(string(data))
		if len(key) < 16 || len(key) > 512 {
			return hash, fsm.Errorf(fsm.CodeInvalid, "api-key-file: %s holds a key of %d bytes; 16 to 512 are needed", path, len(key))
		}
		return sha256.Sum256([]byte(key)), nil
	case !errors.Is(err, os.ErrNotExist) || s.apiKeyFile != "":
		return hash, fsm.Errorf(fsm.CodeInvalid, "api-key-file: %v", err)
	case !s.cfg.Bootstrap:
		return hash, nil
	}
	return mintKey(path)
}

func mintKey(path string) (hash [32]byte, err error) {
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return hash, err
	}
	key := "rbee-key-" + hex.EncodeToString(secret)
	if err := writeWhole(path, key+"\n"); err != nil {
		return hash, fmt.Errorf("admin key: %w", err)
	}
	return sha256.Sum256([]byte(key)), nil
}

// writeWhole makes a file that is there whole, or not at all, whenever the machine stops.
func writeWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
