package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestKeepUntil: a worker tells when it leaves if nobody uses it, and nothing while that is never
// or it is in use.
func TestKeepUntil(t *testing.T) {
	w := newWorld(t)
	w.ready()
	until := func() *time.Time {
		_, body, _ := w.read("GET", "/v2/workers", "")
		var list struct {
			Items []struct {
				KeepUntil *time.Time `json:"keep_until"`
			} `json:"items"`
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) != 1 || !strings.Contains(body, `"keep_until":`) {
			t.Fatalf("%v: %s", err, body)
		}
		return list.Items[0].KeepUntil
	}
	if at := until(); at != nil {
		t.Errorf("a worker of no catalog leaves at %s", at)
	}
	answered := w.later("POST", "/v1/chat/completions", strings.Replace(chat, "{", `{"keep_alive":"5m",`, 1))
	r := w.hive.next()
	if at := until(); at != nil {
		t.Errorf("a worker that runs something leaves at %s", at)
	}
	r.end(completed(1), "data: [DONE]\nid: 1.2\n\n")
	s := answered()
	s.want("", "1.2")
	s.wantClosed()
	if at := until(); at == nil || time.Until(*at) < 4*time.Minute || time.Until(*at) > 6*time.Minute {
		t.Errorf("it leaves at %v, want in 5 min", at)
	}
}
