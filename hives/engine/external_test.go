package engine

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
)

// external is the definition of a server that runs already, as a config would give it.
func external(t testing.TB, url, more string) Definition {
	t.Helper()
	got, err := decode(fmt.Sprintf("engines: {box7: {url: %q%s}}", url, more))
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// served is what one question to a server with the definition gives.
func served(t testing.TB, d Definition) ([]Model, error) {
	t.Helper()
	return NewListing(d, func() {}, hclog.NewNullLogger()).read(t.Context())
}

// answering is a server that gives the same answer to every question, and refuses other keys.
func answering(t testing.TB, status int, body, key string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key != "" && r.Header.Get("Authorization") != "Bearer "+key {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"Unauthorized"}`)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

const vllmList = `{"object":"list","data":[{"id":"Qwen/Qwen3-8B","object":"model","created":1,"owned_by":"vllm","root":"Qwen/Qwen3-8B","parent":null,"max_model_len":40960},
	{"id":"sql lora","object":"model","owned_by":"vllm","parent":"Qwen/Qwen3-8B"}]}`

func TestAnExternalServersModelsAreReadFromIt(t *testing.T) {
	t.Setenv("BOX7_KEY", "secret")
	for name, c := range map[string]struct {
		list, more string
		want       []Model
	}{
		"all":                 {vllmList, "", []Model{{Ref: "Qwen/Qwen3-8B", Name: "Qwen/Qwen3-8B", Slots: 32, Context: 40960}, {Ref: "sql-lora", Name: "sql lora", Slots: 32}}},
		"slots of the config": {vllmList, ", slots: 8, models: [Qwen/Qwen3-8B]", []Model{{Ref: "Qwen/Qwen3-8B", Name: "Qwen/Qwen3-8B", Slots: 8, Context: 40960}}},
		"a name of our own": {vllmList, ", slots: 8, models: [{ref: qwen, name: Qwen/Qwen3-8B, slots: 2, context: 100}, sql-lora]", []Model{
			{Ref: "qwen", Name: "Qwen/Qwen3-8B", Slots: 2, Context: 100}, {Ref: "sql-lora", Name: "sql lora", Slots: 8}}},
		"files": {`{"data":[{"id":"/models/a b.gguf"},{"id":"/other/a-b.gguf"},{"id":"C:\\m\\x.gguf"},{"id":"ünd"},{"id":"::"}]}`, "", []Model{
			{Ref: "a-b.gguf", Name: "/models/a b.gguf", Slots: 4}, {Ref: "a-b.gguf-2", Name: "/other/a-b.gguf", Slots: 4},
			{Ref: "model", Name: "::", Slots: 4}, {Ref: "nd", Name: "ünd", Slots: 4}, {Ref: "x.gguf", Name: `C:\m\x.gguf`, Slots: 4}}},
	} {
		got, err := served(t, external(t, answering(t, 200, c.list, "secret").URL, ", api_key_env: BOX7_KEY"+c.more))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, c.want)
		}
		for _, m := range got {
			if !refPattern.MatchString(m.Ref) {
				t.Errorf("%s: %q is no ref", name, m.Ref)
			}
		}
	}
}

// A recorded llama-server says in /props what it holds at once, and how long.
func TestAnExternalLlamaServersSlotsAreItsOwn(t *testing.T) {
	list, props := load(t, "models").sse(t), load(t, "props").sse(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(map[string][]byte{modelsPath: list, "/props": props}[r.URL.Path])
	}))
	defer s.Close()
	got, err := served(t, external(t, s.URL+"/v1/", ""))
	if err != nil || len(got) != 1 || got[0] != (Model{Ref: "small", Name: "small", Slots: 2, Context: 512}) {
		t.Fatal(got, err)
	}
}

func TestWhatIsWrongWithAnExternalServerIsSaid(t *testing.T) {
	t.Setenv("BOX7_KEY", "secret")
	t.Setenv("WRONG_KEY", "other")
	closed := answering(t, 200, "", "")
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = hclog.NewNullLogger().StandardLogger(nil)
	defer secure.Close()
	for name, c := range map[string]struct{ url, more, want string }{
		"unreachable":   {closed.URL, "", "nothing listens at http://127.0.0.1:"},
		"no key":        {answering(t, 200, vllmList, "secret").URL, "", "wants an API key (it answered 401): put it into an environment variable"},
		"wrong key":     {answering(t, 200, vllmList, "secret").URL, ", api_key_env: WRONG_KEY", "does not take the key in WRONG_KEY (it answered 401: Unauthorized)"},
		"no server":     {answering(t, 404, "<html>", "").URL, "", "no OpenAI server: GET http"},
		"a web page":    {answering(t, 200, "<html>Open WebUI", "").URL, "", `answered with "<html>Open WebUI", not with a list of models`},
		"other JSON":    {answering(t, 200, `{"models":[]}`, "").URL, "", "not with a list of models"},
		"loading":       {answering(t, 503, `{"error":{"message":"Loading model"}}`, "").URL, "", "answered 503: Loading model"},
		"empty":         {answering(t, 200, `{"data":[]}`, "").URL, "", "lists no model"},
		"missing model": {answering(t, 200, vllmList, "").URL, ", models: [llama]", "does not serve llama, which this engine's models name: it lists Qwen/Qwen3-8B, sql lora"},
		"not TLS":       {strings.Replace(answering(t, 200, vllmList, "").URL, "http:", "https:", 1), "", "does not speak TLS: use http://"},
		"certificate":   {secure.URL, "", "is not trusted here"},
	} {
		if _, err := served(t, external(t, c.url, c.more)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadExternalDefinitionsNameTheFieldAndTheFix(t *testing.T) {
	t.Setenv("BLANK_KEY", "a b")
	for _, c := range []struct{ in, want string }{
		{"url: gpu7:8000", `engines.x.url: "gpu7:8000" is not a URL: use one such as http://gpu7:8000`},
		{`url: "http://u:p@h"`, "engines.x.url:"},
		{`url: "http://h?x=1"`, "holds more than"},
		{`url: "http://h", api_key_env: NOT_SET_ANYWHERE`, "the environment variable NOT_SET_ANYWHERE is not set"},
		{`url: "http://h", api_key_env: BLANK_KEY`, "holds blanks"},
		{`url: "http://h", command: [a]`, "engines.x.command: this engine has no such key: use api, api_key_env"},
		{`url: "http://h", slots: -1`, "engines.x.slots"},
		{`url: "http://h", models: [a, a]`, "listed twice"},
		{`url: "http://h", models: [{ref: a, path: /m}]`, "leave path out"},
		{`url: "http://h", models: [{ref: a, vram_bytes: 1GiB}]`, "takes no memory here"},
		{`url: "http://h", models: [{ref: "a b", name: x}]`, "engines.x.models.ref"},
		{`url: "http://h", models: [{ref: a, slots: -1}]`, "1 to 65536"},
		{`url: "http://h", health: nope`, "engines.x.health"},
	} {
		if got, err := decode("engines: {x: {" + c.in + "}}"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %s", c.in, got, err, c.want)
		}
	}
	for in, want := range map[string]string{
		"http://gpu7:8000": "gpu7 http://gpu7:8000", "box=https://h/x/v1/": "box https://h/x", "http://[::1]:8000/v1": "1 http://[::1]:8000",
		"http://h/?a=b": "holds more", "a b=http://h": "no name of an engine", "gpu7": "not a URL",
	} {
		name, s, err := ParseExternal(in)
		if got := fmt.Sprint(name, " ", s.URL, err); !strings.Contains(got, want) {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// lodger is a server whose list and life the test changes.
type lodger struct {
	list atomic.Pointer[string]
	addr string
	http *http.Server
}

func newLodger(t *testing.T, list string) *lodger {
	l := &lodger{addr: "127.0.0.1:0"}
	l.list.Store(&list)
	l.open(t)
	t.Cleanup(l.close)
	return l
}

func (l *lodger) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	l.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, *l.list.Load()) })}
	go func() { _ = l.http.Serve(listener) }()
}

func (l *lodger) close() { _ = l.http.Close() }

func TestAnExternalServersModelsAreFollowed(t *testing.T) {
	l := newLodger(t, `{"data":[{"id":"a"}]}`)
	changed := make(chan struct{}, 100)
	r := NewListing(external(t, "http://"+l.addr, ""), func() { changed <- struct{}{} }, hclog.NewNullLogger())
	r.every, r.retry, r.forget = time.Hour, 5*time.Millisecond, time.Hour
	run := func(r *Listing) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); r.Run(ctx) }()
		return func() { cancel(); <-over }
	}
	stop := run(r)
	<-changed
	<-r.Asked()
	if got := refs(r.Models()); got != "a" || r.Problem() != "" {
		t.Fatal(got, r.Problem())
	}
	other := `{"data":[{"id":"b"}]}`
	l.list.Store(&other)
	r.Ask()
	<-changed
	if got := refs(r.Models()); got != "b" {
		t.Fatal(got)
	}
	l.close()
	r.Ask()
	eventually(t, "its silence said", func() bool { return strings.Contains(r.Problem(), "nothing listens") })
	if got := refs(r.Models()); got != "b" {
		t.Fatalf("while it may only be starting again: %q", got)
	}
	l.list.Store(new(string))
	l.open(t)
	eventually(t, "it asked again", func() bool { return strings.Contains(r.Problem(), "no OpenAI server") })
	stop()

	r = NewListing(external(t, "http://"+l.addr, ""), func() { changed <- struct{}{} }, hclog.NewNullLogger())
	r.retry, r.forget = 5*time.Millisecond, 0
	r.models.Store(&[]Model{{Ref: "b"}})
	defer run(r)()
	<-changed
	if got := r.Models(); len(got) != 0 {
		t.Fatalf("after a long silence: %v", got)
	}
}

// externalWorker is one for a model that the server lists now.
func externalWorker(t *testing.T, d Definition, change func(*Worker)) *watchedWorker {
	t.Helper()
	models, err := served(t, d)
	if err != nil {
		t.Fatal(err)
	}
	d.Models = models
	return runWorker(t, d, change)
}

func TestAnExternalServerIsWatchedAndNeverStopped(t *testing.T) {
	t.Setenv("BOX7_KEY", "secret")
	l := newLodger(t, `{"data":[{"id":"/m/a.gguf"}]}`)
	w := externalWorker(t, external(t, "http://"+l.addr, ", api_key_env: BOX7_KEY"), nil)
	s := w.ready()
	if s.BaseURL != "http://"+l.addr || s.Key != "secret" || s.ModelName != "/m/a.gguf" || s.PID != 0 || s.Port != 0 || s.Slots != 4 {
		t.Fatalf("%+v", s)
	}
	if p := s.Process(); p.Adoptable() {
		t.Fatalf("%+v is none of ours to adopt", p)
	}
	for n := uint64(2); n < 8; n++ { // as often as others like
		_, gone := w.Generation()
		l.close()
		<-gone.Done()
		if !errors.Is(context.Cause(gone), &hives.Error{Code: hives.CodeWorkerDied}) {
			t.Fatal(context.Cause(gone))
		}
		l.open(t)
		w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == n })
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := served(t, external(t, "http://"+l.addr, "")); err != nil {
		t.Fatalf("the server was stopped too: %v", err)
	}
	if logs, _ := filepath.Glob(filepath.Join(w.options.LogDir, "*")); len(logs) != 0 {
		t.Fatalf("a log of a process that is not ours: %v", logs)
	}
}

func TestADoubtIsLookedIntoAtOnce(t *testing.T) {
	l := newLodger(t, `{"data":[{"id":"a"}]}`)
	w := externalWorker(t, external(t, "http://"+l.addr, ""), func(w *Worker) { w.timing.readyProbe = time.Hour })
	w.ready()
	_, gone := w.Generation()
	l.close()
	w.Doubt()
	<-gone.Done()
}

// Bytes of a server that takes nothing new, but ends what it has, outrank its port.
func TestAServerThatStillStreamsHasNotLeft(t *testing.T) {
	w, g := &Worker{}, newGeneration(1)
	w.snapshot.Store(&Snapshot{State: hives.WorkerReady, Generation: 1})
	w.generation.Store(g)
	since := g.began.Add(time.Millisecond)
	for name, c := range map[string]struct {
		answer probed
		bytes  time.Duration // after its beginning
		left   bool
	}{
		"silent":          {probed{refused: 2, since: since}, 0, true},
		"once":            {probed{refused: 1, since: since}, 0, false},
		"late, not shut":  {probed{}, 0, false},
		"bytes before":    {probed{refused: 2, since: since}, time.Millisecond / 2, true},
		"bytes meanwhile": {probed{refused: 9, since: since}, 2 * time.Millisecond, false},
	} {
		g.bytes.Store(int64(c.bytes))
		if got := w.left(c.answer, g); got != c.left {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAnExternalWorkerFailsWhenItsModelIsNotThere(t *testing.T) {
	l := newLodger(t, `{"data":[{"id":"a"}]}`)
	w := externalWorker(t, external(t, "http://"+l.addr, ", start_timeout: 300ms"), func(w *Worker) {
		other := `{"data":[{"id":"b"}]}`
		l.list.Store(&other)
	})
	if err := w.end(); err == nil || !strings.Contains(err.Error(), "no longer lists a: it has b") {
		t.Fatal(err)
	}
	if s := w.State(); s.State != hives.WorkerFailed || s.Generation != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestExternalServersSpeakTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, vllmList) }))
	defer s.Close()
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	// A machine's authorities are read once in the life of a process: another one asks.
	out, err := playAsk(t, s.URL, "SSL_CERT_FILE="+trusted)
	if err != nil || !strings.Contains(out, "Qwen/Qwen3-8B, sql-lora") {
		t.Fatal(out, err)
	}
}

func TestWithModel(t *testing.T) {
	got, err := WithModel([]byte(`{"model":"qwen", "n":  1,"x":{"model":"y"}}`), `/m/"a".gguf`)
	if err != nil || string(got) != `{"n":  1,"x":{"model":"y"},"model":"/m/\"a\".gguf"}` {
		t.Fatal(string(got), err)
	}
	if got, err := WithModel([]byte(`{}`), "a"); err != nil || string(got) != `{"model":"a"}` {
		t.Fatal(string(got), err)
	}
	if got, err := WithModel([]byte(`{"model":"a", "n": 1}`), "a"); err != nil || string(got) != `{"model":"a", "n": 1}` {
		t.Fatal(string(got), err)
	}
	if _, err := WithModel([]byte(`[1]`), "a"); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
		t.Fatal(err)
	}
}
