package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"queen-rbee/hives"
)

// CodeEngineBusy is the code of a request that the engine did not take now (loading, or all its
// slots taken): nothing was run, and another try may succeed.
const CodeEngineBusy = "engine_busy"

// Defaults and limits of a stream.
const (
	DefaultFirstToken = 5 * time.Minute
	DefaultInterToken = 60 * time.Second

	dialTimeout    = 2 * time.Second
	tlsTimeout     = 10 * time.Second
	maxHeaderBytes = 64 << 10
	maxErrorBody   = 64 << 10
)

// StreamOptions bound and watch one stream. Zero values take the defaults named here.
type StreamOptions struct {
	Key        string        // bearer token for the engine; empty for none
	FirstToken time.Duration // request sent to first content; 0: 5 min, negative: no limit
	InterToken time.Duration // between chunks after that; 0: 60 s, negative: no limit
	OnBytes    func()        // called after each read that brought bytes; must not block
	Sent       func() error  // called when the engine has the request or is about to; its error ends the stream

	// MaxTokens is sent along where the request bounds its answer by nothing; 0: nothing is.
	// Without one an engine may go on until the context is full, or for ever.
	MaxTokens int

	// Conversation asks an engine that has a replay buffer to keep the stream under this name, so
	// that Resume can go on with it: closing the connection does not end it any more, Forget does.
	Conversation string

	// Of Whole alone.
	ContentType string // of the request's body; empty: application/json
	MaxAnswer   int64  // bytes of an answer; 0: 64 MiB
}

// Chunk is one event of an engine's stream.
type Chunk struct {
	Raw       json.RawMessage // the engine's own JSON; valid only during the call it is passed to
	Content   bool            // carries text, tool calls, reasoning, refusal or logprobs of any choice
	Text      string          // text of choice 0
	Closes    bool            // brings the last finish_reason that was still missing
	UsageOnly bool            // usage without choices: only for clients that asked for include_usage
	Offset    int64           // bytes of the stream up to its end
}

// Result is what is known of a stream when it is over, however it ended.
type Result struct {
	FinishReason string        // of choice 0
	Usage        hives.Usage   // the engine's, or completion tokens counted from chunks
	Content      int           // chunks with content
	FirstToken   time.Duration // from the request to the first content, 0 when there was none
}

// transport makes a connection for each request and keeps none, as send does: an engine's idle
// connections hold its threads, and a queued one can hang behind them.
var transport = &http.Transport{
	DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
	TLSHandshakeTimeout:    tlsTimeout,
	DisableKeepAlives:      true,
	DisableCompression:     true,
	MaxResponseHeaderBytes: maxHeaderBytes,
}

// Stream posts body, a client's OpenAI JSON, to baseURL+path, with `stream` forced on and usage
// asked for, and passes each chunk to yield in order on the calling goroutine. It uses a connection
// of its own, closed on return, so that the engine frees its slot when ctx ends.
//
// The error is nil only for a complete stream: a finish_reason for every choice and [DONE].
// Otherwise it is a *hives.Error with code invalid_request, engine_busy, engine_timeout,
// engine_error or worker_died; or yield's error; or, when ctx has ended, its cause.
func Stream(ctx context.Context, baseURL, path string, body []byte, o StreamOptions, yield func(Chunk) error) (Result, error) {
	n, err := choices(path, body)
	if err != nil {
		return Result{}, err
	}
	body, err = forceStream(body, o.MaxTokens)
	if err != nil {
		return Result{}, err
	}
	s := &stream{chunks: newClassifier(n), yield: yield, options: o, began: time.Now()}
	s.clock, ctx = newClock(ctx, limit(o.FirstToken, DefaultFirstToken), limit(o.InterToken, DefaultInterToken))
	defer s.clock.end()
	err = s.run(ctx, baseURL+path, body)
	return Result{FinishReason: s.chunks.finish, Usage: s.chunks.tally(), Content: s.chunks.contents, FirstToken: s.first}, err
}

func limit(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return max(d, 0)
}

// stream is one request under way.
type stream struct {
	chunks  *classifier
	yield   func(Chunk) error
	options StreamOptions
	clock   *clock
	began   time.Time
	first   time.Duration
}

func (s *stream) run(ctx context.Context, url string, body []byte) error {
	req, err := newPost(ctx, url, body, "application/json", s.options.Key)
	if err != nil {
		return err
	}
	if s.options.Conversation != "" {
		req.Header.Set(headerConversation, s.options.Conversation)
	}
	return s.follow(ctx, req, 0)
}

// follow sends a request and reads its stream, which begins after so many bytes.
func (s *stream) follow(ctx context.Context, req *http.Request, from int64) error {
	req.Header.Set("Accept", "text/event-stream")
	resp, src, err := ask(ctx, req, s.options)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return hives.Errorf(hives.CodeEngineError, "the engine answered %.100q to a request for a stream", resp.Header.Get("Content-Type"))
	}
	events := newEventReader(src)
	events.taken = from
	return s.read(ctx, events)
}

// newPost makes a request that does not follow redirects and has no timeout of its own.
func newPost(ctx context.Context, url string, body []byte, contentType, key string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, hives.Errorf(hives.CodeEngineError, "the engine's address: %v", err)
	}
	req.Header.Set("Content-Type", contentType)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return req, nil
}

// ask makes the round trip. Anything but a 200 is an error with a code; of a 200 the caller
// reads the body from src and closes it.
func ask(ctx context.Context, req *http.Request, o StreamOptions) (*http.Response, *watched, error) {
	// No Client: no redirects, no timeout over the whole answer.
	asked, err := send(req)
	if err != nil {
		return nil, nil, broken(ctx, err, "before it answered")
	}
	if o.Sent != nil {
		if err := o.Sent(); err != nil {
			asked.close()
			return nil, nil, err
		}
	}
	resp, err := asked.answer()
	if err != nil {
		asked.close()
		return nil, nil, broken(ctx, err, "before it answered")
	}
	src := &watched{r: resp.Body, onBytes: o.OnBytes}
	src.arrived()
	if resp.StatusCode == http.StatusOK {
		return resp, src, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(src, maxErrorBody))
	if err != nil && ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return nil, nil, refused(resp.StatusCode, text)
}

// read passes chunks on until the end of the stream, in order or not.
func (s *stream) read(ctx context.Context, events *eventReader) error {
	for {
		e, err := events.next()
		if err != nil {
			return broken(ctx, err, "before its end")
		}
		if string(e.data) == "[DONE]" {
			return s.done()
		}
		if e.name == "error" {
			return hives.Errorf(hives.CodeEngineError, "%s", parseFault(e.data).message)
		}
		chunk, err := s.chunks.chunk(e.data)
		if err != nil {
			return err
		}
		chunk.Offset = events.taken
		if chunk.Content && s.first == 0 {
			s.first = max(time.Since(s.began), 1)
		}
		s.clock.pause()
		if err := s.yield(chunk); err != nil {
			return err
		}
		// Not by chance after yield: the time its consumer takes is not the engine's.
		s.clock.resume(s.first > 0)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (s *stream) done() error {
	if s.chunks.left > 0 {
		return hives.Errorf(hives.CodeEngineError, "the engine ended its stream without a finish_reason for %d of %d choices", s.chunks.left, len(s.chunks.open))
	}
	return nil
}

// broken names what a failed read or round trip means.
func broken(ctx context.Context, err error, when string) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errLineTooLong):
		return hives.Errorf(hives.CodeEngineError, "the engine sent %v", err)
	case atEnd(err):
		return hives.Errorf(hives.CodeWorkerDied, "the engine's stream broke off %s", when)
	}
	return hives.Errorf(hives.CodeWorkerDied, "the engine's stream broke off %s: %v", when, err)
}

// watched tells of each read that brought bytes.
type watched struct {
	r       io.Reader
	onBytes func()
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.arrived()
	}
	return n, err
}

func (w *watched) arrived() {
	if w.onBytes != nil {
		w.onBytes()
	}
}
