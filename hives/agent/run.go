package agent

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

// codeCancelled is the code of a run that was ended because nobody wants it.
const codeCancelled = "cancelled"

// run is one attempt of a job on this hive, from its record to its terminal record. Its
// goroutine does the work; the other methods are safe for concurrent use.
type run struct {
	key      runKey
	worker   *worker // nil: it is not here, and the run only ends
	env      *runEnv
	rec      hives.DesiredRun // as it was first; never changed
	accepted time.Time
	clients  attendance
	deadline deadline

	// Guarded by the table's mutex.
	index     uint64 // batch index of its record
	forgotten bool   // no longer listed: over for the state

	ctx     context.Context
	cancel  context.CancelCauseFunc
	offered context.Context // ends when there is a body
	bring   context.CancelFunc
	logged  chan struct{} // closed when there is a log, or there will be none
	done    chan struct{} // closed when its goroutine has ended

	mu       sync.Mutex
	body     []byte
	log      *runlog.Log // nil until logged is closed, and after it when none could be made
	terminal *hives.Terminal

	// Only the run's goroutine touches these.
	begun bool // its log has its first record
	ttft  time.Duration
	named engineAt // where the engine keeps its stream

	// Of a run that goes on after the agent that began it: the process it is in; nil for others.
	resumed *engine.Process
}

// runEnv is what all runs share.
type runEnv struct {
	store  *runlog.Store
	fetch  func(ctx context.Context, job string) ([]byte, error)
	stream streamFunc
	first  time.Duration
	inter  time.Duration
	most   int // tokens of an answer that nothing else bounds; 0: no bound
	group  *sync.WaitGroup
	over   func(*run)
	logger hclog.Logger
}

// streamFunc is engine.Stream.
type streamFunc func(ctx context.Context, baseURL, path string, body []byte, o engine.StreamOptions, yield func(engine.Chunk) error) (engine.Result, error)

// newRun makes the run of a record. It starts nothing: follow it with update and start, or endedAs.
func (env *runEnv) newRun(rec hives.DesiredRun, w *worker) *run {
	r := &run{key: runKey{rec.JobID, rec.Attempt}, worker: w, env: env, accepted: time.Now(), index: rec.AssignedIndex,
		rec: rec, logged: make(chan struct{}), done: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.offered, r.bring = context.WithCancel(context.Background())
	r.clients.giveUp = func(without time.Duration) {
		r.end(hives.Errorf(codeCancelled, "no client has read the run for %v", without))
	}
	r.deadline.expire = func() { r.end(hives.Errorf(hives.CodeDeadlineExceeded, "the job's deadline is over")) }
	return r
}

// start sets the run's goroutine going.
func (r *run) start() {
	r.env.group.Add(1)
	go func() {
		defer r.env.group.Done()
		defer close(r.done)
		result, err := r.work()
		r.finish(result, err)
		r.named.forget(r)
		r.env.over(r)
	}()
}

// endedAs makes the run one that ended before this agent started.
func (r *run) endedAs(t hives.Terminal) {
	log, _ := r.env.store.Get(r.key.job, r.key.attempt)
	r.log, r.terminal = log, &t
	r.cancel(nil)
	r.bring()
	close(r.logged)
	close(r.done)
}

// update follows a listed record, or the doorbell's copy of one. The table's mutex is held.
func (r *run) update(rec hives.DesiredRun) {
	r.index = max(r.index, rec.AssignedIndex)
	if r.over() {
		return
	}
	r.clients.set(rec.Mode, time.Duration(rec.GraceMillis)*time.Millisecond)
	if rec.DeadlineMillis > 0 {
		r.deadline.within(time.Duration(rec.DeadlineMillis) * time.Millisecond)
	}
	switch rec.End {
	case "":
	case codeCancelled:
		r.end(hives.Errorf(codeCancelled, "the job was cancelled"))
	case hives.CodeDeadlineExceeded:
		r.end(hives.Errorf(hives.CodeDeadlineExceeded, "the job's deadline is over"))
	default:
		r.end(hives.Errorf(rec.End, "the run was ended by the cluster"))
	}
}

// offer brings the request's body. The first one counts: all are the same.
func (r *run) offer(body []byte) {
	if len(body) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.body == nil && r.terminal == nil {
		r.body = body
		r.bring()
	}
}

// end asks the run to end for a reason; the first counts. It does not wait.
func (r *run) end(reason *hives.Error) { r.cancel(reason) }

// over tells that the run has made its terminal record.
func (r *run) over() bool { return r.ended() != nil }

// ended is the terminal record, nil while there is none.
func (r *run) ended() *hives.Terminal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.terminal
}

// seq is the number of the last record; the run's beginning while there is none.
func (r *run) seq() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.log != nil {
		return r.log.Seq()
	}
	return r.rec.Begin.Seq
}

// state is what is known of the run from outside.
func (r *run) state() hives.RunState {
	return hives.RunState{JobID: r.key.job, Attempt: r.key.attempt, Seq: r.seq(), Readers: r.clients.count(), Terminal: r.ended()}
}

// openLog makes the run's log once its header is known. Only the run's goroutine calls it.
func (r *run) openLog(body []byte) error {
	m := runlog.Meta{
		JobID: r.rec.JobID, Attempt: r.rec.Attempt, Incarnation: r.rec.Incarnation, WorkerID: r.rec.WorkerID,
		AssignedIndex: r.rec.AssignedIndex, API: r.rec.API, Path: r.rec.Path, Begin: r.rec.Begin,
		Mode: r.rec.Mode, IncludeUsage: wantsUsage(body), Stream: r.rec.Stream,
	}
	if r.worker != nil {
		m.Model = r.worker.model
	}
	if hives.Streamed(m.Path) {
		m.Choices, _ = engine.Choices(m.Path, body) // the engine's client says what is wrong with it
	}
	log, err := r.env.store.Create(m) // not under the mutex: heartbeats must not wait for the disk
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.log = log
	r.mu.Unlock()
	close(r.logged)
	return nil
}

// wantsUsage tells whether the client asked for the chunk with usage.
func wantsUsage(body []byte) bool {
	var b struct {
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	return json.Unmarshal(body, &b) == nil && b.StreamOptions.IncludeUsage
}

// finish makes the terminal record, once.
func (r *run) finish(result engine.Result, err error) {
	t := r.outcome(result, err)
	r.clients.stop()
	r.deadline.stop()
	if r.log == nil {
		if err := r.openLog(nil); err != nil {
			r.env.logger.Error("run without a log", "job", r.key.job, "attempt", r.key.attempt, "error", err)
			close(r.logged)
		}
	}
	if r.log != nil {
		whole, err := r.log.End(t)
		if err != nil {
			r.env.logger.Error("end of a run cannot be written", "job", r.key.job, "attempt", r.key.attempt, "error", err)
		}
		if whole.JobID != "" {
			t = whole
		}
	}
	r.mu.Lock()
	r.terminal, r.body = &t, nil
	r.mu.Unlock()
	r.bring()
	r.cancel(nil)
	level := hclog.Info
	if t.Outcome == hives.Complete {
		level = hclog.Debug
	}
	r.env.logger.Log(level, "run ended", "job", t.JobID, "attempt", t.Attempt, "outcome", t.Outcome, "events", t.Events, "error", t.Error)
}

// outcome says how the run ended: complete if it was quicker than any wish.
func (r *run) outcome(result engine.Result, err error) hives.Terminal {
	t := hives.Terminal{JobID: r.key.job, Attempt: r.key.attempt, Usage: result.Usage, Events: r.rec.Begin.Seq,
		TTFTMillis: r.ttft.Milliseconds()}
	if err == nil {
		t.Outcome, t.FinishReason = hives.Complete, result.FinishReason
		return t
	}
	t.Outcome, t.Error = hives.Failed, coded(err)
	if t.Error.Code == codeCancelled {
		t.Outcome = hives.Cancelled
	}
	return t
}
