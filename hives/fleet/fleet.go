package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"sync"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// Queen is what the fleet needs of the queen it lives in. *cluster.Queen is one, behind an
// adapter for Watch.
type Queen interface {
	View() *fsm.View
	Now() fsm.Time
	Do(context.Context, schedule.Request) (schedule.Answer, error)
	Strong(context.Context) (*fsm.View, error)
	WaitIndex(context.Context, uint64) (*fsm.View, error)
	Watch(...fsm.Row) Watch
	CallLeader(ctx context.Context, method string, body []byte) ([]byte, error)
	HandleLeader(method string, h func(context.Context, []byte) ([]byte, error))
}

// Watch fires, coalesced, after changes of the rows it was made for.
type Watch interface {
	C() <-chan struct{}
	Close()
}

// Fleet is one queen's side of all hives' pipes.
type Fleet struct {
	queen    Queen
	interval time.Duration

	mu    sync.Mutex
	heard map[string]*heard
	plans telemetry
	drain drain
}

// heard is what the leader remembers of a hive beside the state.
type heard struct {
	turn  chan struct{} // holds one token: beats of one hive enter the log in their order
	start start         // whose beats seq counts
	seq   uint64
	at    fsm.Time
	wall  time.Time
	free  map[string]int64

	devices map[string]hives.Device     // as the last beat told them
	files   map[string]schedule.Fetched // by model: those on their way
}

// start names one start of an agent. The incarnation alone does not: a hive that was dropped
// and added again counts from 1 in states below level 2.
type start struct {
	boot        string
	incarnation uint64
}

// How registrations and heartbeats are carried to the leader, whose memory they enter.
const (
	registerMethod = "hives.register"
	beatMethod     = "hives.heartbeat"
	fetchMethod    = "models.fetching"
)

// forget is how long a hive that the state does not know (yet) is remembered at least.
const forget = time.Minute

// maxBeatWait is how long a heartbeat waits for a leader.
const maxBeatWait = 2 * time.Second

// New makes the fleet of a queen and registers its leader's method; call it before the
// queen runs. Interval is what hives are told to wait between heartbeats.
func New(q Queen, interval time.Duration) *Fleet {
	f := &Fleet{queen: q, interval: interval, heard: map[string]*heard{}}
	q.HandleLeader(registerMethod, f.leaderRegister)
	q.HandleLeader(beatMethod, f.leaderBeat)
	q.HandleLeader(fetchMethod, f.leaderFetching)
	return f
}

// idPattern is what a hive may be called: it stands in URLs and logs.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Register makes a start of a hive's agent known; the same boot again is the same incarnation.
func (f *Fleet) Register(ctx context.Context, r hives.Registration) (hives.Registered, error) {
	if !idPattern.MatchString(r.ID) {
		return hives.Registered{}, fsm.Errorf(fsm.CodeInvalid, "id: %.70q is not the id of a hive: use 1 to 64 letters, digits and . _ -", r.ID)
	}
	if !idPattern.MatchString(r.Boot) {
		return hives.Registered{}, fsm.Errorf(fsm.CodeInvalid, "boot: a ULID of this start is needed")
	}
	if _, err := facts(r.URL, r.Version, r.Devices, r.Labels, r.Engines); err != nil {
		return hives.Registered{}, err
	}
	var ans hives.Registered
	err := f.callLeader(ctx, registerMethod, r, &ans)
	return ans, err
}

// leaderRegister takes a registration in on the leader: it counts as hearing the hive.
func (f *Fleet) leaderRegister(ctx context.Context, body []byte) ([]byte, error) {
	var r hives.Registration
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fsm.Errorf(fsm.CodeInvalid, "registration: does not parse: %v", err)
	}
	facts, err := facts(r.URL, clip(r.Version, maxText), r.Devices, r.Labels, r.Engines)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	h := f.remember(r.ID) // before it is planned: no plan may find the new hive silent
	h.at, h.wall = f.queen.Now(), time.Now()
	f.plans.note(r.ID)
	f.mu.Unlock()
	ans, err := f.queen.Do(ctx, schedule.Request{Register: &schedule.Register{
		ID: r.ID, Boot: r.Boot, Replaces: r.Replaces, Mode: "network", Facts: facts,
	}})
	if err != nil {
		return nil, err
	}
	return json.Marshal(hives.Registered{
		Epoch: ans.Epoch.String(), Incarnation: ans.Incarnation, Index: ans.Index,
		IntervalMillis: f.interval.Milliseconds(), Queens: members(f.queen.View()),
	})
}

// callLeader carries one call; what reaches no leader in time is refused, and asked again elsewhere.
func (f *Fleet) callLeader(ctx context.Context, method string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxBeatWait)
	defer cancel()
	out, err := f.queen.CallLeader(ctx, method, body)
	if errors.Is(err, context.DeadlineExceeded) {
		return fsm.Errorf(fsm.CodeNoLeader, "no leader answered within %s", maxBeatWait)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(out, answer)
}

// carried is a heartbeat on its way to the leader.
type carried struct {
	ID   string           `json:"id"`
	Beat *hives.Heartbeat `json:"beat"`
}

// Beat carries a heartbeat to the leader and returns once the leader has it.
func (f *Fleet) Beat(ctx context.Context, id string, hb *hives.Heartbeat) (hives.HeartbeatAnswer, error) {
	var ans hives.HeartbeatAnswer
	err := f.callLeader(ctx, beatMethod, carried{ID: id, Beat: hb}, &ans)
	return ans, err
}

// leaderBeat takes a heartbeat in on the leader.
func (f *Fleet) leaderBeat(ctx context.Context, body []byte) ([]byte, error) {
	var c carried
	if err := json.Unmarshal(body, &c); err != nil || c.Beat == nil {
		return nil, fsm.Errorf(fsm.CodeInvalid, "heartbeat: does not parse: %v", err)
	}
	view := f.queen.View()
	hive, ok := view.Hive(c.ID)
	if !ok || view.Meta().Epoch.String() != c.Beat.Epoch {
		return nil, fsm.Errorf(fsm.CodeNotFound, "hive %.100q is not registered in epoch %s: register anew", c.ID, view.Meta().Epoch)
	}
	if hive.Incarnation != c.Beat.Incarnation {
		return nil, fsm.Errorf(fsm.CodeStale, "hive %s runs as incarnation %d; this beat is of %d", c.ID, hive.Incarnation, c.Beat.Incarnation)
	}
	facts, err := facts(c.Beat.URL, clip(c.Beat.Version, maxText), c.Beat.Devices, c.Beat.Labels, c.Beat.Engines)
	if err != nil {
		return nil, err
	}
	b, err := beat(c.ID, c.Beat)
	if err != nil {
		return nil, err
	}
	done, err := f.hear(ctx, c.ID, hive.Boot, c.Beat)
	if err != nil {
		return nil, err
	}
	defer done()
	facts = schedule.FactsAt(view.Meta().Level, facts)
	if !sameFacts(hive.Facts, facts) {
		b.Facts = &facts
	}
	if err := f.enter(ctx, &b); err != nil {
		return nil, err
	}
	return f.answer(c.ID)
}

// enter proposes a beat for as long as it says what the state does not, and Plan has more of
// it to decide.
func (f *Fleet) enter(ctx context.Context, b *schedule.Beat) error {
	for {
		view := f.queen.View()
		hive, ok := view.Hive(b.Hive)
		if !ok || b.Facts == nil && !changes(view, hive, b) {
			return nil
		}
		ans, err := f.queen.Do(ctx, schedule.Request{Beat: b})
		if err != nil || !ans.Again {
			return err
		}
		b.Facts = nil
	}
}

// answer says what the leader's newest view knows of the hive.
func (f *Fleet) answer(id string) ([]byte, error) {
	view := f.queen.View()
	ans := hives.HeartbeatAnswer{Epoch: view.Meta().Epoch.String(), IntervalMillis: f.interval.Milliseconds(), Queens: members(view)}
	if hive, ok := view.Hive(id); ok {
		ans.Index = hive.Changed
	}
	return json.Marshal(ans)
}

// members are the base URLs of the state's queens, in order of their ids.
func members(v *fsm.View) []string {
	var urls []string
	for q := range v.Queens() {
		if q.HTTP != "" {
			urls = append(urls, q.HTTP)
		}
	}
	return urls
}

// remember finds or makes the memory of a hive; the caller holds the lock.
func (f *Fleet) remember(id string) *heard {
	h := f.heard[id]
	if h == nil {
		h = &heard{turn: make(chan struct{}, 1)}
		f.heard[id] = h
	}
	return h
}

// hear notes a beat's telemetry and gives it its turn until done is called, or drops a beat
// that was overtaken by a later one of the same start.
func (f *Fleet) hear(ctx context.Context, id, boot string, hb *hives.Heartbeat) (done func(), err error) {
	f.mu.Lock()
	h := f.remember(id)
	f.mu.Unlock()
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := f.queen.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	of := start{boot, hb.Incarnation}
	if h.start == of && hb.Seq <= h.seq {
		<-h.turn
		return nil, fsm.Errorf(fsm.CodeStale, "beat %d of hive %s was overtaken by %d", hb.Seq, id, h.seq)
	}
	h.start, h.seq, h.at, h.wall, h.free = of, hb.Seq, now, time.Now(), map[string]int64{}
	h.devices = make(map[string]hives.Device, len(hb.Devices))
	h.files = fetchesOf(hb.Models, h.files, now)
	f.plans.note(id)
	for _, d := range hb.Devices {
		d.Note = clip(d.Note, maxText)
		h.devices[d.ID] = d
		if d.FreeBytes != nil {
			h.free[d.ID] = *d.FreeBytes
		}
	}
	return func() { <-h.turn }, nil
}

// Heard is when this queen, while leading, last heard of a hive (zero: never), with its
// devices as they were measured then, by their ids. The map is never changed later.
func (f *Fleet) Heard(id string) (time.Time, map[string]hives.Device) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.heard[id]; h != nil {
		return h.wall, h.devices
	}
	return time.Time{}, nil
}
