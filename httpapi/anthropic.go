package httpapi

import (
	"net/http"
	"strings"

	"queen-rbee/httpapi/translate"
)

// speaksAnthropic tells that errors at a path have the shape of Anthropic's API.
func speaksAnthropic(path string) bool {
	return path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/")
}

// writeAnthropicFailure answers in that shape, with the status that goes with it.
func writeAnthropicFailure(w http.ResponseWriter, f failure) {
	told := translate.Failure{Status: f.status, Code: f.code, Message: f.message}
	w.Header().Set("Content-Type", "application/json")
	if notAgain[f.code] {
		w.Header().Set("X-Should-Retry", "false")
	}
	w.WriteHeader(translate.AnthropicStatus(told))
	_, _ = w.Write(translate.AnthropicError(told, w.Header().Get(headerRequest))) // the client may be gone
}
