package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/bbolt"
)

// stableFile keeps term and vote. logMetaFile keeps which files the log has: raft-wal deletes
// all others.
const (
	stableFile  = "stable.db"
	logMetaFile = "wal-meta.db"
)

// checkBolt reads all of a bolt file before its owner does. What was lost there is never made
// anew for a member: a queen that forgets its vote may vote twice in one term, and one that
// forgets its log has voted for what it has no more.
func checkBolt(path, keeps string, member bool) (err error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		if member {
			return fmt.Errorf("%s, which keeps %s, is gone or empty", path, keeps)
		}
		return nil
	}
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer func() {
		// A page that is not what it says makes bbolt panic; on this goroutine it can be told.
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %v", path, p)
		}
		err = errors.Join(err, db.Close())
	}()
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() { // reading behind the end of a mapped file is fatal
			return fmt.Errorf("%s is cut off: %d of %d bytes are there", path, info.Size(), tx.Size())
		}
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}

// checkLog refuses a log that is not whole, and to let a member start from nothing: its log or
// a snapshot has been there.
func (s *storage) checkLog(dir string, member bool) error {
	last, err := s.logs.LastIndex()
	if err != nil {
		return err
	}
	if err := checkLogFiles(dir, last); err != nil || !member {
		return err
	}
	snaps, err := s.snapshots.List()
	if err != nil {
		return err
	}
	if last == 0 && len(snaps) == 0 {
		return errors.New("the log is empty, and there is no snapshot")
	}
	return nil
}

// checkSnapshots refuses a start behind a damaged snapshot. raft takes the newest one that it
// can open; if the log does not go on from there, it panics, and if the log ends before a
// damaged one, what this queen once acknowledged would be gone.
func (s *storage) checkSnapshots(dir string, log hclog.Logger) error {
	first, err := s.logs.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.logs.LastIndex()
	if err != nil {
		return err
	}
	all, err := listSnapshots(dir)
	if err != nil {
		return err
	}
	for _, snap := range all {
		meta, in, err := s.snapshots.Open(snap.id)
		if err == nil {
			err = in.Close()
		}
		if err == nil && (meta.Index != snap.index || meta.Term != snap.term) { // its description has no checksum
			err = fmt.Errorf("its description says index %d and term %d", meta.Index, meta.Term)
		}
		path := filepath.Join(dir, snapshotDir, snap.id)
		switch {
		case err == nil && first > snap.index+1:
			return fmt.Errorf("the log begins at %d, and the newest whole snapshot, %s, ends at %d", first, path, snap.index)
		case err == nil:
			return nil
		case last < snap.index:
			return fmt.Errorf("the snapshot %s is damaged (%w), and the log ends before it, at %d", path, err, last)
		case snap == all[len(all)-1]:
			return fmt.Errorf("the snapshot %s is damaged (%w), and there is none before it", path, err)
		}
		log.Warn("a snapshot is damaged, the one before it is taken", "path", path, "why", err)
	}
	if first > 1 {
		return fmt.Errorf("the log begins at %d, and there is no snapshot in %s", first, filepath.Join(dir, snapshotDir))
	}
	return nil
}

// snapshotDir is where raft keeps snapshots, in folders named by term, index and time.
const snapshotDir = "snapshots"

type snapshotName struct {
	id          string
	term, index uint64
}

// listSnapshots is every finished snapshot, newest first, those too that raft cannot read.
func listSnapshots(dir string) ([]snapshotName, error) {
	entries, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	if err != nil {
		return nil, err
	}
	var all []snapshotName
	for _, e := range entries {
		var term, index, at uint64
		if n, _ := fmt.Sscanf(e.Name(), "%d-%d-%d", &term, &index, &at); n == 3 && e.IsDir() && !strings.HasSuffix(e.Name(), ".tmp") {
			all = append(all, snapshotName{e.Name(), term, index})
		}
	}
	slices.SortFunc(all, func(a, b snapshotName) int { return cmp.Compare(b.index, a.index) })
	return all, nil
}
