package cluster

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Bound is a limit as an operator sees it at /metrics, under its name as the label `bound`:
// rbee_bound_limit, rbee_bound_used and rbee_bound_refused_total. docs/limits.md lists them.
type Bound struct {
	Name    string
	Limit   int64
	Used    func() int64
	Refused func() uint64 // what found no room; nil where nothing is ever refused
}

// Register hands the bound's metrics to a registerer.
func (b Bound) Register(r prometheus.Registerer) error {
	label := prometheus.Labels{"bound": b.Name}
	all := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rbee_bound_limit", Help: "Limit of each bound of this queen.", ConstLabels: label,
		}, func() float64 { return float64(b.Limit) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "rbee_bound_used", Help: "What is used of each bound.", ConstLabels: label,
		}, func() float64 { return float64(b.Used()) }),
	}
	if b.Refused != nil {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "rbee_bound_refused_total", Help: "What found no room within each bound.", ConstLabels: label,
		}, func() float64 { return float64(b.Refused()) }))
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// tally counts what is held of a bound. Safe for concurrent use; a nil one has no limit.
type tally struct {
	limit    int64
	reserved int64 // of limit, for those who may use the reserve
	held     atomic.Int64
	refused  atomic.Uint64
}

// take holds one more, or refuses it.
func (t *tally) take(reserve bool) bool {
	if t == nil {
		return true
	}
	most := t.limit
	if !reserve {
		most -= t.reserved
	}
	if t.held.Add(1) > most {
		t.held.Add(-1)
		t.refused.Add(1)
		return false
	}
	return true
}

// hold counts one that found room by a limit kept elsewhere, refuse one that found none.
func (t *tally) hold() {
	if t != nil {
		t.held.Add(1)
	}
}

func (t *tally) refuse() {
	if t != nil {
		t.refused.Add(1)
	}
}

// give lets go of one.
func (t *tally) give() {
	if t != nil {
		t.held.Add(-1)
	}
}

func (t *tally) bound(name string) Bound {
	return Bound{Name: name, Limit: t.limit, Used: t.held.Load, Refused: t.refused.Load}
}
