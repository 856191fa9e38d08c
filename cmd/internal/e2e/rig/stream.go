package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
)

// Frame is one event as it came.
type Frame = history.Frame

// Task is the body of POST /v2/tasks.
type Task struct {
	Model        string `json:"model"`
	Prompt       string `json:"prompt"`
	MaxTokens    int    `json:"max_tokens"`
	Seed         int64  `json:"seed"`
	Detach       bool   `json:"detach,omitempty"`
	Hive         string `json:"hive,omitempty"`
	OnWorkerLoss string `json:"on_worker_loss,omitempty"`
}

func (t Task) body() []byte {
	data, err := json.Marshal(t)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	return data
}

// Stream is one client of one job: it asks queens in turn until one takes the job, reads
// events, and reconnects at the next queen with Last-Event-ID whenever a connection ends
// before the job does. Set the fields, then call Run, once.
type Stream struct {
	C      *Cluster
	Task   Task
	Key    string   // Idempotency-Key
	JobID  string   // set beforehand to read a job that exists
	Queens []string // URLs, in the order to try them; the first one first
	Grace  string   // X-Rbee-Grace, "" to send none
	Stay   bool     // never reconnect: Run ends with the first connection

	Frames      []Frame // all events of all connections; read them after Run
	Connections int
	Served      []string // X-Rbee-Queen of each connection

	order  history.Order
	lastID string
	tokens atomic.Int64
	over   atomic.Bool
	job    atomic.Pointer[string]
	once   sync.Once
	met    chan struct{} // closed at Started
	mu     sync.Mutex
	marks  []mark
}

// mark is someone waiting for the stream to come so far.
type mark struct {
	tokens int64
	ready  chan struct{}
}

// Tokens is how many tokens have come; safe while Run goes on.
func (s *Stream) Tokens() int { return int(s.tokens.Load()) }

// ID is the job's id, "" until a queen has told it; safe while Run goes on.
func (s *Stream) ID() string {
	if id := s.job.Load(); id != nil {
		return *id
	}
	return ""
}

// After is closed when so many tokens have come; call it before or during Run.
func (s *Stream) After(tokens int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := mark{int64(tokens), make(chan struct{})}
	if s.tokens.Load() >= m.tokens {
		close(m.ready)
	} else {
		s.marks = append(s.marks, m)
	}
	return m.ready
}

// Begun is closed when the first record has come.
func (s *Stream) Begun() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.met == nil {
		s.met = make(chan struct{})
	}
	return s.met
}

// Over tells whether the end has come; safe while Run goes on.
func (s *Stream) Over() bool { return s.over.Load() }

// Run reads the job to its end. Its error is a *Broken, a refusal, or the context's.
func (s *Stream) Run(ctx context.Context) error {
	if s.JobID != "" {
		s.job.Store(&s.JobID)
	}
	for at := 0; ; at++ {
		queen := s.Queens[at%len(s.Queens)]
		err := s.connect(ctx, queen)
		var broken *Broken
		switch {
		case s.order.Final() != nil && err == nil:
			return nil
		case errors.As(err, &broken):
			return fmt.Errorf("job %s at %s, connection %d: %w\n%s", s.JobID, queen, s.Connections, err, s.transcript())
		case ctx.Err() != nil:
			return fmt.Errorf("job %s, %d tokens, %d connections, after %s: %w (last: %w)", s.JobID, s.Tokens(), s.Connections, s.lastID, context.Cause(ctx), err)
		case s.Stay:
			return err
		case !worthAnother(err):
			return fmt.Errorf("job %s at %s: %w", s.JobID, queen, err)
		}
		if !Pause(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// worthAnother tells what a client asks the next queen after.
func worthAnother(err error) bool {
	var p *Problem
	if !errors.As(err, &p) {
		return true // the connection's end
	}
	switch p.Code {
	case "no_leader", "unknown_outcome", "replica_behind", "system_at_capacity":
		return true
	}
	return false
}

// connect is one connection: nil when it ended behind the job's end.
func (s *Stream) connect(ctx context.Context, queen string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := s.ask(ctx, queen)
	if err != nil {
		return err
	}
	resp, err := s.C.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if id := resp.Header.Get("X-Rbee-Job-Id"); id != "" {
		if s.JobID != "" && s.JobID != id {
			return &Broken{fmt.Errorf("%s gave job %s where it was %s", queen, id, s.JobID)}
		}
		s.JobID = id
		s.job.Store(&id)
	}
	if resp.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode/100 == 2 {
			return &Broken{fmt.Errorf("%s answered %d", queen, resp.StatusCode)}
		}
		return (&Reply{Status: resp.StatusCode, Body: data}).Problem()
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/event-stream") {
		return &Broken{fmt.Errorf("%s answered %s", queen, kind)}
	}
	s.Connections++
	s.Served = append(s.Served, resp.Header.Get("X-Rbee-Queen"))
	err = frames(resp.Body, s.take)
	if s.order.Final() != nil && errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *Stream) ask(ctx context.Context, queen string) (*http.Request, error) {
	if s.JobID == "" {
		return s.C.request(ctx, http.MethodPost, queen+"/v2/tasks", s.Task.body(), s.headers("Idempotency-Key", s.Key)...)
	}
	return s.C.request(ctx, http.MethodGet, queen+"/v2/jobs/"+s.JobID+"/events", nil, s.headers("Last-Event-ID", s.lastID)...)
}

func (s *Stream) headers(name, value string) []string {
	var h []string
	if value != "" {
		h = append(h, name, value)
	}
	if s.Grace != "" {
		h = append(h, "X-Rbee-Grace", s.Grace)
	}
	return h
}

func (s *Stream) take(f Frame) error {
	s.Frames = append(s.Frames, f)
	if err := s.order.Take(f); err != nil {
		return err
	}
	if f.ID != "" {
		s.lastID = f.ID
		s.once.Do(func() {
			if b := s.Begun(); b != nil {
				close(s.met)
			}
		})
	}
	s.over.Store(s.order.Final() != nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.Store(int64(s.order.Tokens()))
	for i := 0; i < len(s.marks); i++ {
		if s.tokens.Load() >= s.marks[i].tokens {
			close(s.marks[i].ready)
			s.marks = append(s.marks[:i], s.marks[i+1:]...)
			i--
		}
	}
	return nil
}

// Text is what the tokens make.
func (s *Stream) Text() string { return s.order.Text() }

// End is the last event, nil if there was none.
func (s *Stream) End() *Frame { return s.order.Final() }

// Attempt is the one whose record came last.
func (s *Stream) Attempt() uint64 { return s.order.Attempt() }

// Restarts counts the times that shown text was taken back by a retry.
func (s *Stream) Restarts() int { return s.order.Restarts() }

// Has tells whether an event of a kind has come. After Run.
func (s *Stream) Has(event string) bool {
	for _, f := range s.Frames {
		if f.Event == event {
			return true
		}
	}
	return false
}

// transcript shows the last events.
func (s *Stream) transcript() string {
	var b strings.Builder
	for _, f := range s.Frames[max(0, len(s.Frames)-8):] {
		fmt.Fprintf(&b, "    %s %s %.200s\n", f.Event, f.ID, f.Data)
	}
	return b.String()
}
