package hives

import "fmt"

// Error is a code and a message as they stand on every wire between keeper, queens and
// hives. The code decides; the message is for people.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is makes errors.Is compare by code alone.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error with a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Codes a hive uses. Those of a terminal record say whether another attempt could help.
const (
	CodeStale            = "stale"             // 409: older than what the receiver has
	CodeNotFound         = "not_found"         // 404
	CodeInvalid          = "invalid_request"   // 400, and: the engine refused the request itself
	CodeTooLarge         = "body_too_large"    // 413
	CodeUnauthenticated  = "unauthenticated"   // 401
	CodeWorkerDied       = "worker_died"       // the engine process ended or its stream broke off
	CodeEngineTimeout    = "engine_timeout"    // no first token, or none for too long
	CodeEngineError      = "engine_error"      // the engine answered with an error of its own
	CodeAgentRestarted   = "agent_restarted"   // the agent restarted under the run
	CodeWorkerGone       = "worker_gone"       // the worker was stopped or never became ready
	CodeDeadlineExceeded = "deadline_exceeded" // ended by wish
	CodeDrained          = "drained"           // ended by wish
	CodeOutputTooLarge   = "output_too_large"  // the run log reached its limit
	CodeOutputExpired    = "output_expired"    // 410: retained no longer
	// CodeSourceUnreachable: where a model comes from does not answer; another try may help.
	CodeSourceUnreachable = "model_source_unreachable"
	CodeOutOfMemory       = "out_of_memory" // a worker's engine found too little memory on its device
	CodeCrashLoop         = "crash_loop"    // a worker's engine ended again and again and is not started any more
)
