package httpapi

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// writeTimeout frees a stream from a client that does not read: it is given up after one
// write has waited so long.
const writeTimeout = 10 * time.Second

// keepAlive is how often a waiting stream sends a comment, before idle proxies cut it.
const keepAlive = 15 * time.Second

// sse writes frames to one client. What is no frame (the reconnection time, a comment, the id
// of a record without a chunk) has no blank line behind it: the OpenAI SDKs take each blank
// line for an event, and one without data for a broken one. Safe for concurrent use: frames
// come from the goroutine of the request, comments also from the watch of its attachment.
type sse struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	request *http.Request

	mu    sync.Mutex
	begun bool
	held  []byte    // goes out with the headers
	awake []byte    // keeps proxies awake, if it is no comment
	wrote time.Time // last

	// Once the pump has the client's connection.
	pipe  *pipe
	conn  net.Conn // as net/http had it; what counts it
	stuck bool     // it is or will never be taken over
	lost  error    // it was lost on the way
}

func newSSE(w http.ResponseWriter, r *http.Request) *sse {
	return &sse{w: w, rc: http.NewResponseController(w), request: r}
}

// open sends the headers and the reconnection time, once.
func (s *sse) open() error { return s.write(nil) }

// opened tells whether the headers are out.
func (s *sse) opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// hold keeps lines back that alone are no reason to send the headers.
func (s *sse) hold(lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, lines...)
}

// write copies whole frames and flushes them.
func (s *sse) write(frames []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(frames)
}

func (s *sse) writeLocked(frames []byte) error {
	switch {
	case s.lost != nil:
		return s.lost
	case s.begun && len(frames) == 0:
		return nil
	case s.pipe != nil:
		return s.pipe.write(frames)
	}
	// A writer without deadlines (a test's recorder) just has none.
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if !s.begun {
		s.begun = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		s.w.WriteHeader(http.StatusOK)
		frames = append(append([]byte("retry: 250\n"), s.held...), frames...)
		s.held = nil
	}
	if _, err := s.w.Write(frames); err != nil {
		return err
	}
	s.wrote = time.Now()
	return s.rc.Flush()
}

var keepAliveLine = []byte(": keep-alive\n")

// comment keeps proxies awake.
func (s *sse) comment() error { return s.write(s.keepAliveFrame()) }

// keepAliveFrame is a comment, or what the client's API has for it.
func (s *sse) keepAliveFrame() []byte {
	if len(s.awake) > 0 {
		return s.awake
	}
	return keepAliveLine
}

// keepAwake sends a comment when nothing was written for so long, and tells when to look again.
func (s *sse) keepAwake(every time.Duration) (next time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote := s.wrote
	if s.pipe != nil {
		wrote = s.pipe.lastWrite()
	}
	if idle := time.Since(wrote); idle < every {
		return every - idle, nil
	}
	return every, s.writeLocked(s.keepAliveFrame())
}

// appendEvent renders one frame; name and id may be empty.
func appendEvent(dst []byte, name, id string, data any) []byte {
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	body, err := json.Marshal(data)
	if err != nil { // only types of this package come here, and they all marshal
		body = []byte("{}")
	}
	return append(append(append(dst, "data: "...), body...), "\n\n"...)
}

// eventID is the id of record n of an attempt.
func eventID(attempt uint32, n uint64) string {
	return strconv.FormatUint(uint64(attempt), 10) + "." + strconv.FormatUint(n, 10)
}
