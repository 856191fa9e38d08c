package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"time"
)

// Options say what is run and how.
type Options struct {
	Run    *regexp.Regexp // families with a row it matches; nil is all
	Rounds int            // that count
	Quick  bool           // shorter spans, fewer trials, smaller worlds where the ratio allows it
	Dir    string         // where data is put: the disk that is measured
	Log    io.Writer      // what goes on, for people
}

// Run measures families one after the other. Only what stops the whole run is an error; a
// family that fails has its reason in its rows' notes. When ctx ends, what was measured is
// reported.
func Run(ctx context.Context, families []Family, o Options) ([]Row, error) {
	probe, err := openProbe(o.Dir)
	if err != nil {
		return nil, err
	}
	defer probe.close()
	var (
		rows  []Row
		noise []sample
	)
	for _, f := range families {
		if !o.wants(f) {
			continue
		}
		_, _ = fmt.Fprintf(o.Log, "%s\n", f.Name)
		began := time.Now()
		r := newRounds(f, o, probe)
		err := r.run(ctx, f)
		if err != nil {
			_, _ = fmt.Fprintf(o.Log, "  not measured: %v\n", err)
		}
		_, _ = fmt.Fprintf(o.Log, "  took %v\n", time.Since(began).Round(100*time.Millisecond))
		rows = append(rows, r.rows(f, err)...)
		noise = append(noise, r.noise...)
		debug.FreeOSMemory() // the next family starts with a heap of its own
	}
	return append(rows, noiseRows(noise)...), nil
}

func (o Options) wants(f Family) bool {
	return o.Run == nil || o.Run.MatchString(f.Name) ||
		slices.ContainsFunc(f.Rows, func(s Spec) bool { return o.Run.MatchString(s.Name) })
}

func newRounds(f Family, o Options, p *probe) *Rounds {
	r := &Rounds{N: o.Rounds, Quick: o.Quick, log: o.Log, probe: p, Dir: o.Dir,
		taken: map[string]*taken{}, known: map[string]bool{}, worded: map[string]string{}}
	for _, s := range f.Rows {
		r.known[s.Name] = true
	}
	return r
}

// run gives a family a directory of its own.
func (r *Rounds) run(ctx context.Context, f Family) (err error) {
	dir, err := os.MkdirTemp(r.Dir, "family-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r.Dir = dir
	return f.Run(ctx, r)
}

// noiseRows are the machine's own, over the whole run: where the greatest is far from the
// median, others were at work, and rows should be measured again.
func noiseRows(all []sample) []Row {
	var loops, syncs []float64
	for _, s := range all {
		loops, syncs = append(loops, s.loop), append(syncs, s.sync)
	}
	return []Row{
		Spec{Name: "machine: a fixed CPU loop", Unit: "ms"}.row(loops, nil, loops, ""),
		Spec{Name: "machine: one fdatasync", Unit: "ms"}.row(syncs, nil, loops, ""),
	}
}
