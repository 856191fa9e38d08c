package runlog

import (
	"errors"
	"time"

	"queen-rbee/hives"
)

// Limits bounds what a Store keeps. A zero field means its default.
type Limits struct {
	Age         time.Duration // how long an ended log is kept after its end; 1 h
	Bytes       int64         // all logs together on disk, in whole 4 KiB blocks; 1 GiB
	LogBytes    int64         // one log, without its end record, and a whole answer; 64 MiB
	RecordBytes int           // one record, at most hives.MaxRecord and counted as that is; 8 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Age == 0 {
		l.Age = time.Hour
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
	if l.LogBytes == 0 {
		l.LogBytes = 64 << 20
	}
	if l.RecordBytes == 0 {
		l.RecordBytes = hives.MaxRecord
	}
	return l
}

func (l Limits) validate() error {
	if l.Age < 0 || l.Bytes < 0 || l.LogBytes < 0 || l.RecordBytes < 0 {
		return hives.Errorf(hives.CodeInvalid, "run log limits: none may be negative; leave a field 0 for its default")
	}
	if l.RecordBytes > hives.MaxRecord {
		return hives.Errorf(hives.CodeInvalid, "run log limits: a record of %d bytes could be read by no queen, at most %d", l.RecordBytes, hives.MaxRecord)
	}
	return nil
}

// Codes of this package beside those of package hives.
const (
	CodeConflict = "conflict"       // a log of this job and attempt exists
	CodeStorage  = "storage_failed" // the disk refused a record; the run cannot go on
)

// Errors of use out of order. They never travel.
var (
	ErrEnded      = errors.New("runlog: the run has ended")
	ErrNotStarted = errors.New("runlog: the run has not started")
	ErrStarted    = errors.New("runlog: the run has started already")
	ErrClosed     = errors.New("runlog: closed")
)
