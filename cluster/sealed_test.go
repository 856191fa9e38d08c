package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// A queen may be killed after a file of its log was sealed and before the next was noted, or
// run out of disk while it seals. It starts with everything that was committed, and goes on.
func TestLogGoesOnBehindASealedTail(t *testing.T) {
	for name, tt := range map[string]struct {
		torn bool   // the sealing batch is only half on disk
		cut  uint64 // entries of the file that a snapshot has made needless
	}{
		"killed after sealing":                    {},
		"killed after sealing, cut in front":      {cut: 5},
		"disk full while sealing":                 {torn: true},
		"disk full while sealing, cut in front":   {torn: true, cut: 5},
		"killed after sealing with a long prefix": {cut: 12},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			last := sealTail(t, filepath.Join(dir, "wal"), tt.cut, tt.torn)
			for range 2 { // the second start finds nothing to do
				logs, end := open(t, dir, tt.cut > 0)
				if first, err := logs.FirstIndex(); err != nil || first != tt.cut+1 {
					t.Errorf("the log begins at %d, %v, want %d", first, err, tt.cut+1)
				}
				if got, err := logs.LastIndex(); err != nil || got != last {
					t.Fatalf("the log ends at %d, %v, want %d", got, err, last)
				}
				if err := logs.StoreLog(sealedEntry(last + 1)); err != nil {
					t.Fatalf("the log does not go on: %v", err)
				}
				last++
				for i := tt.cut + 1; i <= last; i++ {
					var got raft.Log
					if err := logs.GetLog(i, &got); err != nil || !bytes.Equal(got.Data, sealedEntry(i).Data) {
						t.Fatalf("entry %d is %.20q, %v", i, got.Data, err)
					}
				}
				end()
			}
		})
	}
}

// open opens the log as a queen does, or alone: without a snapshot a queen starts on no log
// that was cut.
func open(t *testing.T, dir string, alone bool) (logs raft.LogStore, end func()) {
	t.Helper()
	if alone {
		dir = filepath.Join(dir, "wal")
		if err := moveSealedTail(dir); err != nil {
			t.Fatal(err)
		}
		w, err := wal.Open(dir, wal.WithSegmentSize(64<<10))
		if err != nil {
			t.Fatal(err)
		}
		return w, func() { _ = w.Close() }
	}
	s, err := openStorage(dir, false, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	return s.logs, s.close
}

func sealedEntry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 1, Data: bytes.Repeat(fmt.Append(nil, i, " "), 1000)}
}

// sealTail makes a log of one file, filled until it is sealed, that is noted as not sealed.
// It gives the last entry that is committed in it.
func sealTail(t *testing.T, dir string, cut uint64, torn bool) (last uint64) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(dir, 0o700))
	info := types.SegmentInfo{ID: 1, BaseIndex: 1, MinIndex: 1 + cut, SizeLimit: 64 << 10, Codec: wal.CodecBinaryV1, CreateTime: time.Now()}
	var meta metadb.BoltMetaDB
	_, err := meta.Load(dir)
	must(err)
	must(meta.CommitState(types.PersistentState{NextSegmentID: 2, Segments: []types.SegmentInfo{info}}))
	must(meta.Close())
	w, err := segment.NewFiler(dir, fs.New()).Create(info)
	must(err)
	for {
		var data bytes.Buffer
		must((&wal.BinaryCodec{}).Encode(sealedEntry(last+1), &data))
		must(w.Append([]types.LogEntry{{Index: last + 1, Data: data.Bytes()}}))
		last++
		sealed, at, err := w.Sealed()
		must(err)
		if !sealed {
			continue
		}
		must(w.Close())
		if !torn {
			return last
		}
		must(os.Truncate(filepath.Join(dir, segment.FileName(info)), int64(at)+8))
		return last - 1
	}
}
