package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
)

const (
	// fetchAfter is how long a listed run waits for a doorbell to bring its body; nobody rings
	// for a detached one.
	fetchAfter = 200 * time.Millisecond
	// fetchFor is how long the body is asked of queens before the run is given up.
	fetchFor = time.Minute
	// busyFor is how long an engine may say that it takes nothing now, though it has a slot.
	busyFor  = 10 * time.Second
	busyStep = 50 * time.Millisecond
)

// work is the run's life up to its end.
func (r *run) work() (engine.Result, error) {
	if r.resumed != nil {
		defer r.worker.slots.release()
		return r.resume()
	}
	body, err := r.awaitBody()
	if err != nil {
		return engine.Result{}, err
	}
	if !r.worker.slots.take() {
		if err := r.openLog(body); err != nil { // to be read meanwhile
			return engine.Result{}, err
		}
		if err := r.worker.slots.acquire(r.ctx); err != nil {
			return engine.Result{}, err
		}
	}
	// Given on only now that the engine client has returned: its connection is closed.
	defer r.worker.slots.release()
	began := time.Now()
	for step := busyStep; ; step = min(2*step, time.Second) {
		result, err := r.generate(body)
		if hives.CodeOf(err) == hives.CodeWorkerDied {
			r.worker.sup.Doubt()
		}
		if hives.CodeOf(err) != engine.CodeEngineBusy {
			return result, err
		}
		if time.Since(began) > busyFor {
			return result, hives.Errorf(hives.CodeEngineError, "the engine took no request for %v although it had a free slot: %s", busyFor, coded(err).Message)
		}
		if !sleep(r.ctx, step) {
			return result, context.Cause(r.ctx)
		}
	}
}

// awaitBody waits for a doorbell's body, and asks queens when none comes.
func (r *run) awaitBody() ([]byte, error) {
	if r.rec.Mode != hives.Detached {
		t := time.NewTimer(fetchAfter)
		defer t.Stop()
		select {
		case <-r.offered.Done():
		case <-t.C:
		case <-r.ctx.Done():
		}
	}
	began := time.Now()
	for {
		r.mu.Lock()
		body := r.body
		r.mu.Unlock()
		if r.ctx.Err() != nil {
			return nil, context.Cause(r.ctx)
		}
		if body != nil {
			return body, nil
		}
		err := r.fetchBody()
		if err == nil {
			continue
		}
		if time.Since(began) > fetchFor {
			return nil, hives.Errorf(hives.CodeWorkerGone, "no queen gave the request's body within %v: %v", fetchFor, err)
		}
	}
}

// fetchBody asks a queen once, and waits a little when that fails. A doorbell breaks it off.
func (r *run) fetchBody() error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	defer context.AfterFunc(r.offered, cancel)()
	body, err := r.env.fetch(ctx, r.key.job)
	if err == nil && len(body) == 0 {
		err = errors.New("the body is empty")
	}
	if err == nil {
		r.offer(body)
		return nil
	}
	if ctx.Err() == nil {
		r.env.logger.Warn("body of a run cannot be fetched", "job", r.key.job, "error", err)
		sleep(ctx, time.Second)
	}
	return err
}

// begin makes the log, if there is none, and its first record, once.
func (r *run) begin(body []byte) error {
	if r.log == nil {
		if err := r.openLog(body); err != nil {
			return err
		}
	}
	if r.begun {
		return nil
	}
	r.begun = true
	return r.log.Start()
}

// generate makes one request to the engine and keeps what it says. The log begins once the
// engine is at work: a file takes about as long to make as a fast engine to think of its first
// token.
func (r *run) generate(body []byte) (engine.Result, error) {
	generation, alive := r.worker.sup.Generation()
	s := r.worker.sup.State()
	if s.Generation != generation || s.State != hives.WorkerReady {
		return engine.Result{}, errDied()
	}
	// Its client may have said an alias.
	body, err := engine.WithModelIn(r.rec.ContentType, body, cmp.Or(s.ModelName, r.worker.model))
	if err != nil {
		return engine.Result{}, err
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	defer context.AfterFunc(alive, func() { cancel(context.Cause(alive)) })()
	o := engine.StreamOptions{Key: s.Key, FirstToken: r.env.first, InterToken: r.env.inter, MaxTokens: cmp.Or(s.Window, r.env.most),
		OnBytes: func() { r.worker.sup.Alive(generation) },
		Sent:    func() error { return r.begin(body) }}
	at := engineAt{url: s.BaseURL, key: s.Key}
	over := r.worker.answering(&o.OnBytes)
	defer over()
	if !hives.Streamed(r.rec.Path) {
		result, err := r.answer(ctx, s.BaseURL, body, o)
		over()
		r.letGo(at, err)
		return result, err
	}
	if s.Replay {
		at.name = fmt.Sprintf("%s.%d", r.key.job, r.key.attempt)
		o.Conversation, r.named = at.name, at
	}
	result, err := r.env.stream(ctx, s.BaseURL, r.rec.Path, body, o, r.keep)
	over()
	if at.name != "" {
		r.letGo(at, err)
	}
	return result, err
}

// keep puts a chunk into the log.
func (r *run) keep(c engine.Chunk) error {
	if c.Content && r.ttft == 0 && r.resumed == nil {
		r.ttft = max(time.Since(r.accepted), time.Millisecond)
	}
	return r.log.AppendAt(c.Offset, c.Raw, c.Content, c.Text, c.Closes)
}

// answer makes a request that has one answer, and keeps that.
func (r *run) answer(ctx context.Context, baseURL string, body []byte, o engine.StreamOptions) (engine.Result, error) {
	o.ContentType = r.rec.ContentType
	a, result, err := engine.Whole(ctx, baseURL, r.rec.Path, body, o)
	switch {
	case hives.CodeOf(err) == hives.CodeInvalid:
		return result, hives.Errorf(hives.CodeInvalid, "model %s, %s: %s", r.worker.model, r.rec.Path, coded(err).Message)
	case err != nil:
		return result, err
	}
	r.ttft = max(time.Since(r.accepted), time.Millisecond)
	return result, r.log.Answer(a.ContentType, a.Body)
}

// coded makes any error one with a code.
func coded(err error) *hives.Error {
	if e, ok := errors.AsType[*hives.Error](err); ok {
		return e
	}
	return hives.Errorf(hives.CodeEngineError, "%v", err)
}
