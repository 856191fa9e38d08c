package agent

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

// metrics is what an operator looks at first.
type metrics struct {
	registry    *prometheus.Registry
	beatsFailed prometheus.Counter
	restarts    prometheus.Counter
	ended       *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		beatsFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbee_hive_heartbeats_failed_total", Help: "Heartbeats that no leader was known to have got."}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "rbee_hive_worker_restarts_total", Help: "Engine processes that were started again."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rbee_hive_runs_ended_total", Help: "Runs that have ended, by outcome."}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.beatsFailed, m.restarts, m.ended,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observe adds what is measured when somebody asks.
func (m *metrics) observe(t *table, store *runlog.Store, readers *gauge) {
	m.registry.MustRegister(&observed{table: t, store: store, readers: readers})
}

// observed is a collector over the table.
type observed struct {
	table   *table
	store   *runlog.Store
	readers *gauge
}

var (
	descRuns    = prometheus.NewDesc("rbee_hive_runs", "Runs by state: alive, or ended and not yet taken by a leader.", []string{"state"}, nil)
	descBusy    = prometheus.NewDesc("rbee_hive_slots_busy", "Slots of engines in use.", nil, nil)
	descWorkers = prometheus.NewDesc("rbee_hive_workers", "Workers by state.", []string{"state"}, nil)
	descReaders = prometheus.NewDesc("rbee_hive_readers", "Open readers of runs.", nil, nil)
	descLog     = prometheus.NewDesc("rbee_hive_runlog_bytes", "Bytes of all run logs kept.", nil, nil)
	descIndex   = prometheus.NewDesc("rbee_hive_desired_index", "Index of the newest desired state acted on.", nil, nil)
)

func (o *observed) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRuns, descBusy, descWorkers, descReaders, descLog, descIndex} {
		out <- d
	}
}

func (o *observed) Collect(out chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	hb := o.table.report()
	states := map[hives.WorkerState]int{
		hives.WorkerSpawning: 0, hives.WorkerLoading: 0, hives.WorkerReady: 0, hives.WorkerFailed: 0, hives.WorkerStopped: 0,
	}
	busy := 0
	for _, w := range hb.Workers {
		states[w.State]++
		busy += w.Busy
	}
	for state, n := range states {
		set(descWorkers, float64(n), string(state))
	}
	set(descRuns, float64(len(hb.Runs)), "alive")
	set(descRuns, float64(len(hb.Ended)), "ended")
	set(descBusy, float64(busy))
	set(descReaders, float64(o.readers.n.Load()))
	set(descIndex, float64(hb.Index))
	bytes := int64(0)
	for _, l := range o.store.Logs() {
		bytes += l.Bytes()
	}
	set(descLog, float64(bytes))
}
