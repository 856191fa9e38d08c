package models

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
)

// Defaults of Options.
const (
	DefaultParts    = 4
	DefaultSlack    = 1 << 30
	DefaultMaxBytes = 4 << 40
	DefaultEndpoint = "https://huggingface.co"

	// atOnce is how many models are fetched at a time; others wait for their turn.
	atOnce = 3

	digestPrefix = "sha256:"
)

// Options are what a Store is told. Zero values take the defaults named here.
type Options struct {
	Dir string // absolute

	CacheLimit   int64    // bytes of all models in Dir; 0: as many as the disk holds
	Bandwidth    int64    // bytes a second of all downloads together; 0: no limit
	Parts        int      // of one file at once; 4
	Slack        int64    // bytes of the disk that stay free, or 5 % of a model if that is more; 1 GiB
	MaxBytes     int64    // of one file; 4 TiB
	Endpoint     string   // of the hub; https://huggingface.co
	Token        string   // shown to the endpoint alone
	AllowPrivate bool     // fetch from addresses of this machine and of private networks
	AllowHTTP    bool     // fetch over http
	Files        []string // files and directories that file: sources may name
	PeerToken    string   // shown to other hives

	Logger hclog.Logger
}

// Request is a model that somebody wants.
type Request struct {
	Ref    string // its name in the catalog; may be empty
	Source string
	Digest string   // "sha256:hex"; empty: any
	Bytes  int64    // 0: any
	Peers  []string // base URLs of hives that hold the digest, asked before the source
}

// Model is one that is here, whole.
type Model struct {
	Key     string
	Source  string // without secrets
	Refs    []string
	Path    string // absolute, of its first file
	Bytes   int64
	Digest  string // "sha256:hex"; empty for a file in place that nobody gave a digest for
	InPlace bool   // it is not in the directory of the store
	Used    time.Time
}

// Store keeps models. Make it with Open and Close it.
type Store struct {
	opt      Options
	tune     tuning
	logger   hclog.Logger
	root     *os.Root
	lock     *os.File
	hub      *web
	peers    *web
	endpoint *url.URL
	pace     pace
	turn     chan struct{}
	life     context.Context
	end      context.CancelCauseFunc
	running  sync.WaitGroup

	mu       sync.Mutex
	models   map[string]*manifest // whole ones by key
	flights  map[string]*flight
	claims   map[string]int
	doomed   map[string]bool // to be removed when the last claim ends
	placed   map[string]inPlace
	rooms    map[*flight]bool // downloads whose bytes still to come are counted on
	closed   bool
	gone     []string // directories that were taken away and are still to be removed
	removals int

	list atomic.Pointer[[]Model]
}

// ErrClosed is what a closed store answers, and what ends its downloads.
var ErrClosed = errors.New("the model store is closed")

// Fetch gives a model that is whole, and fetches it if it is not here. All who want the same
// model wait for one download, whose digest and peers the first of them named; it ends when
// ctx of the last has. tell, which may be nil, is called now and then from another goroutine and
// must not block. Errors are *hives.Error, but for the end of ctx and ErrClosed.
func (s *Store) Fetch(ctx context.Context, req Request, tell func(Progress)) (Model, error) {
	src, err := Parse(req.Source)
	if err != nil {
		return Model{}, err
	}
	if req.Digest != "" && !hexSHA256.MatchString(strings.TrimPrefix(req.Digest, digestPrefix)) {
		return Model{}, hives.Errorf(hives.CodeInvalid, "digest: %.80q is not sha256: and 64 hex digits", req.Digest)
	}
	if src.kind == fromDisk {
		return s.place(ctx, src, req)
	}
	me := &caller{tell: tell}
	if tell == nil {
		me.tell = func(Progress) {}
	}
	for {
		m, f, err := s.join(src, req, me)
		s.sweep()
		if f == nil {
			return m, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			s.part(f, me)
			return Model{}, context.Cause(ctx)
		}
		switch {
		case f.err == nil && (req.Digest == "" || req.Digest == f.model.Digest):
			return f.model, nil
		case f.err != nil && !errors.Is(f.err, errLeft):
			return Model{}, f.err
		}
		// It was one that ended as we came, or of another digest.
	}
}

// join gives the model, or the download to wait for.
func (s *Store) join(src Source, req Request, me *caller) (Model, *flight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Model{}, nil, ErrClosed
	}
	if f := s.flights[src.key]; f != nil {
		if !f.leaving {
			delete(s.doomed, src.key)
			f.callers[me] = true
		}
		return Model{}, f, nil
	}
	if m := s.models[src.key]; m != nil {
		if req.Digest == "" || req.Digest == m.digest() {
			err := s.useLocked(src.key, m, req.Ref)
			return s.modelOf(src.key, m), nil, err
		}
		if s.claims[src.key] > 0 {
			return Model{}, nil, hives.Errorf(CodeInUse, "%s is wanted with the digest %s and is in use with %s", src, req.Digest, m.digest())
		}
		if err := s.removeLocked(src.key); err != nil {
			return Model{}, nil, err
		}
	}
	delete(s.doomed, src.key)
	ctx, stop := context.WithCancelCause(s.life)
	f := &flight{store: s, src: src, req: req, meter: &meter{}, done: make(chan struct{}), stop: stop, callers: map[*caller]bool{me: true}}
	s.flights[src.key] = f
	s.running.Go(func() { f.run(ctx) })
	return Model{}, f, nil
}

// part ends a caller's waiting; the last one's ends the download.
func (s *Store) part(f *flight, me *caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(f.callers, me)
	if len(f.callers) == 0 && !f.leaving {
		f.leaving = true
		f.stop(errLeft)
	}
}

func (s *Store) callersOf(f *flight) []*caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*caller, 0, len(f.callers))
	for c := range f.callers {
		out = append(out, c)
	}
	return out
}

// landed takes note of a download that has ended.
func (s *Store) landed(f *flight) {
	defer s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	f.stop(nil)
	key := f.src.key
	delete(s.flights, key)
	delete(s.rooms, f)
	if s.doomed[key] && s.claims[key] == 0 {
		if err := s.removeLocked(key); err != nil {
			s.logger.Error("model cannot be removed", "source", f.src, "error", err)
		}
	}
}

// enter waits for a download's turn.
func (s *Store) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *Store) leave() { <-s.turn }

// Claim keeps the model of a key from being removed, or one that is still to come.
func (s *Store) Claim(key string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims[key]++
	return sync.OnceFunc(func() { s.release(key) })
}

func (s *Store) release(key string) {
	defer s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[key]--; s.claims[key] > 0 {
		return
	}
	delete(s.claims, key)
	m := s.models[key]
	switch {
	case s.flights[key] != nil: // landed sees to it
		return
	case s.doomed[key]:
		if err := s.removeLocked(key); err != nil {
			s.logger.Error("model cannot be removed", "key", key, "error", err)
		}
		return
	case m == nil:
		return
	}
	if err := s.useLocked(key, m, ""); err != nil { // it was used until now
		s.logger.Warn("the use of a model cannot be noted", "source", m.Source, "error", err)
	}
}

// Remove removes the model of a key and what has come of one. A claimed one goes as soon as its last
// claim ends; a download of it goes on. It tells whether it has gone now.
func (s *Store) Remove(key string) (bool, error) {
	if !keyPattern.MatchString(key) {
		return false, hives.Errorf(hives.CodeInvalid, "%.80q is not the key of a model", key)
	}
	defer s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[key] > 0 || s.flights[key] != nil {
		s.doomed[key] = true
		return false, nil
	}
	return true, s.removeLocked(key)
}

// List is every whole model in the directory, sorted by key. It never waits; it is not to be changed.
func (s *Store) List() []Model {
	return *s.list.Load()
}

// Limit is how many bytes all models may take; 0: as many as the disk holds.
func (s *Store) Limit() int64 { return s.opt.CacheLimit }

// Close ends all downloads and waits for them; what has come of them stays.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(ErrClosed)
	s.running.Wait()
	s.hub.close()
	s.peers.close()
	_ = s.root.Close()
	_ = s.lock.Close()
}

func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail * uint64(st.Bsize)), nil
}
