package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// moveChunk is how many bytes of entries are moved with one fsync.
const moveChunk = 1 << 20

// moveSealedTail makes a log writable whose last file was sealed when the machine, or the
// process, stopped. A file that is full is sealed with its last entries, and only then is the
// next one noted; raft-wal 0.4.1 opens what stopped in between, or in the midst of sealing
// when a disk was full, and refuses every append from then on. What the file has committed is
// moved to a new one. Nothing is done where the last file is not sealed; an error has changed
// nothing that counts.
func moveSealedTail(dir string) (err error) {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); errors.Is(err, os.ErrNotExist) {
		return nil // a new log
	}
	var meta metadb.BoltMetaDB
	defer func() { err = errors.Join(err, meta.Close()) }()
	state, err := meta.Load(dir)
	if err != nil {
		return err
	}
	n := len(state.Segments)
	if n == 0 || !state.Segments[n-1].SealTime.IsZero() {
		return nil
	}
	tail, files := state.Segments[n-1], segment.NewFiler(dir, fs.New())
	whole := tail
	whole.MinIndex = whole.BaseIndex // what was cut off in front is read, too: files have no gaps
	old, err := files.RecoverTail(whole)
	if errors.Is(err, os.ErrNotExist) {
		return nil // noted, not yet made
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if sealed, _, err := old.Sealed(); err != nil || !sealed {
		return err
	}
	// What is moved gets new checksums: see that the old ones hold.
	if err := checkLogFile(filepath.Join(dir, segment.FileName(tail)), tail.BaseIndex, old.LastIndex()+1, true); err != nil {
		return err
	}
	moved := tail
	moved.ID, moved.CreateTime = state.NextSegmentID, time.Now()
	if err := files.Delete(moved.BaseIndex, moved.ID); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // of a try that came no further
	}
	if moved.SizeLimit, err = roomFor(dir, tail); err != nil {
		return err
	}
	if err := move(files, old, moved); err != nil {
		return fmt.Errorf("moving %s: %w", segment.FileName(tail), err)
	}
	state.NextSegmentID++
	state.Segments[n-1] = moved
	return meta.CommitState(state) // wal.Open deletes the old file, which nothing names now
}

// roomFor is a size within which everything in the file does not seal the next one.
func roomFor(dir string, tail types.SegmentInfo) (uint32, error) {
	file, err := os.Stat(filepath.Join(dir, segment.FileName(tail)))
	if err != nil {
		return 0, err
	}
	return tail.SizeLimit + uint32(file.Size()), nil // both far below 2 GiB: entries are bounded
}

// move writes everything that from has committed to a new file, durably.
func move(files *segment.Filer, from types.SegmentWriter, to types.SegmentInfo) (err error) {
	w, err := files.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var chunk []types.LogEntry
	size := 0
	for i := to.BaseIndex; i <= from.LastIndex(); i++ {
		raw, err := from.GetLog(i)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		chunk = append(chunk, types.LogEntry{Index: i, Data: append([]byte{}, raw.Bs...)})
		size += len(raw.Bs)
		if err := raw.Close(); err != nil {
			return err
		}
		if size < moveChunk && i < from.LastIndex() {
			continue
		}
		if err := w.Append(chunk); err != nil {
			return err
		}
		chunk, size = chunk[:0], 0
	}
	return nil
}
