package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// form is a transcription's, of parts `name=value`; a file has its name in front, as file:name.
func form(boundary string, parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		file, field, isFile := strings.Cut(name, ":")
		if !isFile {
			field = name
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q", boundary, field)
		if isFile {
			fmt.Fprintf(&b, "; filename=%q\r\nContent-Type: audio/wav", file)
		}
		fmt.Fprintf(&b, "\r\n\r\n%s\r\n", value)
	}
	return b.String() + "--" + boundary + "--\r\n"
}

func answeredWith(contentType, body string) hives.Terminal {
	t := completed(1)
	t.FinishReason, t.Answer = "", &hives.Answer{ContentType: contentType, Bytes: int64(len(body))}
	return t
}

// TestAnswersPassBothWaysAsTheyAre: a form with a file reaches the hive as it came, and what the
// engine answers its client, whatever bytes and type it has.
func TestAnswersPassBothWaysAsTheyAre(t *testing.T) {
	w := newWorld(t)
	w.ready()
	const speech = "\x00\xff\n\nid: 1.1\ndata: no frame\n\n"
	body := form("b", "model="+testModel, "a.wav:file=\xff\x00RIFF", "prompt=bees")
	type answer struct {
		status int
		text   string
		header http.Header
	}
	got := make(chan answer, 1)
	go func() {
		status, text, header := w.read("POST", "/v1/audio/transcriptions", body, "Content-Type", "multipart/form-data; boundary=b")
		got <- answer{status, text, header}
	}()
	r := w.hive.next()
	e := r.Req
	if string(e.Data) != body || e.Body != nil || e.ContentType != "multipart/form-data; boundary=b" || e.Path != "/v1/audio/transcriptions" || !e.Whole {
		t.Errorf("the hive is asked %+v", e)
	}
	if status, text, h := w.read("GET", "/v2/jobs/"+e.JobID+"/body", ""); status != 200 || text != body || h.Get("Content-Type") != e.ContentType {
		t.Errorf("its body: %d %q %v", status, text, h)
	}
	r.end(answeredWith("audio/mpeg", speech), speech)
	a := <-got
	if a.status != 200 || a.text != speech || a.header.Get("Content-Type") != "audio/mpeg" || a.header.Get(headerJob) != e.JobID {
		t.Errorf("%+v", a)
	}
}

// TestARepeatedFormIsTheSameRequest: clients separate the parts of a form differently each time
// they send it.
func TestARepeatedFormIsTheSameRequest(t *testing.T) {
	w := newWorld(t)
	w.ready()
	send := func(boundary, file string) (int, string) {
		body := form(boundary, "model="+testModel, "a.wav:file="+file)
		status, text, _ := w.read("POST", "/v1/audio/translations", body,
			"Content-Type", "multipart/form-data; boundary="+boundary, "Idempotency-Key", "k")
		return status, text
	}
	first := make(chan string, 1)
	go func() {
		_, text := send("one", "bees")
		first <- text
	}()
	w.hive.next().end(answeredWith("text/plain", "buzz"), "buzz")
	if text := <-first; text != "buzz" {
		t.Fatal(text)
	}
	go func() { w.hive.next().end(answeredWith("text/plain", "buzz"), "buzz") }()
	if status, text := send("another", "bees"); status != 200 || text != "buzz" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := send("one", "wasps"); status != 422 {
		t.Errorf("another file under the same key: %d %s", status, text)
	}
}

// TestAnswersHaveRoomForOthers: where too much of answers is in hand, one waits on its hive.
func TestAnswersHaveRoomForOthers(t *testing.T) {
	w := newWorld(t)
	w.ready()
	if !w.api.answers.free.TryAcquire(wholeAnswers) {
		t.Fatal("something is in hand")
	}
	got := make(chan string, 1)
	go func() {
		_, text, _ := w.read("POST", "/v1/embeddings", `{"model":"builtin/markov","input":"a"}`)
		got <- text
	}()
	w.hive.next().end(answeredWith("application/json", "{}"), "{}")
	r := w.hive.next() // it comes again
	if w.api.answers.refused.Load() == 0 {
		t.Error("nothing was refused")
	}
	w.api.answers.free.Release(wholeAnswers)
	r.end(answeredWith("application/json", "{}"), "{}")
	if text := <-got; text != "{}" {
		t.Error(text)
	}
	if used := w.api.answers.held.Load(); used != 0 || !w.api.answers.free.TryAcquire(wholeAnswers) {
		t.Errorf("%d bytes are still in hand", used)
	}
}

// TestAnswersAreValidated: what is read is honoured or refused, under every name of a call.
func TestAnswersAreValidated(t *testing.T) {
	w := newWorld(t)
	w.ready()
	const js, multi = "application/json", "multipart/form-data; boundary=b"
	for _, c := range []struct{ path, kind, body, says string }{
		{"/v1/embeddings", js, `{"input":"a"}`, "model: is missing"},
		{"/v1/embeddings", js, `{"model":"m"}`, "input: is missing or empty"},
		{"/v1/embeddings", js, `{"model":"m","input":[]}`, "input: is missing or empty"},
		{"/v1/embeddings", js, `{"model":"m","input":"a","stream":true}`, "stream: "},
		{"/v1/embeddings", js, `{"model":"m","input":"a","stream":"no"}`, "stream: "},
		{"/v1/embeddings", js, `{"model":"m","input":"a","n":0}`, "n: is 0"},
		{"/v1/rerank", js, `{"model":"m","documents":["a"]}`, "query: "},
		{"/v1/reranking", js, `{"model":"m","query":"a"}`, "documents: "},
		{"/rerank", js, `{"model":"m","query":"a","documents":[]}`, "documents: "},
		{"/v1/audio/speech", js, `{"model":"m","input":"a","stream_format":"sse"}`, "stream_format: "},
		{"/v1/images/generations", js, `{"model":"m"}`, "prompt: "},
		{"/v1/audio/transcriptions", multi, form("b", "a:file=x"), "model: is missing"},
		{"/v1/audio/transcriptions", multi, form("b", "model=m", "model=m"), "model: is given twice"},
		{"/v1/audio/transcriptions", multi, form("b", "a:model=m"), "model: is missing"},
		{"/v1/audio/transcriptions", multi, form("b", "model="+strings.Repeat("m", 2000)), "model: has more than"},
		{"/v1/audio/transcriptions", multi, form("b", "model=m", "stream=true"), "stream: "},
		{"/v1/audio/transcriptions", multi, form("b", "model=m", "stream=perhaps"), "stream: "},
		{"/v1/images/edits", multi, form("b", "model=m", "n=many"), "n: "},
		{"/v1/images/variations", multi, form("c", "model=m"), "body: is not a form"},
		{"/v1/images/variations", multi, strings.TrimSuffix(form("b", "model=m"), "--b--\r\n"), "body: is not a form"},
		{"/v1/images/variations", "multipart/form-data", form("b", "model=m"), "Content-Type: "},
		{"/v1/images/variations", multi, form("b", strings.Fields(strings.Repeat("x= ", maxParts+1))...), "more than 256 parts"},
	} {
		status, text, _ := w.read("POST", c.path, c.body, "Content-Type", c.kind)
		if status != 400 || !strings.Contains(text, c.says) {
			t.Errorf("%s %.80q: %d %s, want %q", c.path, c.body, status, text, c.says)
		}
	}
	if jobs, _ := w.queen.View().Jobs(fsm.JobFilter{}, "", 1); len(jobs) > 0 {
		t.Errorf("a refused request made a job: %+v", jobs[0])
	}
}
