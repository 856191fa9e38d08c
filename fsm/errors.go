package fsm

import (
	"fmt"
	"time"
)

// Error is a code of api.md with a text and, where waiting helps, how long. It travels
// between queens unchanged and is compared by code.
type Error struct {
	Code       string
	Message    string
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is makes errors.Is compare by code alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Codes; api.md maps each to a status.
const (
	CodeInvalid             = "invalid_request"
	CodeUnauthenticated     = "unauthenticated"
	CodeForbidden           = "forbidden"
	CodeNotFound            = "not_found"
	CodeModelNotFound       = "model_not_found"
	CodeTimeout             = "timeout"
	CodeTooLarge            = "body_too_large"
	CodeConflict            = "conflict"
	CodeStale               = "stale"
	CodeOutputExpired       = "output_expired"
	CodeEventsExpired       = "events_expired"
	CodeIdempotencyMismatch = "idempotency_mismatch"
	CodeAtCapacity          = "system_at_capacity"
	CodeWorkerFailed        = "worker_failed"
	CodeDeadlineExceeded    = "deadline_exceeded"
	CodeCancelled           = "cancelled"
	CodeNoLeader            = "no_leader"
	CodeNoHiveFits          = "no_hive_fits"
	CodeReplicaBehind       = "replica_behind"
	CodeUnknownOutcome      = "unknown_outcome"
	CodeInternal            = "internal"
)
