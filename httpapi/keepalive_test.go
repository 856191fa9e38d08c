package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// TestKeepAliveIsRead in every form that Ollama's clients have for it, in both APIs.
func TestKeepAliveIsRead(t *testing.T) {
	for said, want := range map[string]fsm.KeepAlive{
		`"5m"`: fsm.KeepFor(5 * time.Minute), `300`: fsm.KeepFor(5 * time.Minute), `"300"`: fsm.KeepFor(5 * time.Minute), `0.5`: fsm.KeepFor(time.Second / 2),
		`0`: fsm.KeepFor(0), `"0"`: fsm.KeepFor(0), `"0s"`: fsm.KeepFor(0), `-1`: fsm.KeepForever, `"-1"`: fsm.KeepForever, `"-1s"`: fsm.KeepForever,
		`-1e400`: fsm.KeepForever, `1e400`: fsm.KeepForever, `1e300`: fsm.KeepForever, `"1h30m"`: fsm.KeepFor(90 * time.Minute), `null`: 0,
	} {
		o, err := readOpenAI([]byte(`{"model":"m","keep_alive":`+said+`,"messages":[{"role":"user"}]}`), chatFields, "messages")
		if err != nil || o.KeepAlive != want {
			t.Errorf("%s on /v1: %+v, %v; want %v", said, o, err, want)
		}
		var task taskRequest
		err = decodeStrict([]byte(`{"model":"m","prompt":"x","keep_alive":`+said+`}`), &task)
		job, err2 := task.job(1 << 20)
		if err != nil || err2 != nil || job.KeepAlive != want || strings.Contains(string(job.Body.Data), "keep_alive") {
			t.Errorf("%s on /v2: %v of %s, %v, %v; want %v", said, job.KeepAlive, job.Body.Data, err, err2, want)
		}
	}
	w := newWorld(t)
	w.ready()
	for _, said := range []string{`"soon"`, `"5"0`, `""`, `"Inf"`, `"0x10"`, `true`, `[]`, `{}`, `"999999999999h"`, `"5 m"`} {
		for path, body := range map[string]string{"/v1/chat/completions": chatWith(`"keep_alive":` + said), "/v2/tasks": with(`"keep_alive":` + said)} {
			status, text, _ := w.read("POST", path, body)
			if status != http.StatusBadRequest || !strings.Contains(text, "keep_alive: is ") && !strings.Contains(text, "not JSON") {
				t.Errorf("%s %s: %d %s", path, said, status, text)
			}
		}
	}
}

// TestKeepAliveIsTakenOut wherever it stands, and nothing else is touched.
func TestKeepAliveIsTakenOut(t *testing.T) {
	for _, k := range []string{`"keep_alive":"5m"`, "\"keep_alive\"\n:\t-1", `"keep_\u0061live":null`} {
		for format, want := range map[string]string{
			`{%s,"a" : 1e400, "b":"<\u00e9>"}`:        `{"a" : 1e400, "b":"<\u00e9>"}`,
			"{ \"a\" : 1.0 ,\n%s ,\t\"b\":[ 2 ] }\n":  "{ \"a\" : 1.0 ,\n\"b\":[ 2 ] }\n",
			`{"b":{"keep_alive":3,"x":2} , %s}`:       `{"b":{"keep_alive":3,"x":2} }`,
			"{\"b\":\"keep_alive\",%s\n}":             "{\"b\":\"keep_alive\"\n}",
			` { %s } `:                                ` { } `,
			`{"a":1,"a":2,%s,"a":3,"Z":{"keep":[]}}`:  `{"a":1,"a":2,"a":3,"Z":{"keep":[]}}`,
			`{"x":"\"keep_alive\":1,",%s,"y":"\\\""}`: `{"x":"\"keep_alive\":1,","y":"\\\""}`,
		} {
			body := fmt.Sprintf(format, k)
			fields, err := decodeBare([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := takeKeepAlive([]byte(body), fields)
			if err != nil || strings.ReplaceAll(string(got), " }", "}") != strings.ReplaceAll(want, " }", "}") {
				t.Errorf("%q becomes %q, want %q: %v", body, got, want, err)
			}
		}
	}
}

// TestKeepAliveReachesTheJob and not its engine; a repeat under the same key is the same request.
func TestKeepAliveReachesTheJob(t *testing.T) {
	w := newWorld(t)
	w.ready()
	answered := w.later("POST", "/v1/chat/completions", `{"stream":true,"keep_alive":-1,"model":"builtin/markov","messages":[{"role":"user","content":"hi"}]}`)
	r := w.hive.next()
	if got := string(r.Req.Body); got != `{"stream":true,"model":"builtin/markov","messages":[{"role":"user","content":"hi"}]}` {
		t.Errorf("the hive gets %s", got)
	}
	if j, ok := w.queen.View().Job(r.Req.JobID); !ok || j.KeepAlive != fsm.KeepForever {
		t.Errorf("the job is %+v", j)
	}
	r.end(completed(0), "data: [DONE]\nid: 1.1\n\n")
	answered().want("", "1.1")
}

// TestKeepAliveOfAnAnswer that is not streamed is taken as that of a chat.
func TestKeepAliveOfAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.ready()
	answered := make(chan int, 1)
	go func() {
		status, _, _ := w.read("POST", "/v1/embeddings", `{"input":"x","keep_alive":"5m","model":"builtin/markov","y":1e400}`)
		answered <- status
	}()
	r := w.hive.next()
	if got := string(r.Req.Body) + string(r.Req.Data); got != `{"input":"x","model":"builtin/markov","y":1e400}` {
		t.Errorf("the hive gets %s", got)
	}
	if j, ok := w.queen.View().Job(r.Req.JobID); !ok || j.KeepAlive != fsm.KeepFor(5*time.Minute) {
		t.Errorf("the job is %+v", j)
	}
	r.end(answeredWith("application/json", "{}"), "{}")
	if status := <-answered; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	for _, body := range []string{`{"input":"x","model":"builtin/markov","keep_alive":"soon"}`, `{"input":"x","keep_alive":1,"model":"builtin/markov","keep_alive":2}`} {
		if status, text, _ := w.read("POST", "/v1/embeddings", body); status != http.StatusBadRequest || !strings.Contains(text, "keep_alive: is ") {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}
