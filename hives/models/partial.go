package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// partial is the state file of a file that is being fetched.
type partial struct {
	Version int      `json:"version"`
	Place   string   `json:"place"` // that the tag of Is is of
	Is      identity `json:"is"`
	Parts   []span   `json:"parts"`
	Whole   bool     `json:"whole,omitempty"` // all is here and was held against its digest, SHA256
	SHA256  string   `json:"sha256,omitempty"`
}

// span is one part: the bytes [From, To), of which the first Done are on disk.
type span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	Done int64 `json:"done"`
}

const (
	partialVersion = 1
	maxParts       = 4096
	maxStateFile   = 1 << 20
)

// newPartial cuts a file into parts.
func newPartial(place string, is identity, size int64) *partial {
	p := &partial{Version: partialVersion, Place: place, Is: is}
	size = max(size, (is.Size+maxParts-1)/maxParts)
	for from := int64(0); from < is.Size; from += size {
		p.Parts = append(p.Parts, span{From: from, To: min(from+size, is.Size)})
	}
	return p
}

// goesOn tells whether what is on disk is of the content that a place has. Tags of different
// places say nothing of each other.
func (p *partial) goesOn(place string, is identity, wanted string) bool {
	if p.Place == place || is.SHA256 != "" && p.Is.SHA256 != "" {
		return p.Is.same(is)
	}
	return wanted != "" && p.Is.SHA256 == wanted && p.Is.Size == is.Size
}

// done is how many bytes are on disk.
func (p *partial) done() (n int64) {
	for _, part := range p.Parts {
		n += part.Done
	}
	return n
}

// sound tells whether the parts are a whole file in order.
func (p *partial) sound() bool {
	at := int64(0)
	for _, s := range p.Parts {
		if s.From != at || s.To <= s.From || s.Done < 0 || s.Done > s.To-s.From {
			return false
		}
		at = s.To
	}
	return p.Version == partialVersion && p.Is.Size > 0 && at == p.Is.Size && (!p.Whole || hexSHA256.MatchString(p.SHA256))
}

func stateName(file string) string { return file + ".part.json" }

// loadPartial reads the state of a file that is as long as its state says; nil when there is
// none that can be gone on with.
func loadPartial(root *os.Root, file string) *partial {
	var p partial
	if readJSON(root, stateName(file), maxStateFile, &p) != nil || !p.sound() {
		return nil
	}
	if info, err := root.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() != p.Is.Size {
		return nil
	}
	return &p
}

func (p *partial) save(root *os.Root, file string) error {
	return writeJSON(root, stateName(file), p)
}

// copied is a state as it is now, for save while parts go on.
func (p *partial) copied() *partial {
	c := *p
	c.Parts = slices.Clone(p.Parts)
	return &c
}

// writeJSON replaces a file; it is whole at every instant.
func writeJSON(root *os.Root, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := name + ".tmp"
	f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return root.Rename(tmp, name)
}

func readJSON(root *os.Root, name string, limit int64, into any) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return json.Unmarshal(data, into)
}

// syncDir makes renames in a directory last.
func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// drop removes a file, which may not be there.
func drop(root *os.Root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
