package httpapi

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/hives/engine/enginetest"
	"queen-rbee/hives/fleet"
	"queen-rbee/schedule"
)

func TestMain(m *testing.M) {
	enginetest.Main()
	goleak.VerifyTestMain(m)
}

const (
	apiKey    = "rbee-key-of-these-tests"
	userKey   = "rbee-key-of-another-tenant"
	testToken = "rbee-cluster-token-of-tests"
	testModel = "builtin/markov"
)

// soleQueen is a cluster of one without a log: the real state and the real plan, applied at
// once. Tests cut it off by setting down.
type soleQueen struct {
	t *testing.T

	mu       sync.Mutex
	state    *fsm.State
	view     *fsm.View
	began    time.Time
	peers    []cluster.Peer    // what Status tells of members
	applied  map[string]uint64 // the members that answer
	down     error             // what Do and Strong answer instead, when set
	unsaid   error             // what Do answers to a submission although it has done it, when set
	watches  map[*soleWatch]bool
	handlers map[string]func(context.Context, []byte) ([]byte, error)
	hashes   map[uint64]fsm.Sum
	tick     *time.Timer
	closed   bool
	heard    func() (map[string]schedule.HiveTelemetry, float64)
	onDown   chan struct{} // told when Do was refused by down
	behind   *fsm.View     // what View answers instead, when set: a replica that lags
}

type soleWatch struct {
	q    *soleQueen
	rows []fsm.Row
	c    chan struct{}
}

func (w *soleWatch) C() <-chan struct{} { return w.c }
func (w *soleWatch) Close() {
	w.q.mu.Lock()
	defer w.q.mu.Unlock()
	delete(w.q.watches, w)
}

func newSoleQueen(t *testing.T) *soleQueen {
	q := &soleQueen{
		t: t, state: fsm.New(), began: time.Now(), watches: map[*soleWatch]bool{}, hashes: map[uint64]fsm.Sum{},
		handlers: map[string]func(context.Context, []byte) ([]byte, error){},
	}
	q.view = q.state.View()
	q.must(schedule.Request{Genesis: &schedule.Genesis{
		ClusterID: "01TESTCLUSTER", Epoch: fsm.Epoch{1}, AdminKey: sha256.Sum256([]byte(apiKey)),
	}})
	q.must(schedule.Request{PutKey: &schedule.PutKey{Key: fsm.Key{
		Hash: sha256.Sum256([]byte(userKey)), Tenant: "other", Role: fsm.KeyUser,
	}}})
	q.must(schedule.Request{Member: &schedule.Member{Queen: fsm.Queen{ID: "q1", Boot: "boot", Role: fsm.RoleVoter, HTTP: "http://127.0.0.1:1", Level: fsm.CurrentLevel}}})
	return q
}

func (q *soleQueen) must(r schedule.Request) schedule.Answer {
	q.t.Helper()
	a, err := q.Do(context.Background(), r)
	if err != nil {
		q.t.Fatal(err)
	}
	return a
}

func (q *soleQueen) now() fsm.Time { return time.Since(q.began) + time.Second }

// Do plans and applies one request.
func (q *soleQueen) Do(_ context.Context, r schedule.Request) (schedule.Answer, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		select {
		case q.onDown <- struct{}{}:
		default:
		}
		return schedule.Answer{}, q.down
	}
	w := schedule.World{
		View: q.view, Limits: schedule.Defaults(),
		Queens: map[string]schedule.Presence{"q1": {Boot: "boot", LastSeen: q.now()}},
	}
	if q.heard != nil {
		q.mu.Unlock() // the fleet reads the view
		w.Hives, w.DrainRate = q.heard()
		q.mu.Lock()
		w.View = q.view
	}
	p := schedule.Plan(w, []schedule.Request{r}, q.now(), time.Now().UnixMilli())
	if len(p.Batch.Commands) > 0 {
		q.apply(&p.Batch)
	}
	q.tickAt(p.Wake)
	if a := p.Answers[0]; a.Err != nil {
		return a, a.Err
	}
	if q.unsaid != nil && r.Submit != nil {
		return schedule.Answer{}, q.unsaid
	}
	return p.Answers[0], nil
}

// tickAt plans again when the next timer is due, as a leader does.
func (q *soleQueen) tickAt(wake fsm.Time) {
	if q.tick != nil {
		q.tick.Stop()
	}
	if wake == 0 || q.closed {
		return
	}
	q.tick = time.AfterFunc(max(time.Millisecond, wake-q.now()), func() {
		// A queen that is down plans when it is back: the next request brings its tick.
		_, _ = q.Do(context.Background(), schedule.Request{Tick: &schedule.Tick{}})
	})
}

func (q *soleQueen) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.tickAt(0)
}

func (q *soleQueen) apply(b *fsm.Batch) {
	out := q.state.Apply(b)
	if out.Refused != nil {
		q.t.Errorf("batch refused: %v", out.Refused)
	}
	for i, err := range out.Errs {
		if err != nil {
			q.t.Errorf("command %T refused: %v", b.Commands[i], err)
		}
	}
	q.view = q.state.View()
	q.hashes[out.Index] = q.view.Hash()
	for w := range q.watches {
		for _, row := range w.rows {
			for _, c := range out.Changed {
				if c == row || row.ID == "" && c.Table == row.Table {
					select {
					case w.c <- struct{}{}:
					default:
					}
				}
			}
		}
	}
}

func (q *soleQueen) View() *fsm.View {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.behind != nil {
		return q.behind
	}
	return q.view
}

func (q *soleQueen) Now() fsm.Time { return q.now() }

func (q *soleQueen) Strong(context.Context) (*fsm.View, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down != nil {
		return nil, q.down
	}
	q.behind = nil
	return q.view, nil
}

func (q *soleQueen) WaitIndex(ctx context.Context, index uint64) (*fsm.View, error) {
	if v := q.View(); v.Meta().Index >= index {
		return v, nil
	}
	return nil, fsm.Errorf(fsm.CodeReplicaBehind, "this replica is behind %d", index)
}

func (q *soleQueen) Watch(rows ...fsm.Row) fleet.Watch {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &soleWatch{q: q, rows: rows, c: make(chan struct{}, 1)}
	q.watches[w] = true
	return w
}

func (q *soleQueen) CallLeader(ctx context.Context, method string, body []byte) ([]byte, error) {
	q.mu.Lock()
	h, down := q.handlers[method], q.down
	q.mu.Unlock()
	if down != nil {
		return nil, down
	}
	return h(ctx, body)
}

func (q *soleQueen) HandleLeader(method string, h func(context.Context, []byte) ([]byte, error)) {
	q.handlers[method] = h
}

func (q *soleQueen) Status() cluster.Status {
	return cluster.Status{ID: "q1", Leader: "q1", IsLeader: true, Established: true, Ready: true, Peers: q.peers}
}
func (q *soleQueen) Applied(context.Context) map[string]uint64 { return q.applied }
func (q *soleQueen) HashAt(i uint64) (fsm.Sum, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, ok := q.hashes[i]
	return s, ok
}
func (q *soleQueen) Join(context.Context, cluster.JoinRequest) (cluster.JoinAnswer, error) {
	return cluster.JoinAnswer{ClusterID: "01TESTCLUSTER", Index: changedAt}, nil
}
func (q *soleQueen) Remove(context.Context, string) (uint64, error) { return changedAt, nil }
func (q *soleQueen) Transfer(context.Context, string) error         { return nil }
func (q *soleQueen) AuthorizeQueen(token string) bool               { return token == testToken }
func (q *soleQueen) AuthorizeHive(token string) bool                { return token == cluster.HiveToken(testToken) }
func (q *soleQueen) Token() string                                  { return testToken }

// world is a queen's API over HTTP with one hive that the test plays.
type world struct {
	*testing.T
	queen *soleQueen
	fleet *fleet.Fleet
	api   *Server
	http  *httptest.Server
	hive  *playedHive
	seq   uint64
	inc   uint64
	said  hives.Heartbeat // the last
}

func newWorld(t *testing.T) *world {
	q := newSoleQueen(t)
	fl := fleet.New(q, 100*time.Millisecond)
	q.heard = fl.Telemetry
	client := hives.NewClient(func() string { return cluster.HiveToken(testToken) }, nil)
	w := &world{T: t, queen: q, fleet: fl}
	w.api = New(Config{
		Queen: q, Fleet: fl, Hives: client, Name: "q1", Boot: "boot", Limits: schedule.Defaults(),
		Logger: hclog.NewNullLogger(), BodyLimit: 64 << 10,
	})
	w.http = httptest.NewServer(w.api)
	w.hive = newPlayedHive(t)
	t.Cleanup(func() {
		q.close()
		w.hive.close()
		w.http.Close()
		w.api.close()
		client.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return w
}

// register makes the hive known with one model.
func (w *world) register() {
	w.Helper()
	ans, err := w.fleet.Register(w.Context(), hives.Registration{
		ID: "h1", Boot: "b1", URL: w.hive.srv.URL, Version: "test",
		Devices: []hives.Device{{ID: "cpu", Kind: "cpu", TotalBytes: 1 << 30}},
		Engines: []hives.Engine{{Name: "builtin", Models: []hives.EngineModel{{Ref: testModel, VRAMBytes: 1 << 20, Slots: 2}}}},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.inc = ans.Incarnation
}

// ready spawns a worker of the model and reports it ready.
func (w *world) ready() (worker string) {
	w.Helper()
	w.register()
	a := w.queen.must(schedule.Request{SpawnWorker: &schedule.SpawnWorker{ID: "w-1", Model: testModel}})
	w.beat(func(hb *hives.Heartbeat) {
		hb.Workers = []hives.WorkerReport{{ID: a.Worker, State: hives.WorkerReady, Slots: 2}}
	})
	return a.Worker
}

// beat sends the hive's next heartbeat.
func (w *world) beat(change func(*hives.Heartbeat)) hives.HeartbeatAnswer {
	w.Helper()
	w.seq++
	hb := &hives.Heartbeat{
		Incarnation: w.inc, Seq: w.seq, Epoch: w.queen.View().Meta().Epoch.String(), URL: w.hive.srv.URL, Version: "test",
		Devices: []hives.Device{{ID: "cpu", Kind: "cpu", TotalBytes: 1 << 30}},
		Engines: []hives.Engine{{Name: "builtin", Models: []hives.EngineModel{{Ref: testModel, VRAMBytes: 1 << 20, Slots: 2}}}},
	}
	change(hb)
	w.said = *hb
	ans, err := w.fleet.Beat(w.Context(), "h1", hb)
	if err != nil {
		w.Fatal(err)
	}
	return ans
}

// goOnBeating repeats the hive's last heartbeat until the test ends, for one that may take longer
// than a hive may be silent. The test sends none of its own meanwhile.
func (w *world) goOnBeating() {
	over, done := make(chan struct{}), make(chan struct{})
	w.Cleanup(func() {
		close(over)
		<-done
	})
	go func() {
		defer close(done)
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				w.said.Seq++
				if _, err := w.fleet.Beat(context.Background(), "h1", &w.said); err != nil {
					w.Error(err)
				}
			case <-over:
				return
			}
		}
	}()
}
