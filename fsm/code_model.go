package fsm

// The catalog's records, and what level 2 added to those of level 1.
//
// What a later level adds to a record stands in a tail behind the fields of the earlier one,
// and only where it says something: a row without it has the same bytes, and so the same hash,
// on every level, and a snapshot of level 1 reads as it is.

// tail codes what a later level added behind a row of a snapshot or for a hash.
func (c *coder) tail(says func() bool, code func(*coder)) {
	if c.reading && (c.err != nil || len(c.buf) == 0) || !c.reading && !says() {
		return
	}
	c.more(says, code)
}

// more codes a tail that is known to be there.
func (c *coder) more(says func() bool, code func(*coder)) {
	if code(c); c.err == nil && !says() {
		c.fail("tail", "it is there and says nothing")
	}
}

func (f *HiveFacts) later() bool { return len(f.Engines) > 0 }

func (f *HiveFacts) tail(c *coder) {
	list(c, "engines", &f.Engines, MaxEngines, func(name *string) { c.id("engine", name) })
}

func (j *Job) later() bool { return j.ContentType != "" || j.KeepAlive != 0 }

func (j *Job) tail(c *coder) {
	c.name("content_type", &j.ContentType)
	signed(c, "keep_alive", &j.KeepAlive)
}

func (m *Spawn) later() bool { return m.Context != 0 || m.LoadFor != 0 }

func (m *Spawn) tail(c *coder) {
	signed(c, "context", &m.Context)
	c.time("load_for", &m.LoadFor)
}

func (w *Worker) later() bool {
	return w.Context != 0 || w.KeepAlive != 0 || w.LoadFor != 0 || w.Since != 0 || w.Holds
}

func (w *Worker) tail(c *coder) {
	signed(c, "context", &w.Context)
	signed(c, "keep_alive", &w.KeepAlive)
	c.time("load_for", &w.LoadFor)
	c.time("since", &w.Since)
	c.flag("holds", &w.Holds)
}

// described is what a model is put with.
func (c *coder) described(m *Model) {
	c.name("ref", &m.Ref)
	list(c, "aliases", &m.Aliases, MaxAliases, func(alias *string) { c.name("alias", alias) })
	c.text("source", &m.Source, MaxText)
	c.id("engine", &m.Engine)
	c.id("digest", &m.Digest)
	signed(c, "size", &m.Size)
	signed(c, "memory weights", &m.Memory.Weights)
	signed(c, "memory kv", &m.Memory.KV)
	signed(c, "memory overhead", &m.Memory.Overhead)
	signed(c, "vram", &m.VRAM)
	signed(c, "slots", &m.Slots)
	signed(c, "context", &m.Context)
	c.time("idle_ttl", &m.IdleTTL)
	signed(c, "min_replicas", &m.MinReplicas)
	signed(c, "max_replicas", &m.MaxReplicas)
	list(c, "labels", &m.Labels, MaxLabels, c.label)
	c.flag("pin", &m.Pin)
	optional(c, "failure", &m.Failure, c.failure)
}

func (c *coder) model(m *Model) {
	c.described(m)
	c.time("dropped_at", &m.DroppedAt)
	number(c, "index", &m.Index)
	number(c, "changed", &m.Changed)
}

// held is what a copy is set with.
func (c *coder) held(y *Copy) {
	c.name("model", &y.Model)
	c.id("hive", &y.Hive)
	enum(c, "state", &y.State, CopyDownloading, CopyFailed)
	signed(c, "bytes", &y.Bytes)
	c.id("digest", &y.Digest)
	optional(c, "failure", &y.Failure, c.failure)
	c.flag("wanted", &y.Wanted)
}

func (c *coder) copy(y *Copy) {
	c.held(y)
	number(c, "index", &y.Index)
}
