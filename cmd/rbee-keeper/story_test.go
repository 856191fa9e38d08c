package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
	"queen-rbee/cmd/rbee-keeper/local"
)

// fakeCluster makes processes of fake queens; queen-2 leads until it is killed.
type fakeCluster struct {
	t      *testing.T
	f      *clienttest.Fake
	killed func(*clienttest.Fake) // what goes wrong at the death of the leader
}

func (c *fakeCluster) Key() string         { return "key" }
func (c *fakeCluster) QueenURLs() []string { return c.f.URLs() }

func (c *fakeCluster) queen(name string) *clienttest.Queen {
	for i, q := range c.f.Queens {
		if name == fmt.Sprintf("queen-%d", i+1) {
			return q
		}
	}
	return nil
}

func (c *fakeCluster) QueenURL(name string) string {
	if q := c.queen(name); q != nil {
		return q.URL
	}
	return ""
}

func (c *fakeCluster) Kill(_ context.Context, name string) error {
	if c.killed != nil {
		c.killed(c.f) // first: clients are at another queen at once
	}
	c.f.Say("GET /v2/cluster", map[string]any{"leader": "queen-3"})
	c.queen(name).Die()
	return nil
}

func (c *fakeCluster) Again(_ context.Context, name string) error { return c.queen(name).Rise(c.t) }

func tellFake(t *testing.T, tokens int, killed func(*clienttest.Fake)) (*story, error) {
	t.Helper()
	f := clienttest.New(t, 3)
	f.Pace = fakePace
	f.Say("GET /v2/cluster", map[string]any{"leader": "queen-2"})
	f.Say("GET /v2/cluster/hash", map[string]any{"index": 9, "hash": "abc"})
	var out bytes.Buffer
	k := &keeper{out: &out, err: &out, output: "table"}
	s := &story{k: k, screen: newScreen(k), model: "builtin/markov", lag: 100 * time.Millisecond, cluster: &fakeCluster{t: t, f: f, killed: killed}}
	s.cfg = local.Config{Queens: 3, Hives: 1, Slots: 6}
	s.size.streams, s.size.jobs, s.size.tokens = 6, 9, tokens
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := s.tell(ctx)
	if err == nil {
		err = s.print()
	}
	t.Log(out.String())
	return s, err
}

// So many tokens at this pace leave a second to kill the leader in mid-stream, on a busy
// machine too.
const (
	fakePace   = 12 * time.Millisecond
	fakeTokens = 100
)

func TestStoryIsTrue(t *testing.T) {
	s, err := tellFake(t, fakeTokens, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := s.report
	if !r.True || r.StreamsWhole != 6 || r.JobsEnded != 9 || r.Killed != "queen-2" || r.NewLeader != "queen-3" ||
		r.Lost != 0 || r.Duplicates != 0 || r.Replicas != 3 || r.Reconnects < 1 || r.CommitMS < 1 {
		t.Errorf("%+v", r)
	}
}

// TestStoryIsNotTrue: a cluster that loses, doubles, differs or alters is found out.
func TestStoryIsNotTrue(t *testing.T) {
	later := func(f *clienttest.Fake) *clienttest.Job { return f.Jobs()[len(f.Jobs())-1] }
	for _, tc := range []struct {
		name   string
		killed func(*clienttest.Fake)
		want   string
	}{
		{"a job that does not end", func(f *clienttest.Fake) { f.SetState(later(f).ID, "running") }, "1 jobs are not complete"},
		{"a job too many", func(f *clienttest.Fake) { f.Submit("other", map[string]any{"prompt": "x"}) }, "1 are too many"},
		{"a replica that differs", func(f *clienttest.Fake) {
			f.Say("queen-3 GET /v2/cluster/hash", map[string]any{"index": 9, "hash": "other"})
		}, "has the state other at index 9"},
		{"a resume with other text", func(f *clienttest.Fake) {
			for _, q := range f.Queens {
				q.Fail(clienttest.Fault{Match: "/events", EditFrames: func(fr []string) []string {
					var out []string
					for _, x := range fr {
						out = append(out, strings.ReplaceAll(x, ` "`, ` changed"`))
					}
					return out
				}})
			}
		}, "differs from its undisturbed run"},
		{"a gap after the resume", func(f *clienttest.Fake) {
			for _, q := range f.Queens {
				q.Fail(clienttest.Fault{Match: "/events", EditFrames: func(fr []string) []string { return slices.Delete(slices.Clone(fr), len(fr)/2, len(fr)/2+1) }})
			}
		}, "gap"},
		{"a repeat after the resume", func(f *clienttest.Fake) {
			for _, q := range f.Queens {
				q.Fail(clienttest.Fault{Match: "/events", EditFrames: func(fr []string) []string { return slices.Insert(slices.Clone(fr), len(fr)/2, fr[len(fr)/2]) }})
			}
		}, "records twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := tellFake(t, fakeTokens, tc.killed)
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(s.report.Problems, "\n"); s.report.True || !strings.Contains(all, tc.want) {
				t.Errorf("true: %v, problems: %s", s.report.True, all)
			}
		})
	}
}

func TestStoryFails(t *testing.T) {
	if _, err := tellFake(t, midStream-1, nil); err == nil || !strings.Contains(err.Error(), "before the leader could be killed") {
		t.Errorf("streams too quick: %v", err)
	}
	_, err := tellFake(t, fakeTokens, func(f *clienttest.Fake) {
		for _, q := range f.Queens {
			for range 20 {
				q.Fail(clienttest.Fault{Match: "POST /v2/tasks", Status: 429, Code: "system_at_capacity"})
			}
		}
	})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "was refused: system_at_capacity") {
		t.Errorf("refused jobs: %v", err)
	}
}
