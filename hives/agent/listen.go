package agent

import (
	"context"
	"net"
	"time"
)

// hangUp is how long a connection lives whose other end says nothing any more: a queen that
// was unplugged tells nobody, and the grace of its clients' runs begins only when it is seen
// to be gone. What it does not read for so long ends it too, as writeTime does.
const hangUp = 20 * time.Second

// listen opens the hive's port. Elsewhere than on Linux hangUp holds for a quiet connection
// only; one with unacknowledged data is the system's to give up, in minutes.
func listen(addr string) (net.Listener, error) {
	c := net.ListenConfig{
		Control:         boundUnacknowledged,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: hangUp / 2, Interval: hangUp / 4, Count: 2},
	}
	c.SetMultipathTCP(false) // its sockets do not know the option
	return c.Listen(context.Background(), "tcp", addr)
}
