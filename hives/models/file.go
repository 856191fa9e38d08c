package models

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"queen-rbee/hives"
)

// wanted is one file of a model, as much as is known of it.
type wanted struct {
	name   string
	sha256 string // of whoever wants it; empty: any
	size   int64  // 0: any
}

// got is one file that is here, whole.
type got struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// fetchFile brings one file into the directory of a download, from the first place that can
// give it. It goes on with what is there if that is of the same content.
func (f *flight) fetchFile(ctx context.Context, w wanted, places []*place) (got, error) {
	var last error
	for i, p := range places {
		g, err := f.fetchFrom(ctx, w, p)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil || hives.CodeOf(err) == CodeDisk || hives.CodeOf(err) == CodeNoSpace {
			return got{}, err
		}
		last = err
		if i+1 < len(places) {
			f.meter.trouble(fmt.Sprintf("%s: %v; asking %s", p.name, err, places[i+1].name))
		}
	}
	return got{}, last
}

// fetchFrom fetches a file from one place, anew when its content changes meanwhile.
func (f *flight) fetchFrom(ctx context.Context, w wanted, p *place) (got, error) {
	for anew := 0; ; anew++ {
		is, err := f.look(ctx, p)
		if err != nil {
			return got{}, err
		}
		if err := w.accepts(is); err != nil {
			return got{}, err
		}
		g, resumed, err := f.attempt(ctx, w, p, is)
		mixed := resumed && hives.CodeOf(err) == CodeDigest // what an earlier process left may be to blame
		switch {
		case !errors.Is(err, errAnew) && !mixed:
			return g, err
		case anew >= f.store.tune.anew:
			return got{}, hives.Errorf(CodeChanged, "%s changed %d times while it was fetched from %s", w.name, anew+1, p.name)
		}
		f.meter.trouble(fmt.Sprintf("%s: %v; starting over", w.name, err))
		if err := f.forget(w.name); err != nil {
			return got{}, err
		}
		if err := pause(ctx, f.store.tune.wait(anew+1, 0)); err != nil {
			return got{}, err
		}
	}
}

// accepts tells whether what a place has can be what is wanted.
func (w wanted) accepts(is identity) error {
	switch {
	case w.sha256 != "" && is.SHA256 != "" && is.SHA256 != w.sha256:
		return hives.Errorf(CodeDigest, "the source has %s with sha256 %s now, wanted is %s: it was changed at the source", w.name, is.SHA256, w.sha256)
	case w.size != 0 && is.Size != w.size:
		return hives.Errorf(CodeChanged, "the source has %s with %d bytes now, wanted are %d: it was changed at the source", w.name, is.Size, w.size)
	}
	return nil
}

// look asks a place what it has, and again when that fails for a while.
func (f *flight) look(ctx context.Context, p *place) (identity, error) {
	tune := &f.store.tune
	for tries := 1; ; tries++ {
		asking, cancel := context.WithTimeoutCause(ctx, tune.stall, errStalled)
		is, err := p.look(asking)
		cancel()
		switch {
		case err == nil && is.Size > 0:
			if is.Size > f.store.opt.MaxBytes {
				return is, tooLarge(p, is.Size)
			}
			return is, nil
		case err == nil, errors.Is(err, errNoSuchRange):
			return is, hives.Errorf(CodeNotThere, "%s is empty", p.name)
		case ctx.Err() != nil:
			return is, context.Cause(ctx)
		}
		later, may := errors.AsType[*laterError](err)
		if errors.Is(err, errStalled) {
			later, may = &laterError{why: fmt.Sprintf("%s did not answer within %v", p.name, tune.stall)}, true
		}
		switch {
		case !may:
			return is, err
		case tries > tune.tries || p.peer: // another peer or the source has it too
			return is, hives.Errorf(CodeUnreachable, "%s", later.why)
		}
		f.meter.trouble(later.why + "; trying again")
		if err := pause(ctx, tune.wait(tries, later.after)); err != nil {
			return is, err
		}
	}
}

func tooLarge(p *place, size int64) error {
	return hives.Errorf(CodeRefused, "%s has %s: more than a file of a model may have here", p.name, bytesOf(size))
}

// attempt fetches what is missing of a file and holds it against its digest. resumed: part of
// it was here before.
func (f *flight) attempt(ctx context.Context, w wanted, p *place, is identity) (g got, resumed bool, err error) {
	state := loadPartial(f.root, w.name)
	if state != nil && !state.goesOn(p.name, is, w.sha256) {
		f.meter.trouble(w.name + ": what an earlier download left is of another content; starting over")
		state = nil
	}
	if state == nil {
		state = newPartial(p.name, is, f.store.partSize(is.Size))
		if err := f.forget(w.name); err != nil {
			return got{}, false, err
		}
	}
	state.Place, state.Is = p.name, is
	if is.SHA256 == "" {
		state.Is.SHA256 = w.sha256 // it is held against it in the end
	}
	before := state.done()
	f.count(before)
	if state.Whole && (w.sha256 == "" || state.SHA256 == w.sha256) {
		return got{w.name, is.Size, state.SHA256}, true, nil
	}
	if err := f.download(ctx, w, p, state); err != nil {
		return got{}, before > 0, err
	}
	sum, err := f.digest(ctx, w.name)
	if err != nil {
		return got{}, true, err
	}
	for _, right := range []string{w.sha256, is.SHA256} {
		if right != "" && right != sum {
			if err := f.forget(w.name); err != nil {
				return got{}, false, err
			}
			return got{}, before > 0, hives.Errorf(CodeDigest, "%s has sha256 %s, wanted is %s: deleted", w.name, sum, right)
		}
	}
	state.Whole, state.SHA256 = true, sum
	return got{w.name, is.Size, sum}, before > 0, coded(CodeDisk, state.save(f.root, w.name))
}

// download fetches the parts of a file into it.
func (f *flight) download(ctx context.Context, w wanted, p *place, state *partial) (err error) {
	file, err := f.root.OpenFile(w.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return coded(CodeDisk, err)
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = coded(CodeDisk, closed)
		}
	}()
	if err := file.Truncate(state.Is.Size); err != nil {
		return coded(CodeDisk, err)
	}
	s := f.store
	t := &transfer{tune: &s.tune, pace: &s.pace, place: p, root: f.root, file: file, name: w.name, meter: f.meter,
		many: s.opt.Parts, state: state}
	if err := t.saveNow(); err != nil { // before the first byte: a kill leaves nothing that cannot be explained
		return coded(CodeDisk, err)
	}
	err = t.run(ctx)
	if !errors.Is(err, errWholeOnly) {
		return err
	}
	f.meter.trouble(w.name + ": " + err.Error() + ": fetched as one, and from the beginning after each break")
	return f.asOne(ctx, t)
}

// asOne fetches a file in one piece from a server that knows no ranges: what broke off begins
// at the beginning.
func (f *flight) asOne(ctx context.Context, t *transfer) error {
	for tries := 1; ; tries++ {
		f.count(0)
		t.state.Parts, t.next = []span{{To: t.state.Is.Size}}, 0
		_, err := t.once(ctx, 0)
		if err == nil {
			return coded(CodeDisk, t.saveNow())
		}
		later, may := errors.AsType[*laterError](err)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !may:
			return err
		case tries > t.tune.tries:
			return hives.Errorf(CodeUnreachable, "%s was tried %d times: %s", t.name, tries, later.why)
		}
		f.meter.trouble(fmt.Sprintf("%s: %s; trying again", t.name, later.why))
		if err := pause(ctx, t.tune.wait(tries, later.after)); err != nil {
			return err
		}
	}
}

// forget removes what is here of a file.
func (f *flight) forget(name string) error {
	f.count(0)
	return coded(CodeDisk, errors.Join(drop(f.root, stateName(name)), drop(f.root, name)))
}

// digest reads a file and gives its SHA-256 in hex.
func (f *flight) digest(ctx context.Context, name string) (string, error) {
	file, err := f.root.Open(name)
	if err != nil {
		return "", coded(CodeDisk, err)
	}
	defer func() { _ = file.Close() }()
	return sumOf(ctx, file)
}

func sumOf(ctx context.Context, file io.Reader) (string, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := file.Read(buf)
		h.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Sprintf("%x", h.Sum(nil)), nil
		case err != nil:
			return "", coded(CodeDisk, err)
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		}
	}
}

// partSize is that of the parts of a file: several rounds of parts, so that a slow last one
// holds up little.
func (s *Store) partSize(size int64) int64 {
	return min(max(size/int64(4*s.opt.Parts), s.tune.partMin), s.tune.partMax)
}

// bytesOf writes a number of bytes for people.
func bytesOf(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
