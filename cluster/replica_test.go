package cluster

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// TestAnEntryNobodyCanReadStopsTheQueen stops the replica for good, and what stands is not touched.
func TestAnEntryNobodyCanReadStopsTheQueen(t *testing.T) {
	var failed error
	r := newReplica(t.TempDir(), newClock(time.Now), func(err error) { failed = err })
	b := fsm.Batch{Commands: []fsm.Command{&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel}}}
	data, err := fsm.EncodeBatch(&b)
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := r.Apply(&raft.Log{Index: 1, Data: data}).(fsm.Outcome); !ok || out.Refused != nil || failed != nil {
		t.Fatalf("a good entry: %+v, %v", out, failed)
	}
	was := r.view()
	if _, ok := r.Apply(&raft.Log{Index: 2, Data: []byte("\xff\xffgarbage")}).(error); !ok || failed == nil {
		t.Error("an unreadable entry did not stop the queen")
	}
	b.Base, b.Epoch = 1, fsm.Epoch{1}
	b.Commands = []fsm.Command{&fsm.PutKey{Key: fsm.Key{Hash: [32]byte{1}, Role: fsm.KeyUser}}}
	data, _ = fsm.EncodeBatch(&b)
	if _, ok := r.Apply(&raft.Log{Index: 3, Data: data}).(error); !ok || r.view() != was {
		t.Error("it went on after an entry it could not read")
	}
	if _, err := r.Snapshot(); err == nil {
		t.Error("a broken replica gave a snapshot")
	}
}

func TestASnapshotNobodyCanReadStopsTheQueen(t *testing.T) {
	var good bytes.Buffer
	if err := fsm.Snapshot(fsm.New().View(), &good); err != nil {
		t.Fatal(err)
	}
	half := good.Bytes()[:good.Len()/2]
	for name, tc := range map[string]struct {
		in    io.Reader
		stops bool
	}{
		"garbage":     {strings.NewReader("garbage"), true},
		"cut off":     {bytes.NewReader(half), true},
		"a sick disk": {io.MultiReader(bytes.NewReader(half), iotest.ErrReader(io.ErrClosedPipe)), false},
	} {
		var failed error
		r := newReplica(t.TempDir(), newClock(time.Now), func(err error) { failed = err })
		was := r.view()
		if err := r.Restore(io.NopCloser(tc.in)); err == nil || r.view() != was {
			t.Errorf("%s: it was taken", name)
		}
		if (failed != nil) != tc.stops {
			t.Errorf("%s: the queen was told %v", name, failed)
		}
		if err := r.Restore(io.NopCloser(bytes.NewReader(good.Bytes()))); (err != nil) != tc.stops {
			t.Errorf("%s: a good one after it: %v", name, err)
		}
	}
}

func TestWatches(t *testing.T) {
	r := newReplica(t.TempDir(), newClock(time.Now), func(err error) { t.Error(err) })
	apply := func(c ...fsm.Command) {
		t.Helper()
		m := r.view().Meta()
		data, err := fsm.EncodeBatch(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: m.Now, Level: m.Level, Commands: c})
		if err != nil {
			t.Fatal(err)
		}
		if out := r.Apply(&raft.Log{Index: m.Index + 1, Data: data}).(fsm.Outcome); out.Refused != nil {
			t.Fatal(out.Refused)
		}
	}
	apply(&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel})
	row := fsm.Row{Table: fsm.TableQueen, ID: "q1"}
	one, table, other := r.watches.add([]fsm.Row{row}), r.watches.add([]fsm.Row{{Table: fsm.TableQueen}}), r.watches.add([]fsm.Row{{Table: fsm.TableQueen, ID: "q2"}})
	put := &fsm.PutQueen{Queen: fsm.Queen{ID: "q1", Boot: "b", Role: fsm.RoleVoter, HTTP: "http://h", Raft: "h:1", Gossip: "h:2", Level: 1}}
	apply(put)
	put.Queen.Boot = "b2"
	apply(put)
	for _, w := range []*Watch{one, table} {
		if len(w.C()) != 1 {
			t.Error("a change did not ring, or rang twice")
		}
	}
	if len(other.C()) != 0 {
		t.Error("a watch rang for another row")
	}
	other.Close()
	<-one.C()
	<-table.C()
	var kept bytes.Buffer
	if err := fsm.Snapshot(r.view(), &kept); err != nil {
		t.Fatal(err)
	}
	if err := r.Restore(io.NopCloser(&kept)); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Watch{one, table} {
		if len(w.C()) != 1 {
			t.Error("a restore did not ring a watch")
		}
		w.Close()
	}
	if len(r.watches.byRow) != 0 {
		t.Errorf("closed watches are left: %v", r.watches.byRow)
	}
}
