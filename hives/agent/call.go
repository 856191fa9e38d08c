package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"queen-rbee/hives"
)

// Bounds of what queens answer, and of how long they may take.
const (
	maxDesired = 64 << 20
	maxAnswer  = 1 << 20
	maxBody    = 44 << 20 // of 32 MiB that are no JSON, in base64

	registerPatience = 10 * time.Second
	bodyPatience     = 30 * time.Second
	desiredWait      = 30 * time.Second
	desiredPatience  = desiredWait + 10*time.Second
)

// beatPatience is how long a queen may take to answer a beat: longer than the 2 s after which
// it says no_leader itself, but so that a few queens that do not answer at all can be tried
// before the hive counts as silent.
func beatPatience(offlineAfter time.Duration) time.Duration {
	return max(100*time.Millisecond, min(3*time.Second, offlineAfter/4))
}

// caller speaks to queens with the hive token. Safe for concurrent use.
type caller struct {
	id       string
	token    string
	patience time.Duration // for the answer to a beat
	http     *http.Client
}

func newCaller(id, token string, offlineAfter time.Duration) *caller {
	return &caller{id: id, token: token, patience: beatPatience(offlineAfter), http: &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *caller) close() { c.http.CloseIdleConnections() }

// standing reads, strongly, the epoch and which incarnation of the hive is the newest there; 0
// for a hive that the cluster does not know.
func (c *caller) standing(ctx context.Context, queen string) (epoch string, newest uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	d, err := c.ask(ctx, queen, 0, 0, true)
	if err != nil && judge(err) == unknownHere {
		return "", 0, nil
	}
	return d.Epoch, d.Incarnation, err
}

func (c *caller) register(ctx context.Context, queen string, r hives.Registration) (hives.Registered, error) {
	ctx, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	var ans hives.Registered
	err := c.json(ctx, http.MethodPost, queen+"/v2/hives", r, &ans, maxAnswer)
	if err == nil && (ans.Epoch == "" || ans.Incarnation == 0) {
		err = errors.New("the answer names no epoch or incarnation: is this a queen?")
	}
	return ans, err
}

func (c *caller) beat(ctx context.Context, queen string, hb *hives.Heartbeat) (hives.HeartbeatAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var ans hives.HeartbeatAnswer
	err := c.json(ctx, http.MethodPost, c.hive(queen)+"/heartbeat", hb, &ans, maxAnswer)
	return ans, err
}

// desired asks for what should be here: as soon as it has changed after index, or at once.
func (c *caller) desired(ctx context.Context, queen string, index uint64, strong bool) (hives.Desired, error) {
	ctx, cancel := context.WithTimeout(ctx, desiredPatience)
	defer cancel()
	return c.ask(ctx, queen, index, desiredWait, strong)
}

func (c *caller) ask(ctx context.Context, queen string, index uint64, wait time.Duration, strong bool) (hives.Desired, error) {
	q := url.Values{"index": {strconv.FormatUint(index, 10)}, "wait": {wait.String()}}
	if strong {
		q.Set("consistency", "strong")
	}
	var d hives.Desired
	err := c.json(ctx, http.MethodGet, c.hive(queen)+"/desired?"+q.Encode(), nil, &d, maxDesired)
	if err == nil && d.Desired != hives.HiveRunning && d.Desired != hives.HiveDraining && d.Desired != hives.HiveStopped {
		err = fmt.Errorf("queen's answer: desired: %.40q is not one this agent knows", d.Desired)
	}
	return d, err
}

// body asks for the request's body of a job that has not ended. It breaks off when the pipes
// move to another queen: this one may hang.
func (c *caller) body(ctx context.Context, queens *queens, job string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyPatience)
	defer cancel()
	queen, here := queens.current()
	defer context.AfterFunc(here, cancel)()
	return c.do(ctx, http.MethodGet, queen+"/v2/jobs/"+url.PathEscape(job)+"/body", nil, maxBody)
}

func (c *caller) hive(queen string) string { return queen + "/v2/hives/" + url.PathEscape(c.id) }

func (c *caller) json(ctx context.Context, method, target string, in, out any, limit int64) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	data, err := c.do(ctx, method, target, body, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("queen's answer does not parse: %w", err)
	}
	return nil
}

func (c *caller) do(ctx context.Context, method, target string, body []byte, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("queen's answer is over %d bytes", limit)
	}
	return data, nil
}

// codeConflict is the queens' refusal of what was decided on a state that is another by now.
const codeConflict = "conflict"

// queenError is an answer of a queen other than 2xx.
type queenError struct {
	Status  int
	Code    string
	Message string
}

func (e *queenError) Error() string {
	return fmt.Sprintf("queen answered %d %s: %s", e.Status, e.Code, e.Message)
}

func refusal(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var p struct{ Code, Detail, Title string }
	_ = json.Unmarshal(data, &p) // what does not parse has no code
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return &queenError{Status: resp.StatusCode, Code: p.Code, Message: p.Detail}
}

// verdict is what a failed call means for the pipe that made it.
type verdict int

const (
	unreachable verdict = iota // this queen cannot serve now: the next one may
	refused                    // a person must put something right
	unknownHere                // the cluster does not know this hive (any more): register anew
	overtaken                  // 409 stale
	outrun                     // 409 conflict: another start registered since this one read
)

func judge(err error) verdict {
	e, ok := errors.AsType[*queenError](err)
	if !ok {
		return unreachable
	}
	switch {
	case e.Status == http.StatusNotFound:
		return unknownHere
	case e.Status == http.StatusConflict && e.Code == hives.CodeStale:
		return overtaken
	case e.Status == http.StatusConflict && e.Code == codeConflict:
		return outrun
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooManyRequests, e.Status >= 500:
		return unreachable
	}
	return refused
}
