package cluster

import (
	"errors"
	"fmt"
	"time"

	"queen-rbee/fsm"
)

// ConfigError is a wrong setting: its field, and what to do about it.
type ConfigError struct{ Field, Problem string }

func (e *ConfigError) Error() string { return e.Field + " " + e.Problem }

// StartError is why a queen cannot start or go on: one sentence that says what to do.
type StartError struct {
	Sentence string
	Err      error // what was underneath, for logs; may be nil
}

func (e *StartError) Error() string { return e.Sentence }
func (e *StartError) Unwrap() error { return e.Err }

func startError(err error, format string, args ...any) *StartError {
	return &StartError{Sentence: fmt.Sprintf(format, args...), Err: err}
}

// errNoLeader is said of what was never sent.
func errNoLeader(why string) *fsm.Error {
	return &fsm.Error{Code: fsm.CodeNoLeader, Message: why, RetryAfter: time.Second}
}

// errUnknown is said of what may have been accepted.
func errUnknown(why string) *fsm.Error {
	return &fsm.Error{Code: fsm.CodeUnknownOutcome, Message: why + "; ask again under the same id", RetryAfter: time.Second}
}

// asError gives any error a code, so that it can cross between queens.
func asError(err error) *fsm.Error {
	var e *fsm.Error
	if errors.As(err, &e) {
		return e
	}
	return fsm.Errorf(fsm.CodeInternal, "%v", err)
}
