package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	remoteEvery  = 30 * time.Second // while it answers
	remoteRetry  = 3 * time.Second  // while it does not
	remoteForget = 5 * time.Minute  // silence after which its models are no longer offered
	remoteAnswer = 10 * time.Second
	// maxRemote bounds the models of one server.
	maxRemote = 1000
)

// Remote knows what an external server serves. Run asks it; the other methods may be called at
// any time from any goroutine.
type Remote struct {
	name    string
	server  External
	changed func()
	logger  hclog.Logger
	bell    chan struct{} // ask it now
	asked   chan struct{} // closed after the first answer, or none

	every, retry, forget time.Duration // what tests shorten

	models  atomic.Pointer[[]Model] // written only by Run, as the next
	problem atomic.Pointer[string]
}

// NewRemote makes what knows the server of an external definition. changed is called by Run when
// the models are others; it must not block.
func NewRemote(d Definition, changed func(), logger hclog.Logger) *Remote {
	r := &Remote{name: d.Name, server: *d.External, changed: changed, logger: logger, bell: make(chan struct{}, 1), asked: make(chan struct{}),
		every: remoteEvery, retry: remoteRetry, forget: remoteForget}
	none, unasked := []Model{}, "it has not been asked yet"
	r.models.Store(&none)
	r.problem.Store(&unasked)
	return r
}

// Models are what the server listed last, sorted by ref. It is not to be changed.
func (r *Remote) Models() []Model { return *r.models.Load() }

// Problem is why the server could not be asked last; empty when it answers.
func (r *Remote) Problem() string { return *r.problem.Load() }

// Ask has Run ask the server at once. It does not block.
func (r *Remote) Ask() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// Asked is closed when the server was asked once, with whatever success.
func (r *Remote) Asked() <-chan struct{} { return r.asked }

// Run asks until ctx ends. Call it once.
func (r *Remote) Run(ctx context.Context) {
	heard := time.Now()
	for first := true; ctx.Err() == nil; first = false {
		wait := r.every
		models, err := r.list(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			heard = time.Now()
			r.set(models, "")
		case time.Since(heard) >= r.forget:
			r.set([]Model{}, err.Error())
			wait = r.retry
		default: // it may only be starting again: its models stay offered
			r.set(r.Models(), err.Error())
			wait = r.retry
		}
		if first {
			close(r.asked)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-r.bell:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// set publishes, and says what is new.
func (r *Remote) set(models []Model, problem string) {
	had, before := r.Models(), r.Problem()
	r.models.Store(&models)
	r.problem.Store(&problem)
	switch {
	case problem != "" && problem != before:
		r.logger.Error("external engine: "+problem, "engine", r.name, "url", r.server.URL)
	case problem == "" && before != "":
		r.logger.Info("external engine answers", "engine", r.name, "url", r.server.URL, "models", refs(models))
	case !slices.Equal(had, models):
		r.logger.Info("external engine serves other models now", "engine", r.name, "models", refs(models))
	}
	if !slices.Equal(had, models) {
		r.changed()
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

// listedModel is one element of `data` in /v1/models, as far as servers agree.
type listedModel struct {
	ID       string `json:"id"`
	OwnedBy  string `json:"owned_by"`
	MaxModel int    `json:"max_model_len"` // vLLM, SGLang
}

// list asks the server for its models. Its errors are for people.
func (r *Remote) list(ctx context.Context) ([]Model, error) {
	p := probe{base: r.server.URL, key: r.server.Key}
	status, body, err := p.get(ctx, modelsPath, remoteAnswer)
	if err != nil {
		return nil, unreachable(r.server.URL, err)
	}
	listed, err := r.parse(status, body)
	if err != nil {
		return nil, err
	}
	props := engineProps{}
	if slices.ContainsFunc(listed, func(m listedModel) bool { return m.OwnedBy == "llamacpp" }) {
		props = p.props(ctx)
	}
	return r.offer(listed, props)
}

// parse reads the answer to /v1/models.
func (r *Remote) parse(status int, body []byte) ([]listedModel, error) {
	switch status {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		if r.server.Key == "" {
			return nil, fmt.Errorf("the server wants an API key (it answered %d): put it into an environment variable of this hive and name that in api_key_env", status)
		}
		return nil, fmt.Errorf("the server does not take the key in %s (it answered %d: %s)", r.server.KeyEnv, status, parseFault(body).message)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("no OpenAI server: GET %s%s answered %d; give the base URL that OpenAI clients of it use", r.server.URL, modelsPath, status)
	default:
		return nil, fmt.Errorf("GET %s answered %d: %s", modelsPath, status, parseFault(body).message)
	}
	var answer struct {
		Data []listedModel `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data == nil {
		return nil, fmt.Errorf("no OpenAI server: GET %s%s answered with %.60q, not with a list of models", r.server.URL, modelsPath, body)
	}
	return answer.Data, nil
}

// offer makes models of what is listed, and wanted.
func (r *Remote) offer(listed []listedModel, props engineProps) ([]Model, error) {
	slices.SortFunc(listed, func(a, b listedModel) int { return strings.Compare(a.ID, b.ID) })
	out := []Model{}
	var ids []string
	for _, l := range listed {
		if ids = append(ids, l.ID); len(r.server.Only) > 0 {
			continue
		}
		out = addModel(out, r.complete(Model{Ref: cleanRef(l.ID), Name: l.ID}, l, props))
	}
	for _, want := range r.server.Only {
		at := slices.IndexFunc(listed, func(l listedModel) bool { return l.ID == want.Name || cleanRef(l.ID) == want.Name })
		if at < 0 {
			return nil, fmt.Errorf("the server does not serve %s, which this engine's models name: it lists %s", want.Name, some(ids))
		}
		want.Name = listed[at].ID
		out = addModel(out, r.complete(want, listed[at], props))
	}
	if len(listed) == 0 {
		return nil, errors.New("the server lists no model: load one there")
	}
	if len(out) > maxRemote {
		return nil, fmt.Errorf("the server lists %d models, at most %d can be offered: name those you want in models", len(out), maxRemote)
	}
	slices.SortFunc(out, func(a, b Model) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// complete fills in what the config does not say.
func (r *Remote) complete(m Model, l listedModel, props engineProps) Model {
	for _, slots := range []int{r.server.Slots, props.Slots, usualSlots(l.OwnedBy)} {
		if m.Slots == 0 {
			m.Slots = min(max(0, slots), 1<<12)
		}
	}
	for _, context := range []int{props.context(), l.MaxModel} {
		if m.Context == 0 {
			m.Context = max(0, context)
		}
	}
	return m
}

// usualSlots is for servers that do not say how many runs they hold at once: those that batch
// continuously take many more than others.
func usualSlots(owner string) int {
	if owner == "vllm" || owner == "sglang" {
		return 32
	}
	return DefaultSlots
}

// addModel adds a model whose ref another may have got from a similar id.
func addModel(to []Model, m Model) []Model {
	base := m.Ref
	for n := 2; slices.ContainsFunc(to, func(had Model) bool { return had.Ref == m.Ref }); n++ {
		m.Ref = fmt.Sprintf("%s-%d", base, n)
	}
	return append(to, m)
}

// cleanRef makes a ref of what a server calls a model, which may be the path of a file.
func cleanRef(id string) string {
	if strings.HasPrefix(id, "/") || strings.HasPrefix(id, ".") || strings.Contains(id, `\`) {
		id = id[strings.LastIndexAny(strings.TrimRight(id, `/\`), `/\`)+1:]
	}
	id = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:/@+-", r) {
			return r
		}
		return '-'
	}, id)
	id = strings.Trim(id, "._:/@+-")
	if id == "" {
		return "model"
	}
	return id[:min(len(id), 200)]
}

// unreachable says in words why a server could not be asked.
func unreachable(base string, err error) error {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s is not known: %w", base, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: see that the server runs, and on an address this machine reaches", base)
	case errors.As(err, &cert), errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("the certificate of %s is not trusted here: %w; add its authority to this machine's, or name the file in SSL_CERT_FILE", base, err)
	case errors.As(err, &header):
		return fmt.Errorf("%s does not speak TLS: use http://", base)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer within %v", base, remoteAnswer)
	}
	return fmt.Errorf("%s cannot be asked: %w", base, err)
}
