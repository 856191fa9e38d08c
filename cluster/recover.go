package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
)

// Recovery is what a data directory of a cluster holds whose majority is gone for good, and
// what was made of it.
type Recovery struct {
	Queen     string   // whose directory it is
	Cluster   string   // id of the cluster it belonged to
	Lost      []string // the other members, in order of id: they are members no more
	LogIndex  uint64   // raft's index of the last entry; of several survivors the one with the
	LogTerm   uint64   // highest term, and then index, has the most
	Unsettled uint64   // entries since the last snapshot: kept, committed or not
	Index     uint64   // batch index of the state

	// What was made of it; zero where it was only looked at.
	NewCluster string
	Jobs       fsm.Renewed
}

// recoveringFile is there while a recovery is under way: a directory that has it is neither
// the old cluster's nor the new one's.
const recoveringFile = "recovering"

// Inspect tells what Recover would find. It changes nothing.
func Inspect(dir string, log hclog.Logger) (Recovery, error) {
	return recoverDir(dir, false, log)
}

// Recover makes a stopped queen's data directory a cluster of one, with everything the queen
// had in its log and snapshots, under a new cluster id and epoch. It may be repeated after
// it was interrupted. Errors are *StartError.
func Recover(dir string, log hclog.Logger) (Recovery, error) {
	return recoverDir(dir, true, log)
}

func recoverDir(path string, change bool, log hclog.Logger) (r Recovery, err error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	d := &dataDir{path: path}
	data, err := readSmall(filepath.Join(path, identityFile))
	if err != nil {
		return r, startError(err, "%s is not the data directory of a queen: %v", path, err)
	}
	if err := d.acquire(); err != nil {
		return r, err
	}
	defer d.close()
	if err := d.readIdentity(data); err != nil {
		return r, err
	}
	if d.id.ClusterID == "" {
		return r, startError(nil, "queen %s in %s never was a member of a cluster: there is nothing to recover", d.id.Name, path)
	}
	s, err := openStorage(path, true, 0, newDiskGuard(0, time.Now, func(error) {}), log)
	if err != nil {
		return r, unrecoverable(path, err)
	}
	defer s.close()
	r = Recovery{Queen: d.id.Name, Cluster: d.id.ClusterID}
	b := &rebuild{replica: newReplica(path, newClock(time.Now), func(error) {}), queen: r.Queen, change: change}
	if err := b.ends(s, &r); err != nil {
		return r, unrecoverable(path, err)
	}
	if change {
		if err := writeFile(filepath.Join(path, recoveringFile), []byte(r.Cluster+"\n")); err != nil {
			return r, startError(err, "%s cannot be written to: %v", path, err)
		}
	}
	if err := b.run(s, log.Named("raft")); err != nil {
		return r, unrecoverable(path, err)
	}
	b.tell(&r)
	if !change {
		return r, nil
	}
	return r, d.rebuilt(b.was.Meta().ClusterID, r.NewCluster)
}

// unrecoverable says what to do about a directory that cannot be recovered from.
func unrecoverable(dir string, err error) error {
	var told *StartError
	if errors.As(err, &told) && told.Err != nil {
		err = told.Err
	}
	return startError(err, "the data in %s is not whole: %v: recover from another surviving queen or relay, or mend the disk and try again", dir, err)
}

// rebuild is the state as raft replays it for a recovery. It is renewed when raft asks for the
// snapshot that the new cluster begins with, after everything in the log was applied.
type rebuild struct {
	*replica
	queen  string
	change bool

	was     *fsm.View // as replayed
	renewal fsm.Renewal
	done    fsm.Renewed
	why     error // that raft's own error only quotes
}

// errLooked ends a replay that is to change nothing.
var errLooked = errors.New("only looked at")

// Snapshot implements raft.FSM.
func (b *rebuild) Snapshot() (raft.FSMSnapshot, error) {
	b.was = b.view()
	b.why = b.broken
	switch {
	case b.why != nil:
		return nil, b.why
	case b.was.Meta().Epoch.IsZero():
		b.why = errors.New("there is no state in it")
		return nil, b.why
	case !b.change:
		return nil, errLooked
	}
	b.renewal = fsm.Renewal{ClusterID: ulid.Make().String(), Queen: b.queen}
	_, _ = rand.Read(b.renewal.Epoch[:]) // never fails
	done, err := b.state.Renew(b.renewal)
	if err != nil {
		b.why = err
		return nil, err
	}
	b.done = done
	b.publish()
	return b.replica.Snapshot()
}

// ends notes how far the log goes.
func (b *rebuild) ends(s *storage, r *Recovery) error {
	snaps, err := s.snapshots.List()
	if err != nil {
		return err
	}
	if len(snaps) > 0 {
		r.LogIndex, r.LogTerm = snaps[0].Index, snaps[0].Term
	}
	last, err := s.logs.LastIndex()
	if err != nil || last <= r.LogIndex {
		return err
	}
	var e raft.Log
	if err := s.logs.GetLog(last, &e); err != nil {
		return err
	}
	r.Unsettled, r.LogIndex, r.LogTerm = last-r.LogIndex, last, e.Term
	return nil
}

// run has raft replay the directory and, if it is to be changed, write it anew: a snapshot of
// all there is with this queen as the only voter, and an empty log.
func (b *rebuild) run(s *storage, log hclog.Logger) error {
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = raft.ServerID(b.queen), log
	// Nobody else needs the address; the queen tells its own when it starts.
	addr, trans := raft.NewInmemTransport(raft.ServerAddress(b.queen))
	only := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: addr, Suffrage: raft.Voter}}}
	err := raft.RecoverCluster(c, b, s.logs, s.stable, s.snapshots, trans, only)
	switch {
	case !b.change && b.was != nil && b.why == nil:
		return nil
	case b.why != nil:
		return b.why
	}
	return err
}

// tell fills in what was found and done.
func (b *rebuild) tell(r *Recovery) {
	for q := range b.was.Queens() {
		if q.ID != b.queen {
			r.Lost = append(r.Lost, q.ID)
		}
	}
	r.Index, r.NewCluster, r.Jobs = b.was.Meta().Index, b.renewal.ClusterID, b.done
}

// outlived says why a queen of a recovered cluster's past has no place any more.
func outlived(queen, was, is string) string {
	return fmt.Sprintf("cluster %s was recovered without queen %s and is cluster %s now: empty the data directory of %s and join again", was, queen, is, queen)
}

// rebuilt makes the directory one of the new cluster, which remembers those it comes from.
func (d *dataDir) rebuilt(from, to string) error {
	for _, id := range []string{d.id.ClusterID, from} { // they differ after an interruption
		d.id.Formerly = remember(d.id.Formerly, id)
	}
	d.id.ClusterID, d.id.Role = to, fsm.RoleVoter.String()
	if err := d.saveIdentity(); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(d.path, recoveringFile)); err != nil {
		return startError(err, "%s cannot be written to: %v", d.path, err)
	}
	return nil
}
