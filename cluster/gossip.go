package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// gossip tells who is there. Its word is a hint: it never changes who votes.
type gossip struct {
	cfg  *Config
	now  func() time.Time
	list *memberlist.Memberlist
	addr string // as advertised

	mu    sync.Mutex
	me    card // this queen's
	peers map[string]*sighting
}

// sighting is what was last seen of a queen.
type sighting struct {
	card  card
	addr  string
	state string    // Alive, Dead or Left
	seen  time.Time // when it was last known to be alive
	acked time.Time // its newest answer to our own probe
}

// card is a queen's gossip metadata; it stays under 512 bytes.
type card struct {
	Boot  string    `json:"b"`
	HTTP  string    `json:"u"`
	Level fsm.Level `json:"l"`
	Left  bool      `json:"x,omitempty"` // says good-bye; memberlist does not tell leaving from dying
}

func openGossip(cfg *Config, token string, log hclog.Logger) (*gossip, error) {
	g := &gossip{cfg: cfg, now: cfg.Clock, peers: map[string]*sighting{},
		me: card{Boot: cfg.Boot, HTTP: cfg.HTTPURL, Level: fsm.CurrentLevel}}
	c := memberlist.DefaultLANConfig()
	c.Name = cfg.Name
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = cfg.Timings.GossipProbe, cfg.Timings.GossipTimeout, 3
	c.GossipToTheDeadTime = time.Minute
	c.DeadNodeReclaimTime = time.Second // a queen may come back under another address
	c.SecretKey = derive(token, "gossip")
	c.GossipVerifyIncoming, c.GossipVerifyOutgoing = true, true
	c.Logger = log.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
	c.Delegate, c.Events, c.Ping = (*delegate)(g), (*events)(g), (*pings)(g)
	if err := g.addresses(c); err != nil {
		return nil, err
	}
	var err error
	if g.list, err = memberlist.Create(c); err != nil {
		return nil, listenError("gossip", cfg.GossipAddr, err)
	}
	self := g.list.LocalNode()
	g.addr = net.JoinHostPort(self.Addr.String(), strconv.Itoa(int(self.Port)))
	return g, nil
}

// addresses fills in where to listen and what to advertise; memberlist wants IP addresses.
func (g *gossip) addresses(c *memberlist.Config) error {
	host, port, err := net.SplitHostPort(g.cfg.GossipAddr)
	if err != nil {
		return err
	}
	n, err := net.LookupPort("udp", port)
	if err != nil {
		return &ConfigError{Field: "gossip-addr", Problem: fmt.Sprintf("port %q: %v", port, err)}
	}
	c.BindAddr, c.BindPort, c.AdvertisePort = "0.0.0.0", n, n
	if host != "" {
		if c.BindAddr, err = ipOf(host); err != nil {
			return &ConfigError{Field: "gossip-addr", Problem: err.Error()}
		}
	}
	if g.cfg.AdvertiseHost != "" {
		host = g.cfg.AdvertiseHost
	}
	if c.AdvertiseAddr, err = ipOf(host); err != nil {
		return &ConfigError{Field: "advertise-host", Problem: err.Error()}
	}
	return nil
}

func ipOf(host string) (string, error) {
	if net.ParseIP(host) != nil {
		return host, nil
	}
	a, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		return "", fmt.Errorf("%.100q has no address: %w", host, err)
	}
	return a.IP.String(), nil
}

// run keeps meeting the members that gossip has lost sight of: memberlist forgets the dead,
// and a healed partition would stay one.
func (g *gossip) run(ctx context.Context, members func() []string) error {
	for pause := 250 * time.Millisecond; sleep(ctx, pause); pause = min(2*pause, 3*time.Second) {
		known := g.here()
		var missing []string
		for _, a := range members() {
			if !known[a] {
				missing = append(missing, a)
			}
		}
		if len(missing) > 0 {
			_, _ = g.list.Join(missing) // logged there; tried again
		}
	}
	return nil
}

// here are the addresses of the members that gossip sees. It is kept from events, since
// memberlist's own list is written to while one reads it.
func (g *gossip) here() map[string]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := map[string]bool{}
	for _, s := range g.peers {
		if s.state == Alive {
			known[s.addr] = true
		}
	}
	return known
}

// close says good-bye, unless the end is abrupt.
func (g *gossip) close(abrupt bool) {
	if !abrupt {
		g.mu.Lock()
		g.me.Left = true
		g.mu.Unlock()
		_ = g.list.UpdateNode(200 * time.Millisecond)
		_ = g.list.Leave(300 * time.Millisecond)
	}
	_ = g.list.Shutdown()
}

// presences is who is there, in terms of cluster time, for a plan.
func (g *gossip) presences(now fsm.Time) map[string]schedule.Presence {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]schedule.Presence{g.cfg.Name: {Boot: g.cfg.Boot, LastSeen: now}}
	for id, s := range g.peers {
		p := schedule.Presence{Boot: s.card.Boot, LastSeen: now}
		if s.state != Alive {
			p.LastSeen = max(now-g.now().Sub(s.seen), 0)
		}
		out[id] = p
	}
	return out
}

// presence tells alive, suspect, dead or left; dead for one never seen.
func (g *gossip) presence(id string) string {
	if id == g.cfg.Name {
		return Alive
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s, ok := g.peers[id]
	if !ok {
		return Dead
	}
	// memberlist keeps suspicion to itself: two rounds without an answer to our own probes.
	rounds := time.Duration(2*len(g.peers)+2) * g.cfg.Timings.GossipProbe
	if s.state == Alive && g.now().Sub(s.acked) > rounds {
		return Suspect
	}
	return s.state
}

func (g *gossip) saw(n *memberlist.Node, state string) {
	if n.Name == g.cfg.Name {
		return
	}
	var c card
	_ = json.Unmarshal(n.Meta, &c) // a card of a later version is read as far as it goes
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.peers[n.Name]
	if s == nil {
		s = &sighting{}
		g.peers[n.Name] = s
	}
	if state == Dead && c.Left {
		state = Left
	}
	if s.state != Alive || s.card.Boot != c.Boot {
		s.acked = g.now()
	}
	s.card, s.addr, s.state, s.seen = c, n.Address(), state, g.now()
}

// delegate gives memberlist this queen's card. It carries no messages.
type delegate gossip

func (d *delegate) NodeMeta(limit int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := json.Marshal(d.me)
	if err != nil || len(b) > limit {
		return nil // the configuration bounds the URL, so it fits
	}
	return b
}
func (*delegate) NotifyMsg([]byte)                  {}
func (*delegate) GetBroadcasts(int, int) [][]byte   { return nil }
func (*delegate) LocalState(bool) []byte            { return nil }
func (*delegate) MergeRemoteState(_ []byte, _ bool) {}

// events hears of members.
type events gossip

func (e *events) NotifyJoin(n *memberlist.Node)   { (*gossip)(e).saw(n, Alive) }
func (e *events) NotifyUpdate(n *memberlist.Node) { (*gossip)(e).saw(n, Alive) }
func (e *events) NotifyLeave(n *memberlist.Node)  { (*gossip)(e).saw(n, Dead) }

// pings hears of answers to this queen's own probes.
type pings gossip

func (*pings) AckPayload() []byte { return nil }

func (p *pings) NotifyPingComplete(n *memberlist.Node, _ time.Duration, _ []byte) {
	g := (*gossip)(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.peers[n.Name]; s != nil {
		s.acked = g.now()
	}
}
