package core

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// model is what the hives of these worlds offer.
const model = "llama"

// bodySize is of every job here, in bytes: a short prompt.
const bodySize = 200

// jobs makes requests that no queen has seen before. Its methods may be called from any goroutine.
type jobs struct{ made atomic.Int64 }

// next is the submission of a detached job.
func (j *jobs) next() schedule.Request {
	return schedule.Request{Submit: &schedule.Submit{Job: jobNumber(j.made.Add(1))}}
}

func jobNumber(n int64) fsm.Job {
	id := fmt.Sprintf("01JDBENCH%017d", n) // as long as a ULID
	return fsm.Job{ID: id, Tenant: "t1", Model: model, API: "task", Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail, Detached: true, RequestHash: sha256.Sum256([]byte(id)),
		Body: fsm.PackBody(make([]byte, bodySize))}
}

// offer registers a hive with one worker of many slots; with none of them ready, jobs wait.
func offer(ctx context.Context, q *cluster.Queen, ready bool) error {
	const hive, slots = "hive-1", 4096
	register := schedule.Register{ID: hive, Boot: "b1", Mode: "network", Facts: fsm.HiveFacts{
		URL: "http://127.0.0.1:1", Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: 1 << 30}},
		Models: []fsm.EngineModel{{Engine: "engine", Ref: model, VRAM: 1, Slots: slots}}}}
	a, err := q.Do(ctx, schedule.Request{Register: &register})
	if err != nil || !ready {
		return err
	}
	w, err := q.Do(ctx, schedule.Request{SpawnWorker: &schedule.SpawnWorker{ID: "w1", Model: model, Slots: slots}})
	if err != nil {
		return err
	}
	_, err = q.Do(ctx, schedule.Request{Beat: &schedule.Beat{Hive: hive, Incarnation: a.Incarnation, Acted: w.Index,
		Workers: []schedule.BeatWorker{{ID: w.Worker, State: fsm.WorkerReady, Slots: slots}}}})
	return err
}

// lone submits one job after the other for a time, and tells the median of a submission in ms.
func (j *jobs) lone(ctx context.Context, q *cluster.Queen, span time.Duration) (bench.Figure, error) {
	return medianOf(ctx, span, 0, func(ctx context.Context) (time.Duration, error) {
		r := j.next()
		at := time.Now()
		_, err := q.Do(ctx, r)
		return time.Since(at), err
	})
}

// medianOf calls f one time after the other for a time, and tells the median of what it took
// in ms. With a pause, each call begins that long after the one before began, or later.
func medianOf(ctx context.Context, span, pause time.Duration, f func(context.Context) (time.Duration, error)) (bench.Figure, error) {
	ctx, cancel := context.WithTimeout(ctx, span+clustertest.Patience)
	defer cancel()
	tick := time.NewTicker(max(pause, 1))
	defer tick.Stop()
	var times []float64
	for began := time.Now(); time.Since(began) < span; {
		if pause > 0 {
			<-tick.C
		}
		d, err := f(ctx)
		if err != nil {
			return bench.None, err
		}
		times = append(times, bench.Millis(d))
	}
	return bench.Median(times), nil
}

// assigned runs one job through a queen: submitted, assigned at once, finished. It tells how
// long the answer to the submission took.
func (j *jobs) assigned(ctx context.Context, q *cluster.Queen) (time.Duration, error) {
	r := j.next()
	at := time.Now()
	a, err := q.Do(ctx, r)
	d := time.Since(at)
	switch {
	case err != nil:
		return 0, err
	case a.Assigned == nil:
		return 0, errors.New("the job found no slot")
	}
	_, err = q.Do(ctx, schedule.Request{Finished: &schedule.Finished{Job: a.Job, Attempt: a.Assigned.Attempt, Outcome: fsm.JobComplete}})
	return d, err
}

// crowd calls f from n goroutines again and again for a time, and tells how many calls a
// second succeeded. Any error ends it.
func crowd(ctx context.Context, n int, span time.Duration, f func(context.Context) error) (bench.Figure, error) {
	ctx, cancel := context.WithTimeout(ctx, span+clustertest.Patience)
	defer cancel()
	var (
		wg    sync.WaitGroup
		done  atomic.Int64
		fails = make(chan error, n)
		began = time.Now()
	)
	for range n {
		wg.Go(func() {
			for time.Since(began) < span {
				if err := f(ctx); err != nil {
					fails <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	select {
	case err := <-fails:
		return bench.None, err
	default:
		return bench.Figure(float64(done.Load()) / took.Seconds()), nil
	}
}

// pace calls f as often as a rate wants, from at most n goroutines, until ctx ends.
func pace(ctx context.Context, n int, perSecond float64, f func(context.Context) error) error {
	var (
		wg    sync.WaitGroup
		owed  = make(chan struct{}, n)
		fails = make(chan error, n)
	)
	for range n {
		wg.Go(func() {
			for range owed {
				if err := f(ctx); err != nil && ctx.Err() == nil {
					select {
					case fails <- err:
					default:
					}
				}
			}
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0.
	for ctx.Err() == nil {
		for due := time.Since(began).Seconds() * perSecond; sent < due; sent++ {
			select {
			case owed <- struct{}{}:
			default: // all are busy: this one is not asked for
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	close(owed)
	wg.Wait()
	select {
	case err := <-fails:
		return err
	default:
		return nil
	}
}
