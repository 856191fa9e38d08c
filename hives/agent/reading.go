package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

const (
	keepAlive = 15 * time.Second
	writeTime = 10 * time.Second // for one write to a reader
	// company is how long the head of an answer, and numbers of records that say nothing more, may
	// wait for what goes out with them: of an engine that is quick they cost as much as its first
	// token, at this end and at the other.
	company = 5 * time.Millisecond
)

// comment keeps proxies awake. No blank line follows: some clients take one for an event.
var comment = []byte(": \n")

// read copies a run to one reader until its end, or until one of the two goes away.
func (g *gateway) read(w http.ResponseWriter, r *http.Request, a answered, e *hives.Execute) error {
	out := newSink(w)
	form := runlog.Form{API: e.API, Whole: e.Whole}
	log := a.log
	if a.run != nil {
		defer a.run.clients.enter(e.Client)()
		select {
		case <-a.run.logged:
			log = a.run.log
		default: // it still waits for its body: nothing can be wrong with its log yet
			if e.From > a.run.rec.Begin.Seq {
				return hives.Errorf(hives.CodeInvalid, "from: record %d is beyond what exists: the run has not started", e.From)
			}
		}
	}
	stream, err := open(log, form, e.From)
	if err != nil {
		return err
	}
	if stream != nil {
		defer stream.Close()
	}
	out.begin()
	defer out.early.Stop()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if stream == nil && a.run != nil {
		stream = g.awaitLog(ctx, out, a.run, form, e.From)
		if stream == nil {
			return nil
		}
		defer stream.Close()
	}
	g.copy(ctx, out, stream)
	return nil
}

// open begins a reading; nil for a log that does not exist yet.
func open(log *runlog.Log, form runlog.Form, from uint64) (*runlog.Stream, error) {
	if log == nil {
		return nil, nil
	}
	return log.Stream(form, from)
}

// awaitLog waits under comments until the run has a log. nil: the reader was served or has gone.
func (g *gateway) awaitLog(ctx context.Context, out *sink, r *run, form runlog.Form, from uint64) *runlog.Stream {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-r.logged:
			if r.log == nil { // its disk refused even the header
				g.endOnly(ctx, out, r)
				return nil
			}
			stream, err := r.log.Stream(form, from)
			if err != nil {
				return nil // broken off: the reader tries again and is told
			}
			return stream
		case <-out.early.C:
			if out.write(nil) != nil {
				return nil
			}
		case <-tick.C:
			if out.write(comment) != nil {
				return nil
			}
		case <-ctx.Done():
			return nil
		case <-g.closing:
			return nil
		}
	}
}

// endOnly tells the end of a run that has no log.
func (g *gateway) endOnly(ctx context.Context, out *sink, r *run) {
	select {
	case <-r.done:
	case <-ctx.Done():
		return
	}
	if mark, err := json.Marshal(r.ended()); err == nil {
		_ = out.write([]byte(hives.EndMark + string(mark) + "\n"))
	}
}

// copy writes each batch of records as it comes, with one flush; only the first may wait for
// company.
func (g *gateway) copy(ctx context.Context, out *sink, stream *runlog.Stream) {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	var buf []byte
	for {
		select {
		case <-stream.Ready():
		case <-out.early.C:
			if out.write(buf) != nil {
				return
			}
			buf = buf[:0]
			continue
		case <-tick.C:
			if out.write(comment) != nil {
				return
			}
			continue
		case <-ctx.Done():
			return
		case <-g.closing:
			return
		}
		var err error
		buf, err = stream.Next(ctx, buf)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return
		}
		if err != nil { // without the end mark: the reader comes again
			g.logger.Error("run cannot be read", "error", err)
			return
		}
		if !out.begun && onlyIDs(buf) {
			continue
		}
		if len(buf) > 0 && out.write(buf) != nil {
			return
		}
		buf = buf[:0]
	}
}

// onlyIDs tells lines that hold nothing but numbers of records, or no lines.
func onlyIDs(b []byte) bool {
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("id: ")) {
			return false
		}
	}
	return true
}

// sink writes SSE to one reader, each write with a deadline: who does not read is dropped.
type sink struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	early *time.Timer // from begin on: fires when the head is to go out alone
	begun bool        // it is out
}

func newSink(w http.ResponseWriter) *sink { return &sink{w: w, rc: http.NewResponseController(w)} }

// begin makes the head of the answer, which goes out with the first write.
func (s *sink) begin() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	s.early = time.NewTimer(company)
}

// write sends b, and the head, at once.
func (s *sink) write(b []byte) error {
	if !s.begun {
		s.begun = true
		s.early.Stop()
	}
	if err := s.rc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	if len(b) > 0 {
		if _, err := s.w.Write(b); err != nil {
			return err
		}
	}
	return s.rc.Flush()
}
