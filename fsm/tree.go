package fsm

import (
	"iter"

	"github.com/tidwall/btree"
)

// tree is an ordered set of keys or records: a copy-on-write B-tree without locks. Its copy
// is O(1) and writes to the receiver, so only the owner of the state copies; reads write
// nothing, so anybody reads a copy.
type tree[K any] struct{ t *btree.BTreeG[K] }

// degree makes nodes of at most 31 keys: a change after each View copies one path of nodes,
// and small nodes make that cheap.
const degree = 16

func newTree[K any](less func(a, b K) bool) tree[K] {
	return tree[K]{btree.NewBTreeGOptions(less, btree.Options{NoLocks: true, Degree: degree})}
}

func (t tree[K]) copy() tree[K]          { return tree[K]{t.t.Copy()} }
func (t tree[K]) put(k K)                { t.t.Set(k) }
func (t tree[K]) drop(k K)               { t.t.Delete(k) }
func (t tree[K]) get(probe K) (K, bool)  { return t.t.Get(probe) }
func (t tree[K]) len() int               { return t.t.Len() }
func (t tree[K]) first() (K, bool)       { return t.t.Min() }
func (t tree[K]) all() iter.Seq[K]       { return t.t.Scan }
func (t tree[K]) from(at K) iter.Seq[K]  { return func(yield func(K) bool) { t.t.Ascend(at, yield) } }
func (t tree[K]) below(at K) iter.Seq[K] { return func(yield func(K) bool) { t.t.Descend(at, yield) } }

// same tells keys with one place in the order.
func (t tree[K]) same(a, b K) bool { return !t.t.Less(a, b) && !t.t.Less(b, a) }

// next is the first key at or after a probe.
func (t tree[K]) next(at K) (k K, ok bool) {
	t.t.Ascend(at, func(found K) bool { k, ok = found, true; return false })
	return k, ok
}

// before is the last key below one.
func (t tree[K]) before(one K) (k K, ok bool) {
	t.t.Descend(one, func(found K) bool {
		if t.t.Less(found, one) {
			k, ok = found, true
		}
		return !ok
	})
	return k, ok
}

// behind is the first key above one.
func (t tree[K]) behind(one K) (k K, ok bool) {
	t.t.Ascend(one, func(found K) bool {
		if t.t.Less(one, found) {
			k, ok = found, true
		}
		return !ok
	})
	return k, ok
}

// records is a table by id.
type records[V any] struct{ m *btree.Map[string, V] }

func newRecords[V any]() records[V] { return records[V]{btree.NewMap[string, V](degree)} }

func (r records[V]) copy() records[V]        { return records[V]{r.m.Copy()} }
func (r records[V]) put(id string, v V)      { r.m.Set(id, v) }
func (r records[V]) drop(id string)          { r.m.Delete(id) }
func (r records[V]) get(id string) (V, bool) { return r.m.Get(id) }
func (r records[V]) len() int                { return r.m.Len() }
func (r records[V]) all() iter.Seq[V] {
	return func(yield func(V) bool) { r.m.Scan(func(_ string, v V) bool { return yield(v) }) }
}

// below yields records with ids below one, the highest first; from the end when it is empty.
func (r records[V]) below(id string) iter.Seq[V] {
	return func(yield func(V) bool) {
		visit := func(key string, v V) bool { return key == id || yield(v) }
		if id == "" {
			r.m.Reverse(visit)
			return
		}
		r.m.Descend(id, visit)
	}
}

// link ties an id to what it belongs to: a job to its worker, a worker to its hive …
type link struct{ to, id string }

func lessLink(a, b link) bool {
	if a.to != b.to {
		return a.to < b.to
	}
	return a.id < b.id
}

// linked yields the ids tied to one thing, in order.
func linked(t tree[link], to string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range t.from(link{to: to}) {
			if k.to != to || !yield(k.id) {
				return
			}
		}
	}
}

// ends yields the distinct things that something is tied to, in order, with one look-up each.
func ends(t tree[link]) iter.Seq[string] {
	return func(yield func(string) bool) {
		k, ok := t.next(link{})
		for ok && yield(k.to) {
			k, ok = t.next(link{to: after(k.to)})
		}
	}
}

// after is the smallest string above s.
func after(s string) string { return s + "\x00" }

// moment orders ids by a time.
type moment struct {
	at Time
	id string
}

func lessMoment(a, b moment) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}

// until yields the ids whose time is at or before t, earliest first.
func until(t tree[moment], limit Time) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range t.all() {
			if k.at > limit || !yield(k.id) {
				return
			}
		}
	}
}
