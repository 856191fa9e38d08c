package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"queen-rbee/cmd/internal/e2e/rig"
)

// diskWord is what a queen says when it stops for its disk.
const diskWord = "this queen stops"

// disk fills a queen's disk to the brim. The queen stops with a message as soon as it has to
// write where nothing is reserved, or goes on with what it has; it is started again when
// there is room.
func (n *Nemesis) disk(s step) error {
	q, release, err := n.claim(s, []*rig.Process{n.cfg.Disk})
	if err != nil {
		return err
	}
	defer release()
	n.aim(s, q.Name)
	ballast := filepath.Join(n.cfg.DiskDir, "ballast")
	filled, err := fill(ballast)
	if err != nil {
		return errors.Join(err, os.Remove(ballast))
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.For)
	code, running := q.Ended(ctx)
	cancel()
	if err := os.Remove(ballast); err != nil {
		return err
	}
	s.told.Note = fmt.Sprintf("%d MiB filled it", filled>>20)
	if running != nil {
		return nil
	}
	s.told.Note += ", it stopped"
	if tail := q.Tail(100); code == 0 || !strings.Contains(tail, diskWord) {
		n.violate("%s ended with code %d on a full disk and did not say why:\n%s", q.Name, code, q.Tail(20))
	}
	return q.Launch()
}

// fill writes a file until the disk is full and gives its size.
func fill(path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var size int64
	for block := make([]byte, 1<<20); ; {
		wrote, err := f.Write(block)
		size += int64(wrote)
		switch {
		case errors.Is(err, syscall.ENOSPC) && len(block) == 1:
			return size, nil
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return size, err
		}
	}
}
