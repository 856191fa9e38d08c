package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/hives/door"
	"queen-rbee/hives/fleet"
	"queen-rbee/schedule"
)

// Watch fires after changes of the rows it was made for.
type Watch = fleet.Watch

// Queen is the member this API speaks for.
type Queen interface {
	fleet.Queen
	Status() cluster.Status
	Applied(context.Context) map[string]uint64
	HashAt(index uint64) (fsm.Sum, bool)
	AuthorizeQueen(token string) bool
	AuthorizeHive(token string) bool
	Token() string
	Join(context.Context, cluster.JoinRequest) (cluster.JoinAnswer, error)
	Remove(ctx context.Context, id string) (uint64, error)
	Transfer(ctx context.Context, to string) error
}

// Config is what a Server is made of.
type Config struct {
	Queen       Queen
	Fleet       *fleet.Fleet
	Hives       *hives.Client
	Name, Boot  string // this queen and this start of it
	Version     string
	Limits      schedule.Limits
	BodyLimit   int           // bytes of a request's body, 0 for 8 MiB
	BodyTimeout time.Duration // for a body to arrive, 0 for 30 s
	MaxStreams  int           // open at once, 0 for 20,000; never more than the open files allow
	MaxConns    int           // connections open at once, 0 for MaxStreams and 8,192; never more than the open files allow
	MaxBodies   int64         // bytes of clients' bodies being read and submitted at once, 0 for 512 MiB
	Logger      hclog.Logger
	Registry    *prometheus.Registry
}

// Server serves one queen's HTTP API.
type Server struct {
	cfg     Config
	queen   Queen
	hives   *hives.Client
	log     hclog.Logger
	metrics *metrics
	handler http.Handler
	holds   holds
	streams atomic.Int64
	door    *door.Door
	queries queries
	pump    *pump
	taken   inFlight // streams that the pump has
	again   *again   // where their connections go afterwards; nil unless Serve runs

	streamsRefused atomic.Uint64

	// What a connection goes by that sends nothing: for the headers of a request, and between two.
	headerTime, idleTime time.Duration

	// What a waiting stream goes by: how often it sends a comment, and for how long its hive may
	// send nothing.
	keepAlive, silence time.Duration

	// life ends with Close, drain when the queen begins to leave: native streams break off
	// then, for their clients to resume elsewhere.
	life, drain         context.Context
	endLife, beginDrain context.CancelFunc
	background          sync.WaitGroup
	lifeMu              sync.Mutex // orders the background's last Add before its Wait
	clients, machines   *budget    // of bodies
	answers             *budget    // of those that are not streamed
}

// New makes a server; it starts nothing.
func New(cfg Config) *Server {
	if cfg.BodyLimit == 0 {
		cfg.BodyLimit = 8 << 20
	}
	if cfg.BodyTimeout == 0 {
		cfg.BodyTimeout = 30 * time.Second
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 20_000
	}
	cfg.MaxStreams, cfg.MaxConns = within(openFiles(), cfg.MaxStreams, cfg.MaxConns)
	if cfg.MaxBodies == 0 {
		cfg.MaxBodies = 512 << 20
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	s := &Server{cfg: cfg, queen: cfg.Queen, hives: cfg.Hives, log: cfg.Logger.Named("http"), keepAlive: keepAlive, silence: silence, headerTime: 5 * time.Second, idleTime: 2 * time.Minute}
	s.door, s.queries.limit = door.New(cfg.MaxConns), maxQueries
	s.clients, s.machines = newBudget(cfg.MaxBodies), newBudget(machineBodies)
	s.answers = newBudget(wholeAnswers)
	s.life, s.endLife = context.WithCancel(context.Background())
	s.drain, s.beginDrain = context.WithCancel(s.life)
	s.metrics = newMetrics(cfg.Registry, cfg.Queen, &s.streams)
	s.showBounds(cfg.Registry)
	s.pump = newPump(func(records uint64) { s.metrics.relayed.Add(float64(records)) }, func(bug any) {
		s.log.Error("a stream met a bug and was ended", "bug", bug, "stack", string(debug.Stack()))
	})
	s.handler = s.router()
	return s
}

// ServeHTTP implements http.Handler. Whoever answers, and with what: nobody waits for ever for
// the rest of a body. Without one there is no deadline: it would end the request's context.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if door.Crowded(r.Context()) {
		s.leaveBody(w)
		writeFailure(w, failureOf(s.errCrowded()), r.URL.Path)
		return
	}
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) // a test's recorder has none
	}
	s.handler.ServeHTTP(w, r)
}

// Serve answers requests on the listener until ctx ends; then it drains: readiness turns
// off, native streams break off for their clients to resume elsewhere, other requests get
// drainFor to finish; none when ctx ended for any other cause than being cancelled.
func (s *Server) Serve(ctx context.Context, l net.Listener, drainFor time.Duration) error {
	srv := s.httpServer()
	s.again = newAgain(s.idleTime, s.headerTime)
	failed, over := make(chan error, 1), make(chan struct{})
	go func() { failed <- srv.Serve(s.door.Listen(l)) }()
	go func() {
		defer close(over)
		_ = srv.Serve(s.door.Listen(s.again)) // ends with the other, or below
	}()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.beginDrain()
		if !errors.Is(context.Cause(ctx), context.Canceled) {
			drainFor = 0
		}
		limit, cancel := context.WithTimeout(context.Background(), drainFor)
		if srv.Shutdown(limit) != nil {
			_ = srv.Close() // what is still open after the drain time breaks off
		}
		s.taken.wait(limit) // close breaks off what is left
		cancel()
		if end := <-failed; !errors.Is(end, http.ErrServerClosed) {
			err = end // not by our own doing
		}
	}
	s.close()
	_ = s.again.Close()
	<-over
	return err
}

// maxHeader is how many bytes the headers of a request may have; net/http answers 431 beyond.
const maxHeader = 64 << 10

// httpServer bounds what a client may hold up by its headers and by doing nothing. There is no
// time limit on answers: streams are long, and each of their writes has a deadline of its own.
func (s *Server) httpServer() *http.Server {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.headerTime,
		IdleTimeout:       s.idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          s.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	s.door.Guard(srv)
	return srv
}

// close ends everything that goes on and waits for it, handlers that outlived their
// connection too.
func (s *Server) close() {
	s.lifeMu.Lock()
	s.endLife()
	s.lifeMu.Unlock()
	s.pump.cut() // or who writes to a client that does not read would go on waiting for it
	s.background.Wait()
	s.pump.close()
}

// join counts something in that close waits for; false when the server has ended.
func (s *Server) join() bool {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	if s.life.Err() != nil {
		return false
	}
	s.background.Add(1)
	return true
}

// goBackground runs f in a goroutine that Serve waits for; false when the server has ended.
// f gets the server's life.
func (s *Server) goBackground(f func(ctx context.Context)) bool {
	if !s.join() {
		return false
	}
	go func() {
		defer s.background.Done()
		f(s.life)
	}()
	return true
}

// holder names this queen process as the one with a client on a job.
func (s *Server) holder() fsm.Holder { return fsm.Holder{Queen: s.cfg.Name, Boot: s.cfg.Boot} }
