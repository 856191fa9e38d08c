package batch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"queen-rbee/cmd/rbee-keeper/client"
)

// Result is one line of the output: what a job made, or an Error. JobID is empty where there
// is no job.
type Result struct {
	Line  int             `json:"line"`
	ID    json.RawMessage `json:"id,omitempty"`
	JobID string          `json:"job_id,omitempty"`
	*client.Result
	Error *client.JobError `json:"error,omitempty"`
}

// journal is where results go, and what is known of an earlier start of the same run.
// Its methods are called by one goroutine at a time, except key.
type journal struct {
	run  string
	done map[int]bool // lines whose results an earlier start has written
	bad  int          // how many of those are errors

	out  io.Writer
	file *os.File // nil for an output that cannot be taken up again
	path string
}

// started is what FILE.run holds.
type started struct {
	Run    string `json:"run"`
	Digest string `json:"digest"` // of all lines as they are submitted
}

// openJournal takes up the run of an output file, or begins one. Without a path results go
// to out.
func openJournal(path, digest string, out io.Writer) (*journal, error) {
	j := &journal{run: client.NewKey(), done: map[int]bool{}, out: out, path: path}
	if path == "" {
		return j, nil
	}
	var s started
	data, err := os.ReadFile(path + ".run")
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = j.begin(digest)
	case err != nil:
		return nil, err
	case json.Unmarshal(data, &s) != nil || s.Run == "":
		return nil, fmt.Errorf("%s.run is damaged: remove it and %s to begin anew", path, path)
	case s.Digest != digest:
		return nil, fmt.Errorf("%s belongs to a run of other lines or flags: undo the change, or begin anew with another --out", path)
	default:
		j.run = s.Run
		err = j.takeUp()
	}
	if err != nil && j.file != nil {
		err = errors.Join(err, j.file.Close())
	}
	return j, err
}

// begin names the run before anything is submitted under that name.
func (j *journal) begin(digest string) error {
	data, err := json.Marshal(started{Run: j.run, Digest: digest})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and no interrupted run to go on with: remove it, or name another --out", j.path)
	}
	if err != nil {
		return err
	}
	j.file, j.out = f, f
	if err := j.lock(); err != nil {
		return err
	}
	if err := writeWhole(j.path+".run", data); err != nil {
		return errors.Join(err, os.Remove(j.path)) // or the next start would find a foreign file
	}
	return nil
}

// writeWhole makes a file that is there whole or not at all.
func writeWhole(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// takeUp reads which lines are done and cuts off a result that was written by half.
func (j *journal) takeUp() error {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	j.file, j.out = f, f
	if err := j.lock(); err != nil {
		return err
	}
	in := bufio.NewReader(f)
	var whole int64
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		var r Result
		if json.Unmarshal(text, &r) != nil || r.Line == 0 {
			return fmt.Errorf("%s holds a line that is no result: %.80q; begin anew with another --out", j.path, bytes.TrimSpace(text))
		}
		whole += int64(len(text))
		j.done[r.Line] = true
		if r.Error != nil {
			j.bad++
		}
	}
	if err := f.Truncate(whole); err != nil {
		return err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return err
}

// lock keeps a second start out for as long as this one has the file open.
func (j *journal) lock() error {
	err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s is being written by another keeper: wait for it, or end it", j.path)
	}
	return err
}

// resumable tells whether a later start can take this run up.
func (j *journal) resumable() bool { return j.file != nil }

// key is a line's Idempotency-Key.
func (j *journal) key(l line) string {
	h := sha256.New()
	h.Write([]byte(j.run + "\n" + strconv.Itoa(l.number) + "\n"))
	h.Write(l.body)
	return hex.EncodeToString(h.Sum(nil))
}

// append writes a result in one piece.
func (j *journal) append(r Result) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = j.out.Write(append(data, '\n'))
	return err
}

// close ends the run if all is over.
func (j *journal) close(over bool) error {
	if j.file == nil {
		return nil
	}
	if err := errors.Join(j.file.Sync(), j.file.Close()); err != nil || !over {
		return err
	}
	return os.Remove(j.path + ".run")
}
