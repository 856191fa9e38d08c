package models

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/models/hubtest"
)

// many puts files of 100,000 bytes and gives their sources.
func (r *rig) many(n int) (sources []string) {
	for i := range n {
		name := fmt.Sprintf("org/repo/m%d.gguf", i)
		r.hub.Put(name, hubtest.Noise(uint64(i), 100_000))
		sources = append(sources, "hf:"+name)
	}
	return sources
}

func (r *rig) mustFetch(source string) Model {
	r.t.Helper()
	m, _, err := r.fetch(Request{Source: source})
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// held are the sources of all models there are, as their names say.
func (r *rig) held() string {
	var names []string
	for _, m := range r.store.List() {
		if _, err := os.Stat(m.Path); err != nil {
			r.t.Error(err)
		}
		names = append(names, m.Source)
	}
	return fmt.Sprint(len(names), " ", strings.Join(names, " "))
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CacheLimit = 350_000 })
	s := r.many(5)
	for i, source := range s[:3] {
		m := r.mustFetch(source)
		r.used(m, i)
	}
	r.used(r.mustFetch(s[0]), 10) // used again: 1 is the oldest now
	release := r.store.Claim(keyOf(t, s[1]))
	r.mustFetch(s[3])
	if got := r.held(); strings.Contains(got, "m2.gguf") || !strings.Contains(got, "m1.gguf") || !strings.Contains(got, "m0.gguf") {
		t.Errorf("the oldest that nobody claims is m2: %s", got)
	}
	release() // and was used until now
	release()
	r.again()
	r.mustFetch(s[4])
	if got := r.held(); strings.Contains(got, "m0.gguf") || !strings.Contains(got, "m1.gguf") || !strings.HasPrefix(got, "3 ") {
		t.Errorf("after a restart the oldest is m0: %s", got)
	}
}

// used sets when a model was used last, minutes after some time long past.
func (r *rig) used(m Model, minutes int) {
	r.t.Helper()
	at := time.Now().Add(time.Duration(minutes)*time.Minute - time.Hour)
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	r.store.models[m.Key].used = at
	if err := os.Chtimes(filepath.Join(filepath.Dir(m.Path), manifestName), at, at); err != nil {
		r.t.Fatal(err)
	}
}

func TestCacheFullOfClaimed(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CacheLimit = 250_000 })
	s := r.many(3)
	for _, source := range s[:2] {
		r.mustFetch(source)
		defer r.store.Claim(keyOf(t, source))()
	}
	_, _, err := r.fetch(Request{Source: s[2]})
	wantCode(t, err, CodeNoSpace, "the cache limit is 250000 bytes")
	if got := r.held(); !strings.HasPrefix(got, "2 ") {
		t.Errorf("%s", got)
	}
}

func TestDiskSpace(t *testing.T) {
	r := newRig(t)
	s := r.many(2)
	r.mustFetch(s[0])
	free := int64(1<<20 + 99_999)
	r.store.tune.free = func(string) (int64, error) { return free, nil }
	_, _, err := r.fetch(Request{Source: s[1]})
	wantCode(t, err, CodeNoSpace, "100000 bytes are needed")
	if r.hub.Sent() > 100_000+4 {
		t.Error("it was fetched nevertheless")
	}
	if got := r.held(); !strings.HasPrefix(got, "0 ") {
		t.Errorf("the other one could have gone, and did not: %s", got)
	}
	free++
	r.mustFetch(s[1])
}

func TestRemove(t *testing.T) {
	r := newRig(t)
	source := r.many(1)[0]
	r.mustFetch(source)
	release := r.store.Claim(keyOf(t, source))
	if gone, err := r.store.Remove(keyOf(t, source)); gone || err != nil || len(r.store.List()) != 1 {
		t.Errorf("a claimed one: %v, %v", gone, err)
	}
	release()
	if r.empty(); len(r.store.List()) != 0 {
		t.Error("it stays after its last claim")
	}
	m := r.mustFetch(source)
	if gone, err := r.store.Remove(keyOf(t, source)); !gone || err != nil {
		t.Errorf("%v, %v", gone, err)
	}
	if _, err := os.Stat(m.Path); err == nil {
		t.Error("it is there")
	}
	r.empty()
	// Wanted again before its last claim ended, it stays.
	r.mustFetch(source)
	release = r.store.Claim(keyOf(t, source))
	if _, err := r.store.Remove(keyOf(t, source)); err != nil {
		t.Fatal(err)
	}
	r.mustFetch(source)
	release()
	if len(r.store.List()) != 1 {
		t.Error("it went though it was wanted again")
	}
}

// What a start finds in its directory is not believed.
func TestOpenDistrusts(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, m Model){
		"a file is gone":  func(t *testing.T, m Model) { must(t, os.Remove(m.Path)) },
		"a file is short": func(t *testing.T, m Model) { must(t, os.Truncate(m.Path, 10)) },
		"a file is a link": func(t *testing.T, m Model) {
			secret := filepath.Join(t.TempDir(), "secret")
			must(t, os.WriteFile(secret, make([]byte, m.Bytes), 0o600))
			must(t, os.Remove(m.Path))
			must(t, os.Symlink(secret, m.Path))
		},
		"the manifest is gone": func(t *testing.T, m Model) { must(t, os.Remove(filepath.Join(filepath.Dir(m.Path), manifestName))) },
		"the manifest names another place": func(t *testing.T, m Model) {
			must(t, os.WriteFile(filepath.Join(filepath.Dir(m.Path), manifestName),
				[]byte(`{"version":1,"files":[{"name":"../../lock","bytes":0,"sha256":"`+strings.Repeat("a", 64)+`"}]}`), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			m := r.mustFetch(r.request().Source)
			r.store.Close()
			harm(t, m)
			r.open()
			if len(r.store.List()) != 0 {
				t.Errorf("it is taken for whole: %+v", r.store.List())
			}
			r.holds(r.mustFetch(r.request().Source), r.content)
		})
	}
}

// A directory that is a link leads nowhere.
func TestLinksLeadNowhere(t *testing.T) {
	r := newRig(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "tiny.gguf"), []byte("mine"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(r.options.Dir, partialDir, keyOf(t, r.request().Source))))
	_, _, err := r.fetch(r.request())
	wantCode(t, err, CodeDisk, "")
	if data, err := os.ReadFile(filepath.Join(outside, "tiny.gguf")); err != nil || string(data) != "mine" {
		t.Errorf("it was written to: %q, %v", data, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOnlyOneStoreADirectory(t *testing.T) {
	r := newRig(t)
	if _, err := Open(r.options); err == nil || !strings.Contains(err.Error(), "--models-dir") {
		t.Errorf("a second one: %v", err)
	}
}

func TestOldPartialsGo(t *testing.T) {
	r := newRig(t)
	old := filepath.Join(r.options.Dir, partialDir, strings.Repeat("0", 32))
	must(t, os.MkdirAll(filepath.Join(old, "x"), 0o700))
	must(t, os.Chtimes(old, time.Now(), time.Now().Add(-8*24*time.Hour)))
	foreign := filepath.Join(r.options.Dir, partialDir, "notes")
	must(t, os.MkdirAll(foreign, 0o700))
	r.again()
	if _, err := os.Stat(old); err == nil {
		t.Error("it is there after a week")
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error("what is none of ours was removed")
	}
}

// peer serves the blobs of a store as a hive does.
func peer(t *testing.T, s *Store, token string) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b, err := s.Blob(filepath.Base(q.URL.Path))
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		defer func() { _ = b.Close() }()
		http.ServeContent(w, q, "", time.Time{}, b)
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return srv
}

func TestPeersAreAskedFirst(t *testing.T) {
	has, wants := newRig(t), newRig(t)
	one := has.mustFetch(has.request().Source)
	for i := 1; i <= 2; i++ {
		for _, r := range []*rig{has, wants} {
			r.hub.Put(fmt.Sprintf("org/repo/s-%05d-of-00002.gguf", i), hubtest.Noise(uint64(i), 80_000))
		}
	}
	split := has.mustFetch("hf:org/repo/s-00001-of-00002.gguf")
	srv := peer(t, has.store, "hive-token")
	for _, m := range []Model{one, split} {
		got, _, err := wants.fetch(Request{Source: m.Source, Digest: m.Digest, Peers: []string{"http://127.0.0.1:1", srv.URL}})
		if err != nil || got.Digest != m.Digest || got.Bytes != m.Bytes {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if n := wants.hub.Requests(); n != 0 {
		t.Errorf("the hub was asked %d times", n)
	}
}

func TestPeersThatFail(t *testing.T) {
	has := newRig(t)
	m := has.mustFetch(has.request().Source)
	good := peer(t, has.store, "hive-token")
	lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.ServeContent(w, q, "", time.Time{}, strings.NewReader(strings.Repeat("x", len(has.content))))
	}))
	t.Cleanup(func() { lying.CloseClientConnections(); lying.Close() })
	leading := httptest.NewServer(http.RedirectHandler(good.URL, http.StatusFound))
	t.Cleanup(func() { leading.CloseClientConnections(); leading.Close() })
	for name, c := range map[string]struct {
		peer    string
		trouble string
	}{
		"lies":              {lying.URL, "deleted"},
		"redirects":         {leading.URL, "redirects"},
		"wants another key": {peer(t, has.store, "another").URL, "401"},
		"is gone":           {"http://127.0.0.1:1", "refused"},
		"is no URL":         {"::", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			req := r.request()
			req.Digest, req.Peers = m.Digest, []string{c.peer}
			got, e, err := r.fetch(req)
			if err != nil {
				t.Fatal(err)
			}
			r.holds(got, r.content)
			if c.trouble != "" && !e.said(c.trouble) {
				t.Errorf("%q was not told: %+v", c.trouble, e.last())
			}
			if sent := r.hub.Sent(); sent == 0 {
				t.Errorf("the hub sent %d bytes", sent)
			}
		})
	}
}

// What came of a peer that dies on the way is not fetched again.
func TestPeerThatDies(t *testing.T) {
	has, r := newRig(t), newRig(t)
	m := has.mustFetch(has.request().Source)
	first := make(chan struct{}) // closed when the first part is here
	dying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := has.store.Blob(filepath.Base(q.URL.Path))
		if err != nil || q.Header.Get("Range") != "bytes=0-0" && q.Header.Get("Range") != "bytes=0-65535" {
			<-first
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = b.Close() }()
		http.ServeContent(w, q, "", time.Time{}, b)
	}))
	t.Cleanup(func() { dying.CloseClientConnections(); dying.Close() })
	req := r.request()
	req.Digest, req.Peers = m.Digest, []string{dying.URL}
	came := sync.OnceFunc(func() { close(first) })
	got, err := r.store.Fetch(t.Context(), req, func(p Progress) {
		if p.Done >= 65536 {
			came()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r.holds(got, r.content)
	if sent, want := r.hub.Sent(), int64(len(r.content))-65536; sent < want || sent > want+2 {
		t.Errorf("the hub sent %d bytes, want %d", sent, want)
	}
}

func TestInPlace(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	name, hidden, linked := filepath.Join(dir, "m.gguf"), filepath.Join(elsewhere, "s.gguf"), filepath.Join(dir, "l.gguf")
	content := hubtest.Noise(3, 5000)
	must(t, os.WriteFile(name, content, 0o600))
	must(t, os.WriteFile(hidden, content, 0o600))
	must(t, os.Symlink(hidden, linked))
	r := newRig(t, func(o *Options) { o.Files = []string{dir} })
	m, _, err := r.fetch(Request{Source: "file:" + name})
	if err != nil || m.Path != name || !m.InPlace || m.Bytes != 5000 {
		t.Errorf("%+v, %v", m, err)
	}
	m, _, err = r.fetch(Request{Source: "file:" + name, Digest: r.hub.Put("x", content)})
	if err != nil || m.Digest == "" {
		t.Errorf("%+v, %v", m, err)
	}
	r.empty() // nothing is copied
	for source, want := range map[string][2]string{
		"file:" + hidden:                        {CodeRefused, "models.files"},
		"file:" + linked:                        {CodeRefused, "leads to " + hidden},
		"file:" + filepath.Join(dir, "no.gguf"): {CodeNotThere, "is not on this hive"},
	} {
		_, _, err := r.fetch(Request{Source: source})
		wantCode(t, err, want[0], want[1])
	}
	_, _, err = r.fetch(Request{Source: "file:" + name, Digest: "sha256:" + strings.Repeat("0", 64)})
	wantCode(t, err, CodeDigest, "wanted is")
	if m, _, err := r.fetch(Request{Source: "file:" + dir}); err != nil || m.Path != dir {
		t.Errorf("a directory: %+v, %v", m, err)
	}
	none := newRig(t)
	_, _, err = none.fetch(Request{Source: "file:" + name})
	wantCode(t, err, CodeRefused, "models.files")
}

func TestBandwidth(t *testing.T) {
	p := pace{rate: 1 << 40}
	if err := p.wait(t.Context(), 1<<20); err != nil {
		t.Error(err)
	}
	slow := pace{rate: 1}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := slow.wait(ctx, 1<<20); err == nil {
		t.Error("a mebibyte passed within a second")
	}
	r := newRig(t, func(o *Options) { o.Bandwidth = 4 << 20 })
	m, _, err := r.fetch(r.request())
	if err != nil {
		t.Fatal(err)
	}
	r.holds(m, r.content)
}

func TestBlob(t *testing.T) {
	r := newRig(t)
	m := r.mustFetch(r.request().Source)
	b, err := r.store.Blob(strings.TrimPrefix(m.Digest, digestPrefix))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(b)
	if err != nil || string(data) != string(r.content) || b.Close() != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	for _, bad := range []string{"", "x", strings.Repeat("0", 64), "../lock"} {
		if _, err := r.store.Blob(bad); hives.CodeOf(err) != hives.CodeNotFound {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
