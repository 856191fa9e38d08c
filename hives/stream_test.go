package hives

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// pieces is a body that arrives in given pieces.
type pieces struct {
	parts [][]byte
	end   error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.parts) == 0 {
		return 0, p.end
	}
	n := copy(b, p.parts[0])
	if p.parts[0] = p.parts[0][n:]; len(p.parts[0]) == 0 {
		p.parts = p.parts[1:]
	}
	return n, nil
}
func (p *pieces) Close() error { return nil }

// cut splits data at drawn places.
func cut(t *rapid.T, data []byte) [][]byte {
	var parts [][]byte
	for len(data) > 0 {
		n := rapid.IntRange(1, len(data)).Draw(t, "piece")
		parts, data = append(parts, data[:n]), data[n:]
	}
	return parts
}

// TestStreamCopiesWholeFrames: however the bytes arrive, the pieces are whole frames, add up
// to what was sent before the mark, name the last record, and leave the rest for the end.
func TestStreamCopiesWholeFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var before strings.Builder
		n := rapid.IntRange(0, 40).Draw(t, "records")
		begins, ends := []int{0}, []int{0} // of each record, by its number
		for i := 1; i <= n; i++ {
			if rapid.Bool().Draw(t, "comment") {
				before.WriteString(": keep-alive\n")
			}
			begins = append(begins, before.Len())
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				fmt.Fprintf(&before, "event: token\nid: 3.%d\ndata: {\"t\":\"id: 9.9 %s\"}\n\n", i, strings.Repeat("x", i*31))
			case 1:
				fmt.Fprintf(&before, "data: {\"c\":%d}\n\ndata: {}\nid: 3.%d\n\n", i, i)
			case 2:
				fmt.Fprintf(&before, "id: 3.%d\n", i)
			default:
				fmt.Fprintf(&before, "data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: {}\nid: 3.%d\n\n", i)
			}
			ends = append(ends, before.Len())
		}
		begins = append(begins, before.Len())
		rest := rapid.SampledFrom([]string{"", "data: [DONE]\n\n", "data: {\"text\":\"\"}\n\n"}).Draw(t, "rest")
		whole := before.String() + EndMark + `{"job_id":"j","attempt":3,"outcome":"complete","events":7}` + "\n" + rest
		s := NewStream(&pieces{parts: cut(t, []byte(whole)), end: io.EOF})
		var got bytes.Buffer
		var last uint64
		for {
			p, err := s.Next()
			if err != nil {
				t.Fatalf("after %d bytes: %v", got.Len(), err)
			}
			got.Write(p.Bytes)
			last = max(last, p.Seq)
			// Cut off here, a reader attaches again after record last: nothing may be lost or twice.
			if got.Len() < ends[last] || got.Len() > begins[last+1] {
				t.Fatalf("a reader cut off after %q would resume after record %d", got.String(), last)
			}
			if p.End != nil {
				if p.End.Events != 7 || p.End.Attempt != 3 {
					t.Fatalf("end %+v", p.End)
				}
				break
			}
		}
		tail, err := s.Rest()
		if err != nil || string(tail) != rest {
			t.Fatalf("rest %q: %v", tail, err)
		}
		if got.String() != before.String() || last != uint64(n) {
			t.Fatalf("copied %q, last record %d of %d", got.String(), last, n)
		}
	})
}

// TestStreamThatBreaksOff is never taken for an end.
func TestStreamThatBreaksOff(t *testing.T) {
	for name, sent := range map[string]string{
		"at once":         "",
		"between frames":  "id: 1.1\n",
		"within a frame":  "id: 1.1\nevent: tok",
		"within the mark": "id: 1.1\n" + EndMark + `{"job_id":"j"}`,
	} {
		s := NewStream(&pieces{parts: [][]byte{[]byte(sent)}, end: io.EOF})
		var err error
		for err == nil {
			var p Piece
			if p, err = s.Next(); p.End != nil {
				t.Fatalf("%s: taken for an end", name)
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestStreamIsBounded refuses a frame that never ends.
func TestStreamIsBounded(t *testing.T) {
	endless := bytes.Repeat([]byte("x"), maxFrames+2)
	s := NewStream(&pieces{parts: [][]byte{endless}, end: io.EOF})
	if _, err := s.Next(); err == nil || !strings.Contains(err.Error(), "record over") {
		t.Errorf("got %v", err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("id: 1.1\n" + EndMark + "{}\ndata: x\n\n"))
	f.Add([]byte("\n\n\n\nid: 99999999999999999999.1\n\n: rbee-end nothing\n"))
	f.Add([]byte("event: token\nid: 1.1\n: c\ndata: x\n\ndata: y\n\n: c\ndata: z\nid: 1.2\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewStream(io.NopCloser(bytes.NewReader(data)))
		for total := 0; ; {
			p, err := s.Next()
			if total += len(p.Bytes); total > len(data) {
				t.Fatal("more came out than went in")
			}
			if err != nil || p.End != nil {
				return
			}
		}
	})
}
