package fsm

import "iter"

// Worker finds a worker by id.
func (v *View) Worker(id string) (*Worker, bool) { return v.workers.get(id) }

// Workers yields all workers in order of id.
func (v *View) Workers() iter.Seq[*Worker] { return v.workers.all() }

// WorkersOf yields the workers of a model that are not gone, in order of id.
func (v *View) WorkersOf(model string) iter.Seq[*Worker] {
	return rows(v.workers, linked(v.modelWorkers, model))
}

// WorkersOn yields the workers of a hive that are not gone, in order of id.
func (v *View) WorkersOn(hive string) iter.Seq[*Worker] {
	return rows(v.workers, linked(v.hiveWorkers, hive))
}

// WorkersGoneBefore yields workers gone at or before t, earliest first.
func (v *View) WorkersGoneBefore(t Time) iter.Seq[*Worker] { return rows(v.workers, until(v.gone, t)) }

// Hive finds a hive by id.
func (v *View) Hive(id string) (*Hive, bool) { return v.hives.get(id) }

// Hives yields all hives in order of id.
func (v *View) Hives() iter.Seq[*Hive] { return v.hives.all() }

// HivesWith yields the hives whose facts offer a model, in order of id.
func (v *View) HivesWith(model string) iter.Seq[*Hive] { return rows(v.hives, linked(v.offers, model)) }

// Models yields every model some hive offers, in order of ref.
func (v *View) Models() iter.Seq[string] { return ends(v.offers) }

// Block finds the block of a hive for a model.
func (v *View) Block(model, hive string) (*Block, bool) {
	return v.blocks.get(&Block{Hive: hive, Model: model})
}

// Queen finds a member by id.
func (v *View) Queen(id string) (*Queen, bool) { return v.queens.get(id) }

// Queens yields the members in order of id.
func (v *View) Queens() iter.Seq[*Queen] { return v.queens.all() }

// Key finds an API key by the SHA-256 of its text.
func (v *View) Key(hash [32]byte) (*Key, bool) { return v.keys.get(string(hash[:])) }

// Idempotency finds what a tenant's key made.
func (v *View) Idempotency(tenant, key string) (*Idempotency, bool) {
	return v.idempotency.get(&Idempotency{Tenant: tenant, Key: key})
}

// Keyed counts the idempotency keys.
func (v *View) Keyed() int { return v.idempotency.len() }

// IdempotencyExpired yields keys whose expiry is at or before t, earliest first.
func (v *View) IdempotencyExpired(t Time) iter.Seq[*Idempotency] {
	return func(yield func(*Idempotency) bool) {
		for k := range v.expiry.all() {
			if k.at > t {
				return
			}
			if r, ok := v.Idempotency(k.tenant, k.key); ok && !yield(r) {
				return
			}
		}
	}
}
