package clustertest

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Disk is a queen's disk as raft sees it. The zero value is sound.
type Disk struct {
	mu    sync.Mutex
	slow  time.Duration
	err   error
	times int           // how often err still comes
	hung  chan struct{} // writes wait until it is closed; nil for none
}

// Slow makes every write take so much longer.
func (d *Disk) Slow(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = by
}

// Fail makes writes fail, so many times. Votes are left out: a queen that cannot store one
// holds raft's goroutine for good, which only the end of a process frees.
func (d *Disk) Fail(err error, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.times = err, times
}

// Hang makes writes wait for Mend.
func (d *Disk) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hung == nil {
		d.hung = make(chan struct{})
	}
}

// Mend ends every fault; writes that hang are done.
func (d *Disk) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow, d.err, d.times = 0, nil, 0
	if d.hung != nil {
		close(d.hung)
		d.hung = nil
	}
}

// wait is what the disk does before a write.
func (d *Disk) wait() {
	d.mu.Lock()
	slow, hung := d.slow, d.hung
	d.mu.Unlock()
	if slow > 0 {
		<-time.After(slow)
	}
	if hung != nil {
		<-hung
	}
}

func (d *Disk) write(f func() error) error {
	d.wait()
	d.mu.Lock()
	err := d.err
	if d.times--; d.times < 0 {
		d.times, err = 0, nil
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return f()
}

func (d *Disk) log(s raft.LogStore) raft.LogStore { return diskLog{s, d} }

func (d *Disk) votes(s raft.StableStore) raft.StableStore { return diskVotes{s, d} }

func (d *Disk) snapshots(s raft.SnapshotStore) raft.SnapshotStore { return diskSnapshots{s, d} }

type diskLog struct {
	raft.LogStore
	d *Disk
}

func (l diskLog) IsMonotonic() bool {
	m, ok := l.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (l diskLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

func (l diskLog) StoreLogs(es []*raft.Log) error {
	return l.d.write(func() error { return l.LogStore.StoreLogs(es) })
}

func (l diskLog) DeleteRange(from, to uint64) error {
	return l.d.write(func() error { return l.LogStore.DeleteRange(from, to) })
}

type diskVotes struct {
	raft.StableStore
	d *Disk
}

func (v diskVotes) Set(key, val []byte) error {
	v.d.wait()
	return v.StableStore.Set(key, val)
}

func (v diskVotes) SetUint64(key []byte, val uint64) error {
	v.d.wait()
	return v.StableStore.SetUint64(key, val)
}

type diskSnapshots struct {
	raft.SnapshotStore
	d *Disk
}

func (s diskSnapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(v, index, term, c, at, t)
	if err != nil {
		return nil, err
	}
	return diskSink{sink, s.d}, nil
}

type diskSink struct {
	raft.SnapshotSink
	d *Disk
}

func (s diskSink) Write(b []byte) (n int, err error) {
	err = s.d.write(func() error {
		n, err = s.SnapshotSink.Write(b)
		return err
	})
	return n, err
}
