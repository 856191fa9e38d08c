package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"
	"go.etcd.io/bbolt"
)

const (
	retainSnapshots = 2
	snapshotEntries = 8 << 10
	snapshotBytes   = 256 << 20
	trailingLogs    = 1024
	lockWait        = time.Second
)

// storage is what raft keeps on disk.
type storage struct {
	logs      *guardedLog
	stable    *guardedStable
	snapshots raft.SnapshotStore
	guard     *diskGuard
	closers   []io.Closer
}

// openStorage opens the log, term and vote, and snapshots. raft-wal has one fsync per
// append where boltdb has two; boltdb keeps the two numbers raft-wal is slow at. Of a member
// (its directory has held a cluster's state) nothing may be missing.
func openStorage(dir string, member bool, segment int, guard *diskGuard, log hclog.Logger) (s *storage, err error) {
	s = &storage{guard: guard}
	defer func() {
		if p := recover(); p != nil { // bbolt panics on some damaged pages
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			s.close()
			s, err = nil, damaged(dir, err)
		}
	}()
	walDir := filepath.Join(dir, "wal")
	if err := os.MkdirAll(walDir, 0o700); err != nil {
		return s, err
	}
	if err := checkBolt(filepath.Join(dir, stableFile), "this queen's votes", member); err != nil {
		return s, err
	}
	if err := checkBolt(filepath.Join(walDir, logMetaFile), "which files the log has", member); err != nil {
		return s, err
	}
	if segment == 0 {
		segment = wal.DefaultSegmentSize
	}
	if err := moveSealedTail(walDir); err != nil {
		return s, fmt.Errorf("%s: %w", walDir, err)
	}
	w, err := wal.Open(walDir, wal.WithLogger(log.Named("wal")), wal.WithSegmentSize(segment))
	if err != nil {
		return s, fmt.Errorf("%s: %w", walDir, err)
	}
	s.closers = append(s.closers, w)
	s.logs = &guardedLog{LogStore: w, guard: guard, enough: make(chan struct{}, 1)}
	path := filepath.Join(dir, stableFile)
	b, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bbolt.Options{
		Timeout: lockWait, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	}})
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	s.closers = append(s.closers, b)
	s.stable = &guardedStable{StableStore: b, guard: guard}
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, log.Named("snapshot")); err != nil {
		return s, err
	}
	if err := s.checkLog(walDir, member); err != nil {
		return s, err
	}
	err = s.checkSnapshots(dir, log)
	return s, err
}

// damaged says what to do about data that does not open.
func damaged(dir string, err error) error {
	return startError(err, "the data in %s does not open: %v: if the disk is full or read-only, mend that; else remove this queen from the cluster, empty the directory and join again", dir, err)
}

func (s *storage) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		_ = s.closers[i].Close()
	}
}
