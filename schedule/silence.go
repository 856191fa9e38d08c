package schedule

import "queen-rbee/fsm"

// Mass silence: when so many hives are overdue together, the leader suspects itself.
const (
	massSilence = 3             // hives at least
	recheck     = fsm.Time(1e9) // while suspecting, or waiting for memory: look again after a second
)

// silent are the online hives that count as lost now. A hive is overdue when nothing was
// heard of it for HiveTimeout, counted from the start of this leadership at the earliest.
//
// When at least three hives and more than a third of those online are overdue, they are
// spared until a majority of the online hives has been heard after the last of them fell
// overdue: that proves that this leader hears, and the silence is theirs. Each plan judges
// anew, from what is overdue then. A hive that an operator drains or stops, or that has
// said it leaves, is not spared: it is known what to think of its silence.
func (p *planner) silent() []*fsm.Hive {
	var overdue, given []*fsm.Hive
	online, lastDue := 0, fsm.Time(0)
	for h := range p.current(p.view.Hives()) {
		if h.Status != fsm.HiveOnline {
			continue
		}
		online++
		if p.heard[h.ID] {
			continue
		}
		due := max(p.world.Hives[h.ID].LastBeat, p.world.LeaderSince) + p.lim.HiveTimeout
		switch {
		case p.now <= due:
			p.wake(due + 1)
		case h.Desired != fsm.HiveRun || h.Leaving:
			given = append(given, h)
		default:
			overdue = append(overdue, h)
			lastDue = max(lastDue, due)
		}
	}
	if len(overdue) >= massSilence && 3*len(overdue) > online && !p.hears(online, lastDue) {
		p.wake(p.now + recheck)
		return given
	}
	return append(given, overdue...)
}

// hears tells whether more than half of the online hives were heard after since.
func (p *planner) hears(online int, since fsm.Time) bool {
	heard := 0
	for h := range p.current(p.view.Hives()) {
		if h.Status == fsm.HiveOnline && (p.heard[h.ID] || p.world.Hives[h.ID].LastBeat > since) {
			heard++
		}
	}
	return 2*heard > online
}
