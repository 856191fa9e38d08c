package schedule

import (
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// FuzzPlan reads any bytes as a history of requests, sensible or not, over the real fsm. No
// plan may panic, differ from its repeat, or make a batch that the codec or a guard refuses
// (env checks that), and no worker may be overbooked.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("a history that begins like this"))
	f.Add([]byte{0, 1, 0, 1, 2, 0, 4, 1, 4, 0, 0, 3, 0, 8, 1, 7, 1, 0, 9, 2})
	f.Add([]byte(strings.Repeat("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d", 12)))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := born(t)
		e.lim.QueuedJobs, e.lim.IdempotencyKeys, e.lim.Decisions = 6, 2, 16
		s := &history{env: e, data: data[:min(len(data), 400)]}
		for len(s.data) > 0 {
			e.now += []time.Duration{0, time.Millisecond, time.Second, 11 * time.Second, 11 * time.Minute}[s.pick(5)]
			var reqs []Request
			for range 1 + s.pick(4) {
				reqs = append(reqs, s.request())
			}
			e.do(reqs...)
			for w := range e.view.Workers() {
				if e.view.Running(w.ID) > w.Slots {
					t.Fatalf("%d runs on %+v", e.view.Running(w.ID), w)
				}
			}
		}
	})
}

// history makes requests of bytes; where they end, of zeros.
type history struct {
	*env
	data []byte
}

func (s *history) pick(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

func (s *history) word(words ...string) string { return words[s.pick(len(words))] }

func (s *history) job() string    { return s.word("j1", "j2", "j3", "j4", "j5", "j6", "") }
func (s *history) hive() string   { return s.word("h1", "h2", "h3", strings.Repeat("h", maxID+1)) }
func (s *history) worker() string { return s.word("w1", "w2", "w3", "w-ab12-3-0", "") }

func (s *history) holder() fsm.Holder {
	return fsm.Holder{Queen: s.word("q1", "q2", ""), Boot: s.word("b1", "b2")}
}

func (s *history) request() Request {
	switch s.pick(13) {
	case 0:
		return Request{Register: &Register{ID: s.hive(), Boot: s.word("b1", "b2", "b3", ""), Replaces: uint64(s.pick(3)), Mode: "network", Facts: s.facts()}}
	case 1, 2:
		return Request{Submit: s.submit()}
	case 3, 4:
		return Request{Beat: s.beat()}
	case 5:
		f := s.finished()
		return Request{Finished: &f}
	case 6:
		return Request{Started: &Started{Job: s.job(), Attempt: uint32(s.pick(4))}}
	case 7:
		return Request{Cancel: &Cancel{Job: s.job(), Tenant: s.word("t1", "t2", "")}}
	case 8:
		return Request{Hold: &Hold{Job: s.job(), Holder: s.holder()}}
	case 9:
		return Request{Release: &Release{Job: s.job(), Holder: s.holder(), Grace: time.Duration(s.pick(3)-1) * time.Second}}
	case 10:
		return Request{HiveWish: &HiveWish{ID: s.hive(), Desired: fsm.HiveWish(s.pick(5))}}
	case 11:
		if s.pick(2) == 0 {
			return Request{DropHive: &DropHive{ID: s.hive()}}
		}
		return Request{SpawnWorker: &SpawnWorker{ID: s.worker(), Model: s.word("m", "n"), Hive: s.word("", "h1", "h2"), Slots: s.pick(4) - 1}}
	case 12:
		return Request{StopWorker: &StopWorker{ID: s.worker(), Force: s.pick(2) == 0}}
	}
	return Request{}
}

func (s *history) facts() fsm.HiveFacts {
	f := fsm.HiveFacts{URL: s.word("http://h", ""), Devices: []fsm.Device{{ID: "gpu0", Total: int64(s.pick(5)) * 8}}}
	for _, ref := range []string{"n", "m", "m"}[:s.pick(4)] {
		f.Models = append(f.Models, model(ref, int64(s.pick(3))*8-s.odd(), s.pick(4)))
	}
	if s.pick(2) == 1 {
		f.Labels = []fsm.Label{{Key: s.word("zone", ""), Value: s.word("a", "b")}}
	}
	return f
}

// odd is seldom 1.
func (s *history) odd() int64 { return int64(s.pick(16) / 15) }

func (s *history) submit() *Submit {
	sub := submission(s.job(), s.word("m", "n", "x"))
	j := &sub.Job
	j.Tenant, j.Pin, j.Session = s.word("t1", "t2"), s.word("", "", "h1", "h2"), s.word("", "s")
	j.IdempotencyKey, j.RequestHash[0] = s.word("", "k1", "k2"), byte(s.pick(2))
	j.Priority, j.OnLoss = fsm.Priority(s.pick(4)), fsm.OnLoss(s.pick(4))
	j.Detached = s.pick(2) == 0
	if s.pick(3) == 0 {
		j.Labels = []fsm.Label{{Key: "zone", Value: s.word("a", "b")}}
	}
	sub.Within = []time.Duration{0, time.Second, -1}[s.pick(3)]
	return sub
}

func (s *history) finished() Finished {
	f := Finished{Job: s.job(), Attempt: uint32(s.pick(4)), Outcome: fsm.JobState(s.pick(7)), Events: uint64(s.pick(4))}
	if code := s.word("", "worker_died", lostDrained, fsm.CodeInvalid, strings.Repeat("c", 1000)); code != "" {
		f.Failure = &fsm.Failure{Code: code, Message: strings.Repeat("é", s.pick(2)*maxMessage)}
	}
	return f
}

// beat is what the hive should say, spoiled.
func (s *history) beat() *Beat {
	id := s.word("h1", "h2", "h3")
	b := &Beat{Hive: id, Incarnation: uint64(s.pick(4)), Acted: uint64(s.pick(256))}
	if _, ok := s.view.Hive(id); ok && s.pick(4) > 0 {
		b = s.beatOf(id)
	}
	b.Leaving = s.pick(6) == 5
	for i := range b.Workers {
		w := &b.Workers[i]
		w.State, w.Slots = fsm.WorkerState(s.pick(8)), s.pick(4)-1
	}
	if len(b.Runs) > 0 && s.pick(2) == 0 {
		r := b.Runs[0]
		b.Runs = b.Runs[1:]
		f := s.finished()
		f.Job, f.Attempt = r.Job, r.Attempt
		b.Ended = []Finished{f}
	}
	if s.pick(8) == 7 {
		facts := s.facts()
		b.Facts = &facts
	}
	return b
}
