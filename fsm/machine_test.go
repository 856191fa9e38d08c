package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestMachine plays random batches, among them late, repeated and foreign ones, on a state,
// on a twin that gets every batch through the codec, and on the naive model, and after every
// step checks invariants 2, 4, 5 and 10 of the reliability page, all indexes, and that the
// three agree.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{state: New(), twin: New(), naive: newNaive(), ended: map[string]JobState{}}
		m.genesis(t)
		t.Repeat(map[string]func(*rapid.T){
			"batch":   m.batch,
			"late":    m.late,
			"foreign": m.foreign,
			"restore": m.restore,
			"":        m.check,
		})
	})
}

type machine struct {
	state, twin *State
	naive       *naive
	past        []*Batch
	ended       map[string]JobState // invariant 2: what a job ended as, for ever
}

func (m *machine) header() *Batch {
	now := m.state.meta.Now + time.Second
	return &Batch{Base: m.state.meta.Index, Epoch: m.state.meta.Epoch, Now: now, Wall: now.Milliseconds(), Level: CurrentLevel}
}

// genesis gives a world in which most commands find something to do.
func (m *machine) genesis(t *rapid.T) {
	birth := m.header()
	birth.Commands = []Command{&Genesis{ClusterID: "c1", Epoch: testEpoch, Level: CurrentLevel}}
	m.state.Apply(birth)
	b := m.header()
	b.Commands = []Command{
		&RegisterHive{ID: "h1", Boot: "boot1", Incarnation: 1, Facts: HiveFacts{
			Models: []EngineModel{{Engine: "e", Ref: "m1", VRAM: 3}}, Devices: []Device{{ID: "d1", Total: 10}}}},
		&Spawn{ID: "w1", Hive: "h1", Device: deviceOf("w1"), Model: "m1", Slots: 1}, &SetWorkerState{ID: "w1", State: WorkerReady},
		&Spawn{ID: "w2", Hive: "h1", Device: deviceOf("w2"), Model: "m2", Slots: 2}, &SetWorkerState{ID: "w2", State: WorkerReady},
	}
	for i := byte(1); i <= 4; i++ {
		id := fmt.Sprint("j", i)
		b.Commands = append(b.Commands, &Submit{Job: Job{ID: id, Tenant: tenantOf(id), Model: "m1", RequestHash: hash32(id[1])}})
	}
	m.state.Apply(b)
	for _, b := range []*Batch{birth, b} {
		m.twin.Apply(b)
		m.past = append(m.past, b)
	}
	for _, cmd := range b.Commands {
		if !m.naive.do(cmd, b.Now) {
			t.Fatalf("the model refuses %s", readable(cmd))
		}
	}
}

// deviceOf is fixed for a worker's id, too.
func deviceOf(worker string) string {
	if worker == "w2" {
		return "d2"
	}
	return "d1"
}

// tenantOf is fixed for an id: a repeat is the same request.
func tenantOf(job string) string { return "t" + string('1'+job[1]%2) }

func (m *machine) batch(t *rapid.T) {
	b := m.header()
	b.Commands = rapid.SliceOfN(rapid.Custom(m.command), 0, 6).Draw(t, "commands")
	data, err := EncodeBatch(b)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := EncodeBatch(decoded); err != nil || !bytes.Equal(data, again) {
		t.Fatalf("a decoded batch encodes differently: %v", err)
	}
	before := m.state.View()
	out, twin := m.state.Apply(b), m.twin.Apply(decoded)
	if fmt.Sprint(out) != fmt.Sprint(twin) {
		t.Fatalf("twins differ: %v and %v", out, twin)
	}
	if out.Refused != nil || out.Index != b.Base+1 {
		t.Fatal(out)
	}
	for i, cmd := range b.Commands {
		if allowed := m.naive.do(cmd, b.Now); allowed != (out.Errs[i] == nil) {
			t.Fatalf("%s %s: the model says %v, Apply says %v", cmd.number(), readable(cmd), allowed, out.Errs[i])
		}
		if c, ok := cmd.(*ExpireJob); ok && out.Errs[i] == nil {
			delete(m.ended, c.ID) // its id may be used again in this very batch
		}
	}
	m.changed(t, before, out)
	m.past = append(m.past, b)
}

// changed proves that Outcome.Changed is neither more nor less than what changed.
func (m *machine) changed(t *rapid.T, before *View, out Outcome) {
	after := m.state.View()
	seen := map[Row]bool{}
	for _, row := range out.Changed {
		if seen[row] {
			t.Fatalf("%v is named twice", row)
		}
		seen[row] = true
	}
	for j := range after.jobs.all() {
		if was, _ := before.Job(j.ID); (was != j) != seen[Row{TableJob, j.ID}] {
			t.Fatalf("job %s: changed %v, named %v", j.ID, was != j, seen[Row{TableJob, j.ID}])
		} else if was != j && j.Changed != out.Index {
			t.Fatalf("job %s changed at %d and says %d", j.ID, out.Index, j.Changed)
		}
	}
	for c := range after.models.all() {
		if was, _ := before.models.get(c.Ref); (was != c) != seen[Row{TableModel, c.Ref}] {
			t.Fatalf("model %s: changed %v, named %v", c.Ref, was != c, seen[Row{TableModel, c.Ref}])
		}
	}
	for y := range after.copies.all() {
		if was, _ := before.Copy(y.Model, y.Hive); (was != y) != seen[Row{TableCopy, y.Hive + "/" + y.Model}] {
			t.Fatalf("copy %s on %s: changed %v, named %v", y.Model, y.Hive, was != y, seen[Row{TableCopy, y.Hive + "/" + y.Model}])
		}
	}
	for w := range after.Workers() {
		if was, _ := before.Worker(w.ID); (was != w) != seen[Row{TableWorker, w.ID}] {
			t.Fatalf("worker %s: changed %v, named %v", w.ID, was != w, seen[Row{TableWorker, w.ID}])
		}
	}
	for h := range after.Hives() {
		if was, _ := before.Hive(h.ID); (was != h) != seen[Row{TableHive, h.ID}] {
			t.Fatalf("hive %s: changed %v, named %v", h.ID, was != h, seen[Row{TableHive, h.ID}])
		}
	}
}

// late plays an old batch again: invariant 5.
func (m *machine) late(t *rapid.T) {
	m.refused(t, rapid.SampledFrom(m.past).Draw(t, "old"))
}

// foreign plays a batch of another state.
func (m *machine) foreign(t *rapid.T) {
	b := m.header()
	b.Commands = rapid.SliceOfN(rapid.Custom(m.command), 1, 3).Draw(t, "commands")
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		b.Epoch[0]++
	case 1:
		b.Base++
	default:
		b.Base--
	}
	m.refused(t, b)
}

func (m *machine) refused(t *rapid.T, b *Batch) {
	before := m.state.View()
	out := m.state.Apply(b)
	if out.Refused == nil || out.Refused.Code != CodeStale || len(out.Errs)+len(out.Changed) > 0 {
		t.Fatalf("a batch of another state was not refused: %+v", out)
	}
	if m.state.hash != before.hash || m.state.meta != before.meta || m.state.counts != before.counts {
		t.Fatal("a refused batch left a trace")
	}
}

// restore goes on with what comes out of a snapshot.
func (m *machine) restore(t *rapid.T) {
	var buf bytes.Buffer
	if err := Snapshot(m.state.View(), &buf); err != nil {
		t.Fatal(err)
	}
	restored, err := Restore(&buf)
	if err != nil {
		t.Fatal(err)
	}
	m.state = restored
}

func (m *machine) check(t *rapid.T) {
	if m.state.hash != m.twin.hash {
		t.Fatalf("twins differ: %s and %s", m.state.hash, m.twin.hash)
	}
	v := m.state.View()
	if err := checkState(v); err != nil {
		t.Fatal(err)
	}
	if v.jobs.len() != len(m.naive.jobs) || v.workers.len() != len(m.naive.workers) || v.hives.len() != len(m.naive.hives) {
		t.Fatal("the model has other rows")
	}
	for id, n := range m.naive.jobs {
		j, ok := v.Job(id)
		if !ok {
			t.Fatalf("job %s is missing", id)
		}
		if j.State.Ended() {
			if was, before := m.ended[id]; before && was != j.State || n.ended != 1 {
				t.Fatalf("job %s ended twice: as %v, then as %v", id, was, j.State)
			}
			m.ended[id] = j.State
			n.worker, n.ending, n.delivered = j.Worker, j.Ending.String(), j.Delivered // kept for show
		}
		got := naiveJob{j.Model, j.State.String(), j.Ending.String(), j.Worker, j.Attempt, j.Delivered,
			j.NotBefore, j.AbandonAt, j.Retries, j.Detached, j.Holders, j.KeepAlive, n.ended}
		if fmt.Sprint(got) != fmt.Sprint(*n) {
			t.Fatalf("job %s is %v, the model has %v", id, got, *n)
		}
	}
	for id := range m.ended { // an id may be used again once its job is forgotten
		if m.naive.jobs[id] == nil {
			delete(m.ended, id)
		}
	}
	if v.models.len() != len(m.naive.models) || v.copies.len() != len(m.naive.copies) {
		t.Fatal("the model has another catalog")
	}
	for ref, n := range m.naive.models {
		got, _ := v.models.get(ref)
		if got.Dropped() != n.dropped || !slices.Equal(got.Aliases, n.aliases) {
			t.Fatalf("model %s is %s, the model has %v", ref, readable(got), *n)
		}
	}
	for id, n := range m.naive.workers {
		w, _ := v.Worker(id)
		if got := (naiveWorker{w.Hive, w.Model, w.State.String(), w.Slots, w.Holds, w.LoadFor > 0, w.KeepAlive}); got != *n {
			t.Fatalf("worker %s is %v, the model has %v", id, got, *n)
		}
	}
	for id, n := range m.naive.hives {
		h, _ := v.Hive(id)
		if got := (naiveHive{h.Status == HiveOnline, h.Leaving, h.Boot, h.Incarnation}); got != *n {
			t.Fatalf("hive %s is %v, the model has %v", id, got, *n)
		}
	}
	for at, n := range m.naive.idem {
		if r, ok := v.Idempotency(at[0], at[1]); !ok || r.Job != n.job || r.Expiry != n.expiry {
			t.Fatalf("idempotency %v is %v, the model has %v", at, r, n)
		}
	}
	for at, fails := range m.naive.blocks {
		if b, ok := v.Block(at[1], at[0]); ok != (fails > 0) || ok && b.Fails != fails {
			t.Fatalf("block %v is %v, the model has %d", at, b, fails)
		}
	}
}

// command draws from few ids, so that commands meet; attempts are mostly the right ones.
func (m *machine) command(t *rapid.T) Command {
	pick := func(names ...string) string { return rapid.SampledFrom(names).Draw(t, "name") }
	job, worker, hive := pick("j1", "j2", "j3", "j4", "j5", "j6"), pick("w1", "w2", "w3"), pick("h1", "h2")
	holder := Holder{pick("q1", "q2"), pick("a", "b")}
	at := m.state.meta.Now + Time(rapid.IntRange(1, 20).Draw(t, "in"))*time.Second
	var attempt uint32
	if j, ok := m.state.jobs.get(job); ok {
		attempt = j.Attempt
	}
	if rapid.IntRange(0, 9).Draw(t, "wrong") == 0 {
		attempt += rapid.Uint32Range(0, 2).Draw(t, "by") - 1
	}
	maybe := func(at Time) Time {
		if rapid.Bool().Draw(t, "set") {
			return at
		}
		return 0
	}
	switch rapid.IntRange(0, 25).Draw(t, "kind") {
	case 0, 1, 2, 3:
		return m.submit(t, job, holder, maybe)
	case 4, 5, 6, 7:
		return &Assign{Job: job, Worker: worker, Attempt: attempt + 1}
	case 8:
		return &Started{Job: job, Attempt: attempt, TTFT: time.Millisecond}
	case 9, 10:
		return &EndJob{Job: job, Attempt: attempt, State: rapid.SampledFrom([]JobState{JobComplete, JobFailed, JobCancelled}).Draw(t, "end")}
	case 11:
		return &Requeue{Job: job, Attempt: attempt, Reason: Failure{"lost", "gone"}, NotBefore: maybe(at),
			Avoid: hive, Counted: rapid.Bool().Draw(t, "counted"), AbandonAt: maybe(at)}
	case 12:
		return &Ready{Job: job}
	case 13:
		return &WishEnd{Job: job, Reason: rapid.SampledFrom([]Ending{EndCancelled, EndDeadline, EndDrained}).Draw(t, "why")}
	case 14:
		return &Hold{Job: job, Holder: holder}
	case 15:
		return &Release{Job: job, Holder: holder, AbandonAt: at}
	case 16:
		return &Spawn{ID: worker, Hive: hive, Model: pick("m1", "m2"), Device: deviceOf(worker),
			Slots: rapid.IntRange(0, 2).Draw(t, "slots"), VRAM: rapid.Int64Range(1, 8).Draw(t, "vram"),
			LoadFor: time.Duration(rapid.IntRange(0, 1).Draw(t, "load_for")) * time.Minute}
	case 17, 18:
		return &SetWorkerState{ID: worker, State: rapid.SampledFrom([]WorkerState{WorkerReady, WorkerReady, WorkerReady,
			WorkerSpawning, WorkerLoading, WorkerDraining, WorkerStopped, WorkerFailed}).Draw(t, "state"),
			Slots: rapid.IntRange(0, 3).Draw(t, "slots"), Holds: rapid.IntRange(0, 4).Draw(t, "holds") == 0}
	case 19:
		return m.register(t, hive)
	case 21, 22, 23:
		return m.catalog(t, pick("m1", "m2", "m3"), hive, worker)
	case 20:
		return &SetHiveStatus{ID: hive, Status: rapid.SampledFrom([]HiveStatus{HiveOnline, HiveOnline, HiveOffline}).Draw(t, "status")}
	}
	return rapid.SampledFrom([]Command{
		&HiveLeaving{ID: hive}, &DropHive{ID: hive}, &ExpireJob{ID: job}, &ExpireWorker{ID: worker}, &ExpireKey{Tenant: "t1", Key: "k1"},
		&BlockHive{Model: "m1", Hive: hive, Fails: 1, Until: at}, &BlockHive{Model: "m1", Hive: hive},
		&BlockHive{Model: "m2", Hive: hive, Fails: 1, Until: at},
	}).Draw(t, "rare")
}

func (m *machine) submit(t *rapid.T, id string, h Holder, maybe func(Time) Time) Command {
	j := Job{
		ID: id, Tenant: tenantOf(id), Model: rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "model"),
		Rank: m.state.meta.Now, Deadline: maybe(time.Hour), NotBefore: maybe(m.state.meta.Now + 5*time.Second),
		Detached: rapid.Bool().Draw(t, "detached"), RequestHash: hash32(id[1]),
		Body: Body{Data: rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "body")},
	}
	if j.Body.Size = uint32(len(j.Body.Data)); len(j.Body.Data) == 0 {
		j.Body.Data = nil
	}
	j.Pin = rapid.SampledFrom([]string{"", "", "h1"}).Draw(t, "pin")
	j.Labels = rapid.SampledFrom([][]Label{nil, nil, {{"zone", "a"}}}).Draw(t, "labels")
	if rapid.Bool().Draw(t, "early") {
		j.Rank -= time.Minute // goes before the head
	}
	j.KeepAlive = rapid.SampledFrom([]KeepAlive{0, 0, KeepForever, KeepFor(0), KeepFor(time.Minute)}).Draw(t, "keep")
	if !j.Detached {
		j.Holders = slices.Repeat([]Holder{h}, rapid.IntRange(0, 2).Draw(t, "holders"))
	}
	s := &Submit{Job: j}
	if rapid.IntRange(0, 3).Draw(t, "keyed") == 0 {
		s.Job.IdempotencyKey, s.IdempotencyTTL = "k1", 10*time.Second
	}
	return s
}

// catalog draws what concerns models and their copies.
func (m *machine) catalog(t *rapid.T, model, hive, worker string) Command {
	switch rapid.IntRange(0, 6).Draw(t, "of the catalog") {
	case 0, 1:
		is := Model{Ref: model, Slots: 1, IdleTTL: time.Duration(rapid.IntRange(-1, 2).Draw(t, "idle")) * time.Minute,
			Pin: rapid.IntRange(0, 5).Draw(t, "pin") == 0, MinReplicas: rapid.IntRange(0, 1).Draw(t, "min")}
		if rapid.Bool().Draw(t, "sourced") {
			is.Source, is.Engine, is.Size = "file:/m", rapid.SampledFrom([]string{"e", "f"}).Draw(t, "engine"), rapid.Int64Range(0, 1).Draw(t, "size")
			is.Memory.Weights = is.Size
			is.Failure = rapid.SampledFrom([]*Failure{nil, nil, {CodeSourceUnreachable, "no answer"}, {"refused", "no"}}).Draw(t, "failure")
		}
		is.Aliases = rapid.SampledFrom([][]string{nil, {"a1"}, {"a1", "a2"}, {"m3"}}).Draw(t, "aliases")
		return &PutModel{is}
	case 2:
		return &DropModel{Ref: model}
	case 3:
		return &ExpireModel{Ref: model}
	case 4:
		return &DropCopy{Model: model, Hive: hive}
	case 5:
		return &FreeWorker{ID: worker}
	}
	return &SetCopy{Copy{Model: model, Hive: hive, State: CopyPresent, Wanted: rapid.Bool().Draw(t, "wanted"), Bytes: rapid.Int64Range(0, 1).Draw(t, "bytes")}}
}

// register is mostly the next start of the hive; sometimes a repeat or a jump.
func (m *machine) register(t *rapid.T, id string) Command {
	var incarnation uint64
	if h, ok := m.state.hives.get(id); ok {
		incarnation = h.Incarnation
	}
	incarnation += rapid.SampledFrom([]uint64{1, 1, 1, 0, 2}).Draw(t, "by")
	models := []EngineModel{{Engine: "e", Ref: "m1", VRAM: 5}, {Engine: "f", Ref: "m1", VRAM: 3}, {Engine: "e", Ref: "m2", VRAM: 7}}
	devices := []Device{{ID: "d1", Total: 10}, {ID: "d2", Total: 6}}
	return &RegisterHive{ID: id, Boot: fmt.Sprint("boot", incarnation), Incarnation: incarnation,
		Facts: HiveFacts{Models: models[:rapid.IntRange(0, 3).Draw(t, "models")], Engines: []string{"e", "f"}[:rapid.IntRange(0, 2).Draw(t, "engines")], Devices: devices[:rapid.IntRange(1, 2).Draw(t, "devices")]}}
}
