package engine

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// streams are the recordings of streams, whole and broken off.
func streams(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "transcripts", "*stream*.http"))
	if err != nil || len(files) < 8 {
		t.Fatal(err, files)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".http"))
	}
	return append(names, "busy-slot-first")
}

// cuts reads pieces of drawn sizes, then byte by byte.
type cuts struct {
	r     io.Reader
	sizes []int
}

func (c *cuts) Read(b []byte) (int, error) {
	n := 1
	if len(c.sizes) > 0 {
		n, c.sizes = c.sizes[0], c.sizes[1:]
	}
	return c.r.Read(b[:min(len(b), n)])
}

// However a recorded stream is cut, it reads the same; and from the end of any of its chunks it
// reads as what is left of it.
func TestRecordedStreamsCutAnywhere(t *testing.T) {
	whole := map[string][]string{}
	bodies := map[string][]byte{}
	names := streams(t)
	for _, name := range names {
		bodies[name] = load(t, name).sse(t)
		whole[name], _ = chunksOf(bytes.NewReader(bodies[name]))
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "name")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 400), 0, 40).Draw(t, "sizes")
		body, want := bodies[name], whole[name]
		got, ends := chunksOf(&cuts{bytes.NewReader(body), sizes})
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: %q\nwant %q", name, got, want)
		}
		if len(ends) == 0 {
			return
		}
		i := rapid.IntRange(0, len(ends)-1).Draw(t, "end")
		if rest, _ := chunksOf(bytes.NewReader(body[ends[i]:])); fmt.Sprint(rest) != fmt.Sprint(want[i+1:]) {
			t.Fatalf("%s after %d: %q\nwant %q", name, ends[i], rest, want[i+1:])
		}
	})
}

// chunksOf is the data of each event, and where it ends.
func chunksOf(r io.Reader) (data []string, ends []int64) {
	p := newEventReader(r)
	for {
		e, err := p.next()
		if err != nil {
			return data, ends
		}
		data, ends = append(data, string(e.data)), append(ends, p.taken)
	}
}
