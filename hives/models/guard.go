package models

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"queen-rbee/hives"
)

// closed are networks that no hub is in: this machine, the local network, other customers of a
// provider, and the addresses at which clouds tell a machine its secrets.
var closed = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}

// public tells whether an address can be that of a hub on the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// guardedDialer connects to public addresses alone. It is asked with the address itself, after
// the name was looked up and for each connection, so that no name and no redirect leads elsewhere.
func guardedDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !public(at.Addr()) {
			return hives.Errorf(CodeRefused, "%s is an address of this machine or of a private network, where no model is fetched from unless the hive's config says models.allow_private: true", address)
		}
		return nil
	}}
}
