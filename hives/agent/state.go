package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
)

// savedState is the state file: what a start of the agent must know of the one before.
type savedState struct {
	Version   int            `json:"version"`
	Queens    []string       `json:"queens,omitempty"` // learnt from answers, not given
	Epoch     string         `json:"epoch"`
	Index     uint64         `json:"index"` // of the newest desired answer acted on
	Machine   string         `json:"machine_boot,omitempty"`
	Processes []savedProcess `json:"processes"` // of that boot of the machine
}

// savedProcess is an engine process, exactly: a pid alone may have been given to another. With
// it is what a later agent needs to go on with it.
type savedProcess struct {
	Worker     string              `json:"worker"`
	PID        int                 `json:"pid"`
	StartTicks uint64              `json:"start_ticks"`
	Port       int                 `json:"port,omitempty"`
	Key        string              `json:"key,omitempty"`
	Ready      bool                `json:"ready,omitempty"`
	Digest     string              `json:"digest,omitempty"`    // of its launch
	Spec       hives.DesiredWorker `json:"spec"`                // that it was started for
	ModelKey   string              `json:"model_key,omitempty"` // of a model of the catalog
	File       string              `json:"file,omitempty"`      // of that model
}

// process is the engine's view of it.
func (p savedProcess) process() engine.Process {
	return engine.Process{PID: p.PID, StartTicks: p.StartTicks, Port: p.Port, Key: p.Key, Ready: p.Ready}
}

const (
	stateVersion = 1
	maxState     = 16 << 20
	// saveEvery bounds how often the state is written for its index alone: a restart reads its
	// first answer strongly anyway. A change of processes is written at once.
	saveEvery = time.Second
)

func statePath(dir string) string { return filepath.Join(dir, "agent.json") }

// loadState reads the state file; none is a first start.
func loadState(dir string) (savedState, error) {
	path := statePath(dir)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return savedState{Version: stateVersion, Machine: engine.MachineBoot()}, nil
	}
	if err != nil {
		return savedState{}, fmt.Errorf("state file: %w", err)
	}
	if info.Size() > maxState {
		return savedState{}, fmt.Errorf("state file %s has %d bytes and is none of ours: move it away and start again", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return savedState{}, fmt.Errorf("state file: %w", err)
	}
	var s savedState
	if err := json.Unmarshal(data, &s); err != nil {
		return savedState{}, fmt.Errorf("state file %s is damaged (%w): see that no engine of this hive runs any more, remove the file and start again", path, err)
	}
	if s.Version != stateVersion {
		return savedState{}, fmt.Errorf("state file %s is of version %d, this agent reads version %d: use the agent that wrote it, or remove the file", path, s.Version, stateVersion)
	}
	if now := engine.MachineBoot(); s.Machine != now {
		s.Machine, s.Processes = now, nil // whatever has their pids now is none of ours
	}
	return s, nil
}

// saveState replaces the state file; it is whole at every instant.
func saveState(dir string, s savedState) error {
	s.Version = stateVersion
	slices.SortFunc(s.Processes, func(a, b savedProcess) int { return cmp.Compare(a.Worker, b.Worker) })
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tmp := statePath(dir) + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp, statePath(dir))
}

// keeper writes the state file in the background: note what is true now, it is on disk soon.
type keeper struct {
	dir    string
	logger hclog.Logger
	bell   chan struct{}

	mu     sync.Mutex
	now    savedState
	urgent bool
}

func newKeeper(dir string, s savedState, logger hclog.Logger) *keeper {
	return &keeper{dir: dir, logger: logger, bell: make(chan struct{}, 1), now: s}
}

// acted notes the newest desired answer acted on.
func (k *keeper) acted(epoch string, index uint64) {
	k.mu.Lock()
	k.now.Epoch, k.now.Index = epoch, index
	k.mu.Unlock()
	ring(k.bell)
}

// learnt notes the queens that answers have named.
func (k *keeper) learnt(urls []string) {
	k.mu.Lock()
	k.now.Queens = slices.Clone(urls)
	k.urgent = true
	k.mu.Unlock()
	ring(k.bell)
}

// process notes the process a worker has now; pid 0 for none.
func (k *keeper) process(p savedProcess) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := slices.IndexFunc(k.now.Processes, func(o savedProcess) bool { return o.Worker == p.Worker })
	switch {
	case at >= 0 && k.now.Processes[at].process() == p.process(), at < 0 && p.PID == 0:
		return
	case p.PID == 0:
		k.now.Processes = slices.Delete(k.now.Processes, at, at+1)
	case at >= 0:
		k.now.Processes[at] = p
	default:
		k.now.Processes = append(k.now.Processes, p)
	}
	k.urgent = true
	ring(k.bell)
}

// forgetOthers forgets the processes of an earlier agent that no worker goes on with.
func (k *keeper) forgetOthers(kept []*worker) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now.Processes = slices.DeleteFunc(slices.Clone(k.now.Processes), func(p savedProcess) bool {
		return !slices.ContainsFunc(kept, func(w *worker) bool { return w.id == p.Worker })
	})
	k.urgent = true
	ring(k.bell)
}

// run writes until ctx ends, and once more then. What the disk refuses is written again soon.
func (k *keeper) run(ctx context.Context) {
	var err error
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-k.bell:
			k.pause(ctx)
			err = k.save(err)
		}
		if err != nil && sleep(ctx, saveEvery) {
			ring(k.bell)
		}
	}
	_ = k.save(err) // it has been logged
}

// pause lets changes of the index gather.
func (k *keeper) pause(ctx context.Context) {
	t := time.NewTimer(saveEvery)
	defer t.Stop()
	for {
		k.mu.Lock()
		urgent := k.urgent
		k.mu.Unlock()
		if urgent {
			return
		}
		select {
		case <-k.bell:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// save writes what is true now; before is how it went last time: a disk that stays full is
// told of once.
func (k *keeper) save(before error) error {
	k.mu.Lock()
	s := k.now
	s.Processes = slices.Clone(s.Processes)
	k.urgent = false
	k.mu.Unlock()
	err := saveState(k.dir, s)
	switch {
	case err != nil && before == nil:
		k.logger.Error("state file cannot be written", "error", err)
	case err == nil && before != nil:
		k.logger.Info("state file is written again")
	}
	return err
}

// ring makes a doorbell channel of size 1 ready, if it is not.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
