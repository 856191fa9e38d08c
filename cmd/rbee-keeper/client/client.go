package client

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Config of a Client. Zero durations get the defaults named beside them.
type Config struct {
	Queens []string // base URLs in the order to try them; "host:port" means http
	APIKey string

	Patience       time.Duration // 5 s: how long a call goes round while no queen can answer it
	ResumePatience time.Duration // 60 s: the same for a stream of an accepted job
	AnswerTimeout  time.Duration // 20 s: for the head of an answer; a queen may park a request for 10 s
	IdleTimeout    time.Duration // 40 s: a stream without a byte for so long is resumed elsewhere; queens comment every 15 s
	Backoff        time.Duration // 50 ms: pause after the first fruitless round, doubled up to 20 times that

	// Notice, if set, is told in words when the client leaves one queen for another. It is
	// called on the caller's goroutine.
	Notice func(text string)
}

// Client talks to the queens of one cluster. Safe for concurrent use.
type Client struct {
	cfg    Config
	queens []string
	http   *http.Client

	mu      sync.Mutex
	current int // index of the queen that last answered
}

// ConfigError is a setting that New cannot use: "queen" or "api-key".
type ConfigError struct{ Field, Problem string }

func (e *ConfigError) Error() string { return e.Field + ": " + e.Problem }

// New checks the configuration and makes a Client; nothing is sent yet.
func New(cfg Config) (*Client, error) {
	c := &Client{cfg: cfg}
	for _, q := range cfg.Queens {
		base, err := baseURL(q)
		if err != nil {
			return nil, &ConfigError{"queen", err.Error()}
		}
		c.queens = append(c.queens, base)
	}
	if len(c.queens) == 0 {
		return nil, &ConfigError{"queen", "no queen is named: give at least one URL"}
	}
	if strings.ContainsFunc(cfg.APIKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, &ConfigError{"api-key", "it holds characters that no key has (a space or a line break?)"}
	}
	setDefault(&c.cfg.Patience, 5*time.Second)
	setDefault(&c.cfg.ResumePatience, time.Minute)
	setDefault(&c.cfg.AnswerTimeout, 20*time.Second)
	setDefault(&c.cfg.IdleTimeout, 40*time.Second)
	setDefault(&c.cfg.Backoff, 50*time.Millisecond)
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a compressed stream could not be flushed token by token
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close ends kept connections. Streams and calls in flight are ended by their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Queens are the base URLs in use.
func (c *Client) Queens() []string { return append([]string(nil), c.queens...) }

func setDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

func baseURL(q string) (string, error) {
	q = strings.TrimSpace(q)
	text := q
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is not a URL: %w", q, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.RawQuery != "", u.Fragment != "", u.User != nil:
		return "", fmt.Errorf("%q is not the URL of a queen: use http://host:port", q)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func (c *Client) notice(format string, args ...any) {
	if c.cfg.Notice != nil {
		c.cfg.Notice(fmt.Sprintf(format, args...))
	}
}

// use is the queen to ask now.
func (c *Client) use() (string, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queens[c.current], c.current
}

// leave moves on from the queen at index i, unless another caller has done so already.
func (c *Client) leave(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == i {
		c.current = (i + 1) % len(c.queens)
	}
}
