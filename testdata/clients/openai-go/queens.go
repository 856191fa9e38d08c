// Package clients holds openai-go against a real cluster; see ../README.md.
package clients

import (
	"net/http"
	"net/url"
	"sync/atomic"
)

// Queens is the transport of a client that uses several queens. Each request goes to the one that
// answered last; what cannot be reached, or answers 503, makes the client's own retry go to the
// next. Safe for concurrent use.
type Queens struct {
	URLs []*url.URL
	at   atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (q *Queens) RoundTrip(req *http.Request) (*http.Response, error) {
	n := q.at.Load()
	queen := q.URLs[n%int64(len(q.URLs))]
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = queen.Scheme, queen.Host, queen.Host
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil && req.Context().Err() == nil || err == nil && resp.StatusCode == http.StatusServiceUnavailable {
		q.at.CompareAndSwap(n, n+1)
	}
	return resp, err
}
