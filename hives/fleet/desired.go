package fleet

import (
	"context"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// company is how long a change waits for others, and lets who asked for it go first: what a
// client waits for is brought by a doorbell meanwhile, and each answer lists all that is there.
const company = 2 * time.Millisecond

// gather waits for company.
func gather(ctx context.Context) error {
	t := time.NewTimer(company)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Desired answers the pipe down: everything that should be on a hive, as soon as its row
// has changed after index (what comes shortly after that is with it), or after wait. A replica behind index waits until it is not, or
// answers replica_behind. Strong reads see every write acknowledged before.
func (f *Fleet) Desired(ctx context.Context, id string, index uint64, wait time.Duration, strong bool) (hives.Desired, error) {
	if strong {
		if _, err := f.queen.Strong(ctx); err != nil {
			return hives.Desired{}, err
		}
	}
	watch := f.queen.Watch(fsm.Row{Table: fsm.TableHive, ID: id})
	defer watch.Close()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	view, err := f.queen.WaitIndex(ctx, index)
	if err != nil {
		return hives.Desired{}, err
	}
	for {
		hive, ok := view.Hive(id)
		if !ok {
			return hives.Desired{}, fsm.Errorf(fsm.CodeNotFound, "hive %.100q is not registered", id)
		}
		if hive.Changed > index {
			return f.desired(view, hive), nil
		}
		select {
		case <-watch.C():
			if err := gather(ctx); err != nil {
				return hives.Desired{}, err
			}
			view = f.queen.View()
		case <-timer.C:
			return f.desired(f.queen.View(), hive), nil
		case <-ctx.Done():
			return hives.Desired{}, ctx.Err()
		}
	}
}

var wishes = map[fsm.HiveWish]string{
	fsm.HiveRun:   hives.HiveRunning,
	fsm.HiveDrain: hives.HiveDraining,
	fsm.HiveStop:  hives.HiveStopped,
}

var endings = map[fsm.Ending]string{
	fsm.EndCancelled: fsm.CodeCancelled,
	fsm.EndDeadline:  fsm.CodeDeadlineExceeded,
	fsm.EndDrained:   hives.CodeDrained,
}

// desired lists what one view wants on one hive. The view may be newer than the hive's
// record that woke the caller, so the record is looked up again.
func (f *Fleet) desired(view *fsm.View, hive *fsm.Hive) hives.Desired {
	if h, ok := view.Hive(hive.ID); ok {
		hive = h
	}
	meta := view.Meta()
	d := hives.Desired{
		Epoch: meta.Epoch.String(), Index: meta.Index, Incarnation: hive.Incarnation, Desired: wishes[hive.Desired],
		Workers: []hives.DesiredWorker{}, Models: []hives.DesiredModel{}, Runs: []hives.DesiredRun{},
	}
	for w := range view.WorkersOn(hive.ID) {
		d.Workers = append(d.Workers, hives.DesiredWorker{
			ID: w.ID, Index: w.Index, Model: w.Model, Engine: w.Engine, Device: w.Device, Slots: w.Slots, Context: w.Context, VRAMBytes: w.VRAM,
		})
	}
	d.Models = desiredModels(view, hive.ID)
	now := f.queen.Now()
	for j := range view.RunsOnHive(hive.ID) {
		d.Runs = append(d.Runs, DesiredRun(j, now))
	}
	return d
}

// DesiredRun is the record of a running job as its hive reads it, at cluster time now.
func DesiredRun(j *fsm.Job, now fsm.Time) hives.DesiredRun {
	r := hives.DesiredRun{
		JobID: j.ID, Attempt: j.Attempt, Incarnation: j.Incarnation, WorkerID: j.Worker,
		AssignedIndex: j.AssignedIndex, API: j.API, Path: j.Path, ContentType: j.ContentType,
		Begin: hives.Begin{Seq: j.Begin.Seq, I: j.Begin.I}, Stream: j.Stream,
		Mode: hives.Attached, GraceMillis: j.Grace.Milliseconds(), End: endings[j.Ending],
	}
	if j.Detached {
		r.Mode, r.GraceMillis = hives.Detached, 0
	}
	if j.Deadline > 0 {
		r.DeadlineMillis = max(1, (j.Deadline - now).Milliseconds())
	}
	return r
}
