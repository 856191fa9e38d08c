package agent

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives/device"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/models"
)

// Defaults of a Config.
const (
	DefaultOfflineAfter = 10 * time.Second
	DefaultDrainTimeout = 30 * time.Second
	DefaultMaxReaders   = 20_000
)

// Config is what an agent is told. Zero durations and counts take the defaults named here.
type Config struct {
	ID           string   // of the hive; the same over all its starts
	Addr         string   // host:port to listen on; port 0 takes a free one
	AdvertiseURL string   // where queens reach this hive; empty: made from the listener
	Queens       []string // base URLs, tried in turn
	Token        string   // hive token, shown to queens and demanded of them
	DataDir      string   // state, run logs and engine logs; absolute after Validate
	Version      string

	Labels  map[string]string
	Devices []device.Declared
	Engines []engine.Definition
	Models  models.Options   // Dir empty: models in DataDir; logger and key of peers are the agent's own
	Ports   engine.PortRange // of engines; the zero value leaves it to the system
	Cgroup  string           // cgroup v2 directory for engines with limits, as engine.CheckCgroup wants it

	RetainRuns   time.Duration // how long ended runs stay readable; 1 h
	RetainBytes  int64         // at most so many bytes of them; 1 GiB
	OfflineAfter time.Duration // silence after which queens call a hive offline; 10 s
	DrainTimeout time.Duration // how long an orderly stop waits for runs; 30 s, negative: not at all
	FirstToken   time.Duration // request to first token; 0: 5 min, negative: no limit
	InterToken   time.Duration // between chunks; 0: 60 s, negative: no limit
	MaxTokens    int           // of an answer, where neither its request nor what the engine says of its context bounds it; 0: no bound
	MaxReaders   int           // open readers of runs; 20,000

	Logger hclog.Logger
}

var (
	idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	urlHint   = "use http://host:port or https://host:port"
)

// FieldError is a setting that cannot be used. Field is its name as a flag, without dashes.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Validate fills in defaults and reports the first thing wrong as a *FieldError.
func (c *Config) Validate() error {
	if !idPattern.MatchString(c.ID) {
		return fieldErrorf("id", "%.70q is not the id of a hive: use 1 to 64 letters, digits and . _ -", c.ID)
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fieldErrorf("addr", "%.100q is not an address: give host:port, such as 0.0.0.0:7835", c.Addr)
	}
	if c.AdvertiseURL != "" {
		u, err := baseURL(c.AdvertiseURL)
		if err != nil {
			return fieldErrorf("advertise-url", "%v", err)
		}
		c.AdvertiseURL = u
	}
	if err := c.validateQueens(); err != nil {
		return err
	}
	if c.Token == "" || strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fieldErrorf("token", "is missing or holds blanks: give the hive token that `rbee-keeper queens token` prints")
	}
	if c.DataDir == "" {
		return fieldErrorf("data-dir", "is missing: give a directory of this hive's own")
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fieldErrorf("data-dir", "%v", err)
	}
	c.DataDir = dir
	if err := c.validateModels(); err != nil {
		return err
	}
	return c.validateRest()
}

func (c *Config) validateQueens() error {
	if len(c.Queens) == 0 {
		return fieldErrorf("queen", "is missing: give the URL of one queen or more, such as http://10.0.0.1:7833")
	}
	c.Queens = slices.Clone(c.Queens) // the caller's own stay as they are
	for i, q := range c.Queens {
		u, err := baseURL(q)
		if err != nil {
			return fieldErrorf("queen", "%v", err)
		}
		c.Queens[i] = u
	}
	return nil
}

func (c *Config) validateModels() error {
	m := &c.Models
	if m.Dir == "" {
		m.Dir = filepath.Join(c.DataDir, "models")
	}
	dir, err := filepath.Abs(m.Dir)
	if err != nil {
		return fieldErrorf("models-dir", "%v", err)
	}
	m.Dir = dir
	if err := m.Check(); err != nil {
		return fieldErrorf("models", "%v", err)
	}
	for _, f := range m.Files {
		if !filepath.IsAbs(f) {
			return fieldErrorf("models.files", "%.200q: use absolute paths", f)
		}
	}
	if m.CacheLimit < 0 || m.Bandwidth < 0 || m.Slack < 0 || m.Parts < 0 || m.Parts > 64 {
		return fieldErrorf("models", "cache_limit, bandwidth, slack: must not be negative; parts: use 1 to 64")
	}
	return nil
}

func (c *Config) validateRest() error {
	if err := device.Check(c.Devices); err != nil {
		return err
	}
	if len(c.Engines) == 0 {
		return fieldErrorf("engines", "none is configured: a hive without an engine can run nothing")
	}
	if len(c.Labels) > 64 {
		return fieldErrorf("labels", "%d are given, at most 64 are allowed", len(c.Labels))
	}
	for k, v := range c.Labels {
		if k == "" || len(k) > 256 || len(v) > 256 {
			return fieldErrorf("labels", "%.70q: a key has 1 to 256 bytes, a value at most 256", k)
		}
	}
	for name, d := range map[string]time.Duration{"retain-runs": c.RetainRuns, "offline-after": c.OfflineAfter} {
		if d < 0 {
			return fieldErrorf(name, "%v: must not be negative", d)
		}
	}
	if c.MaxTokens < 0 {
		return fieldErrorf("engine-max-tokens", "%d: use 0 for no bound, or more", c.MaxTokens)
	}
	if c.MaxReaders < 0 || c.RetainBytes < 0 {
		return fieldErrorf("limits", "must not be negative")
	}
	c.OfflineAfter = cmp.Or(c.OfflineAfter, DefaultOfflineAfter)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
	c.MaxReaders = cmp.Or(c.MaxReaders, DefaultMaxReaders)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return nil
}

// baseURL checks the URL of a queen or hive and gives it without a trailing slash.
func baseURL(s string) (string, error) {
	s = strings.TrimRight(s, "/")
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%.200q is not a URL: %s", s, urlHint)
	case u.Path != "", u.RawQuery != "", u.Fragment != "", u.User != nil:
		return "", fmt.Errorf("%.200q holds more than scheme, host and port: %s", s, urlHint)
	}
	return s, nil
}

// advertised is the URL queens are told, for a listener at addr. For one on all addresses it
// is the address from which this machine reaches its first queen.
func (c *Config) advertised(addr net.Addr) (string, error) {
	if c.AdvertiseURL != "" {
		return c.AdvertiseURL, nil
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "", fieldErrorf("advertise-url", "is needed for a listener on %v", addr)
	}
	ip := tcp.IP
	if ip.IsUnspecified() {
		local, err := routeTo(c.Queens[0])
		if err != nil {
			return "", fieldErrorf("advertise-url", "is needed: the address that queens reach cannot be found: %v", err)
		}
		ip = local
	}
	return "http://" + net.JoinHostPort(ip.String(), fmt.Sprint(tcp.Port)), nil
}

// routeTo is this machine's address on the way to a URL's host. Nothing is sent.
func routeTo(base string) (net.IP, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("udp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).IP, nil
}
