package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/fsm"
)

// commit puts commands into the state, as a leader does once it has decided.
func (w *world) commit(commands ...fsm.Command) {
	w.Helper()
	w.queen.mu.Lock()
	defer w.queen.mu.Unlock()
	m := w.queen.view.Meta()
	w.queen.apply(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: m.Now, Wall: m.Wall, Level: m.Level, Commands: commands})
}

// takesFiles gives the hive an engine that takes the file of any model.
func (w *world) takesFiles(engine string) {
	w.Helper()
	h, _ := w.queen.View().Hive("h1")
	facts := h.Facts
	facts.Engines = []string{engine}
	w.commit(&fsm.HiveFactsChanged{ID: "h1", Facts: facts})
}

// TestModelsThatCouldBeServed are listed under all their names, loaded or not, with where and
// how they stand; what nobody could serve is not.
func TestModelsThatCouldBeServed(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.takesFiles("llama.cpp")
	for _, m := range []fsm.Model{
		{Ref: "a/qwen:latest", Aliases: []string{"chat", "small/qwen"}, Source: "file:///m/qwen.gguf", Engine: "llama.cpp", Slots: 4, Context: 8192},
		{Ref: "lost", Aliases: []string{"gone"}, Source: "file:///m/lost.gguf", Engine: "vllm"},
		{Ref: "elsewhere", Source: "file:///m/x.gguf", Engine: "llama.cpp", Labels: []fsm.Label{{Key: "room", Value: "lab"}}},
		{Ref: testModel, Aliases: []string{"markov"}},
	} {
		w.commit(&fsm.PutModel{Model: m})
	}
	var list struct {
		Object string
		Data   []modelJSON
	}
	_, body, _ := w.read("GET", "/v1/models", "")
	if err := json.Unmarshal([]byte(body), &list); err != nil || list.Object != "list" {
		t.Fatalf("%v: %s", err, body)
	}
	var got []string
	for _, m := range list.Data {
		got = append(got, m.ID+" "+m.State+" "+strings.Join(m.Hives, ",")+" "+m.AliasOf)
		if m.Object != "model" || m.Created == 0 || m.OwnedBy == "" {
			t.Errorf("%+v is no model of the OpenAI API", m)
		}
	}
	want := "a/qwen:latest available h1 \nchat available h1 a/qwen:latest\nsmall/qwen available h1 a/qwen:latest\nbuiltin/markov ready h1 \nmarkov ready h1 builtin/markov"
	if strings.Join(got, "\n") != want {
		t.Errorf("listed are\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	for path, want := range map[string]string{
		"a/qwen:latest": "a/qwen:latest", "a%2Fqwen:latest": "a/qwen:latest", "a/qwen": "a/qwen:latest", "a%2fqwen": "a/qwen:latest", "chat": "chat", "chat:latest": "a/qwen:latest",
		"small/qwen": "small/qwen", "builtin%2Fmarkov": testModel, "builtin/markov:latest": testModel, "markov": "markov", "lost": "lost",
	} {
		status, body, _ := w.read("GET", "/v1/models/"+path, "")
		var m modelJSON
		if err := json.Unmarshal([]byte(body), &m); err != nil || status != http.StatusOK || m.ID != want {
			t.Errorf("%s: %d %s, want %s", path, status, body, want)
		}
	}
	for _, path := range []string{"qwen", "a/qwen:q4", "latest", "a%252Fqwen"} {
		status, body, _ := w.read("GET", "/v1/models/"+path, "")
		if status != http.StatusNotFound || !strings.Contains(body, `"code":"model_not_found"`) || !strings.Contains(body, `"param":"model"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestModelOnItsWay shows what it waits for.
func TestModelOnItsWay(t *testing.T) {
	w := newWorld(t)
	w.register()
	row := fsm.Model{Ref: "qwen", Source: "file:///m/qwen.gguf", Engine: "llama.cpp", Slots: 1}
	state := func() string {
		_, body, _ := w.read("GET", "/v1/models/qwen", "")
		var m modelJSON
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return m.State
	}
	w.commit(&fsm.PutModel{Model: row})
	if s := state(); s != "unavailable" {
		t.Errorf("without an engine it is %s", s)
	}
	w.takesFiles("llama.cpp")
	if s := state(); s != "available" {
		t.Errorf("with an engine it is %s", s)
	}
	w.commit(&fsm.SetCopy{Copy: fsm.Copy{Model: "qwen", Hive: "h1", State: fsm.CopyDownloading, Wanted: true}})
	if s := state(); s != "downloading" {
		t.Errorf("while its file comes it is %s", s)
	}
}
