package cluster

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// Config is everything a queen needs. Start from Default; Validate names the field and the fix.
type Config struct {
	Name          string   // id of this queen in the cluster; never changes for a data directory
	DataDir       string   // log, votes, snapshots, identity and token live here
	Boot          string   // ULID of this start; New mints one when empty
	RaftAddr      string   // host:port to listen on for raft and for calls between queens
	GossipAddr    string   // host:port to listen on for gossip (TCP and UDP)
	HTTPURL       string   // base URL under which clients and hives reach this queen
	AdvertiseHost string   // host others dial; the listen host when empty
	Bootstrap     bool     // start a new cluster; harmless on a data directory that has one
	Join          []string // host:port or URL of any queen's HTTP; harmless once joined
	Role          fsm.Role // 0 is the data directory's, and voter for a new queen
	Token         string   // cluster token; the data directory's when empty, minted at bootstrap
	Version       string

	Autopilot bool // prove new voters before they vote, and remove dead ones
	MinVoters int  // dead ones are removed only where so many are left

	Timings  Timings
	Bounds   Bounds
	Park     time.Duration // how long after the last known leader a request waits for the next
	Limits   schedule.Limits
	Segment  int      // bytes of one preallocated file of the log; 0 is 64 MiB
	AdminKey [32]byte // SHA-256 of the first admin key, for Genesis

	// Plan is schedule.Plan. The proposer's loop calls it, one call at a time.
	Plan func(schedule.World, []schedule.Request, fsm.Time, fsm.Millis) schedule.Planned
	// Telemetry is the leader's memory of its hives; called before each plan. May be nil.
	Telemetry func() Telemetry

	Logger     hclog.Logger          // nil logs nothing
	Registerer prometheus.Registerer // nil keeps metrics to itself
	Network    Network               // nil is TCP
	Clock      func() time.Time      // monotonic; nil is time.Now
	Faults     Faults                // for tests; the zero value has none
}

// Telemetry is what a plan may know of hives beside the state. It is not changed once given.
type Telemetry struct {
	Hives     map[string]schedule.HiveTelemetry
	DrainRate float64 // jobs ended per second lately
}

// Timings are the clocks of membership. Start from LAN or WAN.
type Timings struct {
	Heartbeat     time.Duration // silence after which a follower stands for election
	Election      time.Duration // at least Heartbeat
	Lease         time.Duration // a leader without a majority for so long steps down; at most Heartbeat
	Commit        time.Duration // how late a follower learns of a lone commit
	DiskStall     time.Duration // a write that hangs so long stops the queen; 0 never does
	GossipProbe   time.Duration // between probes of one member by another
	GossipTimeout time.Duration // of one probe
	Tick          time.Duration // between plans of an idle leader, which notice silence

	Contact time.Duration // since its last word of the leader: beyond it a queen is not healthy
	Stable  time.Duration // how long a queen must be healthy before it votes, where three vote already
	Dead    time.Duration // silence after which a voter may be removed; 0 never
}

// LAN suits one site: a killed leader is replaced in under a second.
func LAN() Timings {
	return Timings{
		Heartbeat: 250 * time.Millisecond, Election: 250 * time.Millisecond, Lease: 125 * time.Millisecond,
		Commit: 5 * time.Millisecond, DiskStall: time.Second,
		GossipProbe: 200 * time.Millisecond, GossipTimeout: 100 * time.Millisecond, Tick: 250 * time.Millisecond,
		Contact: 200 * time.Millisecond, Stable: 10 * time.Second, Dead: 10 * time.Minute,
	}
}

// WAN suits slow disks and queens in several zones.
func WAN() Timings {
	return Timings{
		Heartbeat: time.Second, Election: time.Second, Lease: 500 * time.Millisecond,
		Commit: 10 * time.Millisecond, DiskStall: 10 * time.Second,
		GossipProbe: time.Second, GossipTimeout: 500 * time.Millisecond, Tick: 500 * time.Millisecond,
		Contact: 800 * time.Millisecond, Stable: 30 * time.Second, Dead: 30 * time.Minute,
	}
}

// Bounds limit what waits at a queen and at its proposer.
type Bounds struct {
	Forwarded  int           // requests of one queen on their way to the leader, or waiting for one; a quarter is kept for what frees slots
	Queue      int           // requests waiting
	Reserved   int           // of Queue, and the same part of QueueBytes, kept for what frees slots: finishes, starts, heartbeats
	QueueBytes int64         // bytes of bodies waiting
	Batch      int           // requests of one plan
	BatchBytes int           // bytes of one entry; one larger body goes alone
	EntryBytes int           // bytes no entry may exceed
	Company    time.Duration // how long a finish, start or heartbeat may wait for others
}

// DefaultBounds are those of the design pages.
func DefaultBounds() Bounds {
	return Bounds{
		Forwarded: 16384, Queue: 4096, Reserved: 1024, QueueBytes: 256 << 20,
		Batch: 1024, BatchBytes: 1 << 20, EntryBytes: 48 << 20, Company: 2 * time.Millisecond,
	}
}

// Default is a configuration that lacks only names, addresses, Plan and a way in.
func Default() Config {
	return Config{
		RaftAddr: "127.0.0.1:7832", GossipAddr: "127.0.0.1:7831",
		Autopilot: true, MinVoters: 3,
		Timings: LAN(), Bounds: DefaultBounds(), Park: 10 * time.Second, Limits: schedule.Defaults(),
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Validate checks every field against itself and the others.
func (c *Config) Validate() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	if !namePattern.MatchString(c.Name) {
		return bad("name", "%.80q is not a name: use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit", c.Name)
	}
	if c.DataDir == "" {
		return bad("data-dir", "is empty: give a directory this queen can keep its state in")
	}
	if _, err := ulid.ParseStrict(c.Boot); c.Boot != "" && err != nil {
		return bad("boot", "%.40q is not a ULID", c.Boot)
	}
	for _, a := range [][2]string{{"raft-addr", c.RaftAddr}, {"gossip-addr", c.GossipAddr}} {
		if err := c.validateAddr(a[0], a[1]); err != nil {
			return err
		}
	}
	if u, err := url.Parse(c.HTTPURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return bad("http-url", "%.120q is not a base URL: give one such as http://10.0.0.1:7833", c.HTTPURL)
	}
	if len(c.HTTPURL) > 300 {
		return bad("http-url", "has %d bytes: use at most 300", len(c.HTTPURL))
	}
	for _, a := range c.Join {
		if _, err := joinURL(a); err != nil {
			return bad("join", "%.120q: %v: give host:port or URL of any queen's HTTP", a, err)
		}
	}
	if c.Role > fsm.RoleRelay {
		return bad("role", "%d is unknown: use voter or relay", c.Role)
	}
	if c.Bootstrap && c.Role == fsm.RoleRelay {
		return bad("role", "the first queen votes: use voter with --bootstrap")
	}
	if c.Token != "" && len(c.Token) < minToken {
		return bad("token", "is shorter than %d bytes: copy the whole cluster token", minToken)
	}
	if c.Segment != 0 && (c.Segment < 64<<10 || c.Segment > 1<<30) {
		return bad("segment", "%d bytes: use 64 KiB to 1 GiB, or 0 for 64 MiB", c.Segment)
	}
	if c.Plan == nil {
		return bad("plan", "is nil: hand in schedule.Plan")
	}
	if c.MinVoters < 3 {
		return bad("autopilot-min-voters", "%d: use 3 or more, so that a death is survived", c.MinVoters)
	}
	if err := c.Timings.validate(); err != nil {
		return err
	}
	return c.Bounds.validate(c.Park)
}

func (c *Config) validateAddr(field, addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return &ConfigError{Field: field, Problem: fmt.Sprintf("%.120q: %v: give host:port", addr, err)}
	}
	if ip := net.ParseIP(host); c.AdvertiseHost == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return &ConfigError{Field: "advertise-host", Problem: fmt.Sprintf(
			"is empty while %s %s listens on every interface: give the host other queens can dial", field, addr)}
	}
	return nil
}

func (t Timings) validate() error {
	bad := func(field string, v time.Duration, fix string) error {
		return &ConfigError{Field: "timings." + field, Problem: fmt.Sprintf("%v: %s", v, fix)}
	}
	switch {
	case t.Heartbeat < 50*time.Millisecond:
		return bad("heartbeat", t.Heartbeat, "use 200ms or more")
	case t.Election < t.Heartbeat:
		return bad("election", t.Election, "use the heartbeat's or more")
	case t.Lease < 5*time.Millisecond || t.Lease > t.Heartbeat:
		return bad("lease", t.Lease, "use half the heartbeat's")
	case t.Commit < time.Millisecond || t.Commit > t.Heartbeat:
		return bad("commit", t.Commit, "use 5ms to 50ms")
	case t.DiskStall < 0 || t.DiskStall > 0 && t.DiskStall < t.Lease:
		return bad("disk-stall", t.DiskStall, "use a second or more, or 0 for never")
	case t.GossipProbe <= 0 || t.GossipTimeout <= 0 || t.GossipTimeout > t.GossipProbe:
		return bad("gossip-probe", t.GossipProbe, "use 200ms with a timeout of 100ms")
	case t.Tick < 10*time.Millisecond:
		return bad("tick", t.Tick, "use 100ms or more")
	case t.Contact < t.Heartbeat/4:
		return bad("contact", t.Contact, "use about the heartbeat's")
	case t.Stable < 0:
		return bad("stable", t.Stable, "use 10s, or 0 for at once")
	case t.Dead < 0 || t.Dead > 0 && t.Dead < 2*t.Heartbeat:
		return bad("dead", t.Dead, "use minutes, or 0 for never")
	}
	return nil
}

func (b Bounds) validate(park time.Duration) error {
	switch {
	case b.Forwarded < 4:
		return &ConfigError{Field: "bounds.forwarded", Problem: "must be 4 or more: use 16384"}
	case b.Queue < 2 || b.Reserved < 1 || b.Reserved >= b.Queue:
		return &ConfigError{Field: "bounds.queue", Problem: "needs room for clients beside the reserved share: queue > reserved > 0"}
	case b.Batch < 1 || b.BatchBytes < 1 || b.QueueBytes < 1:
		return &ConfigError{Field: "bounds.batch", Problem: "batch, batch bytes and queue bytes must be above 0"}
	case b.EntryBytes < b.BatchBytes || b.EntryBytes > 60<<20:
		return &ConfigError{Field: "bounds.entry-bytes", Problem: "must lie between the batch's bytes and 60 MiB, the most the log takes"}
	case b.Company < 0:
		return &ConfigError{Field: "bounds.company", Problem: "must not be negative"}
	case park <= 0:
		return &ConfigError{Field: "park", Problem: "must be above 0: use 10s"}
	}
	return nil
}
