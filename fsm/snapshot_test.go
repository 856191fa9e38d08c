package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
)

func snapshotOf(tb testing.TB, s *State) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := Snapshot(s.View(), &buf); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

// A golden snapshot of every version must restore for ever.
func TestSnapshotGolden(t *testing.T) {
	w := newWorld(t)
	sample := sampleJob()
	sample.ID = "01JSAMPLE"
	w.do(
		&PutQueen{Queen{ID: "q1", Role: RoleVoter, HTTP: "http://q1:7833", Level: 1}},
		&Submit{Job: sample, IdempotencyTTL: 1e12},
		&BlockHive{Model: "m", Hive: "h1", Fails: 2, Until: 5e9, Failure: Failure{"exit", "oom"}},
	)
	w.fill(40)
	data := snapshotOf(t, w.State)
	golden(t, "../testdata/fsm/snapshot-1.golden", hexLines(data))

	back, err := Restore(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	sameHash(t, "the restored state", w.State, back)
	if err := checkState(back.View()); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(data, snapshotOf(t, back)) {
		t.Error("the restored state has another snapshot")
	}
	if back.meta != w.meta || back.counts != w.counts {
		t.Errorf("restored %+v %+v, want %+v %+v", back.meta, back.counts, w.meta, w.counts)
	}
}

func TestBlankSnapshot(t *testing.T) {
	back, err := Restore(bytes.NewReader(snapshotOf(t, New())))
	if err != nil {
		t.Fatal(err)
	}
	sameHash(t, "the restored state", New(), back)
}

// A damaged snapshot never becomes a state: every cut and every changed byte is found.
func TestSnapshotDamage(t *testing.T) {
	w := newWorld(t)
	w.fill(8)
	data := snapshotOf(t, w.State)
	for cut := range data {
		_, err := Restore(bytes.NewReader(data[:cut]))
		if err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Fatalf("cut to %d of %d bytes: %v", cut, len(data), err)
		}
	}
	for at := range data {
		damaged := bytes.Clone(data)
		damaged[at] ^= 0x55
		if _, err := Restore(bytes.NewReader(damaged)); err == nil {
			t.Fatalf("byte %d of %d changed and nobody noticed", at, len(data))
		}
	}
	if _, err := Restore(bytes.NewReader(append(bytes.Clone(data), 0))); err == nil {
		t.Error("bytes behind the end were taken")
	}
	broken := errors.New("disk on fire")
	if _, err := Restore(io.MultiReader(bytes.NewReader(data[:99]), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a failing disk is reported as %v", err)
	}
	if err := Snapshot(w.View(), failing{broken}); !errors.Is(err, broken) {
		t.Errorf("a failing disk is reported as %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// forge is a snapshot with a true checksum around any bytes.
func forge(version, level uint64, rows ...[]byte) []byte {
	b := []byte(snapshotMagic)
	b = binary.AppendUvarint(b, version)
	b = binary.AppendUvarint(b, level)
	for _, row := range rows {
		b = append(b, row...)
	}
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(len(rows)))
	b = append(b, make([]byte, 16)...)
	sum := xxh3.Hash128(b).Bytes()
	return append(b, sum[:]...)
}

func forgedRow(table Table, fields []byte) []byte {
	return append(binary.AppendUvarint([]byte{byte(table)}, uint64(len(fields))), fields...)
}

func TestRestoreRefuses(t *testing.T) {
	c := coder{unchecked: true}
	c.idempotency(&Idempotency{Tenant: "t", Key: "k", Job: "j"})
	row := forgedRow(TableIdempotency, c.buf)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"another file", []byte("PK\x03\x04 some archive of another program"), "not a snapshot of queen-rbee"},
		{"newer format", forge(2, 1), "format 2 is not known to this build"},
		{"newer level", forge(1, 3), "its level is 3 and this build reads up to 2"},
		{"unknown table", forge(1, 1, forgedRow(99, nil)), "table 99 is not known"},
		{"a row twice", forge(1, 1, row, row), "row 2: table 7: the row is there twice"},
		{"bytes in a row", forge(1, 1, forgedRow(TableIdempotency, append(bytes.Clone(c.buf), 0))), "1 bytes too many"},
		{"a huge row", forge(1, 1, binary.AppendUvarint([]byte{3}, 1<<40)), "is over the limit"},
		{"a wrong hash", forge(1, 1, row), "the restored state hashes to"},
	} {
		_, err := Restore(bytes.NewReader(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}
