package serve

import (
	"net/http"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/openai"
)

func (s *Server) chat(e *engine.Engine, w http.ResponseWriter, r *http.Request) error {
	return s.generate(e, w, r, "chatcmpl-", openai.DecodeChat)
}

func (s *Server) completion(e *engine.Engine, w http.ResponseWriter, r *http.Request) error {
	return s.generate(e, w, r, "cmpl-", openai.DecodeCompletion)
}

type decoder func([]byte) (*openai.Request, *openai.Error)

func (s *Server) generate(e *engine.Engine, w http.ResponseWriter, r *http.Request, prefix string, decode decoder) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	req, refused := decode(body)
	if refused != nil {
		return refused
	}
	if req.Model != "" && req.Model != s.cfg.Model {
		return openai.NoSuchModel(req.Model, s.cfg.Model)
	}
	if err := e.Check(req); err != nil {
		return err
	}
	head := openai.Answer{
		ID: prefix + ulid.Make().String(), Object: openai.Object(req.Chat, req.Stream), Created: time.Now().Unix(),
		Model: s.cfg.Model, SystemFingerprint: s.cfg.Build,
	}
	if req.Stream {
		return s.stream(e, w, r, req, head)
	}
	return s.whole(e, w, r, req, head)
}

// whole answers with everything at once.
func (s *Server) whole(e *engine.Engine, w http.ResponseWriter, r *http.Request, req *openai.Request, head openai.Answer) error {
	out := collector{texts: make([]strings.Builder, req.Choices()), reasons: make([]string, req.Choices())}
	usage, err := e.Run(r.Context(), req, &out)
	if err != nil {
		return err
	}
	head.Usage = &usage
	for i := range out.texts {
		head.Choices = append(head.Choices, openai.Whole(req.Chat, i, out.texts[i].String(), out.reasons[i]))
	}
	writeJSON(w, http.StatusOK, head)
	return nil
}

// collector keeps what a run says.
type collector struct {
	texts   []strings.Builder
	reasons []string
}

func (c *collector) Begin() error { return nil }

func (c *collector) Token(i int, text string) error {
	c.texts[i].WriteString(text)
	return nil
}

func (c *collector) End(i int, reason string) error {
	c.reasons[i] = reason
	return nil
}
