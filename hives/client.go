package hives

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Client speaks to the gateways of hives for a queen. It is safe for concurrent use.
type Client struct {
	http  *http.Client
	token func() string
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	keep  keep // connections of runs that were read to their end
}

// maxProblem bounds the body of an error answer.
const maxProblem = 64 << 10

// NewClient makes a client that presents the hive token, which may be known only later.
// Dial may be nil.
func NewClient(token func() string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	}
	// A hive never redirects: a prompt must not follow one anywhere.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{token: token, dial: dial, http: &http.Client{CheckRedirect: stay, Transport: &http.Transport{
		DialContext:            dial,
		MaxIdleConnsPerHost:    1024,
		MaxIdleConns:           0,
		TLSHandshakeTimeout:    5 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true,
		ResponseHeaderTimeout:  15 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}}}
}

// Close drops the kept connections. Open streams go on.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.keep.close()
}

// WorkerURL is where a worker of a hive is reached.
func WorkerURL(hiveURL, worker string) string { return hiveURL + "/w/" + url.PathEscape(worker) }

// Execute rings the doorbell of a run and reads it. The caller closes the stream. An answer
// other than 200 is an *Error with the hive's code; a connection that fails is any other
// error and may be tried again.
func (c *Client) Execute(ctx context.Context, workerURL string, e Execute) (*Stream, error) {
	if rest, ok := strings.CutPrefix(workerURL, "http://"); ok {
		body, err := encode(e)
		if err != nil {
			return nil, err
		}
		addr, path, _ := strings.Cut(rest, "/")
		return c.direct(ctx, addr, "/"+path+"/v1/execute", body)
	}
	resp, err := c.post(ctx, workerURL+"/v1/execute", e) //nolint:bodyclose // the stream closes it
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, problem(resp)
	}
	return NewStream(resp.Body), nil
}

// Leave tells the hive that a client of the run has gone.
func (c *Client) Leave(ctx context.Context, workerURL, job string, l Leave) error {
	return c.send(ctx, workerURL+"/v1/execute/"+url.PathEscape(job)+"/leave", l)
}

// Inspect asks a hive what a model would take there.
func (c *Client) Inspect(ctx context.Context, hiveURL string, ask Inspect) (Inspected, error) {
	var found Inspected
	resp, err := c.post(ctx, hiveURL+"/v1/models/inspect", ask)
	if err != nil {
		return found, err
	}
	if resp.StatusCode != http.StatusOK {
		return found, problem(resp)
	}
	defer func() { _ = resp.Body.Close() }()
	err = json.NewDecoder(io.LimitReader(resp.Body, maxInspected)).Decode(&found)
	return found, err
}

// maxInspected bounds what a hive says of one model.
const maxInspected = 1 << 20

// send posts and wants no more than a 2xx.
func (c *Client) send(ctx context.Context, target string, body any) error {
	resp, err := c.post(ctx, target, body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return problem(resp)
	}
	_ = resp.Body.Close()
	return nil
}

func encode(body any) ([]byte, error) {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false) // a request's body inside goes through as it came
	err := enc.Encode(body)
	return data.Bytes(), err
}

func (c *Client) post(ctx context.Context, target string, body any) (*http.Response, error) {
	data, err := encode(body)
	if err != nil {
		return nil, err
	}
	p := &payload{data: data}
	defer p.drop() // answered: a stream's connection must not keep it for the stream's life
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, p.reader())
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(data))
	req.GetBody = func() (io.ReadCloser, error) { return p.reader(), nil } // a kept connection may turn out closed
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token())
	return c.http.Do(req)
}

// payload is the body of a request that can be let go of while its connection still knows it.
// Safe for concurrent use: the transport reads it in a goroutine of its own.
type payload struct {
	mu   sync.Mutex
	data []byte
}

func (p *payload) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data = nil
}

func (p *payload) reader() io.ReadCloser {
	at := 0
	return io.NopCloser(readerFunc(func(b []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if at >= len(p.data) {
			return 0, io.EOF
		}
		n := copy(b, p.data[at:])
		at += n
		return n, nil
	}))
}

// problem turns an error answer back into the Error it was made of.
func problem(resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return err
	}
	var p struct{ Code, Detail, Title string }
	if err := json.Unmarshal(data, &p); err != nil || p.Code == "" {
		return fmt.Errorf("hive answered %s", resp.Status)
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return &Error{Code: p.Code, Message: p.Detail}
}

// CodeOf gives the code of an *Error anywhere in err's chain, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
