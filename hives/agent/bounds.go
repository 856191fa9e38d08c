package agent

import (
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/hives/door"
	"queen-rbee/hives/runlog"
)

// bounds is a collector of what this hive holds of each of its limits.
type bounds struct {
	door    *door.Door
	readers *gauge
	table   *table
	store   *runlog.Store
	shelf   *shelf
	sending *gauge
}

var (
	descLimit   = prometheus.NewDesc("rbee_hive_bound_limit", "Limit of each bound of this hive.", []string{"bound"}, nil)
	descUsed    = prometheus.NewDesc("rbee_hive_bound_used", "What is used of each bound.", []string{"bound"}, nil)
	descRefused = prometheus.NewDesc("rbee_hive_bound_refused_total", "What found no room within each bound.", []string{"bound"}, nil)
	descEvicted = prometheus.NewDesc("rbee_hive_connections_evicted_total", "Idle connections closed to make room for others.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *bounds) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLimit, descUsed, descRefused, descEvicted} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (b *bounds) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	show := func(name string, limit, used int64) {
		out <- prometheus.MustNewConstMetric(descLimit, prometheus.GaugeValue, float64(limit), name)
		out <- prometheus.MustNewConstMetric(descUsed, prometheus.GaugeValue, float64(used), name)
	}
	runs, workers := b.table.counts()
	used, limit := b.store.Usage()
	show("connections", int64(b.door.Limit()), int64(b.door.Open()))
	show("readers", b.readers.max, b.readers.n.Load())
	show("runs", maxAlive, int64(runs))
	show("workers", maxWorkers, int64(workers))
	show("runlog_bytes", limit, used)
	show("models_bytes", b.shelf.store.Limit(), b.shelf.bytes())
	show("blobs", b.sending.max, b.sending.n.Load())
	counter(descRefused, b.door.Refused(), "connections")
	counter(descRefused, b.readers.refused.Load(), "readers")
	counter(descRefused, b.table.fullRuns.Load(), "runs")
	counter(descRefused, b.table.fullWorkers.Load(), "workers")
	counter(descRefused, b.sending.refused.Load(), "blobs")
	counter(descEvicted, b.door.Evicted())
}
