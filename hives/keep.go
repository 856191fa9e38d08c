package hives

import (
	"net"
	"sync"
	"time"
)

// Of connections that are kept for the next run: how many for each hive, and how long. A hive
// closes its own after two minutes.
const (
	maxKept = 1024
	keptFor = 90 * time.Second
)

// keep holds connections on which nothing is under way, by address. What nobody takes in keptFor
// is closed, of hives that are never asked again too. Safe for concurrent use.
type keep struct {
	mu     sync.Mutex
	byAddr map[string][]kept
	timer  *time.Timer // of the next look at what is too old; nil while nothing is kept
}

type kept struct {
	net.Conn
	since time.Time
}

// take gives the connection that was used last, nil if there is none.
func (k *keep) take(addr string) net.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.fresh(addr)
	if len(list) == 0 {
		k.set(addr, nil)
		return nil
	}
	last := list[len(list)-1]
	k.set(addr, list[:len(list)-1])
	return last.Conn
}

func (k *keep) put(addr string, c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.fresh(addr)
	if len(list) >= maxKept {
		_ = c.Close()
		return
	}
	k.set(addr, append(list, kept{c, time.Now()}))
	if k.timer == nil {
		k.timer = time.AfterFunc(keptFor, k.sweep)
	}
}

// fresh closes what an address has too old, which is what it has longest, and gives the others;
// the caller holds the lock, as for set.
func (k *keep) fresh(addr string) []kept {
	list := k.byAddr[addr]
	for len(list) > 0 && time.Since(list[0].since) >= keptFor {
		_ = list[0].Close()
		list = list[1:]
	}
	return list
}

func (k *keep) set(addr string, list []kept) {
	if len(list) == 0 {
		delete(k.byAddr, addr)
		return
	}
	if k.byAddr == nil {
		k.byAddr = map[string][]kept{}
	}
	k.byAddr[addr] = list
}

// sweep closes what is too old of every address, and comes again while something is left.
func (k *keep) sweep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for addr := range k.byAddr {
		k.set(addr, k.fresh(addr))
	}
	k.timer = nil
	if len(k.byAddr) > 0 {
		k.timer = time.AfterFunc(keptFor, k.sweep)
	}
}

// drop closes all that is kept of one address.
func (k *keep) drop(addr string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.byAddr[addr] {
		_ = c.Close()
	}
	delete(k.byAddr, addr)
}

// close closes everything; what is put afterwards is kept as before.
func (k *keep) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, list := range k.byAddr {
		for _, c := range list {
			_ = c.Close()
		}
	}
	k.byAddr = nil
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
}
