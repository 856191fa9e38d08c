package sim

import (
	"container/heap"
	"time"
)

// process is one start of a queen or of a hive's agent. What is to happen in it happens
// while it runs: dead it never does, stopped (SIGSTOP) it does when it is continued.
type process struct {
	name   string
	dead   bool
	paused bool
	inbox  []func() // what came due while it was stopped
}

func (p *process) runs() bool { return p != nil && !p.dead && !p.paused }

// event is something that happens at a moment of virtual time.
type event struct {
	at    time.Duration
	order uint64 // events of one moment happen in the order they were made
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

// take removes the event that comes next.
func (e *events) take() event { return heap.Pop(e).(event) }

// after lets something happen d from now, whatever processes do.
func (w *World) after(d time.Duration, do func()) {
	w.made++
	heap.Push(&w.events, event{at: w.now + d, order: w.made, do: do})
}

// on lets something happen in a process d from now.
func (w *World) on(p *process, d time.Duration, do func()) {
	w.after(d, func() {
		switch {
		case p == nil || p.dead:
		case p.paused:
			p.inbox = append(p.inbox, do)
		default:
			do()
		}
	})
}

// pause stops a process; it is continued d later, if it lives.
func (w *World) pause(p *process, d time.Duration) {
	if !p.runs() {
		return
	}
	w.logf("%s is stopped for %v", p.name, d)
	p.paused = true
	w.after(d, func() { w.proceed(p) })
}

func (w *World) proceed(p *process) {
	if p.dead || !p.paused {
		return
	}
	w.logf("%s goes on", p.name)
	p.paused = false
	late := p.inbox
	p.inbox = nil
	for _, do := range late {
		w.on(p, 0, do)
	}
}

// link is one direction between two machines.
type link struct{ from, to string }

// reaches tells whether packets go through in both directions.
func (w *World) reaches(a, b string) bool { return a == b || !w.cut[link{a, b}] && !w.cut[link{b, a}] }

// send carries a message to a process: at once or late, never, or twice.
func (w *World) send(from, to string, p *process, do func()) { w.carry(from, to, p, true, do) }

// once is send for what a connection carries: what was sent once does not arrive twice.
func (w *World) once(from, to string, p *process, do func()) { w.carry(from, to, p, false, do) }

func (w *World) carry(from, to string, p *process, again bool, do func()) {
	if p == nil || w.cut[link{from, to}] {
		return
	}
	v := w.next()
	delay := 200*time.Microsecond + time.Duration(v/1000%2000)*time.Microsecond
	if !w.faults.Net || w.calm {
		w.on(p, delay, do)
		return
	}
	switch luck := v % 1000; {
	case luck >= 985:
		w.logf("a message %s -> %s is lost", from, to)
		return
	case luck >= 970 && again: // twice, the second one late
		w.on(p, delay+time.Duration(v/1000%4000)*5*time.Millisecond, do)
	case luck >= 955:
		delay += time.Duration(v/1000%1600) * latePacket / 1600
	case luck >= 900:
		delay += time.Duration(v/1000%300) * time.Millisecond
	}
	w.on(p, delay, do)
}
