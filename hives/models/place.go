package models

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"queen-rbee/hives"
)

// inPlace is what was found out about a model that is used where it is.
type inPlace struct {
	bytes  int64
	change time.Time // the newest of its files
	digest string
}

// place looks at a file: source. Its digest is read once, when somebody gives one.
func (s *Store) place(ctx context.Context, src Source, req Request) (Model, error) {
	var files []got
	var seen inPlace
	for _, name := range src.files {
		size, change, err := s.lookAt(name)
		if err != nil {
			return Model{}, err
		}
		seen.bytes += size
		if change.After(seen.change) {
			seen.change = change
		}
		files = append(files, got{Name: filepath.Base(name), Bytes: size})
	}
	m := Model{Key: src.key, Source: src.String(), Refs: refsOf(req.Ref), Path: src.files[0], Bytes: seen.bytes, InPlace: true, Used: time.Now()}
	if req.Bytes != 0 && req.Bytes != seen.bytes {
		return Model{}, hives.Errorf(CodeChanged, "%s has %d bytes, wanted are %d: it was changed", src, seen.bytes, req.Bytes)
	}
	if req.Digest == "" {
		return m, nil
	}
	s.mu.Lock()
	known := s.placed[src.key]
	s.mu.Unlock()
	if known.bytes != seen.bytes || !known.change.Equal(seen.change) {
		if err := sumInPlace(ctx, src.files, files); err != nil {
			return Model{}, err
		}
		known = seen
		known.digest = (&manifest{Files: files}).digest()
		s.mu.Lock()
		s.placed[src.key] = known
		s.mu.Unlock()
	}
	if m.Digest = known.digest; m.Digest != req.Digest {
		return Model{}, hives.Errorf(CodeDigest, "%s has the digest %s, wanted is %s", src, m.Digest, req.Digest)
	}
	return m, nil
}

func sumInPlace(ctx context.Context, paths []string, files []got) error {
	for i, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return coded(CodeNotThere, err)
		}
		files[i].SHA256, err = sumOf(ctx, f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// lookAt gives size and change of a file in place, or of a directory such as vLLM takes. What
// its path leads to, through all links, must be among what the operator has listed.
func (s *Store) lookAt(name string) (size int64, change time.Time, err error) {
	if len(s.opt.Files) == 0 {
		return 0, change, hives.Errorf(CodeRefused, "file: sources are not allowed on this hive: list their directories under models.files of its config")
	}
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, change, hives.Errorf(CodeNotThere, "%s is not on this hive", name)
	}
	if err != nil {
		return 0, change, coded(CodeNotThere, err)
	}
	if !slices.ContainsFunc(s.opt.Files, func(dir string) bool { return within(dir, real) }) {
		return 0, change, hives.Errorf(CodeRefused, "%s leads to %s, which is in none of the directories under models.files of the hive's config", name, real)
	}
	err = filepath.WalkDir(real, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.ModTime().After(change) {
			change = info.ModTime()
		}
		if info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	if err == nil && size == 0 {
		return 0, change, hives.Errorf(CodeNotThere, "%s is empty", name)
	}
	return size, change, coded(CodeNotThere, err)
}

// within tells whether a path, free of links, is what was listed or below it.
func within(listed, real string) bool {
	dir, err := filepath.EvalSymlinks(listed)
	if err != nil {
		return false
	}
	return real == dir || strings.HasPrefix(real, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}
