package agent

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// telling has the rig's workers be engines that say one word, and gives what they were asked.
func telling(t *testing.T, change ...func(*Config)) (r *rig, asked <-chan string) {
	bodies := make(chan string, 1)
	return answering(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		bodies <- string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
	}, change...), bodies
}

// An answer that nothing bounds is bounded by what the engine says of its context, or by what
// the hive is told for engines that do not say.
func TestUnboundedAnswersGetABound(t *testing.T) {
	r, asked := telling(t, func(c *Config) { c.MaxTokens = 99 })
	for i, c := range []struct {
		window       int
		extra, wants string
	}{
		{0, ``, `,"max_tokens":99,"stream":true`},
		{0, `"max_tokens":5,`, `{"max_tokens":5,"model"`},
		{512, ``, `,"max_tokens":512,"stream":true`},
		{512, `"max_completion_tokens":5,`, `{"max_completion_tokens":5,"model"`},
	} {
		w := r.worker("w1")
		s := w.State()
		s.Window = c.window
		w.set(s)
		bell := r.bell(fmt.Sprintf("j%d", i), "")
		bell.Body = []byte(`{` + c.extra + body("one")[1:])
		_, end, _, err := r.execute("w1", bell)
		if got := <-asked; err != nil || end.Outcome != hives.Complete || end.FinishReason != "length" || !strings.Contains(got, c.wants) || strings.Count(got, "_tokens") != 1 {
			t.Errorf("%+v: the engine is asked %s (%v)", c, got, err)
		}
	}
}

// Time in the queue for a slot is nobody's fault: the engine's time for a first token begins when
// it is asked.
func TestWaitingForASlotIsNotTheEnginesTime(t *testing.T) {
	r := newRig(t, func(c *Config) { c.FirstToken, c.InterToken = 100*time.Millisecond, -1 })
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.list("j2", "w1", "two", nil)
	agenttest.Eventually(t, "j2 waits", func() bool { _, known := r.agentKnows("j2"); return known })
	beats := r.queen.Last().Seq
	r.queen.Await(t, "more time than a first token may take", func(hb *hives.Heartbeat) bool { return hb.Seq > beats+4 })
	r.engine.letGo()
	hb := r.queen.Await(t, "both ended", func(hb *hives.Heartbeat) bool {
		return agenttest.Ended(hb, "j1") != nil && agenttest.Ended(hb, "j2") != nil
	})
	for _, job := range []string{"j1", "j2"} {
		if end := agenttest.Ended(&hb, job); end.Outcome != hives.Complete {
			t.Errorf("%s: %+v %v", job, end, end.Error)
		}
	}
}

// An engine knows a model by its ref, whatever alias its client has said.
func TestAnEngineIsAskedByRef(t *testing.T) {
	r, asked := telling(t)
	bell := r.bell("j1", "")
	bell.Body = []byte(`{"model":"alias","prompt":"one"}`)
	_, end, _, err := r.execute("w1", bell)
	if got := <-asked; err != nil || end.Outcome != hives.Complete || !strings.Contains(got, `"model":"m"`) || strings.Contains(got, "alias") {
		t.Errorf("the engine is asked %s (%v)", got, err)
	}
}
