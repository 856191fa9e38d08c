package local

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// Free ports are looked for below the range that systems hand out to outgoing connections:
// a killed process must find its port free when it is started again.
const (
	lowPort  = 18000
	highPort = 32000
)

// pickPorts returns n ports that are free for TCP and UDP on 127.0.0.1: base, base+1, ... or
// any when base is 0.
func pickPorts(base, n int) ([]int, error) {
	if base != 0 {
		ports := make([]int, n)
		for i := range ports {
			ports[i] = base + i
			if err := probe(ports[i]); err != nil {
				return nil, fmt.Errorf("base-port: port %d is not free (%w); choose another --base-port or leave it out", ports[i], err)
			}
		}
		return ports, nil
	}
	seen := map[int]bool{}
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*(n+1) {
			return nil, errors.New("no free ports found on 127.0.0.1; give --base-port")
		}
		p := lowPort + rand.IntN(highPort-lowPort)
		if !seen[p] && probe(p) == nil {
			ports = append(ports, p)
		}
		seen[p] = true
	}
	return ports, nil
}

// probe listens on a port for a moment.
func probe(port int) error {
	addr := "127.0.0.1:" + strconv.Itoa(port)
	var open []io.Closer
	tcp, err := net.Listen("tcp", addr)
	if err == nil {
		open = append(open, tcp)
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", addr); err == nil {
			open = append(open, udp)
		}
	}
	for _, o := range open {
		err = errors.Join(err, o.Close())
	}
	return err
}
