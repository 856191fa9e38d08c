package cluster

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// replica is the state behind raft's FSM interface. raft calls Apply, Snapshot and Restore
// on one goroutine, which alone touches state and publishes Views; Persist runs beside it.
type replica struct {
	dir     string // of the log, to name in errors
	clock   *clock
	watches *watches
	fail    func(error) // stops the queen; called at most once from here

	state  *fsm.State
	broken error // set once: nothing more is applied

	newest atomic.Pointer[published]
	hashes hashes
	own    atomic.Pointer[entry] // proposed here and not applied yet; nil for none
}

// entry is a batch in both its forms.
type entry struct {
	data  []byte
	batch *fsm.Batch
}

// expect takes what the proposer has made of the bytes that it proposes, so that they need not
// be decoded again when they come back as an entry of the log.
func (r *replica) expect(data []byte, b *fsm.Batch) { r.own.Store(&entry{data, b}) }

// decode reads an entry of the log. The very bytes that were proposed here are known already:
// it is the memory that is compared, for equal bytes may be another entry.
func (r *replica) decode(data []byte) (*fsm.Batch, error) {
	own := r.own.Swap(nil)
	if own != nil && len(data) > 0 && len(data) == len(own.data) && &data[0] == &own.data[0] {
		return own.batch, nil
	}
	return fsm.DecodeBatch(data)
}

// published is a View with the signal that a newer one is there.
type published struct {
	view  *fsm.View
	newer chan struct{}
}

func newReplica(dir string, c *clock, fail func(error)) *replica {
	r := &replica{dir: dir, clock: c, watches: newWatches(), fail: fail, state: fsm.New()}
	r.newest.Store(&published{view: r.state.View(), newer: make(chan struct{})})
	return r
}

func (r *replica) view() *fsm.View { return r.newest.Load().view }

// Apply implements raft.FSM. Its result is an fsm.Outcome, or an error after the entry that
// stopped the queen.
func (r *replica) Apply(l *raft.Log) any {
	if r.broken != nil {
		return r.broken
	}
	batch, err := r.decode(l.Data)
	if err != nil {
		// Skipping it would make this replica another state than its peers'.
		r.broken = startError(err, "log entry %d in %s cannot be read: %v: if this build is older than the leader's, start one as new; else the log is damaged: remove this queen from the cluster, empty the directory and join again", l.Index, r.dir, err)
		r.fail(r.broken)
		return r.broken
	}
	out := r.state.Apply(batch)
	if out.Refused == nil {
		r.publish()
		r.watches.wake(out.Changed)
	}
	return out
}

// publish hands out the state. Whoever is told of a batch finds it in the View already.
func (r *replica) publish() {
	v := r.state.View()
	m := v.Meta()
	r.clock.applied(m.Epoch, m.Now)
	r.hashes.put(m.Index, v.Hash())
	old := r.newest.Swap(&published{view: v, newer: make(chan struct{})})
	close(old.newer)
}

// Snapshot implements raft.FSM: the copy is a View, which nobody changes.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	if r.broken != nil {
		return nil, r.broken
	}
	return snapshot{r.view()}, nil
}

// Restore implements raft.FSM. raft hands in a file whose checksum was right, and after an
// error it would send the same snapshot again and again: one that cannot be decoded stops
// the queen, one that cannot be read does not.
func (r *replica) Restore(in io.ReadCloser) error {
	defer func() { _ = in.Close() }()
	if r.broken != nil {
		return r.broken
	}
	source := &remembering{Reader: in}
	state, err := fsm.Restore(source)
	switch {
	case err != nil && source.err != nil:
		return err
	case err != nil:
		r.broken = startError(err, "a snapshot in %s cannot be read: %v: if this build is older than the one that took it, start one as new; else remove this queen from the cluster, empty the directory and join again", r.dir, err)
		r.fail(r.broken)
		return r.broken
	}
	r.state = state
	r.hashes.clear()
	r.publish()
	r.watches.resync()
	return nil
}

// remembering is a reader with the error that broke it off.
type remembering struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (r *remembering) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

type snapshot struct{ view *fsm.View }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := fsm.Snapshot(s.view, sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}

// keptHashes is how many batch indexes a hash is remembered for.
const keptHashes = 1024

// hashes remembers the state's hash at the newest batch indexes.
type hashes struct {
	mu   sync.Mutex
	ring [keptHashes]struct {
		index uint64
		sum   fsm.Sum
	}
}

func (h *hashes) put(index uint64, sum fsm.Sum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &h.ring[index%keptHashes]
	e.index, e.sum = index, sum
}

func (h *hashes) get(index uint64) (fsm.Sum, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.ring[index%keptHashes]
	return e.sum, index != 0 && e.index == index
}

func (h *hashes) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.ring[:])
}
