package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/openai"
)

// stream answers with server-sent events. After the first byte an error can no longer be an
// answer: the engine's own goes into the stream as data, without [DONE] behind it, and every
// other breaks the connection.
func (s *Server) stream(e *engine.Engine, w http.ResponseWriter, r *http.Request, req *openai.Request, head openai.Answer) error {
	out := &events{w: w, control: http.NewResponseController(w), req: req, head: head}
	usage, err := e.Run(r.Context(), req, out)
	switch {
	case err == nil:
	case errors.Is(err, engine.ErrFault) && out.begun:
		return out.data(openai.Failed(err.Error()))
	default:
		return err
	}
	if req.IncludeUsage {
		head.Choices = []openai.Choice{}
		head.Usage = &usage
		if err := out.data(head); err != nil {
			return err
		}
	}
	return out.write([]byte("data: [DONE]\n\n"))
}

// events writes a run as chunks.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	req     *openai.Request
	head    openai.Answer
	begun   bool
}

func (v *events) Begin() error {
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	v.w.WriteHeader(http.StatusOK)
	v.begun = true
	if !v.req.Chat {
		return v.flush()
	}
	for i := range v.req.Choices() {
		if err := v.choice(openai.Opening(i)); err != nil {
			return err
		}
	}
	return nil
}

func (v *events) Token(i int, text string) error {
	return v.choice(openai.Piece(v.req.Chat, i, text))
}

func (v *events) End(i int, reason string) error {
	return v.choice(openai.Ending(v.req.Chat, i, reason))
}

func (v *events) choice(c openai.Choice) error {
	v.head.Choices = []openai.Choice{c}
	return v.data(v.head)
}

func (v *events) data(object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	frame := make([]byte, 0, len(body)+len("data: \n\n"))
	frame = append(frame, "data: "...)
	frame = append(frame, body...)
	return v.write(append(frame, '\n', '\n'))
}

// write sends a frame at once.
func (v *events) write(frame []byte) error {
	if err := v.limit(); err != nil {
		return err
	}
	if _, err := v.w.Write(frame); err != nil {
		return err
	}
	return v.control.Flush()
}

// flush sends what there is, the headers at least.
func (v *events) flush() error {
	if err := v.limit(); err != nil {
		return err
	}
	return v.control.Flush()
}

// limit gives the client writeTimeout to take what is written next: one that does not read
// must not hold a slot.
func (v *events) limit() error { return v.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }
