package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// Reference is an engine that nobody disturbs: what it says to a task is what every client
// must get, whatever dies around it.
type Reference struct {
	c   *Cluster
	url string

	mu    sync.Mutex
	texts map[Task]string
}

// NewReference starts a worker without a hive.
func NewReference(t testing.TB) *Reference {
	t.Helper()
	needProc(t)
	c := New(t, Options{})
	addr := Addr(t)
	w := c.Process("reference", "rbee-worker", "--addr", addr, "--model", Model, "--slots", "8")
	if err := w.Launch(); err != nil {
		t.Fatal(err)
	}
	r := &Reference{c: c, url: "http://" + addr, texts: map[Task]string{}}
	Await(t, readyTime, "the reference engine", func(ctx context.Context) error {
		_, err := c.Get(ctx, r.url+"/health", nil)
		return err
	})
	return r
}

// Text is the whole answer to a task.
func (r *Reference) Text(t testing.TB, task Task) string {
	t.Helper()
	text, err := r.Ask(t.Context(), task)
	if err != nil {
		t.Fatalf("reference engine: %v", err)
	}
	return text
}

// Ask is Text for callers that do not fail with a test.
func (r *Reference) Ask(ctx context.Context, task Task) (string, error) {
	task = Task{Model: task.Model, Prompt: task.Prompt, MaxTokens: task.MaxTokens, Seed: task.Seed}
	r.mu.Lock()
	defer r.mu.Unlock()
	if text, ok := r.texts[task]; ok {
		return text, nil
	}
	text, err := r.ask(ctx, task)
	if err != nil {
		return "", err
	}
	r.texts[task] = text
	return text, nil
}

func (r *Reference) ask(ctx context.Context, task Task) (string, error) {
	body, err := json.Marshal(map[string]any{
		"model": task.Model, "max_tokens": task.MaxTokens, "seed": task.Seed,
		"messages": []map[string]string{{"role": "user", "content": task.Prompt}},
	})
	if err != nil {
		return "", err
	}
	reply, err := r.c.Call(ctx, http.MethodPost, r.url+"/v1/chat/completions", body)
	if err == nil {
		err = reply.Problem()
	}
	if err != nil {
		return "", err
	}
	var a struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	if err := json.Unmarshal(reply.Body, &a); err != nil || len(a.Choices) != 1 {
		return "", fmt.Errorf("%s: %w", reply.Body, err)
	}
	return a.Choices[0].Message.Content, nil
}
