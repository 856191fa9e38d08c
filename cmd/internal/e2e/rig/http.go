package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// DialFunc reaches a process, perhaps in another network namespace.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// httpClient reaches the processes of one cluster. It never repeats a request by itself.
func httpClient(dial DialFunc) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	}
	return &http.Client{Transport: &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: 64, DisableCompression: true, ResponseHeaderTimeout: 20 * time.Second,
	}}
}

// Reply is a whole answer.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Problem is an error of the API.
type Problem struct {
	Status       int
	Code, Detail string
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// Problem reads the answer as one; nil for 2xx.
func (r *Reply) Problem() error {
	if r.Status/100 == 2 {
		return nil
	}
	p := &Problem{Status: r.Status}
	if json.Unmarshal(r.Body, p) != nil || p.Code == "" {
		p.Detail = string(r.Body)
	}
	return p
}

// request builds one with the cluster's key. Headers come in pairs.
func (c *Cluster) request(ctx context.Context, method, url string, body []byte, headers ...string) (*http.Request, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // net/http would send it again when a kept connection dies
	req.Header.Set("Authorization", "Bearer "+c.Key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req, nil
}

// Call does one exchange.
func (c *Cluster) Call(ctx context.Context, method, url string, body []byte, headers ...string) (*Reply, error) {
	req, err := c.request(ctx, method, url, body, headers...)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: data}, err
}

// Open does an exchange whose answer's body is read by the caller, who closes it.
func (c *Cluster) Open(ctx context.Context, method, url string, body []byte, headers ...string) (*http.Response, error) {
	req, err := c.request(ctx, method, url, body, headers...)
	if err != nil {
		return nil, err
	}
	return c.http.Do(req)
}

// Get reads JSON; an answer other than 2xx is a *Problem.
func (c *Cluster) Get(ctx context.Context, url string, out any, headers ...string) (*Reply, error) {
	r, err := c.Call(ctx, http.MethodGet, url, nil, headers...)
	if err == nil {
		err = r.Problem()
	}
	if err == nil && out != nil {
		err = json.Unmarshal(r.Body, out)
	}
	return r, err
}

// GetAny is Get at whichever living queen answers first.
func (c *Cluster) GetAny(ctx context.Context, path string, out any) (*Reply, error) {
	err := errors.New("no queen lives")
	for _, q := range c.Living() {
		var r *Reply
		if r, err = c.Get(ctx, q.URL+path, out); err == nil {
			return r, nil
		}
	}
	return nil, err
}

// PostAny posts JSON to the first living queen.
func (c *Cluster) PostAny(ctx context.Context, path string, body, out any) (*Reply, error) {
	up := c.Living()
	if len(up) == 0 {
		return nil, errors.New("no queen lives")
	}
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := c.Call(ctx, http.MethodPost, up[0].URL+path, data)
	if err == nil {
		err = r.Problem()
	}
	if err == nil && out != nil {
		err = json.Unmarshal(r.Body, out)
	}
	return r, err
}
