//go:build !linux

package httpapi

import (
	"errors"
	"net"
	"time"

	"queen-rbee/hives"
)

// pumps says that this system has none: every stream stays with net/http.
const pumps = false

type pump struct{}

// side is nothing here.
type side struct{}

func newPump(func(uint64), func(any)) *pump { return &pump{} }

func (*pump) cut() {}

func (*pump) close() {}

func (*pump) open(c net.Conn, _ []byte, _ func()) (*pipe, error) {
	return nil, errors.Join(errors.ErrUnsupported, c.Close())
}

func (*pipe) follow(*hives.Stream, uint64, time.Duration, time.Duration) (<-chan followed, bool) {
	return nil, false
}

func (*pipe) unfollow() (uint64, error) { return 0, errors.ErrUnsupported }

func (*pipe) write([]byte) error { return errors.ErrUnsupported }

func (*pipe) close(bool) (net.Conn, []byte, error) { return nil, nil, errors.ErrUnsupported }
