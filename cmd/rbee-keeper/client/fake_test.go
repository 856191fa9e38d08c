package client_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newClient talks to a fake cluster patiently, so that a busy machine changes nothing.
func newClient(t *testing.T, urls []string, change ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{
		Queens: urls, APIKey: "key", Backoff: time.Millisecond, Patience: 10 * time.Second, ResumePatience: 10 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// hasty gives up soon.
func hasty(cfg *client.Config) {
	cfg.Patience, cfg.ResumePatience = 50*time.Millisecond, 50*time.Millisecond
}

// alert takes a connection for dead after a short silence.
func alert(cfg *client.Config) { cfg.IdleTimeout = 50 * time.Millisecond }

func setup(t *testing.T, n int, change ...func(*client.Config)) (*clienttest.Fake, *client.Client) {
	t.Helper()
	f := clienttest.New(t, n)
	return f, newClient(t, f.URLs(), change...)
}

func task(n int) client.Task {
	seed := int64(7)
	return client.Task{Model: "builtin/markov", Prompt: "hello", MaxTokens: &n, Seed: &seed}
}

// drain reads a stream to its end.
func drain(t *testing.T, s *client.Stream) (events []client.Event, text string, err error) {
	t.Helper()
	var tr client.Transcript
	for ev, e := range s.Events() {
		if e != nil {
			if err != nil {
				t.Fatalf("a second error: %v after %v", e, err)
			}
			err = e
			continue
		}
		tr.Add(ev)
		events = append(events, ev)
	}
	return events, tr.Text(), err
}

func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
