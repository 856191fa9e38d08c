//go:build !linux

package engine

import (
	"errors"
	"syscall"
)

// into fails: only Linux has groups.
func (g *cgroup) into(*syscall.SysProcAttr) (done func(), err error) {
	return nil, errors.New("limits need cgroup v2, which is Linux's")
}
