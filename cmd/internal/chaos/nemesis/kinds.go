package nemesis

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind names a fault, as the flag -faults and the report do.
type Kind string

// Needs is what a kind needs of the machine beside processes.
type Needs string

// What kinds may need.
const (
	Processes Needs = ""        // nothing
	Network   Needs = "network" // namespaces, nft, tc: root on Linux
	Proxies   Needs = "proxies" // namespaces alone: root on Linux
	Disk      Needs = "disk"    // a tmpfs: root on Linux
	Volume    Needs = "volume"  // a loop device and mkfs.ext4: root on Linux
)

// kind is what planning knows of a fault.
type kind struct {
	name     Kind
	needs    Needs
	from, to time.Duration // how long it holds
	alone    bool          // never at the same time as another
	do       func(*Nemesis, step) error
}

// kinds in the order of the report. Those that outlast the hives' timeout of 3 s and the
// election do so on some draws only: both sides of each limit are to be met.
var kinds = []kind{
	{"kill-follower", Processes, time.Second, 4 * time.Second, false, (*Nemesis).killFollower},
	{"kill-leader", Processes, time.Second, 4 * time.Second, false, (*Nemesis).killLeader},
	{"kill-queens", Processes, time.Second, 3 * time.Second, true, (*Nemesis).killQueens},
	{"stop-queen", Processes, 2 * time.Second, 6 * time.Second, false, (*Nemesis).stopQueen},
	{"stop-leader", Processes, 2 * time.Second, 6 * time.Second, false, (*Nemesis).stopLeader},
	{"restart", Processes, 0, time.Second, true, (*Nemesis).restart},
	{"kill-hive", Processes, time.Second, 6 * time.Second, false, (*Nemesis).killHive},
	{"kill-agent", Processes, 100 * time.Millisecond, 4 * time.Second, false, (*Nemesis).killAgent},
	{"stop-agent", Processes, time.Second, 6 * time.Second, false, (*Nemesis).stopAgent},
	{"kill-worker", Processes, 100 * time.Millisecond, time.Second, false, (*Nemesis).killWorker},
	{"cut-queen", Network, time.Second, 6 * time.Second, false, (*Nemesis).cutQueen},
	{"cut-leader", Network, time.Second, 6 * time.Second, false, (*Nemesis).cutLeader},
	{"cut-hive", Network, time.Second, 6 * time.Second, false, (*Nemesis).cutHive},
	{"cut-pair", Network, 2 * time.Second, 8 * time.Second, false, (*Nemesis).cutPair},
	{"bridge", Network, 2 * time.Second, 6 * time.Second, false, (*Nemesis).bridge},
	{"deaf", Network, time.Second, 6 * time.Second, false, (*Nemesis).deaf},
	{"mute", Network, time.Second, 6 * time.Second, false, (*Nemesis).mute},
	{"loss", Network, 2 * time.Second, 6 * time.Second, false, (*Nemesis).loss},
	{"rate", Network, 2 * time.Second, 6 * time.Second, false, (*Nemesis).rate},
	{"delay", Proxies, 2 * time.Second, 6 * time.Second, false, (*Nemesis).delay},
	{"disk", Disk, 4 * time.Second, 12 * time.Second, false, (*Nemesis).disk},
	{"hang-disk", Volume, 7 * time.Second, 12 * time.Second, false, (*Nemesis).hangDisk},
	{"slow-disk", Volume, 3 * time.Second, 8 * time.Second, false, (*Nemesis).slowDisk},
}

// Kinds are all there are.
func Kinds() []Kind {
	var names []Kind
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Needed is what a kind needs.
func Needed(name Kind) Needs { return find(name).needs }

func find(name Kind) kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		panic(fmt.Sprintf("%q is no kind of fault", name)) // Parse lets none through
	}
	return kinds[i]
}

// Parse reads a comma list of kinds; "all" is each, "none" is no fault at all.
func Parse(list string) ([]Kind, error) {
	switch list {
	case "all":
		return Kinds(), nil
	case "none":
		return nil, nil
	}
	var chosen []Kind
	for name := range strings.SplitSeq(list, ",") {
		k := Kind(strings.TrimSpace(name))
		switch {
		case !slices.Contains(Kinds(), k):
			return nil, fmt.Errorf("%q is no kind of fault: want all, none, or a comma list of %v", name, Kinds())
		case slices.Contains(chosen, k):
			return nil, fmt.Errorf("%q is named twice", name)
		}
		chosen = append(chosen, k)
	}
	return chosen, nil
}
