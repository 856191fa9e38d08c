package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/oklog/ulid/v2"
)

const maxAnswer = 64 << 20

// NewKey is a fresh Idempotency-Key.
func NewKey() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }

// request is one call, as it can be sent to any queen.
type request struct {
	method, path string
	query        url.Values
	body         any
	key          string // Idempotency-Key
	lastEventID  string
	accept       string
	patient      bool // no limit on the time until the answer's head: it comes when the work is done
}

var (
	errNoAnswer = errors.New("no answer in time")
	errSilent   = errors.New("connection silent for too long")
)

// harmless says whether the request may be sent again when it may have been carried out.
func (r *request) harmless() bool { return r.method != http.MethodPost || r.key != "" }

// call sends the request to one queen after the other until one answers it, and decodes
// that answer into out (unless nil).
func (c *Client) call(ctx context.Context, r *request, out any) (http.Header, error) {
	rd := c.newRound(c.cfg.Patience)
	for {
		queen, i := c.use()
		header, err := c.once(ctx, queen, r, out)
		if err == nil {
			return header, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !elsewhere(r, err) {
			return nil, final(r, queen, err)
		}
		rd.failed(queen, err)
		c.leave(i)
		if err := rd.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// elsewhere says whether another queen may be asked after this error.
func elsewhere(r *request, err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		var bad *badAnswer
		return !errors.As(err, &bad) && (r.harmless() || neverSent(err))
	}
	switch {
	case e.Code == codeNoLeader, e.Code == codeReplicaBehind:
		return true // not accepted
	case e.Code == codeUnknownOutcome:
		return r.harmless()
	case e.Code == "http_502", e.Code == "http_503", e.Code == "http_504":
		return r.harmless() // something between us and a queen
	}
	return false
}

// final is what the caller gets to see of an error that ends the call.
func final(r *request, queen string, err error) error {
	var e *Error
	var bad *badAnswer
	if errors.As(err, &e) || errors.As(err, &bad) {
		return err
	}
	return &Uncertain{Method: r.method, URL: queen + r.path, Err: err}
}

// neverSent is true for errors from before the first byte of a request left.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// badAnswer is a 2xx answer that cannot be understood. Another queen would say the same.
type badAnswer struct {
	queen string
	err   error
}

func (e *badAnswer) Error() string {
	return fmt.Sprintf("%s gave an answer that is not of this API: %v; is it a queen?", e.queen, e.err)
}

func (c *Client) once(ctx context.Context, queen string, r *request, out any) (http.Header, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.send(ctx, cancel, queen, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	t := time.AfterFunc(c.cfg.AnswerTimeout, func() { cancel(errNoAnswer) })
	defer t.Stop()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case len(data) > maxAnswer:
		return nil, &badAnswer{queen, fmt.Errorf("over %d MiB", maxAnswer>>20)}
	case out == nil || len(data) == 0:
		return resp.Header, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return nil, &badAnswer{queen, err}
	}
	return resp.Header, nil
}

// send does one HTTP exchange up to the answer's head. Any answer but 2xx becomes an
// *Error. The caller closes the body, and owns cancel, which ends the exchange.
func (c *Client) send(ctx context.Context, cancel context.CancelCauseFunc, queen string, r *request) (*http.Response, error) {
	req, err := c.build(ctx, queen, r)
	if err != nil {
		return nil, err
	}
	if !r.patient {
		t := time.AfterFunc(c.cfg.AnswerTimeout, func() { cancel(errNoAnswer) })
		defer t.Stop()
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, readError(queen, resp)
	}
	return resp, nil
}

func (c *Client) build(ctx context.Context, queen string, r *request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	target := queen + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	// net/http would send a request again by itself after a connection died under it
	// when it thinks it idempotent; that is decided here alone.
	req.GetBody = nil
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if body != nil {
		set("Content-Type", "application/json")
	}
	set("Accept", r.accept)
	set("Idempotency-Key", r.key)
	set("Last-Event-ID", r.lastEventID)
	set("User-Agent", "rbee-keeper")
	if c.cfg.APIKey != "" {
		set("Authorization", "Bearer "+c.cfg.APIKey)
	}
	return req, nil
}
