package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// report is what the demo found. Times are in milliseconds.
type report struct {
	True           bool     `json:"true"`
	Problems       []string `json:"problems"`
	Queens         int      `json:"queens"`
	Hives          int      `json:"hives"`
	Killed         string   `json:"killed"`
	NewLeader      string   `json:"new_leader"`
	LeaderMS       int64    `json:"new_leader_ms"`
	CommitMS       int64    `json:"first_commit_ms"`
	Streams        int      `json:"streams"`
	StreamsWhole   int      `json:"streams_whole"`
	Reconnects     int      `json:"reconnects"`
	LongestPauseMS int64    `json:"longest_pause_ms"`
	Jobs           int      `json:"jobs"`
	JobsEnded      int      `json:"jobs_ended"`
	Duplicates     int      `json:"duplicates"`
	Lost           int      `json:"lost"`
	Replicas       int      `json:"replicas"`
	HashIndex      uint64   `json:"hash_index"`
	Hash           string   `json:"hash"`
	RejoinMS       int64    `json:"rejoin_ms"`
	TotalMS        int64    `json:"total_ms"`
}

func (s *story) print() error {
	if s.k.output != "table" {
		return s.k.print(s.report)
	}
	r := s.report
	ms := func(n int64) string { return strconv.FormatInt(n, 10) + " ms" }
	of := func(n, all int) string { return fmt.Sprintf("%d of %d", n, all) }
	fmt.Fprintln(s.k.out)
	err := printTable(s.k.out, nil, [][]string{
		{"leader killed (SIGKILL)", r.Killed},
		{"new leader", r.NewLeader},
		{"  named after", ms(r.LeaderMS)},
		{"  first new job accepted after", ms(r.CommitMS)},
		{"streams whole", of(r.StreamsWhole, r.Streams)},
		{"  resumed at another queen", strconv.Itoa(r.Reconnects)},
		{"  longest pause between two tokens", ms(r.LongestPauseMS)},
		{"queued jobs ended exactly once", of(r.JobsEnded, r.Jobs)},
		{"duplicates", strconv.Itoa(r.Duplicates)},
		{"lost", strconv.Itoa(r.Lost)},
		{"replicas equal", fmt.Sprintf("%d, at index %d: %.16s", r.Replicas, r.HashIndex, r.Hash)},
		{"killed queen back in", ms(r.RejoinMS)},
		{"all in all", fmt.Sprintf("%.1f s", float64(r.TotalMS)/1000)},
	})
	for _, p := range r.Problems {
		fmt.Fprintf(s.k.out, "%s %s\n", s.screen.paint("31", "WRONG"), printable(p, false))
	}
	if r.True {
		fmt.Fprintln(s.k.out, s.screen.paint("32", "\nNothing was lost, nothing came twice."))
	}
	return err
}

// screen writes the story's steps as they happen: with colours and a live line on a
// terminal, plain lines elsewhere. With json or yaml output the steps go to stderr. Safe for
// concurrent use.
type screen struct {
	k    *keeper
	live bool
	at   time.Time

	mu    sync.Mutex
	under string // the live line as it stands
}

func newScreen(k *keeper) *screen {
	live := isTerminal(k.out) && k.output == "table" && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &screen{k: k, live: live, at: time.Now()}
}

func (s *screen) paint(code, text string) string {
	if !s.live {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) write(text string) {
	if s.k.output == "table" {
		fmt.Fprint(s.k.out, text)
		return
	}
	fmt.Fprint(s.k.err, text)
}

func (s *screen) step(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := fmt.Sprintf("%6.2fs", time.Since(s.at).Seconds())
	s.wipe()
	s.write(s.paint("2", stamp) + "  " + fmt.Sprintf(format, args...) + "\n")
	if s.under != "" {
		s.write(s.paint("36", s.under))
	}
}

func (s *screen) wipe() {
	if s.under != "" {
		s.write("\r\x1b[K")
	}
}

func (s *screen) clear() { s.show("") }

func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	s.under = ""
	if line != "" {
		s.under = strings.Repeat(" ", 9) + line
		s.write(s.paint("36", s.under))
	}
}

// progress keeps a live line under the steps until stop is called.
func (s *screen) progress(line func() string) (stop func()) {
	if !s.live {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			s.show(line())
			select {
			case <-done:
				s.clear()
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); wait.Wait() }
}
