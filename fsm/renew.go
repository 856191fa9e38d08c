package fsm

import "slices"

// What a renewal adds, so that nothing the lost queens may have told is told twice.
const (
	// RaisedAttempts lifts the attempts of every job that has not ended above any that a
	// client or hive may know of. Limits count attempts modulo this.
	RaisedAttempts = 1000
	// RaisedIndex lifts the batch index above any that a client may wait for.
	RaisedIndex = 1 << 20
)

// CodeRecovered is the reason a renewal gives for what it takes back or ends.
const CodeRecovered = "cluster_recovered"

// Renewal begins a new life of a state that may lack the newest of what was committed.
type Renewal struct {
	ClusterID string
	Epoch     Epoch
	Queen     string // the one member that is left: its row, if it has one, votes from now on
}

// Renewed counts the jobs that had not ended, by what became of them.
type Renewed struct {
	Queued   int // waited, and wait on
	Requeued int // ran, and run again from the start
	Failed   int // had delivered something and are not to be run again, or ran out of time
	Ended    int // were to be cancelled, and are
}

// Renew gives the state another cluster id and epoch, in which no batch, packet or hive of
// the life before has a part, and takes back what ran: its hives may have been told otherwise
// since. Only the owner of a state nobody serves may call it: it is no command.
func (s *State) Renew(r Renewal) (Renewed, *Error) {
	var done Renewed
	switch {
	case s.meta.Epoch.IsZero():
		return done, Errorf(CodeConflict, "there is no cluster before genesis")
	case r.ClusterID == "" || r.Epoch.IsZero() || r.Epoch == s.meta.Epoch:
		return done, Errorf(CodeInvalid, "a renewal needs a cluster id and an epoch of its own")
	}
	s.meta.Index += RaisedIndex
	s.meta.ClusterID, s.meta.Epoch = r.ClusterID, r.Epoch
	t := &turn{State: s, index: s.meta.Index, now: s.meta.Now, wall: s.meta.Wall}
	for _, q := range slices.Collect(s.queens.all()) {
		if is := *q; q.ID == r.Queen {
			is.Role = RoleVoter
			t.putQueen(q, &is)
		} else {
			t.putQueen(q, nil)
		}
	}
	for _, j := range slices.Collect(s.jobs.all()) { // a table must not change while it is walked
		if err := t.renewJob(j, &done); err != nil {
			return done, err
		}
	}
	t.stampWorkers()
	t.stampHives()
	s.putMeta()
	return done, nil
}

// renewJob takes a job back into the queue under attempts of its own, or ends it where it
// was to end or must not be run twice.
func (t *turn) renewJob(j *Job, done *Renewed) *Error {
	const why = "the cluster was recovered from one queen"
	switch {
	case j.State.Ended():
		return nil
	case j.State == JobRunning && j.Ending == EndCancelled:
		done.Ended++
		return t.endJob(&EndJob{Job: j.ID, Attempt: j.Attempt, State: JobCancelled, Failure: &Failure{CodeCancelled, "cancelled on request"}})
	case j.State == JobRunning && j.Ending == EndDeadline:
		done.Failed++
		return t.endJob(&EndJob{Job: j.ID, Attempt: j.Attempt, State: JobFailed, Failure: &Failure{CodeDeadlineExceeded, "the deadline passed while it ran"}})
	case j.State == JobRunning && j.Delivered && j.OnLoss != LossRestart:
		done.Failed++
		return t.endJob(&EndJob{Job: j.ID, Attempt: j.Attempt, State: JobFailed, Failure: &Failure{CodeWorkerFailed, CodeRecovered + ": " + why + " after something was delivered"}})
	case j.State == JobRunning:
		done.Requeued++
		back := &Requeue{Job: j.ID, Attempt: j.Attempt, Reason: Failure{CodeRecovered, why}}
		if !j.Detached && len(j.Holders) == 0 {
			back.AbandonAt = t.now + max(j.Grace, 1)
		}
		if err := t.requeue(back); err != nil {
			return err
		}
	default:
		done.Queued++
	}
	was, err := t.findJob(j.ID)
	if err != nil {
		return err
	}
	is := *was
	is.Attempt += RaisedAttempts
	if j.State == JobQueued { // a client may know of an attempt that this state does not
		t.note(&is, "retry", CodeRecovered+": "+why)
	}
	t.keepJob(was, &is)
	return nil
}
