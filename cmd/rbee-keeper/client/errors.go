package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Codes that the client itself acts on; all others pass through it.
const (
	codeNoLeader       = "no_leader"
	codeUnknownOutcome = "unknown_outcome"
	codeReplicaBehind  = "replica_behind"
	codeNotFound       = "not_found"
)

const maxErrorBody = 64 << 10

// Error is a queen's refusal or failure: its problem+json, with who said it.
type Error struct {
	Status     int
	Code       string // as in the API's table of errors; "http_502" when the answer was no problem+json
	Detail     string
	Queen      string // URL that answered
	RequestID  string
	JobID      string        // X-Rbee-Job-Id, set when a job may exist
	RetryAfter time.Duration // 0: not said
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code
	}
	return e.Code + ": " + e.Detail
}

// Is compares by code alone: errors.Is(err, &client.Error{Code: "not_found"}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Try is one queen that could not be reached.
type Try struct {
	URL string
	Err error
}

// Unreachable means that no queen answered at all.
type Unreachable struct{ Tries []Try }

func (e *Unreachable) Error() string {
	parts := make([]string, len(e.Tries))
	for i, t := range e.Tries {
		parts[i] = fmt.Sprintf("%s (%v)", t.URL, rootCause(t.Err))
	}
	return "no queen reachable: " + strings.Join(parts, ", ")
}

// rootCause drops the wrapping that repeats method and URL.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		if _, isCall := inner.(interface{ Timeout() bool }); !isCall {
			return err
		}
		err = inner
	}
}

// Uncertain means that a request was sent, no answer came, and sending it again might do
// the thing twice.
type Uncertain struct {
	Method, URL string
	Err         error
}

func (e *Uncertain) Error() string {
	return fmt.Sprintf("unknown_outcome: %s %s was sent but not answered (%v); look before doing it again", e.Method, e.URL, rootCause(e.Err))
}

func (e *Uncertain) Unwrap() error { return e.Err }

// readError makes an *Error of an answer that is not 2xx. It reads no more than 64 KiB.
func readError(queen string, resp *http.Response) *Error {
	e := &Error{
		Status: resp.StatusCode, Queen: queen,
		RequestID: resp.Header.Get("X-Rbee-Request-Id"), JobID: resp.Header.Get("X-Rbee-Job-Id"),
		Code: fmt.Sprintf("http_%d", resp.StatusCode),
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		e.RetryAfter = time.Duration(min(s, 24*3600)) * time.Second
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil && len(data) == 0 {
		e.Detail = http.StatusText(resp.StatusCode)
		return e
	}
	var problem struct{ Title, Detail, Code string }
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if strings.HasSuffix(kind, "json") && json.Unmarshal(data, &problem) == nil && problem.Code != "" {
		e.Code, e.Detail = problem.Code, problem.Detail
		if e.Detail == "" {
			e.Detail = problem.Title
		}
		return e
	}
	e.Detail = oneLine(string(data))
	if e.Detail == "" {
		e.Detail = http.StatusText(resp.StatusCode)
	}
	return e
}

// oneLine keeps foreign text (a proxy's error page) printable and short.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return s
}
