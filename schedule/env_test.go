package schedule

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"queen-rbee/fsm"
)

// tester is what testing.T and rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// env is a leader with the real fsm behind it: it plans, applies and remembers what a
// leader remembers beside the state.
type env struct {
	t     tester
	state *fsm.State
	view  *fsm.View
	now   fsm.Time
	lim   Limits

	hives  map[string]HiveTelemetry
	queens map[string]Presence
	since  fsm.Time
	rate   float64
}

var testEpoch = fsm.Epoch{0xab, 0x12, 15: 1}

func newEnv(t tester) *env {
	e := &env{t: t, state: fsm.New(), lim: Defaults(), hives: map[string]HiveTelemetry{}, queens: map[string]Presence{}}
	e.view = e.state.View()
	return e
}

// born is an env after Genesis, with one queen process around.
func born(t tester) *env {
	e := newEnv(t)
	e.do(Request{Genesis: &Genesis{ClusterID: "c1", Epoch: testEpoch}})
	e.queens["q1"] = Presence{Boot: "b1"}
	return e
}

func (e *env) world() World {
	queens := maps.Clone(e.queens)
	for id, q := range queens {
		if q.LastSeen == 0 {
			q.LastSeen = e.now // there
		}
		queens[id] = q
	}
	return World{View: e.view, Hives: e.hives, Queens: queens, LeaderSince: e.since, DrainRate: e.rate, Limits: e.lim}
}

// plan plans, and checks what must hold of every plan: the same input gives the same
// output, ranges lie in the batch, the plan keeps its bound, it never wakes in the past.
func (e *env) plan(reqs ...Request) Planned {
	e.t.Helper()
	for _, r := range reqs {
		e.hearOf(r)
	}
	p := Plan(e.world(), reqs, e.now, 1000)
	if again := Plan(e.world(), reqs, e.now, 1000); !reflect.DeepEqual(p, again) {
		e.t.Fatalf("two plans of the same input differ:\n%+v\n%+v", p, again)
	}
	if len(p.Answers) != len(reqs) || len(p.Spans) != len(reqs) {
		e.t.Fatalf("%d answers and %d spans to %d requests", len(p.Answers), len(p.Spans), len(reqs))
	}
	for i, s := range p.Spans {
		if s.From < 0 || s.To < s.From || s.To > len(p.Batch.Commands) {
			e.t.Fatalf("span %+v of %d commands", s, len(p.Batch.Commands))
		}
		if p.Answers[i].Err != nil && s.From != s.To {
			e.t.Fatalf("request %d is refused (%v) and has commands", i, p.Answers[i].Err)
		}
	}
	if p.Wake != 0 && p.Wake <= e.now {
		e.t.Fatalf("wakes at %v, it is %v", p.Wake, e.now)
	}
	return p
}

// hearOf keeps the telemetry as the fleet does: before the request is planned.
func (e *env) hearOf(r Request) {
	var id string
	switch {
	case r.Register != nil:
		id = r.Register.ID
	case r.Beat != nil:
		id = r.Beat.Hive
	default:
		return
	}
	t := e.hives[id]
	t.LastBeat = e.now
	e.hives[id] = t
}

// apply commits a plan: through the codec, as the log does. Any guard that fires is a bug.
func (e *env) apply(p Planned) fsm.Outcome {
	e.t.Helper()
	if len(p.Batch.Commands) == 0 {
		return fsm.Outcome{Index: e.view.Meta().Index}
	}
	data, err := fsm.EncodeBatch(&p.Batch)
	if err != nil {
		e.t.Fatalf("encode: %v", err)
	}
	batch, err := fsm.DecodeBatch(data)
	if err != nil {
		e.t.Fatalf("decode: %v", err)
	}
	out := e.state.Apply(batch)
	if out.Refused != nil {
		e.t.Fatalf("batch refused: %v", out.Refused)
	}
	for i, err := range out.Errs {
		if err != nil {
			e.t.Fatalf("a guard refused %s: %v", say(batch.Commands[i]), err)
		}
	}
	e.view = e.state.View()
	return out
}

// do plans and commits, and goes on while decisions are left over.
func (e *env) do(reqs ...Request) []Answer {
	e.t.Helper()
	p := e.plan(reqs...)
	e.apply(p)
	for rounds := 0; p.More; rounds++ {
		if rounds > 10_000 {
			e.t.Fatalf("the plan never ends")
		}
		more := e.plan()
		e.apply(more)
		p.More = more.More
	}
	return p.Answers
}

// ask is do for one request.
func (e *env) ask(r Request) Answer { e.t.Helper(); return e.do(r)[0] }

// newest is the incarnation that a start of a hive's agent replaces.
func newest(v *fsm.View, hive string) uint64 {
	if h, ok := v.Hive(hive); ok {
		return h.Incarnation
	}
	return 0
}

// hive registers a hive with one device and a model on it, and beats until its worker is ready.
func (e *env) hive(id, boot string, memory int64, models ...fsm.EngineModel) uint64 {
	e.t.Helper()
	a := e.ask(Request{Register: &Register{ID: id, Boot: boot, Replaces: newest(e.view, id), Mode: "network", Facts: fsm.HiveFacts{
		URL: "http://" + id, Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: memory}}, Models: models}}})
	if a.Err != nil {
		e.t.Fatalf("register: %v", a.Err)
	}
	return a.Incarnation
}

// beatOf is a beat of a hive that has acted on everything and where all is as desired.
func (e *env) beatOf(id string) *Beat {
	h, ok := e.view.Hive(id)
	if !ok {
		e.t.Fatalf("no hive %s", id)
	}
	b := &Beat{Hive: id, Incarnation: h.Incarnation, Acted: e.view.Meta().Index}
	for w := range e.view.WorkersOn(id) {
		state := w.State
		if state == fsm.WorkerDraining {
			state = fsm.WorkerReady
		}
		b.Workers = append(b.Workers, BeatWorker{ID: w.ID, State: state, Slots: w.Slots, Progress: w.Progress})
	}
	for j := range e.view.RunsOnHive(id) {
		b.Runs = append(b.Runs, BeatRun{Job: j.ID, Attempt: j.Attempt, Seq: 1})
	}
	return b
}

// allReady beats for a hive whose every worker is ready.
func (e *env) allReady(id string) {
	e.t.Helper()
	b := e.beatOf(id)
	for i := range b.Workers {
		b.Workers[i].State = fsm.WorkerReady
	}
	if a := e.ask(Request{Beat: b}); a.Err != nil {
		e.t.Fatalf("beat: %v", a.Err)
	}
}

// submission is a valid interactive attached submission by tenant t1.
func submission(id, model string) *Submit {
	return &Submit{Job: fsm.Job{ID: id, Tenant: "t1", Model: model, API: "task", Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail,
		Holders: []fsm.Holder{{Queen: "q1", Boot: "b1"}}, Body: fsm.PackBody([]byte("{}"))}}
}

func model(ref string, vram int64, slots int) fsm.EngineModel {
	return fsm.EngineModel{Engine: "engine", Ref: ref, VRAM: vram, Slots: slots}
}

// say puts a command into words.
func say(c fsm.Command) string {
	switch c := c.(type) {
	case *fsm.Genesis:
		return fmt.Sprintf("Genesis %s epoch=%s level=%d", c.ClusterID, c.Epoch, c.Level)
	case *fsm.FreeWorker:
		return "FreeWorker " + c.ID
	case *fsm.PutModel:
		return fmt.Sprintf("PutModel %s need=%d%s", c.Model.Ref, c.Model.Need(), why(c.Model.Failure))
	case *fsm.DropModel:
		return "DropModel " + c.Ref
	case *fsm.ExpireModel:
		return "ExpireModel " + c.Ref
	case *fsm.SetCopy:
		wanted := ""
		if c.Copy.Wanted {
			wanted = " wanted"
		}
		return fmt.Sprintf("SetCopy %s on %s %s%s%s", c.Copy.Model, c.Copy.Hive, c.Copy.State, wanted, why(c.Copy.Failure))
	case *fsm.DropCopy:
		return fmt.Sprintf("DropCopy %s on %s", c.Model, c.Hive)
	case *fsm.RaiseLevel:
		return fmt.Sprintf("RaiseLevel %d", c.Level)
	case *fsm.PutQueen:
		return fmt.Sprintf("PutQueen %s boot=%s", c.Queen.ID, c.Queen.Boot)
	case *fsm.DropQueen:
		return "DropQueen " + c.ID
	case *fsm.PutKey:
		return fmt.Sprintf("PutKey %x… tenant=%s", c.Key.Hash[:2], c.Key.Tenant)
	case *fsm.RegisterHive:
		return fmt.Sprintf("RegisterHive %s boot=%s incarnation=%d", c.ID, c.Boot, c.Incarnation)
	case *fsm.HiveFactsChanged:
		return "HiveFactsChanged " + c.ID
	case *fsm.SetHiveStatus:
		return fmt.Sprintf("SetHiveStatus %s %s", c.ID, statusWord(c.Status))
	case *fsm.HiveLeaving:
		return "HiveLeaving " + c.ID
	case *fsm.SetHiveDesired:
		return fmt.Sprintf("SetHiveDesired %s %s", c.ID, wishWord(c.Desired))
	case *fsm.DropHive:
		return "DropHive " + c.ID
	case *fsm.Submit:
		return fmt.Sprintf("Submit %s model=%s %s rank=%v%s", c.Job.ID, c.Job.Model, c.Job.Priority, c.Job.Rank, timeAt(" deadline", c.Job.Deadline))
	case *fsm.Assign:
		return fmt.Sprintf("Assign %s -> %s attempt=%d", c.Job, c.Worker, c.Attempt)
	case *fsm.Started:
		return fmt.Sprintf("Started %s attempt=%d", c.Job, c.Attempt)
	case *fsm.EndJob:
		return fmt.Sprintf("EndJob %s attempt=%d %s%s%s", c.Job, c.Attempt, c.State, count(" events", c.Events), why(c.Failure))
	case *fsm.Requeue:
		return fmt.Sprintf("Requeue %s attempt=%d%s avoid=%s counted=%v%s%s", c.Job, c.Attempt, timeAt(" not before", c.NotBefore), c.Avoid, c.Counted,
			timeAt(" abandon", c.AbandonAt), why(&c.Reason))
	case *fsm.Ready:
		return "Ready " + c.Job
	case *fsm.WishEnd:
		return fmt.Sprintf("WishEnd %s %s", c.Job, c.Reason)
	case *fsm.Hold:
		return fmt.Sprintf("Hold %s %s/%s", c.Job, c.Holder.Queen, c.Holder.Boot)
	case *fsm.Release:
		return fmt.Sprintf("Release %s %s/%s%s", c.Job, c.Holder.Queen, c.Holder.Boot, timeAt(" abandon", c.AbandonAt))
	case *fsm.Spawn:
		return fmt.Sprintf("Spawn %s model=%s on %s/%s slots=%d vram=%d", c.ID, c.Model, c.Hive, c.Device, c.Slots, c.VRAM)
	case *fsm.SetWorkerState:
		return fmt.Sprintf("SetWorkerState %s %s%s", c.ID, c.State, why(c.Failure))
	case *fsm.BlockHive:
		return fmt.Sprintf("BlockHive %s on %s fails=%d%s", c.Model, c.Hive, c.Fails, timeAt(" until", c.Until))
	case *fsm.ExpireJob:
		return "ExpireJob " + c.ID
	case *fsm.ExpireKey:
		return fmt.Sprintf("ExpireKey %s %s", c.Tenant, c.Key)
	case *fsm.ExpireWorker:
		return "ExpireWorker " + c.ID
	}
	return fmt.Sprintf("%T", c)
}

func timeAt(what string, t fsm.Time) string {
	if t == 0 {
		return ""
	}
	return what + "=" + t.Round(time.Microsecond).String()
}

func count(what string, n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s=%d", what, n)
}

func why(f *fsm.Failure) string {
	if f == nil || *f == (fsm.Failure{}) {
		return ""
	}
	return fmt.Sprintf(" because %s: %s", f.Code, f.Message)
}

// sortedIDs lists the keys of a map in order.
func sortedIDs[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func statusWord(s fsm.HiveStatus) string {
	return map[fsm.HiveStatus]string{fsm.HiveOnline: "online", fsm.HiveOffline: "offline"}[s]
}

func wishWord(w fsm.HiveWish) string {
	return map[fsm.HiveWish]string{fsm.HiveRun: "run", fsm.HiveDrain: "drain", fsm.HiveStop: "stop"}[w]
}
