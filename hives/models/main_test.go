package models

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"queen-rbee/hives"
	"queen-rbee/hives/models/hubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const file = "org/repo/tiny.gguf"

// rig is a store beside a hub of one file.
type rig struct {
	t       *testing.T
	hub     *hubtest.Hub
	store   *Store
	options Options
	tune    func(*tuning)
	content []byte
	digest  string
}

// content is larger than several parts of a test's.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	r := &rig{t: t, hub: hubtest.New(t), content: hubtest.Noise(7, 300_000)}
	r.digest = r.hub.Put(file, r.content)
	r.options = Options{Dir: t.TempDir(), Endpoint: r.hub.URL, AllowPrivate: true, AllowHTTP: true, Slack: 1 << 20, PeerToken: "hive-token"}
	for _, f := range change {
		f(&r.options)
	}
	r.open()
	return r
}

// open opens the store, again after a close.
func (r *rig) open() {
	r.t.Helper()
	s, err := Open(r.options)
	if err != nil {
		r.t.Fatal(err)
	}
	s.tune.partMin, s.tune.partMax = 64<<10, 64<<10
	s.tune.backoff, s.tune.backoffMax, s.tune.waitMax = time.Millisecond, 5*time.Millisecond, 20*time.Millisecond
	s.tune.save, s.tune.tell = 5*time.Millisecond, time.Millisecond
	s.tune.free = func(string) (int64, error) { return 1 << 40, nil }
	if r.tune != nil {
		r.tune(&s.tune)
	}
	r.store = s
	r.t.Cleanup(s.Close)
}

// again closes the store and opens it, as a restart does.
func (r *rig) again() {
	r.t.Helper()
	r.store.Close()
	r.open()
}

// told is what a download has told.
type told struct {
	mu  sync.Mutex
	all []Progress
}

func (e *told) tell(p Progress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, p)
}

func (e *told) last() Progress {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) == 0 {
		return Progress{}
	}
	return e.all[len(e.all)-1]
}

// fetch fetches, for at most half a minute.
func (r *rig) fetch(req Request) (Model, *told, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	e := &told{}
	m, err := r.store.Fetch(ctx, req, e.tell)
	return m, e, err
}

func (r *rig) request() Request { return Request{Ref: "tiny", Source: "hf:" + file} }

// holds wants a model to be whole on disk, and nothing to be left of its download.
func (r *rig) holds(m Model, content []byte) {
	r.t.Helper()
	data, err := os.ReadFile(m.Path)
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Equal(data, content) {
		r.t.Errorf("%s has %d bytes that are not the %d at the source", m.Path, len(data), len(content))
	}
	if left := r.below(partialDir); len(left) != 0 {
		r.t.Errorf("left of the download: %v", left)
	}
}

// below lists the files below a directory of the store.
func (r *rig) below(dir string) (files []string) {
	r.t.Helper()
	err := filepath.WalkDir(filepath.Join(r.options.Dir, dir), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// empty wants nothing of a model to be on disk.
func (r *rig) empty() {
	r.t.Helper()
	if left := slices.Concat(r.below(partialDir), r.below(modelDir), r.below(goneDir)); len(left) != 0 {
		r.t.Errorf("on disk: %v", left)
	}
}

func wantCode(t *testing.T, err error, code, words string) {
	t.Helper()
	if hives.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want %s with %q", err, code, words)
	}
}

// eventually waits for what other goroutines do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// shortStall is for tests in which a server stalls; others have patience.
const shortStall = 150 * time.Millisecond

// allowHost lets the guarded client of a store connect to one address of the test's.
func allowHost(s *Store, base string) {
	tr := s.hub.client.Transport.(*http.Transport)
	guarded := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if "http://"+address == base {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return guarded(ctx, network, address)
	}
}
