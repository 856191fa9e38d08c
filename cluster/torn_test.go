package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// logDisk is a member's storage with a log in three files, of entries of 4 KB written one by
// one; it returns the files, in order.
func logDisk(t *testing.T) (dir string, files []string) {
	t.Helper()
	dir = t.TempDir()
	s, err := openStorage(dir, false, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for i := uint64(1); i <= logEntries; i++ {
		if err := s.logs.StoreLog(logEntry(i)); err != nil {
			t.Fatal(err)
		}
	}
	files, err = filepath.Glob(filepath.Join(dir, "wal", walPattern))
	if slices.Sort(files); err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return dir, files
}

const logEntries = 40

func logEntry(i uint64) *raft.Log {
	return &raft.Log{Index: i, Term: 1, Data: bytes.Repeat([]byte{byte(i), 3, 0, 0, 0}, 800)}
}

// restart opens a storage again. It fails the test when what starts is not what was written,
// up to an index, which it returns.
func restart(t *testing.T, dir string) (last uint64, err error) {
	t.Helper()
	s, err := openStorage(dir, true, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
	if err != nil {
		return 0, err
	}
	defer s.close()
	if last, err = s.logs.LastIndex(); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= last; i++ {
		var got raft.Log
		if err := s.logs.GetLog(i, &got); err != nil || !bytes.Equal(got.Data, logEntry(i).Data) {
			t.Errorf("it started with entry %d as garbage: %v", i, err)
		}
	}
	return last, nil
}

// rewrite changes a file.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	was, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(slices.Clone(was)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyDir is a data directory like another.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// tail is the first byte of the newest write in a file of the log, and the first behind it.
func tail(t *testing.T, path string) (begin, end int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	entries, whole, err := wholeWrites(f)
	if err != nil || entries < 3 {
		t.Fatalf("%d entries, %v", entries, err)
	}
	each := (whole - walHeader) / int64(entries)
	return int(whole - each), int(whole)
}

// TestFaultTornLastEntry has the newest write cut off or garbled at many places, as a crash
// leaves it: the queen starts without it, or with it, and never with a part.
func TestFaultTornLastEntry(t *testing.T) {
	dir, files := logDisk(t)
	newest := filepath.Base(files[len(files)-1])
	begin, end := tail(t, files[len(files)-1])
	for name, damage := range map[string]func(b []byte, at int) []byte{
		"file ends": func(b []byte, at int) []byte { return b[:at] },
		"zeros":     func(b []byte, at int) []byte { clear(b[at:]); return b },
		"garbage": func(b []byte, at int) []byte {
			for i := at; i < end; i++ {
				b[i] ^= 0xa5
			}
			return b
		},
		"one bit": func(b []byte, at int) []byte { b[at] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			for _, at := range []int{begin + 1, begin + 9, begin + 100, (begin + end) / 2, end - 17, end - 9, end - 8, end - 4, end - 1} {
				torn := copyDir(t, dir)
				rewrite(t, filepath.Join(torn, "wal", newest), func(b []byte) []byte { return damage(b, at) })
				if last, err := restart(t, torn); err != nil || last < logEntries-1 {
					t.Errorf("at byte %d of %d to %d: it starts with %d entries, %v", at, begin, end, last, err)
				}
			}
		})
	}
}

// TestFaultDamagedLog has a log damaged where no crash can have done it.
func TestFaultDamagedLog(t *testing.T) {
	dir, files := logDisk(t)
	newest, sealed := len(files)-1, 1
	begin, _ := tail(t, files[newest])
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 4; return b }
	}
	index := func(b []byte) []byte { // the last frame of a file that is full: its index and commit
		end := len(bytes.TrimRight(b, "\x00"))
		b[end-24] ^= 4
		return b
	}
	for name, tc := range map[string]struct {
		file   string
		change func([]byte) []byte
	}{
		"an entry before the newest":               {files[newest], flip(begin - 1000)},
		"the length of an entry before the newest": {files[newest], flip(walHeader + 5)},
		"the kind of an entry before the newest":   {files[newest], flip(walHeader)},
		"the header of the newest file":            {files[newest], flip(3)},
		"an entry of a full file":                  {files[sealed], flip(9000)},
		"the length of an entry of a full file":    {files[sealed], flip(walHeader + 5)},
		"the header of a full file":                {files[sealed], flip(3)},
		"the index of a full file":                 {files[sealed], index},
		"a full file is cut off":                   {files[sealed], func(b []byte) []byte { return b[:len(b)/2] }},
		"a full file is empty":                     {files[sealed], func([]byte) []byte { return nil }},
		"the list of files is empty":               {"wal-meta.db", func([]byte) []byte { return nil }},
		"the list of files is cut off":             {"wal-meta.db", func(b []byte) []byte { return b[:len(b)/2] }},
		"the list of files is garbage":             {"wal-meta.db", func(b []byte) []byte { return bytes.Repeat([]byte("garbage"), len(b)/7) }},
		"the votes are empty":                      {"../stable.db", func([]byte) []byte { return nil }},
		"the votes are cut off":                    {"../stable.db", func(b []byte) []byte { return b[:len(b)/2] }},
		"the votes are garbage":                    {"../stable.db", func(b []byte) []byte { return bytes.Repeat([]byte("garbage"), len(b)/7) }},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := copyDir(t, dir)
			file := filepath.Join(damaged, "wal", filepath.Base(tc.file))
			if strings.HasPrefix(tc.file, "..") {
				file = filepath.Join(damaged, filepath.Base(tc.file))
			}
			rewrite(t, file, tc.change)
			_, err := restart(t, damaged)
			var start *StartError
			if !errors.As(err, &start) || !strings.Contains(err.Error(), filepath.Dir(file)) || !strings.Contains(err.Error(), "join again") {
				t.Errorf("it says: %v", err)
			}
		})
	}
	if last, err := restart(t, dir); err != nil || last != logEntries {
		t.Errorf("untouched, it starts with %d entries, %v", last, err)
	}
}

// TestFaultDamagedSnapshot damages the newest snapshot in many ways: what is whole is taken when
// the log goes on from there, else the start is refused.
func TestFaultDamagedSnapshot(t *testing.T) {
	dirs, newest := map[bool]string{}, map[bool]string{} // by whether the log goes on from the snapshot before
	for covered, first := range map[bool]uint64{true: 11, false: 12} {
		dir, ids := disk(t, first, 60, 10, 50)
		dirs[covered], newest[covered] = dir, ids[1]
	}
	for name, change := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut off":   func(b []byte) []byte { return b[:len(b)/2] },
		"one bit":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"of 51":     func(b []byte) []byte { return bytes.Replace(b, []byte(`"Index":50`), []byte(`"Index":51`), 1) },
		"of term 2": func(b []byte) []byte { return bytes.Replace(b, []byte(`"Term":1`), []byte(`"Term":2`), 1) },
	} {
		for _, file := range []string{"state.bin", "meta.json"} {
			for _, covered := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %s, log goes on %v", file, name, covered), func(t *testing.T) {
					dir := copyDir(t, dirs[covered])
					path := filepath.Join(dir, snapshotDir, newest[covered], file)
					changed := false
					rewrite(t, path, func(b []byte) []byte {
						was := slices.Clone(b)
						b = change(b)
						changed = !bytes.Equal(was, b)
						return b
					})
					s, err := openStorage(dir, true, 64<<10, newDiskGuard(0, time.Now, func(error) {}), nullLog())
					if err == nil {
						s.close()
					}
					var start *StartError
					switch whole := covered || !changed || harmless(t, path); {
					case whole && err != nil:
						t.Errorf("it does not start: %v", err)
					case !whole && (!errors.As(err, &start) || !strings.Contains(err.Error(), filepath.Join(dir, snapshotDir))):
						t.Errorf("it says: %v", err)
					}
				})
			}
		}
	}
}

// harmless tells whether a description still says all that matters of it.
func harmless(t *testing.T, path string) bool {
	t.Helper()
	if filepath.Base(path) != "meta.json" {
		return false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Index, Term uint64
		CRC         []byte
	}
	return json.Unmarshal(data, &m) == nil && m.Index == 50 && m.Term == 1 && len(m.CRC) == 8
}
