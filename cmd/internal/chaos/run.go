package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"queen-rbee/cmd/internal/chaos/crowd"
	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/chaos/nemesis"
	"queen-rbee/cmd/internal/e2e/rig"
)

// ErrViolated is the error of a run that found what must never happen.
var ErrViolated = errors.New("there are violations")

// run is one run under way.
type run struct {
	cfg     Config
	t       testing.TB
	stage   *stage
	ref     *rig.Reference
	crowd   *crowd.Crowd
	watch   *watch
	nemesis *nemesis.Nemesis

	took, settled time.Duration
}

// Run does all of it and writes to out. nil: no violation. ErrViolated: the report names
// them, and the data and logs were kept. Another error: nothing was proven.
func Run(ctx context.Context, c Config, out io.Writer) error {
	say := func(text string) { _, _ = fmt.Fprintln(out, text) }
	say(fmt.Sprintf("chaos: seed %d for %s: %s", c.Seed, c.Duration, c.cast()))
	var found *Report
	err := rig.Alone(ctx, say, func(t testing.TB) {
		r := &run{cfg: c, t: t}
		report, err := r.do(say)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		found = report
		if len(report.Violations) > 0 || c.Keep != "" {
			if report.Kept, err = r.keep(); err != nil {
				t.Errorf("keeping the data: %v", err)
			}
		}
		if err := report.Print(out, c.Report); err != nil {
			t.Error(err)
		}
		if len(report.Violations) > 0 {
			t.Error(ErrViolated)
		}
	})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: nothing was proven: %w", context.Cause(ctx))
	case found != nil && len(found.Violations) > 0:
		return ErrViolated
	}
	return err
}

// do is the run from the start of the cluster to the verdict.
func (r *run) do(say func(string)) (*Report, error) {
	r.stage = build(r.t, r.cfg)
	r.ref = rig.NewReference(r.t)
	kinds, cannot := r.stage.possible(r.cfg.Faults)
	for _, k := range r.cfg.Faults {
		if why := cannot[k]; why != "" {
			say(fmt.Sprintf("%s is left out: %s", k, why))
		}
	}
	file, err := os.Create(filepath.Join(r.stage.cluster.Dir, "history.jsonl"))
	if err != nil {
		return nil, err
	}
	lines := bufio.NewWriter(file)
	record := history.NewRecorder(lines)
	r.watch = &watch{cluster: r.stage.cluster, record: record}
	r.crowd = &crowd.Crowd{Cluster: r.stage.cluster, Record: record, Seed: r.cfg.Seed}
	r.nemesis = nemesis.New(nemesis.Config{
		Cluster: r.stage.cluster, Net: r.stage.net, Delays: r.stage.delays, Disk: r.stage.disk, DiskDir: r.stage.diskDir,
		Fragile: r.stage.fragile, Volume: r.stage.volume,
		Say: say, Calm: r.watch.hashes,
	})
	stuck, err := r.play(kinds, say)
	err = errors.Join(err, record.Close(), lines.Flush(), file.Close())
	if err != nil {
		return nil, err
	}
	report := r.judge(record.History(), stuck)
	report.Took, report.Settled, report.LeftOut = r.took, r.settled, cannot
	return report, nil
}

// play lets the nemesis, the clients and the watch go, and ends them in order. stuck says
// what has not ended.
func (r *run) play(kinds []nemesis.Kind, say func(string)) (stuck, err error) {
	ctx, stop := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	all.Go(func() { r.watch.slots(ctx) })
	enough, crowdDone := make(chan struct{}), make(chan struct{})
	all.Go(func() {
		defer close(crowdDone)
		r.crowd.Run(ctx, r.cfg.Clients, enough)
	})
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, r.cfg.Duration)
	broke := r.nemesis.Run(limited, nemesis.Plan(r.cfg.Seed, r.cfg.Duration, kinds))
	if broke == nil {
		<-limited.Done() // rounds may have been quicker than planned
	}
	cancel()
	close(enough)
	r.took = time.Since(began)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	say("all is healed; waiting until everything accepted has ended")
	healed := time.Now()
	stuck = r.settle(ctx, crowdDone)
	r.settled = time.Since(healed)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := r.lastLook(ctx); err != nil {
		stuck = errors.Join(stuck, fmt.Errorf("the queens do not tell what they hold: %w", err))
	}
	if broke != nil {
		stuck = errors.Join(stuck, fmt.Errorf("the nemesis could not go on: %w", broke))
	}
	return stuck, nil
}

// keep ends the cluster, copies everything before it is removed, and tells where to.
func (r *run) keep() (string, error) {
	for _, p := range slices.Concat(r.stage.cluster.Queens, r.stage.cluster.Hives) {
		if p.Send(syscall.SIGKILL) == nil {
			<-p.Over()
		}
	}
	dir, err := r.cfg.Keep, error(nil)
	if dir == "" {
		dir, err = os.MkdirTemp("", fmt.Sprintf("rbee-chaos-%d-", r.cfg.Seed))
	}
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, "cluster"), os.DirFS(r.stage.cluster.Dir))
	}
	if d := r.stage.disk; err == nil && d != nil {
		err = os.CopyFS(filepath.Join(dir, d.Name+"-data"), os.DirFS(r.stage.diskDir))
	}
	return dir, err
}
