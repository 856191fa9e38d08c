package agent

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/models"
)

const (
	// shelfRetry is how long after a failure a model is fetched again, doubled each time up to
	// shelfRetryMax: a source may come back, and nobody else would ask.
	shelfRetry    = time.Minute
	shelfRetryMax = 30 * time.Minute
)

// shelf has the models here that are desired: it keeps one goroutine for each, and tells what
// is here. What is desired no longer stays until its room is needed, or an evict asks for it.
// Its mutex is taken after the table's, never before; nothing under it waits. Safe for
// concurrent use.
type shelf struct {
	store  *models.Store
	kick   func() // there is something new for a heartbeat
	logger hclog.Logger
	group  sync.WaitGroup

	mu      sync.Mutex
	books   map[string]*book  // desired ones by ref
	dropped map[string]uint64 // refs whose end came by doorbell, by its index
	index   uint64            // of the newest answer acted on
	news    chan struct{}     // closed and made anew after each change
	closed  bool
}

// book is one desired model. Its fields are guarded by the shelf's mutex.
type book struct {
	rec   hives.DesiredModel
	key   string // of its source; empty for one that is none
	stop  context.CancelFunc
	again chan struct{} // rung to try now

	state string
	tries int // that have ended
	err   *hives.Error
	model models.Model // present
	how   models.Progress
}

func newShelf(store *models.Store, logger hclog.Logger) *shelf {
	return &shelf{store: store, logger: logger, kick: func() {}, books: map[string]*book{}, dropped: map[string]uint64{}, news: make(chan struct{})}
}

// act acts on the models of a desired answer: it begins what is listed and missing, and lets go
// of what is not listed and not younger than the answer.
func (s *shelf) act(listed []hives.DesiredModel, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	is, changed := make(map[string]bool, len(listed)), false
	for _, rec := range listed {
		if s.dropped[rec.Ref] > index {
			continue
		}
		is[rec.Ref] = true
		changed = s.wantLocked(rec) || changed
	}
	for ref, b := range s.books {
		if !is[ref] && b.rec.Index <= index {
			s.dropLocked(ref)
			changed = true
		}
	}
	maps.DeleteFunc(s.dropped, func(_ string, at uint64) bool { return at <= index })
	s.index = index
	s.wakeLocked()
	if changed {
		s.kick()
	}
}

// forget is for another epoch, whose indexes say nothing of those of the last.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = 0
	clear(s.dropped)
	for _, b := range s.books {
		b.rec.Index = 0
	}
}

// want begins to have one model here, for a doorbell.
func (s *shelf) want(rec hives.DesiredModel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	delete(s.dropped, rec.Ref)
	if s.wantLocked(rec) {
		s.changedLocked()
	}
}

// wantLocked tells whether it is another model than before.
func (s *shelf) wantLocked(rec hives.DesiredModel) bool {
	b := s.books[rec.Ref]
	if b != nil && b.rec.Source == rec.Source {
		other := b.rec.Digest != rec.Digest || b.rec.Bytes != rec.Bytes || b.rec.Index < rec.Index && b.state == hives.ModelFailed
		rec.Index = max(rec.Index, b.rec.Index)
		b.rec = rec
		if other {
			ring(b.again)
		}
		return false
	}
	if b != nil {
		s.dropLocked(rec.Ref)
	}
	ctx, stop := context.WithCancel(context.Background())
	src, _ := models.Parse(rec.Source) // if it is none, Fetch says so
	b = &book{rec: rec, key: src.Key(), stop: stop, again: make(chan struct{}, 1), state: hives.ModelDownloading}
	s.books[rec.Ref] = b
	s.group.Go(func() { s.keep(ctx, b) })
	return true
}

func (s *shelf) dropLocked(ref string) {
	if b := s.books[ref]; b != nil {
		b.stop()
		delete(s.books, ref)
	}
}

// changedLocked wakes who waits for a change, and has the next heartbeat tell of it.
func (s *shelf) changedLocked() {
	s.wakeLocked()
	s.kick()
}

func (s *shelf) wakeLocked() {
	close(s.news)
	s.news = make(chan struct{})
}

// keep has one model here until ctx ends.
func (s *shelf) keep(ctx context.Context, b *book) {
	defer s.store.Claim(b.key)()
	for pause := shelfRetry; ; {
		s.mu.Lock()
		rec := b.rec
		s.mu.Unlock()
		m, err := s.store.Fetch(ctx, models.Request{Ref: rec.Ref, Source: rec.Source, Digest: rec.Digest, Bytes: rec.Bytes, Peers: rec.Peers},
			func(p models.Progress) { s.progress(b, p) })
		if ctx.Err() != nil {
			return
		}
		s.settle(b, m, err)
		if !await(ctx, b.again, err, pause) {
			return
		}
		if pause = min(2*pause, shelfRetryMax); err == nil {
			pause = shelfRetry
		}
		s.trying(b)
	}
}

// await waits for the bell, or after a failure for the time; false when ctx has ended.
func await(ctx context.Context, bell chan struct{}, failed error, pause time.Duration) bool {
	var later <-chan time.Time
	if failed != nil {
		t := time.NewTimer(pause)
		defer t.Stop()
		later = t.C
	}
	select {
	case <-bell:
		return true
	case <-later:
		return true
	case <-ctx.Done():
		return false
	}
}

// progress notes how far a download is; it rides along with the next heartbeat.
func (s *shelf) progress(b *book, p models.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Troubles > b.how.Troubles {
		s.logger.Warn("a download meets trouble", "model", b.rec.Ref, "trouble", p.Trouble)
	}
	b.how = p
}

// settle notes how a try has ended.
func (s *shelf) settle(b *book, m models.Model, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.tries++
	b.state, b.model, b.err = hives.ModelPresent, m, nil
	if err != nil {
		b.state, b.err = hives.ModelFailed, failureOf(err)
		s.logger.Error("model cannot be had", "model", b.rec.Ref, "error", err)
	}
	s.changedLocked()
}

// trying notes that a failed one is tried again.
func (s *shelf) trying(b *book) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.state == hives.ModelFailed {
		b.state, b.err, b.how = hives.ModelDownloading, nil, models.Progress{}
		s.changedLocked()
	}
}

// file waits until a model is here, for a worker of it, and claims it. index is the worker's
// own: an answer as young that lists no such model says that there is none.
func (s *shelf) file(ctx context.Context, ref string, index uint64) (m models.Model, _ func(), err error) {
	tries := -1
	for {
		s.mu.Lock()
		b, news := s.books[ref], s.news
		here := b != nil && b.state == hives.ModelPresent
		switch {
		case here:
			m = b.model
		case b == nil && s.index >= index:
			err = hives.Errorf(hives.CodeInvalid, "this hive does not serve the model %.256q: neither an engine of it nor the cluster's catalog names it", ref)
		case b != nil && b.state == hives.ModelFailed && tries < 0: // as it was before this worker
			tries = b.tries
			ring(b.again)
		case b != nil && b.state == hives.ModelFailed && b.tries > tries:
			err = b.err
		case b != nil && tries < 0:
			tries = b.tries
		}
		s.mu.Unlock()
		if err != nil {
			return m, nil, err
		}
		if here {
			release := s.store.Claim(m.Key)
			if s.holds(b) {
				return m, release, nil
			}
			release() // it was let go of meanwhile
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			return m, nil, ctx.Err()
		}
	}
}

// holds tells whether a book is still the one of its ref, and its model here.
func (s *shelf) holds(b *book) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books[b.rec.Ref] == b && b.state == hives.ModelPresent
}

// done is the part of a model that is here.
func (s *shelf) done(ref string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.books[ref]; b != nil && b.how.Total > 0 {
		return float64(b.how.Done) / float64(b.how.Total)
	}
	return 0
}

// report is what is here and what is coming, for a heartbeat, sorted by ref.
func (s *shelf) report() []hives.ModelReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []hives.ModelReport{}
	for ref, b := range s.books {
		r := hives.ModelReport{Ref: ref, State: b.state, Error: b.err, Digest: b.rec.Digest, Bytes: b.how.Done,
			DoneBytes: b.how.Done, TotalBytes: b.how.Total}
		if b.how.Total > 0 {
			r.Progress = float64(b.how.Done) / float64(b.how.Total)
		}
		if b.state == hives.ModelPresent {
			r.Digest, r.Bytes, r.Progress, r.DoneBytes, r.TotalBytes = b.model.Digest, b.model.Bytes, 0, b.model.Bytes, b.model.Bytes
		}
		out = append(out, r)
	}
	for _, m := range s.store.List() { // of others, used before
		for _, ref := range m.Refs {
			if s.books[ref] == nil {
				out = append(out, hives.ModelReport{Ref: ref, State: hives.ModelPresent, Digest: m.Digest, Bytes: m.Bytes,
					DoneBytes: m.Bytes, TotalBytes: m.Bytes})
			}
		}
	}
	slices.SortFunc(out, func(a, b hives.ModelReport) int { return cmp.Compare(a.Ref, b.Ref) })
	return out
}

// bytes is what all models here take of the disk.
func (s *shelf) bytes() (n int64) {
	for _, m := range s.store.List() {
		n += m.Bytes
	}
	return n
}

// evict lets go of a model and removes its file as soon as no worker uses it. It tells whether
// it has gone now.
func (s *shelf) evict(ref string, index uint64) (bool, error) {
	s.mu.Lock()
	var keys []string
	if b := s.books[ref]; b != nil && b.key != "" {
		keys = append(keys, b.key)
	}
	for _, m := range s.store.List() {
		if slices.Contains(m.Refs, ref) && !slices.Contains(keys, m.Key) {
			keys = append(keys, m.Key)
		}
	}
	s.dropLocked(ref)
	s.dropped[ref] = max(s.dropped[ref], index)
	s.changedLocked()
	s.mu.Unlock()
	if len(keys) == 0 {
		return false, hives.Errorf(hives.CodeNotFound, "this hive holds no model %.256q", ref)
	}
	gone := true
	var failed error
	for _, key := range keys {
		now, err := s.store.Remove(key)
		gone, failed = gone && now, errors.Join(failed, err)
	}
	s.kick()
	return gone, failed
}

// openShelf opens the directory of models.
func (a *Agent) openShelf() (*shelf, error) {
	o := a.cfg.Models
	o.PeerToken, o.Logger = a.cfg.Token, a.cfg.Logger.Named("models")
	store, err := models.Open(o)
	if err != nil {
		return nil, err
	}
	return newShelf(store, o.Logger), nil
}

// close ends all downloads and waits for them; what has come stays for the next agent.
func (s *shelf) close() {
	s.mu.Lock()
	s.closed = true
	for ref := range s.books {
		s.dropLocked(ref)
	}
	s.mu.Unlock()
	s.group.Wait()
	s.store.Close()
}
