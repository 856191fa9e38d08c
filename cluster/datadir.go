package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"queen-rbee/fsm"
)

// identity is what a data directory says of whose it is.
type identity struct {
	Name      string `json:"name"`
	ClusterID string `json:"cluster_id,omitempty"` // empty until born or joined
	Role      string `json:"role,omitempty"`       // voter when empty
	// Formerly are the clusters that this one was recovered from, the latest last.
	Formerly []string `json:"formerly,omitempty"`
}

// dataDir is an open, locked data directory. Only its cluster changes after it was opened.
type dataDir struct {
	path  string
	lock  *os.File
	token string
	role  fsm.Role
	fresh bool // there was no identity before this start

	mu sync.Mutex // of id: joining and catching up both learn the cluster
	id identity
}

const (
	identityFile = "identity.json"
	tokenFile    = "cluster.token"
	lockFile     = "lock"
	maxSmallFile = 64 << 10
)

// openDataDir locks the directory and reads whose it is; a directory of another queen, or
// an empty one without a way in, is refused.
func openDataDir(cfg *Config) (*dataDir, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, startError(err, "the data directory %s cannot be made: %v: give one this user may write to", cfg.DataDir, err)
	}
	d := &dataDir{path: cfg.DataDir}
	if err := d.acquire(); err != nil {
		return nil, err
	}
	if err := d.load(cfg); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// acquire takes the lock, which the system releases when the process ends however it ends.
func (d *dataDir) acquire() error {
	path := filepath.Join(d.path, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return startError(err, "the data directory %s cannot be written to: %v: make it writable for this user", d.path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return startError(err, "the data directory %s is in use by another queen: stop that one or give another --data-dir", d.path)
	}
	d.lock = f
	return nil
}

func (d *dataDir) close() {
	if d.lock != nil {
		_ = d.lock.Close()
	}
}

func (d *dataDir) load(cfg *Config) error {
	if _, err := os.Stat(filepath.Join(d.path, recoveringFile)); err == nil {
		return startError(nil, "a recovery of %s was interrupted: finish it with queen-rbee recover --data-dir %s --yes", d.path, d.path)
	}
	if err := d.loadIdentity(cfg); err != nil {
		return err
	}
	return d.loadToken(cfg)
}

func (d *dataDir) loadIdentity(cfg *Config) error {
	path := filepath.Join(d.path, identityFile)
	data, err := readSmall(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if !cfg.Bootstrap && len(cfg.Join) == 0 {
			return startError(nil, "the data directory %s is empty: give --bootstrap to start a new cluster, or --join ADDR of any queen to join one", d.path)
		}
		d.fresh = true
		d.id.Name = cfg.Name
		return d.takeRole(cfg.Role)
	case err != nil:
		return startError(err, "%s cannot be read: %v", path, err)
	}
	if err := d.readIdentity(data); err != nil {
		return err
	}
	if d.id.Name != cfg.Name {
		return startError(nil, "the data directory %s belongs to queen %q, not %q: start with --name %s or give another --data-dir", d.path, d.id.Name, cfg.Name, d.id.Name)
	}
	return d.takeRole(cfg.Role)
}

func (d *dataDir) readIdentity(data []byte) error {
	if err := json.Unmarshal(data, &d.id); err != nil || d.id.Name == "" {
		return startError(err, "%s is damaged: put it back from a backup, or remove this queen from the cluster, empty %s and join again", filepath.Join(d.path, identityFile), d.path)
	}
	return nil
}

// takeRole settles what this queen is. It is said once, before the queen is a member: raft
// makes no relay of a voter, and a voter that took itself for a relay would still be counted.
func (d *dataDir) takeRole(asked fsm.Role) error {
	was := fsm.RoleVoter
	if d.id.Role == fsm.RoleRelay.String() {
		was = fsm.RoleRelay
	}
	switch {
	case asked == 0 || asked == was:
		asked = was
	case d.id.ClusterID != "":
		return startError(nil, "queen %s is a %s of its cluster, not a %s: leave --role away; to change it, remove the queen from the cluster (rbee-keeper queens remove %s), empty %s and join again with --role %s", d.id.Name, was, asked, d.id.Name, d.path, asked)
	}
	d.role = asked
	if d.id.Role == asked.String() {
		return nil
	}
	d.id.Role = asked.String()
	return d.saveIdentity()
}

// cluster is the id of the cluster the directory belongs to; empty until born or joined.
func (d *dataDir) cluster() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.ClusterID
}

// formerly are the clusters that the directory's own was recovered from.
func (d *dataDir) formerly() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.Formerly
}

// maxFormerly bounds how many recoveries are remembered.
const maxFormerly = 16

// remember adds a cluster to a list of former ones. It makes a new list.
func remember(list []string, id string) []string {
	if id == "" || slices.Contains(list, id) {
		return list
	}
	return append(slices.Clone(list[max(0, len(list)-maxFormerly+1):]), id)
}

// joined remembers which cluster was joined, and which it was before.
func (d *dataDir) joined(id string, formerly []string) error {
	d.mu.Lock()
	for _, f := range formerly {
		d.id.Formerly = remember(d.id.Formerly, f)
	}
	d.mu.Unlock()
	return d.setCluster(id)
}

// setCluster remembers which cluster the directory belongs to, once.
func (d *dataDir) setCluster(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.id.ClusterID == id {
		return nil
	}
	if d.id.ClusterID != "" {
		return startError(nil, "the data directory %s belongs to cluster %s, not %s: give another --data-dir, or start without --join to go on in its own cluster", d.path, d.id.ClusterID, id)
	}
	d.id.ClusterID = id
	return d.saveIdentity()
}

func (d *dataDir) saveIdentity() error {
	data, err := json.Marshal(d.id)
	if err == nil {
		err = writeFile(filepath.Join(d.path, identityFile), append(data, '\n'))
	}
	if err != nil {
		return startError(err, "the data directory %s cannot be written to: %v", d.path, err)
	}
	return nil
}

func (d *dataDir) loadToken(cfg *Config) error {
	path := filepath.Join(d.path, tokenFile)
	data, err := readSmall(path)
	switch kept := strings.TrimSpace(string(data)); {
	case err == nil && len(kept) < minToken:
		return startError(nil, "%s is damaged: write the cluster token into it (mode 0600), or delete it and give --token", path)
	case err == nil && cfg.Token != "" && !sameToken(kept, cfg.Token):
		return startError(nil, "--token is not the token of the cluster that %s belongs to: leave it away, or give another --data-dir", d.path)
	case err == nil:
		d.token = kept
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return startError(err, "%s cannot be read: %v", path, err)
	}
	d.token = cfg.Token
	if d.token == "" && cfg.Bootstrap {
		d.token = MintToken()
	}
	if d.token == "" {
		return startError(nil, "there is no cluster token: give --token; any queen of the cluster has it in its data directory as %s", tokenFile)
	}
	if err := writeFile(path, []byte(d.token+"\n")); err != nil {
		return startError(err, "%s cannot be written: %v", path, err)
	}
	return nil
}

// readSmall reads a file that must be small.
func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxSmallFile {
		return nil, fmt.Errorf("it has %d bytes where at most %d make sense", st.Size(), maxSmallFile)
	}
	return os.ReadFile(path)
}

// writeFile replaces a file whole: after a crash it has either content.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}
