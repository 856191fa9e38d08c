package rig

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Net is a network of its own: namespaces of machines, joined by a bridge in one more. A
// cable can be pulled: packets vanish, no connection is told.
type Net struct {
	hub   string
	ns    map[string]string // group -> namespace
	ip    map[string]string // group -> address
	ports map[string]string // group -> its interface on the bridge

	slowed map[string]bool // groups whose link has a limit
}

var netsMade atomic.Int64

// netPrefix begins the names of all namespaces of one test binary.
func netPrefix(dir string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	return fmt.Sprintf("rbee%08x", h.Sum32())
}

// NetsPossible tells why NewNet could not work here; nil if it can.
func NetsPossible() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	name := netPrefix(root) + "-probe"
	if err := ip("netns", "add", name); err != nil {
		return err
	}
	return ip("netns", "del", name)
}

// NewNet makes a namespace for each group. Without the right to do so the test is skipped,
// unless RBEE_REQUIRE names netns.
func NewNet(t testing.TB, groups ...string) *Net {
	t.Helper()
	id := fmt.Sprintf("%s-%d", netPrefix(root), netsMade.Add(1))
	n := &Net{hub: id + "-hub", ns: map[string]string{}, ip: map[string]string{}, ports: map[string]string{}, slowed: map[string]bool{}}
	t.Cleanup(n.remove)
	err := ip("netns", "add", n.hub)
	if err != nil {
		Lacks(t, "netns", fmt.Sprintf("no network namespaces: %v", err))
	}
	n.must(t, "-n", n.hub, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
	n.must(t, "-n", n.hub, "link", "set", "br0", "up")
	for i, g := range groups {
		ns, port := fmt.Sprintf("%s-%s", id, g), fmt.Sprintf("port%d", i)
		n.ns[g], n.ip[g], n.ports[g] = ns, fmt.Sprintf("198.18.0.%d", i+1), port
		n.must(t, "netns", "add", ns)
		n.must(t, "-n", n.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
		n.must(t, "-n", n.hub, "link", "set", port, "master", "br0", "up")
		n.must(t, "-n", ns, "link", "set", "lo", "up")
		n.must(t, "-n", ns, "addr", "add", n.ip[g]+"/24", "dev", "eth0")
		n.must(t, "-n", ns, "link", "set", "eth0", "up")
	}
	return n
}

func ip(args ...string) error { return command("ip", args...) }

func (n *Net) must(t testing.TB, args ...string) {
	t.Helper()
	if err := ip(args...); err != nil {
		t.Fatal(err)
	}
}

// Namespace and IP are those of a group.
func (n *Net) Namespace(group string) string { return n.ns[group] }

// IP is a group's address.
func (n *Net) IP(group string) string { return n.ip[group] }

// Cut pulls a group's cable; Heal plugs it in again.
func (n *Net) Cut(t testing.TB, group string) {
	t.Helper()
	n.must(t, "-n", n.hub, "link", "set", n.ports[group], "down")
}

// Heal plugs a group's cable in again.
func (n *Net) Heal(t testing.TB, group string) {
	t.Helper()
	n.must(t, "-n", n.hub, "link", "set", n.ports[group], "up")
}

// Dial connects as a client on the very machine it connects to, which no cut separates.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	for g, a := range n.ip {
		if a == host {
			return dialIn(ctx, n.ns[g], network, addr)
		}
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

func dialIn(ctx context.Context, ns, network, addr string) (net.Conn, error) {
	return inside(ns, func() (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, addr)
	})
}

// inside calls do on a thread that has moved into the namespace and ends with its goroutine.
// The sockets it makes stay in there.
func inside[T any](ns string, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime drops the thread
		var r result
		defer func() { done <- r }()
		var f *os.File
		if f, r.err = os.Open("/var/run/netns/" + ns); r.err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		if r.err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); r.err != nil {
			r.err = fmt.Errorf("setns: %w", r.err)
			return
		}
		r.value, r.err = do()
	}()
	r := <-done
	return r.value, r.err
}

func (n *Net) remove() {
	for _, ns := range n.ns {
		_ = ip("netns", "del", ns)
	}
	_ = ip("netns", "del", n.hub)
}

// removeNets deletes the namespaces that a test binary left behind.
func removeNets(dir string) {
	left, err := filepath.Glob("/var/run/netns/" + netPrefix(dir) + "*")
	if err != nil {
		return
	}
	for _, path := range left {
		_ = ip("netns", "del", filepath.Base(path))
	}
}
