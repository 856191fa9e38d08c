package httpapi

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
)

// maxQueries is how many blocking queries may wait at once: hives for what is desired of them,
// clients for a worker or for the end of what they cancelled.
const maxQueries = 8192

// queries counts the blocking queries. Clients get three quarters of them, so that no flood of
// theirs keeps a hive from learning what it should do.
type queries struct {
	limit   int64
	held    atomic.Int64
	refused atomic.Uint64
}

// enter reserves a blocking query; leave must be called if it found room.
func (q *queries) enter(a access) (leave func(), ok bool) {
	most := q.limit
	if a != ofHive {
		most -= q.limit / 4
	}
	if q.held.Add(1) > most {
		q.held.Add(-1)
		q.refused.Add(1)
		return nil, false
	}
	return func() { q.held.Add(-1) }, true
}

// errBusy refuses a blocking query.
func (q *queries) errBusy() error {
	return fsm.Errorf(codeBusy, "this queen has its limit of %d blocking queries open; ask another", q.limit)
}

// errCrowded is told on a connection beyond the limit.
func (s *Server) errCrowded() error {
	return fsm.Errorf(codeBusy, "this queen has its limit of %d connections in use; ask another", s.door.Limit())
}

// bounds are the limits of this API as its metrics show them.
func (s *Server) bounds() []cluster.Bound {
	return []cluster.Bound{
		{Name: "connections", Limit: int64(s.door.Limit()), Used: func() int64 { return int64(s.door.Open()) }, Refused: s.door.Refused},
		{Name: "streams", Limit: int64(s.cfg.MaxStreams), Used: s.streams.Load, Refused: s.streamsRefused.Load},
		{Name: "blocking_queries", Limit: s.queries.limit, Used: s.queries.held.Load, Refused: s.queries.refused.Load},
		s.clients.bound("body_bytes"),
		s.machines.bound("machine_body_bytes"),
		s.answers.bound("answer_bytes"),
	}
}

// showBounds hands the metrics of every bound to the registry.
func (s *Server) showBounds(reg *prometheus.Registry) {
	reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "rbee_connections_evicted_total", Help: "Idle connections closed to make room for others.",
	}, func() float64 { return float64(s.door.Evicted()) }))
	for _, b := range s.bounds() {
		if err := b.Register(reg); err != nil {
			panic(err) // two bounds of one name: a bug that no start survives
		}
	}
}
