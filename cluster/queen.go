package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
)

// Queen is one member. Its methods may be called from any goroutine.
type Queen struct {
	cfg      Config
	replica  *replica
	board    *board
	metrics  *metrics
	duties   []Duty
	handlers map[string]LeaderHandler

	ran      atomic.Bool
	draining atomic.Bool
	ready    chan struct{}
	stop     context.CancelCauseFunc // of everything; the cause is why the queen stops
	inner    context.Context
	node     atomic.Pointer[node] // nil until open
	tokens   atomic.Pointer[tokens]
}

// Duty is work only the leader does. Run is called after the leader is established, again
// with backoff when it returns early, and must return when its context ends.
type Duty struct {
	Name string
	Run  func(ctx context.Context) error
}

// LeaderHandler answers a call on the leader. Its context ends with the caller's deadline or
// with leadership; an *fsm.Error keeps its code on the way back.
type LeaderHandler = func(ctx context.Context, body []byte) ([]byte, error)

// ErrAbrupt as the cause of Run's context ends the queen as a kill would: leadership is not
// handed on, and nobody is told.
var ErrAbrupt = errors.New("ends abruptly")

// New checks the configuration and makes a queen. It starts nothing and touches no file.
func New(cfg Config) (*Queen, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Boot == "" {
		cfg.Boot = ulid.Make().String()
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Network == nil {
		cfg.Network = TCP{}
	}
	if cfg.Clock == nil {
		cfg.Clock = now
	}
	q := &Queen{cfg: cfg, board: newBoard(cfg.Clock), metrics: newMetrics(), ready: make(chan struct{}), handlers: map[string]LeaderHandler{}}
	q.metrics.limit(&cfg.Bounds)
	q.inner, q.stop = context.WithCancelCause(context.Background())
	q.replica = newReplica(cfg.DataDir, newClock(cfg.Clock), q.fail)
	if cfg.Registerer != nil {
		if err := q.metrics.register(cfg.Registerer, q); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return q, nil
}

// fail stops the queen with a reason; only the first counts.
func (q *Queen) fail(err error) { q.stop(err) }

// Ready is closed once the queen has caught up with what was committed before its start.
func (q *Queen) Ready() <-chan struct{} { return q.ready }

// View is the newest state this queen has applied. Never nil; blank at first.
func (q *Queen) View() *fsm.View { return q.replica.view() }

// Now is cluster time, carried on from the last applied batch.
func (q *Queen) Now() fsm.Time { return q.replica.clock.Now() }

// Watch makes a watch of rows. A row with an empty ID means every row of its table. Make
// the watch, then read the View, then wait.
func (q *Queen) Watch(rows ...fsm.Row) *Watch { return q.replica.watches.add(rows) }

// HashAt is the state's hash at one of the last 1,024 batch indexes this queen applied.
func (q *Queen) HashAt(index uint64) (fsm.Sum, bool) { return q.replica.hashes.get(index) }

// HandleLeader registers a method that only an established leader serves. Before Run.
func (q *Queen) HandleLeader(method string, h LeaderHandler) { q.handlers[method] = h }

// Lead registers a duty. Before Run.
func (q *Queen) Lead(d Duty) { q.duties = append(q.duties, d) }

// Token is the cluster token, once Run has opened the data directory; empty before.
func (q *Queen) Token() string {
	if t := q.tokens.Load(); t != nil {
		return t.queen
	}
	return ""
}

// HiveToken is the token of hives, as soon as there is a Token; empty before.
func (q *Queen) HiveToken() string {
	if t := q.tokens.Load(); t != nil {
		return t.hive
	}
	return ""
}

// AuthorizeQueen tells whether a bearer token is the cluster's.
func (q *Queen) AuthorizeQueen(token string) bool {
	t := q.tokens.Load()
	return t != nil && t.queenSum.of(token)
}

// AuthorizeHive tells whether a bearer token is the hives'.
func (q *Queen) AuthorizeHive(token string) bool {
	t := q.tokens.Load()
	return t != nil && t.hiveSum.of(token)
}

// Join makes a queen a member, by way of the leader. Whoever exposes it checks
// AuthorizeQueen first.
func (q *Queen) Join(ctx context.Context, r JoinRequest) (JoinAnswer, error) {
	var a JoinAnswer
	if err := r.validate(); err != nil {
		return a, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	res, err := q.send(ctx, wireCall{Method: methodJoin, Body: body}, true)
	if err != nil {
		return a, err
	}
	err = json.Unmarshal(res.body, &a)
	return a, err
}

// Remove ends a queen's membership, by way of the leader, and returns the batch index at which
// it has ended; conflict when too few of the voters that remain would answer.
func (q *Queen) Remove(ctx context.Context, id string) (uint64, error) {
	r, err := q.send(ctx, wireCall{Method: methodRemove, Body: []byte(id)}, true)
	if err != nil || len(r.body) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(r.body), nil
}

// Transfer hands leadership to a voter, any when to is empty.
func (q *Queen) Transfer(ctx context.Context, to string) error {
	_, err := q.send(ctx, wireCall{Method: methodTransfer, Body: []byte(to)}, to != "")
	return err
}
