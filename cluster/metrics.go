package cluster

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/fsm"
)

// metrics are what an operator sees of a member.
type metrics struct {
	commit, plan, batch prometheus.Histogram
	queue               prometheus.Gauge
	refusedAsks         prometheus.Counter // answered system_at_capacity or sent elsewhere
	unadmitted          prometheus.Counter // jobs that the cluster's queue has no place for
	stale               prometheus.Counter // batches that met another state
	guarded             prometheus.Counter // commands a guard refused: a bug
	impossible          prometheus.Counter // requests that cannot be encoded: a bug
	changes             prometheus.Counter // times this queen was established

	tolerance, unhealthy prometheus.Gauge   // autopilot's word, on the leader
	rounds               prometheus.Counter // of autopilot
	buried               prometheus.Counter // dead voters removed

	asks, askBytes waiting // at the proposer
	forwarded      tally
	linked         tally // calls on their way to other queens; nearly all to the leader
	handled        tally // calls of other queens that run a handler
}

// waiting is how much of a bound is used, and how often it refused.
type waiting struct {
	now     atomic.Int64
	refused atomic.Uint64
}

func newMetrics() *metrics {
	fast := prometheus.ExponentialBuckets(0.000_05, 2, 18) // 50 us to 6.5 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &metrics{
		commit:      histogram("rbee_commit_seconds", "Time from proposing a batch to its commit, on the leader.", fast),
		plan:        histogram("rbee_plan_seconds", "Time of one plan, on the leader.", fast),
		batch:       histogram("rbee_batch_requests", "Requests of one plan.", prometheus.ExponentialBuckets(1, 2, 12)),
		queue:       gauge("rbee_proposer_queue", "Requests waiting for the next plan, on the leader."),
		refusedAsks: counter("rbee_proposer_refused_total", "Requests the proposer's queue did not take."),
		unadmitted:  counter("rbee_admission_refused_total", "Jobs refused because the cluster's queue was full in jobs or bytes, on the leader."),
		stale:       counter("rbee_batches_stale_total", "Batches refused by the state they met and planned again."),
		guarded:     counter("rbee_commands_guarded_total", "Planned commands that a guard refused. Not 0: a bug."),
		impossible:  counter("rbee_requests_impossible_total", "Requests that could not be encoded. Not 0: a bug."),
		changes:     counter("rbee_leaderships_total", "Times this queen became the established leader."),
		tolerance:   gauge("rbee_failure_tolerance", "Healthy voters that may fail before a majority is lost; 0 beside the leader."),
		unhealthy:   gauge("rbee_queens_unhealthy", "Members that do not answer or lag, relays too; 0 beside the leader."),
		rounds:      counter("rbee_autopilot_rounds_total", "Times autopilot has looked at all members, on the leader."),
		buried:      counter("rbee_dead_voters_removed_total", "Voters removed because they were dead for long."),
	}
}

// limit sets the limits of what is counted here.
func (m *metrics) limit(b *Bounds) {
	m.forwarded.limit, m.forwarded.reserved = int64(b.Forwarded), int64(b.Forwarded/4)
	m.linked.limit, m.handled.limit = linkWaiting, connHandlers
}

// register hands the metrics and q's own gauges to a registerer.
func (m *metrics) register(r prometheus.Registerer, q *Queen) error {
	gauge := func(name, help string, f func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return f(q.brief()) })
	}
	all := []prometheus.Collector{
		m.commit, m.plan, m.batch, m.queue, m.refusedAsks, m.unadmitted, m.stale, m.guarded, m.impossible, m.changes,
		m.tolerance, m.unhealthy, m.rounds, m.buried,
		gauge("rbee_is_leader", "1 on the established leader.", func(s Status) float64 {
			if s.Established {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rbee_watches", Help: "Watches of rows: at most two for each open stream and blocking query."},
			func() float64 { return float64(q.replica.watches.count()) }),
		gauge("rbee_raft_term", "Raft's term.", func(s Status) float64 { return float64(s.Term) }),
		gauge("rbee_applied_index", "Batch index of the newest state.", func(s Status) float64 { return float64(s.AppliedIndex) }),
		gauge("rbee_leader_last_contact_seconds", "Time since the leader was heard of; 0 on the leader.", func(s Status) float64 { return float64(s.LastContact) / 1000 }),
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	for _, b := range m.bounds(q) {
		if err := b.Register(r); err != nil {
			return err
		}
	}
	return nil
}

// bounds are those of a member: its own, and the cluster's as its replica knows them.
func (m *metrics) bounds(q *Queen) []Bound {
	b, l := &q.cfg.Bounds, &q.cfg.Limits
	state := func(f func(*fsm.View) int64) func() int64 { return func() int64 { return f(q.View()) } }
	return []Bound{
		m.forwarded.bound("forwarded"), m.linked.bound("link_calls"), m.handled.bound("peer_calls"),
		{Name: "proposer_requests", Limit: int64(b.Queue), Used: m.asks.now.Load, Refused: m.asks.refused.Load},
		{Name: "proposer_bytes", Limit: b.QueueBytes, Used: m.askBytes.now.Load, Refused: m.askBytes.refused.Load},
		{Name: "queued_jobs", Limit: int64(l.QueuedJobs), Used: state(func(v *fsm.View) int64 { return int64(v.Counts().Queued) })},
		{Name: "queued_body_bytes", Limit: l.QueuedBytes, Used: state(func(v *fsm.View) int64 { return v.Counts().QueuedBytes })},
		{Name: "ended_jobs", Limit: int64(l.RetainJobs), Used: state(func(v *fsm.View) int64 { return int64(v.Counts().Ended) })},
		{Name: "idempotency_keys", Limit: int64(l.IdempotencyKeys), Used: state(func(v *fsm.View) int64 { return int64(v.Keyed()) })},
	}
}
