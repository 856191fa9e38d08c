package httpapi

import (
	"strings"
	"testing"
)

// TestLifeOfAHive: an operator drains, stops, starts and forgets a hive.
func TestLifeOfAHive(t *testing.T) {
	w := newWorld(t)
	w.register()
	for _, step := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"DELETE", "/v2/hives/unknown", 404, "not_found"},
		{"POST", "/v2/hives/unknown/stop", 404, "not_found"},
		{"POST", "/v2/hives/h1/drain", 200, `"draining"`},
		{"POST", "/v2/hives/h1/start", 200, `"running"`},
		{"GET", "/v2/hives/h1", 200, `"desired":"running"`},
		{"DELETE", "/v2/hives/h1", 409, "stop it first"},
		{"POST", "/v2/hives/h1/stop", 200, `"stopped"`},
		{"GET", "/v2/hives/h1", 200, `"desired":"stopped"`},
		{"POST", "/v2/hives/h1/resume", 200, `"running"`},
		{"POST", "/v2/hives/h1/stop", 200, `"stopped"`},
		{"DELETE", "/v2/hives/h1", 200, `"h1"`},
		{"DELETE", "/v2/hives/h1", 404, "not_found"},
	} {
		status, body, _ := w.read(step.method, step.path, "")
		if status != step.status || !strings.Contains(body, step.want) {
			t.Fatalf("%s %s: %d %s, want %d with %s", step.method, step.path, status, body, step.status, step.want)
		}
	}
}
