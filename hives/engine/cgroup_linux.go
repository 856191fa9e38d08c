package engine

import (
	"os"
	"syscall"
)

// into has a process started in the group, from its first instruction on. done is called when
// it has been started.
func (g *cgroup) into(attr *syscall.SysProcAttr) (done func(), err error) {
	f, err := os.Open(g.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	return func() { _ = f.Close() }, nil
}
