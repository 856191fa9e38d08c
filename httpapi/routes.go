package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"queen-rbee/fsm"
)

// access says who may call a route.
type access uint8

const (
	public     access = iota // anyone
	user                     // any API key
	admin                    // an admin key
	ofHive                   // the hive token
	userOrHive               // an API key or the hive token
	ofQueen                  // the cluster token
)

// route is one line of the API. A body limit of 0 means that no body is read.
type route struct {
	method, path string
	access       access
	body         int64
	handle       func(*Server, http.ResponseWriter, *request) error
}

const (
	small   = 64 << 10
	large   = -1 // the configured limit
	beatMax = 8 << 20
)

// routes is the whole API.
var routes = []route{
	{"GET", "/health", public, 0, (*Server).health},
	{"HEAD", "/health", public, 0, (*Server).health},
	{"GET", "/ready", public, 0, (*Server).ready},
	{"HEAD", "/ready", public, 0, (*Server).ready},

	{"POST", "/v2/tasks", user, large, (*Server).submitTask},
	{"GET", "/v2/jobs", user, 0, (*Server).listJobs},
	{"GET", "/v2/jobs/{id}", user, 0, (*Server).showJob},
	{"DELETE", "/v2/jobs/{id}", user, 0, (*Server).cancelJob},
	{"GET", "/v2/jobs/{id}/events", user, 0, (*Server).jobEvents},
	{"GET", "/v2/jobs/{id}/result", user, 0, (*Server).jobResult},
	{"GET", "/v2/jobs/{id}/body", userOrHive, 0, (*Server).jobBody},

	{"GET", "/v2/hives", user, 0, (*Server).listHives},
	{"POST", "/v2/hives", ofHive, beatMax, (*Server).registerHive},
	{"GET", "/v2/hives/{id}", user, 0, (*Server).showHive},
	{"DELETE", "/v2/hives/{id}", admin, 0, (*Server).dropHive},
	{"POST", "/v2/hives/{id}/start", admin, small, (*Server).resumeHive},
	{"POST", "/v2/hives/{id}/stop", admin, small, (*Server).stopHive},
	{"POST", "/v2/hives/{id}/drain", admin, small, (*Server).drainHive},
	{"POST", "/v2/hives/{id}/resume", admin, small, (*Server).resumeHive},
	{"POST", "/v2/hives/{id}/heartbeat", ofHive, beatMax, (*Server).heartbeat},
	{"GET", "/v2/hives/{id}/desired", ofHive, 0, (*Server).desired},

	{"GET", "/v2/workers", user, 0, (*Server).listWorkers},
	{"GET", "/v2/workers/list", user, 0, (*Server).listWorkers},
	{"POST", "/v2/workers/spawn", admin, small, (*Server).spawnWorker},
	{"POST", "/v2/workers/shutdown", admin, small, (*Server).shutdownWorker},
	{"DELETE", "/v2/workers/{id}", admin, 0, (*Server).stopWorker},
	{"GET", "/v2/models", user, 0, (*Server).catalogList},
	{"GET", "/v2/models/list", user, 0, (*Server).catalogList},
	{"POST", "/v2/models/download", admin, small, (*Server).downloadModel},
	{"DELETE", "/v2/models/download", admin, 0, (*Server).cancelDownload},
	{"POST", "/v2/models/evict", admin, small, (*Server).evictModel},
	{"GET", "/v2/models/{ref:.+}", user, 0, (*Server).catalogShow},
	{"PUT", "/v2/models/{ref:.+}", admin, small, (*Server).putModel},
	{"DELETE", "/v2/models/{ref:.+}", admin, 0, (*Server).dropModel},

	{"GET", "/v2/cluster", user, 0, (*Server).showCluster},
	{"GET", "/v2/cluster/hash", user, 0, (*Server).clusterHash},
	{"GET", "/v2/cluster/token", admin, 0, (*Server).clusterToken},
	{"POST", "/v2/cluster/join", ofQueen, small, (*Server).joinCluster},
	{"POST", "/v2/cluster/transfer", admin, small, (*Server).transfer},
	{"DELETE", "/v2/cluster/queens/{id}", admin, 0, (*Server).removeQueen},

	{"POST", "/v1/chat/completions", user, large, (*Server).chatCompletions},
	{"POST", "/v1/completions", user, large, (*Server).completions},
	{"POST", "/v1/responses", user, large, (*Server).responses},
	{"POST", "/v1/messages", user, large, (*Server).messages},
	{"POST", "/v1/embeddings", user, large, (*Server).embeddings},
	{"POST", "/v1/rerank", user, large, (*Server).rerank},
	{"POST", "/v1/reranking", user, large, (*Server).rerank},
	{"POST", "/rerank", user, large, (*Server).rerank},
	{"POST", "/v1/audio/transcriptions", user, large, (*Server).passForm},
	{"POST", "/v1/audio/translations", user, large, (*Server).passForm},
	{"POST", "/v1/audio/speech", user, large, (*Server).speech},
	{"POST", "/v1/images/generations", user, large, (*Server).makeImages},
	{"POST", "/v1/images/edits", user, large, (*Server).passForm},
	{"POST", "/v1/images/variations", user, large, (*Server).passForm},
	{"GET", "/v1/models", user, 0, (*Server).listModels},
	{"GET", "/v1/models/{id:.+}", user, 0, (*Server).showModel},
}

// router makes the table into a handler. Encoded slashes stay inside one segment, and a path is
// what it says: a redirect to a cleaner one would make a GET of a POST.
func (s *Server) router() http.Handler {
	m := mux.NewRouter().UseEncodedPath().SkipClean(true)
	metrics := promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{})
	all := append(slices.Clone(routes), route{"GET", "/metrics", user, 0,
		func(_ *Server, w http.ResponseWriter, r *request) error { metrics.ServeHTTP(w, r.Request); return nil }})
	methods, literal := map[string][]string{}, map[string]http.Handler{}
	for i, rt := range all {
		h := s.wrap(rt)
		m.Methods(rt.method).Path(rt.path).Handler(h)
		if !strings.Contains(rt.path, "{") {
			literal[rt.method+" "+rt.path] = h
		}
		methods[rt.path] = append(methods[rt.path], rt.method)
		// The router's own word on methods is lost when a later route has the method and not the
		// path; and a later path that matches more must not get what is meant for this one.
		if !slices.ContainsFunc(all[i+1:], func(later route) bool { return later.path == rt.path }) {
			m.Path(rt.path).Handler(s.wrap(wrongMethod(methods[rt.path])))
		}
	}
	m.NotFoundHandler = s.wrap(route{"", "", public, 0, func(_ *Server, _ http.ResponseWriter, r *request) error {
		return nothingAt(r.Method, r.URL.Path)
	}})
	return &exact{literal, m}
}

// wrongMethod answers for a path that has only other methods.
func wrongMethod(methods []string) route {
	allow := strings.Join(methods, ", ")
	return route{"", "", public, 0, func(_ *Server, w http.ResponseWriter, r *request) error {
		w.Header().Set("Allow", allow)
		return fsm.Errorf(codeMethod, "%.200q does not answer to %.20s, only to %s", r.URL.Path, r.Method, allow)
	}}
}
