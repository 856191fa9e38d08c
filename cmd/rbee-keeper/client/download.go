package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Download is the body of POST /v2/models/download.
type Download struct {
	Model  string   `json:"model"`
	Source string   `json:"source,omitempty"`
	Engine string   `json:"engine,omitempty"`
	Hives  []string `json:"hives,omitempty"`
}

// DownloadProgress is how far a model's file is on a hive. TotalBytes is 0 while unknown.
type DownloadProgress struct {
	Hive       string  `json:"hive"`
	State      string  `json:"state"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes"`
	Progress   float64 `json:"progress"`
}

// Downloaded answers a Download that is over.
type Downloaded struct {
	Model string   `json:"model"`
	Hives []string `json:"hives"`
}

// StartDownload asks for a model's file on hives and does not wait for it.
func (c *Client) StartDownload(ctx context.Context, d Download) (json.RawMessage, error) {
	var raw json.RawMessage
	_, err := c.call(ctx, downloadRequest(d, ""), &raw)
	return raw, err
}

func downloadRequest(d Download, accept string) *request {
	// To ask again is to ask for the same: the key says so to this client.
	return &request{method: http.MethodPost, path: "/v2/models/download", body: d, key: NewKey(), accept: accept}
}

// WatchDownload asks for a model's file on hives and tells how far it is, on the caller's goroutine,
// until all of them have it. When the queen that tells dies, another goes on. A download that fails
// is an *Error. It goes on by itself when ctx ends.
func (c *Client) WatchDownload(ctx context.Context, d Download, told func(DownloadProgress)) (Downloaded, error) {
	r := downloadRequest(d, "text/event-stream")
	rd := c.newRound(c.cfg.Patience)
	for lost := false; ; {
		queen, i := c.use()
		done, over, err := c.watchDownload(ctx, queen, r, rd, func(p DownloadProgress) {
			if lost {
				lost = false
				c.notice("%s carries on", queen)
			}
			rd.patience = c.cfg.ResumePatience
			told(p)
		})
		switch {
		case over || err == nil:
			return done, err
		case ctx.Err() != nil:
			return done, context.Cause(ctx)
		case !elsewhere(r, err):
			return done, final(r, queen, err)
		}
		if !lost {
			c.notice("%s: %v; asking another queen", queen, rootCause(err))
		}
		lost = true
		rd.failed(queen, err)
		c.leave(i)
		if err := rd.wait(ctx); err != nil {
			return done, err
		}
	}
}

// watchDownload reads one answer. over: the download is, with or without an error.
func (c *Client) watchDownload(ctx context.Context, queen string, r *request, rd *round, told func(DownloadProgress)) (done Downloaded, over bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.send(ctx, cancel, queen, r)
	if err != nil {
		return done, false, err
	}
	defer resp.Body.Close()
	body := &watched{r: resp.Body, idle: c.cfg.IdleTimeout, heard: rd.progress}
	body.timer = time.AfterFunc(body.idle, func() { cancel(errSilent) })
	defer body.timer.Stop()
	frames := newFrameReader(body)
	for {
		f, err := frames.next()
		switch {
		case err != nil && context.Cause(ctx) != nil:
			return done, false, context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return done, false, errors.New("the stream closed before its end")
		case err != nil:
			return done, false, err
		}
		var p DownloadProgress
		switch f.event {
		case "progress":
			err = json.Unmarshal(f.data, &p)
			if err == nil {
				told(p)
			}
		case "end":
			over, err = true, json.Unmarshal(f.data, &done)
		case "error":
			e := JobError{}
			if err = json.Unmarshal(f.data, &e); err == nil {
				return done, true, &Error{Code: e.Code, Detail: e.Message, Queen: queen, Status: resp.StatusCode}
			}
		}
		if err != nil {
			return done, true, &badAnswer{queen, fmt.Errorf("event %q: %w", f.event, err)}
		}
		if over {
			return done, true, nil
		}
	}
}
