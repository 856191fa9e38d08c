package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"queen-rbee/cmd/rbee-keeper/batch"
)

// progress shows how far a file is: a bar that is drawn over and over where a person looks
// on, else a line for every tenth. Its methods may be called by many goroutines.
type progress struct {
	out   io.Writer
	width func() int // of the terminal; nil without one
	begun time.Time

	mu    sync.Mutex
	first int // lines that were done before
	drawn time.Time
	tenth int
	now   batch.Tally
}

const drawEvery = 100 * time.Millisecond

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, begun: time.Now(), first: -1}
	if f, ok := out.(*os.File); ok && isTerminal(out) {
		p.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w < 20 {
				w = 80
			}
			return w
		}
	}
	return p
}

// show takes the newest count.
func (p *progress) show(t batch.Tally) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = t
	if p.first < 0 {
		p.first = t.Done
		if t.Done > 0 {
			p.line(fmt.Sprintf("%d of %d lines were done before", t.Done, t.Lines))
		}
		p.tenth = p.tenths()
	}
	switch {
	case p.width != nil:
		p.draw()
	case p.tenths() > p.tenth && t.Done < t.Lines:
		p.tenth = p.tenths()
		p.line(fmt.Sprintf("%d of %d lines, %d failed", t.Done, t.Lines, t.Failed))
	}
}

func (p *progress) tenths() int { return 10 * p.now.Done / max(1, p.now.Lines) }

// say writes a line for people, above the bar if there is one.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(text)
	p.draw()
}

const wipe = "\r\x1b[K"

func (p *progress) line(text string) {
	if p.width != nil {
		text = wipe + text
		p.drawn = time.Time{}
	}
	fmt.Fprintln(p.out, text)
}

// results is where results go: above the bar, if both go to a terminal.
func (p *progress) results(out io.Writer) io.Writer {
	if p.width == nil || !isTerminal(out) {
		return out
	}
	return aboveBar{p, out}
}

type aboveBar struct {
	p   *progress
	out io.Writer
}

// Write takes whole lines.
func (a aboveBar) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	fmt.Fprint(a.p.out, wipe)
	a.p.drawn = time.Time{}
	n, err := a.out.Write(b)
	a.p.draw()
	return n, err
}

// draw puts the bar where the cursor is, not too often.
func (p *progress) draw() {
	if p.width == nil || time.Since(p.drawn) < drawEvery || p.now.Lines == 0 {
		return
	}
	p.drawn = time.Now()
	fmt.Fprint(p.out, wipe+barOf(p.now, p.first, time.Since(p.begun), p.width()-1))
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.width != nil && !p.drawn.IsZero() {
		fmt.Fprint(p.out, wipe)
	}
}

// barOf is the bar in so many columns: what is done, failed, how fast and how long it will take.
func barOf(t batch.Tally, before int, since time.Duration, width int) string {
	text := fmt.Sprintf(" %d/%d", t.Done, t.Lines)
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	if n := t.Done - max(0, before); n > 0 && since > 0 {
		rate := float64(n) / since.Seconds()
		text += fmt.Sprintf(", %.1f/s, %s left", rate, short(time.Duration(float64(t.Lines-t.Done)/rate*float64(time.Second))))
	}
	room := min(40, width-len(text)-2)
	if room < 5 {
		return strings.TrimSpace(text)[:min(width, len(text)-1)]
	}
	full := room * t.Done / max(1, t.Lines)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + text
}
