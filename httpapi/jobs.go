package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// cancelWait is how long DELETE of a running job waits for its end.
const cancelWait = 2 * time.Second

// findJob looks an id up here and, if it is unknown, in a view that has every write
// acknowledged before: what was accepted is never answered 404.
func (s *Server) findJob(ctx context.Context, id string) (*fsm.Job, *fsm.View, error) {
	v := s.queen.View()
	if j, ok := v.Job(id); ok {
		return j, v, nil
	}
	v, err := s.queen.Strong(ctx)
	if err != nil {
		return nil, nil, err
	}
	if j, ok := v.Job(id); ok {
		return j, v, nil
	}
	return nil, v, fsm.Errorf(fsm.CodeNotFound, "there is no job %.100q", id)
}

// ownJob is findJob for a caller, who must own the job or be an admin.
func (s *Server) ownJob(r *request) (*fsm.Job, *fsm.View, error) {
	id := r.vars["id"]
	if j, ok := r.view.Job(id); ok && (r.admin || j.Tenant == r.tenant) {
		return j, r.view, nil
	}
	if _, err := ulid.ParseStrict(id); err != nil { // no id of a job: not worth a question to the leader
		return nil, nil, fsm.Errorf(fsm.CodeNotFound, "there is no job %.100q", id)
	}
	j, v, err := s.findJob(r.Context(), id)
	if err != nil {
		return nil, nil, err
	}
	if !r.admin && j.Tenant != r.tenant {
		return nil, nil, fsm.Errorf(fsm.CodeNotFound, "there is no job %.100q", id)
	}
	return j, v, nil
}

// listJobs is GET /v2/jobs.
func (s *Server) listJobs(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	f := fsm.JobFilter{Tenant: q.Get("tenant"), Model: q.Get("model")}
	if !r.admin {
		f.Tenant = r.tenant
	}
	if st := q.Get("state"); st != "" {
		if f.State = jobStateOf(st); f.State == 0 {
			return fsm.Errorf(fsm.CodeInvalid, "state: %.40q must be queued, running, complete, failed or cancelled", st)
		}
	}
	if p := q.Get("priority"); p != "" {
		var err error
		if f.Priority, err = priorityOf("priority", p); err != nil {
			return err
		}
	}
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	cursor, err := cursorOf(r)
	if err != nil {
		return err
	}
	if _, err := ulid.ParseStrict(cursor); cursor != "" && err != nil {
		return fsm.Errorf(fsm.CodeInvalid, "cursor: %.60q is none; give the next_cursor of the page before", cursor)
	}
	jobs, next := r.view.Jobs(f, cursor, limit)
	out := listJSON[jobJSON]{Items: make([]jobJSON, 0, len(jobs)), NextCursor: next}
	for _, j := range jobs {
		out.Items = append(out.Items, jobOf(j, false))
	}
	s.index(w, r.view.Meta().Index)
	return writeJSON(w, http.StatusOK, out)
}

// limitOf reads ?limit=, 100 when absent.
func limitOf(r *request) (int, error) {
	l := r.URL.Query().Get("limit")
	if l == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(l)
	if err != nil || n < 1 || n > 1000 {
		return 0, fsm.Errorf(fsm.CodeInvalid, "limit: %.40q must be 1 to 1000", l)
	}
	return n, nil
}

// flagOf reads a query that is true or false, false when absent.
func flagOf(r *request, name string) (bool, error) {
	switch q := r.URL.Query().Get(name); q {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fsm.Errorf(fsm.CodeInvalid, "%s: %.40q must be true or false", name, q)
	}
}

// cursorOf reads ?cursor=, where the last page ended.
func cursorOf(r *request) (string, error) {
	cursor := r.URL.Query().Get("cursor")
	return cursor, validateName("cursor", cursor, fsm.MaxName)
}

// showJob is GET /v2/jobs/{id}.
func (s *Server) showJob(w http.ResponseWriter, r *request) error {
	j, v, err := s.ownJob(r)
	if err != nil {
		return err
	}
	s.index(w, v.Meta().Index)
	return writeJSON(w, http.StatusOK, jobOf(j, true))
}

// cancelJob is DELETE /v2/jobs/{id}: 200 with the job once it has ended, 202 when the wish
// is committed and the hive has not yet answered it.
func (s *Server) cancelJob(w http.ResponseWriter, r *request) error {
	tenant := r.tenant
	if r.admin {
		tenant = ""
	}
	id := r.vars["id"]
	ans, err := s.queen.Do(r.Context(), schedule.Request{Cancel: &schedule.Cancel{Tenant: tenant, Job: id}})
	if errors.Is(err, &fsm.Error{Code: fsm.CodeUnknownOutcome}) {
		return &jobError{job: id, err: err}
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), cancelWait)
	defer cancel()
	if leave, ok := s.queries.enter(user); ok {
		defer leave()
	} else {
		cancel() // told as it is
	}
	watch := s.queen.Watch(jobRow(id))
	defer watch.Close()
	s.index(w, ans.Index)
	view, err := s.queen.WaitIndex(ctx, ans.Index)
	if err != nil { // committed all the same: this replica only cannot show it yet
		return writeJSON(w, http.StatusAccepted, map[string]string{"id": id, "state": jobStates[ans.State]})
	}
	for {
		j, ok := view.Job(id)
		if !ok {
			return fsm.Errorf(fsm.CodeNotFound, "job %s is retained no longer", id)
		}
		if j.State.Ended() || ctx.Err() != nil {
			status := http.StatusOK
			if !j.State.Ended() {
				status = http.StatusAccepted
			}
			s.index(w, view.Meta().Index)
			return writeJSON(w, status, jobOf(j, true))
		}
		select {
		case <-watch.C():
		case <-ctx.Done():
		}
		view = s.queen.View()
	}
}

// jobEvents is GET /v2/jobs/{id}/events: the stream from the start or after Last-Event-ID.
func (s *Server) jobEvents(w http.ResponseWriter, r *request) error {
	format := r.URL.Query().Get("format")
	var out sink
	switch format {
	case "", "native":
		out = nativeSink{newSSE(w, r.Request)}
	case "openai":
		out = openAISink{out: newSSE(w, r.Request)}
	default:
		return fsm.Errorf(fsm.CodeInvalid, "format: %.40q must be native or openai", format)
	}
	closeStream, err := s.openStream()
	if err != nil {
		return err
	}
	defer closeStream()
	rd := &reader{s: s}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		id, err := parseResumeID(last)
		if err != nil {
			return err
		}
		rd.has, rd.resumed = id, true
	}
	j, _, err := s.ownJob(r)
	if err != nil {
		return err
	}
	if rd.has.attempt > j.Attempt { // this replica may be behind the one that sent it
		if _, err := s.queen.Strong(r.Context()); err != nil {
			return err
		}
	}
	w.Header().Set(headerJob, j.ID)
	if rd.resumed && hasEnd(j, rd.has) {
		w.WriteHeader(http.StatusNoContent) // it has everything; an EventSource stops asking
		return nil
	}
	rd.id = j.ID
	return s.stream(r.Context(), rd, out, r.grace(max(j.Grace, time.Millisecond)))
}

// jobResult is GET /v2/jobs/{id}/result: the whole output of an ended job.
func (s *Server) jobResult(w http.ResponseWriter, r *request) error {
	j, _, err := s.ownJob(r)
	if err != nil {
		return err
	}
	if !j.State.Ended() {
		return fsm.Errorf(fsm.CodeConflict, "job %s is %s; its result is there once it has ended", j.ID, jobStates[j.State])
	}
	closeStream, err := s.openStream()
	if err != nil {
		return err
	}
	defer closeStream()
	sink := &wholeSink{form: hives.APITask}
	rd := &reader{s: s, id: j.ID}
	defer rd.letGoAnswer()
	if err := s.stream(r.Context(), rd, sink, 0); err != nil {
		return err
	}
	return writeResult(w, sink)
}

// writeResult answers with what a whole sink has collected.
func writeResult(w http.ResponseWriter, sink *wholeSink) error {
	if sink.answer != nil {
		return writeAnswer(w, sink.answer.ContentType, sink.folded)
	}
	res, err := resultOf(sink.job, sink.folded)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, res)
}

// jobBody is GET /v2/jobs/{id}/body: the engine-ready request of a job that has not ended.
func (s *Server) jobBody(w http.ResponseWriter, r *request) error {
	j, _, err := s.ownJob(r)
	if err != nil {
		return err
	}
	if j.State.Ended() {
		return fsm.Errorf(fsm.CodeOutputExpired, "job %s has ended; its body is dropped then", j.ID)
	}
	body, err := j.Body.Open(fsm.MaxBody)
	if err != nil {
		return err
	}
	if j.ContentType != "" {
		return writeAnswer(w, j.ContentType, body)
	}
	return writeBytes(w, body)
}

// jobJSON is a job as clients see it.
type jobJSON struct {
	ID           string         `json:"id"`
	Tenant       string         `json:"tenant"`
	Model        string         `json:"model"`
	Kind         string         `json:"kind"`
	Priority     string         `json:"priority"`
	State        string         `json:"state"`
	Attempt      uint32         `json:"attempt"`
	Worker       string         `json:"worker,omitempty"`
	Hive         string         `json:"hive,omitempty"`
	Detached     bool           `json:"detached"`
	Holders      []string       `json:"holders,omitempty"`
	Ending       string         `json:"ending,omitempty"`
	SubmittedAt  *time.Time     `json:"submitted_at"`
	StartedAt    *time.Time     `json:"started_at,omitempty"`
	CompletedAt  *time.Time     `json:"completed_at,omitempty"`
	FinishReason string         `json:"finish_reason,omitempty"`
	Usage        *usageJSON     `json:"usage,omitempty"`
	Error        *errorEvent    `json:"error,omitempty"`
	History      []historyEvent `json:"history,omitempty"`
}

type historyEvent struct {
	At     *time.Time `json:"at"`
	Event  string     `json:"event"`
	Detail string     `json:"detail,omitempty"`
}

var jobStates = map[fsm.JobState]string{
	fsm.JobQueued: "queued", fsm.JobRunning: "running", fsm.JobComplete: "complete",
	fsm.JobFailed: "failed", fsm.JobCancelled: "cancelled",
}

func jobStateOf(s string) fsm.JobState {
	for st, name := range jobStates {
		if name == s {
			return st
		}
	}
	return 0
}

var priorities = map[fsm.Priority]string{fsm.PriorityInteractive: "interactive", fsm.PriorityBatch: "batch"}

var jobEndings = map[fsm.Ending]string{
	fsm.EndCancelled: fsm.CodeCancelled, fsm.EndDeadline: fsm.CodeDeadlineExceeded, fsm.EndDrained: hives.CodeDrained,
}

func jobOf(j *fsm.Job, history bool) jobJSON {
	out := jobJSON{
		ID: j.ID, Tenant: j.Tenant, Model: j.Model, Kind: j.API, Priority: priorities[j.Priority],
		State: jobStates[j.State], Attempt: j.Attempt, Worker: j.Worker, Hive: j.Hive, Detached: j.Detached,
		Ending: jobEndings[j.Ending], SubmittedAt: millisTime(j.SubmittedWall),
		StartedAt: millisTime(j.StartedWall), CompletedAt: millisTime(j.EndedWall), FinishReason: j.FinishReason,
	}
	for _, h := range j.Holders {
		out.Holders = append(out.Holders, h.Queen)
	}
	slices.Sort(out.Holders)
	out.Holders = slices.Compact(out.Holders)
	if j.State.Ended() {
		u := usageOf(j.Usage)
		out.Usage = &u
		if j.State != fsm.JobComplete {
			e := endError(j)
			out.Error = &errorEvent{Code: e.Code, Message: e.Message}
		}
	}
	if history {
		for _, e := range j.History {
			out.History = append(out.History, historyEvent{At: millisTime(e.Wall), Event: e.Kind, Detail: e.Detail})
		}
	}
	return out
}

// resultJSON is the whole output of a job.
type resultJSON struct {
	JobID string `json:"job_id"`
	Text  string `json:"text"`
	endEvent
}

// resultOf joins the hive's folded text with the state's end.
func resultOf(j *fsm.Job, folded []byte) (resultJSON, error) {
	out := resultJSON{JobID: j.ID, endEvent: endOf(j)}
	var f struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(folded, &f); err != nil {
		return out, fmt.Errorf("hive's folded answer of job %s: %w", j.ID, err)
	}
	out.Text = f.Text
	return out, nil
}
