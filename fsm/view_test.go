package fsm

import (
	"bytes"
	"slices"
	"sync"
	"testing"
)

// Many goroutines read views, and one writes snapshots, while Apply goes on. Run with -race
// it proves that reading writes nothing and that Apply never touches what is published; and
// each view is what it was when it was made.
func TestReadersWhileApplying(t *testing.T) {
	w := newWorld(t)
	w.fill(400)
	const readers = 6
	views := make(chan *View, readers)
	var done sync.WaitGroup
	for range readers {
		done.Go(func() {
			for v := range views {
				if err := checkState(v); err != nil {
					t.Error(err)
					return
				}
				var buf bytes.Buffer
				if err := Snapshot(v, &buf); err != nil {
					t.Error(err)
				}
			}
		})
	}
	last := 700
	if testing.Short() {
		last = 500
	}
	for i := 400; i < last; i++ {
		w.do(w.job(i), &Assign{Job: jobID(i), Worker: "w1", Attempt: 1}, &Started{Job: jobID(i), Attempt: 1})
		v := w.View()
		select {
		case views <- v:
		default: // readers lag; Apply does not wait for them
		}
		w.do(&Hold{Job: jobID(i), Holder: Holder{"queen-2", "b"}})
		if old, _ := w.jobs.get(jobID(i - 150)); !old.State.Ended() {
			w.do(&EndJob{Job: old.ID, Attempt: old.Attempt, State: JobCancelled})
		}
		w.do(&ExpireJob{ID: jobID(i - 150)})
		views <- v
	}
	close(views)
	done.Wait()
}

// A view is a picture: what happens later is not in it.
func TestViewStays(t *testing.T) {
	w := newWorld(t)
	w.fill(100)
	v := w.View()
	hash, before := v.Hash(), slices.Collect(v.Queue("m"))
	for i := range 100 {
		if j, _ := w.jobs.get(jobID(i)); !j.State.Ended() {
			w.do(&EndJob{Job: j.ID, Attempt: j.Attempt, State: JobFailed})
		}
		w.do(&ExpireJob{ID: jobID(i)})
	}
	if v.Hash() != hash || !slices.Equal(slices.Collect(v.Queue("m")), before) {
		t.Error("the view changed")
	}
	if err := checkState(v); err != nil {
		t.Error(err)
	}
	if n := w.View().jobs.len(); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

func TestJobsPages(t *testing.T) {
	w := newWorld(t)
	w.fill(150)
	v := w.View()
	for _, f := range []JobFilter{
		{}, {Tenant: "tenant-3"}, {State: JobQueued}, {State: JobComplete}, {Model: "m"}, {Model: "other"},
		{Tenant: "tenant-3", State: JobQueued}, {Tenant: "tenant-0", State: JobComplete},
		{Priority: PriorityInteractive}, {Priority: PriorityBatch}, {Tenant: "nobody"},
	} {
		var want []string
		for i := 149; i >= 0; i-- {
			if j, _ := v.Job(jobID(i)); f.match(j) {
				want = append(want, j.ID)
			}
		}
		for _, limit := range []int{1, 7, 149, 150, 151} {
			var got []string
			cursor := ""
			for {
				page, next := v.Jobs(f, cursor, limit)
				if len(page) > limit {
					t.Fatalf("%+v: a page of %d", f, len(page))
				}
				got = append(got, jobIDs(page)...)
				if cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v in pages of %d: %d jobs, want %d", f, limit, len(got), len(want))
			}
		}
	}
}

// A filter that matches nothing does not read a million rows in one call.
func TestJobsScanIsBounded(t *testing.T) {
	w := newWorld(t)
	const extra = 5
	for i := range scanMost + extra {
		w.putJob(nil, &Job{ID: jobID(i), State: JobQueued, Model: "m"})
	}
	items, next := w.View().Jobs(JobFilter{Model: "other"}, "", 10)
	if len(items) != 0 || next != jobID(extra) {
		t.Errorf("first page: %d items, next %q", len(items), next)
	}
	if items, next = w.View().Jobs(JobFilter{Model: "other"}, next, 10); len(items) != 0 || next != "" {
		t.Errorf("second page: %d items, next %q", len(items), next)
	}
}

func TestQueueOrder(t *testing.T) {
	w := newWorld(t)
	for i, rank := range []Time{5, -3, 5, 0, 2} {
		s := w.job(i)
		s.Job.Rank = rank
		w.do(s)
	}
	want := []string{jobID(1), jobID(3), jobID(4), jobID(0), jobID(2)}
	if got := jobIDs(slices.Collect(w.View().Queue("m"))); !slices.Equal(got, want) {
		t.Errorf("queue is %v, want %v", got, want)
	}
	if got := slices.Collect(w.View().QueuedModels()); !slices.Equal(got, []string{"m"}) {
		t.Errorf("queued models are %v", got)
	}
}

// History keeps its first line and the newest others.
func TestHistoryIsBounded(t *testing.T) {
	w := newWorld(t)
	w.do(w.job(1))
	for attempt := uint32(1); attempt <= 50; attempt++ {
		w.do(&Assign{Job: jobID(1), Worker: "w1", Attempt: attempt})
		w.do(&Requeue{Job: jobID(1), Attempt: attempt, Reason: Failure{"lost", string(make([]byte, 2*maxDetail))}})
	}
	j, _ := w.jobs.get(jobID(1))
	if len(j.History) != HistoryMax || j.History[0].Kind != "submitted" || j.History[HistoryMax-1].Kind != "retry" {
		t.Errorf("history of %d: %v", len(j.History), j.History)
	}
	if n := len(j.History[HistoryMax-1].Detail); n > maxDetail {
		t.Errorf("a detail of %d bytes", n)
	}
	if err := checkState(w.View()); err != nil {
		t.Error(err)
	}
}
