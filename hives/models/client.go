package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"queen-rbee/hives"
)

// Bounds of one request.
const (
	maxRedirects = 8
	maxHeader    = 64 << 10
	connectTime  = 10 * time.Second
)

// identity is what tells one content of a file from another. Empty fields are not known.
type identity struct {
	Size   int64  `json:"size"`
	ETag   string `json:"etag,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
}

// same tells whether two may be of one content. Where both name a digest, it alone counts:
// machines behind one name may give different tags to the same file.
func (a identity) same(b identity) bool {
	if a.Size != b.Size {
		return false
	}
	if a.SHA256 != "" && b.SHA256 != "" {
		return a.SHA256 == b.SHA256
	}
	return a.ETag == b.ETag
}

// answer is a body that holds the bytes [from, to) of a file.
type answer struct {
	body     io.ReadCloser
	from, to int64
	is       identity
	commit   string // of a hub, what its branch stood for
}

// errNoSuchRange: the server has nothing at these bytes (416).
var errNoSuchRange = errors.New("the server has no such range (416)")

// laterError is a failure that may pass.
type laterError struct {
	why   string
	after time.Duration // as the server asks, 0 if it does not
}

func (e *laterError) Error() string { return e.why }

// web speaks to hubs and servers, or to peers. Safe for concurrent use.
type web struct {
	client    *http.Client
	allowHTTP bool
	redirects int
	trusted   string // scheme://host that is shown the token
	token     string
}

// newWeb makes a client of HTTP/1.1: parts are there to have several connections. No proxy is
// used, since what it connects to could not be checked.
func newWeb(guarded bool) *web {
	dial := guardedDialer()
	if !guarded {
		dial.Control = nil
	}
	var one http.Protocols
	one.SetHTTP1(true)
	return &web{redirects: maxRedirects, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dial.DialContext, TLSHandshakeTimeout: connectTime, DisableCompression: true,
			MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second, Protocols: &one,
		},
	}}
}

func (w *web) close() { w.client.CloseIdleConnections() }

// get asks for the bytes [from, to) of what is at u. The caller closes the body. ctx bounds
// the body too.
func (w *web) get(ctx context.Context, u *url.URL, from, to int64) (*answer, error) {
	var a answer
	var linked identity
	for hop := 0; ; hop++ {
		resp, err := w.ask(ctx, u, from, to)
		if err != nil {
			return nil, err
		}
		if hop == 0 { // only the hub itself is believed about digests
			linked, a.commit = linkedBy(resp.Header)
		}
		next, err := w.redirect(resp, u, hop)
		if err == nil && next != nil {
			_ = resp.Body.Close()
			u = next
			continue
		}
		if err == nil {
			err = a.read(resp, from, to)
		}
		if err == nil && linked.Size != 0 && linked.Size != a.is.Size {
			err = hives.Errorf(CodeChanged, "the hub says that the file has %d bytes, the server that it has %d", linked.Size, a.is.Size)
		}
		if err != nil {
			_ = resp.Body.Close()
			return nil, err
		}
		a.is.SHA256 = linked.SHA256
		return &a, nil
	}
}

func (w *web) ask(ctx context.Context, u *url.URL, from, to int64) (*http.Response, error) {
	if u.Scheme != "https" && (u.Scheme != "http" || !w.allowHTTP) {
		return nil, hives.Errorf(CodeRefused, "%.10q is not fetched over: use https, or say models.allow_http: true in the hive's config", u.Scheme)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "%v", err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	req.Header.Set("User-Agent", "queen-rbee")
	if w.token != "" && w.trusted == origin(u) {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if refused, ok := errors.AsType[*hives.Error](err); ok {
			return nil, refused
		}
		if broken, ok := errors.AsType[*url.Error](err); ok { // its text holds the whole URL
			err = broken.Err
		}
		return nil, &laterError{why: fmt.Sprintf("%s: %v", u.Host, err)}
	}
	return resp, nil
}

// origin is what a token belongs to.
func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// redirect is where an answer leads; nil when it is no redirect.
func (w *web) redirect(resp *http.Response, from *url.URL, hop int) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	if hop >= w.redirects {
		return nil, hives.Errorf(CodeRefused, "%s redirects more than %d times", from.Host, w.redirects)
	}
	next, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || next.Host == "" || next.User != nil {
		return nil, hives.Errorf(CodeRefused, "%s redirects to what is no URL", from.Host)
	}
	if from.Scheme == "https" && next.Scheme != "https" {
		return nil, hives.Errorf(CodeRefused, "%s redirects from https to %.10s", from.Host, next.Scheme)
	}
	return next, nil
}

// read takes in what an answer says of the file.
func (a *answer) read(resp *http.Response, from, to int64) error {
	if err := failure(resp); err != nil {
		return err
	}
	host := resp.Request.URL.Host
	a.body, a.is.ETag = resp.Body, resp.Header.Get("ETag")
	if a.is.ETag == "" {
		a.is.ETag = resp.Header.Get("Last-Modified")
	}
	if resp.Header.Get("Content-Encoding") != "" {
		return hives.Errorf(CodeChanged, "%s sends the file encoded as %.20s", host, resp.Header.Get("Content-Encoding"))
	}
	if resp.StatusCode == http.StatusOK { // it does not know ranges
		a.from, a.to, a.is.Size = 0, resp.ContentLength, resp.ContentLength
		if resp.ContentLength < 0 {
			return hives.Errorf(CodeChanged, "%s does not say how long the file is", host)
		}
		return nil
	}
	var end int64
	if n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &a.from, &end, &a.is.Size); n != 3 || err != nil {
		return hives.Errorf(CodeChanged, "%s does not say how long the file is: Content-Range: %.60q", host, resp.Header.Get("Content-Range"))
	}
	a.to = end + 1
	if a.from != from || a.to <= from || a.to > to || a.to > a.is.Size || resp.ContentLength >= 0 && resp.ContentLength != a.to-a.from {
		return &laterError{why: fmt.Sprintf("%s was asked for bytes %d to %d and says it sends %d of %q", host, from, to-1, resp.ContentLength, resp.Header.Get("Content-Range"))}
	}
	return nil
}

// failure is what a status says, nil for 200 and 206.
func failure(resp *http.Response) error {
	host := resp.Request.URL.Host
	switch code := resp.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return nil
	case code == http.StatusRequestedRangeNotSatisfiable:
		return errNoSuchRange
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return hives.Errorf(CodeForbidden, "%s answers %s: a private or gated model needs a token of an account that may read it (models.hub.token_env of the hive's config), a presigned URL may have expired", host, resp.Status)
	case code == http.StatusNotFound, code == http.StatusGone:
		return hives.Errorf(CodeNotThere, "%s answers %s: look at the spelling of repository, file and revision", host, resp.Status)
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return &laterError{why: host + " answers " + resp.Status, after: retryAfter(resp.Header.Get("Retry-After"))}
	case code >= 500 || code == http.StatusRequestTimeout:
		return &laterError{why: host + " answers " + resp.Status}
	default:
		return hives.Errorf(CodeUnreachable, "%s answers %s", host, resp.Status)
	}
}

func retryAfter(text string) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

var (
	hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hexCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// linkedBy is what a hub says of a large file, beside sending elsewhere for it.
func linkedBy(h http.Header) (identity, string) {
	var is identity
	if tag := strings.Trim(strings.TrimPrefix(h.Get("X-Linked-Etag"), "W/"), `"`); hexSHA256.MatchString(tag) {
		is.SHA256 = tag
	}
	if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && n > 0 {
		is.Size = n
	}
	commit := h.Get("X-Repo-Commit")
	if !hexCommit.MatchString(commit) {
		commit = ""
	}
	return is, commit
}
