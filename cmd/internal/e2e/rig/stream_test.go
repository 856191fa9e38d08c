package rig

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// The checker must be able to say no: every stream here but the first ones breaks one rule.
func TestTheCheckerBites(t *testing.T) {
	started := "event: started\nid: 1.1\ndata: {}\n\n"
	token := func(id, data string) string { return "event: token\nid: " + id + "\ndata: " + data + "\n\n" }
	a, b := token("1.2", `{"t":"a","i":0}`), token("1.3", `{"t":"b","i":1}`)
	end := "event: end\nid: 1.4\ndata: {}\n\n"
	retry := "event: retry\ndata: {\"attempt\":2,\"from_i\":0}\n\n"
	second := "event: started\nid: 2.1\ndata: {}\n\n" + token("2.2", `{"t":"x","i":0}`)
	for _, tc := range []struct {
		name, stream string
		breaks       bool
		text         string
	}{
		{"whole", "retry: 250\n\n: hello\n\nevent: queued\ndata: {}\n\n" + started + a + b + end, false, "ab"},
		{"error before anything", "event: error\nid: 0.1\ndata: {}\n\n", false, ""},
		{"restart with a word", started + a + retry + second, false, "x"},
		{"restart before text", started + second, false, "x"},
		{"an id alone", started + "id: 1.2\n\n" + token("1.3", `{"t":"a","i":0}`), false, "a"},
		{"gap", started + b, true, ""},
		{"repeat", started + a + a, true, ""},
		{"token index skips", started + token("1.2", `{"t":"a","i":1}`), true, ""},
		{"two attempts mixed", started + a + second, true, ""},
		{"back to an older attempt", started + a + retry + second + b, true, ""},
		{"attempt begins in the middle", started + a + retry + token("2.2", `{"t":"x","i":0}`), true, ""},
		{"two ends", started + a + b + end + end, true, ""},
		{"token after the end", started + a + "event: end\nid: 1.3\ndata: {}\n\n" + token("1.4", `{"t":"b","i":1}`), true, ""},
		{"end with a gap", started + a + end, true, ""},
		{"end without an id", started + a + "event: end\ndata: {}\n\n", true, ""},
		{"token without an id", started + "event: token\ndata: {\"t\":\"a\",\"i\":0}\n\n", true, ""},
		{"queued with an id", "event: queued\nid: 1.1\ndata: {}\n\n", true, ""},
		{"unknown event", "event: bees\ndata: {}\n\n", true, ""},
		{"unknown line", "bees\n\n", true, ""},
		{"the stream alone fails", started + "event: error\ndata: {\"scope\":\"stream\"}\n\n", true, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &Stream{}
			err := frames(strings.NewReader(tc.stream), s.take)
			var broken *Broken
			if errors.As(err, &broken) != tc.breaks {
				t.Fatalf("said %v", err)
			}
			if !tc.breaks && (!errors.Is(err, io.EOF) || s.Text() != tc.text) {
				t.Errorf("text %q, %v; want %q", s.Text(), err, tc.text)
			}
		})
	}
	if err := frames(strings.NewReader(started+"event: token\nid: 1.2"), (&Stream{}).take); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream cut inside an event said %v", err)
	}
}
