package agent

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// answering has the rig's workers be engines that answer with f.
func answering(t *testing.T, f http.HandlerFunc, change ...func(*Config)) *rig {
	r := newRig(t, change...)
	r.engine.server.Close()
	r.engine.server = httptest.NewServer(f)
	r.spawn("w1", 2)
	return r
}

// whole is a doorbell of a run that is not streamed.
func (r *rig) whole(job, path string) hives.Execute {
	e := r.bell(job, "one")
	e.API, e.Path, e.Whole = hives.APIOpenAI, path, true
	return e
}

// What an engine answers whole is given to every reader byte for byte, under its own type, with
// the usage it tells; the request reaches it as it came.
func TestWholeAnswers(t *testing.T) {
	const speech = "\xff\x00 \n\ndata: x\n\n"
	const form = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\xff\x00\r\n--b--\r\n"
	r := answering(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		switch q.URL.Path {
		case "/v1/audio/transcriptions":
			if q.Header.Get("Content-Type") == "multipart/form-data; boundary=b" && string(body) == form {
				w.Header().Set("Content-Type", "audio/mpeg")
				_, _ = io.WriteString(w, speech)
			}
		case "/v1/embeddings":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"asked":%s,"usage":{"prompt_tokens":7,"total_tokens":7}}`, body)
		}
	})
	e := r.whole("j1", "/v1/embeddings")
	for range 2 { // running, and kept
		_, end, rest, err := r.execute("w1", e)
		if err != nil || rest != `{"asked":`+body("one")+`,"usage":{"prompt_tokens":7,"total_tokens":7}}` {
			t.Fatalf("%v %q", err, rest)
		}
		if end.Events != 1 || end.Usage.PromptTokens != 7 || end.Outcome != hives.Complete || end.Answer.ContentType != "application/json" {
			t.Errorf("%+v", end)
		}
	}
	e = r.whole("j2", "/v1/audio/transcriptions")
	e.Body, e.Data, e.ContentType = nil, []byte(form), "multipart/form-data; boundary=b"
	if _, end, rest, err := r.execute("w1", e); err != nil || rest != speech || end.Answer.ContentType != "audio/mpeg" {
		t.Errorf("%v %q %+v", err, rest, end)
	}
	// Listed with its type, the body fetched.
	r.queen.Body("j3", form)
	r.list("j3", "w1", "", func(d *hives.DesiredRun) {
		d.Path, d.ContentType = "/v1/audio/transcriptions", "multipart/form-data; boundary=b"
	})
	hb := r.queen.Await(t, "j3 ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j3") != nil })
	if end := agenttest.Ended(&hb, "j3"); end.Outcome != hives.Complete || end.Answer.Bytes != int64(len(speech)) {
		t.Errorf("%+v", end)
	}
}

// A refusal names the model and the call; what is no refusal keeps its code.
func TestRefusedAnswersSayWho(t *testing.T) {
	r := answering(t, func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusNotImplemented)
		_, _ = io.WriteString(w, `{"error":{"code":501,"message":"This server does not support embeddings.","type":"not_supported_error"}}`)
	})
	_, end, rest, err := r.execute("w1", r.whole("j1", "/v1/embeddings"))
	if err != nil || rest != "" || end.Outcome != hives.Failed || end.Error.Code != hives.CodeInvalid || end.Answer != nil {
		t.Fatalf("%v %q %+v", err, rest, end)
	}
	if want := "model m, /v1/embeddings: the engine answered 501: This server does not support embeddings."; end.Error.Message != want {
		t.Error(end.Error.Message)
	}
}

// When the last client has left, the engine's socket closes and the slot is free, well before
// the engine would have answered.
func TestLeavingAWholeAnswerFreesItsSlot(t *testing.T) {
	asked, closed := make(chan struct{}), make(chan struct{})
	r := answering(t, func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		close(asked)
		<-q.Context().Done()
		close(closed)
	})
	e := r.whole("j1", "/v1/embeddings")
	e.Mode, e.Client, e.GraceMillis = hives.Attached, true, time.Minute.Milliseconds()
	c := hives.NewClient(func() string { return agenttest.Token }, nil)
	defer c.Close()
	s, err := c.Execute(t.Context(), hives.WorkerURL(r.agent.URL(), "w1"), e)
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	_ = s.Close()
	if err := c.Leave(t.Context(), hives.WorkerURL(r.agent.URL(), "w1"), "j1", hives.Leave{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	<-closed
	agenttest.Eventually(t, "the slot is free", func() bool { return r.tableWorker("w1").slots.inUse() == 0 })
	if text, _ := r.agentKnows("j1"); !strings.Contains(text, `"outcome":"cancelled"`) {
		t.Error(text)
	}
}

func TestDoorbellsOfAnswersAreChecked(t *testing.T) {
	data := base64.StdEncoding.EncodeToString([]byte("x"))
	const head = `{"job_id":"j","attempt":1,"api":"openai","mode":"detached",`
	r := newRig(t)
	for _, c := range []struct{ field, body string }{
		{"data", head + `"path":"/v1/embeddings","body":{},"data":"` + data + `"}`},
		{"data", head + `"path":"/v1/chat/completions","data":"` + data + `"}`},
		{"content_type", head + `"path":"/v1/embeddings","content_type":"a/b\r\nX-Evil: 1","data":"` + data + `"}`},
	} {
		if status, text := r.ask("POST", "/w/w1/v1/execute", c.body); status != 400 || !strings.Contains(text, `"detail":"`+c.field+": ") {
			t.Errorf("%s: %d %s", c.field, status, text)
		}
	}
}
