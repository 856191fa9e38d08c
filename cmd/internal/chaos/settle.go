package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// still is how long nothing may move before it is called stuck: far above every limit of the
// product, as hives that failed a model are passed over for a minute and more.
const still = 4 * time.Minute

// settleEvery is how often it is looked.
const settleEvery = 500 * time.Millisecond

// settle waits until every queen serves, every job has ended, every engine is known to its
// hive and every client is done. Its
// error tells what has not moved for a long time.
func (r *run) settle(ctx context.Context, crowdDone <-chan struct{}) error {
	var last string
	moved := time.Now()
	for {
		left := r.left(ctx, crowdDone)
		if len(left) == 0 {
			return nil
		}
		if now := strings.Join(left, "\n"); now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > still {
			return fmt.Errorf("nothing has moved for %s after everything was healed:\n%s", still, last)
		}
		if !rig.Pause(ctx, settleEvery) {
			return context.Cause(ctx)
		}
	}
}

// left is what there is to wait for.
func (r *run) left(ctx context.Context, crowdDone <-chan struct{}) []string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var left []string
	c := r.stage.cluster
	for _, q := range c.Queens {
		if _, err := c.Get(ctx, q.URL+"/ready?leader=1", nil); err != nil {
			left = append(left, q.Name+" is not ready")
		}
	}
	for _, state := range []string{"queued", "running"} {
		var list struct{ Items []rig.Job }
		if _, err := c.GetAny(ctx, "/v2/jobs?limit=1000&consistency=strong&state="+state, &list); err != nil {
			left = append(left, "jobs cannot be listed")
			continue
		}
		for _, j := range list.Items {
			left = append(left, fmt.Sprintf("job %s is %s, attempt %d on %q", j.ID, j.State, j.Attempt, j.Hive))
		}
	}
	for _, h := range c.Hives {
		left = append(left, r.strays(ctx, h)...)
	}
	select {
	case <-crowdDone:
	default:
		clients := slices.Sorted(maps.Keys(r.crowd.Doing()))
		left = append(left, fmt.Sprintf("clients are at work: %v", clients))
	}
	return left
}

// strays are the engines of a hive that it does not know: it adopts or ends what an earlier
// start of its agent left behind.
func (r *run) strays(ctx context.Context, h *rig.Process) (left []string) {
	var known struct {
		Items []struct{ Port int }
	}
	if _, err := r.stage.cluster.Get(ctx, h.URL+"/v1/workers/list", &known, "Authorization", "Bearer "+r.stage.cluster.HiveToken); err != nil {
		return []string{h.Name + " does not answer"}
	}
	for _, w := range r.stage.cluster.WorkersOf(h) {
		if !slices.ContainsFunc(known.Items, func(k struct{ Port int }) bool { return strings.HasSuffix(w.URL, fmt.Sprintf(":%d", k.Port)) }) {
			left = append(left, fmt.Sprintf("%s does not know its engine process %d", h.Name, w.Pid))
		}
	}
	return left
}

// lastLook notes what every queen holds once all is over: one strong list of all jobs, and
// each queen's list and hash at one index.
func (r *run) lastLook(ctx context.Context) error {
	c := r.stage.cluster
	patient, cancel := context.WithTimeout(ctx, still)
	defer cancel()
	return rig.Poll(patient, still, func(ctx context.Context) error {
		if !r.list(ctx, c.Queens[0], true, 0) {
			return errors.New("no strong list")
		}
		index, err := c.Index(ctx)
		if err != nil {
			return err
		}
		cl, err := c.ClusterAt(ctx, c.Queens[0])
		if err != nil {
			return err
		}
		for _, q := range c.Queens {
			if !r.list(ctx, q, false, index) {
				return fmt.Errorf("no list of %s at index %d", q.Name, index)
			}
			if !r.watch.hash(ctx, q, index, cl.Epoch) {
				return fmt.Errorf("no hash of %s at index %d", q.Name, index)
			}
		}
		return nil
	})
}

// list notes all jobs, over as many pages as it takes.
func (r *run) list(ctx context.Context, q *rig.Process, strong bool, index uint64) bool {
	call := r.watch.record.Begin(history.Op{Client: "watch", Kind: history.List, Queen: q.Name, Strong: strong})
	all := history.Answer{Outcome: history.OK}
	for cursor, more := "", true; more; {
		path := q.URL + "/v2/jobs?limit=1000&cursor=" + cursor
		if strong {
			path += "&consistency=strong"
		}
		reply, err := r.stage.cluster.Call(ctx, http.MethodGet, path, nil, "X-Rbee-Index", fmt.Sprint(index))
		if err != nil {
			call.End(history.Failed(err))
			return false
		}
		a := history.Answered(reply.Status, reply.Header, reply.Body)
		var page struct {
			Items []history.Row `json:"items"`
			Next  string        `json:"next_cursor"`
		}
		if a.Outcome != history.OK || json.Unmarshal(reply.Body, &page) != nil {
			call.End(a)
			return false
		}
		all.Status, all.Index, all.Pages = a.Status, a.Index, all.Pages+1
		all.Rows = append(all.Rows, page.Items...)
		cursor, more = page.Next, page.Next != ""
	}
	call.End(all)
	return true
}
