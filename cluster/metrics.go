package cluster

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator sees of a member.
type metrics struct {
	commit, plan, batch prometheus.Histogram
	queue               prometheus.Gauge
	refusedAsks         prometheus.Counter // answered system_at_capacity or sent elsewhere
	stale               prometheus.Counter // batches that met another state
	guarded             prometheus.Counter // commands a guard refused: a bug
	impossible          prometheus.Counter // requests that cannot be encoded: a bug
	changes             prometheus.Counter // times this queen was established
}

func newMetrics() *metrics {
	fast := prometheus.ExponentialBuckets(0.000_05, 2, 18) // 50 us to 6.5 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &metrics{
		commit:      histogram("rbee_commit_seconds", "Time from proposing a batch to its commit, on the leader.", fast),
		plan:        histogram("rbee_plan_seconds", "Time of one plan, on the leader.", fast),
		batch:       histogram("rbee_batch_requests", "Requests of one plan.", prometheus.ExponentialBuckets(1, 2, 12)),
		queue:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "rbee_proposer_queue", Help: "Requests waiting for the next plan, on the leader."}),
		refusedAsks: counter("rbee_proposer_refused_total", "Requests the proposer's queue did not take."),
		stale:       counter("rbee_batches_stale_total", "Batches refused by the state they met and planned again."),
		guarded:     counter("rbee_commands_guarded_total", "Planned commands that a guard refused. Not 0: a bug."),
		impossible:  counter("rbee_requests_impossible_total", "Requests that could not be encoded. Not 0: a bug."),
		changes:     counter("rbee_leaderships_total", "Times this queen became the established leader."),
	}
}

// register hands the metrics and q's own gauges to a registerer.
func (m *metrics) register(r prometheus.Registerer, q *Queen) error {
	gauge := func(name, help string, f func(Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return f(q.brief()) })
	}
	all := []prometheus.Collector{
		m.commit, m.plan, m.batch, m.queue, m.refusedAsks, m.stale, m.guarded, m.impossible, m.changes,
		gauge("rbee_is_leader", "1 on the established leader.", func(s Status) float64 {
			if s.Established {
				return 1
			}
			return 0
		}),
		gauge("rbee_raft_term", "Raft's term.", func(s Status) float64 { return float64(s.Term) }),
		gauge("rbee_applied_index", "Batch index of the newest state.", func(s Status) float64 { return float64(s.AppliedIndex) }),
		gauge("rbee_leader_last_contact_seconds", "Time since the leader was heard of; 0 on the leader.", func(s Status) float64 { return float64(s.LastContact) / 1000 }),
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
