package core

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

const rowLone = "one lone commit, p50"

// loneCommit submits one job after the other at the leader, whose answer is one commit.
func loneCommit() bench.Family {
	return bench.Family{
		Name: "lone commit",
		Rows: []bench.Spec{{Name: rowLone, Unit: "ms", Against: "fdatasync, p50", Goal: bench.AtMost(3)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			return withQueens(r, nil, func(c *clustertest.Cluster) error {
				disk, err := bench.OpenDisk(r.Dir)
				if err != nil {
					return err
				}
				defer disk.Close()
				jobs := jobsOf(c)
				if err := jobs.offer(ctx, 0); err != nil {
					return err
				}
				return r.Each(ctx, func(n int) error {
					v, b, err := bench.Pair(n, func() (bench.Figure, error) {
						return jobs.lone(ctx, leaderOf(c), r.Span(time.Second))
					}, func() (bench.Figure, error) {
						_, p50, err := disk.Rate(r.Span(time.Second))
						return p50, err
					})
					r.Put(rowLone, v, b)
					return err
				})
			})
		},
	}
}

// jobs makes submissions that the queens take.
type jobs struct {
	c    *clustertest.Cluster
	made int
}

func jobsOf(c *clustertest.Cluster) *jobs { return &jobs{c: c} }

// model is what the hives of these worlds offer.
const model = "llama"

// offer registers a hive whose worker has some slots; with none the jobs wait.
func (j *jobs) offer(ctx context.Context, slots int) error {
	q := leaderOf(j.c)
	_, err := q.Do(ctx, schedule.Request{Register: &schedule.Register{ID: "hive", Boot: "b1", Mode: "network", Facts: fsm.HiveFacts{
		URL: "http://127.0.0.1:1", Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: 1 << 30}},
		Models: []fsm.EngineModel{{Engine: "engine", Ref: model, VRAM: 1, Slots: max(slots, 1)}}}}})
	return err
}

// next is a submission of a detached job with a body of 200 bytes, never seen before.
func (j *jobs) next() schedule.Request {
	j.made++
	body := make([]byte, 200)
	id := fmt.Sprintf("job-%020d", j.made)
	return schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{ID: id, Tenant: "t1", Model: model, API: "task", Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail, Detached: true, RequestHash: sha256.Sum256([]byte(id)),
		Body: fsm.PackBody(body)}}}
}

// lone submits one job after the other for a time and tells the median of a submission, in ms.
func (j *jobs) lone(ctx context.Context, q *cluster.Queen, span time.Duration) (bench.Figure, error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	var times []float64
	for began := time.Now(); time.Since(began) < span; {
		r := j.next()
		at := time.Now()
		if _, err := q.Do(ctx, r); err != nil {
			return bench.None, err
		}
		times = append(times, bench.Millis(time.Since(at)))
	}
	return bench.Median(times), nil
}
