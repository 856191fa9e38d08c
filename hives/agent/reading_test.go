package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

// flushes is a reader's connection that keeps what each flush brought.
type flushes struct {
	head    http.Header
	pending string // of the writer alone

	mu  sync.Mutex
	got []string
}

func (f *flushes) Header() http.Header            { return f.head }
func (*flushes) WriteHeader(int)                  {}
func (*flushes) SetWriteDeadline(time.Time) error { return nil }

func (f *flushes) Write(b []byte) (int, error) {
	f.pending += string(b)
	return len(b), nil
}

func (f *flushes) FlushError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, f.pending)
	f.pending = ""
	return nil
}

// is waits until nobody works, and compares.
func (f *flushes) is(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.got, want) {
		t.Errorf("flushed %q, want %q", f.got, want)
	}
}

// The number of a record that says nothing goes out with the next record, if that comes soon.
func TestTheFirstRecordWaitsForCompany(t *testing.T) {
	const (
		chunk = `{"choices":[{"index":0,"text":"a"}]}`
		frame = "data: " + chunk + "\nid: 1.2\n\n"
	)
	for name, soon := range map[string]bool{"a quick engine": true, "a slow one": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				store, err := runlog.Open(dir, runlog.Limits{}, time.Now)
				if err != nil {
					t.Fatal(err)
				}
				defer store.Close()
				log, err := store.Create(runlog.Meta{JobID: "j", Attempt: 1})
				if err != nil {
					t.Fatal(err)
				}
				stream, err := log.Stream(runlog.Form{API: hives.APIOpenAI}, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer stream.Close()
				w := &flushes{head: http.Header{}}
				out := newSink(w)
				out.begin()
				defer out.early.Stop()
				ctx, cancel := context.WithCancel(context.Background())
				over := make(chan struct{})
				go func() { (&gateway{}).copy(ctx, out, stream); close(over) }()
				if err := log.Start(); err != nil {
					t.Fatal(err)
				}
				w.is(t)
				if !soon {
					<-time.After(2 * company)
					w.is(t, "id: 1.1\n")
				}
				if err := log.Append(json.RawMessage(chunk), true, "a", false); err != nil {
					t.Fatal(err)
				}
				want := []string{"id: 1.1\n" + frame}
				if !soon {
					want = []string{"id: 1.1\n", frame}
				}
				w.is(t, want...)
				<-time.After(2 * company)
				w.is(t, want...) // nothing was left that was to go out
				cancel()
				<-over
			})
		})
	}
}
