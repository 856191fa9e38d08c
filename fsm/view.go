package fsm

import "iter"

// Table names a table for watches and for the change feed.
type Table uint8

// Tables a Row can be of.
const (
	TableHive Table = iota + 1
	TableWorker
	TableJob
	TableBlock
	TableQueen
	TableKey
	TableIdempotency
	TableMeta
	TableModel
	TableCopy
)

// Row names one row. The id of a block or copy is hive/model, of an idempotency row tenant/key, of a
// key its hash in hex, of meta empty. Meta is named only when the cluster's identity or level
// changes: its index and time change with every batch.
type Row struct {
	Table Table
	ID    string
}

// View is an immutable picture of the state after one batch. Any number of goroutines may
// read it; records it hands out must not be changed.
type View struct{ tables }

// Counts are kept up by Apply, never counted by scanning.
type Counts struct {
	Queued, Running              int
	QueuedBytes                  int64  // of bodies of all jobs not ended
	Ended                        int    // ended jobs still retained
	Completed, Failed, Cancelled uint64 // since genesis
}

// Meta is the state's own row.
type Meta struct {
	ClusterID string
	Epoch     Epoch
	Level     Level
	Index     uint64 // of the last accepted batch
	Now       Time   // of the last accepted batch
	Wall      Millis
	NextOrder uint64
	Guarded   uint64 // commands a guard refused although the base matched: a bug, shown in a metric
}

// Meta returns the state's own row.
func (v *View) Meta() Meta { return v.meta }

// Hash is the sum of all rows' hashes: equal states have equal hashes.
func (v *View) Hash() Sum { return v.hash }

// Counts returns the running totals.
func (v *View) Counts() Counts { return v.counts }

// rows looks up what an index names.
func rows[R any](t records[R], ids iter.Seq[string]) iter.Seq[R] {
	return func(yield func(R) bool) {
		for id := range ids {
			if r, ok := t.get(id); ok && !yield(r) {
				return
			}
		}
	}
}
