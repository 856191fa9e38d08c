package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// closeTime is how long a queen may take to close a stream after its end.
const closeTime = 500 * time.Millisecond

// Stats tell what a stream went through.
type Stats struct {
	Connections  int           // HTTP answers that were read
	Repeats      int           // records sent twice, dropped
	LongestPause time.Duration // between two records
}

// Stream is the events of one job over as many connections as it takes. It belongs to one
// goroutine.
type Stream struct {
	c      *Client
	ctx    context.Context
	submit *request // nil when the job exists already
	jobID  string
	order  order
	rd     *round
	stats  Stats
	lastAt time.Time
	lost   bool // a connection was lost, tell when another is got
}

// Stream submits a task and reads its events. The job is given up, after its grace, when
// ctx ends. An empty key gets a fresh one; a repeat with the same key is the same job.
func (c *Client) Stream(ctx context.Context, t Task, key string) *Stream {
	t.Detach, t.Stream = false, nil
	r := taskRequest(t, key)
	r.accept = "text/event-stream"
	return &Stream{c: c, ctx: ctx, submit: r}
}

// Follow reads the events of an existing job from the beginning.
func (c *Client) Follow(ctx context.Context, jobID string) *Stream {
	return &Stream{c: c, ctx: ctx, jobID: jobID}
}

// JobID is empty until a queen has accepted the task.
func (s *Stream) JobID() string { return s.jobID }

// Stats may be read while iterating and after.
func (s *Stream) Stats() Stats {
	st := s.stats
	st.Repeats = s.order.repeats
	return st
}

// Events yields every event once, the last one End or Failure. An error, yielded at most
// once and last, means that the stream could not be brought to its end: an *Error refuses
// it, a *Violation or *StreamError spoils it, *Unreachable and the context's cause give it
// up. Use it once.
func (s *Stream) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s.rd = s.c.newRound(s.c.cfg.Patience)
		for {
			more, err := s.connection(yield)
			if err != nil {
				yield(Event{}, err)
			}
			if !more || err != nil {
				return
			}
			if err := s.rd.wait(s.ctx); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// connection reads one HTTP answer to its end. more: the job is not over, connect again.
// err ends it all.
func (s *Stream) connection(yield func(Event, error) bool) (more bool, err error) {
	queen, i := s.c.use()
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	req := s.request()
	resp, err := s.c.send(ctx, cancel, queen, req)
	if err != nil {
		if s.ctx.Err() != nil {
			return false, context.Cause(s.ctx)
		}
		if !s.goOn(req, err) {
			return false, err
		}
		s.leave(queen, i, err)
		return true, nil
	}
	defer resp.Body.Close()
	s.open(queen, resp)
	body := &watched{r: resp.Body, idle: s.c.cfg.IdleTimeout, heard: s.rd.progress}
	body.timer = time.AfterFunc(body.idle, func() { cancel(errSilent) })
	defer body.timer.Stop()
	more, err = s.read(body, yield)
	if !more || err == nil {
		return more, err
	}
	if s.ctx.Err() != nil {
		return false, context.Cause(s.ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.leave(queen, i, err)
	return true, nil
}

// request is the submission until the job's id is known, then a reader of its events.
func (s *Stream) request() *request {
	if s.jobID == "" {
		return s.submit
	}
	r := &request{method: http.MethodGet, path: "/v2/jobs/" + url.PathEscape(s.jobID) + "/events", accept: "text/event-stream"}
	if s.order.last.Seq > 0 {
		r.lastEventID = s.order.last.String()
	}
	return r
}

// goOn says whether another queen may be asked after this refusal or failure. Once the job
// exists, being asked to slow down is no reason to let go of it.
func (s *Stream) goOn(r *request, err error) bool {
	var e *Error
	busy := errors.As(err, &e) && e.Status == http.StatusTooManyRequests
	return elsewhere(r, err) || busy && s.jobID != ""
}

func (s *Stream) open(queen string, resp *http.Response) {
	s.stats.Connections++
	if s.jobID == "" {
		s.jobID = resp.Header.Get("X-Rbee-Job-Id")
	}
	s.rd.patience = s.c.cfg.ResumePatience
	if s.lost {
		s.lost = false
		s.c.notice("%s carries on", queen)
	}
}

func (s *Stream) leave(queen string, i int, err error) {
	s.rd.failed(queen, err)
	s.c.leave(i)
	if !s.lost { // told once, until one carries on
		s.c.notice("%s: %v; asking another queen", queen, rootCause(err))
	}
	s.lost = true
}

// read yields the events of one connection. With more, err says why it ended.
func (s *Stream) read(body *watched, yield func(Event, error) bool) (more bool, err error) {
	frames := newFrameReader(body)
	for {
		f, err := frames.next()
		if err != nil {
			if errors.Is(err, errLineTooLong) || errors.Is(err, errFrameTooLong) {
				return false, &Violation{JobID: s.jobID, Problem: err.Error()}
			}
			if errors.Is(err, io.EOF) {
				err = errors.New("the stream closed before its end")
			}
			return true, err
		}
		ev, err := s.event(f)
		if err != nil {
			return false, err
		}
		if ev == nil {
			continue
		}
		if !yield(*ev, nil) {
			return false, nil
		}
		if ev.Final() {
			return false, s.afterEnd(frames, body)
		}
	}
}

// event decodes and checks a frame; nil is one that is not to be shown.
func (s *Stream) event(f frame) (*Event, error) {
	ev, err := decodeFrame(f)
	if err == nil {
		var fresh bool
		if fresh, err = s.order.take(ev); err == nil && !fresh {
			return nil, nil
		}
	}
	var v *Violation
	if errors.As(err, &v) {
		v.JobID = s.jobID
	}
	if err != nil {
		return nil, err
	}
	if s.jobID == "" {
		s.jobID = ev.Data.JobID
	}
	if ev.Kind == Failure && ev.ID.IsZero() {
		return nil, &StreamError{JobID: s.jobID, Code: ev.Data.Code, Message: ev.Data.Message}
	}
	s.pause(ev)
	return &ev, nil
}

// pause measures the time between records, the end included.
func (s *Stream) pause(ev Event) {
	if ev.ID.IsZero() {
		return
	}
	now := time.Now()
	if !s.lastAt.IsZero() {
		s.stats.LongestPause = max(s.stats.LongestPause, now.Sub(s.lastAt))
	}
	s.lastAt = now
	s.rd.pause = s.c.cfg.Backoff
}

// afterEnd makes sure that nothing follows the end: a queen closes at once, and an event
// instead is a second end. One that neither closes nor sends is left alone.
func (s *Stream) afterEnd(frames *frameReader, body *watched) error {
	body.idle = closeTime
	body.timer.Reset(closeTime)
	f, err := frames.next()
	if err != nil {
		return nil
	}
	return &Violation{JobID: s.jobID, Problem: fmt.Sprintf("event %q %s came after the end", f.event, f.id)}
}

// watched resets the idle timer at every byte.
type watched struct {
	r     io.Reader
	idle  time.Duration
	timer *time.Timer
	heard func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.timer.Reset(w.idle)
		w.heard()
	}
	return n, err
}
