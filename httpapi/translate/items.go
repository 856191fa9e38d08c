package translate

import "strconv"

// Answer tells one run in the words of its request's API. What it gives is valid for good.
type Answer interface {
	// Begin is what opens a stream.
	Begin() []byte
	// Chunk appends what a chunk of the run says. An *AnswerError means that the rest cannot be told.
	Chunk(dst, chunk []byte) ([]byte, error)
	// End appends the end of a run that is complete. spent counts if no chunk told the usage.
	End(dst []byte, spent Usage) []byte
	// Fail appends the end of a run that failed, or of a stream that cannot go on.
	Fail(dst []byte, f Failure) []byte
	// Idle is what keeps a stream awake between events; empty for a comment.
	Idle() []byte
	// Whole is the answer without a stream, from the run's folded one; nothing else may be called then.
	Whole(folded []byte) ([]byte, error)
}

// item is one part of an answer: a text, a thought or a call.
type item struct {
	kind     kind
	place    int  // among the items
	call     int  // index of the call
	opened   bool // a call is told of once its name is there
	id, name text // of the call
	text     text // all of it, where it is kept; else what could not be told yet
	logprobs []rawJSON
}

// teller makes the events of one API. dst grows by what it appends.
type teller interface {
	open(dst []byte, it *item) []byte
	add(dst []byte, it *item, more piece) []byte
	closed(dst []byte, it *item, cut bool) []byte
}

// items puts pieces together, one item at a time: neither API lets a client tell apart what grows
// side by side.
type items struct {
	run  Run
	tell teller
	keep bool // the texts are needed at the end

	now  *item
	n    int // items so far
	size int // bytes that are kept
	done map[int]bool
	used map[string]bool // ids of calls
}

func newItems(run Run, tell teller, keep bool) items {
	return items{run: run, tell: tell, keep: keep, done: map[int]bool{}, used: map[string]bool{}}
}

func (s *items) take(dst []byte, p piece) ([]byte, error) {
	if p.kind == calling && s.done[p.call] {
		if len(p.text) == 0 {
			return dst, nil
		}
		return dst, errAnswer("the engine went back to tool call %d after the next had begun", p.call)
	}
	if s.now == nil || s.now.kind != p.kind || p.kind == calling && s.now.call != p.call {
		dst = s.closeItem(dst, false)
		s.now = &item{kind: p.kind, place: s.n, call: p.call}
		s.n++
		s.size += itemSize
	}
	it := s.now
	if p.kind == calling && !it.opened {
		it.name, it.id = first(it.name, p.name), first(it.id, p.id)
		it.text = append(it.text, p.text...) // what came before the name goes out with it
		p.text = it.text
		if len(it.name) == 0 {
			s.size += len(p.text)
			return dst, s.bound()
		}
		it.text = nil
	}
	dst = s.openItem(dst)
	if s.keep {
		it.text = append(it.text, p.text...)
		it.logprobs = append(it.logprobs, p.logprobs...)
		s.size += len(p.text)
		for _, l := range p.logprobs {
			s.size += len(l)
		}
	}
	if err := s.bound(); err != nil {
		return dst, err
	}
	if len(p.text) > 0 || len(p.logprobs) > 0 {
		dst = s.tell.add(dst, it, p)
	}
	return dst, nil
}

func (s *items) bound() error {
	if s.size > maxAnswer {
		return errLarge()
	}
	return nil
}

func first(a, b text) text {
	if len(a) > 0 {
		return a
	}
	return b
}

func (s *items) openItem(dst []byte) []byte {
	it := s.now
	if it.opened {
		return dst
	}
	it.opened = true
	if it.kind == calling {
		if len(it.id) == 0 || s.used[string(it.id)] { // clients tell calls apart by them
			it.id = text("call_" + s.run.Job + "_" + strconv.Itoa(it.place))
		}
		s.used[string(it.id)] = true
	}
	return s.tell.open(dst, it)
}

// closeItem ends the item that is open; cut tells that the run ended in the middle of it.
func (s *items) closeItem(dst []byte, cut bool) []byte {
	it := s.now
	if it == nil {
		return dst
	}
	if !it.opened { // a call that never got a name
		late := it.text
		it.text = nil
		dst = s.openItem(dst)
		if len(late) > 0 {
			dst = s.tell.add(dst, it, piece{kind: it.kind, text: late})
			it.text = late
		}
	}
	if it.kind == calling {
		s.done[it.call] = true
	}
	s.now = nil
	return s.tell.closed(dst, it, cut)
}

// event appends one frame.
func event(dst []byte, name string, data []byte) []byte {
	dst = append(append(append(dst, "event: "...), name...), "\ndata: "...)
	return append(append(dst, data...), "\n\n"...)
}
