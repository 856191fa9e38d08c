package httpapi

import "net/http"

// exact serves the paths of the table that have no parameters by one look-up, and leaves the
// others to the router, which tries one pattern after the other.
type exact struct {
	literal map[string]http.Handler // by method and path
	others  http.Handler
}

// ServeHTTP implements http.Handler.
func (e *exact) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawPath == "" { // it is what its escaped form says
		if h, ok := e.literal[r.Method+" "+r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
	}
	e.others.ServeHTTP(w, r)
}
