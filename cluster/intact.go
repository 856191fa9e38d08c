package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// stableFile keeps term and vote.
const stableFile = "stable.db"

// checkStable reads all of the stable store before raft does. What was lost there is never
// made anew for a member: a queen that forgets its vote may vote twice in one term.
func checkStable(dir string, member bool) (err error) {
	path := filepath.Join(dir, stableFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		if member {
			return fmt.Errorf("%s, which keeps this queen's votes, is gone or empty", path)
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

// checkLog refuses to let a member start from nothing: its log or a snapshot has been there.
func (s *storage) checkLog(member bool) error {
	if !member {
		return nil
	}
	last, err := s.logs.LastIndex()
	if err != nil {
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
