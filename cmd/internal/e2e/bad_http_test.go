package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Bad requests are refused with a message that names the field and the fix, in the shape of
// the API that was used, and leave no trace.
func TestBadRequestsAreAnswered(t *testing.T) {
	t.Parallel()
	c := rig.Start(t, rig.Options{Queens: 1, Hives: 1})
	q := c.Queens[0].URL
	id, err := c.Submit(t.Context(), task(1, 3), "taken", q)
	if err != nil {
		t.Fatal(err)
	}
	c.CheckEnds(t, streamTime, []string{id}, "complete")
	before := rows(t, c)

	const good = `"model":"builtin/markov","prompt":"hello"`
	huge := `{` + good + `,"session":"` + strings.Repeat("x", 9<<20) + `"}`
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
		says                     []string
	}{
		{name: "not JSON", path: "/v2/tasks", body: `{"model":`, status: 400, code: "invalid_request", says: []string{"JSON"}},
		{name: "no JSON at all", path: "/v2/tasks", body: `hello`, status: 400, code: "invalid_request", says: []string{"JSON"}},
		{name: "empty", path: "/v2/tasks", body: ``, status: 400, code: "invalid_request", says: []string{"empty"}},
		{name: "two objects", path: "/v2/tasks", body: `{` + good + `}{}`, status: 400, code: "invalid_request", says: []string{"body"}},
		{name: "a list", path: "/v2/tasks", body: `[]`, status: 400, code: "invalid_request", says: []string{"object"}},
		{name: "unknown field", path: "/v2/tasks", body: `{` + good + `,"max_token":3}`, status: 400, code: "invalid_request", says: []string{"max_token"}},
		{name: "wrong type", path: "/v2/tasks", body: `{` + good + `,"max_tokens":"many"}`, status: 400, code: "invalid_request", says: []string{"max_tokens", "number"}},
		{name: "wrong type of a list", path: "/v2/tasks", body: `{"model":"builtin/markov","messages":"hello"}`, status: 400, code: "invalid_request", says: []string{"messages", "list"}},
		{name: "negative max_tokens", path: "/v2/tasks", body: `{` + good + `,"max_tokens":-1}`, status: 400, code: "invalid_request", says: []string{"max_tokens", "-1", "1"}},
		{name: "zero max_tokens", path: "/v2/tasks", body: `{` + good + `,"max_tokens":0}`, status: 400, code: "invalid_request", says: []string{"max_tokens"}},
		{name: "too hot", path: "/v2/tasks", body: `{` + good + `,"temperature":9}`, status: 400, code: "invalid_request", says: []string{"temperature", "2"}},
		{name: "no prompt", path: "/v2/tasks", body: `{"model":"builtin/markov"}`, status: 400, code: "invalid_request", says: []string{"prompt", "messages"}},
		{name: "no model", path: "/v2/tasks", body: `{"prompt":"hello"}`, status: 400, code: "invalid_request", says: []string{"model"}},
		{name: "unknown model", path: "/v2/tasks", body: `{"model":"gpt-99","prompt":"hello"}`, status: 404, code: "model_not_found", says: []string{"gpt-99"}},
		{name: "unknown priority", path: "/v2/tasks", body: `{` + good + `,"priority":"now"}`, status: 400, code: "invalid_request", says: []string{"priority", "interactive"}},
		{name: "not yet built", path: "/v2/tasks", body: `{` + good + `,"on_worker_loss":"continue"}`, status: 400, code: "invalid_request", says: []string{"on_worker_loss"}},
		{name: "bad deadline", path: "/v2/tasks", body: `{` + good + `,"deadline":"soon"}`, status: 400, code: "invalid_request", says: []string{"soon", "30s"}},
		{name: "body too large", path: "/v2/tasks", body: huge, status: 413, code: "body_too_large", says: []string{"at most"}},
		{name: "other request, same key", path: "/v2/tasks", body: `{` + good + `}`, headers: []string{"Idempotency-Key", "taken"}, status: 422, code: "idempotency_mismatch"},
		{name: "bad grace", path: "/v2/tasks", body: `{` + good + `}`, headers: []string{"X-Rbee-Grace", "long"}, status: 400, code: "invalid_request", says: []string{"X-Rbee-Grace"}},
		{name: "wrong key", method: "GET", path: "/v2/jobs", headers: []string{"Authorization", "Bearer nobody"}, status: 401, code: "unauthenticated"},
		{name: "no key", method: "GET", path: "/v2/jobs", headers: []string{"Authorization", ""}, status: 401, code: "unauthenticated", says: []string{"Bearer"}},
		{name: "hive token as a key", method: "GET", path: "/v2/jobs", headers: []string{"Authorization", "Bearer " + c.HiveToken}, status: 403, code: "forbidden", says: []string{"API key"}},
		{name: "hive token joins no queen", path: "/v2/cluster/join", body: `{}`, headers: []string{"Authorization", "Bearer " + c.HiveToken}, status: 403, code: "forbidden", says: []string{"cluster token"}},
		{name: "unknown job", method: "GET", path: "/v2/jobs/nope", status: 404, code: "not_found", says: []string{"nope"}},
		{name: "unknown job's events", method: "GET", path: "/v2/jobs/nope/events", status: 404, code: "not_found"},
		{name: "cancelling an unknown job", method: "DELETE", path: "/v2/jobs/nope", status: 404, code: "not_found"},
		{name: "bad Last-Event-ID", method: "GET", path: "/v2/jobs/" + id + "/events", headers: []string{"Last-Event-ID", "seven"}, status: 400, code: "invalid_request", says: []string{"Last-Event-ID", "1.42"}},
		{name: "Last-Event-ID beyond", method: "GET", path: "/v2/jobs/" + id + "/events", headers: []string{"Last-Event-ID", "1.999"}, status: 400, code: "invalid_request", says: []string{"Last-Event-ID", "1.999"}},
		{name: "bad limit", method: "GET", path: "/v2/jobs?limit=many", status: 400, code: "invalid_request", says: []string{"limit"}},
		{name: "bad state", method: "GET", path: "/v2/jobs?state=happy", status: 400, code: "invalid_request", says: []string{"state", "queued"}},
		{name: "bad index", method: "GET", path: "/v2/cluster/hash?index=x", status: 400, code: "invalid_request", says: []string{"index"}},
		{name: "an index to come", method: "GET", path: "/v2/jobs", headers: []string{"X-Rbee-Index", "99999999"}, status: 503, code: "replica_behind"},
		{name: "unknown path", method: "GET", path: "/v2/nothing", status: 404, code: "not_found", says: []string{"/v2/nothing"}},
		{name: "wrong method", method: "PUT", path: "/v2/tasks", body: `{}`, status: 405, code: "method_not_allowed", says: []string{"PUT"}},
		{name: "unknown queen to remove", method: "DELETE", path: "/v2/cluster/queens/nobody", status: 404, code: "not_found", says: []string{"nobody"}},
		{name: "unknown queen to lead", path: "/v2/cluster/transfer", body: `{"to":"nobody"}`, status: 404, code: "not_found", says: []string{"nobody"}},
		{name: "worker on an unknown hive", path: "/v2/workers/spawn", body: `{"model":"builtin/markov","hive":"nowhere"}`, status: 404, code: "not_found", says: []string{"nowhere"}},
		{name: "openai: not JSON", path: "/v1/chat/completions", body: `{`, status: 400, says: []string{"JSON"}},
		{name: "openai: unknown model", path: "/v1/chat/completions", body: `{"model":"gpt-99","messages":[{"role":"user","content":"x"}]}`, status: 404, code: "model_not_found", says: []string{"gpt-99"}},
		{name: "openai: no messages", path: "/v1/chat/completions", body: `{"model":"builtin/markov"}`, status: 400, says: []string{"messages"}},
		{name: "openai: negative max_tokens", path: "/v1/chat/completions", body: `{"model":"builtin/markov","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}`, status: 400, says: []string{"max_tokens"}},
		{name: "openai: wrong key", method: "GET", path: "/v1/models", headers: []string{"Authorization", "Bearer nobody"}, status: 401, code: "invalid_api_key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = http.MethodPost
			}
			var body []byte
			if method != http.MethodGet {
				body = []byte(tc.body)
			}
			r, err := c.Call(t.Context(), method, q+tc.path, body, tc.headers...)
			if err != nil {
				t.Fatal(err)
			}
			text, err := refusal(r, strings.HasPrefix(tc.path, "/v1/"), tc.code)
			if err != nil || r.Status != tc.status {
				t.Errorf("%d %s: %v; want %d %s", r.Status, r.Body, err, tc.status, tc.code)
			}
			for _, w := range tc.says {
				if !strings.Contains(strings.ToLower(text), strings.ToLower(w)) {
					t.Errorf("%q does not say %q", text, w)
				}
			}
			if strings.Contains(string(r.Body), "goroutine ") {
				t.Errorf("a stack trace: %s", r.Body)
			}
		})
	}
	after := rows(t, c)
	if len(after) != len(before) {
		t.Errorf("refused requests made jobs: %d before, %d after", len(before), len(after))
	}
}

// refusal reads an error answer in the shape that its API promises.
func refusal(r *rig.Reply, openAI bool, code string) (text string, err error) {
	if openAI {
		var e struct {
			Error struct {
				Message, Type string
				Code          *string
			}
		}
		err = json.Unmarshal(r.Body, &e)
		if err == nil && (e.Error.Message == "" || e.Error.Type == "" || code != "" && (e.Error.Code == nil || *e.Error.Code != code)) {
			err = fmt.Errorf("not the error %q of the OpenAI API", code)
		}
		return e.Error.Message, err
	}
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
	}
	err = json.Unmarshal(r.Body, &p)
	if err == nil && (p.Title == "" || p.Detail == "" || p.Status != r.Status || p.Code != code) {
		err = fmt.Errorf("not the problem %q", code)
	}
	if kind := r.Header.Get("Content-Type"); err == nil && kind != "application/problem+json" {
		err = fmt.Errorf("its type is %q", kind)
	}
	if r.Status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
		err = fmt.Errorf("503 without Retry-After")
	}
	return p.Detail, err
}
