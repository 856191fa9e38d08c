package serve

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/openai"
)

// MaxBody is the largest request body in bytes.
const MaxBody = 32 << 20

const (
	bodyTimeout  = 30 * time.Second // for a whole body to arrive
	writeTimeout = 10 * time.Second // for a client to take what was written
)

// Config is what a server says of itself.
type Config struct {
	Model       string // the name it serves
	ModelPath   string // where the text came from, for /props; empty: built in
	Build       string
	HealthFails bool // fault: /health answers 500
	Log         hclog.Logger
}

// Server answers the engine's routes.
type Server struct {
	cfg      Config
	engine   atomic.Pointer[engine.Engine] // nil while loading
	started  time.Time
	requests gate
}

// New makes a server that is loading.
func New(cfg Config) *Server { return &Server{cfg: cfg, started: time.Now()} }

// Ready ends the loading: from now on requests run on e.
func (s *Server) Ready(e *engine.Engine) { s.engine.Store(e) }

// Close refuses further requests and waits for those that run; their contexts must have
// been ended before, or it waits for as long as they last.
func (s *Server) Close() { s.requests.close() }

// handler is one route: an error before the first byte becomes an answer.
type handler func(e *engine.Engine, w http.ResponseWriter, r *http.Request) error

// Handler is every route.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"POST /v1/chat/completions": s.chat,
		"POST /v1/completions":      s.completion,
		"POST /v1/embeddings":       cannot("embeddings are"),
		"POST /v1/rerank":           cannot("reranking is"),
		"POST /v1/audio/{what}":     cannot("audio is"),
		"POST /v1/images/{what}":    cannot("images are"),
		"GET /v1/models":            s.models,
		"GET /v1/models/{id...}":    s.model,
		"GET /health":               s.health,
		"GET /slots":                slots,
		"GET /props":                s.props,
		"/":                         notFound,
	} {
		mux.Handle(pattern, s.route(h))
	}
	return mux
}

func (s *Server) route(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.requests.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.requests.leave()
		w.Header().Set("Server", "rbee-worker")
		e := s.engine.Load()
		if e == nil {
			s.answerError(w, r, openai.Loading())
			return
		}
		if err := h(e, w, r); err != nil {
			s.answerError(w, r, err)
		}
	})
}

func notFound(_ *engine.Engine, _ http.ResponseWriter, r *http.Request) error {
	return openai.NotFound(r.Method, r.URL.Path)
}

// cannot refuses a call of the API that this engine has nothing for.
func cannot(what string) handler {
	return func(*engine.Engine, http.ResponseWriter, *http.Request) error {
		return openai.Invalid("model", "%s not supported by this model; ask one that can", what)
	}
}
