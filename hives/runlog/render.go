package runlog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"queen-rbee/hives"
)

// Form is how a reader wants a log: the events of one of the APIs, or with Whole one answer
// at the end, as that API gives it without streaming.
type Form struct {
	API   string // hives.APITask or hives.APIOpenAI
	Whole bool
}

// Renderer turns the records of one Reader into bytes of an SSE stream. Its output, in order:
//
//	task    started and token events, then the end mark
//	openai  the engine's chunks, then the end mark, and for a complete run the last chunks
//	        and `[DONE]`
//	whole   nothing, then the end mark, and for a complete run one frame with the answer; of a
//	        run that was not streamed the answer's bytes alone, as Terminal.Answer says
//
// The end mark is hives.EndMark with the Terminal. For a run that failed or was cancelled
// nothing follows it: what its client reads is made from the cluster's state.
type Renderer struct {
	meta Meta
	form Form
	from uint64
	held []byte // openai: frames of a closing record, until it is known to be the last
	fold *fold  // whole
}

// NewRenderer renders for a reader that has the records up to from. A whole form needs them
// all, so its Reader must read from 0 whatever from is. invalid_request for an unknown API.
func NewRenderer(meta Meta, form Form, from uint64) (*Renderer, error) {
	if form.API != hives.APITask && form.API != hives.APIOpenAI {
		return nil, hives.Errorf(hives.CodeInvalid, "api: %q is not one of %q, %q", form.API, hives.APITask, hives.APIOpenAI)
	}
	r := &Renderer{meta: meta, form: form, from: from}
	if form.Whole {
		r.fold = newFold(meta)
	}
	return r, nil
}

// Append appends the rendering of recs to dst. The records may be reused afterwards.
func (r *Renderer) Append(dst []byte, recs []Record) ([]byte, error) {
	var err error
	for _, rec := range recs {
		switch {
		case rec.Kind == End:
			dst, err = r.end(dst, rec)
		case r.form.Whole:
			r.fold.add(rec)
		case r.form.API == hives.APITask:
			dst, err = r.task(dst, rec)
		default:
			dst = r.openai(dst, rec)
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// task renders started and token.
func (r *Renderer) task(dst []byte, rec Record) ([]byte, error) {
	if rec.Kind == Started {
		model, err := marshal(r.meta.Model)
		dst = r.id(append(dst, "event: started\n"...), rec.Seq)
		dst = append(dst, "data: {\"model\":"...)
		dst = append(dst, model...)
		return append(dst, "}\n\n"...), err
	}
	text, err := marshal(string(rec.Text))
	dst = r.id(append(dst, "event: token\n"...), rec.Seq)
	dst = append(dst, "data: {\"t\":"...)
	dst = append(dst, text...)
	dst = append(dst, ",\"i\":"...)
	dst = strconv.AppendUint(dst, r.meta.tokenIndex(rec.Seq), 10)
	return append(dst, "}\n\n"...), err
}

// tokenIndex is the index of the token that content record seq is: each is one.
func (m Meta) tokenIndex(seq uint64) uint64 {
	if m.Begin.Seq == 0 {
		return seq - 2 // 1 is started
	}
	return m.Begin.I + seq - m.Begin.Seq - 1
}

// openai renders a record's chunks. Those of a closing record wait in held.
func (r *Renderer) openai(dst []byte, rec Record) []byte {
	dst = append(dst, r.held...)
	r.held = r.held[:0]
	if rec.Closes {
		r.held = r.frames(r.held, rec.Chunks, rec.Seq)
		return dst
	}
	return r.frames(dst, rec.Chunks, rec.Seq)
}

// frames renders chunks as one record: its id is behind the data of the last frame, or alone
// on a line of no frame if there is none (hives.Stream tells the two apart by that).
func (r *Renderer) frames(dst []byte, chunks []Chunk, seq uint64) []byte {
	last := -1
	for i, c := range chunks {
		if r.shows(c) {
			last = i
		}
	}
	for i, c := range chunks {
		if !r.shows(c) {
			continue
		}
		if i == last {
			dst = r.lastFrame(dst, c.Raw, seq)
		} else {
			dst = data(dst, c.Raw)
		}
	}
	if last < 0 {
		dst = r.id(dst, seq)
	}
	return dst
}

func (r *Renderer) shows(c Chunk) bool { return !c.Usage || r.meta.IncludeUsage }

func (r *Renderer) end(dst []byte, rec Record) ([]byte, error) {
	mark, err := json.Marshal(rec.Terminal)
	if err != nil {
		return dst, fmt.Errorf("runlog: encode end: %w", err)
	}
	if len(r.held) > 0 && rec.Terminal.Outcome != hives.Complete {
		// Its chunk would say that the answer is over, so only its number is told.
		dst = r.id(dst, rec.Seq-1)
	}
	dst = append(dst, hives.EndMark...)
	dst = append(dst, mark...)
	dst = append(dst, '\n')
	if rec.Terminal.Outcome != hives.Complete {
		return dst, nil
	}
	if rec.Terminal.Answer != nil {
		return r.answer(dst, rec), nil
	}
	if r.form.Whole {
		answer, err := r.fold.answer(r.form.API, rec)
		if err != nil {
			return dst, err
		}
		return data(dst, answer), nil
	}
	if r.form.API == hives.APITask || r.from >= rec.Seq {
		return dst, nil
	}
	dst = append(dst, r.held...)
	for _, c := range rec.Chunks {
		if r.shows(c) {
			dst = data(dst, c.Raw)
		}
	}
	return r.lastFrame(dst, []byte("[DONE]"), rec.Seq), nil
}

// answer renders the end of a run that was not streamed. Frames cannot carry it: a reader that
// wants them gets only word that it is over.
func (r *Renderer) answer(dst []byte, rec Record) []byte {
	switch {
	case r.form.Whole && len(rec.Chunks) == 1:
		return append(dst, rec.Chunks[0].Raw...)
	case r.form.Whole, r.form.API == hives.APITask, r.from >= rec.Seq:
		return dst
	}
	return r.lastFrame(dst, []byte("[DONE]"), rec.Seq)
}

func (r *Renderer) id(dst []byte, seq uint64) []byte {
	dst = append(dst, "id: "...)
	dst = strconv.AppendUint(dst, uint64(r.meta.Attempt), 10)
	dst = append(dst, '.')
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '\n')
}

// lastFrame is the frame that makes record seq whole.
func (r *Renderer) lastFrame(dst, b []byte, seq uint64) []byte {
	dst = append(append(append(dst, "data: "...), b...), '\n')
	return append(r.id(dst, seq), '\n')
}

// data appends a data line and the end of its frame. b is one line.
func data(dst, b []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, b...)
	return append(dst, "\n\n"...)
}

// Stream is a Reader and its Renderer in one: what a gateway copies to a client.
type Stream struct {
	*Reader
	render *Renderer
}

// Stream opens a rendered reading after record from; a whole form begins at 0 whatever from is.
// Errors as of Reader and NewRenderer.
func (l *Log) Stream(form Form, from uint64) (*Stream, error) {
	render, err := NewRenderer(l.meta, form, from)
	if err != nil {
		return nil, err
	}
	if form.Whole {
		from = 0
	}
	reader, err := l.Reader(from)
	if err != nil {
		return nil, err
	}
	return &Stream{Reader: reader, render: render}, nil
}

// Next waits for records and appends their rendering to dst, which may be nothing: a whole
// form stays silent until the end. Errors as of Reader.Next, io.EOF last.
func (s *Stream) Next(ctx context.Context, dst []byte) ([]byte, error) {
	recs, err := s.Reader.Next(ctx)
	if err != nil {
		return dst, err
	}
	return s.render.Append(dst, recs)
}
