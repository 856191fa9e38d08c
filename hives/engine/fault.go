package engine

import (
	"encoding/json"
	"net/http"
	"strings"

	"queen-rbee/hives"
)

// fault is what an engine says went wrong, in whatever shape it says it.
type fault struct {
	message string
	kind    string // error.type, where there is one
}

// parseFault reads an error body: {"error": {message, type}}, {"error": "text"}, {"message"},
// {"detail"} (FastAPI), or plain text. The message is never empty and at most 1,000 bytes long.
func parseFault(body []byte) fault {
	var w struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Detail  json.RawMessage `json:"detail"`
	}
	f := fault{}
	if json.Unmarshal(body, &w) != nil {
		f.message = string(body)
	} else {
		var inner struct {
			Message string `json:"message"`
			Type    string `json:"type"`
		}
		f = fault{message: w.Message, kind: w.Type}
		if json.Unmarshal(w.Error, &inner) == nil && inner.Message != "" {
			f = fault{message: inner.Message, kind: inner.Type}
		} else if s := text(w.Error); s != "" {
			f.message = s
		} else if s := text(w.Detail); f.message == "" {
			f.message = s
		}
		if f.message == "" {
			f.message = string(body)
		}
	}
	f.message = strings.ToValidUTF8(strings.TrimSpace(f.message), "?")
	if len(f.message) > 1000 {
		f.message = strings.ToValidUTF8(f.message[:1000], "") + "..."
	}
	if f.message == "" {
		f.message = "the engine gave no reason"
	}
	return f
}

// text returns a JSON string's text, other values as they stand, null and nothing as "".
func text(v json.RawMessage) string {
	var s string
	if !present(v) || json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// clientFaults are messages with which llama-server answers 500 to what the client got wrong.
var clientFaults = []string{
	"json.exception",                          // a body that does not parse, or a field of a wrong type
	"parse error at line",                     //
	"increase the physical batch size",        // embedding input longer than -ub
	"image input is not supported",            // an image part to a text model
	"audio input is not supported",            //
	"does not support multimodal",             //
	"exceeds the available context size",      // prompt longer than the slot's context
	"failed to parse grammar",                 //
	"failed to process image",                 //
	"unsupported content",                     // unknown content part
	"is not supported by the chat template",   // roles, tools
	"conversation roles must alternate",       // raised by chat templates
	"error while rendering the chat template", //
}

// refused turns an answer other than 200 into an error with a code.
func refused(status int, body []byte) *hives.Error {
	f := parseFault(body)
	code := hives.CodeEngineError
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		code = CodeEngineBusy
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusRequestTimeout:
		// Our key and our time, not the client's request.
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return hives.Errorf(hives.CodeInvalid, "the engine does not serve this request: it answered %d: %s", status, f.message)
	case status >= 400 && status < 500, status == http.StatusNotImplemented:
		code = hives.CodeInvalid
	case status == http.StatusInternalServerError && f.clients():
		code = hives.CodeInvalid
	}
	return hives.Errorf(code, "the engine answered %d: %s", status, f.message)
}

// clients reports whether a 500 is the fault of the request.
func (f fault) clients() bool {
	if f.kind == "invalid_request_error" || f.kind == "exceed_context_size_error" {
		return true
	}
	lower := strings.ToLower(f.message)
	for _, known := range clientFaults {
		if strings.Contains(lower, known) {
			return true
		}
	}
	return false
}
