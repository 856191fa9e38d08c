package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// stat is what we use of /proc/PID/stat.
type stat struct {
	state byte // R, S, D, Z ...
	pgid  int
	start uint64 // clock ticks after boot
}

// alive reports whether the process has not exited: a zombie has.
func (s stat) alive() bool { return s.state != 'Z' && s.state != 'X' && s.state != 'x' }

// readStat reads /proc/PID/stat; an error means there is no such process, or no /proc.
func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

// parseStat reads the line. The second field, the name, may hold spaces and parentheses, so
// counting begins behind the last ")".
func parseStat(b []byte) (stat, error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, errors.New("/proc stat: unknown format")
	}
	pgid, err := strconv.Atoi(string(f[2]))
	if err != nil {
		return stat{}, err
	}
	start, err := strconv.ParseUint(string(f[19]), 10, 64)
	return stat{state: f[0][0], pgid: pgid, start: start}, err
}

// pids lists the processes in /proc.
func pids() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out, err
}

// groupLives reports whether any process of the group has not exited. Sending signal 0 would
// count zombies that nobody reaps.
func groupLives(pgid int) bool {
	all, err := pids()
	if err != nil {
		return false
	}
	for _, pid := range all {
		if st, err := readStat(pid); err == nil && st.pgid == pgid && st.alive() {
			return true
		}
	}
	return false
}

func readAtMost(r io.Reader, n int64) ([]byte, error) { return io.ReadAll(io.LimitReader(r, n)) }

// MachineBoot names this run of the machine: a start time means nothing in another. Empty where
// there is no /proc.
func MachineBoot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
