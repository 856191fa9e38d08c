package agent

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"queen-rbee/hives"
	"queen-rbee/hives/door"
)

// server is what queens see of the hive over HTTP.
type server struct {
	table    *table
	gate     *gateway
	reads    *reads
	shelving *shelving
	token    [sha256.Size]byte
	stop     func() // ends the agent in order
	logger   hclog.Logger
	metrics  *prometheus.Registry
}

// handler answers a request, or gives the error to answer with if nothing was written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

// newHTTPServer bounds what a client may hold up. The read timeout stands over each request;
// net/http lifts it once no more of the body is to come, so it cuts no stream. There is no
// write timeout: streams are long, and each of their writes has a deadline of its own.
func newHTTPServer(h http.Handler, d *door.Door, logger hclog.Logger) *http.Server {
	s := &http.Server{
		Handler:           bounded(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       bodyTime,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	d.Guard(s)
	return s
}

// routes is the whole hive API.
func (s *server) routes() http.Handler {
	m := mux.NewRouter()
	m.NotFoundHandler = s.open(func(_ http.ResponseWriter, r *http.Request) error {
		return hives.Errorf(hives.CodeNotFound, "there is nothing at %.20s %.200s", r.Method, r.URL.Path)
	})
	m.MethodNotAllowedHandler = s.open(func(_ http.ResponseWriter, r *http.Request) error {
		return hives.Errorf(codeMethod, "%.200s does not answer to %.20s", r.URL.Path, r.Method)
	})
	for _, one := range []struct {
		method, path string
		do           handler
	}{
		{"POST", "/w/{worker}/v1/execute", s.gate.execute},
		{"GET", "/w/{worker}/v1/execute/{job}", s.gate.show},
		{"DELETE", "/w/{worker}/v1/execute/{job}", s.gate.cancel},
		{"POST", "/w/{worker}/v1/execute/{job}/leave", s.gate.leave},
		{"POST", "/v1/workers/spawn", s.spawn},
		{"POST", "/v1/workers/shutdown", s.shutdown},
		{"GET", "/v1/workers/list", s.reads.workers},
		{"GET", "/v1/workers/health", s.reads.health},
		{"GET", "/v1/models/list", s.reads.models},
		{"POST", "/v1/models/provision", s.shelving.provision},
		{"DELETE", "/v1/models/evict", s.shelving.evict},
		{"POST", "/v1/models/inspect", s.shelving.inspect},
		{"GET", "/v1/models/blob/{sha256}", s.shelving.blob},
		{"GET", "/v1/status", s.reads.status},
		{"POST", "/v1/admin/shutdown", s.end},
	} {
		m.Methods(one.method).Path(one.path).Handler(s.guarded(one.do))
	}
	metrics := promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{})
	m.Methods("GET").Path("/v1/metrics").Handler(s.guarded(func(w http.ResponseWriter, r *http.Request) error {
		metrics.ServeHTTP(w, r)
		return nil
	}))
	m.Methods("GET").Path("/v1/health").Handler(s.open(func(w http.ResponseWriter, _ *http.Request) error {
		return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	}))
	return m
}

// open answers anyone.
func (s *server) open(do handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if door.Crowded(r.Context()) {
			w.Header().Set("Connection", "close")
			s.writeProblem(w, r, hives.Errorf(codeBusy, "this hive has its limit of connections in use; ask again"))
			return
		}
		if err := do(w, r); err != nil {
			s.writeProblem(w, r, err)
		}
	})
}

// guarded answers those who show the hive token.
func (s *server) guarded(do handler) http.Handler {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(token))
		if !ok || subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 {
			return hives.Errorf(hives.CodeUnauthenticated, "the hive token is missing or wrong: send Authorization: Bearer TOKEN")
		}
		return do(w, r)
	})
}

// workerBell is the body of a worker's doorbells: its desired record with the record's epoch.
// For the end of a worker id and index are enough.
type workerBell struct {
	Epoch string `json:"epoch"`
	hives.DesiredWorker
}

const maxBell = 256 << 10

func (s *server) bell(w http.ResponseWriter, r *http.Request) (workerBell, error) {
	var b workerBell
	if err := decode(w, r, maxBell, &b); err != nil {
		return b, err
	}
	if !jobPattern.MatchString(b.ID) {
		return b, hives.Errorf(hives.CodeInvalid, "id: %.70q is not the id of a worker", b.ID)
	}
	return b, nil
}

func (s *server) spawn(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bell(w, r)
	if err != nil {
		return err
	}
	if b.Slots < 0 || b.Model == "" || b.Engine == "" {
		return hives.Errorf(hives.CodeInvalid, "model, engine: must be given; slots: must not be negative")
	}
	if err := s.table.ringSpawn(b.Epoch, b.DesiredWorker); err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, map[string]string{"worker_id": b.ID})
}

func (s *server) shutdown(w http.ResponseWriter, r *http.Request) error {
	b, err := s.bell(w, r)
	if err != nil {
		return err
	}
	if err := s.table.ringShutdown(b.Epoch, b.ID, b.Index); err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, map[string]string{"worker_id": b.ID})
}

// end is POST /v1/admin/shutdown.
func (s *server) end(w http.ResponseWriter, _ *http.Request) error {
	s.stop()
	return writeJSON(w, http.StatusAccepted, map[string]string{"status": "stopping"})
}

// openFiles is how many readers the process can have open beside everything else it does.
func openFiles(wanted int) int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return wanted
	}
	return min(wanted, max(16, int(min(l.Cur, 1<<30))*3/4))
}

// gauge counts what is open, up to a bound.
type gauge struct {
	n       atomic.Int64
	max     int64
	refused atomic.Uint64
}

func (g *gauge) enter() bool {
	if g.n.Add(1) > g.max {
		g.n.Add(-1)
		g.refused.Add(1)
		return false
	}
	return true
}

func (g *gauge) leave() { g.n.Add(-1) }
