package client

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzFrames: whatever a server sends, in whatever pieces, reading ends, is the same for
// every way of cutting it, and keeps to the limits.
func FuzzFrames(f *testing.F) {
	for _, s := range []string{
		"event: token\nid: 1.2\ndata: {\"t\":\"x\",\"i\":0}\n\n", ": c\n\nretry: 250\n\nid: 1.1\n\n",
		"data: a\r\ndata: b\r\n\r\n", "\xef\xbb\xbfdata: x\n\n", "data\n\nid\n\n", "id: 1.2\x00\ndata: {}\n\n", "event: end\ndata: {",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, errWhole := allFrames(bytes.NewReader(data))
		cut, errCut := allFrames(iotest.OneByteReader(bytes.NewReader(data)))
		if len(whole) != len(cut) || !errors.Is(errCut, errWhole) {
			t.Fatalf("%d frames, %v in one piece; %d, %v byte by byte", len(whole), errWhole, len(cut), errCut)
		}
		var o order
		for i, fr := range whole {
			if fr.event != cut[i].event || fr.id != cut[i].id || !bytes.Equal(fr.data, cut[i].data) || len(fr.data) > maxFrame {
				t.Fatalf("frame %d: %+v and %+v", i, fr, cut[i])
			}
			ev, err := decodeFrame(fr)
			if err != nil {
				continue
			}
			before := o.last
			if fresh, err := o.take(ev); err == nil && fresh && !ev.ID.IsZero() && o.last != ev.ID {
				t.Fatalf("%s was shown after %s but not noted", ev.ID, before)
			}
		}
	})
}

func allFrames(r io.Reader) (all []frame, err error) {
	fr := newFrameReader(r)
	for {
		f, err := fr.next()
		if err != nil {
			return all, err
		}
		f.data = bytes.Clone(f.data)
		all = append(all, f)
	}
}

func TestParseEventID(t *testing.T) {
	for in, want := range map[string]EventID{"1.2": {1, 2}, "0.1": {0, 1}, "4294967295.18446744073709551615": {1<<32 - 1, 1<<64 - 1}} {
		if got, err := ParseEventID(in); err != nil || got != want || got.String() != in {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "4294967296.1", "a.b", "1. 2"} {
		if got, err := ParseEventID(in); err == nil {
			t.Errorf("%q was read as %v", in, got)
		}
	}
}
