package cluster

import (
	"sync"

	"queen-rbee/fsm"
)

// Watch fires after changes of the rows it was made for. Make the watch, then read the
// View, then wait: no change falls between.
type Watch struct {
	c    chan struct{}
	rows []fsm.Row
	all  *watches

	closed bool // guarded by all's lock
}

// C receives, coalesced, after a View with a change was published, and after the state was
// replaced by a restore. It tells that a row may have changed, not what: read the View anew.
func (w *Watch) C() <-chan struct{} { return w.c }

// Close ends the watch. C is not closed by it.
func (w *Watch) Close() { w.all.drop(w) }

// watches finds the watches of a row; its cost is by what changed, not by what is watched.
type watches struct {
	mu    sync.Mutex
	byRow map[fsm.Row]map[*Watch]struct{}
	open  int
}

func newWatches() *watches { return &watches{byRow: map[fsm.Row]map[*Watch]struct{}{}} }

func (a *watches) add(rows []fsm.Row) *Watch {
	w := &Watch{c: make(chan struct{}, 1), rows: rows, all: a}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open++
	for _, r := range rows {
		if a.byRow[r] == nil {
			a.byRow[r] = map[*Watch]struct{}{}
		}
		a.byRow[r][w] = struct{}{}
	}
	return w
}

func (a *watches) drop(w *Watch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	a.open--
	for _, r := range w.rows {
		delete(a.byRow[r], w)
		if len(a.byRow[r]) == 0 {
			delete(a.byRow, r)
		}
	}
}

// count is how many watches are open.
func (a *watches) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// wake rings the watches of changed rows. It never blocks.
func (a *watches) wake(changed []fsm.Row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.byRow) == 0 {
		return
	}
	for _, r := range changed {
		a.ring(r)
		a.ring(fsm.Row{Table: r.Table})
	}
}

func (a *watches) ring(r fsm.Row) {
	for w := range a.byRow[r] {
		select {
		case w.c <- struct{}{}:
		default:
		}
	}
}

// resync rings every watch: after a restore any row may be another.
func (a *watches) resync() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.byRow {
		a.ring(r)
	}
}
