package crowd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// OpenAI is the kind of an operation that reads a stream in that form. The history's checks do
// not know it; chatOrder judges it.
const OpenAI history.Kind = "openai"

// patience is how long a reader hears nothing before it goes to another queen.
const patience = 8 * time.Second

// Left is the code of a stream that its client ended.
const Left = "left"

// reading is one job being read to its end, over as many connections as it takes.
type reading struct {
	c    *client
	job  job        // without an id it is posted first
	chat *chatOrder // reads the OpenAI form; nil: native
	back bool       // an old job: a few tries are enough

	leaves   []int // tokens after which the client drops its connection
	forGood  bool  // and does not come back
	cancelAt *int

	order  history.Order
	lastID string
	call   *history.Call
}

// How a connection ended.
var (
	errOver    = errors.New("the job's end has come")
	errLeft    = errors.New(Left)
	errGone    = errors.New("there is no more to read")
	errStalled = errors.New("stalled")
)

// triesBack is how many connections an old job is worth.
const triesBack = 4

func (r *reading) run(ctx context.Context) {
	c := r.c
	defer func() { // what was not read to its end is over with this client
		if r.chat != nil && r.job.id != "" {
			c.w.read(r.chat.read(r.job))
		}
	}()
	for tries, q := 0, c.queen(); ctx.Err() == nil && !(r.back && tries == triesBack); tries, q = tries+1, c.after(q) {
		err := r.connect(ctx, q)
		pause := 300 * time.Millisecond
		switch {
		case errors.Is(err, errOver):
			c.finished(r.job)
			return
		case errors.Is(err, errGone), errors.Is(err, errLeft) && r.forGood:
			return
		case errors.Is(err, errLeft):
			pause = 2 * time.Second
		}
		rig.Pause(ctx, c.upTo(pause))
	}
}

// connect is one connection.
func (r *reading) connect(ctx context.Context, q *rig.Process) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := r.ask(inner, q)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	kind := history.Stream
	if r.chat != nil {
		kind = OpenAI
	}
	if r.call == nil {
		r.call = r.c.w.Record.Begin(history.Op{Client: r.c.name, Queen: q.Name, Kind: kind, Job: r.job.id, LastID: r.lastID})
	}
	r.c.w.note(r.c.name, fmt.Sprintf("reads %s at %s after %q", r.job.id, q.Name, r.lastID))
	clock := time.AfterFunc(patience, func() { cancel(errStalled) })
	defer clock.Stop()
	awake := func(f history.Frame) error {
		clock.Stop()
		defer clock.Reset(patience)
		return r.take(ctx, f)
	}
	if r.chat != nil {
		r.chat.again()
		err = readChat(resp.Body, awake)
	} else {
		err = rig.Frames(resp.Body, func(f rig.Frame) error {
			return awake(history.Frame{Event: f.Event, ID: f.ID, Data: f.Data})
		})
	}
	return r.ended(q, resp, err, context.Cause(inner))
}

// ended notes how the connection went.
func (r *reading) ended(q *rig.Process, resp *http.Response, err, cause error) error {
	a := answered(resp.StatusCode, resp.Header, nil)
	var broken *rig.Broken
	switch {
	case r.over() && (err == nil || errors.Is(err, io.EOF) || errors.Is(err, errOver)):
		err = errOver
	case errors.Is(err, errLeft):
		a.Outcome, a.Code = history.Unknown, Left
		err = errLeft
	case errors.Is(err, errGone):
		err = errGone
	case errors.As(err, &broken):
		r.c.w.Breach("job %s at %s: %v", r.job.id, q.Name, err)
		a.Code = broken.Error()
		err = errGone
	case errors.Is(cause, errStalled):
		a.Outcome, a.Code = history.Unknown, "stalled"
	default:
		a.Outcome, a.Code = history.Unknown, lost(err)
	}
	r.call.End(a)
	r.call = nil
	return err
}

// over tells that the job's end has come.
func (r *reading) over() bool {
	if r.chat != nil {
		return r.chat.over()
	}
	return r.order.Final() != nil
}

// ask opens the stream: it posts a job that has no id yet. Its error says how to go on.
func (r *reading) ask(ctx context.Context, q *rig.Process) (*http.Response, error) {
	if r.job.id == "" {
		return r.post(ctx, q)
	}
	path := "/v2/jobs/" + r.job.id + "/events"
	kind := history.Stream
	if r.chat != nil {
		path, kind = path+"?format=openai", OpenAI
	}
	var headers []string
	if r.lastID != "" {
		headers = []string{"Last-Event-ID", r.lastID}
	}
	call := r.c.w.Record.Begin(history.Op{Client: r.c.name, Queen: q.Name, Kind: kind, Job: r.job.id, LastID: r.lastID})
	resp, err := r.c.w.Cluster.Open(ctx, http.MethodGet, q.URL+path, nil, headers...)
	if err != nil {
		call.End(history.Failed(err))
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		r.call = call
		return resp, nil
	}
	a, err := r.refused(q, resp)
	call.End(a)
	return nil, err
}

// post submits the job; its Submit ends with the headers.
func (r *reading) post(ctx context.Context, q *rig.Process) (*http.Response, error) {
	path, body, headers := "/v2/tasks", taskBody(r.job.task, false), []string{"Idempotency-Key", r.job.key}
	if r.chat != nil {
		path, body, headers = "/v1/chat/completions", chatBody(r.job.task), append(headers, "X-Rbee-Grace", "10s")
	}
	call := r.c.w.Record.Begin(history.Op{Client: r.c.name, Queen: q.Name, Kind: history.Submit, Key: r.job.key, Attached: true, Task: &r.job.task})
	resp, err := r.c.w.Cluster.Open(ctx, http.MethodPost, q.URL+path, body, headers...)
	if err != nil {
		call.End(history.Failed(err))
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		a, err := r.refused(q, resp)
		call.End(a)
		return nil, err
	}
	a := answered(resp.StatusCode, resp.Header, nil)
	call.End(a)
	if a.JobID == "" {
		r.c.w.Breach("%s took a task and named no job", q.Name)
		_ = resp.Body.Close()
		return nil, errGone
	}
	r.job.id = a.JobID
	return resp, nil
}

// refused reads an answer that is no stream, and tells whether to ask again.
func (r *reading) refused(q *rig.Process, resp *http.Response) (history.Answer, error) {
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	a := answered(resp.StatusCode, resp.Header, body)
	switch {
	case a.Status == http.StatusBadGateway || a.Status == http.StatusGatewayTimeout: // the end of an OpenAI job
		return a, errGone
	case passing(a):
		return a, fmt.Errorf("%d %s", a.Status, a.Code)
	case a.Status == http.StatusNoContent:
		r.c.w.Breach("%s says that a client has all of job %s, which has seen no end (it has %q)", q.Name, r.job.id, r.lastID)
	case a.Status == http.StatusGone: // output that went with its hive
	default:
		r.c.w.Breach("%s answered %d %s to a reader of job %q after %q: %.300s", q.Name, a.Status, a.Code, r.job.id, r.lastID, body)
	}
	return a, errGone
}

// take is one event. Its error ends the connection.
func (r *reading) take(ctx context.Context, f history.Frame) error {
	r.call.Frame(f)
	var tokens int
	if r.chat != nil {
		gone, err := r.chat.take(f)
		if err != nil {
			return &rig.Broken{Err: err}
		}
		if gone {
			return errGone
		}
		r.lastID, tokens = r.chat.id(), r.chat.tokens
	} else {
		if f.Event == "error" && strings.Contains(f.Data, `"scope":"stream"`) {
			return errGone
		}
		if err := r.order.Take(f); err != nil {
			return &rig.Broken{Err: err}
		}
		if f.ID != "" {
			r.lastID = f.ID
		}
		tokens = r.order.Tokens()
	}
	if r.over() {
		return nil // the connection's end comes next
	}
	if r.cancelAt != nil && tokens > *r.cancelAt {
		r.cancelAt = nil
		r.c.cancel(ctx, r.job.id)
	}
	if len(r.leaves) > 0 && tokens > r.leaves[0] {
		r.leaves = r.leaves[1:]
		return errLeft
	}
	return nil
}
