package agent

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
)

func FuzzExecute(f *testing.F) {
	f.Add([]byte(`{"epoch":"e","incarnation":1,"job_id":"j","attempt":1,"assigned_index":3,"api":"task","path":"/v1/chat/completions","body":{},"mode":"detached"}`))
	f.Add([]byte(`{"job_id":"a/b","attempt":4294967296,"body":null}`))
	f.Add([]byte(`{"body":[{}],"path":"/v1/a/../b"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e hives.Execute
		if json.Unmarshal(data, &e) != nil || checkRun(&e) != nil {
			return
		}
		if e.Attempt == 0 || strings.ContainsAny(e.JobID, "/.\\\x00") || path.Clean(e.Path) != e.Path || !strings.HasPrefix(e.Path, "/v1/") {
			t.Fatalf("passed: %+v", e)
		}
		if len(e.Body) > 0 && e.Body[0] != '{' || e.GraceMillis < 0 || e.DeadlineMillis < 0 {
			t.Fatalf("passed: %+v", e)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"epoch":"e","index":3,"processes":[{"worker":"w","pid":1,"start_ticks":2}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "agent.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := loadState(dir)
		if err != nil {
			return
		}
		if err := saveState(dir, s); err != nil {
			t.Fatal(err)
		}
		if _, err := loadState(dir); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}

func TestConfigNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"id":            func(c *Config) { c.ID = "a b" },
		"addr":          func(c *Config) { c.Addr = "7835" },
		"advertise-url": func(c *Config) { c.AdvertiseURL = "gpu1:7835" },
		"queen":         func(c *Config) { c.Queens = []string{"http://q:1/v2"} },
		"token":         func(c *Config) { c.Token = "two words" },
		"data-dir":      func(c *Config) { c.DataDir = "" },
		"engines":       func(c *Config) { c.Engines = nil },
		"labels":        func(c *Config) { c.Labels = map[string]string{"": "x"} },
		"retain-runs":   func(c *Config) { c.RetainRuns = -1 },
	} {
		c := testConfig(t, "http://127.0.0.1:7833/")
		if err := c.Validate(); err != nil || c.Queens[0] != "http://127.0.0.1:7833" {
			t.Fatalf("good: %v %v", err, c.Queens)
		}
		change(&c)
		bad, ok := errors.AsType[*FieldError](c.Validate())
		if !ok || bad.Field != field {
			t.Errorf("%s: %v", field, bad)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		err  error
		want verdict
	}{
		{errors.New("connection refused"), unreachable},
		{&queenError{Status: 503, Code: "no_leader"}, unreachable},
		{&queenError{Status: 429}, unreachable},
		{&queenError{Status: 401}, refused},
		{&queenError{Status: 400, Code: hives.CodeInvalid}, refused},
		{&queenError{Status: 404, Code: hives.CodeNotFound}, unknownHere},
		{&queenError{Status: 409, Code: hives.CodeStale}, overtaken},
		{&queenError{Status: 409, Code: "conflict"}, outrun},
		{&queenError{Status: 409}, refused},
	} {
		if got := judge(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestEveryCodeHasOneStatus(t *testing.T) {
	for code, status := range statuses {
		if http.StatusText(status) == "" {
			t.Errorf("%s: %d", code, status)
		}
	}
	if e := failureOf(errors.New("secret path /etc")); e.Code != codeInternal || strings.Contains(e.Message, "secret") {
		t.Errorf("inner text is for the log: %v", e)
	}
}

func TestWantsUsage(t *testing.T) {
	for body, want := range map[string]bool{
		`{}`: false, `{"stream_options":null}`: false, `{"stream_options":{"include_usage":true}}`: true,
		`{"stream_options":{"include_usage":false}}`: false, ``: false,
	} {
		if got := wantsUsage([]byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

func TestOffers(t *testing.T) {
	got := offers([]engine.Definition{{Name: "e", Models: []engine.Model{{Ref: "m", VRAMBytes: 5, Slots: 2, Context: 3}}}, {Name: "none"},
		{Name: "file", Command: []string{"x", "{{.ModelPath}}"}}, {Name: "env", Env: map[string]string{"M": "{{.ModelPath}}"}}})
	if !got[2].TakesFiles || !got[3].TakesFiles || got[0].TakesFiles || got[1].TakesFiles {
		t.Errorf("engines that are handed a file: %+v", got)
	}
	if len(got) != 4 || got[0].Models[0] != (hives.EngineModel{Ref: "m", VRAMBytes: 5, Slots: 2, Context: 3}) || got[1].Models == nil {
		t.Fatalf("%+v", got)
	}
}
