package httpapi

import (
	"errors"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"queen-rbee/hives"
)

// pump copies many streams in a few threads that wait in epoll themselves. Go's own network
// poller wakes a goroutine for each token, and often a thread for the goroutine; that cost as much
// as reading and writing it. It starts its loops with the first pipe. Safe for concurrent use.
type pump struct {
	relayed func(records uint64)
	broke   func(bug any) // told of a panic that one stream has met, and has ended by

	mu     sync.Mutex
	loops  []*loop
	next   int
	closed bool
	group  sync.WaitGroup
}

// loop is one thread's share of the pipes.
type loop struct {
	pump  *pump
	epoll int
	bell  [2]int // a pipe whose writing end wakes the loop to end it

	mu    sync.Mutex
	sides map[int32]*side
	last  int32 // key given last

	// Only the loop's own goroutine touches these.
	raw, plain, out []byte
	events          []syscall.EpollEvent
	hit             []*side
	now             time.Time
	swept           time.Time
}

// side is one connection of a pipe. Its pipe's lock guards it.
type side struct {
	pipe   *pipe
	loop   *loop
	key    int32
	fd     int
	events uint32
	over   bool // no longer of any loop
}

// pumps says that this system has one.
const pumps = true

const (
	pumpRead  = 64 << 10 // bytes read of a hive at a time
	sweepTime = time.Second

	watchHive   = syscall.EPOLLIN
	watchClient = syscall.EPOLLIN | syscall.EPOLLRDHUP
)

// errBug ends a stream that has met a bug.
var errBug = errors.New("a bug of the pump")

func newPump(relayed func(uint64), broke func(any)) *pump {
	return &pump{relayed: relayed, broke: broke}
}

// loopFor starts the loops when the first is wanted; they are half as many as the cores, since
// fewer loops find more to do each time they wake.
func (p *pump) loopFor() (*loop, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if len(p.loops) == 0 {
		for range (runtime.GOMAXPROCS(0) + 1) / 2 {
			l, err := p.newLoop()
			if err != nil {
				return nil, err
			}
			p.loops = append(p.loops, l)
		}
	}
	p.next = (p.next + 1) % len(p.loops)
	return p.loops[p.next], nil
}

func (p *pump) newLoop() (*loop, error) {
	l := &loop{pump: p, sides: map[int32]*side{}, events: make([]syscall.EpollEvent, 256)}
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.Pipe2(l.bell[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, errors.Join(os.NewSyscallError("pipe2", err), syscall.Close(l.epoll))
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: 0}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, l.bell[0], &event); err != nil {
		l.release()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	p.group.Add(1)
	go func() {
		defer p.group.Done()
		l.run()
	}()
	return l, nil
}

func (l *loop) release() {
	for _, fd := range []int{l.epoll, l.bell[0], l.bell[1]} {
		_ = syscall.Close(fd)
	}
}

// cut takes every pipe's client away, and takes no new ones.
func (p *pump) cut() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.each(func(s *side) { s.pipe.lose(net.ErrClosed) })
}

// each visits every side that a loop watches, with its pipe locked.
func (p *pump) each(visit func(*side)) {
	p.mu.Lock()
	loops := slices.Clone(p.loops)
	p.mu.Unlock()
	for _, l := range loops {
		l.mu.Lock()
		sides := slices.Collect(maps.Values(l.sides))
		l.mu.Unlock()
		for _, s := range sides {
			s.pipe.mu.Lock()
			if !s.over {
				visit(s)
			}
			s.pipe.mu.Unlock()
		}
	}
}

// close ends the loops, once or again. There must be no pipe any more.
func (p *pump) close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.loops {
		_, _ = syscall.Write(l.bell[1], []byte{0})
	}
	p.loops = nil
	p.mu.Unlock()
	p.group.Wait()
}

// open takes a client's connection over: nothing of its answer is to be outstanding, and early is
// what was read of it beyond its request. On failure the connection is closed.
func (p *pump) open(c net.Conn, early []byte, onGone func()) (*pipe, error) {
	l, err := p.loopFor()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	fd, err := hives.Detach(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	pp := &pipe{pump: p, onGone: onGone, early: early, wrote: time.Now()}
	pp.mu.Lock()
	defer pp.mu.Unlock()
	pp.client = &side{pipe: pp, loop: l, fd: fd}
	events := uint32(watchClient)
	if len(early) > maxEarly {
		events &^= syscall.EPOLLIN
	}
	if err := l.add(pp.client, events); err != nil {
		return nil, errors.Join(err, syscall.Close(fd))
	}
	return pp, nil
}

// add makes the loop watch a side; its pipe is locked.
func (l *loop) add(s *side, events uint32) error {
	l.mu.Lock()
	for { // keys come round after two billion sides; 0 is the bell's
		if l.last++; l.last < 1 {
			l.last = 1
		}
		if l.sides[l.last] == nil {
			break
		}
	}
	s.key, s.events = l.last, events
	l.sides[s.key] = s
	l.mu.Unlock()
	event := syscall.EpollEvent{Events: events, Fd: s.key}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		l.forget(s)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// watch changes what is waited for; 0 is nothing at all, not even the connection's end.
func (s *side) watch(events uint32) {
	if s.over || s.events == events {
		return
	}
	op := syscall.EPOLL_CTL_MOD
	switch {
	case events == 0:
		op = syscall.EPOLL_CTL_DEL
	case s.events == 0:
		op = syscall.EPOLL_CTL_ADD
	}
	s.events = events
	event := syscall.EpollEvent{Events: events, Fd: s.key}
	_ = syscall.EpollCtl(s.loop.epoll, op, s.fd, &event) // of a descriptor that is open and known
}

// drop ends the watch of a side and leaves its descriptor open.
func (s *side) drop() {
	if s.over {
		return
	}
	s.watch(0)
	s.over = true
	s.loop.forget(s)
}

func (l *loop) forget(s *side) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sides, s.key)
}

// run serves the loop's sides until the bell.
func (l *loop) run() {
	defer l.release()
	l.raw, l.plain = make([]byte, pumpRead), make([]byte, pumpRead)
	for {
		n, err := syscall.EpollWait(l.epoll, l.events, int(sweepTime/time.Millisecond))
		if err != nil && !errors.Is(err, syscall.EINTR) {
			panic(os.NewSyscallError("epoll_wait", err)) // only a bug of ours makes it fail
		}
		l.now = time.Now()
		if !l.find(l.events[:max(n, 0)]) {
			return
		}
		for i, s := range l.hit {
			s.serve(l.events[i].Events)
		}
		clear(l.hit)
		l.hit = l.hit[:0]
		if l.now.Sub(l.swept) >= sweepTime {
			l.sweep()
		}
	}
}

// find looks up whose events these are, in order; false is the bell.
func (l *loop) find(events []syscall.EpollEvent) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hit = l.hit[:0]
	for _, e := range events {
		if e.Fd == 0 {
			return false
		}
		l.hit = append(l.hit, l.sides[e.Fd]) // nil: dropped meanwhile
	}
	return true
}

func (s *side) serve(events uint32) {
	if s == nil {
		return
	}
	p := s.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { // as net/http does for a request: it must not take the others along
		if bug := recover(); bug != nil {
			p.pump.broke(bug)
			p.lose(errBug)
		}
	}()
	switch {
	case s.over:
	case s == p.hive:
		p.pull(s.loop)
	default:
		p.tend(events)
	}
}

// sweep does what is due by time: comments, and giving up who is silent or does not read.
func (l *loop) sweep() {
	l.swept = l.now
	l.mu.Lock()
	for _, s := range l.sides {
		l.hit = append(l.hit, s)
	}
	l.mu.Unlock()
	for _, s := range l.hit {
		if s == nil {
			continue
		}
		s.pipe.mu.Lock()
		if !s.over && s == s.pipe.client {
			s.pipe.due(l.now)
		}
		s.pipe.mu.Unlock()
	}
	clear(l.hit)
	l.hit = l.hit[:0]
}
