package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// What the bad networks are like.
const (
	lossPercent = 30
	slowKbit    = 256
	late        = 200 * time.Millisecond // each way
)

// pick chooses one by the step's number. Networks fail whatever the processes do, so nothing
// is claimed.
func pick[T any](s step, among []T) T { return among[s.Pick%uint64(len(among))] }

func names(ps []*rig.Process) []string {
	var all []string
	for _, p := range ps {
		all = append(all, p.Name)
	}
	return all
}

func (n *Nemesis) queens() []string   { return names(n.cfg.Cluster.Queens) }
func (n *Nemesis) hives() []string    { return names(n.cfg.Cluster.Hives) }
func (n *Nemesis) machines() []string { return append(n.queens(), n.hives()...) }

// others are the machines that are not among some.
func (n *Nemesis) others(some ...string) []string {
	return slices.DeleteFunc(n.machines(), func(m string) bool { return slices.Contains(some, m) })
}

// ways are all from some machines to others.
func ways(from, to []string) []rig.Way {
	var all []rig.Way
	for _, f := range from {
		for _, t := range to {
			all = append(all, rig.Way{From: f, To: t})
		}
	}
	return all
}

func both(a, b []string) []rig.Way { return append(ways(a, b), ways(b, a)...) }

// cut is a time without some ways.
func (n *Nemesis) cut(s step, target string, cut []rig.Way) error {
	return n.under(s, target, rig.Weather{Cut: cut})
}

// under is a time under some weather.
func (n *Nemesis) under(s step, target string, w rig.Weather) error {
	n.aim(s, target)
	clear, err := n.sky.add(w)
	if err != nil {
		return err
	}
	s.hold()
	return clear()
}

func (n *Nemesis) cutQueen(s step) error {
	followers, err := n.followers(s.ctx)
	if err != nil {
		return err
	}
	q := pick(s, followers).Name
	return n.cut(s, q, both([]string{q}, n.others(q)))
}

func (n *Nemesis) cutLeader(s step) error {
	leader, err := n.leader(s.ctx)
	if err != nil {
		return err
	}
	return n.cut(s, leader.Name, both([]string{leader.Name}, n.others(leader.Name)))
}

func (n *Nemesis) cutHive(s step) error {
	h := pick(s, n.hives())
	return n.cut(s, h, both([]string{h}, n.others(h)))
}

// cutPair cuts a queen and a hive off together: the two still reach each other.
func (n *Nemesis) cutPair(s step) error {
	q := pick(s, n.queens())
	s.Pick /= uint64(len(n.queens()))
	pair := []string{q, pick(s, n.hives())}
	return n.cut(s, strings.Join(pair, " and "), both(pair, n.others(pair...)))
}

// bridge splits the queens into two groups with one queen between that both reach, and gives
// each group its part of the hives.
func (n *Nemesis) bridge(s step) error {
	middle := pick(s, n.queens())
	var sides [2][]string
	for i, m := range n.others(middle) {
		sides[i%2] = append(sides[i%2], m)
	}
	return n.cut(s, fmt.Sprintf("%s between %v and %v", middle, sides[0], sides[1]), both(sides[0], sides[1]))
}

// deaf lets a queen speak but not hear, mute the other way round.
func (n *Nemesis) deaf(s step) error {
	q := pick(s, n.queens())
	return n.cut(s, q, ways(n.others(q), []string{q}))
}

func (n *Nemesis) mute(s step) error {
	q := pick(s, n.queens())
	return n.cut(s, q, ways([]string{q}, n.others(q)))
}

func (n *Nemesis) loss(s step) error {
	q := pick(s, n.queens())
	return n.under(s, fmt.Sprintf("%d %% of %s", lossPercent, q), rig.Weather{Loss: map[string]int{q: lossPercent}})
}

func (n *Nemesis) rate(s step) error {
	q := pick(s, n.queens())
	return n.under(s, fmt.Sprintf("%s to %d kbit/s", q, slowKbit), rig.Weather{Limit: map[string]int{q: slowKbit}})
}

// delay makes everything late that comes to a queen over raft and HTTP, and the answers too.
func (n *Nemesis) delay(s step) error {
	q := pick(s, n.queens())
	n.aim(s, fmt.Sprintf("%s by %s", q, late))
	for _, d := range n.cfg.Delays[q] {
		d.Set(late)
	}
	s.hold()
	for _, d := range n.cfg.Delays[q] {
		d.Set(0)
	}
	return nil
}
