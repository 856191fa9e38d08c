package runlog

import (
	"encoding/json"
	"iter"
)

// Kept is where an unfinished log stands: in the engine's stream after its last record, and the
// chunks it holds. ok is false for a log that has not started, or does not know.
func (l *Log) Kept() (offset int64, chunks iter.Seq2[json.RawMessage, error], ok bool) {
	l.mu.Lock()
	seq, begun, size := l.seq, l.begun, l.size
	l.mu.Unlock()
	l.wmu.Lock()
	offset = l.offset
	l.wmu.Unlock()
	if !begun || seq > max(1, l.meta.Begin.Seq) && offset == 0 {
		return 0, nil, false
	}
	return offset, func(yield func(json.RawMessage, error) bool) {
		r, err := l.Reader(0)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		for r.off < size {
			recs, err := r.read()
			if err != nil {
				yield(nil, err)
				return
			}
			for _, rec := range recs {
				for _, c := range rec.Chunks {
					if !yield(c.Raw, nil) {
						return
					}
				}
			}
		}
	}, true
}
