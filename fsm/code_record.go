package fsm

// The fields of every record, in the order of their binary form. A changed order or field is
// a new snapshot version; see snapshot.go.

// job is all of a job but its body.
func (c *coder) job(j *Job) {
	c.asked(j)
	enum(c, "state", &j.State, JobQueued, JobCancelled)
	number(c, "order", &j.Order)

	c.id("worker", &j.Worker)
	c.id("hive", &j.Hive)
	number(c, "incarnation", &j.Incarnation)
	number(c, "attempt", &j.Attempt)
	c.begin(&j.Begin)
	number(c, "assigned_index", &j.AssignedIndex)
	c.flag("delivered", &j.Delivered)
	enum(c, "ending", &j.Ending, EndNone, EndDrained)
	c.id("avoid", &j.Avoid)
	number(c, "retries", &j.Retries)

	c.time("submitted", &j.Submitted)
	c.time("assigned", &j.Assigned)
	c.time("started", &j.Started)
	c.time("ended", &j.Ended)
	signed(c, "submitted_wall", &j.SubmittedWall)
	signed(c, "assigned_wall", &j.AssignedWall)
	signed(c, "started_wall", &j.StartedWall)
	signed(c, "ended_wall", &j.EndedWall)

	number(c, "events", &j.Events)
	c.time("ttft", &j.TTFT)
	c.id("finish_reason", &j.FinishReason)
	c.usage(&j.Usage)
	optional(c, "failure", &j.Failure, c.failure)
	list(c, "history", &j.History, HistoryMax, c.event)
	number(c, "changed", &j.Changed)
}

// asked is what a job is submitted with: the beginning of its row, and of Submit.
func (c *coder) asked(j *Job) {
	c.id("id", &j.ID)
	c.name("tenant", &j.Tenant)
	c.name("model", &j.Model)
	c.id("api", &j.API)
	c.name("path", &j.Path)
	enum(c, "priority", &j.Priority, 0, PriorityBatch)
	c.flag("stream", &j.Stream)
	c.flag("detached", &j.Detached)
	enum(c, "on_loss", &j.OnLoss, 0, LossRestart)
	c.time("grace", &j.Grace)
	c.name("session", &j.Session)
	c.id("pin", &j.Pin)
	list(c, "labels", &j.Labels, MaxLabels, c.label)
	c.time("rank", &j.Rank)
	c.time("not_before", &j.NotBefore)
	list(c, "holders", &j.Holders, MaxHolders, c.holder)
	c.time("abandon_at", &j.AbandonAt)
	c.time("deadline", &j.Deadline)
	c.name("idempotency_key", &j.IdempotencyKey)
	c.fixed("request_hash", j.RequestHash[:])
	number(c, "body_size", &j.Body.Size)
}

func (c *coder) body(b *Body) {
	c.flag("body_packed", &b.Packed)
	c.bytes("body", &b.Data, MaxBody)
}

func (c *coder) label(l *Label)   { c.name("label key", &l.Key); c.name("label value", &l.Value) }
func (c *coder) holder(h *Holder) { c.id("holder queen", &h.Queen); c.id("holder boot", &h.Boot) }
func (c *coder) begin(b *Begin)   { number(c, "begin seq", &b.Seq); number(c, "begin i", &b.I) }
func (c *coder) failure(f *Failure) {
	c.id("failure code", &f.Code)
	c.text("failure message", &f.Message, MaxText)
}

func (c *coder) usage(u *Usage) {
	number(c, "prompt tokens", &u.Prompt)
	number(c, "completion tokens", &u.Completion)
}

func (c *coder) event(e *Event) {
	c.time("history at", &e.At)
	signed(c, "history wall", &e.Wall)
	c.id("history kind", &e.Kind)
	c.name("history detail", &e.Detail)
}

// hive is all of a hive but its facts.
func (c *coder) hive(h *Hive) {
	c.id("id", &h.ID)
	c.id("mode", &h.Mode)
	enum(c, "desired", &h.Desired, HiveRun, HiveStop)
	enum(c, "status", &h.Status, HiveOnline, HiveOffline)
	c.flag("leaving", &h.Leaving)
	number(c, "incarnation", &h.Incarnation)
	c.id("boot", &h.Boot)
	list(c, "superseded", &h.Superseded, MaxSuperseded, func(boot *string) { c.id("superseded boot", boot) })
	signed(c, "registered_wall", &h.RegisteredWall)
	number(c, "changed", &h.Changed)
}

func (c *coder) facts(f *HiveFacts) {
	c.text("url", &f.URL, MaxText)
	c.name("version", &f.Version)
	list(c, "devices", &f.Devices, MaxDevices, func(d *Device) {
		c.id("device id", &d.ID)
		c.id("device kind", &d.Kind)
		signed(c, "device total", &d.Total)
	})
	list(c, "labels", &f.Labels, MaxLabels, c.label)
	list(c, "models", &f.Models, MaxModels, func(m *EngineModel) {
		c.id("model engine", &m.Engine)
		c.name("model ref", &m.Ref)
		signed(c, "model vram", &m.VRAM)
		signed(c, "model slots", &m.Slots)
		signed(c, "model context", &m.Context)
	})
}

func (c *coder) worker(w *Worker) {
	c.id("id", &w.ID)
	c.id("hive", &w.Hive)
	c.id("device", &w.Device)
	c.name("model", &w.Model)
	c.id("engine", &w.Engine)
	enum(c, "state", &w.State, WorkerSpawning, WorkerFailed)
	signed(c, "slots", &w.Slots)
	signed(c, "vram", &w.VRAM)
	c.fraction("progress", &w.Progress)
	optional(c, "failure", &w.Failure, c.failure)
	c.time("last_used", &w.LastUsed)
	signed(c, "wall", &w.Wall)
	c.time("gone_at", &w.GoneAt)
	number(c, "index", &w.Index)
	number(c, "changed", &w.Changed)
}

func (c *coder) block(b *Block) {
	c.name("model", &b.Model)
	c.id("hive", &b.Hive)
	number(c, "fails", &b.Fails)
	c.time("until", &b.Until)
	c.failure(&b.Failure)
}

func (c *coder) queen(q *Queen) {
	c.id("id", &q.ID)
	c.id("boot", &q.Boot)
	enum(c, "role", &q.Role, 0, RoleRelay)
	c.text("http", &q.HTTP, MaxText)
	c.text("raft", &q.Raft, MaxText)
	c.text("gossip", &q.Gossip, MaxText)
	c.name("version", &q.Version)
	number(c, "level", &q.Level)
}

func (c *coder) key(k *Key) {
	c.fixed("hash", k.Hash[:])
	c.name("tenant", &k.Tenant)
	enum(c, "role", &k.Role, 0, KeyAdmin)
	c.name("name", &k.Name)
	signed(c, "created", &k.Created)
}

func (c *coder) idempotency(r *Idempotency) {
	c.name("tenant", &r.Tenant)
	c.name("key", &r.Key)
	c.id("job", &r.Job)
	c.fixed("hash", r.Hash[:])
	c.time("expiry", &r.Expiry)
}

func (c *coder) meta(m *Meta, n *Counts) {
	c.id("cluster id", &m.ClusterID)
	c.fixed("epoch", m.Epoch[:])
	number(c, "level", &m.Level)
	number(c, "index", &m.Index)
	c.time("now", &m.Now)
	signed(c, "wall", &m.Wall)
	number(c, "next order", &m.NextOrder)
	number(c, "guarded", &m.Guarded)
	number(c, "completed", &n.Completed)
	number(c, "failed", &n.Failed)
	number(c, "cancelled", &n.Cancelled)
}
