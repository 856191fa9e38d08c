package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// proposer is the single writer: gather, plan, commit, answer, again. Its loop runs on the
// established leader only and has one batch in flight, so every plan sees all that was
// committed before it.
type proposer struct {
	bounds  Bounds
	tick    time.Duration
	log     hclog.Logger
	metrics *metrics
	raft    raftLog
	view    func() *fsm.View
	clock   func() fsm.Time
	wall    func() time.Time
	world   func(*fsm.View, fsm.Time) schedule.World
	plan    func(schedule.World, []schedule.Request, fsm.Time, fsm.Millis) schedule.Planned
	expect  func(data []byte, b *fsm.Batch) // told what is proposed, decoded, before it is; nil tells nobody

	queue *queue
	wake  fsm.Time // when the newest plan wants the next one; 0 for never
	more  bool     // the newest plan left something over
}

// errLeadershipOver ends the loop: what became of the newest batch is not known here, so
// nothing may be planned until a Barrier has stood.
var errLeadershipOver = errors.New("leadership ended with a batch in flight")

// submit hands an ask in. Its reply may be called before submit returns.
func (p *proposer) submit(a *ask) {
	a.at = p.wall()
	if f, err := p.queue.put(a); f != 0 {
		p.metrics.refusedAsks.Inc()
		switch err {
		case errManyAsks:
			p.metrics.asks.refused.Add(1)
		case errLargeAsks:
			p.metrics.askBytes.refused.Add(1)
		}
		a.reply(result{fate: f, err: err})
		return
	}
	p.observe()
}

// observe shows how much waits.
func (p *proposer) observe() {
	n, bytes := p.queue.depth()
	p.metrics.queue.Set(float64(n))
	p.metrics.asks.now.Store(int64(n))
	p.metrics.askBytes.now.Store(int64(bytes))
}

// run is the loop. When it returns, every ask has been answered.
func (p *proposer) run(ctx context.Context) error {
	defer func() {
		p.queue.close()
		p.observe()
	}()
	for p.gather(ctx) {
		asks := p.queue.take()
		p.observe()
		if err := p.round(ctx, asks); err != nil {
			return err
		}
	}
	return nil
}

// gather waits until there is something to plan; false when ctx has ended.
func (p *proposer) gather(ctx context.Context) bool {
	n, hurry := p.queue.waiting()
	if p.more && n == 0 {
		return ctx.Err() == nil
	}
	idle := time.NewTimer(p.untilDue())
	defer idle.Stop()
	for n == 0 {
		select {
		case <-ctx.Done():
			return false
		case <-idle.C:
			return true
		case <-p.queue.bell:
		}
		n, hurry = p.queue.waiting()
	}
	if hurry || p.bounds.Company == 0 || n >= p.bounds.Batch {
		return ctx.Err() == nil
	}
	company := time.NewTimer(p.bounds.Company)
	defer company.Stop()
	for !hurry && n < p.bounds.Batch {
		select {
		case <-ctx.Done():
			return false
		case <-company.C:
			return true
		case <-p.queue.bell:
		}
		n, hurry = p.queue.waiting()
	}
	return ctx.Err() == nil
}

// untilDue is how long an idle loop may sleep.
func (p *proposer) untilDue() time.Duration {
	if p.wake == 0 {
		return p.tick
	}
	return min(p.tick, max(p.wake-p.clock(), time.Millisecond))
}

// round plans and commits asks until they are answered. An error ends the leadership.
func (p *proposer) round(ctx context.Context, asks []*ask) error {
	for tries := 0; ; tries++ {
		planned, data, err := p.prepare(asks)
		if err != nil {
			return p.isolate(ctx, asks, err)
		}
		if len(data) > p.bounds.BatchBytes && len(asks) > 1 {
			return p.halves(ctx, asks)
		}
		if len(data) == 0 {
			return p.confirm(ctx, asks, planned)
		}
		began := p.wall()
		out, f, err := p.raft.commit(data)
		p.metrics.commit.Observe(p.wall().Sub(began).Seconds())
		switch {
		case f == refused:
			p.log.Debug("a batch was not taken", "why", err)
			p.answerAll(asks, result{fate: refused})
			p.more = false
			return p.pause(ctx)
		case f == unknown:
			p.answerAll(asks, result{fate: unknown})
			return fmt.Errorf("%w: %w", errLeadershipOver, err)
		case out.Refused != nil && tries < 8:
			p.metrics.stale.Inc()
			p.log.Warn("a batch met another state than it was planned on, planning again", "why", out.Refused)
			continue
		case out.Refused != nil:
			p.answerAll(asks, result{fate: refused})
			return fmt.Errorf("batches are refused again and again: %w", out.Refused)
		}
		p.answer(asks, planned, out)
		return nil
	}
}

// prepare plans asks and encodes the batch; no data means there is nothing to commit.
func (p *proposer) prepare(asks []*ask) (schedule.Planned, []byte, error) {
	requests := make([]schedule.Request, len(asks))
	for i, a := range asks {
		requests[i] = a.request
	}
	view := p.view()
	now := max(p.clock(), view.Meta().Now)
	began := p.wall()
	planned := p.plan(p.world(view, now), requests, now, began.UnixMilli())
	p.metrics.plan.Observe(p.wall().Sub(began).Seconds())
	p.metrics.batch.Observe(float64(len(asks)))
	if len(planned.Answers) != len(asks) || len(planned.Spans) != len(asks) {
		return planned, nil, fmt.Errorf("the plan has %d answers and %d spans to %d requests", len(planned.Answers), len(planned.Spans), len(asks))
	}
	p.wake, p.more = planned.Wake, planned.More && len(planned.Batch.Commands) > 0
	if len(planned.Batch.Commands) == 0 {
		return planned, nil, nil
	}
	data, err := fsm.EncodeBatch(&planned.Batch)
	if err == nil && len(data) > p.bounds.EntryBytes {
		err = fsm.Errorf(fsm.CodeTooLarge, "it takes %d bytes in the log; at most %d fit", len(data), p.bounds.EntryBytes)
	}
	if err != nil {
		return planned, data, err
	}
	b, err := fsm.DecodeBatch(data) // an entry nobody can read would stop every queen
	if err == nil && p.expect != nil {
		p.expect(data, b)
	}
	return planned, data, err
}

// isolate finds the request that makes a batch impossible, and fails that one alone.
func (p *proposer) isolate(ctx context.Context, asks []*ask, why error) error {
	switch len(asks) {
	case 0:
		p.metrics.impossible.Inc()
		p.log.Error("a plan of nobody's request cannot be encoded", "why", why)
		p.more = false
		return p.pause(ctx)
	case 1:
		p.metrics.impossible.Inc()
		p.log.Error("a request cannot be encoded", "why", why)
		asks[0].reply(result{fate: answered, err: asError(why)})
		return nil
	}
	return p.halves(ctx, asks)
}

func (p *proposer) halves(ctx context.Context, asks []*ask) error {
	half := len(asks) / 2
	if err := p.round(ctx, asks[:half]); err != nil {
		p.answerAll(asks[half:], result{fate: refused})
		return err
	}
	return p.round(ctx, asks[half:])
}

// confirm answers asks that need no command, once it is sure that this queen still led when
// it looked: a stopped and continued one must not answer from a state it left behind.
func (p *proposer) confirm(ctx context.Context, asks []*ask, planned schedule.Planned) error {
	if len(asks) == 0 {
		return nil
	}
	if err := p.raft.verify(); err != nil {
		p.answerAll(asks, result{fate: refused})
		if fateOf(err) == refused { // a transfer under way
			return p.pause(ctx)
		}
		return fmt.Errorf("leadership is not sure any more: %w", err)
	}
	p.answer(asks, planned, fsm.Outcome{})
	return nil
}

// answer gives every ask its answer; a guard that fired in its commands makes it an error.
func (p *proposer) answer(asks []*ask, planned schedule.Planned, out fsm.Outcome) {
	for i, a := range asks {
		r := result{fate: answered, answer: planned.Answers[i], err: planned.Answers[i].Err}
		if r.err != nil && r.err.Code == fsm.CodeAtCapacity {
			p.metrics.unadmitted.Inc()
		}
		for c := planned.Spans[i].From; c < planned.Spans[i].To && c < len(out.Errs); c++ {
			if r.err == nil && out.Errs[c] != nil {
				r.err = out.Errs[c]
			}
		}
		a.reply(r)
	}
	for c, err := range out.Errs {
		if err != nil {
			p.metrics.guarded.Inc()
			p.log.Error("a guard refused a planned command", "command", fmt.Sprintf("%T", planned.Batch.Commands[c]), "why", err)
		}
	}
}

func (p *proposer) answerAll(asks []*ask, r result) {
	for _, a := range asks {
		a.reply(r)
	}
}

// pause keeps the loop from spinning while raft takes no entries (a transfer under way).
func (p *proposer) pause(ctx context.Context) error {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return nil
}
