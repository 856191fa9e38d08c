package fsm

import "unicode/utf8"

// maxDetail bounds the detail of a history entry in bytes: enough for a person to see why.
const maxDetail = 256

// note adds a line to a job's history, on a copy. The first line stays for ever; beyond
// HistoryMax the oldest after it goes.
func (t *turn) note(j *Job, kind, detail string) {
	keep := j.History
	history := make([]Event, 0, min(len(keep)+1, HistoryMax))
	if len(keep) == HistoryMax {
		history = append(history, keep[0])
		keep = keep[2:]
	}
	history = append(history, keep...)
	history = append(history, Event{At: t.now, Wall: t.wall, Kind: kind, Detail: clip(detail, maxDetail)})
	j.History = history
}

// clip cuts a text to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
