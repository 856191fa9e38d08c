package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"queen-rbee/hives"
)

// flight is one download of one model, whoever asks for it.
type flight struct {
	store *Store
	src   Source
	req   Request
	meter *meter
	root  *os.Root // the download's directory
	done  chan struct{}
	stop  context.CancelCauseFunc

	base int64 // bytes of files that are whole; only its own goroutine

	// Set before done is closed.
	model Model
	err   error

	// Guarded by the store's mutex.
	callers map[*caller]bool
	leaving bool // nobody waits for it any more
}

// caller is one who waits for a flight.
type caller struct{ tell func(Progress) }

// errLeft: nobody waits for the download any more.
var errLeft = errors.New("nobody waits for the download any more")

// run is the download's life.
func (f *flight) run(ctx context.Context) {
	defer close(f.done)
	telling, quiet := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { f.tellOn(telling) })
	f.model, f.err = f.fetch(ctx)
	quiet()
	wg.Wait()
	if f.root != nil {
		_ = f.root.Close()
	}
	f.store.landed(f)
}

// tellOn tells those who wait how far it is, at most once in a while, and once more at the end.
func (f *flight) tellOn(ctx context.Context) {
	tick := time.NewTicker(f.store.tune.tell)
	defer tick.Stop()
	last := Progress{Done: -1}
	tell := func() {
		if now := f.meter.progress(); now != last {
			last = now
			for _, c := range f.store.callersOf(f) {
				c.tell(now)
			}
		}
	}
	for {
		select {
		case <-tick.C:
			tell()
		case <-ctx.Done():
			tell()
			return
		}
	}
}

// count says how much of the present file is on disk.
func (f *flight) count(done int64) { f.meter.set(f.base + done) }

// fetch brings all files of the model and moves it to its place.
func (f *flight) fetch(ctx context.Context) (Model, error) {
	if err := f.store.enter(ctx); err != nil {
		return Model{}, err
	}
	defer f.store.leave()
	if err := f.open(); err != nil {
		return Model{}, coded(CodeDisk, err)
	}
	at := &pin{revision: f.src.revision}
	files, err := f.plan(ctx)
	if err != nil {
		return Model{}, err
	}
	total, seen := int64(0), make([]identity, len(files))
	for n, w := range files {
		if seen[n], err = f.learn(ctx, w, n, at); err != nil {
			return Model{}, err
		}
		total += seen[n].Size
	}
	f.meter.total(total)
	var have []got
	for n, w := range files {
		f.count(f.here(w.name))
		if err := f.store.makeRoom(f, total); err != nil {
			return Model{}, err
		}
		g, err := f.fetchFile(ctx, w, f.places(n, cmp.Or(w.sha256, seen[n].SHA256), at))
		if err != nil {
			return Model{}, err
		}
		have = append(have, g)
		f.base += g.Bytes
		f.count(0)
	}
	f.meter.total(f.base) // it may have changed meanwhile
	return f.finish(have)
}

// open makes or finds the directory of the download.
func (f *flight) open() (err error) {
	dir := path.Join(partialDir, f.src.key)
	if err := f.store.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f.root, err = f.store.root.OpenRoot(dir)
	return err
}

// here is how much of a file an earlier download has left.
func (f *flight) here(name string) int64 {
	if state := loadPartial(f.root, name); state != nil {
		return state.done()
	}
	return 0
}

func (f *flight) places(n int, sha256 string, at *pin) []*place {
	return f.store.places(f.src, n, sha256, f.req.Peers, at)
}

// plan names the files and what is known of them beforehand.
func (f *flight) plan(ctx context.Context) ([]wanted, error) {
	var out []wanted
	for _, name := range f.src.names() {
		out = append(out, wanted{name: name})
	}
	digest := strings.TrimPrefix(f.req.Digest, digestPrefix)
	switch {
	case len(out) == 1:
		out[0].sha256, out[0].size = digest, f.req.Bytes
	case digest != "":
		for _, base := range f.req.Peers {
			sums, err := f.listAt(ctx, base, digest, out)
			if err != nil {
				f.meter.trouble(fmt.Sprintf("%s: %v", base, err))
				continue
			}
			for i := range out {
				out[i].sha256 = sums[i]
			}
			break
		}
	}
	return out, ctx.Err()
}

// maxList is more than the list of a split model can have.
const maxList = maxSplit * (sha256.Size*2 + maxName + 3)

// listAt asks a peer for the list of a split model's files, which has the model's digest.
func (f *flight) listAt(ctx context.Context, base, digest string, files []wanted) ([]string, error) {
	p := f.store.peer(base, digest)
	if p == nil {
		return nil, hives.Errorf(hives.CodeInvalid, "%.100q is no URL of a hive", base)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.store.tune.stall, errStalled)
	defer cancel()
	a, err := p.get(ctx, 0, maxList)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.body.Close() }()
	text, err := io.ReadAll(io.LimitReader(a.body, maxList))
	if err != nil {
		return nil, err
	}
	if fmt.Sprintf("%x", sha256.Sum256(text)) != digest {
		return nil, hives.Errorf(CodeDigest, "what it sends for %s has another digest", digest)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != len(files) {
		return nil, hives.Errorf(CodeDigest, "its model has %d files, the source names %d", len(lines), len(files))
	}
	sums := make([]string, len(lines))
	for i, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		if !hexSHA256.MatchString(sum) || name != files[i].name {
			return nil, hives.Errorf(CodeDigest, "its model has other files")
		}
		sums[i] = sum
	}
	return sums, nil
}

// learn asks what is not known of a file: its size and, of a hub, its digest. It may be another
// when the file comes, unless somebody wants that very one.
func (f *flight) learn(ctx context.Context, w wanted, n int, at *pin) (identity, error) {
	if w.sha256 != "" && w.size != 0 {
		return identity{Size: w.size, SHA256: w.sha256}, nil
	}
	var last error
	for _, p := range f.places(n, w.sha256, at) {
		is, err := f.look(ctx, p)
		if err == nil {
			err = w.accepts(is)
		}
		if err == nil {
			return is, nil
		}
		if ctx.Err() != nil {
			return identity{}, context.Cause(ctx)
		}
		f.meter.trouble(fmt.Sprintf("%s: %v", p.name, err))
		last = err
	}
	return identity{}, last
}

// finish holds a whole model against what was wanted and moves it to its place.
func (f *flight) finish(files []got) (Model, error) {
	m := manifest{Version: manifestVersion, Source: f.src.String(), Files: files, Refs: refsOf(f.req.Ref)}
	if want := f.req.Digest; want != "" && want != m.digest() {
		for _, g := range files {
			if err := f.forget(g.Name); err != nil {
				return Model{}, err
			}
		}
		return Model{}, hives.Errorf(CodeDigest, "the model has the digest %s, wanted is %s: deleted", m.digest(), want)
	}
	return f.store.keep(f, m)
}

// refsOf is the list of one ref, or none.
func refsOf(ref string) []string {
	if ref == "" {
		return nil
	}
	return []string{ref}
}
