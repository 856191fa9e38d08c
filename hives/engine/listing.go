package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	listEvery  = 30 * time.Second // while it can be read
	listRetry  = 3 * time.Second  // while it cannot
	listForget = 5 * time.Minute  // silence after which its models are no longer offered
)

// Listing knows what an engine serves that has a list of its own: an external server, or an
// Ollama library. Run reads it; the other methods may be called at any time from any goroutine.
type Listing struct {
	name    string
	where   string
	read    func(context.Context) ([]Model, error) // its errors are for people
	changed func()
	logger  hclog.Logger
	bell    chan struct{} // read it now
	asked   chan struct{} // closed after the first answer, or none

	every, retry, forget time.Duration // what tests shorten

	models  atomic.Pointer[[]Model] // written only by Run, as the next
	problem atomic.Pointer[string]
}

// NewListing makes what knows the models of a definition; nil when they stand in its config.
// changed is called by Run when the models are others; it must not block.
func NewListing(d Definition, changed func(), logger hclog.Logger) *Listing {
	l := &Listing{name: d.Name, changed: changed, logger: logger, bell: make(chan struct{}, 1), asked: make(chan struct{}),
		every: listEvery, retry: listRetry, forget: listForget}
	switch {
	case d.External != nil:
		l.where, l.read = d.External.URL, remote{*d.External}.list
	case d.library != nil:
		l.where, l.read = d.library.dir, d.library.list
	default:
		return nil
	}
	none, unasked := []Model{}, "it has not been asked yet"
	l.models.Store(&none)
	l.problem.Store(&unasked)
	return l
}

// Models are what was listed last, sorted by ref. It is not to be changed.
func (l *Listing) Models() []Model { return *l.models.Load() }

// Problem is why the list could not be read last; empty when it was.
func (l *Listing) Problem() string { return *l.problem.Load() }

// Ask has Run read the list at once. It does not block.
func (l *Listing) Ask() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// Asked is closed when the list was read once, with whatever success.
func (l *Listing) Asked() <-chan struct{} { return l.asked }

// Run reads until ctx ends. Call it once.
func (l *Listing) Run(ctx context.Context) {
	heard := time.Now()
	for first := true; ctx.Err() == nil; first = false {
		wait := l.every
		models, err := l.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			heard = time.Now()
			l.set(models, "")
		case time.Since(heard) >= l.forget:
			l.set([]Model{}, err.Error())
			wait = l.retry
		default: // it may only be starting again: its models stay offered
			l.set(l.Models(), err.Error())
			wait = l.retry
		}
		if first {
			close(l.asked)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.bell:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// set publishes, and says what is new.
func (l *Listing) set(models []Model, problem string) {
	had, before := l.Models(), l.Problem()
	l.models.Store(&models)
	l.problem.Store(&problem)
	switch {
	case problem != "" && problem != before:
		l.logger.Error("engine cannot be asked for its models: "+problem, "engine", l.name, "at", l.where)
	case problem == "" && before != "":
		l.logger.Info("engine has told its models", "engine", l.name, "at", l.where, "models", refs(models))
	case !slices.Equal(had, models):
		l.logger.Info("engine serves other models now", "engine", l.name, "models", refs(models))
	}
	if !slices.Equal(had, models) {
		l.changed()
	}
}

func refs(models []Model) string {
	var out []string
	for _, m := range models {
		out = append(out, m.Ref)
	}
	return some(out)
}

// some lists names for people, not more than ten.
func some(names []string) string {
	if len(names) > 10 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:10], ", "), len(names)-10)
	}
	return strings.Join(names, ", ")
}
