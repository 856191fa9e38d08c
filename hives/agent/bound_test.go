package agent

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"queen-rbee/hives"
)

// An answer that nothing bounds is bounded by what the engine says of its context, or by what
// the hive is told for engines that do not say.
func TestUnboundedAnswersGetABound(t *testing.T) {
	asked := make(chan string, 1)
	e := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		asked <- string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
	}))
	r := newRig(t, func(c *Config) { c.MaxTokens = 99 })
	r.engine.server.Close()
	r.engine.server = e
	r.spawn("w1", 1)
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
