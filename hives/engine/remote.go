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
	"syscall"
	"time"
)

const (
	remoteAnswer = 10 * time.Second
	// maxRemote bounds the models of one list.
	maxRemote = 1000
)

// remote is an external server as one that lists models.
type remote struct{ server External }

// listedModel is one element of `data` in /v1/models, as far as servers agree.
type listedModel struct {
	ID       string `json:"id"`
	OwnedBy  string `json:"owned_by"`
	MaxModel int    `json:"max_model_len"` // vLLM, SGLang
}

// list asks the server for its models. Its errors are for people.
func (r remote) list(ctx context.Context) ([]Model, error) {
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
		props, _ = p.props(ctx) // one that does not tell has none
	}
	return r.offer(listed, props)
}

// parse reads the answer to /v1/models.
func (r remote) parse(status int, body []byte) ([]listedModel, error) {
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
func (r remote) offer(listed []listedModel, props engineProps) ([]Model, error) {
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
func (r remote) complete(m Model, l listedModel, props engineProps) Model {
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
