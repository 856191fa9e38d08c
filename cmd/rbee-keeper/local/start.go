package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
)

// Cluster is the processes of one directory.
type Cluster struct {
	cfg    Config
	queens []Spec
	hives  []Spec
	old    bool // the directory held this cluster before
	key    string
	api    *client.Client // asks the first queen; set by Start

	stopTime time.Duration

	mu       sync.Mutex
	children map[string]*child
	adopted  map[string]int // pids of processes that were started again by somebody else
}

// New checks the configuration; nothing is started.
func New(cfg Config) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if cfg.HiveConfig != "" {
		if cfg.HiveConfig, err = filepath.Abs(cfg.HiveConfig); err != nil {
			return nil, err
		}
		if _, err := os.Stat(cfg.HiveConfig); err != nil {
			return nil, fmt.Errorf("hive-config: %w", err)
		}
	}
	if cfg.Find == nil {
		cfg.Find = findBinary
	}
	return &Cluster{cfg: cfg, children: map[string]*child{}, adopted: map[string]int{}, stopTime: stopTime}, nil
}

// findBinary looks beside this executable, then in PATH.
func findBinary(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		path := filepath.Join(filepath.Dir(self), name)
		if st, err := os.Stat(path); err == nil && !st.IsDir() {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside rbee-keeper nor in PATH: build all binaries into one directory (make)", name)
	}
	return filepath.Abs(path)
}

func (c *Cluster) say(format string, args ...any) {
	if c.cfg.Say != nil {
		c.cfg.Say(fmt.Sprintf(format, args...))
	}
}

// Dir is the cluster's directory.
func (c *Cluster) Dir() string { return c.cfg.Dir }

// Key is an admin key, once Start has returned.
func (c *Cluster) Key() string { return c.key }

// QueenURLs are the URLs of all queens, in order of their names: the voters, then the relays.
func (c *Cluster) QueenURLs() []string { return urlsOf(c.queens) }

// VoterURLs are those of the queens that vote, RelayURLs those of the others.
func (c *Cluster) VoterURLs() []string { return urlsOf(c.voters()) }

// RelayURLs are the URLs of the queens that never vote, in order of their names.
func (c *Cluster) RelayURLs() []string { return urlsOf(c.queens[len(c.voters()):]) }

// voters are the queens before the relays.
func (c *Cluster) voters() []Spec {
	for i, q := range c.queens {
		if q.Role == roleRelay {
			return c.queens[:i]
		}
	}
	return c.queens
}

// HiveURLs are the hives' URLs, in order of their names.
func (c *Cluster) HiveURLs() []string { return urlsOf(c.hives) }

// QueenURL is the URL of one queen, "" if there is none of that name.
func (c *Cluster) QueenURL(name string) string {
	for _, q := range c.queens {
		if q.Name == name {
			return q.URL
		}
	}
	return ""
}

func urlsOf(specs []Spec) []string {
	var u []string
	for _, s := range specs {
		u = append(u, s.URL)
	}
	return u
}

// Start starts everything and returns when all of it is ready. After an error, too, the
// caller calls Stop.
func (c *Cluster) Start(ctx context.Context) error {
	ports, err := c.prepare()
	if err != nil {
		return err
	}
	if err := c.startQueens(ctx); err != nil {
		return err
	}
	if err := c.startHives(ctx, ports); err != nil {
		return err
	}
	if err := (file{Processes: append(append([]Spec(nil), c.queens...), c.hives...)}).write(c.cfg.Dir); err != nil {
		return err
	}
	return writeEnv(c.cfg.Dir, c.queens, c.hives, c.key)
}

// prepare finds the binaries, the directory and the ports. It returns the hives' ports.
func (c *Cluster) prepare() ([]int, error) {
	bin, err := c.cfg.Find("queen-rbee")
	if err != nil {
		return nil, err
	}
	if _, err := c.cfg.Find("rbee-hive"); err != nil && c.cfg.Hives > 0 {
		return nil, err
	}
	if err := os.MkdirAll(c.cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if old, err := readFile(c.cfg.Dir); err == nil {
		return c.again(old)
	}
	if _, err := os.Stat(filepath.Join(c.cfg.Dir, "queen-1", "data")); err == nil {
		return nil, fmt.Errorf("%s holds the data of a cluster but no %s: give an empty --dir, or delete it", c.cfg.Dir, fileName)
	}
	ports, err := pickPorts(c.cfg.BasePort, c.cfg.ports())
	if err != nil {
		return nil, err
	}
	c.queens = queenSpecs(c.cfg, bin, newToken(), ports)
	return ports[len(ports)-c.cfg.Hives:], nil
}

// again goes on with the cluster that the directory holds, on its old ports, unless it runs
// or has another size.
func (c *Cluster) again(old file) ([]int, error) {
	var hivePorts []int
	for _, s := range old.Processes {
		if pid := readPid(s); runs(pid, c.cfg.Dir) {
			return nil, fmt.Errorf("%s is in use: %s runs there (pid %d); stop that dev or give another --dir", c.cfg.Dir, s.Name, pid)
		}
		if s.Kind == KindQueen {
			c.queens = append(c.queens, s)
			continue
		}
		port, err := portOf(s.URL)
		if err != nil {
			return nil, err
		}
		hivePorts = append(hivePorts, port)
	}
	voters, relays := len(c.voters()), len(c.RelayURLs())
	if voters != c.cfg.Queens || relays != c.cfg.Relays || len(hivePorts) != c.cfg.Hives {
		return nil, fmt.Errorf("%s holds a cluster of %d queens, %d relays and %d hives: start that many, or give an empty --dir",
			c.cfg.Dir, voters, relays, len(hivePorts))
	}
	c.old = true
	return hivePorts, nil
}

func portOf(base string) (int, error) {
	u, err := url.Parse(base)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", fileName, err)
	}
	return strconv.Atoi(u.Port())
}

// startQueens starts the first queen alone, because the others join it; an old cluster
// needs a majority before anyone is ready.
func (c *Cluster) startQueens(ctx context.Context) error {
	for i, q := range c.queens {
		if err := c.launch(q); err != nil {
			return err
		}
		if i == 0 && !c.old {
			if err := c.firstQueen(ctx); err != nil {
				return err
			}
		}
	}
	if c.old {
		if err := c.firstQueen(ctx); err != nil {
			return err
		}
	}
	if err := c.awaitQueens(ctx); err != nil {
		return err
	}
	c.say("%s up", count(len(c.voters()), "queen"))
	if n := len(c.RelayURLs()); n > 0 {
		c.say("%s up", count(n, "relay"))
	}
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

// firstQueen waits for the queen that the others join, and reads its admin key.
func (c *Cluster) firstQueen(ctx context.Context) error {
	q := c.queens[0]
	if err := c.awaitReady(ctx, q); err != nil {
		return err
	}
	data, err := os.ReadFile(filepath.Join(q.Dir, "data", "admin.key"))
	if err != nil {
		return fmt.Errorf("%s is ready but its admin key cannot be read: %w", q.Name, err)
	}
	c.key = strings.TrimSpace(string(data))
	c.api, err = c.client(q.URL)
	return err
}

func (c *Cluster) startHives(ctx context.Context, ports []int) error {
	if c.cfg.Hives == 0 {
		return nil
	}
	tokens, err := c.api.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("the hives' token: %w", err)
	}
	bin, err := c.cfg.Find("rbee-hive")
	if err != nil {
		return err
	}
	c.hives = hiveSpecs(c.cfg, bin, tokens.HiveToken, c.queens, ports)
	for _, h := range c.hives {
		if err := os.MkdirAll(h.Dir, 0o700); err != nil {
			return err
		}
		if c.cfg.HiveConfig == "" {
			if err := writeWhole(filepath.Join(h.Dir, "hive.yaml"), hiveYAML(c.cfg, h.Name)); err != nil {
				return err
			}
		}
		if err := c.launch(h); err != nil {
			return err
		}
	}
	if err := c.awaitHives(ctx); err != nil {
		return err
	}
	c.say("%s online", count(len(c.hives), "hive"))
	return nil
}

func (c *Cluster) launch(s Spec) error {
	ch, err := launch(s)
	if ch != nil {
		c.mu.Lock()
		c.children[s.Name] = ch
		delete(c.adopted, s.Name)
		c.mu.Unlock()
	}
	return err
}

func (c *Cluster) child(name string) *child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.children[name]
}

// client asks one queen alone.
func (c *Cluster) client(url string) (*client.Client, error) {
	return client.New(client.Config{Queens: []string{url}, APIKey: c.key})
}

// errUnknown is a name that no process has.
func errUnknown(name string, specs []Spec) error {
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return errors.New("no process is called " + name + "; there are " + strings.Join(names, ", "))
}
