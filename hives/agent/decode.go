package agent

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode"

	"queen-rbee/hives"
)

// bodyTime bounds how long a request, its body too, may take to come.
const bodyTime = 30 * time.Second

// bounded presumes of every body that nobody will read it: the connection closes with the
// answer. decode takes that back.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // -1: of unknown length
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// decode reads a request's bounded body. Fields it does not know are passed over: queens of
// the next version may say more.
func decode(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		if _, big := errors.AsType[*http.MaxBytesError](err); big || failureOf(err).Code == codeTimeout {
			return err
		}
		return hives.Errorf(hives.CodeInvalid, "body: broke off: %v", err)
	}
	w.Header().Del("Connection")
	if err := json.Unmarshal(data, into); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return hives.Errorf(hives.CodeInvalid, "%s: a JSON %s does not fit there", t.Field, t.Value)
		}
		return hives.Errorf(hives.CodeInvalid, "body: is not JSON: %v", err)
	}
	return nil
}

var (
	jobPattern  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	pathPattern = regexp.MustCompile(`^/v1(/[a-z][a-z_-]{0,63}){1,3}$`)
)

// maxMillis bounds grace and deadline: a hundred years are none.
const maxMillis = int64(100 * 365 * 24 * time.Hour / time.Millisecond)

// checkRun names what is wrong with a doorbell of a run.
func checkRun(e *hives.Execute) error {
	if err := checkKey(e.JobID, e.Attempt); err != nil {
		return err
	}
	bad := func(field, format string, args ...any) error {
		return hives.Errorf(hives.CodeInvalid, field+": "+format, args...)
	}
	switch {
	case e.API != hives.APITask && e.API != hives.APIOpenAI:
		return bad("api", "%.40q is not one of %q, %q", e.API, hives.APITask, hives.APIOpenAI)
	case !pathPattern.MatchString(e.Path):
		return bad("path", "%.100q is not a path of an engine, such as /v1/chat/completions", e.Path)
	case e.Mode != hives.Attached && e.Mode != hives.Detached:
		return bad("mode", "%.40q is not one of %q, %q", e.Mode, hives.Attached, hives.Detached)
	case e.GraceMillis < 0 || e.GraceMillis > maxMillis:
		return bad("grace_ms", "%d: use 0 for the default, or more", e.GraceMillis)
	case e.DeadlineMillis < 0 || e.DeadlineMillis > maxMillis:
		return bad("deadline_ms", "%d: use 0 for none, or more", e.DeadlineMillis)
	case e.Begin.Seq == 0 && e.Begin.I != 0:
		return bad("begin", "i is %d but seq is 0", e.Begin.I)
	case len(e.Body) > 0 && !strings.HasPrefix(string(e.Body[:1]), "{") && string(e.Body) != "null":
		return bad("body", "is not a JSON object")
	case len(e.Body) > 0 && len(e.Data) > 0:
		return bad("data", "there is a body already")
	case !plainType(e.ContentType):
		return bad("content_type", "%.100q is not one", e.ContentType)
	case len(e.Data) > 0 && hives.Streamed(e.Path):
		return bad("data", "%s takes a JSON body", e.Path)
	}
	if string(e.Body) == "null" {
		e.Body = nil
	}
	return nil
}

// plainType tells a media type that can stand in a header; empty is none.
func plainType(s string) bool {
	if s == "" {
		return true
	}
	_, _, err := mime.ParseMediaType(s)
	return err == nil && len(s) <= 256 && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkKey(job string, attempt uint32) error {
	if !jobPattern.MatchString(job) {
		return hives.Errorf(hives.CodeInvalid, "job_id: %.70q is not an id of 1 to 64 letters, digits, '-' or '_'", job)
	}
	if attempt == 0 {
		return hives.Errorf(hives.CodeInvalid, "attempt: is missing: attempts count from 1")
	}
	return nil
}
