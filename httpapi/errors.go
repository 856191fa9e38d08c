package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// statuses is the one table from code to HTTP status. A code that is not here is a job's
// failure as its hive named it: 502.
var statuses = map[string]int{
	fsm.CodeInvalid:             http.StatusBadRequest,
	fsm.CodeUnauthenticated:     http.StatusUnauthorized,
	fsm.CodeForbidden:           http.StatusForbidden,
	fsm.CodeNotFound:            http.StatusNotFound,
	fsm.CodeModelNotFound:       http.StatusNotFound,
	codeMethod:                  http.StatusMethodNotAllowed,
	codeEncoding:                http.StatusUnsupportedMediaType,
	codeMediaType:               http.StatusUnsupportedMediaType,
	fsm.CodeTimeout:             http.StatusRequestTimeout,
	fsm.CodeConflict:            http.StatusConflict,
	fsm.CodeStale:               http.StatusConflict,
	fsm.CodeOutputExpired:       http.StatusGone,
	fsm.CodeEventsExpired:       http.StatusGone,
	fsm.CodeTooLarge:            http.StatusRequestEntityTooLarge,
	fsm.CodeIdempotencyMismatch: http.StatusUnprocessableEntity,
	fsm.CodeAtCapacity:          http.StatusTooManyRequests,
	fsm.CodeCancelled:           499,
	fsm.CodeInternal:            http.StatusInternalServerError,
	fsm.CodeWorkerFailed:        http.StatusBadGateway,
	fsm.CodeDeadlineExceeded:    http.StatusGatewayTimeout,
	fsm.CodeNoLeader:            http.StatusServiceUnavailable,
	fsm.CodeNoHiveFits:          http.StatusServiceUnavailable,
	fsm.CodeReplicaBehind:       http.StatusServiceUnavailable,
	fsm.CodeUnknownOutcome:      http.StatusServiceUnavailable,
	codeBusy:                    http.StatusServiceUnavailable,
	codeDraining:                http.StatusServiceUnavailable,
	codeUnreachable:             http.StatusServiceUnavailable,
	codeDiverged:                http.StatusConflict,
	codeLoading:                 http.StatusServiceUnavailable,
}

const (
	codeMethod      = "method_not_allowed"
	codeEncoding    = "unsupported_encoding"
	codeMediaType   = "unsupported_media_type"
	codeBusy        = "too_many_requests" // this queen's bound, not the cluster's
	codeDraining    = "draining"          // this queen is leaving; another serves
	codeUnreachable = "hive_unreachable"
	codeDiverged    = "stream_diverged"
)

// retryAfter says when waiting helps although the error names no time itself.
var retryAfter = map[string]time.Duration{
	fsm.CodeAtCapacity:     time.Second,
	fsm.CodeNoLeader:       time.Second,
	fsm.CodeNoHiveFits:     10 * time.Second,
	fsm.CodeReplicaBehind:  time.Second,
	fsm.CodeUnknownOutcome: time.Second,
	codeBusy:               2 * time.Second,
	codeDraining:           time.Second,
	codeUnreachable:        5 * time.Second,
}

// notAgain is what the OpenAI SDKs would ask again for by the status alone, although it would
// be the same again, or more than was wanted.
var notAgain = map[string]bool{
	fsm.CodeConflict:         true,
	fsm.CodeDeadlineExceeded: true,
	codeDiverged:             true,
}

// failure is an error as a client sees it.
type failure struct {
	status     int
	code       string
	message    string
	retryAfter time.Duration
	job        string
	param      string // field or header that is wrong, empty for none
	loading    *loadingJSON
}

// failureOf finds the code in an error's chain. What has none is internal: its text is for
// the log, not for the client.
func failureOf(err error) failure {
	f := failure{code: fsm.CodeInternal, message: "something went wrong inside this queen; its log says what"}
	if e, ok := errors.AsType[*fsm.Error](err); ok {
		f.code, f.message, f.retryAfter = e.Code, e.Message, e.RetryAfter
	} else if e, ok := errors.AsType[*hives.Error](err); ok {
		f.code, f.message = e.Code, e.Message
	} else if errors.Is(err, context.Canceled) {
		f.code, f.message = fsm.CodeCancelled, "the client went away"
	} else if errors.Is(err, context.DeadlineExceeded) {
		f.code, f.message = fsm.CodeTimeout, "the time for this request is over"
	}
	f.status = http.StatusBadGateway
	if s, ok := statuses[f.code]; ok {
		f.status = s
	}
	if f.retryAfter == 0 {
		f.retryAfter = retryAfter[f.code]
	}
	if j, ok := errors.AsType[*jobError](err); ok {
		f.job = j.job
	}
	if e, ok := errors.AsType[*fieldError](err); ok {
		f.param = e.field
	} else if f.code == fsm.CodeModelNotFound {
		f.param = "model"
	}
	if l, ok := errors.AsType[*loadingError](err); ok {
		f.loading = &l.loading
	}
	return f
}

// errDraining is said of what a leaving queen no longer takes.
func errDraining() error {
	return fsm.Errorf(codeDraining, "this queen is leaving; ask another")
}

// jobError is an error about a job the client should know the id of.
type jobError struct {
	job string
	err error
}

func (e *jobError) Error() string { return "job " + e.job + ": " + e.err.Error() }
func (e *jobError) Unwrap() error { return e.err }

// problem is RFC 9457, with the code as extension.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`

	Loading *loadingJSON `json:"loading,omitempty"`
}

// openAIError is the shape of the OpenAI API.
type openAIError struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`

		Loading *loadingJSON `json:"loading,omitempty"`
	} `json:"error"`
}

func openAIErrorOf(f failure) openAIError {
	var e openAIError
	e.Error.Message, e.Error.Code, e.Error.Loading = f.message, f.code, f.loading
	if f.param != "" {
		e.Error.Param = &f.param
	}
	switch {
	case f.status == http.StatusUnauthorized:
		e.Error.Type, e.Error.Code = "authentication_error", "invalid_api_key"
	case f.status == http.StatusForbidden:
		e.Error.Type = "permission_error"
	case f.status == http.StatusTooManyRequests:
		e.Error.Type = "rate_limit_error"
	case f.status >= 500:
		e.Error.Type = "server_error"
	default:
		e.Error.Type = "invalid_request_error"
	}
	return e
}

// writeFailure answers a request to a path that failed before its first byte.
func writeFailure(w http.ResponseWriter, f failure, path string) {
	h := w.Header()
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.retryAfter.Seconds()))))
	}
	if f.job != "" {
		h.Set(headerJob, f.job)
	}
	if f.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if speaksAnthropic(path) {
		writeAnthropicFailure(w, f)
		return
	}
	var body any = problem{
		Type: "about:blank", Title: http.StatusText(f.status), Status: f.status, Detail: f.message, Code: f.code,
		Loading: f.loading,
	}
	h.Set("Content-Type", "application/problem+json")
	if speaksOpenAI(path) {
		if notAgain[f.code] {
			h.Set("X-Should-Retry", "false")
		}
		h.Set("Content-Type", "application/json")
		body = openAIErrorOf(f)
	}
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone; nothing else can be done here
}
