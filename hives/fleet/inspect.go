package fleet

import (
	"context"
	"errors"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// Inspector asks a hive what a model would take. *hives.Client is one.
type Inspector interface {
	Inspect(ctx context.Context, hiveURL string, ask hives.Inspect) (hives.Inspected, error)
}

// inspectFor bounds one look at a source: some headers of a hub, and the beginning of a file.
const inspectFor = time.Minute

const (
	inspectPause = 2 * time.Second  // until a model is tried again that no hive could be asked about
	inspectAgain = 30 * time.Second // until one is whose source could not be reached
)

// Inspect is a leader's duty: it has online hives look at the sources of models that nobody has
// looked at yet, one after the other, and puts what they find into the state. A model whose
// source tells nothing shows why; it is looked at again when it is described anew, or after a
// while if the source could not be reached.
func (f *Fleet) Inspect(ctx context.Context, by Inspector) error {
	watch := f.queen.Watch(fsm.Row{Table: fsm.TableModel}, fsm.Row{Table: fsm.TableHive})
	defer watch.Close()
	tried := map[string]time.Time{}
	for {
		left := f.inspectAll(ctx, by, tried)
		if ctx.Err() != nil {
			return nil
		}
		var again <-chan time.Time
		if left {
			again = time.After(inspectPause)
		}
		select {
		case <-watch.C():
		case <-again:
		case <-ctx.Done():
			return nil
		}
	}
}

// inspectAll asks about each model once, but for those whose source could not be reached a
// moment ago; it tells whether some are left to be asked about.
func (f *Fleet) inspectAll(ctx context.Context, by Inspector, tried map[string]time.Time) (left bool) {
	view := f.queen.View()
	for m := range view.UnknownModels() {
		if at, ok := tried[m.Ref]; ok && m.Failure != nil && time.Since(at) < inspectAgain {
			left = true
			continue
		}
		tried[m.Ref] = time.Now()
		h, ok := whoLooks(view, m)
		if !ok {
			left = true
			continue
		}
		found, err := f.inspect(ctx, by, h, m)
		if err == nil {
			_, err = f.queen.Do(ctx, schedule.Request{Inspected: &found})
		}
		if err != nil {
			if ctx.Err() != nil {
				return left
			}
			left = true
		}
	}
	return left
}

// whoLooks chooses the hive that is asked: one that could run the model, the one that holds its
// file before others.
func whoLooks(view *fsm.View, m *fsm.Model) (best *fsm.Hive, ok bool) {
	for h := range view.HivesWithEngine(m.Engine) {
		if h.Status != fsm.HiveOnline || h.Leaving {
			continue
		}
		if y, there := view.Copy(m.Ref, h.ID); there && y.State == fsm.CopyPresent {
			return h, true
		}
		if best == nil {
			best = h
		}
	}
	return best, best != nil
}

// inspect asks one hive. Its refusal is the answer; that it cannot be reached is an error.
func (f *Fleet) inspect(ctx context.Context, by Inspector, h *fsm.Hive, m *fsm.Model) (schedule.Inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectFor)
	defer cancel()
	out := schedule.Inspected{Ref: m.Ref, Source: m.Source, Slots: m.Slots, Context: m.Context}
	got, err := by.Inspect(ctx, h.Facts.URL, hives.Inspect{Source: m.Source, Slots: m.Slots, Context: m.Context})
	if refused, ok := errors.AsType[*hives.Error](err); ok {
		out.Failure = &fsm.Failure{Code: clip(refused.Code, maxText), Message: clip("hive "+h.ID+": "+refused.Message, maxError)}
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Digest, out.Size = got.Digest, got.Bytes
	out.Memory = fsm.Memory{Weights: got.Memory.Weights, KV: got.Memory.KV, Overhead: got.Memory.Overhead}
	return out, nil
}
