package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startOrphan starts a test engine as an agent would that is killed afterwards.
func startOrphan(t *testing.T, mark string, args ...string) (*process, Orphan) {
	t.Helper()
	d := definition()
	env, err := d.environ(Vars{}, nil, mark, "w7")
	if err != nil {
		t.Fatal(err)
	}
	out := startLog(t, 1<<20)
	p, err := startProcess(append([]string{os.Args[0], "-idle"}, args...), env, "", out.output(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.done })
	eventually(t, "the engine speaks", func() bool { return strings.Contains(lines(out.tail()...), "idle") })
	return p, Orphan{PID: p.pid, StartTicks: p.ticks, PGID: p.pid}
}

func TestOrphanEndsOnSIGTERM(t *testing.T) {
	mark := t.TempDir()
	p, o := startOrphan(t, mark)
	found, err := FindOrphans(mark)
	want := o
	want.WorkerID = "w7"
	if err != nil || len(found) != 1 || found[0] != want {
		t.Fatalf("%+v, %v; want %+v", found, err, want)
	}
	if !o.Alive() {
		t.Fatal("not alive")
	}
	if err := o.End(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if o.Alive() || p.how != "signal: terminated" {
		t.Fatal(o.Alive(), p.how)
	}
	if err := o.End(context.Background(), time.Minute); err != nil {
		t.Fatal("ending the dead:", err)
	}
	if found, err := FindOrphans(mark); err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
}

func TestOrphanThatIgnoresSIGTERMIsKilledWithItsGroup(t *testing.T) {
	mark := t.TempDir()
	p, o := startOrphan(t, mark, "-deaf", "-child", "group")
	eventually(t, "two processes", func() bool { f, _ := FindOrphans(mark); return len(f) == 2 })
	if err := o.End(context.Background(), 30*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if p.how != "signal: killed" || groupLives(o.PGID) {
		t.Fatal(p.how)
	}
}

func TestOrphanSparesOthers(t *testing.T) {
	p, o := startOrphan(t, t.TempDir())
	reused, moved := o, o
	reused.StartTicks++
	moved.PGID++
	if reused.Alive() {
		t.Error("another start time, and alive")
	}
	if err := reused.End(context.Background(), 0); err != nil {
		t.Error(err)
	}
	if err := moved.End(context.Background(), 0); err == nil {
		t.Error("ended a group it is not in")
	}
	own, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := (Orphan{PID: os.Getpid(), StartTicks: own.start, PGID: own.pgid}).End(context.Background(), 0); err == nil {
		t.Error("would end itself")
	}
	if !o.Alive() || dead(p.pid) {
		t.Error("somebody died")
	}
}

func TestEndHonoursItsContext(t *testing.T) {
	_, o := startOrphan(t, t.TempDir(), "-deaf")
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("shutting down")
	cancel(why)
	if err := o.End(ctx, time.Minute); !errors.Is(err, why) {
		t.Fatal(err)
	}
}

func TestParseStat(t *testing.T) {
	const tail = " S 1 77 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10\n"
	for name, in := range map[string]string{"plain": "42 (sleep)" + tail, "nasty": "42 (a) R 9 9 (x y)" + tail} {
		st, err := parseStat([]byte(in))
		if err != nil || st != (stat{state: 'S', pgid: 77, start: 987654}) || !st.alive() {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
	}
	if st, err := parseStat(bytes.Replace([]byte("1 (x)"+tail), []byte(" S "), []byte(" Z "), 1)); err != nil || st.alive() {
		t.Error(st, err)
	}
	for _, in := range []string{"", "1 (x)", "1 (x) S 1 2", "1 (x) S 1 b" + strings.Repeat(" 1", 20), "(x) S 1 2" + strings.Repeat(" y", 20)} {
		if st, err := parseStat([]byte(in)); err == nil {
			t.Errorf("%q: %+v", in, st)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) S 1 77 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10\n"))
	f.Fuzz(func(t *testing.T, in []byte) { _, _ = parseStat(in) })
}
