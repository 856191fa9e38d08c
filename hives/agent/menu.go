package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives/engine"
)

// menu is what the hive's engines can serve now. That of most stands in the config; what
// servers serve that run already is read from them. Safe for concurrent use.
type menu struct {
	engines []engine.Definition
	remotes map[string]*engine.Remote // by engine
}

// newMenu makes a menu; changed is called when an engine serves other models, and must not block.
func newMenu(engines []engine.Definition, changed func(), logger hclog.Logger) *menu {
	m := &menu{engines: engines, remotes: map[string]*engine.Remote{}}
	for _, d := range engines {
		if d.External != nil {
			m.remotes[d.Name] = engine.NewRemote(d, changed, logger)
		}
	}
	return m
}

// run asks the servers that run already until ctx ends.
func (m *menu) run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, r := range m.remotes {
		wg.Go(func() { r.Run(ctx) })
	}
	wg.Wait()
}

// await waits, for a while, until every server was asked once, so that what a start tells of
// them is true.
func (m *menu) await(ctx context.Context) {
	over := time.NewTimer(settleFor)
	defer over.Stop()
	for _, r := range m.remotes {
		select {
		case <-r.Asked():
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// now are the engines with the models that they serve now.
func (m *menu) now() []engine.Definition {
	if len(m.remotes) == 0 {
		return m.engines
	}
	out := slices.Clone(m.engines)
	for i := range out {
		if r := m.remotes[out[i].Name]; r != nil {
			out[i].Models = r.Models()
		}
	}
	return out
}

// doubt has the server of an engine asked at once: a worker of it has lost it.
func (m *menu) doubt(name string) {
	if r := m.remotes[name]; r != nil {
		r.Ask()
	}
}

// problem is why an engine's server cannot be asked; empty when it answers, or is started here.
func (m *menu) problem(name string) string {
	if r := m.remotes[name]; r != nil {
		return r.Problem()
	}
	return ""
}
