package rig

import (
	"context"
	"testing"
	"time"
)

func TestWeatherOfANet(t *testing.T) {
	root = t.TempDir() // names of its own beside other tests of this machine
	n := NewNet(t, "a", "b")
	if err := n.Fallible(); err != nil {
		Lacks(t, "netns", err.Error())
	}
	addr := map[string]string{"a": n.IP("a") + ":80", "b": n.IP("b") + ":80"}
	for group, at := range addr {
		l, err := n.ListenAs(t.Context(), group, at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	connects := func(from, to string, within time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		c, err := n.DialAs(ctx, from, "tcp", addr[to])
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	for _, tt := range []struct {
		name    string
		weather Weather
		ok      bool
	}{
		{"fair", Weather{}, true},
		{"cut", Weather{Cut: []Way{{"a", "b"}, {"b", "a"}}}, false},
		{"cut one way", Weather{Cut: []Way{{"a", "b"}}}, false},
		{"cut the other way", Weather{Cut: []Way{{"b", "a"}}}, false},
		{"all lost", Weather{Loss: map[string]int{"b": 100}}, false},
		{"slow", Weather{Limit: map[string]int{"a": 256}}, true},
		{"fair again", Weather{}, true},
	} {
		if err := n.Apply(tt.weather); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		within := 200 * time.Millisecond
		if tt.ok {
			within = readyTime
		}
		for _, way := range []Way{{"a", "b"}, {"b", "a"}} {
			if got := connects(way.From, way.To, within); got != tt.ok {
				t.Errorf("%s: %v connects: %v, want %v", tt.name, way, got, tt.ok)
			}
		}
	}
}
