package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/batch"
)

// The bar fits the terminal, however narrow, and says what a person waits for.
func TestTheBarFits(t *testing.T) {
	tally := batch.Tally{Lines: 1000, Done: 250, Failed: 3}
	for width := range 120 {
		if bar := barOf(tally, 50, 100*time.Second, width+1); len(bar) > width+1 {
			t.Errorf("%d columns: %q", width+1, bar)
		}
	}
	want := "[##########..............................] 250/1000, 3 failed, 2.0/s, 6m left"
	if bar := barOf(tally, 50, 100*time.Second, 100); bar != want {
		t.Errorf("%q, want %q", bar, want)
	}
}

// On a terminal the bar is drawn over, and what is said stands above it.
func TestWhatIsSaidStandsAboveTheBar(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.width = func() int { return 60 }
	p.show(batch.Tally{Lines: 4})
	p.say("asking another queen")
	if _, err := (aboveBar{p, &out}).Write([]byte("a result\n")); err != nil {
		t.Fatal(err)
	}
	p.end()
	want := wipe + "[........................................] 0/4" + wipe + "asking another queen\n" +
		wipe + "[........................................] 0/4" + wipe + "a result\n" +
		wipe + "[........................................] 0/4" + wipe
	if out.String() != want {
		t.Errorf("%q\nwant %q", out.String(), want)
	}
}

// Elsewhere there is a line for every tenth, so that a log stays short.
func TestWithoutATerminalALineForEveryTenth(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	for n := 30; n <= 1000; n++ {
		p.show(batch.Tally{Lines: 1000, Done: n})
	}
	p.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10 || lines[0] != "30 of 1000 lines were done before" || lines[9] != "900 of 1000 lines, 0 failed" {
		t.Errorf("%q", lines)
	}
}
