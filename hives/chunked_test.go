package hives

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawChunked encodes data as a server may: sizes in any case, with extensions and trailers.
func drawChunked(t *rapid.T, data []byte) []byte {
	var b bytes.Buffer
	for len(data) > 0 {
		n := rapid.IntRange(1, len(data)).Draw(t, "chunk")
		form := rapid.SampledFrom([]string{"%x\r\n", "%X\r\n", "%04x;name=value\r\n", "%x \n"}).Draw(t, "form")
		fmt.Fprintf(&b, form, n)
		b.Write(data[:n])
		b.WriteString("\r\n")
		data = data[n:]
	}
	b.WriteString("0\r\n")
	if rapid.Bool().Draw(t, "trailer") {
		b.WriteString("X-Trailer: 1\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// However the bytes arrive, what was encoded comes out, and the end is seen with its last byte.
func TestChunksComeOffHoweverCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
		sent := drawChunked(t, data)
		var c chunks
		var got []byte
		for _, part := range cut(t, slices.Clone(sent)) {
			if c.over() {
				t.Fatal("over before the last byte")
			}
			plain, err := c.plain(part)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, plain...)
		}
		if !bytes.Equal(got, data) || !c.over() {
			t.Fatalf("got %q (over: %v) of %q", got, c.over(), sent)
		}
	})
}

func TestWhatIsNotChunkedIsRefused(t *testing.T) {
	for _, sent := range []string{"data: x\n\n", "\r\n", "5\r\nhelloX", "ffffffffffffffffffff\r\n", "1;" + strings.Repeat("x", maxChunkLine), "0\r\n" + strings.Repeat("x", maxChunkLine+1)} {
		var c chunks
		if _, err := c.plain([]byte(sent)); !errors.Is(err, errChunk) {
			t.Errorf("%.20q: %v", sent, err)
		}
	}
}

// TestFeedGivesWholeRecords: what a loop reads and feeds comes out as from Next, whole records up
// to the end mark, and what is behind that stays for Rest.
func TestFeedGivesWholeRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var before strings.Builder
		ends := map[int]uint64{}
		for n := uint64(1); n <= uint64(rapid.IntRange(1, 20).Draw(t, "records")); n++ {
			fmt.Fprintf(&before, "data: {\"c\":%d}\n\ndata: {}\nid: 2.%d\n\n", n, n)
			ends[before.Len()] = n
		}
		whole := before.String() + EndMark + "{\"events\":7}\ndata: rest\n\n"
		w := &wire{}
		s := NewStream(w)
		scratch, at := make([]byte, len(whole)+10), 0
		parts := cut(t, drawChunked(t, []byte(whole)))
		for i, part := range parts {
			p, err := s.Feed(part, scratch)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(before.String()[at:], string(p.Bytes)) {
				t.Fatalf("got %q at %d of %q", p.Bytes, at, before.String())
			}
			if at += len(p.Bytes); len(p.Bytes) > 0 && ends[at] != p.Seq {
				t.Fatalf("piece up to %d is told to end record %d", at, p.Seq)
			}
			s.Settle()
			clear(scratch) // it is the loop's
			if p.End == nil {
				continue
			}
			if at != before.Len() || p.End.Events != 7 {
				t.Fatalf("end %+v at %d of %d", p.End, at, before.Len())
			}
			w.ahead = slices.Concat(parts[i+1:]...)
			rest, err := s.Rest()
			if err != nil || string(rest) != "data: rest\n\n" {
				t.Fatalf("rest %q, %v", rest, err)
			}
			return
		}
		t.Fatal("no end was found")
	})
}

// TestFeedTellsACutAnswer: an answer that is over before its end mark is no end.
func TestFeedTellsACutAnswer(t *testing.T) {
	s := NewStream(&wire{})
	p, err := s.Feed([]byte("8\r\nid: 1.1\n\r\n0\r\n\r\n"), make([]byte, 64))
	if !errors.Is(err, io.ErrUnexpectedEOF) || p.Seq != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestALargeRecordIsNotCopiedForEachPart of it that comes.
func TestALargeRecordIsNotCopiedForEachPart(t *testing.T) {
	s := NewStream(&wire{})
	scratch, size := make([]byte, 2<<10), 0
	text := "data: " + strings.Repeat("x", 4<<20) + "\nid: 1.1\n\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for at := 0; at < len(text); at += 1 << 10 {
		part := text[at:min(at+1<<10, len(text))]
		raw := fmt.Appendf(nil, "%x\r\n%s\r\n", len(part), part)
		p, err := s.Feed(raw, scratch)
		if err != nil {
			t.Fatal(err)
		}
		size += len(p.Bytes)
		s.Settle()
	}
	runtime.ReadMemStats(&after)
	if size != len(text) {
		t.Errorf("%d bytes came of %d", size, len(text))
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
		t.Errorf("it took %d MB", took>>20)
	}
}
