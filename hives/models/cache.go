package models

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"queen-rbee/hives"
)

// manifest is model.json, beside the files of a whole model. Its time of change is when the
// model was used last.
type manifest struct {
	Version int      `json:"version"`
	Source  string   `json:"source"` // for people
	Refs    []string `json:"refs"`
	Files   []got    `json:"files"`

	used time.Time
}

const (
	manifestVersion = 1
	maxRefs         = 64
)

func (m *manifest) bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// list is what sha256sum prints of the files of a split model.
func (m *manifest) list() string {
	var b strings.Builder
	for _, f := range m.Files {
		_, _ = fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Name)
	}
	return b.String()
}

func (m *manifest) digest() string {
	if len(m.Files) == 1 {
		return digestPrefix + m.Files[0].SHA256
	}
	return fmt.Sprintf("%s%x", digestPrefix, sha256.Sum256([]byte(m.list())))
}

func (s *Store) modelOf(key string, m *manifest) Model {
	return Model{Key: key, Source: m.Source, Refs: slices.Clone(m.Refs), Bytes: m.bytes(), Digest: m.digest(), Used: m.used,
		Path: filepath.Join(s.opt.Dir, modelDir, key, m.Files[0].Name)}
}

// readManifest reads the manifest of a model and looks whether its files are there.
func (s *Store) readManifest(key string) (*manifest, error) {
	dir := path.Join(modelDir, key)
	var m manifest
	if err := readJSON(s.root, path.Join(dir, manifestName), maxStateFile, &m); err != nil {
		return nil, err
	}
	if m.Version != manifestVersion || len(m.Files) == 0 || len(m.Files) > maxSplit {
		return nil, fmt.Errorf("it is of version %d with %d files", m.Version, len(m.Files))
	}
	for _, f := range m.Files {
		info, err := s.root.Lstat(path.Join(dir, f.Name))
		if err != nil {
			return nil, err
		}
		if f.Name != fileName(f.Name) || !info.Mode().IsRegular() || info.Size() != f.Bytes || !hexSHA256.MatchString(f.SHA256) {
			return nil, fmt.Errorf("%.100q is not the file that came", f.Name)
		}
		if err := drop(s.root, path.Join(dir, stateName(f.Name))); err != nil { // a kill came between
			return nil, err
		}
	}
	info, err := s.root.Stat(path.Join(dir, manifestName))
	if err != nil {
		return nil, err
	}
	m.used = info.ModTime()
	return &m, nil
}

// useLocked notes that a model is used now, under a ref if it has one.
func (s *Store) useLocked(key string, m *manifest, ref string) error {
	delete(s.doomed, key)
	m.used = time.Now()
	defer s.publishLocked()
	name := path.Join(modelDir, key, manifestName)
	if ref == "" || slices.Contains(m.Refs, ref) || len(m.Refs) >= maxRefs {
		return coded(CodeDisk, s.root.Chtimes(name, m.used, m.used))
	}
	m.Refs = append(m.Refs, ref)
	s.unnameLocked(key, ref)
	return coded(CodeDisk, writeJSON(s.root, name, m))
}

// unnameLocked takes a ref from the models that had it before: its source is another now.
func (s *Store) unnameLocked(key, ref string) {
	for other, m := range s.models {
		if at := slices.Index(m.Refs, ref); other != key && at >= 0 {
			m.Refs = slices.Delete(m.Refs, at, at+1)
			if err := writeJSON(s.root, path.Join(modelDir, other, manifestName), m); err != nil {
				s.logger.Warn("the name of a model cannot be changed", "source", m.Source, "error", err)
			}
		}
	}
}

// keep moves the directory of a download, whose files are synced, to the whole models.
func (s *Store) keep(f *flight, m manifest) (Model, error) {
	m.used = time.Now()
	key := f.src.key
	err := errors.Join(writeJSON(f.root, manifestName, m), syncDir(f.root, "."))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = s.root.Rename(path.Join(partialDir, key), path.Join(modelDir, key))
	}
	if err == nil {
		err = errors.Join(syncDir(s.root, modelDir), syncDir(s.root, partialDir))
	}
	if err != nil {
		return Model{}, coded(CodeDisk, err)
	}
	for _, file := range m.Files { // they belong to the download
		_ = drop(s.root, path.Join(modelDir, key, stateName(file.Name))) // else the next start does it
	}
	s.models[key] = &m
	defer s.publishLocked()
	for _, ref := range m.Refs {
		s.unnameLocked(key, ref)
	}
	s.logger.Info("model is here", "source", m.Source, "digest", m.digest(), "bytes", m.bytes())
	return s.modelOf(key, &m), nil
}

// removeLocked takes a whole model away, and what has come of one. Call sweep when the mutex is
// free: large files take their time to go.
func (s *Store) removeLocked(key string) error {
	delete(s.doomed, key)
	if m := s.models[key]; m != nil {
		s.logger.Info("model is removed", "source", m.Source, "bytes", m.bytes())
		delete(s.models, key)
		s.publishLocked()
	}
	for _, dir := range []string{modelDir, partialDir} {
		s.removals++
		gone := path.Join(goneDir, strconv.Itoa(s.removals))
		err := s.root.Rename(path.Join(dir, key), gone)
		if err == nil {
			s.gone = append(s.gone, gone)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return coded(CodeDisk, err)
		}
	}
	return nil
}

// sweep removes what was taken away. What it cannot remove the next start does.
func (s *Store) sweep() {
	s.mu.Lock()
	gone := s.gone
	s.gone = nil
	s.mu.Unlock()
	for _, dir := range gone {
		if err := s.root.RemoveAll(dir); err != nil {
			s.logger.Error("what was removed still takes room", "dir", dir, "error", err)
		}
	}
}

// publishLocked shows what List is to give.
func (s *Store) publishLocked() {
	out := make([]Model, 0, len(s.models))
	for key, m := range s.models {
		out = append(out, s.modelOf(key, m))
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Compare(a.Key, b.Key) })
	s.list.Store(&out)
}

// makeRoom sees that the disk and the cache limit have room for what is still to come of a
// download, besides what others are counting on. The models that go for it are those used
// least lately that nobody claims.
func (s *Store) makeRoom(f *flight, total int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rooms[f] = true
	slack := max(s.opt.Slack, total/20)
	for {
		free, err := s.tune.free(s.opt.Dir)
		if err != nil {
			return coded(CodeDisk, err)
		}
		coming, held := int64(0), int64(0)
		for other := range s.rooms {
			p := other.meter.progress()
			coming += max(0, p.Total-p.Done)
			held += p.Total
		}
		for _, m := range s.models {
			held += m.bytes()
		}
		full := free < coming+slack
		if !full && (s.opt.CacheLimit <= 0 || held <= s.opt.CacheLimit) {
			return nil
		}
		gone, err := s.evictLocked(f.src.key)
		if err != nil {
			return err
		}
		if gone {
			s.mu.Unlock()
			s.sweep() // what it took must be free when it is asked for
			s.mu.Lock()
			continue
		}
		delete(s.rooms, f)
		if full {
			return hives.Errorf(CodeNoSpace, "%s are needed for the model and %s are to stay free, but %s has %s free and all models on it are in use or wanted",
				bytesOf(coming), bytesOf(slack), s.opt.Dir, bytesOf(free))
		}
		return hives.Errorf(CodeNoSpace, "with this model %s would be kept, the cache limit is %s, and all other models are in use or wanted",
			bytesOf(held), bytesOf(s.opt.CacheLimit))
	}
}

// evictLocked removes the model used least lately, or what has come of a download that nobody
// goes on with, if there is any that may go.
func (s *Store) evictLocked(but string) (bool, error) {
	partials, err := s.keysIn(partialDir)
	if err != nil {
		return false, coded(CodeDisk, err)
	}
	for _, key := range partials {
		if s.flights[key] == nil && s.claims[key] == 0 && key != but {
			return true, s.removeLocked(key)
		}
	}
	victim := ""
	for key, m := range s.models {
		if s.claims[key] == 0 && (victim == "" || m.used.Before(s.models[victim].used)) {
			victim = key
		}
	}
	if victim == "" {
		return false, nil
	}
	return true, s.removeLocked(victim)
}

// dropOldPartials removes what has come of downloads that nobody has gone on with for long.
func (s *Store) dropOldPartials() error {
	keys, err := s.keysIn(partialDir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		dir := path.Join(partialDir, key)
		info, err := s.root.Lstat(dir)
		if err != nil {
			return err
		}
		if _, whole := s.models[key]; whole || time.Since(info.ModTime()) > s.tune.partialAge {
			if err := s.root.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// Blob opens what has a digest, given in hex: a file, or the list of a split model's files.
// The caller closes it.
func (s *Store) Blob(sha256 string) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, m := range s.models {
		if len(m.Files) > 1 && m.digest() == digestPrefix+sha256 {
			return nopCloser{strings.NewReader(m.list())}, nil
		}
		for _, f := range m.Files {
			if f.SHA256 != sha256 {
				continue
			}
			file, err := s.root.OpenFile(path.Join(modelDir, key, f.Name), os.O_RDONLY, 0)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, coded(CodeDisk, err)
			}
			return file, nil
		}
	}
	return nil, hives.Errorf(hives.CodeNotFound, "this hive holds nothing with the digest sha256:%.64s", sha256)
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
