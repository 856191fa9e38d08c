package models

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
)

// Below the directory of a store.
const (
	modelDir     = "models"
	partialDir   = "partial"
	headerDir    = "headers" // of files that are not here, while they are read
	goneDir      = "gone"    // what is being removed
	manifestName = "model.json"
)

var keyPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Open makes a store of a directory, which no other process may have open, and looks at what
// is there. It fetches nothing.
func Open(o Options) (*Store, error) {
	o.Parts = cmp.Or(o.Parts, DefaultParts)
	o.Slack = cmp.Or(o.Slack, DefaultSlack)
	o.MaxBytes = cmp.Or(o.MaxBytes, DefaultMaxBytes)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	endpoint, err := endpointOf(cmp.Or(o.Endpoint, DefaultEndpoint))
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	root, err := openRoot(o.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("models directory: %w", err), lock.Close())
	}
	s := &Store{opt: o, tune: standardTuning(), logger: o.Logger, root: root, lock: lock, endpoint: endpoint,
		hub: newWeb(!o.AllowPrivate), peers: newWeb(false), pace: pace{rate: o.Bandwidth}, turn: make(chan struct{}, atOnce),
		models: map[string]*manifest{}, flights: map[string]*flight{}, claims: map[string]int{}, doomed: map[string]bool{},
		placed: map[string]inPlace{}, rooms: map[*flight]bool{}}
	s.hub.allowHTTP, s.hub.token, s.hub.trusted = o.AllowHTTP, o.Token, origin(endpoint)
	s.peers.allowHTTP, s.peers.token, s.peers.redirects = true, o.PeerToken, 0
	s.life, s.end = context.WithCancelCause(context.Background())
	if err := s.scan(); err != nil {
		s.Close()
		return nil, fmt.Errorf("models directory: %w", err)
	}
	return s, nil
}

// Check names what is wrong with options, as far as can be told without opening anything.
func (o Options) Check() error {
	_, err := endpointOf(cmp.Or(o.Endpoint, DefaultEndpoint))
	return err
}

// endpointOf checks the base URL of a hub.
func endpointOf(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("hub endpoint %.200q is not a URL: use one such as %s", text, DefaultEndpoint)
	}
	return u, nil
}

// openRoot makes what is missing of the directory, and removes what a killed process was about
// to remove, and its copies of headers.
func openRoot(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	err = errors.Join(root.RemoveAll(headerDir), root.RemoveAll(goneDir))
	for _, below := range []string{modelDir, partialDir, headerDir, goneDir} {
		err = errors.Join(err, root.MkdirAll(below, 0o700))
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// lockDir makes the directory and holds it for this process; the kernel lets go of it however
// it ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("models directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("models directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("models directory %s is in use by another hive: give this one a --models-dir of its own", dir)
	}
	return f, nil
}

// scan finds whole models, and removes what is not whole and what is too old.
func (s *Store) scan() error {
	keys, err := s.keysIn(modelDir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		m, err := s.readManifest(key)
		if err != nil {
			s.logger.Warn("a model is not whole and is removed", "key", key, "error", err)
			if err := s.root.RemoveAll(path.Join(modelDir, key)); err != nil {
				return err
			}
			continue
		}
		s.models[key] = m
	}
	s.publishLocked() // nobody else has the store yet
	return s.dropOldPartials()
}

// keysIn lists the directories that are ours; others are somebody else's and are left alone.
func (s *Store) keysIn(dir string) ([]string, error) {
	d, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	entries, err := d.ReadDir(-1)
	var out []string
	for _, e := range entries {
		if e.IsDir() && keyPattern.MatchString(e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, err
}
