package agent

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

// unknownWait is how long a doorbell waits for its worker's record, which may be on its way.
const unknownWait = 2 * time.Second

// gateway is where queens start, read and end runs.
type gateway struct {
	table   *table
	readers gauge
	closing <-chan struct{} // the agent lets go of its readers
	logger  hclog.Logger
}

// execute is a doorbell and a reader in one.
func (g *gateway) execute(w http.ResponseWriter, r *http.Request) error {
	var e hives.Execute
	if err := decode(w, r, maxBody, &e); err != nil {
		return err
	}
	if err := checkRun(&e); err != nil {
		return err
	}
	if e.Follow {
		if !g.readers.enter() {
			return hives.Errorf(codeBusy, "%d readers are open on this hive, its limit", g.readers.max)
		}
		defer g.readers.leave()
	}
	a, err := g.ring(r, mux.Vars(r)["worker"], &e)
	if err != nil {
		return err
	}
	if !e.Follow {
		return writeJSON(w, http.StatusAccepted, a.state(&e))
	}
	return g.read(w, r, a, &e)
}

// ring rings until the run is known or refused.
func (g *gateway) ring(r *http.Request, worker string, e *hives.Execute) (answered, error) {
	over := time.NewTimer(unknownWait)
	defer over.Stop()
	for {
		a, known, err := g.table.ringRun(worker, e)
		if err != nil || known == nil {
			return a, err
		}
		select {
		case <-known:
		case <-over.C:
			return a, stale("worker %.64s is not on this hive", worker)
		case <-g.closing:
			return a, stale("this hive's agent is being stopped")
		case <-r.Context().Done():
			return a, r.Context().Err()
		}
	}
}

func (a answered) state(e *hives.Execute) hives.RunState {
	if a.run != nil {
		return a.run.state()
	}
	return stateOf(runKey{e.JobID, e.Attempt}, a.log)
}

func stateOf(key runKey, l *runlog.Log) hives.RunState {
	s := hives.RunState{JobID: key.job, Attempt: key.attempt, Seq: l.Seq(), Readers: l.Readers()}
	if t, ended := l.Terminal(); ended {
		s.Terminal = &t
	}
	return s
}

// keyOf reads job and attempt of the routes that name a run.
func keyOf(r *http.Request) (runKey, error) {
	text := r.URL.Query().Get("attempt")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return runKey{}, hives.Errorf(hives.CodeInvalid, "attempt: %.40q is not a number: give ?attempt=N", text)
	}
	key := runKey{mux.Vars(r)["job"], uint32(n)}
	return key, checkKey(key.job, key.attempt)
}

func unknownRun(key runKey) error {
	return hives.Errorf(hives.CodeNotFound, "attempt %d of job %.64s is not on this hive", key.attempt, key.job)
}

func (g *gateway) show(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if run, ok := g.table.lookup(key); ok {
		return writeJSON(w, http.StatusOK, run.state())
	}
	if l, _, ended := g.table.kept(key); ended {
		return writeJSON(w, http.StatusOK, stateOf(key, l))
	}
	return unknownRun(key)
}

// cancel ends a run. The state it answers with may not have the end yet.
func (g *gateway) cancel(w http.ResponseWriter, r *http.Request) error {
	key, err := keyOf(r)
	if err != nil {
		return err
	}
	if run, ok := g.table.lookup(key); ok {
		run.end(hives.Errorf(codeCancelled, "the run was ended at its hive"))
		return writeJSON(w, http.StatusAccepted, run.state())
	}
	if l, _, ended := g.table.kept(key); ended {
		return writeJSON(w, http.StatusOK, stateOf(key, l))
	}
	return unknownRun(key)
}

// leave takes a queen's word that a client of the run has gone.
func (g *gateway) leave(w http.ResponseWriter, r *http.Request) error {
	var l hives.Leave
	if err := decode(w, r, 64<<10, &l); err != nil {
		return err
	}
	key := runKey{mux.Vars(r)["job"], l.Attempt}
	if err := checkKey(key.job, key.attempt); err != nil {
		return err
	}
	if l.GraceMillis < 0 || l.GraceMillis > maxMillis {
		return hives.Errorf(hives.CodeInvalid, "grace_ms: %d: use 0 or more", l.GraceMillis)
	}
	run, ok := g.table.lookup(key)
	if !ok {
		if _, _, ended := g.table.kept(key); !ended {
			return unknownRun(key)
		}
	} else {
		run.clients.leave(time.Duration(l.GraceMillis) * time.Millisecond)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
