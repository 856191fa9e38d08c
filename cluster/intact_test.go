package cluster

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// disk is a member's storage with a log from 1 to last and snapshots at the given indexes;
// then the log is cut to begin at first.
func disk(t *testing.T, first, last uint64, snaps ...uint64) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	s, err := openStorage(dir, false, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for i := uint64(1); i <= last; i++ {
		if err := s.logs.StoreLog(&raft.Log{Index: i, Term: 1, Data: make([]byte, 4<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range snaps {
		_, trans := raft.NewInmemTransport("a:1")
		sink, err := s.snapshots.Create(1, i, 1, raft.Configuration{}, 1, trans)
		if err == nil {
			err = fsm.Snapshot(fsm.New().View(), sink)
		}
		if err == nil {
			err = sink.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sink.ID())
	}
	if first > 1 {
		if err := s.logs.DeleteRange(1, first-1); err != nil {
			t.Fatal(err)
		}
	}
	return dir, ids
}

func TestDamagedSnapshots(t *testing.T) {
	for name, tc := range map[string]struct {
		first, last uint64
		damage      []int // of the snapshots at 10 and 50
		file        string
		want        string // empty: it starts
	}{
		"none":                               {40, 60, nil, "state.bin", ""},
		"an old one":                         {40, 60, []int{0}, "state.bin", ""},
		"the newest, and the log covers it":  {11, 60, []int{1}, "state.bin", ""},
		"the newest, and the log does not":   {12, 60, []int{1}, "state.bin", "begins at 12"},
		"its description":                    {12, 60, []int{1}, "meta.json", "begins at 12"},
		"the newest, and the log ends early": {5, 49, []int{1}, "state.bin", "ends before it"},
		"all":                                {5, 60, []int{0, 1}, "state.bin", "none before it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ids := disk(t, tc.first, tc.last, 10, 50)
			for _, i := range tc.damage {
				if err := os.WriteFile(filepath.Join(dir, snapshotDir, ids[i], tc.file), []byte("garbage"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := openStorage(dir, true, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
			if err == nil {
				s.close()
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("it does not start: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), filepath.Join(dir, snapshotDir))):
				t.Errorf("%v does not say %q and name a file", err, tc.want)
			}
		})
	}
	dir, ids := disk(t, 12, 60, 50)
	if err := os.RemoveAll(filepath.Join(dir, snapshotDir, ids[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := openStorage(dir, true, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog()); err == nil || !strings.Contains(err.Error(), "no snapshot") {
		t.Errorf("a log without its beginning and without a snapshot: %v", err)
	}
}

func TestAPanicAtRaftsStartIsAnError(t *testing.T) {
	dir, _ := disk(t, 1, 60, 10)
	s, err := openStorage(dir, true, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.logs.DeleteRange(1, 45); err != nil { // a gap behind the snapshot, of whole files
		t.Fatal(err)
	}
	trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, time.Second, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trans.Close() }()
	cfg := Default()
	cfg.Name = "queen-1"
	n := &node{cfg: &cfg, log: nullLog(), storage: s, raftNet: trans, notify: make(chan bool, 1),
		replica: newReplica(dir, newClock(time.Now), func(err error) { t.Error(err) })}
	if r, err := n.newRaft(n.raftConfig()); err == nil || r != nil || !strings.Contains(err.Error(), "log not found") {
		t.Errorf("raft started: %v", err)
	}
}
