package device

import (
	"testing"
	"testing/fstest"
)

func TestHowBusyTheProcessorsAre(t *testing.T) {
	read := func(line string) func() (ticks, bool) {
		return func() (ticks, bool) {
			return readCPUTime(fstest.MapFS{"proc/stat": {Data: []byte(line + "\ncpu0 1 1 1 1 1 1 1 1 0 0\n")}})
		}
	}
	s := newSystem(sixteen, read("cpu  100 0 100 700 100 0 0 0 50 0"))
	for _, c := range []struct {
		line string
		want string
	}{
		{"", "cpu cpu 16384 free 9216"}, // nothing to compare with
		{"cpu  160 5 110 750 150 0 0 0 90 0", "cpu cpu 16384 free 9216 busy 0.42857142857142855"},
		{"cpu  160 5 110 750 150 0 0 0 90 0", "cpu cpu 16384 free 9216"},
		{"cpu  1 x", "cpu cpu 16384 free 9216"},
	} {
		if c.line != "" {
			s.time = read(c.line)
		}
		got, err := s.read(t.Context())
		if err != nil || figures(got)[0] != c.want {
			t.Errorf("%q: %v, %q, want %q", c.line, err, figures(got), c.want)
		}
	}
}
