package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

func nullLog() hclog.Logger { return hclog.NewNullLogger() }

// fakeRaft applies to a state of its own, at its own pace.
type fakeRaft struct {
	state *fsm.State
	gate  chan struct{}                          // each commit takes one, when not nil
	fails func(n int, data []byte) (fate, error) // may fail the n-th commit
	spoil func(n int, b *fsm.Batch)              // may change what the n-th commit applies
	lost  error                                  // what verify says

	mu      sync.Mutex
	view    *fsm.View
	flight  int
	commits []*fsm.Batch
}

func newFakeRaft(t *testing.T) *fakeRaft {
	s := fsm.New()
	out := s.Apply(&fsm.Batch{Commands: []fsm.Command{&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel}}})
	if out.Refused != nil {
		t.Fatal(out.Refused)
	}
	return &fakeRaft{state: s, view: s.View()}
}

func (f *fakeRaft) View() *fsm.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

func (f *fakeRaft) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.commits)
}

func (f *fakeRaft) commit(data []byte) (fsm.Outcome, fate, error) {
	f.mu.Lock()
	f.flight++
	if f.flight > 1 {
		panic("two batches in flight")
	}
	f.mu.Unlock()
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flight--
	b, err := fsm.DecodeBatch(data)
	if err != nil {
		panic(err)
	}
	f.commits = append(f.commits, b)
	if f.fails != nil {
		if fate, err := f.fails(len(f.commits), data); err != nil {
			return fsm.Outcome{}, fate, err
		}
	}
	if f.spoil != nil {
		f.spoil(len(f.commits), b)
	}
	out := f.state.Apply(b)
	f.view = f.state.View()
	return out, answered, nil
}

func (f *fakeRaft) verify() error { return f.lost }

// planKeys turns each PutKey into its command; a Tick needs none.
func planKeys(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	m := w.View.Meta()
	p := schedule.Planned{Batch: fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: now, Wall: wall, Level: m.Level}}
	for _, r := range reqs {
		from := len(p.Batch.Commands)
		if r.PutKey != nil {
			p.Batch.Commands = append(p.Batch.Commands, &fsm.PutKey{Key: r.PutKey.Key})
		}
		if r.HiveWish != nil {
			p.Batch.Commands = append(p.Batch.Commands, &fsm.SetHiveDesired{ID: r.HiveWish.ID, Desired: r.HiveWish.Desired})
		}
		p.Spans = append(p.Spans, schedule.Span{From: from, To: len(p.Batch.Commands)})
		p.Answers = append(p.Answers, schedule.Answer{Index: m.Index + 1})
	}
	return p
}

func newTestProposer(f *fakeRaft) *proposer {
	return &proposer{bounds: DefaultBounds(), tick: time.Hour, log: nullLog(), metrics: newMetrics(), raft: f, view: f.View,
		clock: func() fsm.Time { return time.Second }, wall: time.Now, plan: planKeys, queue: newQueue(DefaultBounds()),
		world: func(v *fsm.View, _ fsm.Time) schedule.World { return schedule.World{View: v} }}
}

func putKey(i int) schedule.Request {
	return schedule.Request{PutKey: &schedule.PutKey{Key: fsm.Key{Hash: [32]byte{byte(i), byte(i >> 8), 1}, Tenant: "t", Role: fsm.KeyUser, Name: fmt.Sprint(i)}}}
}

// running starts the loop inside a synctest bubble and returns how to ask and how to end.
func running(t *testing.T, p *proposer) (func(schedule.Request) <-chan result, func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	return func(r schedule.Request) <-chan result {
			got := make(chan result, 1)
			p.submit(&ask{request: r, reply: func(r result) { got <- r }})
			return got
		}, func() error {
			cancel()
			return <-done
		}
}

func TestOneBatchInFlightWhileTheNextGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.gate = make(chan struct{})
		ask, end := running(t, newTestProposer(f))
		var got []<-chan result
		got = append(got, ask(putKey(0)))
		synctest.Wait() // it is in flight
		for i := range 50 {
			got = append(got, ask(putKey(i+1)))
		}
		synctest.Wait()
		close(f.gate)
		for i, c := range got {
			if r := <-c; r.fate != answered || r.err != nil {
				t.Errorf("ask %d: %+v", i, r)
			}
		}
		if n := f.count(); n != 2 {
			t.Errorf("%d commits for 1 and 50 asks, want 2", n)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAStaleBatchIsPlannedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, spoil := range map[string]func(*fsm.Batch){
			"base":  func(b *fsm.Batch) { b.Base += 7 },
			"epoch": func(b *fsm.Batch) { b.Epoch = fsm.Epoch{9} },
		} {
			f := newFakeRaft(t)
			f.spoil = func(n int, b *fsm.Batch) {
				if n == 1 {
					spoil(b)
				}
			}
			ask, end := running(t, newTestProposer(f))
			if r := <-ask(putKey(1)); r.fate != answered || r.err != nil {
				t.Errorf("%s: %+v", name, r)
			}
			if n := f.count(); n != 2 {
				t.Errorf("%s: %d commits, want the refused one and the next", name, n)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAGuardTurnsTheAnswerOfItsSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.gate = make(chan struct{}, 9)
		ask, end := running(t, newTestProposer(f))
		first := ask(putKey(0))
		synctest.Wait()
		good, bad := ask(putKey(1)), ask(schedule.Request{HiveWish: &schedule.HiveWish{ID: "nobody", Desired: fsm.HiveDrain}})
		close(f.gate)
		<-first
		if r := <-good; r.err != nil {
			t.Errorf("its neighbour: %+v", r)
		}
		if r := <-bad; r.fate != answered || r.err == nil {
			t.Errorf("a command that a guard refused: %+v", r)
		}
		_ = end()
	})
}

func TestFatesReachTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.fails = func(n int, _ []byte) (fate, error) {
			switch n {
			case 1:
				return refused, raft.ErrNotLeader
			case 2:
				return unknown, raft.ErrLeadershipLost
			}
			return 0, nil
		}
		p := newTestProposer(f)
		ask, end := running(t, p)
		if r := <-ask(putKey(1)); r.fate != refused {
			t.Errorf("not taken: %+v", r)
		}
		if r := <-ask(putKey(2)); r.fate != unknown {
			t.Errorf("leadership lost: %+v", r)
		}
		// Nothing may be planned on a state that was not seen: the loop is over.
		if err := end(); !errors.Is(err, errLeadershipOver) {
			t.Errorf("the loop ended with %v", err)
		}
		if r := <-ask(putKey(3)); r.fate != refused {
			t.Errorf("after the end: %+v", r)
		}
	})
}

func TestADeposedLeaderDoesNotAnswerFromItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.lost = raft.ErrLeadershipLost
		ask, end := running(t, newTestProposer(f))
		if r := <-ask(schedule.Request{Tick: &schedule.Tick{}}); r.fate != refused {
			t.Errorf("an answer without a commit: %+v", r)
		}
		if err := end(); err == nil {
			t.Error("the loop goes on")
		}
	})
}

func TestFinishesWaitForCompanyAndSubmitsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		ask, end := running(t, newTestProposer(f))
		began := time.Now()
		<-ask(schedule.Request{Tick: &schedule.Tick{}})
		if d := time.Since(began); d != 2*time.Millisecond {
			t.Errorf("a lone rider waited %v", d)
		}
		began = time.Now()
		rider := ask(schedule.Request{Tick: &schedule.Tick{}})
		synctest.Wait()
		<-ask(putKey(1))
		<-rider
		if d := time.Since(began); d != 0 {
			t.Errorf("a submit waited %v", d)
		}
		_ = end()
	})
}

func TestACallerThatLeftIsNotPlanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.gate = make(chan struct{})
		p := newTestProposer(f)
		put, end := running(t, p)
		first := put(putKey(1))
		synctest.Wait()
		second := &ask{request: putKey(2), reply: func(result) { t.Error("its caller has gone") }}
		p.submit(second)
		if !second.leave() {
			t.Error("it could not leave although it waits")
		}
		third := put(putKey(3))
		close(f.gate)
		<-first
		<-third
		if _, ok := f.View().Key(putKey(2).PutKey.Key.Hash); ok {
			t.Error("it was committed")
		}
		_ = end()
	})
}

func TestAnImpossibleRequestFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeRaft(t)
		f.gate = make(chan struct{}, 99)
		p := newTestProposer(f)
		plan := p.plan
		p.plan = func(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
			out := plan(w, reqs, now, wall)
			for _, r := range reqs {
				if r.PutKey != nil && r.PutKey.Key.Name == "poison" {
					out.Answers = nil
				}
			}
			return out
		}
		put, end := running(t, p)
		first := put(putKey(0))
		synctest.Wait()
		poison := putKey(1)
		poison.PutKey.Key.Name = "poison"
		var good []<-chan result
		for i := range 5 {
			good = append(good, put(putKey(10+i)))
		}
		bad := put(poison)
		close(f.gate)
		<-first
		for _, g := range good {
			if r := <-g; r.fate != answered || r.err != nil {
				t.Errorf("its neighbour: %+v", r)
			}
		}
		if r := <-bad; r.fate != answered || r.err == nil {
			t.Errorf("the impossible one: %+v", r)
		}
		_ = end()
	})
}
