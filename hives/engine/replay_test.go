package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/engine/enginetest"
)

// brokenOff reads a kept stream until it has so many chunks with content, and loses it.
func brokenOff(t *testing.T, url string, tokens int) (k Kept, text string) {
	t.Helper()
	var past [][]byte
	enough := errors.New("enough")
	_, err := Stream(context.Background(), url, chatPath, []byte(`{"max_tokens":6}`), StreamOptions{Conversation: "j1.1"}, func(c Chunk) error {
		if c.Content {
			past, text, k.From = append(past, bytes.Clone(c.Raw)), text+c.Text, c.Offset
		}
		if len(past) == tokens {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	k.Conversation, k.Choices = "j1.1", 1
	k.Past = func(yield func(json.RawMessage) error) error {
		for _, raw := range past {
			if err := yield(raw); err != nil {
				return err
			}
		}
		return nil
	}
	return k, text
}

// A stream that was broken off goes on where it was, at every chunk, without gap or repeat, and
// ends with all that an unbroken one tells; also when the engine was quicker and is done.
func TestResumeGoesOnExactly(t *testing.T) {
	for _, done := range []bool{false, true} {
		for tokens := 1; tokens <= 6; tokens++ {
			l := &enginetest.Llama{Slots: 1}
			s := httptest.NewServer(l)
			l.Step(tokens)
			k, text := brokenOff(t, s.URL, tokens)
			if done {
				l.Step(6 - tokens)
				eventually(t, "the engine is done", func() bool { return l.Busy() == 0 })
			}
			said := tokens
			step := func() {
				if said < 6 && !done {
					said++
					l.Step(1)
				}
			}
			step()
			res, heard, err := Resume(context.Background(), s.URL, k, StreamOptions{}, func(c Chunk) error {
				if text += c.Text; c.Content {
					step()
				}
				return nil
			})
			if err != nil || !heard || text != "t0 t1 t2 t3 t4 t5 " {
				t.Errorf("after %d (%v): %v %q", tokens, done, err, text)
			}
			if res.FinishReason != "length" || res.Content != 6 || res.Usage != (hives.Usage{PromptTokens: 3, CompletionTokens: 6, TotalTokens: 9}) {
				t.Errorf("after %d: %+v", tokens, res)
			}
			s.CloseClientConnections()
			s.Close()
		}
	}
}

// What an engine has not, or not any more, is known as lost by the restart.
func TestResumeOfWhatIsGone(t *testing.T) {
	for name, spoil := range map[string]func(l *enginetest.Llama, k *Kept){
		"it never had one":            func(_ *enginetest.Llama, k *Kept) { k.Conversation = "j2.1" },
		"its ring is over it":         func(l *enginetest.Llama, k *Kept) { l.Lose("j1.1", int(k.From)+1) },
		"it has no replay buffer":     func(l *enginetest.Llama, _ *Kept) { l.Deaf = true },
		"nobody knows what was asked": func(_ *enginetest.Llama, k *Kept) { k.Choices = 0 },
		"the log holds no chunks": func(_ *enginetest.Llama, k *Kept) {
			k.Past = func(yield func(json.RawMessage) error) error { return yield(json.RawMessage("nonsense")) }
		},
	} {
		l := &enginetest.Llama{Slots: 1}
		s := httptest.NewServer(l)
		l.Step(3)
		k, _ := brokenOff(t, s.URL, 2)
		eventually(t, "the third token", func() bool { return l.Kept("j1.1") > int(k.From) })
		spoil(l, &k)
		_, _, err := Resume(context.Background(), s.URL, k, StreamOptions{}, func(Chunk) error { return nil })
		if hives.CodeOf(err) != hives.CodeAgentRestarted || !strings.Contains(err.Error(), "has not kept it: ") {
			t.Errorf("%s: %v", name, err)
		}
		l.Deaf = false
		if err := Forget(context.Background(), s.URL, "", "j1.1"); err != nil {
			t.Error(err)
		}
		l.Step(1)
		s.Close()
	}
}

// Whoever answers there is asked once whether it keeps streams.
func TestReplayIsProbed(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		s := httptest.NewServer(&enginetest.Llama{Slots: 3, Deaf: deaf})
		p := &probe{base: s.URL}
		props, err := p.props(context.Background())
		if err != nil || props.Replay == deaf || props.Slots != 3 || props.context() != 4096 {
			t.Errorf("%+v %v", props, err)
		}
		s.Close()
	}
}
