package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"queen-rbee/hives"
)

// llama-server keeps what it streams under a name of the client's, in a ring of a few MiB until
// some minutes after the end. Who lost the connection reads on from any byte of it.
const (
	headerConversation = "X-Conversation-Id"
	replayPath         = "/v1/stream"
)

// Kept is what is known of a stream that was broken off here and goes on in its engine.
type Kept struct {
	Conversation string
	Choices      int                                               // that were asked for
	From         int64                                             // Offset of the last chunk that was kept
	Past         func(yield func(raw json.RawMessage) error) error // those that were kept, in order
}

// resumeWithin is how long an engine may take to say that it has a stream.
const resumeWithin = 5 * time.Second

// Resume goes on with a stream as Stream does. An engine that does not know it, has lost a part
// of it or does not answer soon (heard is false then) is an agent_restarted: the run is cut off.
func Resume(ctx context.Context, baseURL string, k Kept, o StreamOptions, yield func(Chunk) error) (res Result, heard bool, err error) {
	if k.Choices < 1 || k.Choices > maxChoices {
		return Result{}, false, lost(errors.New("it is not known what was asked of it"))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	soon := time.AfterFunc(resumeWithin, func() { cancel(lost(fmt.Errorf("it did not answer within %v", resumeWithin))) })
	defer soon.Stop()
	onBytes := o.OnBytes
	o.OnBytes = func() {
		heard = true
		soon.Stop()
		if onBytes != nil {
			onBytes()
		}
	}
	s := &stream{chunks: newClassifier(k.Choices), yield: yield, options: o, began: time.Now()}
	err = k.Past(func(raw json.RawMessage) error {
		_, err := s.chunks.chunk(raw)
		return err
	})
	if err != nil {
		return Result{}, false, lost(err)
	}
	if s.chunks.contents > 0 {
		s.first = 1
	}
	s.clock, ctx = newClock(ctx, limit(o.FirstToken, DefaultFirstToken), limit(o.InterToken, DefaultInterToken))
	defer s.clock.end()
	req, err := conversation(ctx, http.MethodGet, baseURL, k.Conversation, o.Key, fmt.Sprintf("&from=%d", k.From))
	if err != nil {
		return Result{}, false, err
	}
	err = s.follow(ctx, req, k.From)
	if hives.CodeOf(err) == hives.CodeInvalid || err != nil && !heard && ctx.Err() == nil {
		err = lost(err)
	}
	return Result{FinishReason: s.chunks.finish, Usage: s.chunks.tally(), Content: s.chunks.contents}, heard, err
}

func lost(why error) error {
	return hives.Errorf(hives.CodeAgentRestarted, "the hive's agent was restarted under the run, and its engine has not kept it: %v", why)
}

// Choices is how many choices a request asks for.
func Choices(path string, body []byte) (int, error) { return choices(path, body) }

func conversation(ctx context.Context, method, baseURL, name, key, more string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, baseURL+replayPath+"?conv_id="+url.QueryEscape(name)+more, nil)
	if err != nil {
		return nil, hives.Errorf(hives.CodeEngineError, "the engine's address: %v", err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return req, nil
}

// Forget has the engine end a stream that it keeps, and drop it. Its answer says only that it
// was heard; Busy tells when the slot is free.
func Forget(ctx context.Context, baseURL, key, name string) error {
	req, err := conversation(ctx, http.MethodDelete, baseURL, name, key, "")
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return hives.Errorf(hives.CodeEngineError, "the engine answered %d to the end of a stream", resp.StatusCode)
	}
	return nil
}

// Busy asks the engine how many of its slots work; ok is false for one that does not say.
func Busy(ctx context.Context, baseURL, key string) (n int, ok bool) {
	p := &probe{base: baseURL, key: key}
	busy, ok, err := p.busy(ctx)
	return busy, ok && err == nil
}

// replays tells whether the engine has a replay buffer: one that has asks which stream is meant.
func (p *probe) replays(ctx context.Context) bool {
	status, _, err := p.get(ctx, replayPath, propsTimeout)
	return err == nil && status == http.StatusBadRequest
}
