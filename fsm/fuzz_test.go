package fsm

import (
	"bytes"
	"testing"
)

// What decodes at all is the one encoding of what it decodes to, and Apply survives it.
func FuzzDecodeBatch(f *testing.F) {
	for _, cmd := range samples() {
		data, err := EncodeBatch(&Batch{Base: 2, Epoch: testEpoch, Now: 1e9, Level: 1, Commands: []Command{cmd}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBatch(data)
		if err != nil {
			return
		}
		again, err := EncodeBatch(b)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("decodes, but encodes to other bytes: %v", err)
		}
		w := newWorld(t)
		b.Base, b.Epoch, b.Now = w.meta.Index, w.meta.Epoch, w.meta.Now
		w.Apply(b)
		if err := checkHash(w.View()); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(bytes.NewReader(snapshotOf(t, w.State))); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzRestore(f *testing.F) {
	w := newWorld(f)
	w.fill(3)
	f.Add(snapshotOf(f, w.State))
	f.Add(snapshotOf(f, New()))
	f.Add(forge(1, 1, forgedRow(TableKey, make([]byte, 40))))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Restore(bytes.NewReader(data))
		if err != nil {
			return
		}
		if !bytes.Equal(data, snapshotOf(t, s)) {
			t.Fatal("restores, but has another snapshot")
		}
	})
}

// Rows are read before the checksum can be: each must stand any bytes by itself.
func FuzzLoadRow(f *testing.F) {
	c := coder{unchecked: true}
	j := sampleJob()
	j.State = JobRunning
	c.job(&j)
	c.body(&j.Body)
	f.Add(byte(TableJob), c.buf)
	f.Fuzz(func(t *testing.T, table byte, row []byte) {
		s := New()
		if s.load(Table(table), row) == nil {
			if err := checkHash(s.View()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzOpenBody(f *testing.F) {
	b := PackBody(bytes.Repeat([]byte("hello "), 4000))
	f.Add(b.Data, b.Size, true)
	f.Fuzz(func(t *testing.T, data []byte, size uint32, packed bool) {
		const limit = 1 << 20
		out, err := Body{Data: data, Size: size, Packed: packed}.Open(limit)
		if err == nil && (len(out) != int(size) || len(out) > limit) {
			t.Fatalf("%d bytes, says %d", len(out), size)
		}
	})
}
