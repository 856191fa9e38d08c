package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// A file of the log is, as raft-wal 0.4 writes it, a header of 32 bytes and frames: kind (one
// byte), three zeros, a length or checksum, the payload, zeros up to the next multiple of 8.
// Each write ends with a commit, which has the checksum of all since the one before. raft-wal
// itself checks the last of them only, and stops at the first frame it cannot read as if
// nothing had stood behind it.
const (
	walPattern  = "*.wal" // first index in 20 digits, id in 16
	walHeader   = 32
	walFrame    = 8
	walEntry    = 1
	walIndex    = 2
	walCommit   = 3
	walMaxEntry = 64 << 20
)

var walTable = crc32.MakeTable(crc32.Castagnoli)

// checkLogFiles reads all of the log, which raft-wal has opened and of which it says that last
// is the newest entry. The end of a write that was never finished may be torn; anything else
// that is not whole is an error that names the file.
func checkLogFiles(dir string, last uint64) error {
	names, err := filepath.Glob(filepath.Join(dir, walPattern))
	if err != nil {
		return err
	}
	slices.Sort(names) // in order of first index
	for i, name := range names {
		var first, id, next uint64
		if _, err := fmt.Sscanf(filepath.Base(name), "%d-%x.wal", &first, &id); err != nil {
			return fmt.Errorf("%s is not a file of the log: %w", name, err)
		}
		newest := i == len(names)-1
		if next = last + 1; !newest {
			if _, err := fmt.Sscanf(filepath.Base(names[i+1]), "%d-%x.wal", &next, &id); err != nil {
				return fmt.Errorf("%s is not a file of the log: %w", names[i+1], err)
			}
		}
		if err := checkLogFile(name, first, next, newest); err != nil {
			return err
		}
	}
	return nil
}

// checkLogFile checks one file, which is to have the entries from first to before next.
func checkLogFile(name string, first, next uint64, newest bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	entries, end, err := wholeWrites(f)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if first+entries < next {
		return fmt.Errorf("%s is damaged behind byte %d: entry %d, which it once had, is not whole", name, end, first+entries)
	}
	if !newest {
		return nil
	}
	later, err := laterWrite(f, end)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if later > 0 {
		return fmt.Errorf("%s is damaged behind byte %d: what follows is not whole, but there is a later write at byte %d", name, end, later)
	}
	return nil
}

// wholeWrites counts the entries of all writes up to the first that is not whole, and says
// where that one begins.
func wholeWrites(f *os.File) (entries uint64, end int64, err error) {
	r := bufio.NewReaderSize(f, 1<<20)
	sum, at := crc32.New(walTable), int64(walHeader)
	if _, err := io.CopyN(sum, r, walHeader); err != nil {
		return 0, 0, cutOff(err)
	}
	for unfinished := uint64(0); ; {
		n, length, err := oneFrame(r, sum)
		if err != nil || n == 0 {
			return entries, end, cutOff(err)
		}
		at += length
		switch n {
		case walEntry:
			unfinished++
		case walCommit:
			entries, end, unfinished = entries+unfinished, at, 0
			sum.Reset()
		}
	}
}

// oneFrame reads a frame into the sum; kind 0 is the end of what is whole. A commit is whole
// when it has the sum.
func oneFrame(r *bufio.Reader, sum hash.Hash32) (kind byte, length int64, err error) {
	var head [walFrame]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	value := binary.LittleEndian.Uint32(head[4:])
	if head[1] != 0 || head[2] != 0 || head[3] != 0 {
		return 0, 0, nil
	}
	switch {
	case head[0] == walCommit && value == sum.Sum32():
		return walCommit, walFrame, nil
	case (head[0] == walEntry || head[0] == walIndex) && value <= walMaxEntry:
	default:
		return 0, 0, nil
	}
	payload := (int64(value) + walFrame - 1) / walFrame * walFrame
	_, _ = sum.Write(head[:]) // never fails
	_, err = io.CopyN(sum, r, payload)
	return head[0], walFrame + payload, err
}

// cutOff is nil for a file that ends early, which is for whoever counts to judge.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// laterWrite finds a write that is whole behind one that is not: each is on the disk before
// the next begins, so the first one was whole once. 0 is none.
func laterWrite(f *os.File, end int64) (at int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(f, end, 1<<62), 1<<20)
	for ; ; end += walFrame {
		head, err := r.Peek(walFrame)
		if err != nil {
			return 0, cutOff(err)
		}
		if head[0] == walCommit && head[1] == 0 && head[2] == 0 && head[3] == 0 && wholeAt(f, end+walFrame) {
			return end + walFrame, nil
		}
		if _, err := r.Discard(walFrame); err != nil {
			return 0, cutOff(err)
		}
	}
}

// wholeAt tells whether a whole write with an entry begins there.
func wholeAt(f *os.File, at int64) bool {
	r := bufio.NewReader(io.NewSectionReader(f, at, 1<<62))
	sum := crc32.New(walTable)
	for entries := 0; ; {
		switch kind, _, err := oneFrame(r, sum); {
		case err != nil || kind == 0:
			return false
		case kind == walEntry:
			entries++
		case kind == walCommit:
			return entries > 0
		}
	}
}
