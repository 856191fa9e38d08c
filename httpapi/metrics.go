package httpapi

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/fsm"
)

// metrics are what an operator looks at first; commit and plan latency, batch size, leader,
// term and last contact are the cluster's own.
type metrics struct {
	requests *prometheus.CounterVec
	relayed  prometheus.Counter
}

func newMetrics(reg *prometheus.Registry, q Queen, streams *atomic.Int64) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbee_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		relayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbee_relayed_tokens_total", Help: "Records of runs (one for each token) copied to clients.",
		}),
	}
	counts := func(f func(fsm.Counts) float64) func() float64 {
		return func() float64 { return f(q.View().Counts()) }
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
	}
	reg.MustRegister(m.requests, m.relayed,
		gauge("rbee_queue_depth", "Jobs waiting for a slot.", counts(func(c fsm.Counts) float64 { return float64(c.Queued) })),
		gauge("rbee_jobs_running", "Jobs on a worker.", counts(func(c fsm.Counts) float64 { return float64(c.Running) })),
		gauge("rbee_queued_body_bytes", "Bytes of bodies of jobs not ended.", counts(func(c fsm.Counts) float64 { return float64(c.QueuedBytes) })),
		gauge("rbee_streams_open", "Streams this queen serves.", func() float64 { return float64(streams.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "rbee_jobs_ended_total", Help: "Jobs ended since the cluster's beginning.",
		}, counts(func(c fsm.Counts) float64 { return float64(c.Completed + c.Failed + c.Cancelled) })),
	)
	return m
}
