package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"queen-rbee/fsm"
)

// maxCatalog bounds the models of the catalog.
const maxCatalog = 10_000

// serveModel serves what concerns the catalog; false when the request does not.
func (p *planner) serveModel(a *Answer, r *Request) bool {
	switch {
	case r.PutModel != nil:
		a.Err = p.describe(r.PutModel.Model)
	case r.DropModel != nil:
		a.Err = p.dropEntry(r.DropModel.Ref)
	case r.Inspected != nil:
		a.Err = p.inspected(r.Inspected)
	case r.Fetch != nil:
		p.fetch(a, r.Fetch)
	default:
		return false
	}
	return true
}

// sortedKeys makes a map's order one that may show.
func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// describe takes an operator's description of a model in.
func (p *planner) describe(m fsm.Model) *fsm.Error {
	if p.meta.Level < fsm.LevelCatalog {
		return fsm.Errorf(fsm.CodeConflict, "the catalog of models needs every queen of the cluster to be upgraded first")
	}
	if err := checkModel(&m); err != nil {
		return err
	}
	m.Aliases, m.Labels = sorted(slices.Clone(m.Aliases)), slices.Clone(m.Labels)
	slices.SortFunc(m.Labels, compareLabels)
	for i, name := range append([]string{m.Ref}, m.Aliases...) {
		if other, ok := p.named(name); ok && other.Ref != m.Ref {
			field := "aliases"
			if i == 0 {
				field = "ref"
			}
			return fsm.Errorf(fsm.CodeConflict, "%s: %q is a name of model %s already", field, name, other.Ref)
		}
	}
	old, known := p.model(m.Ref)
	if !known && p.view.CatalogSize()+len(p.models) >= maxCatalog {
		return fsm.Errorf(fsm.CodeConflict, "ref: the catalog holds %d models, the limit", maxCatalog)
	}
	p.inherit(&m, old)
	if known && sameModel(old, &m) {
		return nil
	}
	p.putModel(m)
	p.wake(p.now + 1) // what it allows is looked for on its own
	return nil
}

// inherit keeps what is known of a model's file while the description is of the same. A digest
// that the operator changes is another file.
func (p *planner) inherit(m, old *fsm.Model) {
	m.Size, m.Memory, m.Failure = 0, fsm.Memory{}, nil
	if old == nil || old.Source != m.Source || m.Digest != "" && old.Digest != "" && m.Digest != old.Digest {
		return
	}
	m.Digest, m.Size = cmp.Or(m.Digest, old.Digest), old.Size
	if old.Slots == m.Slots && old.Context == m.Context {
		m.Memory = old.Memory
	}
}

func sameModel(a, b *fsm.Model) bool {
	return a.Source == b.Source && a.Engine == b.Engine && a.Digest == b.Digest && a.Size == b.Size && a.Memory == b.Memory &&
		a.VRAM == b.VRAM && a.Slots == b.Slots && a.Context == b.Context && a.IdleTTL == b.IdleTTL &&
		a.MinReplicas == b.MinReplicas && a.MaxReplicas == b.MaxReplicas && a.Pin == b.Pin &&
		slices.Equal(a.Aliases, b.Aliases) && slices.Equal(a.Labels, b.Labels) &&
		(a.Failure == nil) == (b.Failure == nil) && (a.Failure == nil || *a.Failure == *b.Failure)
}

// Bounds of a model's description.
const (
	maxRef      = 256
	maxSource   = 2048
	maxContext  = 1 << 24
	maxReplicas = 1024
	maxBytes    = 1 << 50
)

// isName tells what a model may be called: it stands in URLs, paths and logs.
func isName(name string) bool {
	if name == "" || len(name) > maxRef {
		return false
	}
	first := true // of a part between slashes
	for _, c := range []byte(name) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		switch {
		case plain:
			first = false
		case first:
			return false
		case c == '/':
			first = true
		case !strings.ContainsRune("._:@+-", rune(c)):
			return false
		}
	}
	return !first
}

func isDigest(text string) bool {
	hex, ok := strings.CutPrefix(text, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// sources are the schemes that hives fetch from.
var sources = []string{"hf:", "https:", "http:", "file:"}

func checkModel(m *fsm.Model) *fsm.Error {
	invalid := func(format string, args ...any) *fsm.Error { return fsm.Errorf(fsm.CodeInvalid, format, args...) }
	for i, name := range append([]string{m.Ref}, m.Aliases...) {
		field := "aliases"
		if i == 0 {
			field = "ref"
		}
		if !isName(name) {
			return invalid("%s: %.100q is no name of a model: up to %d letters, digits and . _ : @ + - in parts between slashes, each beginning with a letter or digit", field, name, maxRef)
		}
	}
	switch {
	case len(m.Aliases) > fsm.MaxAliases:
		return invalid("aliases: %d, at most %d", len(m.Aliases), fsm.MaxAliases)
	case slices.Contains(m.Aliases, m.Ref):
		return invalid("aliases: %q is the ref itself", m.Ref)
	case m.Source != "" && !slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(m.Source, s) && len(m.Source) > len(s) }):
		return invalid("source: %.100q begins with none of %s", m.Source, strings.Join(sources, " "))
	case len(m.Source) > maxSource:
		return invalid("source: %d bytes, at most %d", len(m.Source), maxSource)
	case m.Source != "" && m.Engine == "":
		return invalid("engine: is missing; it names the engine of the hives' configurations that runs this file, such as llama.cpp")
	case m.Source == "" && m.Engine != "":
		return invalid("source: is missing; without engine and source, the model is one that hives offer by their own configuration")
	case len(m.Engine) > maxID:
		return invalid("engine: %d bytes, at most %d", len(m.Engine), maxID)
	case m.Digest != "" && !isDigest(m.Digest):
		return invalid("digest: want sha256: and 64 hex digits")
	case m.VRAM < 0 || m.VRAM > maxBytes:
		return invalid("vram_bytes: want 0 to %d", int64(maxBytes))
	case m.Slots < 0 || m.Slots > maxSlots:
		return invalid("slots: want 0 to %d", maxSlots)
	case m.Context < 0 || m.Context > maxContext:
		return invalid("context: want 0 to %d tokens", maxContext)
	}
	return checkRules(m)
}

// checkRules checks how many workers there may be, where, and for how long.
func checkRules(m *fsm.Model) *fsm.Error {
	invalid := func(format string, args ...any) *fsm.Error { return fsm.Errorf(fsm.CodeInvalid, format, args...) }
	switch {
	case m.MinReplicas < 0 || m.MinReplicas > maxReplicas:
		return invalid("min_replicas: want 0 to %d", maxReplicas)
	case m.MaxReplicas < 0 || m.MaxReplicas > maxReplicas:
		return invalid("max_replicas: want 0 to %d", maxReplicas)
	case m.MaxReplicas > 0 && m.MinReplicas > m.MaxReplicas:
		return invalid("min_replicas: %d is above max_replicas, %d", m.MinReplicas, m.MaxReplicas)
	case m.IdleTTL > fsm.MaxKeepAlive:
		return invalid("idle_ttl: at most %s, or below 0 for ever", fsm.MaxKeepAlive)
	case len(m.Labels) > maxLabels:
		return invalid("labels: at most %d", maxLabels)
	}
	for _, l := range m.Labels {
		if err := checkLabel(l); err != nil {
			return err
		}
	}
	return nil
}

// dropEntry takes a model out of the catalog; settleDropped does the rest.
func (p *planner) dropEntry(name string) *fsm.Error {
	m, ok := p.named(name)
	if !ok {
		return fsm.Errorf(fsm.CodeModelNotFound, "the catalog has no model %q", name)
	}
	p.dropModel(m)
	p.wake(p.now + 1)
	return nil
}

// inspected takes in what a hive found at a model's source. What was asked of another
// description is over.
func (p *planner) inspected(r *Inspected) *fsm.Error {
	old, ok := p.model(r.Ref)
	if !ok || old.Source != r.Source || old.Slots != r.Slots || old.Context != r.Context {
		return nil
	}
	if r.Size < 0 || r.Memory.Weights < 0 || r.Memory.KV < 0 || r.Memory.Overhead < 0 || len(r.Digest) > maxID {
		return fsm.Errorf(fsm.CodeInvalid, "inspected: sizes must not be below 0, a digest holds at most %d bytes", maxID)
	}
	m := *old
	if m.Failure = clipped(r.Failure); m.Failure == nil {
		m.Size, m.Memory = max(r.Size, old.Size), r.Memory
		m.Digest = cmp.Or(old.Digest, r.Digest)
		if m.Size == 0 || m.Memory.Total() == 0 { // some of it stays unknown: nobody need ask again
			m.Failure = &fsm.Failure{Code: fsm.CodeInvalid, Message: "its file does not tell how much memory it takes"}
		}
	}
	if !sameModel(old, &m) {
		p.putModel(m)
		p.wake(p.now + 1)
	}
	return nil
}

// unseen tells a job whose model nobody has looked at yet, on hives that could run it.
func (p *planner) unseen(j *fsm.Job) bool {
	m, ok := p.sourced(j.Model)
	if !ok || m.Need() > 0 || m.Failure != nil {
		return false
	}
	for h := range p.hivesFor(j) {
		if usable(h) && suits(h, j) {
			return true
		}
	}
	return false
}

// unplaced says what keeps a model of the catalog from being placed anywhere, if that is its own.
func (p *planner) unplaced(ref string) string {
	m, ok := p.sourced(ref)
	switch {
	case !ok:
		return ""
	case m.Need() == 0 && m.Failure != nil:
		return "; its source could not be read: " + m.Failure.Message
	case m.Need() > 0:
		return fmt.Sprintf("; a worker of it takes %d bytes on a device, with engine %s", m.Need(), m.Engine)
	}
	return ""
}

// settleDropped ends what dropped models have left: jobs that wait for them, workers, and at
// last, when nothing can come back from its backoff any more, the row.
func (p *planner) settleDropped() {
	for m := range p.view.DroppedModels() {
		if _, back := p.model(m.Ref); back {
			continue
		}
		if !p.known(m.Ref) && !p.endWaiting(m.Ref) {
			return
		}
		workers := 0
		for w := range p.workersOf(m.Ref) {
			if !w.FromCatalog() {
				continue
			}
			if workers++; w.State == fsm.WorkerDraining {
				continue
			}
			if !p.room() {
				return
			}
			p.drain(w)
		}
		due := m.DroppedAt + p.lim.RetainMin
		if due > p.now {
			p.wake(due)
		} else if workers == 0 && p.room() {
			p.emit(&fsm.ExpireModel{Ref: m.Ref})
		}
	}
}

// endWaiting ends the ready jobs of a model that is no more; false when there was no room for all.
func (p *planner) endWaiting(ref string) bool {
	for j := range p.lanes(ref).jobs {
		if !p.room() {
			return false
		}
		p.end(j, fsm.EndJob{State: fsm.JobFailed, Failure: &fsm.Failure{Code: fsm.CodeModelNotFound,
			Message: "model " + ref + " has been removed from the catalog"}})
	}
	return true
}
