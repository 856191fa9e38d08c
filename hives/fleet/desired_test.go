package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/fsm"
)

// wakingQueen has a state that the test changes under who watches it.
type wakingQueen struct {
	stillQueen
	state  *fsm.State // the test's alone
	newest atomic.Pointer[fsm.View]
	fired  chan struct{}
}

func (q *wakingQueen) View() *fsm.View                                      { return q.newest.Load() }
func (q *wakingQueen) Watch(...fsm.Row) Watch                               { return q }
func (q *wakingQueen) C() <-chan struct{}                                   { return q.fired }
func (*wakingQueen) Close()                                                 {}
func (q *wakingQueen) WaitIndex(context.Context, uint64) (*fsm.View, error) { return q.View(), nil }

// register changes the row of the hive; its index is what Desired should tell.
func (q *wakingQueen) register(t *testing.T, incarnation uint64) uint64 {
	t.Helper()
	m := q.state.View().Meta()
	out := q.state.Apply(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Level: fsm.CurrentLevel, Commands: []fsm.Command{
		&fsm.RegisterHive{ID: "h", Boot: fmt.Sprint(incarnation), Incarnation: incarnation, Facts: fsm.HiveFacts{URL: "http://h"}}}})
	if err := errors.Join(asError(out.Refused), asError(out.Errs[0])); err != nil {
		t.Fatal(err)
	}
	q.newest.Store(q.state.View())
	select {
	case q.fired <- struct{}{}:
	default:
	}
	return q.View().Meta().Index
}

// asError is no error that is one all the same.
func asError(e *fsm.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func newWakingQueen(t *testing.T) (*wakingQueen, uint64) {
	t.Helper()
	q := &wakingQueen{state: fsm.New(), fired: make(chan struct{}, 1)}
	if out := q.state.Apply(&fsm.Batch{Level: fsm.CurrentLevel, Commands: []fsm.Command{
		&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel}}}); out.Refused != nil {
		t.Fatal(out.Refused)
	}
	return q, q.register(t, 1)
}

// One answer tells a change and what comes shortly after it; a question that is behind is
// answered at once.
func TestChangesWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, first := newWakingQueen(t)
		f := &Fleet{queen: q}
		began := time.Now()
		if d, err := f.Desired(t.Context(), "h", 0, time.Hour, false); err != nil || d.Index != first || time.Since(began) != 0 {
			t.Fatalf("behind: %+v, %v, after %v", d, err, time.Since(began))
		}
		<-q.fired
		got := make(chan uint64)
		go func() {
			d, err := f.Desired(t.Context(), "h", first, time.Hour, false)
			if err != nil {
				t.Error(err)
			}
			got <- d.Index
		}()
		synctest.Wait()
		q.register(t, 2)
		synctest.Wait()
		second := q.register(t, 3)
		if index := <-got; index != second {
			t.Errorf("told index %d, want %d", index, second)
		}
		if took := time.Since(began); took != company {
			t.Errorf("told after %v", took)
		}
	})
}

func TestWhoLeavesWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, first := newWakingQueen(t)
		<-q.fired
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() {
			_, err := (&Fleet{queen: q}).Desired(ctx, "h", first, time.Hour, false)
			over <- err
		}()
		synctest.Wait()
		began := time.Now()
		q.register(t, 2)
		synctest.Wait()
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
