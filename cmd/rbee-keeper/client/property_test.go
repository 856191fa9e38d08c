package client_test

import (
	"testing"

	"pgregory.net/rapid"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

// TestAnyFaultsWholeStream: wherever connections break and whoever refuses, the stream is
// whole and the task is one job.
func TestAnyFaultsWholeStream(t *testing.T) {
	const n = 6
	rapid.Check(t, func(rt *rapid.T) {
		cleanup := &cleanups{}
		defer cleanup.run()
		f := clienttest.New(cleanup, 3)
		c := newClient(t, f.URLs())
		aFault := rapid.Custom(func(rt *rapid.T) fault {
			return rapid.SampledFrom([]fault{
				{Drop: true}, {Status: 503, Code: "no_leader"}, {Status: 503, Code: "unknown_outcome"}, {Status: 502},
				{Frames: rapid.IntRange(1, n+4).Draw(rt, "frames"), MidFrame: rapid.Bool().Draw(rt, "mid")},
				{MidFrame: true},
				{EditFrames: firstTwice},
			}).Draw(rt, "fault")
		})
		for i, q := range f.Queens {
			q.Fail(rapid.SliceOfN(aFault, 0, 5).Draw(rt, "queen "+string(rune('1'+i)))...)
		}
		events, text, err := drain(t, c.Stream(background(t), task(n), ""))
		if err != nil {
			rt.Fatalf("%v\n%v", err, f.Seen())
		}
		whole(t, events, text, n)
		if len(f.Jobs()) != 1 {
			rt.Fatalf("%d jobs", len(f.Jobs()))
		}
	})
}

// firstTwice sends a record again; the end may come but once.
func firstTwice(frames []string) []string {
	if len(frames) < 2 {
		return frames
	}
	return append(frames[:1:1], frames...)
}

type cleanups struct{ all []func() }

func (c *cleanups) Cleanup(f func()) { c.all = append(c.all, f) }
func (c *cleanups) run() {
	for _, f := range c.all {
		f()
	}
}
