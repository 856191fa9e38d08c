package httpapi

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// TestUnknownOutcomeHoldsNothing: a client that was told to ask again is no client of what its
// request may have made.
func TestUnknownOutcomeHoldsNothing(t *testing.T) {
	w := newWorld(t)
	w.register()
	w.queen.mu.Lock()
	w.queen.unsaid = fsm.Errorf(fsm.CodeUnknownOutcome, "the leader went away")
	w.queen.mu.Unlock()
	status, body, h := w.read("POST", "/v2/tasks", task, headerGrace, "20ms")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, fsm.CodeUnknownOutcome) || h.Get(headerJob) == "" {
		t.Errorf("%d %s, job %q", status, body, h.Get(headerJob))
	}
	w.awaitJob(h.Get(headerJob), "cancelled")
}

// TestRepeatThatCannotBeShown is told that the job is there, and does not hold it.
func TestRepeatThatCannotBeShown(t *testing.T) {
	w := newWorld(t)
	w.register()
	old := w.queen.View()
	other := fsm.Holder{Queen: "q2", Boot: "b2"}
	ans := w.queen.must(schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{
		ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Tenant: defaultTenant, Model: testModel, API: hives.APITask, Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail, Stream: true, Grace: time.Hour, Holders: []fsm.Holder{other},
		IdempotencyKey: "k1", RequestHash: sha256.Sum256([]byte("/v2/tasks\n" + task)), Body: fsm.PackBody([]byte("{}")),
	}}})
	w.queen.mu.Lock()
	w.queen.behind = old
	w.queen.mu.Unlock()
	status, body, h := w.read("POST", "/v2/tasks", task, "Idempotency-Key", "k1")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, fsm.CodeUnknownOutcome) || h.Get(headerJob) != ans.Job {
		t.Errorf("%d %s, job %q", status, body, h.Get(headerJob))
	}
	watch := w.queen.Watch(jobRow(ans.Job))
	defer watch.Close()
	w.queen.mu.Lock()
	w.queen.behind = nil // the replica has caught up
	w.queen.mu.Unlock()
	for over := time.After(patience); ; {
		j, _ := w.queen.View().Job(ans.Job)
		if !slices.Contains(j.Holders, w.api.holder()) {
			return
		}
		select {
		case <-watch.C():
		case <-over:
			t.Fatalf("held by %v", j.Holders)
		}
	}
}
