package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// pipeDown keeps one blocking query for the desired state at a queen.
type pipeDown struct {
	queens *queens
	call   *caller
	table  *table
	broken func() bool   // no beat has been answered for limit
	limit  time.Duration // silence after which what is desired may be another
	logger hclog.Logger

	mu        sync.Mutex
	wanted    uint64             // how often the leader was to be asked
	served    uint64             // the newest of these wishes that an answer was for
	interrupt context.CancelFunc // breaks off the query under way; nil for one to the leader
}

// errInterrupted: the query was broken off because both pipes move, or the leader is to be asked.
var errInterrupted = errors.New("query broken off")

// hotLoop is the pause after an answer that brought nothing, so that a queen that answers a
// blocking query at once cannot make the hive spin.
const hotLoop = 100 * time.Millisecond

// askLeader asks the leader at once, instead of the query under way. One to the leader is
// answered at once anyway, and so is not broken off; it is asked again after that.
func (p *pipeDown) askLeader() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted++
	if p.interrupt != nil {
		p.interrupt()
	}
}

// begin tells which wish to ask the leader the next query is for, and whether it is for any.
func (p *pipeDown) begin(cancel context.CancelFunc) (wish uint64, strong bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wish, strong, p.interrupt = p.wanted, p.served < p.wanted, cancel
	if strong {
		p.interrupt = nil
	}
	return wish, strong
}

func (p *pipeDown) serve(wish uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = wish
}

// run asks and acts until ctx ends or the hive must register anew. The first answer is a
// strong read, made from the beginning.
func (p *pipeDown) run(ctx context.Context, epoch string) error {
	pause := newPace(p.queens.count)
	p.askLeader()
	for first := true; ; {
		began := time.Now()
		acted, err := p.once(ctx, epoch, first)
		wait := time.Duration(0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errInterrupted):
		case err != nil && judge(err) == unknownHere:
			p.logger.Warn("the cluster does not know this hive: registering anew", "error", err)
			return errAnew
		case err != nil:
			wait = max(pause.failed(judge(err)), time.Millisecond)
		case acted:
			first = false
			pause.ok()
		case time.Since(began) < hotLoop:
			wait = hotLoop
		}
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// query is one under way.
type query struct {
	strong   bool
	at       time.Time
	silences uint64 // of the hive when it was asked
}

// old tells that an answer may be of before a silence in which the cluster has given the
// hive's runs to others: it may have lain in the socket of an agent that was stopped. Only
// what was asked of the leader lately is believed then.
func (p *pipeDown) old(q query) bool {
	return p.table.silent() != q.silences || p.broken() && (!q.strong || time.Since(q.at) >= p.limit)
}

// once asks one question and acts on its answer; false when the answer says nothing new.
func (p *pipeDown) once(ctx context.Context, epoch string, first bool) (bool, error) {
	queen, here := p.queens.current()
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(here, cancel)()
	wish, strong := p.begin(cancel)
	q := query{strong: strong, at: time.Now(), silences: p.table.silent()}
	index := uint64(0)
	if !first && !strong { // a strong answer is wanted now, not when there is news
		index = p.table.acted()
	}
	d, err := p.call.desired(asking, queen, index, strong)
	if err != nil {
		if asking.Err() != nil {
			return false, errInterrupted
		}
		if judge(err) == unreachable || judge(err) == refused {
			p.logger.Warn("cannot read what is desired here", "queen", queen, "error", explain(err))
			p.queens.fail(queen)
		}
		return false, err
	}
	if d.Epoch != epoch {
		p.logger.Warn("answer of another epoch ignored", "queen", queen, "epoch", d.Epoch)
		p.queens.fail(queen)
		return false, nil
	}
	if p.old(q) {
		p.logger.Warn("answer from before a silence ignored, the leader is asked", "queen", queen, "index", d.Index)
		p.askLeader()
		return false, nil
	}
	settles := uint64(0)
	if strong {
		settles = q.silences
	}
	news := p.table.apply(d, settles)
	if strong && d.Index >= p.table.acted() { // else it was ignored: ask again
		p.serve(wish)
	}
	return news, nil
}
