package nemesis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Config is what the nemesis may break.
type Config struct {
	Cluster *rig.Cluster
	Net     *rig.Net                // nil: none, and no plan names a kind that needs one
	Delays  map[string][]*rig.Delay // by queen
	Disk    *rig.Process            // the queen whose data directory is small; nil: none
	DiskDir string

	Fragile *rig.Process // the queen whose data directory is on Volume; nil: none
	Volume  *rig.Volume

	Say  func(text string)         // told of every fault as it begins
	Calm func(ctx context.Context) // called between rounds, when all is healed; nil: nothing
}

// Done is a step that was taken.
type Done struct {
	Kind    Kind
	Target  string
	At      time.Duration // from the start of Run
	Took    time.Duration
	Skipped string // why nothing was done, "" if something was
	Note    string // what was seen
}

// Nemesis does a plan. Make it with New, call Run once, read the rest afterwards.
type Nemesis struct {
	cfg   Config
	begun time.Time

	mu         sync.Mutex
	claimed    map[*rig.Process]bool
	done       []Done
	violations []string

	sky sky
}

// step is a Step under way.
type step struct {
	Step
	ctx  context.Context // ends early when the run does: heal at once
	told *Done
}

// hold waits as long as the fault is to last, or until the run ends.
func (s step) hold() { rig.Pause(s.ctx, s.For) }

// skipped says why a step does nothing.
type skipped string

func (s skipped) Error() string { return string(s) }

// New is a nemesis that has done nothing yet.
func New(cfg Config) *Nemesis {
	if cfg.Calm == nil {
		cfg.Calm = func(context.Context) {}
	}
	return &Nemesis{cfg: cfg, claimed: map[*rig.Process]bool{}, sky: sky{net: cfg.Net}}
}

// Run does one round after the other until they or ctx end. It heals before it returns. Its
// error is one of the harness; what the product did wrong is in Violations.
func (n *Nemesis) Run(ctx context.Context, rounds []Round) error {
	n.begun = time.Now()
	for _, r := range rounds {
		if ctx.Err() != nil {
			return nil
		}
		if err := n.round(ctx, r); err != nil {
			return err
		}
		if err := n.inspect(); err != nil {
			return err
		}
		after := time.Now()
		n.cfg.Calm(ctx)
		rig.Pause(ctx, r.Pause-time.Since(after))
	}
	return nil
}

func (n *Nemesis) round(ctx context.Context, r Round) error {
	errs := make([]error, len(r.Steps))
	var wait sync.WaitGroup
	for i, s := range r.Steps {
		wait.Go(func() {
			if rig.Pause(ctx, s.After) {
				errs[i] = n.step(ctx, s)
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (n *Nemesis) step(ctx context.Context, s Step) error {
	began := time.Now()
	d := Done{Kind: s.Kind, At: began.Sub(n.begun)}
	err := find(s.Kind).do(n, step{Step: s, ctx: ctx, told: &d})
	d.Took = time.Since(began)
	var why skipped
	if errors.As(err, &why) {
		d.Skipped, err = string(why), nil
		n.say("%s left out: %s", s.Kind, why)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done = append(n.done, d)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	return nil
}

// aim notes and tells what a step does to whom.
func (n *Nemesis) aim(s step, target string) {
	s.told.Target = target
	n.say("%-13s %s for %.1f s", s.Kind, target, s.For.Seconds())
}

func (n *Nemesis) say(format string, args ...any) {
	n.cfg.Say(fmt.Sprintf("%6.1f s  ", time.Since(n.begun).Seconds()) + fmt.Sprintf(format, args...))
}

// violate notes what must never happen.
func (n *Nemesis) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	n.say("VIOLATION: %s", text)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.violations = append(n.violations, text)
}

// Done is what was done, in the order of the ends.
func (n *Nemesis) Done() []Done {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Done{}, n.done...)
}

// Violations are what the nemesis itself saw go wrong: processes that ended unasked, did not
// leave in order, or stopped without a word.
func (n *Nemesis) Violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string{}, n.violations...)
}
