package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"queen-rbee/cmd/rbee-keeper/client"
)

// Restart starts one process of a cluster again that somebody else runs, detached from this
// terminal, and returns its pid when it is ready. The running dev finds it by its pid file.
func Restart(ctx context.Context, dir, name string) (int, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	f, err := readFile(dir)
	if err != nil {
		return 0, err
	}
	for _, s := range f.Processes {
		if s.Name == name {
			return restart(ctx, dir, s)
		}
	}
	return 0, errUnknown(name, f.Processes)
}

func restart(ctx context.Context, dir string, s Spec) (int, error) {
	if pid := readPid(s); runs(pid, dir) {
		return 0, fmt.Errorf("%s runs already (pid %d); end it first", s.Name, pid)
	}
	cmd, log, err := command(s)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%s: %w", s.Name, err)
	}
	ch := &child{spec: s, pid: cmd.Process.Pid, over: make(chan struct{})}
	go func() { // ends with the process, or with ours: it is meant to outlive us
		defer close(ch.over)
		ch.how = describeEnd(cmd.Wait(), cmd.ProcessState)
	}()
	if err := writeWhole(s.pidFile(), strconv.Itoa(ch.pid)+"\n"); err != nil {
		return 0, err
	}
	c := &Cluster{cfg: Config{Dir: dir}, children: map[string]*child{s.Name: ch}}
	if s.Kind == KindHive {
		return ch.pid, c.awaitHealth(ctx, s)
	}
	c.queens = []Spec{s}
	if key, err := os.ReadFile(filepath.Join(s.Dir, "data", "admin.key")); err == nil {
		c.key = strings.TrimSpace(string(key))
	}
	return ch.pid, c.awaitReady(ctx, s)
}

// awaitHealth waits until a hive's own API answers.
func (c *Cluster) awaitHealth(ctx context.Context, h Spec) error {
	c.hives = []Spec{h}
	api, err := impatient(h.URL, "")
	if err != nil {
		return err
	}
	defer api.Close()
	return c.poll(ctx, func(ctx context.Context) (Spec, error) {
		_, err := api.Get(ctx, "/v1/health", nil)
		if _, answered := errors.AsType[*client.Error](err); answered {
			err = nil // it wants the hive token: it is up
		}
		return h, err
	})
}
