package cluster

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// What was proposed here is applied as the proposer decoded it; everything else is decoded,
// equal bytes of another entry too.
func TestOwnEntriesAreDecodedOnce(t *testing.T) {
	r := newReplica("", newClock(time.Now), func(error) {})
	data, err := fsm.EncodeBatch(&fsm.Batch{Level: fsm.CurrentLevel, Commands: []fsm.Command{&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel}}})
	if err != nil {
		t.Fatal(err)
	}
	mine := &fsm.Batch{}
	for _, tt := range []struct {
		name  string
		of    []byte
		known bool
	}{{"its memory", data, true}, {"equal bytes", bytes.Clone(data), false}, {"a part", data[:len(data)-1], false}} {
		r.expect(data, mine)
		if got, _ := r.decode(tt.of); (got == mine) != tt.known {
			t.Errorf("%s: the proposer's batch was taken: %v, want %v", tt.name, got == mine, tt.known)
		}
		if got, _ := r.decode(data); got == mine {
			t.Errorf("%s: the proposer's batch was taken for a second entry", tt.name)
		}
	}
	if out, ok := r.Apply(&raft.Log{Index: 1, Data: data}).(fsm.Outcome); !ok || out.Refused != nil || out.Index != 1 {
		t.Errorf("nothing was expected, and the entry came to %+v", out)
	}
}

// countedLog counts how often the disk is asked for an entry.
type countedLog struct {
	raft.LogStore
	n int
}

func (r *countedLog) GetLog(index uint64, l *raft.Log) error {
	r.n++
	return r.LogStore.GetLog(index, l)
}

func (*countedLog) IsMonotonic() bool { return true }

func TestTheNewestEntriesAreNotReadFromTheDisk(t *testing.T) {
	disk := &countedLog{LogStore: raft.NewInmemStore()}
	logs, err := remembered(&guardedLog{LogStore: disk, guard: newDiskGuard(0, time.Now, func(error) {}), enough: make(chan struct{}, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := logs.(raft.MonotonicLogStore); !ok || !m.IsMonotonic() {
		t.Error("raft would leave gaps that raft-wal cannot accept")
	}
	for i := uint64(1); i <= 2*newestLogs; i++ {
		if err := logs.StoreLog(&raft.Log{Index: i, Term: i}); err != nil {
			t.Fatal(err)
		}
	}
	var l raft.Log
	for i := uint64(2 * newestLogs); i > newestLogs; i-- {
		if err := logs.GetLog(i, &l); err != nil || l.Term != i || disk.n != 0 {
			t.Errorf("entry %d: term %d, %d reads of the disk, %v", i, l.Term, disk.n, err)
		}
	}
	if err := logs.GetLog(1, &l); err != nil || l.Term != 1 || disk.n != 1 {
		t.Errorf("an old entry: term %d, %d reads of the disk, %v", l.Term, disk.n, err)
	}
	// What was cut off and written anew is read anew.
	if err := logs.DeleteRange(7, 8); err != nil {
		t.Fatal(err)
	}
	if err := logs.GetLog(8, &l); err == nil {
		t.Errorf("an entry that was cut off is still there: %+v", l)
	}
}
