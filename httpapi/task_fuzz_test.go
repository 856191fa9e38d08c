package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"queen-rbee/fsm"
)

// FuzzTask: no body of a task makes a handler panic, and what is accepted has an engine-ready
// body that is JSON.
func FuzzTask(f *testing.F) {
	for _, o := range append(oddJSON(), oddTypes()...) {
		if len(o.body) < 4<<10 {
			f.Add([]byte(o.body))
		}
	}
	f.Add([]byte(task))
	f.Add([]byte(with(`"stop":["a"],"labels":{"a":"b"},"deadline":"5m"`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		var task taskRequest
		if err := decodeStrict(body, &task); err != nil {
			refusedWell(t, err)
			return
		}
		job, err := task.job(8 << 20)
		if err != nil {
			refusedWell(t, err)
			return
		}
		engine, err := job.Body.Open(fsm.MaxBody)
		if err != nil || !strings.HasPrefix(string(engine), `{"`) {
			t.Errorf("accepted, but its body is %q: %v", engine, err)
		}
		var o struct{ Model string }
		if err := json.Unmarshal(engine, &o); err != nil || o.Model != job.Model {
			t.Errorf("the engine would read %q of %q: %v", o.Model, job.Model, err)
		}
	})
}

// FuzzOpenAI: no body makes a handler panic, and what is taken is an object whose model and
// stream are those that its engine will read.
func FuzzOpenAI(f *testing.F) {
	for _, o := range oddOpenAI() {
		if len(o.body) < 4<<10 {
			f.Add([]byte(o.body))
		}
	}
	f.Add([]byte(oddFields))
	f.Add([]byte(`{"model":"m", "keep_alive" : "5m" , "messages":[{"role":"user"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, shapes := range []map[string]shape{chatFields, completionFields} {
			o, err := readOpenAI(body, shapes)
			if err != nil {
				refusedWell(t, err)
				continue
			}
			var engine map[string]any
			dec := json.NewDecoder(bytes.NewReader(body))
			dec.UseNumber()
			if err := dec.Decode(&engine); err != nil || engine["model"] != o.Model || o.Stream != (engine["stream"] == true) {
				t.Errorf("%q is read as %+v, by an engine as %v: %v", body, o, engine, err)
			}
			var left map[string]any
			dec = json.NewDecoder(bytes.NewReader(o.Body))
			dec.UseNumber()
			delete(engine, keepAliveField)
			if err := dec.Decode(&left); err != nil || !reflect.DeepEqual(left, engine) {
				t.Errorf("%q without keep_alive is %q: %v", body, o.Body, err)
			}
		}
	})
}

// refusedWell checks that an error has a code and a message of bounded length.
func refusedWell(t *testing.T, err error) {
	t.Helper()
	if f := failureOf(err); f.status != 400 && f.status != 413 || f.message == "" || len(f.message) > 2000 {
		t.Errorf("refused as %d %s: %s", f.status, f.code, f.message)
	}
}
