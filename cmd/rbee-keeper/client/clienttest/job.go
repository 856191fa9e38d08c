package clienttest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Text is what the fake engine says to a prompt: n words that depend on prompt and seed.
func Text(prompt string, seed, n int) []string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("%s%d.%d ", prompt[:min(1, len(prompt))], seed, i)
	}
	return words
}

func number(v any, or int) int {
	if f, ok := v.(float64); ok {
		return int(f)
	}
	return or
}

// Submit makes a job, as POST /v2/tasks does.
func (f *Fake) Submit(key string, task map[string]any) *Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := f.byKey[key]; ok && key != "" {
		return f.jobs[id]
	}
	j := &Job{ID: fmt.Sprintf("01JOB%021d", len(f.jobs)+1), Task: task, State: "complete", Runs: 1}
	prompt, _ := task["prompt"].(string)
	if messages, ok := task["messages"].([]any); ok { // the last one is answered
		last, _ := messages[len(messages)-1].(map[string]any)
		prompt, _ = last["content"].(string)
	}
	words := Text(prompt, number(task["seed"], 0), number(task["max_tokens"], 5))
	j.Text = strings.Join(words, "")
	j.Frames = Frames(j.ID, words)
	f.jobs[j.ID], f.byKey[key] = j, j.ID
	f.order = append(f.order, j.ID)
	return j
}

// Frames are those of an undisturbed run on attempt 1.
func Frames(id string, words []string) []string {
	frames := []string{
		fmt.Sprintf("event: queued\ndata: {\"job_id\":%q,\"position\":0}", id),
		"event: assigned\ndata: {\"worker_id\":\"w1\",\"hive_id\":\"hive-1\",\"attempt\":1}",
		"id: 1.1\nevent: started\ndata: {\"model\":\"builtin/markov\"}",
	}
	for i, w := range words {
		data, _ := json.Marshal(map[string]any{"t": w, "i": i})
		frames = append(frames, fmt.Sprintf("id: 1.%d\nevent: token\ndata: %s", i+2, data))
	}
	end := fmt.Sprintf(`{"finish_reason":"length","usage":{"prompt_tokens":3,"completion_tokens":%d},"queued_ms":1,"ttft_ms":2,"total_ms":3}`, len(words))
	return append(frames, fmt.Sprintf("id: 1.%d\nevent: end\ndata: %s", len(words)+2, end))
}

func (f *Fake) task(w http.ResponseWriter, r *http.Request, fault Fault) {
	var task map[string]any
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&task); err != nil {
		Problem(w, 400, "invalid_request", err.Error())
		return
	}
	if m, _ := task["model"].(string); m != "builtin/markov" {
		Problem(w, 404, "model_not_found", fmt.Sprintf("no model %q", m))
		return
	}
	j := f.Submit(r.Header.Get("Idempotency-Key"), task)
	w.Header().Set("X-Rbee-Job-Id", j.ID)
	switch {
	case task["detach"] == true:
		w.WriteHeader(202)
		answer(w, map[string]any{"job_id": j.ID, "state": "queued"})
	case task["stream"] == false:
		answer(w, j.result())
	default:
		f.stream(w, r, j, fault)
	}
}

func (f *Fake) job(w http.ResponseWriter, r *http.Request, id, sub string, fault Fault) {
	f.mu.Lock()
	j := f.jobs[id]
	f.mu.Unlock()
	switch {
	case j == nil:
		Problem(w, 404, "not_found", "no job "+id)
	case sub == "events":
		f.stream(w, r, j, fault)
	case sub == "result":
		answer(w, j.result())
	case sub == "" && r.Method == http.MethodDelete:
		f.mu.Lock()
		defer f.mu.Unlock()
		j.State = "cancelled"
		answer(w, j.show())
	case sub == "":
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, j.show())
	default:
		Problem(w, 404, "not_found", r.URL.Path)
	}
}

func (j *Job) show() map[string]any {
	return map[string]any{
		"id": j.ID, "tenant": "default", "model": j.Task["model"], "priority": "interactive", "state": j.State,
		"attempt": 1, "hive": "hive-1", "worker": "w1", "submitted_at": time.Now().UTC().Format(time.RFC3339),
		"holders": []any{map[string]any{"queen": "queen-1"}}, "usage": map[string]any{"completion_tokens": 5},
		"history": []any{map[string]any{"at": time.Now().UTC().Format(time.RFC3339), "event": "submitted", "detail": "by a test"}},
	}
}

func (j *Job) result() map[string]any {
	return map[string]any{"job_id": j.ID, "text": j.Text, "finish_reason": "length", "usage": map[string]any{"completion_tokens": 5}}
}

// after drops the frames up to the record that the client has.
func after(frames []string, lastID string) []string {
	if lastID == "" {
		return frames
	}
	for i, fr := range frames {
		if strings.HasPrefix(fr, "id: "+lastID+"\n") {
			return frames[i+1:]
		}
	}
	return frames
}

func (f *Fake) stream(w http.ResponseWriter, r *http.Request, j *Job, fault Fault) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	put := func(s string) { _, _ = w.Write([]byte(s)); _ = rc.Flush() }
	put("retry: 250\n\n: here we go\n\n")
	frames := after(j.Frames, r.Header.Get("Last-Event-ID"))
	if fault.EditFrames != nil {
		frames = fault.EditFrames(frames)
	}
	cut := fault.Frames > 0 || fault.MidFrame || fault.Silent
	for i, fr := range frames {
		if cut && i == fault.Frames {
			if fault.MidFrame {
				put(fr[:len(fr)-3])
			}
			if fault.Then != nil {
				fault.Then()
			}
			if fault.Silent {
				<-r.Context().Done()
			}
			panic(http.ErrAbortHandler)
		}
		put(fr + "\n\n")
		f.pace(r)
	}
}

func (f *Fake) pace(r *http.Request) {
	if f.Pace == 0 {
		return
	}
	t := time.NewTimer(f.Pace)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}
