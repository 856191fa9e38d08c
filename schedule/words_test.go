package schedule

import (
	"strings"
	"time"

	"queen-rbee/fsm"
)

// scene does what is no request: time, limits, what the leader remembers.
func (s *script) scene(l line) bool {
	switch l.name {
	case "+": // + 5s
		d, err := time.ParseDuration(l.arg(0))
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		s.now += d
	case "limits":
		s.lim.QueuedJobs = int(l.num("queued", int64(s.lim.QueuedJobs)))
		s.lim.QueuedBytes = l.num("bytes", s.lim.QueuedBytes)
		s.lim.Decisions = int(l.num("decisions", int64(s.lim.Decisions)))
		s.lim.IdempotencyKeys = int(l.num("keys", int64(s.lim.IdempotencyKeys)))
		s.lim.WorkersPerModel = int(l.num("workers", int64(s.lim.WorkersPerModel)))
		s.rate = float64(l.num("rate", int64(s.rate)))
	case "leader": // a new leader: it remembers nothing
		s.since, s.hives = s.now, map[string]HiveTelemetry{}
	case "queens": // queens q1/b1 q2/b2: the processes that are there from now on
		s.queens = map[string]Presence{}
		for _, a := range l.args {
			id, boot, _ := strings.Cut(a, "/")
			s.queens[id] = Presence{Boot: boot}
		}
	case "measured": // measured h1 gpu0=5
		t := s.hives[l.arg(0)]
		t.Free = map[string]int64{}
		for k := range l.keys {
			t.Free[k] = l.num(k, 0)
		}
		s.hives[l.arg(0)] = t
	default:
		return false
	}
	return true
}

// request makes a request of a line.
func (s *script) request(l line) Request {
	switch l.name {
	case "register":
		return Request{Register: s.registration(l)}
	case "beat":
		return Request{Beat: s.heartbeat(l)}
	case "submit":
		return Request{Submit: s.submission(l)}
	case "started":
		return Request{Started: &Started{Job: l.arg(0), Attempt: s.attempt(l)}}
	case "finish":
		f := s.finished(l)
		return Request{Finished: &f}
	case "cancel":
		return Request{Cancel: &Cancel{Job: l.arg(0), Tenant: l.keys["tenant"]}}
	case "hold":
		return Request{Hold: &Hold{Job: l.arg(0), Holder: holder(l.arg(1))}}
	case "release":
		return Request{Release: &Release{Job: l.arg(0), Holder: holder(l.arg(1)), Grace: l.span("grace")}}
	case "wish":
		wish := map[string]fsm.HiveWish{"run": fsm.HiveRun, "drain": fsm.HiveDrain, "stop": fsm.HiveStop}
		return Request{HiveWish: &HiveWish{ID: l.arg(0), Desired: wish[l.arg(1)]}}
	case "drop":
		return Request{DropHive: &DropHive{ID: l.arg(0)}}
	case "spawn":
		return Request{SpawnWorker: &SpawnWorker{ID: l.arg(0), Model: l.keys["model"], Hive: l.keys["hive"], Device: l.keys["device"], Slots: int(l.num("slots", 0))}}
	case "stop":
		return Request{StopWorker: &StopWorker{ID: l.arg(0), Force: l.has("force")}}
	case "member":
		return Request{Member: &Member{Queen: fsm.Queen{ID: l.arg(0), Boot: l.arg(1), Role: fsm.RoleVoter, Level: fsm.Level(l.num("level", int64(fsm.CurrentLevel)))}}}
	case "genesis":
		return Request{Genesis: &Genesis{ClusterID: "c1", Epoch: fsm.Epoch{1}}}
	}
	s.t.Fatalf("no such command: %s", l.name)
	return Request{}
}

// registration: register h1 b1 mem=24 models=m:8:2,n:4:1 labels=zone:a replaces=2
func (s *script) registration(l line) *Register {
	r := &Register{ID: l.arg(0), Boot: l.arg(1), Mode: "network", Facts: fsm.HiveFacts{URL: "http://" + l.arg(0)}}
	r.Replaces = uint64(l.num("replaces", int64(newest(s.view, r.ID))))
	r.Facts.Devices = []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: l.num("mem", 24)}}
	for m := range strings.SplitSeq(l.keys["models"], ",") {
		p := strings.Split(m, ":")
		sub := line{keys: map[string]string{"vram": p[1], "slots": p[2]}}
		r.Facts.Models = append(r.Facts.Models, model(p[0], sub.num("vram", 0), int(sub.num("slots", 1))))
	}
	r.Facts.Labels = labels(l.keys["labels"])
	return r
}

func labels(text string) (out []fsm.Label) {
	if text == "" {
		return nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(pair, ":")
		out = append(out, fsm.Label{Key: k, Value: v})
	}
	return out
}

// heartbeat: everything on the hive is as desired, but for
// ready, stopped (all workers are), leaving, failed=WORKER:words, gone=WORKER, missing=JOB, ended=JOB:outcome[:code],
// acted=N, incarnation=N
func (s *script) heartbeat(l line) *Beat {
	b := s.beatOf(l.arg(0))
	b.Acted = uint64(l.num("acted", int64(b.Acted)))
	b.Incarnation = uint64(l.num("incarnation", int64(b.Incarnation)))
	b.Leaving = l.has("leaving")
	fails, said, _ := strings.Cut(l.keys["failed"], ":")
	workers := b.Workers[:0]
	for _, w := range b.Workers {
		switch {
		case w.ID == fails || (fails == "all" && w.State != fsm.WorkerDraining):
			w.State, w.Error = fsm.WorkerFailed, said
		case w.ID == l.keys["gone"]:
			continue
		case l.has("stopped"):
			w.State = fsm.WorkerStopped
		case l.has("ready"):
			w.State = fsm.WorkerReady
		}
		workers = append(workers, w)
	}
	b.Workers = workers
	ended, outcome, _ := strings.Cut(l.keys["ended"], ":")
	runs := b.Runs[:0]
	for _, r := range b.Runs {
		if r.Job == ended {
			b.Ended = append(b.Ended, s.finished(words("finish "+ended+" "+outcome)))
			continue
		}
		if r.Job != l.keys["missing"] && l.keys["missing"] != "all" {
			runs = append(runs, r)
		}
	}
	b.Runs = runs
	return b
}

// submission: submit j1 model=m tenant=t1 batch detached restart key=k hash=1 pin=h1 labels=zone:a
// within=5s grace=1s holder=q1/b1 bytes=2
func (s *script) submission(l line) *Submit {
	sub := submission(l.arg(0), l.keys["model"])
	j := &sub.Job
	if t := l.keys["tenant"]; t != "" {
		j.Tenant = t
	}
	if l.has("batch") {
		j.Priority = fsm.PriorityBatch
	}
	if l.has("restart") {
		j.OnLoss = fsm.LossRestart
	}
	if l.has("detached") {
		j.Detached, j.Holders = true, nil
	}
	if h := l.keys["holder"]; h != "" {
		j.Holders = []fsm.Holder{holder(h)}
	}
	j.IdempotencyKey, j.RequestHash = l.keys["key"], [32]byte{byte(l.num("hash", 0))}
	j.Pin, j.Labels, j.Grace = l.keys["pin"], labels(l.keys["labels"]), l.span("grace")
	j.Body = fsm.PackBody([]byte(strings.Repeat("x", int(l.num("bytes", 2)))))
	sub.Within = l.span("within")
	return sub
}

// attempt is the one named, or the job's own.
func (s *script) attempt(l line) uint32 {
	own := uint32(0)
	if j, ok := s.view.Job(l.arg(0)); ok {
		own = j.Attempt
	}
	return uint32(l.num("attempt", int64(own)))
}

// finished: finish j1 complete|cancelled|failed[:code] attempt=1 events=5 tokens=4
func (s *script) finished(l line) Finished {
	what, code, _ := strings.Cut(l.arg(1), ":")
	f := Finished{Job: l.arg(0), Attempt: s.attempt(l), Events: uint64(l.num("events", 0)), Usage: fsm.Usage{Completion: uint64(l.num("tokens", 0))}}
	switch what {
	case "complete":
		f.Outcome, f.FinishReason = fsm.JobComplete, "stop"
	case "cancelled":
		f.Outcome = fsm.JobCancelled
	case "failed":
		f.Outcome, f.Failure = fsm.JobFailed, &fsm.Failure{Code: code, Message: "as the hive says"}
	}
	return f
}

func holder(text string) fsm.Holder {
	queen, boot, _ := strings.Cut(text, "/")
	return fsm.Holder{Queen: queen, Boot: boot}
}
