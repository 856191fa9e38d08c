package models

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"queen-rbee/hives"
)

// Inspect tells size, digest and memory of a model from what its source says and from its
// GGUF header alone. Of one that is here it reads the files. The memory is that of slots
// slots, each of so many tokens; 0 for one, and for as many as the model was trained for.
func (s *Store) Inspect(ctx context.Context, source string, slots, tokens int64) (Inspection, error) {
	src, err := Parse(source)
	if err != nil {
		return Inspection{}, err
	}
	if slots < 0 || tokens < 0 {
		return Inspection{}, hives.Errorf(hives.CodeInvalid, "slots, context: must not be negative")
	}
	if err := s.enter(ctx); err != nil { // it asks the network and writes headers: not too many at once
		return Inspection{}, err
	}
	defer s.leave()
	heads, err := newHeaders(s.opt.Dir)
	if err != nil {
		return Inspection{}, err
	}
	defer heads.remove()
	in, err := s.inspect(ctx, src, heads)
	switch {
	case errors.Is(err, errNoGGUF):
		in.Memory = guess(in.Bytes)
		return in, nil
	case err != nil:
		return Inspection{}, err
	}
	first, err := filepath.Glob(filepath.Join(heads.dir, "*"))
	if err != nil || len(first) == 0 {
		return Inspection{}, coded(CodeDisk, errors.Join(err, errors.New("no header was kept")))
	}
	told, err := estimate(first[0], slots, tokens)
	if err != nil {
		return Inspection{}, err
	}
	in.Architecture, in.ContextMax, in.Memory = told.Architecture, told.ContextMax, told.Memory
	return in, nil
}

// inspect fills in what the source says, and keeps the headers of all files.
func (s *Store) inspect(ctx context.Context, src Source, heads headers) (Inspection, error) {
	in := Inspection{Files: src.names()}
	s.mu.Lock()
	m := s.models[src.key]
	s.mu.Unlock()
	at := &pin{revision: src.revision}
	have := &manifest{}
	noGGUF := error(nil)
	for n := range src.files {
		one, err := s.header(ctx, src, m, n, at, heads)
		if errors.Is(err, errNoGGUF) {
			noGGUF, err = errNoGGUF, nil
		}
		if err != nil {
			return in, err
		}
		in.Bytes += one.Bytes
		one.Name = in.Files[n]
		have.Files = append(have.Files, one)
		if one.SHA256 == "" {
			have = &manifest{Files: have.Files, Version: -1}
		}
	}
	if have.Version == 0 {
		in.Digest = have.digest()
	}
	return in, noGGUF
}

// header reads the n-th file's, from where it is, and gives its size and digest.
func (s *Store) header(ctx context.Context, src Source, m *manifest, n int, at *pin, heads headers) (one got, err error) {
	var body io.ReadCloser
	switch {
	case m != nil:
		one = m.Files[n]
		body, err = s.root.Open(modelDir + "/" + src.key + "/" + one.Name)
	case src.kind == fromDisk:
		if one.Bytes, _, err = s.lookAt(src.files[n]); err != nil {
			return one, err
		}
		body, err = openFile(src.files[n])
	default:
		return s.headerFrom(ctx, s.places(src, n, "", nil, at)[0], n, len(src.files), heads)
	}
	if err != nil {
		return one, err
	}
	defer func() { _ = body.Close() }()
	return one, s.keepHeader(heads, body, n, len(src.files), one.Bytes)
}

// openFile opens what may be a directory, which is no GGUF.
func openFile(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, coded(CodeNotThere, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errNoGGUF, f.Close())
	}
	return f, nil
}

// headerFrom reads a header from a source: one request, whose body is read as far as needed.
func (s *Store) headerFrom(ctx context.Context, p *place, n, count int, heads headers) (got, error) {
	asking, cancel := context.WithTimeoutCause(ctx, s.tune.header, errStalled)
	defer cancel()
	one, err := s.readHeader(asking, p, n, count, heads)
	later, ok := errors.AsType[*laterError](err)
	switch {
	case ok:
		err = hives.Errorf(CodeUnreachable, "%s", later.why)
	case errors.Is(err, errNoSuchRange):
		err = hives.Errorf(CodeNotThere, "%s is empty", p.name)
	case ctx.Err() == nil && asking.Err() != nil:
		err = hives.Errorf(CodeUnreachable, "%s did not send its header within %v", p.name, s.tune.header)
	}
	return one, err
}

func (s *Store) readHeader(ctx context.Context, p *place, n, count int, heads headers) (got, error) {
	is, err := p.look(ctx)
	if err != nil {
		return got{}, err
	}
	if is.Size > s.opt.MaxBytes {
		return got{}, tooLarge(p, is.Size)
	}
	a, err := p.get(ctx, 0, min(is.Size, maxHeaderBytes))
	if err != nil {
		return got{}, err
	}
	defer func() { _ = a.body.Close() }()
	return got{Bytes: is.Size, SHA256: is.SHA256}, s.keepHeader(heads, a.body, n, count, is.Size)
}

// keepHeader copies a header to a file that is as long as the model's own, but empty behind it.
func (s *Store) keepHeader(heads headers, in io.Reader, n, count int, size int64) error {
	f, err := heads.file(n, count)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	out := bufio.NewWriterSize(f, 64<<10)
	if err := copyHeader(out, in); err != nil {
		return err
	}
	return coded(CodeDisk, errors.Join(out.Flush(), f.Truncate(size)))
}
