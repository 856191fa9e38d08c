package rig

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// Way is the packets from one group of a Net to another.
type Way struct{ From, To string }

// Weather is what a Net does to its packets beside carrying them. The zero value is fair.
type Weather struct {
	Cut   []Way          // nothing gets through
	Loss  map[string]int // percent of the packets from and to a group
	Limit map[string]int // kbit/s from and to a group, each
}

// Fallible tells what of Weather this machine cannot do; nil for nothing.
func (n *Net) Fallible() error {
	if err := n.rules("add table bridge probe\nadd chain bridge probe f { type filter hook forward priority 1; }\n" +
		"add rule bridge probe f numgen random mod 100 >= 99 drop\ndelete table bridge probe\n"); err != nil {
		return err
	}
	var err error
	for _, port := range n.ports {
		if err = command("ip", "netns", "exec", n.hub, "tc", "qdisc", "replace", "dev", port, "root", "tbf", "rate", "1gbit", "burst", "1mb", "latency", "400ms"); err == nil {
			err = command("ip", "netns", "exec", n.hub, "tc", "qdisc", "del", "dev", port, "root")
		}
		break
	}
	return err
}

// Apply makes the weather, in place of what was before.
func (n *Net) Apply(w Weather) error {
	var b strings.Builder
	b.WriteString("add table bridge weather\ndelete table bridge weather\nadd table bridge weather\n")
	b.WriteString("add chain bridge weather f { type filter hook forward priority 0; }\n")
	for _, c := range w.Cut {
		fmt.Fprintf(&b, "add rule bridge weather f iifname %q oifname %q drop\n", n.ports[c.From], n.ports[c.To])
	}
	for g, percent := range w.Loss {
		for _, side := range []string{"iifname", "oifname"} {
			fmt.Fprintf(&b, "add rule bridge weather f %s %q numgen random mod 100 >= %d drop\n", side, n.ports[g], 100-percent)
		}
	}
	if err := n.rules(b.String()); err != nil {
		return err
	}
	return n.limit(w.Limit)
}

// rules runs commands of nft, all or none.
func (n *Net) rules(lines string) error {
	return command("ip", "netns", "exec", n.hub, "nft", strings.ReplaceAll(strings.TrimSpace(lines), "\n", "; "))
}

// limit sets the rates of all links, both ways.
func (n *Net) limit(rates map[string]int) error {
	for g, port := range n.ports {
		for _, end := range []struct{ ns, dev string }{{n.hub, port}, {n.ns[g], "eth0"}} {
			kbit, slow := rates[g]
			args := []string{"netns", "exec", end.ns, "tc", "qdisc"}
			switch {
			case slow:
				args = append(args, "replace", "dev", end.dev, "root", "tbf", "rate", fmt.Sprintf("%dkbit", kbit), "burst", "16kb", "latency", "400ms")
			case n.slowed[g]:
				args = append(args, "del", "dev", end.dev, "root")
			default:
				continue
			}
			if err := command("ip", args...); err != nil {
				return err
			}
		}
		_, n.slowed[g] = rates[g]
	}
	return nil
}

// DialAs connects from a group's machine.
func (n *Net) DialAs(ctx context.Context, group, network, addr string) (net.Conn, error) {
	return dialIn(ctx, n.ns[group], network, addr)
}

// ListenAs listens on a group's machine.
func (n *Net) ListenAs(ctx context.Context, group, addr string) (net.Listener, error) {
	return inside(n.ns[group], func() (net.Listener, error) { return (&net.ListenConfig{}).Listen(ctx, "tcp", addr) })
}
