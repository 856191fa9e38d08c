package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is a refusal in the shape that OpenAI clients read.
type Error struct {
	Status  int
	Message string
	Type    string
	Param   string // the field, as a path: messages[0].content; empty: null
	Code    any    // a string, or a number as llama-server has it; nil: null
}

func (e *Error) Error() string { return e.Message }

// MarshalJSON gives {"error":{"message","type","param","code"}}.
func (e *Error) MarshalJSON() ([]byte, error) {
	var body struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    any     `json:"code"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type, body.Error.Code = e.Message, e.Type, e.Code
	if e.Param != "" {
		body.Error.Param = &e.Param
	}
	return json.Marshal(body)
}

// Invalid is a 400 about one field.
func Invalid(param, format string, args ...any) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: "invalid_request_error",
		Param: param, Message: fmt.Sprintf(format, args...),
	}
}

// NoSuchModel is the 404 for a model that is not served here.
func NoSuchModel(asked, served string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: "invalid_request_error", Param: "model", Code: "model_not_found",
		Message: fmt.Sprintf("model %q is not served here; this worker serves %q", asked, served),
	}
}

// NotFound is the 404 for a route that does not exist.
func NotFound(method, path string) *Error {
	return &Error{
		Status: http.StatusNotFound, Type: "not_found_error", Code: http.StatusNotFound,
		Message: fmt.Sprintf("there is no %s %s", method, path),
	}
}

// Loading is what every route answers until the model is there, in llama-server's shape.
func Loading() *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Type: "unavailable_error",
		Code: http.StatusServiceUnavailable, Message: "Loading model",
	}
}

// Busy is the answer when even the queue for slots is full.
func Busy(waiting int) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Type: "unavailable_error", Code: "queue_full",
		Message: fmt.Sprintf("%d requests are waiting for a slot already; try again later", waiting),
	}
}

// Failed is the engine's own failure; inside a stream it is sent as data.
func Failed(message string) *Error {
	return &Error{
		Status: http.StatusInternalServerError, Type: "server_error",
		Code: http.StatusInternalServerError, Message: message,
	}
}

// ContextExceeded is the 400 for a prompt that fills a slot's whole context.
type ContextExceeded struct{ PromptTokens, Context int }

func (e *ContextExceeded) Error() string {
	return fmt.Sprintf("the prompt has %d tokens, the context holds %d; shorten the prompt", e.PromptTokens, e.Context)
}

// MarshalJSON adds n_prompt_tokens and n_ctx, as llama-server does.
func (e *ContextExceeded) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"error": map[string]any{
		"message": e.Error(), "type": "exceed_context_size_error", "param": "messages",
		"code": "context_length_exceeded", "n_prompt_tokens": e.PromptTokens, "n_ctx": e.Context,
	}})
}
