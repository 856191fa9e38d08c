package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives/engine"
)

// menu is what the hive's engines can serve now. That of most stands in the config; some have a
// list of their own, which is read. Safe for concurrent use.
type menu struct {
	engines []engine.Definition
	lists   map[string]*engine.Listing // by engine
}

// newMenu makes a menu; changed is called when an engine serves other models, and must not block.
func newMenu(engines []engine.Definition, changed func(), logger hclog.Logger) *menu {
	m := &menu{engines: engines, lists: map[string]*engine.Listing{}}
	for _, d := range engines {
		if l := engine.NewListing(d, changed, logger); l != nil {
			m.lists[d.Name] = l
		}
	}
	return m
}

// run reads the lists until ctx ends.
func (m *menu) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, l := range m.lists {
		wg.Go(func() { l.Run(ctx) })
	}
	wg.Wait()
}

// await waits, for a while, until every list was read once, so that what a start tells of them
// is true.
func (m *menu) await(ctx context.Context) {
	over := time.NewTimer(settleFor)
	defer over.Stop()
	for _, l := range m.lists {
		select {
		case <-l.Asked():
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// now are the engines with the models that they serve now.
func (m *menu) now() []engine.Definition {
	if len(m.lists) == 0 {
		return m.engines
	}
	out := slices.Clone(m.engines)
	for i := range out {
		if l := m.lists[out[i].Name]; l != nil {
			out[i].Models = l.Models()
		}
	}
	return out
}

// secrets are the variables that hold the keys of servers.
func (m *menu) secrets() []string {
	var out []string
	for _, d := range m.engines {
		if d.External != nil && d.External.KeyEnv != "" {
			out = append(out, d.External.KeyEnv)
		}
	}
	return out
}

// doubt has the list of an engine read at once: a worker of it has lost its server.
func (m *menu) doubt(name string) {
	if l := m.lists[name]; l != nil {
		l.Ask()
	}
}

// problem is why an engine's list cannot be read; empty when it can, or there is none.
func (m *menu) problem(name string) string {
	if l := m.lists[name]; l != nil {
		return l.Problem()
	}
	return ""
}
