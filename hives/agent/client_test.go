package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/hives"
)

// TestGrace tells what clients do, and when the run is given up.
func TestGrace(t *testing.T) {
	const s = time.Second
	type play struct {
		*attendance
		leave []func()
	}
	in := func(p *play) { p.leave = append(p.leave, p.enter(true)) }
	out := func(p *play) { p.leave[0](); p.leave = p.leave[1:] }
	wait := func(d time.Duration) func(*play) { return func(*play) { <-time.After(d) } }
	says := func(d time.Duration) func(*play) { return func(p *play) { p.attendance.leave(d) } }
	for name, c := range map[string]struct {
		mode  string
		grace time.Duration
		acts  []func(*play)
		after time.Duration // of the whole play; 0: never within the hour
	}{
		"nobody ever comes":                {hives.Attached, 3 * s, nil, 3 * s},
		"default grace":                    {hives.Attached, 0, nil, 10 * s},
		"detached":                         {hives.Detached, s, []func(*play){in, out, says(0)}, 0},
		"a client stays":                   {hives.Attached, 3 * s, []func(*play){in}, 0},
		"a client leaves":                  {hives.Attached, 3 * s, []func(*play){wait(s), in, wait(5 * s), out}, 9 * s},
		"another comes in time":            {hives.Attached, 3 * s, []func(*play){in, out, wait(2 * s), in}, 0},
		"a reader is no client":            {hives.Attached, 3 * s, []func(*play){func(p *play) { p.enter(false) }}, 3 * s},
		"a reader's leaving is nothing":    {hives.Attached, 3 * s, []func(*play){in, func(p *play) { p.enter(false)() }}, 0},
		"leave, then closed":               {hives.Attached, 3 * s, []func(*play){in, wait(s), says(s / 2), wait(s), out}, 2*s + s/2},
		"closed, then leave":               {hives.Attached, 3 * s, []func(*play){in, out, wait(s), says(s / 2)}, s + s/2},
		"leave never prolongs":             {hives.Attached, 3 * s, []func(*play){in, out, wait(2 * s), says(5 * s)}, 3 * s},
		"leave spoke of an earlier one":    {hives.Attached, 3 * s, []func(*play){in, says(0), in, out, wait(s), out}, 4 * s},
		"leave of one among two":           {hives.Attached, 3 * s, []func(*play){in, in, says(0), out, wait(s), out}, 4 * s},
		"closed, then leave, with another": {hives.Attached, 3 * s, []func(*play){in, in, out, says(0), wait(s), out}, 4 * s},
		"closed, another, then leave":      {hives.Attached, 3 * s, []func(*play){in, out, in, says(0), wait(s), out}, 4 * s},
		"two closed, then both leave":      {hives.Attached, 3 * s, []func(*play){in, in, in, out, out, says(0), says(0), wait(s), out}, 4 * s},
		"leave long after a lost queen":    {hives.Attached, 3 * s, []func(*play){in, in, out, wait(40 * s), says(s / 2), out}, 40*s + s/2},
		"leave at once":                    {hives.Attached, 3 * s, []func(*play){wait(s), says(0)}, s},
		"detached later":                   {hives.Attached, 3 * s, []func(*play){wait(s), func(p *play) { p.set(hives.Detached, 0) }}, 0},
		"the record comes again as it is":  {hives.Attached, 3 * s, []func(*play){wait(2 * s), func(p *play) { p.set(hives.Attached, 3*s) }}, 3 * s},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				gone := make(chan time.Duration, 2)
				p := &play{attendance: &attendance{giveUp: func(time.Duration) { gone <- time.Since(began) }}}
				defer p.stop()
				p.set(c.mode, c.grace)
				for _, act := range c.acts {
					act(p)
				}
				select {
				case after := <-gone:
					if after != c.after {
						t.Fatalf("given up after %v, not %v", after, c.after)
					}
				case <-time.After(time.Hour):
					if c.after != 0 {
						t.Fatalf("never given up, not after %v", c.after)
					}
				}
			})
		})
	}
}

func TestDeadlineIsTheEarliest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		gone := make(chan time.Duration, 3)
		d := deadline{expire: func() { gone <- time.Since(began) }}
		defer d.stop()
		d.within(10 * time.Second)
		d.within(5 * time.Second)
		<-time.After(time.Second)
		d.within(8 * time.Second)
		if after := <-gone; after != 5*time.Second {
			t.Fatalf("after %v", after)
		}
		<-time.After(time.Hour)
		if len(gone) != 0 {
			t.Fatal("fired twice")
		}
	})
}
