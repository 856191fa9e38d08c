package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

type fault = clienttest.Fault

func wantText(n int) string { return strings.Join(clienttest.Text("hello", 7, n), "") }

// whole checks that a stream is what an undisturbed run gives.
func whole(t *testing.T, events []client.Event, text string, n int) {
	t.Helper()
	if text != wantText(n) {
		t.Errorf("text %q, want %q", text, wantText(n))
	}
	var ids []string
	ends := 0
	for _, ev := range events {
		if !ev.ID.IsZero() {
			ids = append(ids, ev.ID.String())
		}
		if ev.Final() {
			ends++
		}
	}
	for i, id := range ids {
		if id != fmt.Sprintf("1.%d", i+1) {
			t.Fatalf("ids %v", ids)
		}
	}
	if len(ids) != n+2 || ends != 1 || events[len(events)-1].Kind != client.End {
		t.Errorf("ids %v, %d ends", ids, ends)
	}
}

func TestStreamUndisturbed(t *testing.T) {
	f, c := setup(t, 1)
	s := c.Stream(background(t), task(5), "")
	events, text, err := drain(t, s)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, events, text, 5)
	if events[0].Kind != client.Queued || events[1].Kind != client.Assigned {
		t.Errorf("began with %v %v", events[0].Kind, events[1].Kind)
	}
	last := events[len(events)-1].Data
	if last.FinishReason != "length" || last.Usage.CompletionTokens != 5 || s.JobID() != f.Jobs()[0].ID {
		t.Errorf("end %+v of %q", last, s.JobID())
	}
}

// TestStreamSurvives puts each fault in the way; the stream must not show it.
func TestStreamSurvives(t *testing.T) {
	post, events := "POST /v2/tasks", "/events"
	noLeader := fault{Status: 503, Code: "no_leader"}
	for _, tc := range []struct {
		name   string
		faults [3][]fault
	}{
		{"cut between frames", [3][]fault{{{Match: post, Frames: 4}}}},
		{"cut in mid-frame", [3][]fault{{{Match: post, Frames: 4, MidFrame: true}}}},
		{"cut in the first frame", [3][]fault{{{Match: post, MidFrame: true}}}},
		{"cut before the end", [3][]fault{{{Match: post, Frames: 8, MidFrame: true}}}},
		{"cut at every queen", [3][]fault{{{Match: post, Frames: 3}}, {{Match: events, Frames: 1}}, {{Match: events, Frames: 1, MidFrame: true}}}},
		{"silent", [3][]fault{{{Match: post, Frames: 4, Silent: true}}}},
		{"submit dropped", [3][]fault{{{Match: post, Drop: true}}}},
		{"submit done, answer lost", [3][]fault{{{Match: post, DropAfter: true}}}},
		{"no leader at first", [3][]fault{{noLeader}, {noLeader}, {noLeader}}},
		{"unknown outcome", [3][]fault{{{Match: post, Status: 503, Code: "unknown_outcome", Header: map[string]string{"X-Rbee-Job-Id": "x"}}}}},
		{"resume without leader", [3][]fault{{{Match: post, Frames: 4}}, {noLeader, noLeader}, {noLeader}}},
		{"resume told to slow down", [3][]fault{{{Match: post, Frames: 4}}, {{Match: events, Status: 429, Code: "rate_limited"}}}},
		{"replica behind", [3][]fault{{{Match: post, Frames: 4}}, {{Match: events, Status: 503, Code: "replica_behind"}}}},
		{"repeats", [3][]fault{{{Match: post, EditFrames: func(fr []string) []string { return append(fr[:6:6], fr[2:]...) }}}}},
		{"id-less comments and unknown kinds", [3][]fault{{{Match: post, EditFrames: func(fr []string) []string {
			return append(append(fr[:4:4], ": ping", "event: weather\ndata: {}"), fr[4:]...)
		}}}}},
		{"crlf", [3][]fault{{{Match: post, EditFrames: func(fr []string) []string {
			for i := range fr {
				fr[i] = strings.ReplaceAll(fr[i], "\n", "\r\n") + "\r"
			}
			return fr
		}}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := setup(t, 3, alert)
			for i, fs := range tc.faults {
				f.Queens[i].Fail(fs...)
			}
			ev, text, err := drain(t, c.Stream(background(t), task(5), ""))
			if err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(f.Seen(), "\n"))
			}
			whole(t, ev, text, 5)
			if n := len(f.Jobs()); n != 1 {
				t.Errorf("%d jobs were made of one task", n)
			}
		})
	}
}

func TestStreamSurvivesDeadQueen(t *testing.T) {
	f := clienttest.New(t, 2)
	var notices []string
	c := newClient(t, f.URLs(), func(cfg *client.Config) {
		cfg.Notice = func(text string) { notices = append(notices, text) }
	})
	f.Queens[0].Fail(fault{Match: "POST", Frames: 4, MidFrame: true, Then: func() { f.Queens[0].Listener.Close() }})
	s := c.Stream(background(t), task(50), "")
	ev, text, err := drain(t, s)
	if err != nil {
		t.Fatal(err)
	}
	whole(t, ev, text, 50)
	if st := s.Stats(); st.Connections != 2 || st.Repeats != 0 {
		t.Errorf("stats %+v", st)
	}
	if len(notices) != 2 || !strings.Contains(notices[0], "asking another queen") || !strings.Contains(notices[1], f.Queens[1].URL) {
		t.Errorf("notices %q", notices)
	}
}

func TestStreamCountsRepeats(t *testing.T) {
	f, c := setup(t, 1)
	f.Queens[0].Fail(fault{Match: "POST", EditFrames: func(fr []string) []string { return append(fr[:6:6], fr[3:]...) }})
	s := c.Stream(background(t), task(5), "")
	if _, _, err := drain(t, s); err != nil || s.Stats().Repeats != 3 {
		t.Errorf("%+v, %v", s.Stats(), err)
	}
}

func token(id string, i int) string {
	return fmt.Sprintf("id: %s\nevent: token\ndata: {\"t\":\"x\",\"i\":%d}", id, i)
}

const (
	started1 = "id: 1.1\nevent: started\ndata: {}"
	started2 = "id: 2.1\nevent: started\ndata: {}"
	retry2   = "event: retry\ndata: {\"attempt\":2,\"reason\":\"worker_died\",\"from_i\":0}"
)

// TestStreamSpoiled: what breaks the contract is said, not shown.
func TestStreamSpoiled(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frames []string
		want   string
	}{
		{"gap", []string{started1, token("1.2", 0), token("1.4", 2)}, "gap: 1.4 came after 1.2"},
		{"gap at start", []string{token("1.2", 0)}, "gap: the first record is 1.2"},
		{"gap before end", []string{started1, "id: 1.3\nevent: end\ndata: {}"}, "gap"},
		{"no id", []string{started1, "event: token\ndata: {\"t\":\"x\",\"i\":0}"}, "without an id"},
		{"end without id", []string{started1, "event: end\ndata: {}"}, "without an id"},
		{"bad id", []string{"id: seven\nevent: token\ndata: {}"}, "not an event id"},
		{"token index", []string{started1, token("1.2", 1)}, "index 1 where 0 belongs"},
		{"mixed attempts", []string{started1, token("1.2", 0), started2}, "no retry said so"},
		{"older attempt", []string{started2, started1}, "older attempt"},
		{"second end", []string{started1, "id: 1.2\nevent: end\ndata: {}", "id: 1.3\nevent: end\ndata: {}"}, "after the end"},
		{"not json", []string{"id: 1.1\nevent: started\ndata: nope"}, "no JSON"},
		{"long line", []string{"id: 1.1\nevent: started\ndata: " + strings.Repeat("x", 1<<20)}, "over 1 MiB"},
		{"long frame", []string{"id: 1.1" + strings.Repeat("\ndata: "+strings.Repeat("x", 1<<19), 9)}, "over 4 MiB"},
		{"restart in the middle", []string{started1, token("1.2", 0), strings.Replace(retry2, `from_i":0`, `from_i":1`, 1), started2}, "at token 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := setup(t, 1)
			f.Queens[0].Fail(fault{Match: "POST", EditFrames: func([]string) []string { return tc.frames }})
			_, _, err := drain(t, c.Stream(background(t), task(5), ""))
			var v *client.Violation
			if !errors.As(err, &v) || !strings.Contains(err.Error(), tc.want) || v.JobID == "" {
				t.Errorf("got %v, want a Violation with %q", err, tc.want)
			}
		})
	}
}

func TestStreamRetry(t *testing.T) {
	end := "id: 2.3\nevent: end\ndata: {\"finish_reason\":\"stop\"}"
	for _, tc := range []struct {
		name   string
		frames []string
		kinds  string
		text   string
	}{
		{"restart", []string{started1, token("1.2", 0), retry2, retry2, started2, token("2.2", 0), end}, "started token retry started token end", "x"},
		{"goes on", []string{started1, token("1.2", 0), strings.Replace(retry2, `from_i":0`, `from_i":1`, 1), token("2.3", 1), "id: 2.4\nevent: end\ndata: {}"}, "started token retry token end", "xx"},
		{"invisible", []string{started2, token("2.2", 0), end}, "started token end", "x"},
		{"before any text", []string{started1, started2, token("2.2", 0), end}, "started started token end", "x"},
		{"a record without a chunk", []string{started2, "id: 2.2", end}, "started end", ""},
		{"never assigned", []string{"id: 0.1\nevent: error\ndata: {\"code\":\"cancelled\",\"message\":\"m\"}"}, "error", ""},
		{"error of a later attempt", []string{started1, token("1.2", 0), "id: 3.1\nevent: error\ndata: {\"code\":\"worker_failed\"}"}, "started token error", "x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, c := setup(t, 1)
			f.Queens[0].Fail(fault{Match: "POST", EditFrames: func([]string) []string { return tc.frames }})
			events, text, err := drain(t, c.Stream(background(t), task(5), ""))
			if err != nil {
				t.Fatal(err)
			}
			var kinds []string
			for _, ev := range events {
				kinds = append(kinds, ev.Kind)
			}
			if got := strings.Join(kinds, " "); got != tc.kinds || text != tc.text {
				t.Errorf("got %q %q, want %q %q", got, text, tc.kinds, tc.text)
			}
		})
	}
}

func TestStreamErrorsOfItsOwn(t *testing.T) {
	f, c := setup(t, 2)
	f.Queens[0].Fail(fault{Match: "POST", EditFrames: func([]string) []string {
		return []string{started1, "event: error\ndata: {\"code\":\"output_expired\",\"message\":\"gone\",\"scope\":\"stream\"}"}
	}})
	_, _, err := drain(t, c.Stream(background(t), task(5), ""))
	var se *client.StreamError
	if !errors.As(err, &se) || se.Code != "output_expired" || se.JobID == "" {
		t.Errorf("got %v", err)
	}
}

func TestStreamGivesUp(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		f, c := setup(t, 2)
		_, _, err := drain(t, c.Stream(background(t), client.Task{Model: "nope"}, ""))
		if !errors.Is(err, &client.Error{Code: "model_not_found"}) || len(f.Seen()) != 1 {
			t.Errorf("%v after %v", err, f.Seen())
		}
	})
	t.Run("at capacity", func(t *testing.T) {
		f, c := setup(t, 2)
		f.Queens[0].Fail(fault{Status: 429, Code: "system_at_capacity", Header: map[string]string{"Retry-After": "7"}})
		_, _, err := drain(t, c.Stream(background(t), task(1), ""))
		var e *client.Error
		if !errors.As(err, &e) || e.RetryAfter.Seconds() != 7 || len(f.Seen()) != 1 {
			t.Errorf("%v after %v", err, f.Seen())
		}
	})
	t.Run("all die", func(t *testing.T) {
		f, c := setup(t, 2, hasty)
		f.Queens[1].Close()
		f.Queens[0].Fail(fault{Match: "POST", Frames: 4, Then: func() { f.Queens[0].Listener.Close() }})
		_, _, err := drain(t, c.Stream(background(t), task(5), ""))
		var u *client.Unreachable
		if !errors.As(err, &u) || len(u.Tries) != 2 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		f, c := setup(t, 1)
		ctx, cancel := context.WithCancelCause(background(t))
		why := errors.New("enough")
		f.Queens[0].Fail(fault{Match: "POST", Frames: 4, Silent: true, Then: func() { cancel(why) }})
		_, _, err := drain(t, c.Stream(ctx, task(5), ""))
		if !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reader stops", func(t *testing.T) {
		_, c := setup(t, 1)
		for ev, err := range c.Stream(background(t), task(5), "").Events() {
			if err != nil {
				t.Fatal(err)
			}
			if ev.Kind == client.Token {
				break
			}
		}
	})
}

func TestFollow(t *testing.T) {
	f, c := setup(t, 2)
	a, err := c.Submit(background(t), task(5), "k")
	if err != nil {
		t.Fatal(err)
	}
	f.Queens[0].Fail(fault{Match: "/events", Frames: 5})
	ev, text, err := drain(t, c.Follow(background(t), a.JobID))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, ev, text, 5)
	_, _, err = drain(t, c.Follow(background(t), "nope"))
	if !errors.Is(err, &client.Error{Code: "not_found"}) {
		t.Errorf("got %v", err)
	}
}
