package main

import (
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for in, want := range map[string]string{
		"2026-01-02T03:04:00Z": "5s", "2026-01-02T02:04:00.5Z": "60m", "2026-01-01T03:04:05Z": "24h", "2025-12-02T03:04:05Z": "31d",
		"2027-01-01T00:00:00Z": "0s", "": "", "soon": "soon",
	} {
		if got := ago(in, now); got != want {
			t.Errorf("ago(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 24 << 30: "24.0 GiB", 1 << 60: "1024.0 PiB"} {
		if got := size(in); got != want {
			t.Errorf("size(%d) = %q, want %q", in, got, want)
		}
	}
	if got := printable("a\x1b[31mb\u009b\tc\n", true); got != "a[31mb\tc\n" {
		t.Errorf("%q", got)
	}
	if got := cell("a\tb\n"); got != "ab" {
		t.Errorf("%q", got)
	}
}
