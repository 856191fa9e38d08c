package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"queen-rbee/hives/device"
)

// Limits are what a worker's processes may take of the machine, all together. Zero values limit
// nothing.
type Limits struct {
	Memory device.Bytes `yaml:"memory"` // of the system's, not of a GPU's
	CPUs   float64      `yaml:"cpus"`   // processors' worth of time
}

// UnmarshalYAML is strict, as Spec's.
func (l *Limits) UnmarshalYAML(n *yaml.Node) error {
	if err := knownKeys(n, "limits", []string{"memory", "cpus"}); err != nil {
		return err
	}
	type plain Limits
	return n.Decode((*plain)(l))
}

const (
	minLimit = 1 << 20 // bytes: less starts nothing
	maxCPUs  = 4096
	// cpuPeriod is the time, in microseconds, over which processors are shared out.
	cpuPeriod = 100_000
	// groupPrefix and a worker's id name its group.
	groupPrefix = "rbee-"
)

func (l Limits) validate(engine string) error {
	switch {
	case l.Memory < 0 || l.Memory > 0 && l.Memory < minLimit:
		return fieldError(engine, "limits.memory", "%d: use 1MiB or more, such as 24GiB", int64(l.Memory))
	case l.CPUs != 0 && !(l.CPUs >= 0.01 && l.CPUs <= maxCPUs):
		return fieldError(engine, "limits.cpus", "%v: use 0.01 to %d", l.CPUs, maxCPUs)
	}
	return nil
}

// controllers are those of cgroup v2 that the limits need.
var controllers = []string{"memory", "cpu"}

// CheckCgroup prepares a cgroup v2 directory that was given to this hive for its engines, and
// removes the empty groups of earlier agents. An error says what it lacks.
func CheckCgroup(dir string) error {
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("%w: give a directory of a cgroup v2 hierarchy", err)
	}
	for _, c := range controllers {
		if !strings.Contains(" "+strings.TrimSpace(string(has))+" ", " "+c+" ") {
			return fmt.Errorf("%s has no %s controller: enable it in the cgroup.subtree_control of the directory above", dir, c)
		}
	}
	if err := writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+"+strings.Join(controllers, " +")); err != nil {
		return fmt.Errorf("%w: the directory must be writable for this hive, and no process may be in it", err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*")) // the pattern is well-formed
	for _, group := range left {
		_ = os.Remove(group) // the kernel keeps those that have processes
	}
	return nil
}

// cgroup holds the processes of one worker, those too that leave its process group.
type cgroup struct {
	dir   string
	kills int // processes the system had ended in it when it was set up: it may be an older one
}

// newCgroup makes the group of a worker, or takes the one that is there. The name is a worker's id.
func newCgroup(parent, worker string) (*cgroup, error) {
	g := &cgroup{dir: filepath.Join(parent, groupPrefix+worker)}
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("limits: %w", err)
	}
	return g, nil
}

// hold sets the limits.
func (g *cgroup) hold(l Limits) error {
	g.kills = g.killed()
	memory, cpu := "max", "max"
	if l.Memory > 0 {
		memory = strconv.FormatInt(int64(l.Memory), 10)
	}
	if l.CPUs > 0 {
		cpu = strconv.Itoa(max(1000, int(l.CPUs*cpuPeriod)))
	}
	for _, one := range []struct{ file, text string }{
		{"memory.max", memory}, {"cpu.max", fmt.Sprintf("%s %d", cpu, cpuPeriod)}, {"memory.oom.group", "1"},
	} {
		if err := writeFile(filepath.Join(g.dir, one.file), one.text); err != nil {
			return fmt.Errorf("limits: %w", err)
		}
	}
	return nil
}

// oomKilled tells whether the system has ended a process of the group for its memory.
func (g *cgroup) oomKilled() bool { return g.killed() > g.kills }

// killed counts the processes that the system has ended there for their memory.
func (g *cgroup) killed() int {
	text, _ := os.ReadFile(filepath.Join(g.dir, "memory.events")) // one that cannot be read tells nothing
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			count, _ := strconv.Atoi(strings.TrimSpace(n)) // the kernel writes numbers
			return count
		}
	}
	return 0
}

// end kills whatever is left in the group, and removes it once it is empty. It gives up after a
// second: the worker's next process takes the group then.
func (g *cgroup) end() {
	_ = writeFile(filepath.Join(g.dir, "cgroup.kill"), "1") // older kernels have none
	over := time.NewTimer(time.Second)
	defer over.Stop()
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for errors.Is(os.Remove(g.dir), syscall.EBUSY) {
		select {
		case <-tick.C:
		case <-over.C:
			return
		}
	}
}

// writeFile writes to a file of the kernel's, which is there.
func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
