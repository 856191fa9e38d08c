package fsm

import (
	"bytes"
	"io"
	"testing"
)

// One job's whole life, a batch a command, on top of 10,000 queued ones, with a View each
// time as the queen makes it.
func BenchmarkJobLife(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		n := 10_000 + i
		w.do(w.job(n), &Assign{Job: jobID(n), Worker: "w1", Attempt: 1})
		w.View()
		w.do(&Started{Job: jobID(n), Attempt: 1})
		w.View()
		w.do(&EndJob{Job: jobID(n), Attempt: 1, State: JobComplete})
		w.View()
	}
}

// The same in batches of 256 jobs: what a busy leader does.
func BenchmarkJobLifeBatched(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	b.ReportAllocs()
	b.ResetTimer()
	const size = 256
	for at := 0; at < b.N; at += size {
		var first, second, third []Command
		for i := range min(size, b.N-at) {
			id := jobID(10_000 + at + i)
			first = append(first, w.job(10_000+at+i), &Assign{Job: id, Worker: "w1", Attempt: 1})
			second = append(second, &Started{Job: id, Attempt: 1})
			third = append(third, &EndJob{Job: id, Attempt: 1, State: JobComplete})
		}
		for _, cmds := range [][]Command{first, second, third} {
			w.do(cmds...)
			w.View()
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	w := newWorld(b)
	batch := &Batch{Epoch: testEpoch, Level: 1}
	for i := range 256 {
		batch.Commands = append(batch.Commands, w.job(i), &Assign{Job: jobID(i), Worker: "w1", Attempt: 1})
	}
	data, err := EncodeBatch(batch)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			_, _ = EncodeBatch(batch)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			_, _ = DecodeBatch(data)
		}
	})
}

func BenchmarkView(b *testing.B) {
	w := newWorld(b)
	w.fill(10_000)
	b.ReportAllocs()
	for b.Loop() {
		w.View()
	}
}

func BenchmarkSnapshot100k(b *testing.B) {
	w := newWorld(b)
	w.fill(100_000)
	v := w.View()
	data := snapshotOf(b, w.State)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := Snapshot(v, io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := Restore(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
