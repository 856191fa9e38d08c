package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// events reads everything of a reader: each event as name|data, and the error at the end.
func events(r io.Reader) (out []string, err error) {
	p := newEventReader(r)
	for {
		e, err := p.next()
		if err != nil {
			return out, err
		}
		out = append(out, e.name+"|"+string(e.data))
	}
}

func TestEventReader(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"one", "data: a\n\n", "|a"},
		{"no space", "data:a\n\n", "|a"},
		{"two spaces", "data:  a\n\n", "| a"},
		{"crlf", "data: a\r\n\r\ndata: b\r\n\r\n", "|a,|b"},
		{"cr", "data: a\r\rdata: b\r\r", "|a,|b"},
		{"mixed", "data: a\r\n\ndata: b\n\r\n", "|a,|b"},
		{"lines", "data: a\ndata: b\ndata\n\n", "|a\nb\n"},
		{"empty data", "data:\n\n", "|"},
		{"comments", ": x\n\n:y\ndata: a\n: z\n\n", "|a"},
		{"fields", "id: 4\nretry: 5\nevent: e\nfoo: bar\ndata: a\n\ndata: b\n\n", "e|a,|b"},
		{"name without data", "event: e\n\ndata: b\n\n", "|b"},
		{"bom", "\xef\xbb\xbfdata: a\n\n", "|a"},
		{"unfinished", "data: a\n\ndata: b\n", "|a"},
		{"old llama", "error: x\n\n", "error|x"},
		{"nothing", "", ""},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			got, err := events(r)
			if strings.Join(got, ",") != c.want || !errors.Is(err, io.EOF) {
				t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
			}
		}
	}
}

func TestEventReaderKeepsTheReadersError(t *testing.T) {
	got, err := events(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if len(got) != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(got, err)
	}
}

func TestEventReaderIsBounded(t *testing.T) {
	fits := "data: " + strings.Repeat("x", maxLine-10) + "\n\n"
	if got, err := events(strings.NewReader(fits)); len(got) != 1 || !errors.Is(err, io.EOF) {
		t.Fatal(len(got), err)
	}
	for _, in := range []string{strings.Repeat("x", maxLine+1), "data: " + strings.Repeat("x", maxLine+1) + "\n\n",
		strings.Repeat("data: "+strings.Repeat("x", maxLine/2)+"\n", 3)} {
		if _, err := events(strings.NewReader(in)); !errors.Is(err, errLineTooLong) {
			t.Errorf("%d bytes: %v", len(in), err)
		}
	}
}

// slowEvents is the standard read literally, on the whole input at once.
func slowEvents(in string) (out []string) {
	in = strings.TrimPrefix(in, "\xef\xbb\xbf")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	rows := strings.Split(in, "\n")
	name, data, has := "", "", false
	for _, row := range rows[:len(rows)-1] {
		field, value, _ := strings.Cut(row, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case row == "":
			if has {
				out = append(out, name+"|"+strings.TrimSuffix(data, "\n"))
			}
			name, data, has = "", "", false
		case field == "event":
			name = value
		case field == "error":
			name = "error"
			fallthrough
		case field == "data":
			data += value + "\n"
			has = true
		}
	}
	return out
}

func FuzzEventReader(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\n: c\ndata: b\ndata: c\n\n"), uint8(3))
	f.Add([]byte("\xef\xbb\xbfevent: x\rdata\r\r\nerror: y\n\n"), uint8(1))
	for _, name := range streams(f) {
		f.Add(load(f, name).sse(f), uint8(100))
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		want := slowEvents(string(in))
		got, err := events(&pieces{r: bytes.NewReader(in), size: int(size)%64 + 1})
		if !errors.Is(err, io.EOF) || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Fatalf("%q\n got %q, %v\nwant %q", in, got, err, want)
		}
		// From where an event ends, the rest reads as it did.
		_, ends := chunksOf(bytes.NewReader(in))
		for i, end := range ends[:min(len(ends), 8)] {
			if bytes.HasPrefix(in[end:], []byte("\xef\xbb\xbf")) {
				continue // only at the very beginning it is none of the data
			}
			if rest := slowEvents(string(in[end:])); len(rest) != len(want)-i-1 {
				t.Fatalf("%q after %d: %q, want %q", in, end, rest, want[i+1:])
			}
		}
	})
}

// pieces reads at most size bytes at a time.
type pieces struct {
	r    io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.size)]) }
