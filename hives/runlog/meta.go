package runlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"queen-rbee/hives"
)

// Meta says which run a log belongs to. It is written once, as the header of the file.
type Meta struct {
	JobID         string      `json:"job_id"`
	Attempt       uint32      `json:"attempt"`
	Incarnation   uint64      `json:"incarnation"`
	WorkerID      string      `json:"worker_id"`
	AssignedIndex uint64      `json:"assigned_index"`
	API           string      `json:"api"`  // hives.APITask or hives.APIOpenAI, as submitted
	Path          string      `json:"path"` // engine path, e.g. /v1/chat/completions
	Model         string      `json:"model"`
	Begin         hives.Begin `json:"begin"`
	Mode          string      `json:"mode"`
	IncludeUsage  bool        `json:"include_usage"` // the client asked for the usage chunk
	Stream        bool        `json:"stream"`
	Choices       int         `json:"choices,omitempty"` // that the request asks for, where that is known
	Created       time.Time   `json:"created"`           // wall time, for people; zero: Create fills it in
}

// fileSuffix marks the files of a Store among others in its directory.
const fileSuffix = ".run"

func (m Meta) validate() error {
	if !validJobID(m.JobID) {
		return hives.Errorf(hives.CodeInvalid, "job_id: %q is not an id of 1 to 64 letters, digits, '-' or '_'", m.JobID)
	}
	if m.Begin.Seq == 0 && m.Begin.I != 0 {
		return hives.Errorf(hives.CodeInvalid, "begin: i is %d but seq is 0; an attempt that continues nothing begins at 0, 0", m.Begin.I)
	}
	return nil
}

// validJobID keeps ids apart from path syntax, as they become file names.
func validJobID(id string) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

func fileName(job string, attempt uint32) string {
	return fmt.Sprintf("%s.%d%s", job, attempt, fileSuffix)
}

func parseFileName(name string) (job string, attempt uint32, ok bool) {
	base, found := strings.CutSuffix(name, fileSuffix)
	if !found {
		return "", 0, false
	}
	job, num, found := strings.Cut(base, ".")
	n, err := strconv.ParseUint(num, 10, 32)
	if !found || err != nil || fileName(job, uint32(n)) != name || !validJobID(job) {
		return "", 0, false
	}
	return job, uint32(n), true
}
