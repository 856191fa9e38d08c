package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// budget bounds the bytes of bodies in hand at once, from their first byte until they are
// submitted. Clients share one; hives and queens have their own, so that no flood of prompts
// keeps a heartbeat out. Safe for concurrent use.
type budget struct {
	free    *semaphore.Weighted
	bytes   int64
	held    atomic.Int64
	refused atomic.Uint64
}

func newBudget(bytes int64) *budget {
	return &budget{free: semaphore.NewWeighted(bytes), bytes: bytes}
}

func (b *budget) bound(name string) cluster.Bound {
	return cluster.Bound{Name: name, Limit: b.bytes, Used: b.held.Load, Refused: b.refused.Load}
}

// machineBodies is the budget in bytes of hives and queens.
const machineBodies = 128 << 20

// wholeAnswers is the budget in bytes of answers that are not streamed.
const wholeAnswers = 512 << 20

// holdAnswer reserves room for a job's answer, or says that there is none now: what the hive has
// is still there a moment later. A reader holds it until letGoAnswer.
func (r *reader) holdAnswer(a *hives.Answer) error {
	if a == nil || a.Bytes <= r.held {
		return nil
	}
	if a.Bytes < 0 || !r.s.answers.free.TryAcquire(a.Bytes-r.held) {
		r.s.answers.refused.Add(1)
		return fsm.Errorf(codeBusy, "this queen has its limit of %d bytes of answers in hand", r.s.answers.bytes)
	}
	r.s.answers.held.Add(a.Bytes - r.held)
	r.held = a.Bytes
	return nil
}

// letGoAnswer gives that room back, once the answer is written.
func (r *reader) letGoAnswer() {
	r.s.answers.free.Release(r.held)
	r.s.answers.held.Add(-r.held)
	r.held = 0
}

// bodyStep is what is reserved for a body in bytes before its first byte is there.
const bodyStep = 16 << 10

// budgetOf is the one that a route's bodies count against.
func (s *Server) budgetOf(a access) *budget {
	if a == ofHive || a == ofQueen {
		return s.machines
	}
	return s.clients
}

// hold reserves more bytes for the request's body, or refuses: this queen's bound, not the cluster's.
func (r *request) hold(bytes int64) error {
	if !r.budget.free.TryAcquire(bytes) {
		r.budget.refused.Add(1)
		return fsm.Errorf(codeBusy, "this queen has its limit of %d bytes of bodies in hand; ask another", r.budget.bytes)
	}
	r.held += bytes
	r.budget.held.Add(bytes)
	return nil
}

// releaseBody lets go of a body and of what it holds of the budget, once it is submitted.
func (r *request) releaseBody() {
	r.body = nil
	if r.held > 0 {
		r.budget.free.Release(r.held)
		r.budget.held.Add(-r.held)
		r.held = 0
	}
}

// readBody reads the whole bounded body before anything else happens: a relay that may
// have to try again must have it, and a client that sends slowly must hold nothing else.
// The deadline of ServeHTTP ends with it; after an error it stays.
func (s *Server) readBody(w http.ResponseWriter, r *request, limit int64) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110: what would have been taken
		return fsm.Errorf(codeEncoding, "Content-Encoding: %.40q is not taken; send the body as it is", e)
	}
	if r.ContentLength > limit {
		return fsm.Errorf(fsm.CodeTooLarge, "body: %d bytes, at most %d are taken", r.ContentLength, limit)
	}
	data, err := r.readAll(http.MaxBytesReader(w, r.Body, limit))
	if e, ok := errors.AsType[*fsm.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fsm.Errorf(fsm.CodeTooLarge, "body: at most %d bytes are taken", limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fsm.Errorf(fsm.CodeTimeout, "body: did not arrive within %s", s.cfg.BodyTimeout)
	}
	if err != nil {
		return fsm.Errorf(fsm.CodeInvalid, "body: broke off: %v", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	r.body, r.unread = data, false
	return nil
}

// readAll reads to the end, reserving as bytes arrive: a step, then as much again as is there.
// What a client only announces costs nothing.
func (r *request) readAll(from io.Reader) ([]byte, error) {
	var data []byte
	for {
		if len(data) == cap(data) {
			more := max(bodyStep, cap(data))
			if r.ContentLength >= int64(len(data)) { // one byte of room finds the end
				more = min(more, int(r.ContentLength)+1-len(data))
			}
			if err := r.hold(int64(more)); err != nil {
				return nil, err
			}
			data = append(make([]byte, 0, cap(data)+more), data...)
		}
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
