package runlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"queen-rbee/hives"
)

func TestReaderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), Limits{}, newClock().now)
		defer s.Close()
		l := create(t, s, Meta{})
		r, err := l.Reader(0)
		must(t, err)
		defer r.Close()

		got := make(chan string, 1)
		go func() {
			for {
				recs, err := r.Next(t.Context())
				for _, rec := range recs {
					got <- fmt.Sprint(rec.Kind, rec.Seq, string(rec.Text))
				}
				if err != nil {
					got <- err.Error()
					return
				}
			}
		}()
		want := func(w string) {
			t.Helper()
			synctest.Wait()
			select {
			case g := <-got:
				if g != w {
					t.Fatalf("got %q, want %q", g, w)
				}
			default:
				t.Fatalf("nothing, want %q", w)
			}
			synctest.Wait()
			if len(got) > 0 && w != "3 3" {
				t.Fatalf("more after %q: %q", w, <-got)
			}
		}
		must(t, l.Start())
		want("1 1")
		must(t, l.Append([]byte(roleChunk), false, "", false))
		must(t, l.Append(chunk("a"), true, "a", false))
		want("2 2a")
		_, err = l.End(complete())
		must(t, err)
		want("3 3")
		want("EOF")
	})
}

func TestReaderContextAndClose(t *testing.T) {
	s := newStore(t, Limits{})
	l := create(t, s, Meta{})
	r, err := l.Reader(0)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	must(t, l.Start())
	if recs, err := r.Next(t.Context()); err != nil || len(recs) != 1 {
		t.Fatal("cannot go on after a context's end:", recs, err)
	}
	if l.Readers() != 1 {
		t.Fatal("readers", l.Readers())
	}
	waits, err := l.Reader(1)
	must(t, err)
	failed := make(chan error)
	go func() {
		_, err := waits.Next(context.Background())
		failed <- err
	}()
	s.Close()
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	waits.Close()
	r.Close()
	r.Close()
	if l.Readers() != 0 {
		t.Fatal("readers", l.Readers())
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := l.Reader(0); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, err := l.End(complete()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// Ready never promises what Next then waits for: a reader that has all is not ready, though
// its place in the file is before records that it must pass over.
func TestReadyIsTrue(t *testing.T) {
	for _, begin := range []hives.Begin{{}, {Seq: 4, I: 3}} {
		l := create(t, newStore(t, Limits{}), Meta{JobID: "J", Begin: begin})
		for step := range 4 {
			for from := range l.Seq() + 1 {
				r, err := l.Reader(from)
				must(t, err)
				has := step > 0 && from < l.Seq()
				select {
				case <-r.Ready():
					if !has {
						t.Errorf("begin %v, step %d, from %d: ready for nothing", begin, step, from)
					} else if recs, err := r.Next(t.Context()); err != nil || len(recs) == 0 {
						t.Errorf("begin %v, step %d, from %d: %v, %v", begin, step, from, recs, err)
					}
				default:
					if has {
						t.Errorf("begin %v, step %d, from %d: not ready", begin, step, from)
					}
				}
				r.Close()
			}
			if step == 0 {
				must(t, l.Start())
			} else {
				must(t, l.Append(chunk("a"), true, "a", false))
			}
		}
	}
}

// Records larger than a batch come whole, small ones many at a time, from any number.
func TestReaderBatches(t *testing.T) {
	l := create(t, newStore(t, Limits{}), Meta{})
	must(t, l.Start())
	size := func(seq uint64) int {
		if seq%97 == 0 {
			return readBatch + int(seq)
		}
		return int(seq % 300)
	}
	const last = 600
	for seq := uint64(2); seq <= last; seq++ {
		text := strings.Repeat("x", size(seq))
		must(t, l.Append(chunk(text), true, text, false))
	}
	_, err := l.End(complete())
	must(t, err)
	for _, from := range []uint64{0, 1, 63, 64, 65, 96, 97, 128, 599, 600, 601} {
		r, err := l.Reader(from)
		must(t, err)
		calls, seq := 0, from
		for ; ; calls++ {
			recs, err := r.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			for _, rec := range recs {
				if rec.Kind == End {
					seq = max(seq, last)
				}
				if rec.Seq != seq+1 && from <= last || rec.Kind == Content && len(rec.Text) != size(rec.Seq) {
					t.Fatalf("from %d: after %d came %d with %d bytes", from, seq, rec.Seq, len(rec.Text))
				}
				seq = rec.Seq
			}
		}
		if seq != last+1 || calls > 40 {
			t.Errorf("from %d: to %d in %d calls", from, seq, calls)
		}
		r.Close()
	}
}

func TestConcurrentReaders(t *testing.T) {
	s := newStore(t, Limits{})
	l := create(t, s, Meta{})
	const records, readers = 500, 16
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			var text strings.Builder
			seq, mine := uint64(0), uint64(0)
			for over := false; !over; {
				r, err := l.Reader(seq)
				if err != nil {
					t.Error(err)
					return
				}
				for range 1 + i { // then reconnect
					recs, err := r.Next(t.Context())
					if errors.Is(err, io.EOF) {
						over = true
						break
					}
					if err != nil {
						t.Error(err)
						return
					}
					for _, rec := range recs {
						if rec.Seq != seq+1 && seq != records+2 {
							t.Errorf("after %d came %d", seq, rec.Seq)
						}
						seq = rec.Seq
						text.Write(rec.Text)
						mine++
					}
				}
				over = over || seq == records+2
				r.Close()
			}
			if text.Len() != records || mine != records+2 {
				t.Errorf("reader %d: %d bytes in %d records", i, text.Len(), mine)
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if _, err := s.Retain(); err != nil {
				t.Error(err)
			}
			l.Readers()
		}
	})
	must(t, l.Start())
	for range records {
		must(t, l.Append(chunk("x"), true, "x", false))
	}
	ends := make(chan error, 2)
	for range 2 {
		wg.Go(func() { _, err := l.End(complete()); ends <- err })
	}
	wg.Wait()
	if a, b := <-ends, <-ends; errors.Is(a, ErrEnded) == errors.Is(b, ErrEnded) {
		t.Fatalf("ended twice or never: %v, %v", a, b)
	}
	if _, err := l.Reader(records + 3); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
		t.Fatal(err)
	}
}
