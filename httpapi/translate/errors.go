package translate

import (
	"fmt"
	"strconv"
)

// FieldError refuses a request for one of its fields. Field is a path as the client would write
// it, like input[2].content[0].type, or "body".
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

func refuse(field, format string, args ...any) *FieldError {
	return &FieldError{Field: fmt.Sprintf("%.200s", field), Message: fmt.Sprintf(format, args...)}
}

// Failure is what a client is told of a run, or of its stream, that failed. Code and Message are
// this API's own; Status is what it would have been as an answer of its own.
type Failure struct {
	Status  int
	Code    string
	Message string
	Stream  bool // the stream alone cannot go on; of the run nothing is said
}

// AnthropicStatus is the status under which Anthropic's API tells a failure: what cannot be
// served now is 529 there, not 503. What may have been accepted stays what it is.
func AnthropicStatus(f Failure) int {
	if f.Status == 503 && f.Code != "unknown_outcome" {
		return 529
	}
	return f.Status
}

// AnthropicError is the body of an error in Anthropic's shape. The code is beside it: there are
// more of them than that API has types.
func AnthropicError(f Failure, request string) []byte {
	b := appendObject(nil, "type", "error", "error", anthropicError(f), "request_id", request)
	return append(b, '\n')
}

func anthropicError(f Failure) rawJSON {
	return object("type", anthropicType(AnthropicStatus(f)), "message", f.Message, "code", f.Code)
}

func anthropicType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// errAnswer is an answer that cannot be told; its text is for the client.
func errAnswer(format string, args ...any) error { return &AnswerError{fmt.Sprintf(format, args...)} }

// AnswerError says why what an engine gave cannot be told in the client's API.
type AnswerError struct{ Message string }

func (e *AnswerError) Error() string { return e.Message }

// maxAnswer bounds in bytes what is kept of one answer; itemSize is what an item counts beside its
// text.
const (
	maxAnswer = 32 << 20
	itemSize  = 512
)

func errLarge() error {
	return errAnswer("the answer is over %s bytes; set a smaller bound of output tokens", strconv.Itoa(maxAnswer))
}
