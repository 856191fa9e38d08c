package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

// question is one query for the desired state, as a queen has it before her.
type question struct {
	strong bool
	answer chan hives.Desired
	gone   <-chan struct{}
}

// TestTheLeaderIsAskedUntilItAnswers: whatever comes instead of a strong answer, or while one
// is on its way, no wish for one is lost, and none is broken off by the next.
func TestTheLeaderIsAskedUntilItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := runlog.Open(t.TempDir(), runlog.Limits{}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		tab := newTable(store, hclog.NewNullLogger())
		tab.parts.acted = func(string, uint64) {}
		tab.adopt("e", 1)
		asked := make(chan question)
		c := newCaller("h1", "token", time.Second)
		c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			q := question{r.URL.Query().Get("consistency") == "strong", make(chan hives.Desired), r.Context().Done()}
			asked <- q
			select {
			case d := <-q.answer:
				text, err := json.Marshal(d)
				return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(text))}, err
			case <-q.gone:
				return nil, r.Context().Err()
			}
		})
		var cut atomic.Bool
		down := &pipeDown{queens: newQueens([]string{"http://one", "http://two"}, nil, nil), call: c, table: tab,
			broken: cut.Load, limit: time.Minute, logger: hclog.NewNullLogger()}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = down.run(ctx, "e"); close(done) }()
		next := func(what string, strong bool) question {
			t.Helper()
			q := <-asked
			if q.strong != strong {
				t.Fatalf("%s: strong is %v", what, q.strong)
			}
			return q
		}
		answer := func(q question, epoch string, index uint64) {
			q.answer <- hives.Desired{Epoch: epoch, Index: index, Desired: hives.HiveRunning}
		}
		answer(next("at first", true), "other", 9)
		answer(next("after an answer of another epoch", true), "e", 5)
		blocked := next("when all is known", false)
		down.askLeader()
		<-blocked.gone
		q := next("instead of it", true)
		down.askLeader()
		synctest.Wait()
		answer(q, "e", 5)
		answer(next("for the wish made meanwhile", true), "e", 4)
		answer(next("after an answer that is too old", true), "e", 6)
		blocked = next("when all is known again", false)
		cut.Store(true)
		answer(blocked, "e", 7)
		q = next("instead of an answer from before a silence", true)
		if tab.acted() != 6 {
			t.Fatalf("acted on %d, which may be old", tab.acted())
		}
		answer(q, "e", 7)
		blocked = next("when the leader has answered", false)
		if tab.acted() != 7 {
			t.Fatalf("acted on %d, not on the leader's word", tab.acted())
		}
		cut.Store(false)
		tab.silence() // it was over before the answer was read
		answer(blocked, "e", 8)
		next("instead of an answer from before a silence that is over", true)
		stop()
		<-done
	})
}
